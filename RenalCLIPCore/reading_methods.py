"""The worker's methods for readers: a worklist with autosave, and a report that is checked as it is written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from .errors import WorklistError
from .review import CaseReview, LesionReview, ReportDraft, encode
from .session import Session
from .worker import Answer, Progress

if TYPE_CHECKING:
    from .reading.database import Database
    from .reading.records import Assignment
    from .reading.worklist import Filter

Params = Mapping[str, Any]


class ReadingMethods:
    """A reader's worklist over one session; what changes in the session's case goes into the worklist's log.

    Args:
        session: Whose case is read.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self._database: Database | None = None
        self._reader = ""
        self._case = ""
        self._noted: set[tuple[str, Any]] = set()

    def methods(self) -> dict[str, Callable[[Params, Progress], Answer]]:
        """The methods by name."""
        return {
            "report.check": self._check,
            "worklist.open": self._open,
            "worklist.step": self._step,
            "worklist.save": self._save,
            "worklist.resolve": self._resolve,
            "worklist.close": self._close,
        }

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
        from .reading.database import Database

        database = Database(params["db"])
        facts = database.facts()
        self._forget()
        self._database, self._reader = database, params["reader"]
        return Answer({"blinded": facts["blinded"], "questions": facts["questions"], "cases": self._cases(params)})

    def _close(self, params: Params, progress: Progress) -> Answer:
        self._forget()
        return Answer({})

    def _step(self, params: Params, progress: Progress) -> Answer:
        """The next or previous case, with its files and the reading as it stands."""
        from .reading.saving import conflicts
        from .reading.worklist import files_of, next_assignment

        items = self._items(params)
        if "number" in params:
            item = next((one for one in items if one.number == params["number"]), None)
        else:
            item = next_assignment(items, params.get("after"), step=params.get("step", 1))
        if item is None:
            return Answer({"case": None, "cases": self._cases(params)})
        files, label_map, centre = files_of(self._opened, item.case)
        self._case = item.case
        waiting = [encode(version) for version in conflicts(self._opened, item.number)]
        case = {
            **self._row(item),
            "files": {phase: str(path) for phase, path in files.items()},
            "label_map": str(label_map) if label_map else None,
            "centre_lps_mm": list(centre) if centre else None,
            "reading": encode(item.reading),
            "version": item.version,
            "waiting": waiting,
        }
        return Answer({"case": case, "cases": self._cases(params)})

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

    def _cases(self, params: Params) -> list[dict[str, Any]]:
        return [self._row(item) for item in self._items(params)]

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
        bundle = self.session.bundle
        return (f"{bundle.manifest.name} {bundle.manifest.version}", bundle.sha256) if bundle else ("", "")

    def _forget(self) -> None:
        if self._database is not None:
            self._database.close()
        self._database, self._reader, self._case, self._noted = None, "", "", set()


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
