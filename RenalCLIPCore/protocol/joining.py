"""Predictions joined to the rows of their cohorts by patient and side, never by order; mismatches are refused."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ..cohort.table import ENDPOINTS, EVERY_TASK_CLASSES, CohortRow
from ..errors import CohortError
from .prediction_table import GeneratedReport, Reading
from .predictions import ALL_PHASES, ONE_PHASE, Prediction

Array = npt.NDArray[np.float64]
Cohorts = Mapping[str, Sequence[CohortRow]]

PRIMARY_LESION = "L1"
PHASE_SETTINGS = ("N", "A", "V", "NA", "NV", "AV", "NAV", "NAVD", ONE_PHASE, ALL_PHASES)  # order in tables
RISK_TASK = "rfs"  # its score is evaluated on every endpoint


class ModelKey(NamedTuple):
    """A model as trained and applied."""

    model: str
    phases: str
    fraction: float
    seed: int


@dataclass(frozen=True, eq=False)
class ModelScores:
    """What one model says of one task's cases in one cohort and split.

    Attributes:
        cohort: Name of the cohort.
        split: ``training``, ``validation`` or ``test``.
        task: For instance ``malignancy``.
        key: The model.
        rows: The cases, in the order of the cohort table.
        values: (n, K) scores of the classes (of two classes the second alone may be there), or (n, 1) log hazards.
    """

    cohort: str
    split: str
    task: str
    key: ModelKey
    rows: tuple[CohortRow, ...]
    values: Array

    @property
    def case_ids(self) -> tuple[str, ...]:
        """Names of the cases, unique over cohorts."""
        return tuple(f"{self.cohort}/{row.case_id}" for row in self.rows)

    @property
    def patients(self) -> tuple[str, ...]:
        """Patient of each case."""
        return tuple(f"{self.cohort}/{row.patient}" for row in self.rows)

    @property
    def score(self) -> Array:
        """(n,) score of the second of two classes, or log hazard."""
        return self.values[:, -1]

    def only(self, keep: Callable[[CohortRow], bool]) -> ModelScores:
        """The cases of which something holds."""
        chosen = [keep(row) for row in self.rows]
        rows = tuple(row for row, kept in zip(self.rows, chosen, strict=True) if kept)
        return replace(self, rows=rows, values=self.values[np.array(chosen, dtype=bool)])

    def labelled(self, task: str = "") -> ModelScores:
        """The cases with a label of the task, or, of an endpoint, the malignant ones with follow-up."""
        return self.only(lambda row: is_labelled(task or self.task, row))


def is_labelled(task: str, row: CohortRow) -> bool:
    """Whether a case counts for a task; survival is a matter of malignant lesions (paper, 4.4.8)."""
    if task in EVERY_TASK_CLASSES:
        return task in row.labels
    return task in row.follow_up and row.labels.get("malignancy") == 1


def join_predictions(predictions: Sequence[Prediction], cohorts: Cohorts) -> list[ModelScores]:
    """Put the scores of primary lesions beside the rows of their cohorts.

    Args:
        predictions: Of one or more tables; read by :func:`.prediction_table.read_predictions`.
        cohorts: Rows by name of the cohort.

    Raises:
        CohortError: A cohort is not given, a prediction is of no row of it or of another split than the row, or two
            tables predict the same.
    """
    places = _places(cohorts)
    groups: dict[tuple[str, str, str, ModelKey], dict[int, dict[str, float]]] = defaultdict(dict)
    for item in predictions:
        if item.lesion != PRIMARY_LESION:
            continue
        place = _place(places, item.cohort, item.patient, item.side, "prediction")
        row = cohorts[item.cohort][place]
        if row.split and row.split != item.split:
            raise CohortError(
                f"A prediction of the cohort {item.cohort!r} is of the split {item.split!r}, but its row is of the "
                f"split {row.split!r}; predictions and table do not belong together."
            )
        key = ModelKey(item.model, item.phases, item.training_fraction, item.seed)
        outputs = groups[item.cohort, item.split, item.task, key].setdefault(place, {})
        if item.output in outputs:
            raise CohortError(
                f"Two tables of predictions hold the same output of the model {item.model!r} for a lesion of the "
                f"cohort {item.cohort!r}."
            )
        outputs[item.output] = item.score
    return [_scores(*names, cases, cohorts[names[0]]) for names, cases in groups.items()]


def join_reports(
    reports: Sequence[GeneratedReport], cohorts: Cohorts
) -> dict[tuple[str, str], list[tuple[GeneratedReport, CohortRow]]]:
    """Generated reports with the rows that they are of, by cohort and model.

    Raises:
        CohortError: As for :func:`join_predictions`.
    """
    places = _places(cohorts)
    found: dict[tuple[str, str], list[tuple[GeneratedReport, CohortRow]]] = defaultdict(list)
    for report in reports:
        place = _place(places, report.cohort, report.patient, report.side, "report")
        found[report.cohort, report.model].append((report, cohorts[report.cohort][place]))
    return dict(found)


def join_readings(readings: Sequence[Reading], cohorts: Cohorts) -> list[tuple[Reading, CohortRow]]:
    """Readings with the rows that they are of.

    Raises:
        CohortError: As for :func:`join_predictions`.
    """
    places = _places(cohorts)
    chosen = [_place(places, item.cohort, item.patient, item.side, "reading") for item in readings]
    return [(item, cohorts[item.cohort][place]) for item, place in zip(readings, chosen, strict=True)]


def common_cases(scores: Sequence[ModelScores]) -> list[ModelScores]:
    """The same models on the cases that all of them have."""
    shared = set.intersection(*(set(item.case_ids) for item in scores)) if scores else set()
    return [item.only(lambda row, c=item.cohort: f"{c}/{row.case_id}" in shared) for item in scores]  # type: ignore[misc]


def pooled(scores: Sequence[ModelScores], name: str) -> ModelScores:
    """The cases of several cohorts as one, for one model and task."""
    first = scores[0]
    rows = tuple(replace(row, patient=f"{item.cohort}.{row.patient}") for item in scores for row in item.rows)
    return ModelScores(name, first.split, first.task, first.key, rows, np.concatenate([item.values for item in scores]))


def oracle_scores(scores: ModelScores) -> ModelScores | None:
    """What the phantom's oracle says of the same cases; None where it is not known of all."""
    task = RISK_TASK if scores.task in ENDPOINTS else scores.task
    known = [row.oracle.get(task) for row in scores.rows]
    if not known or any(value is None for value in known):
        return None
    return replace(scores, key=scores.key._replace(model="oracle"), values=np.array(known, dtype=float)[:, None])


def phase_order(setting: str) -> tuple[int, str]:
    """Sorting key of phase settings."""
    return (PHASE_SETTINGS.index(setting) if setting in PHASE_SETTINGS else len(PHASE_SETTINGS), setting)


def _places(cohorts: Cohorts) -> dict[str, dict[tuple[str, str], int]]:
    return {name: {(row.patient, row.side): place for place, row in enumerate(rows)} for name, rows in cohorts.items()}


def _place(places: Mapping[str, Mapping[tuple[str, str], int]], cohort: str, patient: str, side: str, what: str) -> int:
    if cohort not in places:
        raise CohortError(
            f"A {what} is of the cohort {cohort!r}, but the tables given are of {', '.join(map(repr, places))}; give "
            f"its table, or name it as NAME=CSV."
        )
    place = places[cohort].get((patient, side))
    if place is None:
        raise CohortError(
            f"A {what} is of a patient and side that the table of the cohort {cohort!r} does not have; rows are joined "
            f"by patient and side, never by order."
        )
    return place


def _scores(
    cohort: str,
    split: str,
    task: str,
    key: ModelKey,
    cases: Mapping[int, Mapping[str, float]],
    rows: Sequence[CohortRow],
) -> ModelScores:
    order = sorted(cases)
    outputs = EVERY_TASK_CLASSES.get(task, (task,))
    if len(outputs) == 2 and any(outputs[0] not in cases[place] for place in order):
        outputs = outputs[1:]
    values = np.array([[cases[place][name] for name in outputs] for place in order])
    return ModelScores(cohort, split, task, key, tuple(rows[place] for place in order), values)
