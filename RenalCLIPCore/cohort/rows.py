"""One row of a cohort: a kidney of a patient, and what must hold between rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import CohortError
from ..imaging.study import Phase
from .clinical import Clinical
from .columns import ATTRIBUTES


@dataclass(frozen=True)
class FollowUp:
    """Follow-up of one endpoint: time in months (> 0), and whether the event was seen (else censored)."""

    months: float
    event: bool


@dataclass(frozen=True)
class CohortRow:
    """One kidney of one patient.

    Attributes:
        patient: Pseudonym.
        side: ``left`` or ``right`` (the patient's).
        site: Institution, or empty.
        split: ``training``, ``validation``, ``test`` or empty.
        group: Patients of one group stay in one split; empty for a patient on their own.
        licence: Terms of others that the images are under, or empty.
        centre_lps_mm: Lesion centre, or None.
        volumes: Absolute path of each phase's volume file.
        label_map: Absolute path of the label map, or None.
        labels: Class per task and descriptor, only where known.
        histology: Words, or empty.
        stage: Words, or empty.
        grade: WHO/ISUP grade, or None.
        diameter_mm: Largest diameter, or None.
        clinical: Age, sex and what else is known of the patient.
        follow_up: Follow-up per endpoint (``rfs``, ``dss``, ``os``), only where there is one.
        findings: Report text, or empty.
        impression: Report text, or empty.
        attributes: Option of each of the 14 questions as the report answers it, None for "don't know".
        true_attributes: Phantoms only: the options that are true, None for unknown.
        oracle: Phantoms only: best attainable score per task.
    """

    patient: str
    side: str
    site: str = ""
    split: str = ""
    centre_lps_mm: tuple[float, float, float] | None = None
    volumes: Mapping[Phase, Path] = field(default_factory=dict)
    label_map: Path | None = None
    labels: Mapping[str, int] = field(default_factory=dict)
    histology: str = ""
    stage: str = ""
    grade: int | None = None
    diameter_mm: float | None = None
    clinical: Clinical = field(default_factory=Clinical)
    follow_up: Mapping[str, FollowUp] = field(default_factory=dict)
    findings: str = ""
    impression: str = ""
    attributes: tuple[int | None, ...] = (None,) * ATTRIBUTES
    true_attributes: tuple[int | None, ...] = (None,) * ATTRIBUTES
    oracle: Mapping[str, float] = field(default_factory=dict)
    group: str = ""
    licence: str = ""

    @property
    def case_id(self) -> str:
        """Name of the row, unique in a table: patient and side."""
        return f"{self.patient}-{self.side}"


def validate(rows: Iterable[CohortRow]) -> None:
    """Check what holds between rows.

    Raises:
        CohortError: There is no row, a patient and side occur twice, a patient stands in two splits or groups, or a
            group stands in two splits.
    """
    seen: set[tuple[str, str]] = set()
    split_of: dict[str, str] = {}
    split_of_group: dict[str, str] = {}
    group_of: dict[str, str] = {}
    for number, row in enumerate(rows, 1):
        if (row.patient, row.side) in seen:
            raise CohortError(f"One row per patient and side is needed, but row {number} repeats an earlier one.")
        seen.add((row.patient, row.side))
        if split_of.setdefault(row.patient, row.split) != row.split:
            raise CohortError(
                f"A patient belongs to one split, but row {number} puts a patient into {row.split or 'no split'!r} who "
                f"is in {split_of[row.patient] or 'no split'!r} above."
            )
        if group_of.setdefault(row.patient, row.group) != row.group:
            raise CohortError(f"A patient belongs to one group, but row {number} puts a patient into a second one.")
        if row.group and split_of_group.setdefault(row.group, row.split) != row.split:
            raise CohortError(
                f"A group of patients belongs to one split, but row {number} puts one into {row.split or 'no split'!r} "
                f"that is in {split_of_group[row.group] or 'no split'!r} above; see the column 'group'."
            )
    if not seen:
        raise CohortError("The cohort table has no rows.")
