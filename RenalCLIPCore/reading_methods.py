"""The worker's methods for readers: a worklist with autosave, and a report that is checked as it is written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import BlindedError, WorklistError
from .progress import Progress
from .review import CaseReview, LesionReview, ReportDraft, encode
from .session import Session
from .withheld import ALL, NOTHING, Withheld
from .worker import Answer

if TYPE_CHECKING:
    from .reading.database import Database
    from .reading.records import Assignment
    from .reading.worklist import Filter

Params = Mapping[str, Any]
PATIENCE_S = 5.0  # a window waits for an answer
_OTHERS = "While a worklist is open only its open case is read; close the worklist first."


class ReadingMethods:
    """A reader's worklist over one session; what changes in the session's case goes into the worklist's log.

    While a worklist is open, its open case alone can be read, and the session withholds what the study says. Files
    that were opened for a reading without predictions stay closed to everything but their worklist for as long as the
    process lives.

    Args:
        session: Whose case is read.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self._database: Database | None = None
        self._reader = ""
        self._case = ""
        self._number = 0
        self._files: frozenset[Path] = frozenset()
        self._studies: frozenset[Path] = frozenset()
        self._sealed: set[Path] = set()
        self._noted: set[tuple[str, Any]] = set()

    def methods(self) -> dict[str, Callable[[Params, Progress], Answer]]:
        """The methods by name."""
        return {
            "report.check": self._check,
            "worklist.open": self._open,
            "worklist.list": self._list,
            "worklist.step": self._step,
            "worklist.save": self._save,
            "worklist.time": self._time,
            "worklist.resolve": self._resolve,
            "worklist.relocate": self._relocate,
            "worklist.close": self._close,
        }

    def check_import(self, sources: Sequence[Path]) -> None:
        """Let only the open case's own files be imported while a worklist is open.

        Raises:
            BlindedError: Others were given, or files that were opened without predictions before.
        """
        given = {source.resolve() for source in sources}
        if self._database is not None and not (given and given <= self._files):
            raise BlindedError(_OTHERS)
        if self._database is None and any(self._is_sealed(source) for source in given):
            raise BlindedError(
                "These files were opened for a reading without predictions; they are read through their worklist."
            )

    def check_open(self, folder: Path) -> None:
        """The same for a study folder, which must be one that the open case's files were imported into."""
        if self._database is None:
            self.check_import([folder])
        elif folder.resolve() not in self._studies:
            raise BlindedError(_OTHERS)

    def note_import(self, folder: Path) -> None:
        """A study folder was made of the open case's files."""
        if self._database is not None:
            self._studies |= {folder.resolve()}
            self._seal()

    def note_move(self, before: LesionReview, after: LesionReview) -> None:
        """Put a moved centre and the predictions that changed with it into the log, where a worklist's case is open."""
        from .reading.changed import lesion_entries

        model, sha256 = self._model()
        self._note(lesion_entries(before, after, case=self._case, by=self._reader, model=model, sha256=sha256))

    def note_masks(self) -> None:
        """The same for masks that were made or given."""
        from .reading.changed import masks_entry

        found = self.session.case.segmentation if self.session.case else None
        if found is not None:
            after = {"source": found.source, "model": found.model, "sha256": found.sha256}
            self._note([masks_entry({}, after, case=self._case, by=self._reader)])

    def note_review(self, review: CaseReview) -> None:
        """The same for what a reader changed in a review that is saved: report sentences and verdicts."""
        from .reading.changed import review_entries

        entries = review_entries(None, review, case=self._case, by=self._reader)
        # a review is saved again and again; each change is one entry
        fresh = [one for one in entries if one.action in ("report", "verdict") and (self._case, one) not in self._noted]
        self._note(fresh)
        self._noted |= {(self._case, entry) for entry in fresh}

    def _check(self, params: Params, progress: Progress) -> Answer:
        from .inference.report_facts import check_review

        lesion_id = params["lesion_id"]
        self.session.reading(lesion_id)
        review = self.session.build()
        review = replace(review, lesions=tuple(_with_text(one, lesion_id, params) for one in review.lesions))
        found = check_review(review, lesion_id)
        return Answer({"sentences": [{**encode(one.check), "author": one.author} for one in found]})

    def _open(self, params: Params, progress: Progress) -> Answer:
        from .reading import audit
        from .reading.database import Database
        from .reading.records import check_name

        database, reader = Database(params["db"], patience_s=PATIENCE_S), check_name(params["reader"], "reader")
        try:
            facts, identity = database.facts(), audit.identity(database)
        except WorklistError:
            database.close()
            raise
        self._forget()
        self._database, self._reader = database, reader
        self.session.withhold(ALL)  # until a case says what may be shown
        told = {"worklist": identity, "blinded": facts["blinded"], "questions": facts["questions"]}
        return Answer({**told, **self._listing(params)})

    def _list(self, params: Params, progress: Progress) -> Answer:
        return Answer(self._listing(params))

    def _close(self, params: Params, progress: Progress) -> Answer:
        if self._database is not None:
            self._forget()
            self.session.withhold(NOTHING)
        return Answer({})

    def _step(self, params: Params, progress: Progress) -> Answer:
        """The next or previous case, with its files and the reading as it stands."""
        from .reading.saving import conflicts
        from .reading.worklist import by_number, files_of, next_assignment

        items = self._items(params)
        if "number" in params:
            item = by_number(items, params["number"])
        else:
            item = next_assignment(items, params.get("after"), step=params.get("step", 1))
        if item is None:
            return Answer({"case": None, **self._listing(params)})
        files, label_map, centre = files_of(self._opened, item.case)
        withheld = Withheld.of_study(item.with_ai, self._opened.facts().get("withheld", ()))
        self._enter(item, withheld, frozenset(path.resolve() for path in files.values()))
        if withheld.masks:
            label_map, centre = None, None
        waiting = [encode(version) for version in conflicts(self._opened, item.number)]
        case = {
            **self._row(item),
            "files": {phase: str(path) for phase, path in files.items()},
            "label_map": str(label_map) if label_map else None,
            "centre_lps_mm": list(centre) if centre else None,
            "reading": encode(item.reading),
            "version": item.version,
            "by": item.by,
            "waiting": waiting,
            "withheld": withheld.names,
        }
        return Answer({"case": case, **self._listing(params)})

    def _enter(self, item: Assignment, withheld: Withheld, files: frozenset[Path]) -> None:
        """Close the case before and let this one's files be read; the case that is open already stays so."""
        if item.number != self._number:
            self.session.withhold(withheld)
            self._case, self._number, self._studies = item.case, item.number, frozenset()
        self._files = files
        self._seal()

    def _seal(self) -> None:
        if self.session.withheld.predictions:
            self._sealed |= {*self._files, *self._studies}

    def _is_sealed(self, path: Path) -> bool:
        return any(path in (sealed, *sealed.parents) or sealed in path.parents for sealed in self._sealed)

    def _time(self, params: Params, progress: Progress) -> Answer:
        from .reading.saving import add_time

        add_time(self._opened, params["number"], float(params["seconds"]), self._reader)
        return Answer({})

    def _relocate(self, params: Params, progress: Progress) -> Answer:
        from .reading.worklist import relocate

        relocate(self._opened, Path(params["folder"]), by=self._reader)
        return Answer({})

    def _save(self, params: Params, progress: Progress) -> Answer:
        from .reading.saving import save

        return Answer(encode(save(self._opened, self._change(params))))

    def _resolve(self, params: Params, progress: Progress) -> Answer:
        from .reading.saving import resolve

        return Answer(encode(resolve(self._opened, self._change(params))))

    def _change(self, params: Params) -> Any:
        from .reading.records import Change, read_json

        questions = {name: len(classes) for name, classes in self._opened.facts()["questions"].items()}
        reading = read_json(params["reading"], questions)
        seconds = float(params.get("seconds", 0.0))
        return Change(params["change_id"], params["number"], params["base_version"], reading, self._reader, seconds)

    def _listing(self, params: Params) -> dict[str, Any]:
        """Rows that a filter wants, and how many there are and are finished without it."""
        wanted, items = _filter(params.get("filter", {})), self._items({})
        finished = sum(item.status == "finished" for item in items)
        rows = [self._row(item) for item in items if wanted.wants(item)]
        return {"cases": rows, "total": len(items), "finished": finished}

    def _items(self, params: Params) -> Sequence[Assignment]:
        """The reader's own cases and those that annotators share."""
        from .reading.records import ANYONE
        from .reading.worklist import assignments

        found = assignments(self._opened, None, _filter(params.get("filter", {})))
        return [item for item in found if item.reader in (self._reader, ANYONE)]

    def _row(self, item: Assignment) -> dict[str, Any]:
        row = asdict(item)
        shown = ("number", "reader", "with_ai", "session", "position", "status", "seconds", "opens", "conflicts")
        flags = {"quality": item.reading.quality, "flagged": item.reading.flagged}
        return {**{name: row[name] for name in shown}, **flags, "name": item.code if self._blinded else item.case}

    @property
    def _blinded(self) -> bool:
        return bool(self._opened.facts()["blinded"])

    @property
    def _opened(self) -> Database:
        if self._database is None:
            raise WorklistError("No worklist is open; open one first.")
        return self._database

    def _note(self, entries: Sequence[Any]) -> None:
        from .reading.audit import record

        if self._database is not None and self._case and entries:
            record(self._database, entries)

    def _model(self) -> tuple[str, str]:
        bundle = self.session.reader_bundle
        return (f"{bundle.manifest.name} {bundle.manifest.version}", bundle.sha256) if bundle else ("", "")

    def _forget(self) -> None:
        if self._database is not None:
            self._database.close()
        self._database, self._reader, self._case, self._noted = None, "", "", set()
        self._number, self._files, self._studies = 0, frozenset(), frozenset()


def _filter(wanted: Mapping[str, Any]) -> Filter:
    from .reading.worklist import Filter

    return Filter(**wanted)


def _with_text(lesion: LesionReview, lesion_id: str, params: Params) -> LesionReview:
    """The lesion with the text that is being written in place of its report's."""
    if lesion.lesion_id != lesion_id:
        return lesion
    draft = lesion.report if isinstance(lesion.report, ReportDraft) else ReportDraft("", "", "structured")
    given = {section: params[section] for section in ("findings", "impression") if section in params}
    return replace(lesion, report=replace(draft, **given))
