"""The table of whole reports: one row per patient with findings and impression, as a CSV file."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError

REPORT_COLUMNS = ("patient", "findings", "impression")
_LARGEST_CELL = 1_000_000


@dataclass(frozen=True)
class WholeReport:
    """A patient's report of both kidneys, in whatever language.

    Attributes:
        patient: Pseudonym; it never leaves the table.
        findings, impression: Text, either may be empty.
    """

    patient: str
    findings: str
    impression: str

    @property
    def empty(self) -> bool:
        """Whether it has no text."""
        return not self.findings and not self.impression


def read_report_table(path: Path) -> tuple[WholeReport, ...]:
    """Read a table with the columns ``patient``, ``findings`` and ``impression``; others are refused.

    Raises:
        InputError: The file is unreadable, a column is missing or unknown, or a patient has two rows. The message names
            the line, never the patient.
    """
    csv.field_size_limit(max(csv.field_size_limit(), _LARGEST_CELL))
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, strict=True)
            if sorted(reader.fieldnames or ()) != sorted(REPORT_COLUMNS):
                raise InputError(
                    f"{path.name}: the columns {', '.join(REPORT_COLUMNS)} are wanted, found "
                    f"{', '.join((reader.fieldnames or ['nothing'])[:8])}."
                )
            return _rows(reader, path.name)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path.name} cannot be read as a table of reports (CSV, UTF-8): {error}.") from error


def _rows(reader: csv.DictReader[str], name: str) -> tuple[WholeReport, ...]:
    rows: dict[str, WholeReport] = {}
    for cells in reader:
        values = [(cells.get(column) or "").strip() for column in REPORT_COLUMNS]
        if None in cells or any(cells.get(column) is None for column in REPORT_COLUMNS):
            raise InputError(f"{name}, line {reader.line_num}: the number of cells differs from the number of columns.")
        if not values[0] or values[0] in rows:
            raise InputError(f"{name}, line {reader.line_num}: each patient needs one row and a pseudonym.")
        rows[values[0]] = WholeReport(*values)
    if not rows:
        raise InputError(f"{name} has no rows.")
    return tuple(rows.values())
