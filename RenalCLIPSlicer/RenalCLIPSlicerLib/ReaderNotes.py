"""What a reader adds to a reading: an edited report, verdicts. Plain Python."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Union

from RenalCLIPCore.review import Absent, ReportDraft, decode

from .CaseState import SECTIONS, EditedReport, Verdict, now
from .Findings import findings
from .WorkerPlan import Level

if TYPE_CHECKING:
    from .CaseLogic import CaseLogic

ReportPart = Union[ReportDraft, Absent]


class ReaderNotes:
    """Adds to a case's reading.

    Args:
        case: The case.
    """

    def __init__(self, case: CaseLogic) -> None:
        self._case = case

    def editReport(self, section: str, text: str) -> None:
        """The reader's words for ``findings`` or ``impression``; the draft's own words end the edit."""
        case = self._case
        review = case.state.lesionReview()
        if review is None or not isinstance(review.report, ReportDraft) or section not in SECTIONS:
            return
        edited = case.state.reports.setdefault(review.lesion_id, EditedReport())
        draft = getattr(review.report, section)
        setattr(edited, section, None if text == draft else text)
        edited.basis.setdefault(section, draft)
        edited.by, edited.at = case.reader, now()
        self.withdrawOutdated(review.lesion_id)
        case.tell("verdicts")

    def discardEdits(self) -> None:
        """Show the draft again."""
        if self._case.state.reports.pop(self._case.state.lesion, None):
            self.withdrawOutdated(self._case.state.lesion)
            self._case.tell("report", "verdicts")

    def draftChanged(self, lesion: str) -> bool:
        """Whether the draft says something else than when the reader edited it."""
        edited, review = self._case.state.reports.get(lesion), self._case.state.lesionReview(lesion)
        if not edited or not review or not isinstance(review.report, ReportDraft):
            return False
        draft = review.report
        return any(
            getattr(edited, section) is not None and edited.basis.get(section) != getattr(draft, section)
            for section in SECTIONS
        )

    def regenerate(self) -> None:
        """Draft the report anew; sections that the reader edited stay as they are."""
        case, lesion = self._case, self._case.state.lesion

        def drafted(result: Any) -> None:
            draft = decode(ReportPart, result)
            case.amend(lesion, report=draft)
            kept = case.state.reports.get(lesion)
            text = "The report was drafted anew" + ("; your edited sections are kept." if kept else ".")
            case.finish(text)
            case.tell("report")

        if case.state.lesionReview() is None:
            case.say("There is no reading to report on yet.", "warning")
            return
        case.ensure(
            "Drafting the report", Level.COMPLETE, lambda: case.send("report.draft", {"lesion_id": lesion}, drafted)
        )

    def decide(self, finding: str, verdict: str, comment: str | None = None, lesion: str = "") -> None:
        """Accept, reject (``accepted``, ``rejected``) or leave open (empty) a finding; the shown lesion by default."""
        case = self._case
        review = case.state.lesionReview(lesion or case.state.lesion)
        values = findings(review, case.state.report(review.lesion_id)) if review else {}
        if review is None or finding not in values:
            return
        name = f"{review.lesion_id} {finding}"
        item = case.state.verdicts.setdefault(name, Verdict())
        item.verdict, item.value = verdict, values[finding]
        item.comment = item.comment if comment is None else comment
        item.by, item.at = case.reader, now()
        case.tell("verdicts")

    def withdrawOutdated(self, *lesions: str) -> None:
        """Verdicts on findings that read differently now are withdrawn; their comments stay."""
        case, withdrawn = self._case, []
        for lesion in lesions:
            review = case.state.lesionReview(lesion)
            values = findings(review, case.state.report(lesion)) if review else {}
            for name, item in case.state.verdicts.items():
                owner, _, finding = name.partition(" ")
                if owner == lesion and item.verdict and values.get(finding) != item.value:
                    item.verdict = ""
                    withdrawn.append(name)
        if withdrawn:
            case.say(f"{', '.join(withdrawn)} changed, so the sign-off was withdrawn.", "warning")
