"""Reviews as one table for cohorts: a row per lesion, documented columns, numbers as the reviews have them."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable

from ..review import Absent, CaseReview, Identifiers, LesionReview
from ..review_reading import present
from .lesion_values import KEYS, lesion_values

STUDY_COLUMNS = {
    "study_id": "pseudonym of the study",
    "lesion_id": "L1 is the primary lesion unless a point was given; empty: the study has no lesion",
    "primary": "yes or no",
    "side": "left or right, the patient's",
    "label": "tumour, cyst or point",
}
PROVENANCE_COLUMNS = {
    "reference_phase": "phase whose grid is the common frame",
    "phases": "phases of the study",
    "segmentation_model": "model or file of the masks",
    "segmentation_sha256": "its hash",
    "bundle": "name and version of the model bundle",
    "bundle_sha256": "its hash",
    "intended_use": "of the bundle",
    "core_version": "version of RenalCLIP",
    "created": "when the review was made, UTC",
    "edits": "number of changes by a person",
    "sign_off": "verdicts as finding=verdict; separated by semicolons",
}
IDENTIFIER_COLUMNS = {
    "patient_name": "only with kept identifiers",
    "patient_id": "only with kept identifiers",
    "study_date": "only with kept identifiers",
    "accession_number": "only with kept identifiers",
}
COLUMNS = {**STUDY_COLUMNS, **KEYS, **PROVENANCE_COLUMNS}
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def lesion_table(reviews: Iterable[CaseReview]) -> str:
    """The table as CSV text (comma, CRLF, a header line); an absent value is an empty field.

    Columns are :data:`COLUMNS`; values that no usual review has stand behind, and the identifiers' columns only where a
    review carries identifiers. A study without lesions has one row. Text that a spreadsheet would take for a formula is
    preceded by an apostrophe.
    """
    rows = [row for review in reviews for row in _rows(review)]
    columns = list(COLUMNS)
    columns += [name for name in IDENTIFIER_COLUMNS if any(name in row for row in rows)]
    columns += list(dict.fromkeys(name for row in rows for name in row if name not in columns))
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\r\n")
    writer.writeheader()
    writer.writerows({name: _field(value) for name, value in row.items()} for row in rows)
    return text.getvalue()


def _rows(review: CaseReview) -> list[dict[str, object]]:
    shared = _shared(review)
    if not review.lesions:
        return [{"study_id": review.study.study_id, **shared}]
    return [{**_lesion(review, lesion), **shared} for lesion in review.lesions]


def _lesion(review: CaseReview, lesion: LesionReview) -> dict[str, object]:
    row: dict[str, object] = {
        "study_id": review.study.study_id,
        "lesion_id": lesion.lesion_id,
        "primary": "yes" if lesion.primary else "no",
        "side": lesion.side,
        "label": lesion.label,
    }
    return row | {item.key: item.value for item in lesion_values(lesion)}


def _shared(review: CaseReview) -> dict[str, object]:
    source, masks = review.provenance, present(review.segmentation)
    row: dict[str, object] = {
        "reference_phase": review.study.reference_phase,
        "phases": " ".join(record.phase for record in review.study.phases),
        "segmentation_model": masks.model if masks else "",
        "segmentation_sha256": masks.sha256 if masks else "",
        "bundle": present(source.bundle) or "",
        "bundle_sha256": present(source.bundle_sha256) or "",
        "intended_use": source.intended_use,
        "core_version": source.core_version,
        "created": source.created,
        "edits": len(review.edits),
        "sign_off": "; ".join(f"{item.finding}={item.verdict}" for item in review.sign_off),
    }
    identifiers: Identifiers | Absent = review.study.identifiers
    if not isinstance(identifiers, Absent):
        row |= {name: getattr(identifiers, name) for name in IDENTIFIER_COLUMNS}
    return row


def _field(value: object) -> object:
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return value
