"""The tables that evaluation reads: predictions, generated reports, readings. Strict: one clear sentence per fault.

Messages name the line, never the patient.
"""

from __future__ import annotations

import csv
import math
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from ..cohort.table import ENDPOINTS, EVERY_TASK_CLASSES, SIDES, SPLITS
from ..errors import CohortError
from .predictions import Prediction

_PSEUDONYM = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
READING_TASKS = tuple(task for task, classes in EVERY_TASK_CLASSES.items() if len(classes) == 2)


@dataclass(frozen=True)
class GeneratedReport:
    """A report of one kidney that a model wrote.

    Attributes:
        patient: Pseudonym.
        side: ``left`` or ``right``.
        cohort: Name of the cohort.
        model: Name of the model.
        findings: Its text; may be empty.
        impression: Its text; may be empty.
    """

    patient: str
    side: str
    cohort: str
    model: str
    findings: str
    impression: str


@dataclass(frozen=True)
class Reading:
    """What one reader says about one lesion.

    Attributes:
        patient: Pseudonym.
        side: ``left`` or ``right``.
        cohort: Name of the cohort.
        reader: Pseudonym of the reader.
        task: A binary task, for instance ``malignancy``.
        with_model: Whether the reader saw the model's result.
        call: Whether the reader calls the lesion positive (malignant, aggressive).
        seconds: Time of reading, or None.
    """

    patient: str
    side: str
    cohort: str
    reader: str
    task: str
    with_model: bool
    call: bool
    seconds: float | None


def read_predictions(path: Path) -> list[Prediction]:
    """Read and check a predictions table.

    Raises:
        CohortError: The file is unreadable, its columns differ, a cell is malformed, a score is not finite, an output
            is not one of its task, an output occurs twice, or a lesion lacks an output of its task.
    """
    found: list[Prediction] = []
    seen: dict[tuple[object, ...], int] = {}
    outputs: dict[tuple[object, ...], set[str]] = defaultdict(set)
    for line in _lines(path, [field.name for field in fields(Prediction)]):
        item = _prediction(line)
        key = (item.cohort, item.patient, item.side, item.lesion, *_reader(item))
        first = seen.setdefault((*key, item.output), line.number)
        if first != line.number:
            raise line.fault(f"it repeats the output {item.output!r} of line {first} for the same lesion and model")
        outputs[key].add(item.output)
        found.append(item)
    lacking = next(((key, names) for key, names in outputs.items() if not _complete(str(key[4]), names)), None)
    if lacking is not None:
        key, names = lacking
        line_number = next(number for place, number in seen.items() if place[:-1] == key)
        gone = [name for name in EVERY_TASK_CLASSES[str(key[4])] if name not in names]
        raise CohortError(f"{path.name}, line {line_number}: the lesion lacks the output {gone[0]!r} of {key[4]}.")
    return found


def read_generated_reports(path: Path) -> list[GeneratedReport]:
    """Read and check a table of generated reports.

    Raises:
        CohortError: As for :func:`read_predictions`; a kidney has two reports of one model.
    """
    found: dict[tuple[str, ...], GeneratedReport] = {}
    for line in _lines(path, [field.name for field in fields(GeneratedReport)]):
        cells = line.cells
        item = GeneratedReport(
            line.pseudonym(), line.choice("side", SIDES), line.given("cohort"), line.given("model"),
            cells["findings"].strip(), cells["impression"].strip(),
        )  # fmt: skip
        key = (item.cohort, item.patient, item.side, item.model)
        if key in found:
            raise line.fault("the kidney has a report of this model above")
        found[key] = item
    return list(found.values())


def read_readings(path: Path) -> list[Reading]:
    """Read and check a table of readings.

    Raises:
        CohortError: As for :func:`read_predictions`; a reader reads a lesion twice in the same way.
    """
    found: dict[tuple[object, ...], Reading] = {}
    for line in _lines(path, [field.name for field in fields(Reading)]):
        item = Reading(
            line.pseudonym(), line.choice("side", SIDES), line.given("cohort"), line.given("reader"),
            line.choice("task", READING_TASKS), line.choice("with_model", ("0", "1")) == "1",
            line.choice("call", ("0", "1")) == "1", line.seconds(),
        )  # fmt: skip
        key = (item.cohort, item.patient, item.side, item.reader, item.task, item.with_model)
        if key in found:
            raise line.fault("this reader has read the lesion in this way above")
        found[key] = item
    return list(found.values())


def known_outputs(task: str) -> tuple[str, ...]:
    """Outputs that a task can have: its classes, or the endpoint itself; empty for an unknown task."""
    return EVERY_TASK_CLASSES.get(task, (task,) if task in ENDPOINTS else ())


@dataclass(frozen=True)
class _Line:
    """One line of a table."""

    cells: Mapping[str, str]
    file: str
    number: int

    def fault(self, words: str) -> CohortError:
        return CohortError(f"{self.file}, line {self.number}: {words}.")

    def pseudonym(self) -> str:
        if not _PSEUDONYM.fullmatch(self.cells["patient"]):
            raise self.fault("patient must be 1 to 64 letters, digits, '.', '_' or '-'")
        return self.cells["patient"]

    def given(self, name: str) -> str:
        if not self.cells[name]:
            raise self.fault(f"{name} is empty")
        return self.cells[name]

    def choice(self, name: str, options: Sequence[str]) -> str:
        if self.cells[name] not in options:
            raise self.fault(f"{name} must be {_either(options)}, found {self.cells[name]!r}")
        return self.cells[name]

    def finite(self, name: str) -> float:
        try:
            value = float(self.cells[name])
        except ValueError:
            raise self.fault(f"{name} must be a number, found {self.cells[name]!r}") from None
        if not math.isfinite(value):
            raise self.fault(f"{name} must be finite, found {self.cells[name]!r}")
        return value

    def seconds(self) -> float | None:
        if not self.cells["seconds"]:
            return None
        value = self.finite("seconds")
        if value < 0:
            raise self.fault("seconds must not be negative")
        return value

    def fraction(self) -> float:
        value = self.finite("training_fraction")
        if not 0 < value <= 1:
            raise self.fault("training_fraction must be above 0 and at most 1")
        return value

    def seed(self) -> int:
        value = self.finite("seed")
        if value != int(value) or value < 0:
            raise self.fault("seed must be an integer from 0")
        return int(value)


def _prediction(line: _Line) -> Prediction:
    task = line.given("task")
    outputs = known_outputs(task)
    if not outputs:
        raise line.fault(f"there is no task {task!r}; known are {', '.join((*EVERY_TASK_CLASSES, *ENDPOINTS))}")
    return Prediction(
        line.pseudonym(), line.choice("side", SIDES), line.given("lesion"), line.given("cohort"),
        line.choice("split", SPLITS), task, line.given("model"), line.given("phases"), line.fraction(), line.seed(),
        line.choice("output", outputs), line.finite("score"),
    )  # fmt: skip


def _reader(item: Prediction) -> tuple[object, ...]:
    return (item.task, item.model, item.phases, item.training_fraction, item.seed)


def _complete(task: str, names: set[str]) -> bool:
    """All classes are there; of two the second is enough."""
    classes = known_outputs(task)
    return names == set(classes) or (len(classes) == 2 and names == {classes[1]})


def _lines(path: Path, columns: Sequence[str]) -> Iterator[_Line]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, strict=True)
            _check_columns(path.name, reader.fieldnames, columns)
            empty = True
            for cells in reader:
                if None in cells or any(value is None for value in cells.values()):
                    raise CohortError(
                        f"{path.name}, line {reader.line_num}: the number of cells differs from the number of columns."
                    )
                empty = False
                yield _Line({name: value.strip() for name, value in cells.items()}, path.name, reader.line_num)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CohortError(f"{path.name} cannot be read as a table (CSV, UTF-8): {error}.") from error
    if empty:
        raise CohortError(f"{path.name} has no rows.")


def _check_columns(name: str, found: Sequence[str] | None, columns: Sequence[str]) -> None:
    present = list(found or ())
    missing = [column for column in columns if column not in present]
    if missing:
        raise CohortError(f"{name}: the column {missing[0]!r} is missing; needed are {', '.join(columns)}.")
    odd = [column for column in present if column not in columns or present.count(column) > 1]
    if odd:
        raise CohortError(f"{name}: unknown or repeated column {odd[0]!r}; known are {', '.join(columns)}.")


def _either(options: Sequence[str]) -> str:
    return options[0] if len(options) == 1 else f"{', '.join(options[:-1])} or {options[-1]}"
