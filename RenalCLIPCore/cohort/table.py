"""The cohort table: one row per patient and kidney, as a validated CSV file.

========================= ========================================================= =====================
column                    meaning                                                   empty cell
========================= ========================================================= =====================
patient                   pseudonym of the patient                                  refused
site                      institution                                               unknown
split                     ``training``, ``validation`` or ``test``                  not assigned yet
group                     patients who must stay in one split, for instance of one  a group of one's own
                          family, or phantoms painted onto one mask
licence                   terms of others that the images are under; a bundle that  none
                          is learnt from them carries the words
side                      ``left`` or ``right`` kidney of the patient               refused
centre_x_lps_mm, _y_, _z_ lesion centre, LPS patient coordinates in millimetres     no centre (all three)
volume_n, _a, _v, _d      volume file per phase, relative to the table's folder     phase not acquired
label_map                 label map (kidney 1, tumour 2, cyst 3)                    none
renal_r ... renal_l       R.E.N.A.L. class (see :data:`TASK_CLASSES`), 0, 1 or 2    not known
renal_h                   suffix h: 1 touches the main renal vessels, else 0        not known
malignancy                0 benign, 1 malignant                                     not known
aggressiveness            0 indolent, 1 aggressive                                  indeterminate
density ... calcification what is seen of the lesion (see :data:`DESCRIPTOR_CLASSES`)     not described
histology, stage          words, for instance ``clear cell RCC``, ``pT1a``          not known
grade                     WHO/ISUP grade, 1 to 4                                    not graded
diameter_mm               largest diameter of the lesion in millimetres             not known
age_years, sex, race      of the patient; sex is ``female`` or ``male``             not known
appearance                ``solid`` or ``cystic`` lesion                            not known
coagulative_necrosis      1 found by pathology, else 0; the same ``sarcomatoid``    not known
rfs_months, rfs_event     follow-up in months (> 0) and 1 event / 0 censored;       no follow-up (both)
                          the same for ``dss`` and ``os``
findings, impression      report text of this kidney                                no report
attribute_01 ... _14      what the report says: option of each of the 14 questions  "don't know"
                          (:mod:`RenalCLIPCore.text.questionnaire`), 0 upwards
true_attribute_01 ... _14 phantoms: the same, as it truly is                        not a phantom
oracle_<task>             phantoms: score of an observer who knows every hidden     not a phantom
                          attribute (probability, or log relative hazard for rfs)
========================= ========================================================= =====================

Only ``patient`` and ``side`` must be there as columns; every other column may be left out. Unknown columns are refused.
"""

from __future__ import annotations

import csv
import math
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ..errors import CohortError
from ..imaging.study import Phase
from ..text.questionnaire import QUESTIONS, questionnaire
from . import clinical
from .clinical import APPEARANCES, SEXES, Clinical

TASK_CLASSES: Final[Mapping[str, tuple[str, ...]]] = {
    "renal_r": ("<=4 cm", ">4 to <7 cm", ">=7 cm"),
    "renal_e": (">=50 % exophytic", "<50 % exophytic", "entirely endophytic"),
    "renal_n": (">=7 mm", ">4 to <7 mm", "<=4 mm"),
    "renal_a": ("anterior", "posterior", "neither"),
    "renal_l": (
        "outside the polar lines",
        "crosses a polar line",
        "over half across, between the lines or across the midline",
    ),
    "malignancy": ("benign", "malignant"),
    "aggressiveness": ("indolent", "aggressive"),
}
# The suffix of the R.E.N.A.L. score, which most tables do not label.
SUFFIX_CLASSES: Final[Mapping[str, tuple[str, ...]]] = {"renal_h": ("not hilar", "hilar")}
EVERY_TASK_CLASSES: Final[Mapping[str, tuple[str, ...]]] = {**TASK_CLASSES, **SUFFIX_CLASSES}
# What a reader sees of the lesion. Native density below 25, 25 to 40, above 40 HU; enhancement above native below 20,
# 50, 90 HU (delayed: 30, 55); texture by its standard deviation below 8, 13, 20 HU; share of necrosis below 3, 12 %, of
# fat below 10 %.
DESCRIPTOR_CLASSES: Final[Mapping[str, tuple[str, ...]]] = {
    "density": ("hypodense", "isodense", "hyperdense"),
    "arterial_enhancement": ("none", "mild", "moderate", "avid"),
    "venous_enhancement": ("none", "mild", "moderate", "avid"),
    "delayed_enhancement": ("none or mild", "moderate", "marked"),
    "texture": ("homogeneous", "slightly heterogeneous", "heterogeneous", "very heterogeneous"),
    "necrosis": ("none", "partial", "extensive"),
    "fat": ("none", "macroscopic"),
    "margin": ("smooth", "lobulated", "irregular"),
    "calcification": ("none", "present"),
}
LABEL_CLASSES: Final[Mapping[str, tuple[str, ...]]] = {**EVERY_TASK_CLASSES, **DESCRIPTOR_CLASSES}
ENDPOINTS: Final = ("rfs", "dss", "os")
SPLITS: Final = ("training", "validation", "test")
SIDES: Final = ("left", "right")
ATTRIBUTES: Final = QUESTIONS

_CENTRE = ("centre_x_lps_mm", "centre_y_lps_mm", "centre_z_lps_mm")
_VOLUMES = {phase: f"volume_{phase.value.lower()}" for phase in Phase}
_ATTRIBUTES = tuple(f"attribute_{number:02d}" for number in range(1, ATTRIBUTES + 1))
_TRUE_ATTRIBUTES = tuple(f"true_{name}" for name in _ATTRIBUTES)
_ORACLE = tuple(f"oracle_{task}" for task in (*TASK_CLASSES, "rfs"))
COLUMNS: Final = (
    "patient",
    "site",
    "split",
    "group",
    "licence",
    "side",
    *_CENTRE,
    *_VOLUMES.values(),
    "label_map",
    *LABEL_CLASSES,
    "histology",
    "stage",
    "grade",
    "diameter_mm",
    *clinical.COLUMNS,
    *(f"{name}_{part}" for name in ENDPOINTS for part in ("months", "event")),
    "findings",
    "impression",
    *_ATTRIBUTES,
    *_TRUE_ATTRIBUTES,
    *_ORACLE,
)
# Longer than anyone lives; what is beyond was computed from an impossible date.
_MOST_MONTHS, _MOST_YEARS = 1500.0, 125.0
_DATE = re.compile(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}")
_PSEUDONYM = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


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


def read_cohort(path: Path) -> tuple[CohortRow, ...]:
    """Read and validate a cohort table; paths come out absolute.

    Raises:
        CohortError: The file is unreadable, a column is missing or unknown, a cell is malformed, a patient and side
            occur twice, or a patient or group stands in two splits. The message names the line, never the patient.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, strict=True)
            _check_columns(path.name, reader.fieldnames)
            folder = path.resolve().parent
            rows = [_parse(cells, folder, f"{path.name}, line {reader.line_num}") for cells in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CohortError(f"{path.name} cannot be read as a cohort table (CSV, UTF-8): {error}.") from error
    validate(rows)
    return tuple(rows)


def write_cohort_table(rows: Sequence[CohortRow], path: Path) -> None:
    """Write a cohort table by atomic rename; paths below the table's folder are written relative to it.

    Raises:
        CohortError: As for :func:`validate`.
    """
    validate(rows)
    folder = path.resolve().parent
    cells = [_format(row, folder) for row in rows]
    always = {"patient", "site", "split", "side", *_CENTRE, *_VOLUMES.values()}
    columns = [name for name in COLUMNS if name in always or any(item.get(name) for item in cells)]
    partial = path.with_name(f".partial-{path.name}")
    with partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(cells)
    os.replace(partial, path)


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


def _check_columns(name: str, found: Sequence[str] | None) -> None:
    columns = list(found or ())
    missing = [column for column in ("patient", "side") if column not in columns]
    unknown = [column for column in columns if column not in COLUMNS]
    if missing:
        raise CohortError(f"{name}: the column {missing[0]!r} is missing; found {', '.join(columns[:8]) or 'nothing'}.")
    if unknown or len(set(columns)) != len(columns):
        raise CohortError(
            f"{name}: unknown or repeated column {(unknown or columns)[0]!r}; see the documented columns."
        )


def _parse(cells: Mapping[str | None, str | None], folder: Path, place: str) -> CohortRow:
    if None in cells or any(value is None for value in cells.values()):
        raise CohortError(f"{place}: the number of cells differs from the number of columns.")
    row = _Cells({str(key): (value or "").strip() for key, value in cells.items()}, place)
    return CohortRow(
        patient=row.matching("patient", _PSEUDONYM),
        side=row.choice("side", SIDES),
        site=row.text("site"),
        split=row.choice("split", ("", *SPLITS)),
        group=row.matching("group", _PSEUDONYM) if row.text("group") else "",
        licence=row.text("licence"),
        centre_lps_mm=row.centre(),
        volumes={phase: path for phase, name in _VOLUMES.items() if (path := row.path(name, folder))},
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
        attributes=row.options(_ATTRIBUTES),
        true_attributes=row.options(_TRUE_ATTRIBUTES),
        oracle={name[7:]: value for name in _ORACLE if (value := row.number(name)) is not None},
    )


@dataclass(frozen=True)
class _Cells:
    """One line of the file and its place, for messages."""

    cells: Mapping[str, str]
    place: str

    def text(self, name: str) -> str:
        return self.cells.get(name, "")

    def fail(self, name: str, wanted: str) -> CohortError:
        # The content of identifying cells must not reach a log.
        shown = "a date" if _DATE.search(self.text(name)) else repr(self.text(name))
        found = "" if name in ("patient", "group") else f", found {shown}"
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
        values = [self.number(name) for name in _CENTRE]
        if all(value is None for value in values):
            return None
        x, y, z = values
        if x is None or y is None or z is None:
            raise self.fail(_CENTRE[values.index(None)], "given when another coordinate of the centre is")
        return (x, y, z)

    def mark(self, name: str) -> bool | None:
        value = self.integer(name, 0, 1)
        return None if value is None else bool(value)

    def clinical(self) -> Clinical:
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


def _format(row: CohortRow, folder: Path) -> dict[str, str]:
    cells = {"patient": row.patient, "site": row.site, "split": row.split, "side": row.side}
    cells |= {"group": row.group, "licence": row.licence}
    cells |= {"histology": row.histology, "stage": row.stage, "findings": row.findings, "impression": row.impression}
    cells |= {name: _number(row.centre_lps_mm[axis]) for axis, name in enumerate(_CENTRE) if row.centre_lps_mm}
    cells |= {_VOLUMES[phase]: _relative(path, folder) for phase, path in row.volumes.items()}
    cells |= {"label_map": _relative(row.label_map, folder)} if row.label_map else {}
    cells |= {task: str(value) for task, value in row.labels.items()}
    cells |= {"grade": str(row.grade)} if row.grade is not None else {}
    cells |= {"diameter_mm": _number(row.diameter_mm)} if row.diameter_mm is not None else {}
    cells |= clinical.format_clinical(row.clinical)
    for name, value in row.follow_up.items():
        cells |= {f"{name}_months": _number(value.months), f"{name}_event": str(int(value.event))}
    answers = ((_ATTRIBUTES, row.attributes), (_TRUE_ATTRIBUTES, row.true_attributes))
    for names, values in answers:
        cells |= {name: str(v) for name, v in zip(names, values, strict=True) if v is not None}
    return cells | {f"oracle_{task}": _number(value) for task, value in row.oracle.items()}


def _number(value: float) -> str:
    return repr(float(value))


def _relative(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.as_posix()
