"""What readers said of a review, one statement each: verdicts on findings, centres put by hand, sentences they wrote.

Exports carry statements apart from what the program found, with the reader as the one who says it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ..review import Absent, CaseReview, LesionReview
from ..review_reading import present
from .terminology import LOCAL, Concept, local_code, meaning

VERDICT, CENTRE, SENTENCE = "verdict", "centre", "sentence"
NOBODY = "reader"
# (id of the lesion, section of its report, sentence, author) of what persons wrote in a review's reports
Written = Iterable[tuple[str, str, str, str]]
Writers = Callable[[CaseReview], Written]
_VERDICTS = {
    "accepted": Concept(LOCAL, "accepted", "Accepted by the reader"),
    "rejected": Concept(LOCAL, "rejected", "Rejected by the reader"),
}
_KEYS = {
    "segmentation": ("volume_ml", "largest_diameter_mm", "axial_diameter_mm"),
    "centre": ("centre_used_lps_",),
    "R.E.N.A.L. predicted": ("predicted_total",),
    "R.E.N.A.L. measured": ("measured_total",),
    "malignancy": ("malignancy_",),
    "aggressiveness": ("aggressiveness_",),
    "recurrence risk": ("recurrence_",),
}


@dataclass(frozen=True)
class Statement:
    """One thing that a reader said.

    Attributes:
        lesion_id: Of the lesion that it is about; empty where it names none.
        kind: :data:`VERDICT`, :data:`CENTRE` or :data:`SENTENCE`.
        about: The finding, or the section of the report.
        words: ``accepted`` or ``rejected``, how the centre came about, or the sentence.
        comment: In the reader's words, or empty.
        by: Who.
        at: When, as the review has it, or empty.
    """

    lesion_id: str
    kind: str
    about: str
    words: str
    comment: str
    by: str
    at: str

    @property
    def name(self) -> Concept:
        """What is said, as a code: a local one for each finding."""
        title = {VERDICT: "Reader's verdict", CENTRE: "Centre put by the reader", SENTENCE: "Written by the reader"}
        return Concept(LOCAL, local_code(f"{self.kind}_{self.about}"), meaning(f"{title[self.kind]}: {self.about}"))

    @property
    def value(self) -> Concept | None:
        """The verdict as a code, None for a sentence."""
        if self.kind == SENTENCE:
            return None
        return _VERDICTS.get(self.words) or Concept(LOCAL, local_code(self.words), meaning(self.words) or "none")

    def judges(self, key: str) -> bool:
        """Whether it is about a value of :func:`.lesion_values.lesion_values`."""
        return self.kind != SENTENCE and key.startswith(_KEYS.get(self.about, (self.about + "\0",)))


def reader_statements(review: CaseReview, written: Written = ()) -> tuple[Statement, ...]:
    """The statements of a review, in its order.

    Args:
        review: The record, already de-identified where that is wanted.
        written: Sentences of its reports with their authors.
    """
    ids = {lesion.lesion_id for lesion in review.lesions}
    found = [_centre(lesion) for lesion in review.lesions]
    for item in review.sign_off:
        first, _, rest = item.finding.partition(" ")
        lesion, about = (first, rest) if first in ids and rest else (_primary(review), item.finding)
        found.append(Statement(lesion, VERDICT, about, item.verdict, item.comment, item.by or NOBODY, item.at))
    times = {edit.pointer: edit.at for edit in review.edits}
    places = {lesion.lesion_id: number for number, lesion in enumerate(review.lesions)}
    for lesion, section, text, author in written:
        at = times.get(f"/lesions/{places.get(lesion)}/report/{section}", "")
        found.append(Statement(lesion, SENTENCE, section, text, "", author or NOBODY, at))
    return tuple(item for item in found if item is not None)


def _centre(lesion: LesionReview) -> Statement | None:
    used = present(lesion.centre_used)
    if used is None or used.source != "manual":
        return None
    words = "put by hand" if isinstance(lesion.centre_proposed, Absent) else "moved by hand"
    return Statement(lesion.lesion_id, CENTRE, "centre", words, used.why, used.by or NOBODY, used.at)


def _primary(review: CaseReview) -> str:
    return review.primary.lesion_id if review.primary else ""
