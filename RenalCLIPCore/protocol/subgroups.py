"""The reference model in subgroups: size, stage, appearance, phases, centre, sex, age."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from ..cohort.staging import STAGES, stage_group
from ..cohort.table import EVERY_TASK_CLASSES, CohortRow
from ..evaluation.bootstrap import Interval
from ..evaluation.summary_figures import ForestRow, forest_figure
from .baseline import phase_set
from .evidence import Cell, EvidenceFigure, EvidenceTable, Section, interval_words
from .joining import ModelScores, oracle_scores, pooled
from .study_data import StudyData, task_words
from .task_measures import follow_up, interval_or_none, main_measure, resampled, task_measures

ALL = "All cases"
FEWEST = 10
FEWEST_OF_CLASS = 5  # of either class, or events, below which intervals do not cover
_OLD = 60


def size_group(row: CohortRow) -> str:
    """Group by the largest diameter, or by the R component where the diameter is not known."""
    if row.diameter_mm is None:
        names = ("up to 4 cm", "over 4 to under 7 cm", "7 cm and more")
        return names[row.labels["renal_r"]] if "renal_r" in row.labels else ""
    if row.diameter_mm <= 40:
        return "up to 4 cm"
    return "over 4 to under 7 cm" if row.diameter_mm < 70 else "7 cm and more"


def appearance(row: CohortRow) -> str:
    """Solid or cystic by the table, else by the (true, else stated) composition of the report."""
    composition = 5
    if row.clinical.appearance:
        return row.clinical.appearance
    answer = row.true_attributes[composition]
    answer = row.attributes[composition] if answer is None else answer
    return {0: "cystic", 1: "cystic and solid", 2: "solid"}.get(-1 if answer is None else answer, "")


def age_group(row: CohortRow) -> str:
    """Under 60, or 60 years and older."""
    age = row.clinical.age_years
    return "" if age is None else f"under {_OLD} years" if age < _OLD else f"{_OLD} years and older"


def stage_words(row: CohortRow) -> str:
    """Stage group in words."""
    group = stage_group(row.stage)
    return "" if group is None else f"stage {STAGES[group - 1]}"


SUBGROUPS: Mapping[str, Callable[[CohortRow], str]] = {
    "Tumour size": size_group,
    "Stage": stage_words,
    "Appearance": appearance,
    "Phases": phase_set,
    "Centre": lambda row: row.site,
    "Sex": lambda row: row.clinical.sex,
    "Age": age_group,
}
_ORDERED = ("up to 4 cm", "over 4 to under 7 cm", "7 cm and more", f"under {_OLD} years", f"{_OLD} years and older")


def subgroup_section(data: StudyData) -> Section:
    """Tables of the binary tasks and endpoints in subgroups of all test cases, with forest plots."""
    tasks = [task for task in data.tasks() if len(EVERY_TASK_CLASSES[task]) == 2]
    tables, figures = [], []
    for task in [*tasks, *data.endpoints()]:
        found = subgroup_scores(data, task)
        if len(found) > 1:
            tables.append(_table(data, task, found))
            if len(found[0][2].rows) >= FEWEST:  # the whole; of fewer nothing can be drawn
                figures.append(_figure(data, task, found))
    words = (
        f"The model {data.models[0]} on the cases of all evaluated cohorts together. Subgroups are not adjusted for "
        f"each other; groups under {FEWEST} cases, or under {FEWEST_OF_CLASS} of a class or events, are not measured.",
    )
    return Section("subgroups", "Subgroups", words, tuple(figures), tuple(tables))


def subgroup_scores(data: StudyData, task: str) -> list[tuple[str, str, ModelScores, Interval | None]]:
    """Attribute, group, cases and main measure, the whole first; groups that are the whole are left out."""
    single = [name for name in data.evaluated_cohorts() if name not in data.settings.pools]
    items = [i for name in single for i in data.main(task, name) if i.key.model == data.models[0]]
    if not items:
        return []
    whole = pooled(items, "all cohorts")
    found = [(ALL, ALL, whole, _measure(data, task, whole) if len(whole.rows) >= FEWEST else None)]
    for attribute, group in SUBGROUPS.items():
        names = sorted({group(row) for row in whole.rows} - {""}, key=_order)
        parts = {name: whole.only(lambda row, g=group, n=name: g(row) == n) for name in names}  # type: ignore[misc]
        if len(parts) > 1:
            found += [
                (attribute, name, part, _measure(data, task, part) if _enough(task, part) else None)
                for name, part in parts.items()
            ]
    return found


def _order(name: str) -> tuple[int, int, str]:
    return (_ORDERED.index(name) if name in _ORDERED else 0, -len(name) if name.isupper() else 0, name)


def _enough(task: str, item: ModelScores) -> bool:
    events = _events(task, item)
    fewest = min(events, len(item.rows) - events) if task in EVERY_TASK_CLASSES else events
    return len(item.rows) >= FEWEST and fewest >= FEWEST_OF_CLASS


def _measure(data: StudyData, task: str, item: ModelScores) -> Interval | None:
    weights = resampled(item.patients, data.settings.resamples, data.settings.seed)
    return interval_or_none(task_measures(task, item.rows, item.values)[main_measure(task)], weights)


def _oracle(task: str, item: ModelScores) -> float | None:
    best = oracle_scores(item) if len(item.rows) >= FEWEST else None
    if best is None:
        return None
    value = float(task_measures(task, best.rows, best.values)[main_measure(task)](np.ones(len(best.rows))))
    return None if np.isnan(value) else value


def _events(task: str, item: ModelScores) -> int:
    if task in EVERY_TASK_CLASSES:
        return sum(row.labels[task] == 1 for row in item.rows)
    return int(follow_up(task, item.rows)[1].sum())


def _table(data: StudyData, task: str, found: Sequence[tuple[str, str, ModelScores, Interval | None]]) -> EvidenceTable:
    rows: list[tuple[str, ...]] = []
    records: list[tuple[Cell, ...]] = []
    for attribute, name, item, value in found:
        if attribute != ALL and (attribute,) not in rows:
            rows.append((attribute,))
        best = _oracle(task, item)
        oracle = ["-" if best is None else f"{best:.2f}"] if data.of_phantoms else []
        rows.append((name, str(len(item.rows)), str(_events(task, item)), _words(item, value), *oracle))
        numbers = (value.value, value.low, value.high, value.resamples) if value else (None, None, None, 0)
        records.append((task, main_measure(task), item.key.model, attribute, name, len(item.rows),
                        _events(task, item), *numbers, best))  # fmt: skip
    positive = "Positive" if task in EVERY_TASK_CLASSES else "Events"
    return EvidenceTable(
        f"{task}-subgroups",
        f"{task_words(task)}: subgroups",
        ("Subgroup", "Cases", positive, f"{main_measure(task)} (95 % interval)",
         *(["Oracle"] if data.of_phantoms else [])),
        tuple(rows),
        ("task", "measure", "model", "attribute", "group", "cases", "positive", "value", "low", "high", "resamples",
         "oracle"),
        tuple(records),
    )  # fmt: skip


def _figure(
    data: StudyData, task: str, found: Sequence[tuple[str, str, ModelScores, Interval | None]]
) -> EvidenceFigure:
    rows: list[ForestRow] = []
    heads: set[str] = set()
    for attribute, name, item, value in found:
        if len(item.rows) < FEWEST:
            continue
        if attribute != ALL and attribute not in heads:
            heads.add(attribute)
            rows.append(ForestRow(attribute, heading=True))
        words = f"{_words(item, value)}   {len(item.rows)} / {_events(task, item)}"
        numbers = (value.value, value.low, value.high) if value else (np.nan, np.nan, np.nan)
        rows.append(ForestRow(name, *numbers, words))
    overall = found[0][3].value if found[0][3] else None
    what = "positive" if task in EVERY_TASK_CLASSES else "events"
    caption = (
        f"{task_words(task)}: {main_measure(task)} of {data.models[0]} in subgroups, with 95 % intervals and cases / "
        f"{what}. Solid line: chance; dashed line: all cases."
    )
    return EvidenceFigure(f"{task}-subgroups", caption, forest_figure(rows, main_measure(task), 0.5, overall=overall))


def _words(item: ModelScores, value: Interval | None) -> str:
    if value is None:
        few = "too few of a class" if item.task in EVERY_TASK_CLASSES else "too few events"
        return "too few" if len(item.rows) < FEWEST else few
    return interval_words(value, 2)
