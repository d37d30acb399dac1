"""How a table from elsewhere becomes a cohort table: a TOML or JSON file that names, per column of ours, its source."""

from __future__ import annotations

import datetime
import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from ..errors import CohortError, ConfigurationError
from .cells import parse_row
from .columns import CENTRE, COLUMNS, LABEL_CLASSES
from .table_file import Layout

DAYS_PER_MONTH: Final = 365.25 / 12
# What one of a unit is in the unit that ends the column's name.
UNITS: Final[Mapping[str, Mapping[str, float]]] = {
    "_mm": {"mm": 1.0, "cm": 10.0, "m": 1000.0, "in": 25.4},
    "_months": {"days": 1 / DAYS_PER_MONTH, "weeks": 7 / DAYS_PER_MONTH, "months": 1.0, "years": 12.0},
    "_years": {"days": 1 / 365.25, "weeks": 7 / 365.25, "months": 1 / 12, "years": 1.0},
}
_LARGEST_FILE = 1 << 20


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Source(_Part):
    """Where the cells of a column of ours come from: one of ``column``, ``constant``, or the dates ``from`` and ``to``.

    Attributes:
        column: Column of the foreign table.
        constant: The same cell in every row.
        start: Column (``from``) with the date that a time in months or years counts from.
        end: Column (``to``) with the date up to which it counts.
        dates: Format of both dates, as ``strptime`` has it.
        values: Our cell (or the name of the class) per foreign cell, whatever its case; other cells are refused.
        unit: Of the foreign numbers, where it is not ours.
    """

    column: str | None = None
    constant: str | None = None
    start: str | None = Field(default=None, alias="from")
    end: str | None = Field(default=None, alias="to")
    dates: str = "%Y-%m-%d"
    values: dict[str, str] | None = None
    unit: str | None = None

    @field_validator("constant", mode="before")
    @classmethod
    def _as_cell(cls, value: object) -> object:
        return _cell(value)

    @field_validator("values", mode="before")
    @classmethod
    def _as_cells(cls, value: object) -> object:
        return {str(k).strip(): _cell(v) for k, v in value.items()} if isinstance(value, dict) else value

    @field_validator("values")
    @classmethod
    def _once(cls, value: dict[str, str] | None) -> dict[str, str] | None:
        if len({value_key(key) for key in value or ()}) < len(value or ()):
            raise ValueError("two of the values are the same; capitals do not count, and 1.0 is 1")
        return value

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if [self.column, self.constant, self.start or self.end].count(None) != 2 or bool(self.start) != bool(self.end):
            raise ValueError("one source is needed: column, constant, or from and to")
        if self.column is None and (self.values is not None or self.unit is not None):
            raise ValueError("values and unit belong to a column")
        if self.values is not None and self.unit is not None:
            raise ValueError("give values or a unit, not both")
        return self

    @property
    def columns(self) -> tuple[str, ...]:
        """The foreign columns that are read."""
        return tuple(name for name in (self.column, self.start, self.end) if name is not None)


class Table(_Part):
    """How the foreign table is written; all but ``missing`` and ``centre_frame`` concern CSV files alone.

    Attributes:
        delimiter: Between two cells; by default a tab in ``.tsv`` and ``.txt`` files, else a comma.
        encoding: Of the text.
        comment: What lines above the header begin with that are to be skipped.
        decimal: Decimal mark of numbers.
        missing: Cells that mean "not known" in every column.
        centre_frame: Patient frame of the lesion centres: LPS (DICOM) or RAS (Slicer, NIfTI).
    """

    delimiter: str | None = Field(default=None, min_length=1, max_length=1)
    encoding: str = "utf-8-sig"
    comment: str = ""
    decimal: Literal[".", ","] = "."
    missing: tuple[str, ...] = ()
    centre_frame: Literal["LPS", "RAS"] = "LPS"

    @field_validator("missing", mode="before")
    @classmethod
    def _as_text(cls, value: object) -> object:
        return tuple(_cell(item) for item in value) if isinstance(value, list) else value

    @field_validator("encoding")
    @classmethod
    def _known(cls, value: str) -> str:
        try:
            "a".encode(value)
        except LookupError:
            raise ValueError(f"there is no encoding {value!r}") from None
        return value

    def layout(self, file: Path) -> Layout:
        """How a file of the table is read."""
        tabbed = file.suffix.lower() in (".tsv", ".txt")
        return Layout(self.delimiter or ("\t" if tabbed else ","), self.encoding, self.comment)


class TableMapping(_Part):
    """A whole mapping file."""

    table: Table = Table()
    columns: dict[str, Source] = Field(min_length=1)

    @field_validator("columns", mode="before")
    @classmethod
    def _short(cls, value: object) -> object:
        """A mere name stands for a column that is taken as it is."""
        if not isinstance(value, dict):
            return value
        return {name: {"column": item} if isinstance(item, str) else item for name, item in value.items()}

    @model_validator(mode="after")
    def _fits(self) -> Self:
        for needed in ("patient", "side"):
            if needed not in self.columns:
                raise ValueError(f"columns must say where {needed!r} comes from")
        for name, source in self.columns.items():
            if name not in COLUMNS:
                raise ValueError(f"a cohort table has no column {name!r}")
            _check_source(name, source)
        return self


def load_mapping(path: Path) -> TableMapping:
    """Read a mapping file: JSON by the name ``*.json``, else TOML.

    Raises:
        ConfigurationError: It is unreadable or no mapping; the message names the first place that does not fit.
    """
    try:
        return TableMapping.model_validate(_content(path))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "top level"
        raise ConfigurationError(f"{path.name}, {place}: {first['msg'].removeprefix('Value error, ')}.") from error


def value_key(cell: str) -> str:
    """What a foreign cell is compared by: whole numbers as such (1.0 is 1), words without their case."""
    value = number_of(cell)
    return str(int(value)) if value is not None and value.is_integer() else cell.casefold()


def number_of(cell: str) -> float | None:
    """The number that a cell holds, if it is one."""
    try:
        return float(cell)
    except ValueError:
        return None


def class_cell(name: str, cell: str) -> str:
    """The cell of a column of ours where a class was given by its words; any other cell as it is."""
    words = [item.casefold() for item in LABEL_CLASSES.get(name, ())]
    return str(words.index(cell.casefold())) if cell.casefold() in words else cell


def units_of(name: str) -> Mapping[str, float]:
    """Units in which the numbers of a column may come, each with what one of it is in ours; empty for other columns."""
    return next((units for ending, units in UNITS.items() if name.endswith(ending)), {})


def _content(path: Path) -> Any:
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise ConfigurationError(f"{path.name} is larger than {_LARGEST_FILE >> 20} MB and is not read.")
        text = path.read_text(encoding="utf-8")
        return json.loads(text) if path.suffix.lower() == ".json" else tomllib.loads(text)
    except OSError as error:
        raise ConfigurationError(f"The mapping {path.name} cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        kind = "JSON" if path.suffix.lower() == ".json" else "TOML"
        raise ConfigurationError(f"{path.name} is not valid {kind}: {error}.") from error


def _cell(value: object) -> object:
    """A number or truth value of the mapping file as a cell; anything else as it is."""
    if isinstance(value, bool | int | float):
        return str(int(value)) if float(value).is_integer() else repr(value)
    return value


def _check_source(name: str, source: Source) -> None:
    units = units_of(name)
    if source.unit is not None and source.unit not in units:
        raise ValueError(f"{name} comes in {', '.join(units) or 'no unit'}; {source.unit!r} was given")
    if source.start is not None:
        if "days" not in units:
            raise ValueError(f"{name} is no time in months or years; it cannot come from two dates")
        _check_dates(source.dates)
    targets = [] if source.constant is None else [source.constant]
    for cell in (*targets, *(source.values or {}).values()):
        others = [column for column in CENTRE if name in CENTRE]
        for end, other in (("_months", "_event"), ("_event", "_months")):
            others += [name.removesuffix(end) + other] if name.endswith(end) else []
        cells = {"patient": "p", "side": "left", **dict.fromkeys(others, "1"), name: class_cell(name, cell)}
        try:
            parse_row(cells, Path(), "columns")
        except CohortError as error:
            raise ValueError(str(error).removeprefix("columns: ").rstrip(".")) from error


def _check_dates(form: str) -> None:
    day = datetime.date(2001, 2, 3)
    try:
        complete = datetime.datetime.strptime(day.strftime(form), form).date() == day
    except ValueError:
        complete = False
    if not complete:
        raise ValueError(f"dates must hold year, month and day as strptime has them (%Y-%m-%d), found {form!r}")
