"""``renalclip report check``: the report of a review held to the review's own facts."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from ..review import CaseReview


@dataclass(frozen=True)
class ReportCheck:
    """Check a report sentence by sentence against the measurements and predictions of a review.

    Contradicted sentences are shown with the fact beside them, unsupported ones are marked. English and Chinese. With
    --text another report than the review's own is checked: a text with the headings Findings: and Impression:.
    """

    name: ClassVar[str] = "report check"
    review: Path
    lesion: str
    text: Path | None
    json: bool

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        add = parser.add_argument
        add("review", type=Path, help="review.json, or the folder that it lies in")
        add("--lesion", default="", metavar="ID", help="lesion whose report is meant (default: the primary one)")
        add("--text", type=Path, metavar="FILE", help="a report to check in place of the review's own (UTF-8)")
        add("--json", action="store_true", help="print JSON")

    def run(self) -> None:
        """Read, check, print."""
        import json

        from ..errors import NoLesionError
        from ..inference.report_facts import check_review
        from ..report_remarks import fact_words
        from ..review import encode

        review = self._review()
        if not review.lesions:
            raise NoLesionError("This review has no lesion, and so no report to check.")
        found = check_review(self._with_text(review), self.lesion)
        if not found:
            raise NoLesionError("This lesion has no report; give one with --text, or name another with --lesion.")
        if self.json:
            print(
                json.dumps([{**encode(one.check), "author": one.author} for one in found], ensure_ascii=False, indent=1)
            )
            return
        for item in found:
            print(item.check.verdict, item.check.section, item.author, item.check.text, *fact_words(item), sep="\t")
        counts = {word: sum(one.check.verdict == word for one in found) for word in ("contradicted", "unsupported")}
        print(f"{len(found)} sentences, " + ", ".join(f"{count} {word}" for word, count in counts.items()))

    def _review(self) -> CaseReview:
        from ..errors import InputError
        from ..review import ReviewFormatError, read_review

        path = self.review / "review.json" if self.review.is_dir() else self.review
        try:
            return read_review(path)
        except (OSError, ReviewFormatError) as error:
            raise InputError("The review cannot be read; give review.json as renalclip review writes it.") from error

    def _with_text(self, review: CaseReview) -> CaseReview:
        """The review with the given text in place of the lesion's report."""
        from ..errors import InputError
        from ..inference.report_facts import GIVEN
        from ..review import ReportDraft
        from ..text.captions import parse_caption

        if self.text is None:
            return review
        try:
            findings, impression = parse_caption(self.text.read_text(encoding="utf-8-sig"))
        except (OSError, UnicodeDecodeError) as error:
            raise InputError("The report cannot be read; give a text file in UTF-8.") from error
        draft = ReportDraft(findings, impression, GIVEN)
        lesions = [
            replace(one, report=draft) if (one.lesion_id == self.lesion if self.lesion else one.primary) else one
            for one in review.lesions
        ]
        return replace(review, lesions=tuple(lesions), edits=())


COMMANDS = [ReportCheck]
