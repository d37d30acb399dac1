"""Sentences of a review's reports that its own facts contradict or do not support, in words."""

from __future__ import annotations

from .exchange.html import ReportRemark
from .exchange.reader_statements import Written
from .inference.report_facts import DRAFT, GIVEN, CheckedSentence, check_review
from .review import CaseReview

REMARKED = ("contradicted", "unsupported")


def report_remarks(review: CaseReview) -> dict[str, tuple[ReportRemark, ...]]:
    """What the page says beside each lesion's report."""
    return {
        lesion.lesion_id: tuple(
            ReportRemark(item.check.text, item.check.verdict, item.author, fact_words(item))
            for item in check_review(review, lesion.lesion_id)
            if item.check.verdict in REMARKED
        )
        for lesion in review.lesions
    }


def written_sentences(review: CaseReview) -> Written:
    """Sentences of a review's reports that a person wrote, with their authors; those of drafts are the program's."""
    return [
        (lesion.lesion_id, item.check.section, item.check.text, item.author)
        for lesion in review.lesions
        for item in check_review(review, lesion.lesion_id)
        if item.author not in (DRAFT, GIVEN)
    ]


def fact_words(item: CheckedSentence) -> tuple[str, ...]:
    """What is known beside what a sentence says, contradictions alone where there are any."""
    apart = [tie for tie in item.check.ties if tie.agrees is False]
    return tuple(f"{tie.finding}: says {tie.said}, {tie.source} {tie.fact}" for tie in apart)
