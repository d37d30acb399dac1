"""Rows of a cohort to and from the text cells of a table."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import CohortError
from ..text.questionnaire import questionnaire
from . import clinical
from .clinical import APPEARANCES, SEXES, Clinical
from .columns import (
    ATTRIBUTE_COLUMNS,
    CENTRE,
    ENDPOINTS,
    LABEL_CLASSES,
    ORACLE_COLUMNS,
    SIDES,
    SPLITS,
    TRUE_ATTRIBUTE_COLUMNS,
    VOLUMES,
)
from .rows import CohortRow, FollowUp

# Longer than anyone lives; what is beyond was computed from an impossible date.
_MOST_MONTHS, _MOST_YEARS = 1500.0, 125.0
_DATE = re.compile(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}")
_SHORT_NUMBER = re.compile(r"[-+]?(?=[\d.]{1,5}$)\d*\.?\d+|nan|inf", re.IGNORECASE)
_PSEUDONYM = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def parse_row(cells: Mapping[str, str], folder: Path, place: str, *, show: bool = True) -> CohortRow:
    """The row that a line of a table says.

    Args:
        cells: Cell per column, without surrounding blanks; columns that are not there are empty.
        folder: What relative paths are relative to.
        place: Of the line, for messages.
        show: Whether messages quote a cell that is refused; those that may name a patient never are.

    Raises:
        CohortError: A cell is malformed.
    """
    row = _Cells(cells, place, show)
    return CohortRow(
        patient=row.matching("patient", _PSEUDONYM),
        side=row.choice("side", SIDES),
        site=row.text("site"),
        split=row.choice("split", ("", *SPLITS)),
        group=row.matching("group", _PSEUDONYM) if row.text("group") else "",
        licence=row.text("licence"),
        centre_lps_mm=row.centre(),
        volumes={phase: path for phase, name in VOLUMES.items() if (path := row.path(name, folder))},
        label_map=row.path("label_map", folder),
        labels={task: v for task, k in LABEL_CLASSES.items() if (v := row.integer(task, 0, len(k) - 1)) is not None},
        histology=row.text("histology"),
        stage=row.text("stage"),
        grade=row.integer("grade", 1, 4),
        diameter_mm=row.number("diameter_mm", positive=True),
        clinical=row.clinical(),
        follow_up={name: seen for name in ENDPOINTS if (seen := row.follow_up(name)) is not None},
        findings=row.text("findings"),
        impression=row.text("impression"),
        attributes=row.options(ATTRIBUTE_COLUMNS),
        true_attributes=row.options(TRUE_ATTRIBUTE_COLUMNS),
        oracle={name[7:]: value for name in ORACLE_COLUMNS if (value := row.number(name)) is not None},
    )


@dataclass(frozen=True)
class _Cells:
    """One line of a table, its place and whether its cells are quoted, for messages."""

    cells: Mapping[str, str]
    place: str
    show: bool

    def text(self, name: str) -> str:
        return self.cells.get(name, "")

    def fail(self, name: str, wanted: str) -> CohortError:
        # what may name a patient must not reach a log, also where columns have been shifted: only short numbers do
        cell = self.text(name)
        shown = "a date" if _DATE.search(cell) else cell if _SHORT_NUMBER.fullmatch(cell) else ""
        found = f", found {shown}" if self.show and shown and name not in ("patient", "group") else ""
        return CohortError(f"{self.place}: {name} must be {wanted}{found}.")

    def matching(self, name: str, pattern: re.Pattern[str]) -> str:
        if not pattern.fullmatch(self.text(name)):
            raise self.fail(name, "1 to 64 letters, digits, '.', '_' or '-'")
        return self.text(name)

    def choice(self, name: str, options: Sequence[str]) -> str:
        if self.text(name) not in options:
            raise self.fail(name, " or ".join(option or "empty" for option in options))
        return self.text(name)

    def number(self, name: str, *, positive: bool = False, most: float = math.inf) -> float | None:
        """The number of a cell, or None where it is empty."""
        if not self.text(name):
            return None
        try:
            value = float(self.text(name))
        except ValueError as error:
            raise self.fail(name, "a number") from error
        if not math.isfinite(value) or (positive and value <= 0):
            raise self.fail(name, "a finite number above 0" if positive else "a finite number")
        if value > most:
            raise self.fail(name, f"at most {most:g}")
        return value

    def integer(self, name: str, low: int, high: int) -> int | None:
        value = self.number(name)
        if value is None:
            return None
        if value != int(value) or not low <= value <= high:
            raise self.fail(name, f"an integer from {low} to {high}, or empty")
        return int(value)

    def options(self, names: Sequence[str]) -> tuple[int | None, ...]:
        counts = questionnaire().class_counts
        return tuple(self.integer(name, 0, count - 1) for name, count in zip(names, counts, strict=True))

    def path(self, name: str, folder: Path) -> Path | None:
        return folder / self.text(name) if self.text(name) else None

    def centre(self) -> tuple[float, float, float] | None:
        values = [self.number(name) for name in CENTRE]
        if all(value is None for value in values):
            return None
        x, y, z = values
        if x is None or y is None or z is None:
            raise self.fail(CENTRE[values.index(None)], "given when another coordinate of the centre is")
        return (x, y, z)

    def mark(self, name: str) -> bool | None:
        value = self.integer(name, 0, 1)
        return None if value is None else bool(value)

    def clinical(self) -> Clinical:
        """Age in years, sex and what else is known of the patient."""
        age = self.number("age_years", most=_MOST_YEARS)
        if age is not None and age < 0:  # infants are in their year 0
            raise self.fail("age_years", "a number from 0")
        return Clinical(
            age_years=age,
            sex=self.choice("sex", ("", *SEXES)),
            race=self.text("race"),
            appearance=self.choice("appearance", ("", *APPEARANCES)),
            coagulative_necrosis=self.mark("coagulative_necrosis"),
            sarcomatoid=self.mark("sarcomatoid"),
        )

    def follow_up(self, name: str) -> FollowUp | None:
        months = self.number(f"{name}_months", positive=True, most=_MOST_MONTHS)
        event = self.integer(f"{name}_event", 0, 1)
        if (months is None) != (event is None):
            raise self.fail(f"{name}_months", f"given together with {name}_event, or both empty")
        return None if months is None or event is None else FollowUp(months, bool(event))


def format_row(row: CohortRow, folder: Path) -> dict[str, str]:
    """The cells of a row that are not empty, by column; paths below ``folder`` relative to it."""
    cells = {"patient": row.patient, "site": row.site, "split": row.split, "side": row.side}
    cells |= {"group": row.group, "licence": row.licence}
    cells |= {"histology": row.histology, "stage": row.stage, "findings": row.findings, "impression": row.impression}
    cells |= {name: _number(row.centre_lps_mm[axis]) for axis, name in enumerate(CENTRE) if row.centre_lps_mm}
    cells |= {VOLUMES[phase]: _relative(path, folder) for phase, path in row.volumes.items()}
    cells |= {"label_map": _relative(row.label_map, folder)} if row.label_map else {}
    cells |= {task: str(value) for task, value in row.labels.items()}
    cells |= {"grade": str(row.grade)} if row.grade is not None else {}
    cells |= {"diameter_mm": _number(row.diameter_mm)} if row.diameter_mm is not None else {}
    cells |= clinical.format_clinical(row.clinical)
    for name, value in row.follow_up.items():
        cells |= {f"{name}_months": _number(value.months), f"{name}_event": str(int(value.event))}
    answers = ((ATTRIBUTE_COLUMNS, row.attributes), (TRUE_ATTRIBUTE_COLUMNS, row.true_attributes))
    for names, values in answers:
        cells |= {name: str(v) for name, v in zip(names, values, strict=True) if v is not None}
    return cells | {f"oracle_{task}": _number(value) for task, value in row.oracle.items()}


def _number(value: float) -> str:
    return repr(float(value))


def _relative(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.as_posix()
