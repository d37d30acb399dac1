"""Paired tests between models on the same cases: bootstrap difference, DeLong's test, Holm's correction."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..cohort.table import EVERY_TASK_CLASSES
from ..errors import UndefinedMeasureError
from ..evaluation.bootstrap import difference
from ..evaluation.paired import delong, holm
from .evidence import Cell, EvidenceTable, p_words, range_words
from .joining import ModelScores, common_cases
from .study_data import StudyData, task_words
from .task_measures import main_measure, resampled, task_measures


def comparison_table(data: StudyData, task: str) -> EvidenceTable | None:
    """The reference model against every other on the cases of both; None where there is one model alone."""
    measure = main_measure(task)
    records: list[tuple[Cell, ...]] = []
    for cohort in data.evaluated_cohorts():
        items = data.main(task, cohort)
        if len(items) > 1 and items[0].key.model == data.models[0]:
            records += [_comparison(data, task, cohort, items[0], other) for other in items[1:]]
    if not records:
        return None
    tested = [record for record in records if isinstance(record[9], float)]
    adjusted = dict(zip(map(id, tested), holm([float(str(r[9])) for r in tested]), strict=True)) if tested else {}
    full = tuple((*record, float(adjusted[id(record)]) if id(record) in adjusted else None) for record in records)
    binary = len(EVERY_TASK_CLASSES.get(task, ())) == 2
    heads = ("Cohort", "Other model", "Cases", "Difference (95 % interval)", "p bootstrap", "p Holm", "p DeLong")
    note = "Difference: reference less other, positive where the reference is better; same cases, same resamples of "
    note += "patients. Holm's correction is over this table's bootstrap tests."
    return EvidenceTable(
        f"{task}-comparisons",
        f"{task_words(task)}: {data.models[0]} against the other models ({measure})",
        heads if binary else heads[:-1],
        tuple(_comparison_words(record)[: None if binary else -1] for record in full),
        ("cohort", "reference", "model", "measure", "cases", "reference_value", "model_value", "low", "high",
         "p_bootstrap", "p_delong", "p_holm"),
        full,
        (note + " DeLong's test takes cases as independent." * binary,),
    )  # fmt: skip


def _comparison(data: StudyData, task: str, cohort: str, first: ModelScores, second: ModelScores) -> tuple[Cell, ...]:
    one, two = common_cases([first, second])
    measure = main_measure(task)
    head: tuple[Cell, ...] = (cohort, one.key.model, two.key.model, measure, len(one.rows))
    if not one.rows:
        return (*head, None, None, None, None, None, None)
    weights = resampled(one.patients, data.settings.resamples, data.settings.seed)
    measures = [task_measures(task, item.rows, item.values)[measure] for item in (one, two)]
    ones = np.ones(len(one.rows))
    values = [float(m(ones)) for m in measures]
    try:
        found = difference(measures[0], measures[1], weights)
    except UndefinedMeasureError:
        return (*head, *values, None, None, None, None)
    return (*head, *values, found.low, found.high, found.p, _delong_p(task, one, two))


def _delong_p(task: str, one: ModelScores, two: ModelScores) -> float | None:
    if len(EVERY_TASK_CLASSES.get(task, ())) != 2:
        return None
    try:
        return delong([row.labels[task] for row in one.rows], one.score, two.score).p
    except UndefinedMeasureError:
        return None


def _comparison_words(record: Sequence[Cell]) -> tuple[str, ...]:
    cohort, _, model, _, cases, one, two, low, high, p, p_delong, p_holm = record
    if not (isinstance(one, float) and isinstance(two, float) and isinstance(low, float) and isinstance(high, float)):
        return (str(cohort), str(model), str(cases), "undefined", "-", "-", "-")
    return (str(cohort), str(model), str(cases), range_words(one - two, low, high), *map(_p, (p, p_holm, p_delong)))


def _p(value: Cell) -> str:
    return p_words(value) if isinstance(value, float) else "-"
