"""A table from elsewhere read as a cohort, as a mapping says."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ..errors import CohortError
from ..imaging.volume import lps_from_ras
from .cells import parse_row
from .columns import CENTRE, INTEGERS, NUMBERS
from .mapping import Source, Table, TableMapping, class_cell, number_of, units_of, value_key
from .rows import CohortRow, validate
from .table_file import Line, read_lines


@dataclass(frozen=True)
class ImportedCohort:
    """A foreign table as a cohort.

    Attributes:
        rows: Validated; relative paths are relative to the foreign table's folder.
        left_out: Columns of the foreign table that the mapping does not name.
    """

    rows: tuple[CohortRow, ...]
    left_out: tuple[str, ...]


def import_cohort(path: Path, mapping: TableMapping) -> ImportedCohort:
    """Read a foreign table (Parquet by the name ``*.parquet``, else CSV).

    Raises:
        CohortError: The file is unreadable, a column that the mapping names is missing or there twice, a cell is not
            what the mapping says, or as for :func:`table.read_cohort`. Messages name the line and column, never a cell.
        ConfigurationError: Parquet needs a package that is not installed.
    """
    columns, lines = read_lines(path, mapping.table.layout(path))
    _check_columns(path.name, columns, mapping)
    folder = path.resolve().parent
    rows = tuple(parse_row(_cells(line, mapping), folder, line.place, show=False) for line in lines)
    validate(rows)
    named = {name for source in mapping.columns.values() for name in source.columns}
    return ImportedCohort(rows, tuple(name for name in columns if name not in named))


def _check_columns(name: str, found: Sequence[str], mapping: TableMapping) -> None:
    for ours, source in mapping.columns.items():
        for column in source.columns:
            if found.count(column) > 1:
                raise CohortError(f"{name}: the column {column!r} is there {found.count(column)} times; keep one.")
            if column not in found:
                shown = ", ".join(found[:12]) or "nothing"
                raise CohortError(
                    f"{name}: the column {column!r}, which the mapping names for {ours!r}, is missing; found {shown}."
                )


def _cells(line: Line, mapping: TableMapping) -> dict[str, str]:
    cells = {name: _cell(name, source, line, mapping.table) for name, source in mapping.columns.items()}
    centre = [number_of(cells.get(name, "")) for name in CENTRE]
    if mapping.table.centre_frame == "RAS" and None not in centre:
        turned = lps_from_ras([float(value or 0.0) for value in centre])
        cells |= {name: repr(float(value)) for name, value in zip(CENTRE, turned, strict=True)}
    return cells


def _cell(name: str, source: Source, line: Line, table: Table) -> str:
    """The cell of a column of ours."""
    if source.constant is not None:
        return class_cell(name, source.constant)
    if source.start is not None and source.end is not None:
        return _elapsed(name, source.start, source.end, source.dates, line, table)
    if source.values is not None:
        return _translated(name, source, line, table)
    cell = line.cells[source.column or ""]
    if cell in table.missing:
        return ""
    if name in NUMBERS | INTEGERS:
        cell = cell.replace(table.decimal, ".")
    value = number_of(cell)
    if source.unit is not None and value is not None:
        return repr(value * units_of(name)[source.unit])
    return cell


def _elapsed(name: str, start: str, end: str, form: str, line: Line, table: Table) -> str:
    """The time between two dates in the unit of a column of ours; empty where one of them is missing."""
    if any(line.cells[column] in ("", *table.missing) for column in (start, end)):
        return ""
    days = (_date(end, form, line) - _date(start, form, line)).days
    if days < 0:
        raise CohortError(f"{line.place}: {end!r} lies before {start!r}.")
    return repr(days * units_of(name)["days"])


def _translated(name: str, source: Source, line: Line, table: Table) -> str:
    cell, values = line.cells[source.column or ""], source.values or {}
    known = {value_key(key): value for key, value in values.items()}
    # typed truth values arrive as 1 and 0
    truth = {"1": "true", "0": "false"}.get(cell, cell)
    for key in (value_key(cell), value_key(cell.replace(table.decimal, ".")), value_key(truth)):
        if key in known:
            return class_cell(name, known[key])
    if cell in ("", *table.missing):
        return ""
    raise CohortError(
        f"{line.place}: {source.column!r} holds a value that the mapping does not know for {name}; it knows "
        f"{', '.join(values)}."
    )


def _date(column: str, form: str, line: Line) -> datetime.date:
    day = _day(line.cells[column], form, line.typed)
    if day is None:
        raise CohortError(f"{line.place}: {column!r} holds no date of the form {form}.")
    if day > datetime.date.today():
        raise CohortError(f"{line.place}: {column!r} holds a date in the future.")
    return day


def _day(cell: str, form: str, typed: bool) -> datetime.date | None:
    """The day, or None; dates and times of a typed column arrive as ISO 8601, whatever the form of written ones."""
    with suppress(ValueError):
        return datetime.datetime.strptime(cell, form).date()
    with suppress(ValueError):
        return datetime.datetime.fromisoformat(cell).date() if typed else None
    return None
