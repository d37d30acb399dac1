"""What is known of one case, and its JSON form, which the scene keeps. Plain Python."""

from __future__ import annotations

import json
import math
import time
from dataclasses import asdict, dataclass, field
from typing import Any

from RenalCLIPCore.review import CaseReview, Edit, LesionReview, ReportDraft, ReviewFormatError, SignOff, decode, encode
from RenalCLIPCore.review_reading import present

from .CentreHistory import CentreHistory

STATE_VERSION = 1
SECTIONS = ("findings", "impression")
SAME_LESION_MM = 25.0


@dataclass
class StudySource:
    """Where a study comes from.

    Attributes:
        kind: ``folder`` (a study folder), ``import`` (DICOM or volume files), ``scene`` (volumes of the scene, which
            are written out before they are imported) or ``worklist`` (files of a worklist's case).
        paths: The folder, or the files and folders to import.
        phases: A person's choices for the import, as ``A=PATH_OR_SERIES``.
        folder: The study folder that was opened or made.
    """

    kind: str = ""
    paths: list[str] = field(default_factory=list)
    phases: list[str] = field(default_factory=list)
    folder: str = ""


@dataclass
class MaskSource:
    """Where the masks come from.

    Attributes:
        kind: ``model``, ``file`` or ``scene`` (a segmentation node that was there); empty for none yet.
        file: The worker's label map of them.
        model: Name of the model.
        notes: What should be known.
        origin: What the worker wants to be told with the masks of a model when it has forgotten them.
    """

    kind: str = ""
    file: str = ""
    model: str = ""
    notes: list[str] = field(default_factory=list)
    origin: dict[str, Any] = field(default_factory=dict)


@dataclass
class EditedReport:
    """A reader's words in place of a draft's; None keeps the draft's section.

    Attributes:
        findings: The reader's text.
        impression: The reader's text.
        basis: The draft that was edited, by section.
        by: Who edited.
        at: When, ISO 8601.
    """

    findings: str | None = None
    impression: str | None = None
    basis: dict[str, str] = field(default_factory=dict)
    by: str = ""
    at: str = ""


@dataclass
class Verdict:
    """A reader's verdict on one finding.

    Attributes:
        verdict: ``accepted``, ``rejected`` or empty.
        comment: In the reader's words.
        value: The finding as it read then; another value later withdraws the verdict.
        by: Who.
        at: When, ISO 8601.
    """

    verdict: str = ""
    comment: str = ""
    value: str = ""
    by: str = ""
    at: str = ""


@dataclass
class CaseState:
    """One case.

    Attributes:
        source: Of the study.
        study: The worker's description of the opened study, empty before.
        masks: Of the segmentation.
        review: The reading, None before.
        lesion: Id of the lesion that is shown.
        centres: Per lesion.
        reports: Edited reports per lesion.
        verdicts: Per lesion and finding (``L1 malignancy``).
        mapsFolder: Where the explanation maps of this run lie.
    """

    source: StudySource = field(default_factory=StudySource)
    study: dict[str, Any] = field(default_factory=dict)
    masks: MaskSource = field(default_factory=MaskSource)
    review: CaseReview | None = None
    lesion: str = ""
    centres: dict[str, CentreHistory] = field(default_factory=dict)
    reports: dict[str, EditedReport] = field(default_factory=dict)
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    mapsFolder: str = ""
    _written: tuple[CaseReview | None, str] | None = field(default=None, repr=False, compare=False)

    def lesionReview(self, lesion: str | None = None) -> LesionReview | None:
        """The review of a lesion, the shown one by default."""
        wanted = self.lesion if lesion is None else lesion
        lesions = self.review.lesions if self.review else ()
        return next((item for item in lesions if item.lesion_id == wanted), None)

    def keepOnly(self, review: CaseReview) -> list[str]:
        """Forget what a reader noted on lesions that another review does not hold; returns their ids."""
        new = {item.lesion_id: item for item in review.lesions}
        noted = {*self.centres, *self.reports, *(name.partition(" ")[0] for name in self.verdicts)}
        gone = sorted(name for name in noted if not _same(self.lesionReview(name), new.get(name)))
        worked = [name for name in gone if self._worked(name)]
        for name in gone:
            self.centres.pop(name, None)
            self.reports.pop(name, None)
        self.verdicts = {name: item for name, item in self.verdicts.items() if name.partition(" ")[0] not in gone}
        return worked

    def _worked(self, lesion: str) -> bool:
        """Whether a reader did anything to a lesion."""
        history = self.centres.get(lesion)
        moved = history is not None and (history.accepted or len(history.centres) > 1)
        return moved or lesion in self.reports or any(name.partition(" ")[0] == lesion for name in self.verdicts)

    def report(self, lesion: str) -> tuple[str, str] | None:
        """Findings and impression as they read now: the draft with the reader's sections in place."""
        review = self.lesionReview(lesion)
        if review is None or not isinstance(review.report, ReportDraft):
            return None
        edited = self.reports.get(lesion, EditedReport())
        findings = review.report.findings if edited.findings is None else edited.findings
        impression = review.report.impression if edited.impression is None else edited.impression
        return findings, impression

    def edits(self) -> list[dict[str, Any]]:
        """The reader's changes in the form of the review."""
        found = []
        for number, lesion in enumerate(self.review.lesions if self.review else ()):
            edited = self.reports.get(lesion.lesion_id)
            for section in SECTIONS if edited else ():
                text = getattr(edited, section)
                before = edited.basis.get(section, "") if edited else ""
                if edited and text is not None:
                    pointer = f"/lesions/{number}/report/{section}"
                    found.append(
                        encode(Edit(pointer, _quoted(before), _quoted(text), edited.by or "reader", edited.at, ""))
                    )
        return found

    def signOff(self) -> list[dict[str, Any]]:
        """The verdicts in the form of the review."""
        return [
            encode(SignOff(name, item.verdict, item.comment, item.by or "reader", item.at))
            for name, item in self.verdicts.items()
            if item.verdict
        ]

    def toJson(self) -> str:
        """For the scene."""
        body = {
            "version": STATE_VERSION,
            "source": asdict(self.source),
            "study": self.study,
            "masks": asdict(self.masks),
            "lesion": self.lesion,
            "centres": {name: item.asJson() for name, item in self.centres.items()},
            "reports": {name: asdict(item) for name, item in self.reports.items()},
            "verdicts": {name: asdict(item) for name, item in self.verdicts.items()},
        }
        return f'{json.dumps(body, ensure_ascii=False)[:-1]}, "review": {self._reviewText()}}}'

    def _reviewText(self) -> str:
        """The review as JSON, kept until it is another one: it is by far the largest part."""
        if self._written is None or self._written[0] is not self.review:
            self._written = (self.review, json.dumps(encode(self.review) if self.review else None, ensure_ascii=False))
        return self._written[1]


class StateFormatError(ValueError):
    """A scene's record of a case is not of a known form; the message says what was kept."""


def stateFromJson(text: str) -> tuple[CaseState, str]:
    """A case from the scene, and a note when a part of another version had to be left out.

    Raises:
        StateFormatError: The record cannot be read at all.
    """
    try:
        data = json.loads(text)
        if not isinstance(data, dict):
            raise TypeError("no object")
        version = int(data.get("version", 0))
        state = CaseState(
            source=StudySource(**data.get("source", {})),
            study=dict(data.get("study", {})),
            masks=MaskSource(**data.get("masks", {})),
        )
    except (ValueError, TypeError, RecursionError) as error:
        raise StateFormatError(
            "The case stored in this scene cannot be read. Its volumes and segmentation are kept; read the case anew."
        ) from error
    try:
        if version != STATE_VERSION:
            raise ValueError(f"version {version}")
        _addReading(state, data)
    except (ReviewFormatError, KeyError, ValueError, TypeError, AttributeError):
        blank = CaseState(source=state.source, study=state.study, masks=state.masks)
        return blank, (
            f"This scene was saved by another version of the module (record {version}, here {STATE_VERSION}). "
            "Volumes, segmentation and study are kept; press Read to read the case anew."
        )
    return state, ""


def now() -> str:
    """The time in UTC, ISO 8601."""
    return time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime())


def _addReading(state: CaseState, data: dict[str, Any]) -> None:
    state.review = decode(CaseReview, data["review"]) if data["review"] is not None else None
    state.lesion = str(data["lesion"])
    state.centres = {name: CentreHistory.fromJson(item) for name, item in data["centres"].items()}
    state.reports = {name: EditedReport(**item) for name, item in data["reports"].items()}
    state.verdicts = {name: Verdict(**item) for name, item in data["verdicts"].items()}


def _same(before: LesionReview | None, after: LesionReview | None) -> bool:
    """Whether two reviews speak of one lesion: the same side, and centres that were proposed near one another."""
    if before is None or after is None or before.side != after.side:
        return False
    first, second = present(before.centre_proposed), present(after.centre_proposed)
    return first is None or second is None or math.dist(first.lps_mm, second.lps_mm) <= SAME_LESION_MM


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
