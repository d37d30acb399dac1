"""Reports and their answers in cohort tables: rows from parted reports, answers into rows, both into a cohort."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from ..errors import CohortError
from ..output import write_text
from ..text.partition import SIDES, SideText
from ..text.processing import Outcome, Status
from .table import CohortRow

OUTCOME_COLUMNS = ("patient", "side", "status", "message")


def side_text(row: CohortRow) -> SideText:
    """The report text of a row."""
    return SideText(row.findings, row.impression)


def kidney_rows(patient: str, sides: dict[str, SideText]) -> list[CohortRow]:
    """A row per kidney of one parted report; a side without text gets an empty report."""
    return [
        CohortRow(patient, side, findings=sides[side].findings, impression=sides[side].impression) for side in SIDES
    ]


def attach_reports(cohort: Sequence[CohortRow], reports: Iterable[CohortRow]) -> tuple[list[CohortRow], int]:
    """Put text and answers of reports into the rows of the same patient and side.

    Args:
        cohort: Rows to complete; every other column stays.
        reports: Rows with findings, impression and attributes.

    Returns:
        The rows, and how many of them found a report.

    Raises:
        CohortError: None did.
    """
    found = {(row.patient, row.side): row for row in reports}
    rows, count = [], 0
    for row in cohort:
        report = found.get((row.patient, row.side))
        count += report is not None
        rows.append(
            row
            if report is None
            else replace(row, findings=report.findings, impression=report.impression, attributes=report.attributes)
        )
    if count == 0:
        raise CohortError("No patient and side of the reports is in the cohort; both tables need the same pseudonyms.")
    return rows, count


def write_outcomes(path: Path, outcomes: Iterable[tuple[str, str, Outcome[object]]]) -> None:
    """Write what became of each report: patient, side (empty for both), status, message."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(OUTCOME_COLUMNS)
    writer.writerows((patient, side, outcome.status.value, outcome.message) for patient, side, outcome in outcomes)
    write_text(path, file.getvalue())


def summary(outcomes: Iterable[Outcome[object]]) -> str:
    """How many reports fared how, in words."""
    counts: dict[Status, int] = dict.fromkeys(Status, 0)
    for outcome in outcomes:
        counts[outcome.status] += 1
    return ", ".join(f"{count} {status.value}" for status, count in counts.items() if count)
