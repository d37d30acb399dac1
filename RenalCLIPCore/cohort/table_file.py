"""Files of tables as lines of text cells: CSV by default, Parquet where the file's name says so."""

from __future__ import annotations

import csv
import datetime
import decimal
import itertools
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TextIO

from ..errors import CohortError, ConfigurationError
from .columns import INTEGERS, NUMBERS

PARQUET: Final = ".parquet"
_LARGEST_CELL = 1_000_000


@dataclass(frozen=True)
class Line:
    """One line of a table: its place, for messages, and a cell without surrounding blanks per column.

    ``typed``: whether columns had types, so that dates are written by ISO 8601.
    """

    place: str
    cells: Mapping[str, str]
    typed: bool = False


@dataclass(frozen=True)
class Layout:
    """How a CSV file is written.

    Attributes:
        delimiter: Between two cells.
        encoding: Of the text.
        comment: What lines above the header begin with that are no part of the table; empty for none.
    """

    delimiter: str = ","
    encoding: str = "utf-8-sig"
    comment: str = ""


HOUSE: Final = Layout()


def read_lines(path: Path, layout: Layout = HOUSE) -> tuple[list[str], list[Line]]:
    """The columns and lines of a table.

    In Parquet, null and NaN are empty cells, truth values 1 and 0, whole numbers written without a fraction, and dates
    ISO 8601.

    Raises:
        CohortError: The file is unreadable, a line is longer or shorter than the header, or a cell is neither text,
            number nor date.
        ConfigurationError: Parquet needs a package that is not installed.
    """
    return _read_parquet(path) if path.suffix.lower() == PARQUET else _read_csv(path, layout)


def write_lines(columns: Sequence[str], lines: Sequence[Mapping[str, str]], path: Path) -> None:
    """Write a cohort table's cells by atomic rename; cells that a line lacks are empty (null in Parquet).

    Raises:
        ConfigurationError: Parquet needs a package that is not installed.
    """
    partial = path.with_name(f".partial-{path.name}")
    try:
        if path.suffix.lower() == PARQUET:
            _write_parquet(columns, lines, partial)
        else:
            with partial.open("w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, columns, extrasaction="ignore", lineterminator="\n")
                writer.writeheader()
                writer.writerows(lines)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _read_csv(path: Path, layout: Layout) -> tuple[list[str], list[Line]]:
    csv.field_size_limit(max(csv.field_size_limit(), _LARGEST_CELL))
    try:
        with path.open(newline="", encoding=layout.encoding) as file:
            text, above = _below_comments(file, layout.comment)
            reader = csv.DictReader(text, strict=True, delimiter=layout.delimiter)
            columns = list(reader.fieldnames or ())
            lines = [_csv_line(cells, f"{path.name}, line {above + reader.line_num}") for cells in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise CohortError(f"{path.name} cannot be read as a table (CSV, {_words(layout)}): {why}.") from error
    return columns, lines


def _words(layout: Layout) -> str:
    return "UTF-8" if layout.encoding == HOUSE.encoding else layout.encoding


def _below_comments(file: TextIO, comment: str) -> tuple[Iterator[str], int]:
    """The lines from the header on, and how many are above it."""
    above = 0
    for line in file:
        if not comment or not line.startswith(comment):
            return itertools.chain([line], file), above
        above += 1
    return iter(()), above


def _csv_line(cells: Mapping[str | None, str | None], place: str) -> Line:
    if None in cells or any(value is None for value in cells.values()):
        raise CohortError(f"{place}: the number of cells differs from the number of columns.")
    return Line(place, {str(key): (value or "").strip() for key, value in cells.items()})


def _read_parquet(path: Path) -> tuple[list[str], list[Line]]:
    pyarrow, parquet = _pyarrow()
    try:
        with parquet.ParquetFile(path) as file:
            table = file.read()
        columns = list(table.column_names)
        values = [table.column(number).to_pylist() for number in range(len(columns))]
    except (OSError, ValueError, pyarrow.ArrowException) as error:
        why = f": {error.strerror}" if isinstance(error, OSError) and error.strerror else ""
        raise CohortError(f"{path.name} cannot be read as a table (Parquet){why}.") from error
    lines = []
    for number, row in enumerate(zip(*values, strict=True), 1):
        place = f"{path.name}, row {number}"
        lines.append(Line(place, {name: _text(v, name, place) for name, v in zip(columns, row, strict=True)}, True))
    return columns, lines


def _text(value: Any, name: str, place: str) -> str:
    match value:
        case None:
            return ""
        case str():
            return value.strip()
        case bool():
            return str(int(value))
        case float():
            return "" if math.isnan(value) else str(int(value)) if value.is_integer() else repr(value)
        case int() | decimal.Decimal():
            return str(value)
        case datetime.datetime():
            return (value if value.time() != datetime.time() else value.date()).isoformat()
        case datetime.date():
            return value.isoformat()
        case _:
            raise CohortError(f"{place}: {name} holds neither text, a number nor a date.")


def _write_parquet(columns: Sequence[str], lines: Sequence[Mapping[str, str]], path: Path) -> None:
    pyarrow, parquet = _pyarrow()
    arrays = {}
    for name in columns:
        found = [line.get(name) or None for line in lines]
        if name in INTEGERS:
            arrays[name] = pyarrow.array([None if v is None else int(v) for v in found], pyarrow.int64())
        elif name in NUMBERS:
            arrays[name] = pyarrow.array([None if v is None else float(v) for v in found], pyarrow.float64())
        else:
            arrays[name] = pyarrow.array(found, pyarrow.string())
    parquet.write_table(pyarrow.table(arrays), path)


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise ConfigurationError(
            'Parquet needs the package pyarrow: pip install "renalclip[parquet]"; or give the table as CSV.'
        ) from None
    return pyarrow, pyarrow.parquet
