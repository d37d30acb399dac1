"""The second paper's evaluation (Xiong et al. 2025): comparators in one table, and clinical subgroups of every model.

Its figures 2, 3, S3 and S5 and tables S4, S8, S10 and S11 compare the network with radiomics and the nephrometry
nomogram, on all cases and on solid, cystic, small and T1a to T2 lesions. All models are compared on the cases that all
of them have.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ..cohort.staging import stage_group, t_category
from ..cohort.table import CohortRow
from ..errors import UndefinedMeasureError
from ..evaluation.bootstrap import Difference, Interval, difference
from ..evaluation.paired import delong, holm
from ..evaluation.summary_figures import Mark, MarksPanel, marks_figure
from .evidence import Cell, EvidenceFigure, EvidenceTable, Section, interval_words, p_words, range_words
from .joining import ModelScores, common_cases
from .study_data import ORACLE, StudyData, task_words
from .subgroups import FEWEST, FEWEST_OF_CLASS, appearance
from .task_measures import interval_or_none, resampled, task_measures

TASKS = ("malignancy", "aggressiveness")
AUROC = "AUROC"
SMALL_MM = 40.0


@dataclass(frozen=True)
class Compared:
    """One model on the cases that all models have.

    Attributes:
        cohort: Name of the cohort or pool.
        task: ``malignancy`` or ``aggressiveness``.
        group: Of the cases; :data:`ALL` for all of them.
        item: Scores.
        value: AUROC with its interval, None where undefined.
        difference: Reference less this model, None of the reference, the oracle, and where undefined.
        p_delong: DeLong's test of the same.
    """

    cohort: str
    task: str
    group: str
    item: ModelScores
    value: Interval | None
    difference: Difference | None
    p_delong: float | None

    @property
    def model(self) -> str:
        """Name of the model."""
        return self.item.key.model

    @property
    def phases(self) -> str:
        """What the model read; the oracle reads nothing."""
        return "-" if self.model == ORACLE else self.item.key.phases

    @property
    def positive(self) -> int:
        """Cases of the second class."""
        return sum(row.labels[self.task] == 1 for row in self.item.rows)


def _t_is(*heads: str) -> Callable[[CohortRow], bool]:
    return lambda row: t_group(row).startswith(heads)


def _cystic(row: CohortRow) -> bool:
    return appearance(row).startswith("cystic")


def _solid(row: CohortRow) -> bool:
    return appearance(row) == "solid"


def t_group(row: CohortRow) -> str:
    """T category: of the stage where the table has one, else of the largest diameter (up to 4, 7, 10 cm, more).

    Empty where neither is known, and for the groups III and IV without a T category, which the size does not decide.
    """
    if known := t_category(row.stage):
        return known
    if row.diameter_mm is None or (stage_group(row.stage) or 0) > 2:
        return ""
    return next((name for name, most in (("1a", 40.0), ("1b", 70.0), ("2a", 100.0)) if row.diameter_mm <= most), "2b")


ALL = "All cases"
GROUPS: Mapping[str, Callable[[CohortRow], bool]] = {
    ALL: lambda row: True,
    "Solid": _solid,
    "Cystic": _cystic,
    "Small (up to 4 cm)": lambda row: row.diameter_mm is not None and row.diameter_mm <= SMALL_MM,
    "T1a": _t_is("1a"),
    "T1a, solid": lambda row: _t_is("1a")(row) and _solid(row),
    "T1": _t_is("1"),
    "T1, solid": lambda row: _t_is("1")(row) and _solid(row),
    "T2 and above": _t_is("2", "3", "4"),
}


def compare(data: StudyData, task: str, cohort: str, group: str = ALL) -> list[Compared]:
    """Every model and the oracle on a group of the cases that all models have.

    Empty with fewer than ten of them; a subgroup with fewer than five of a class is too small for an AUROC.
    """
    items = common_cases(data.main(task, cohort))
    items = [item.only(GROUPS[group]) for item in data.with_oracle(items)]
    if not items or len(items[0].rows) < FEWEST:
        return []
    positive = sum(row.labels[task] == 1 for row in items[0].rows)
    if group != ALL and min(positive, len(items[0].rows) - positive) < FEWEST_OF_CLASS:
        return [Compared(cohort, task, group, item, None, None, None) for item in items]
    weights = resampled(items[0].patients, data.settings.resamples, data.settings.seed)
    measures = [task_measures(task, item.rows, item.values, calibrated=False)[AUROC] for item in items]
    found = []
    for item, measure in zip(items, measures, strict=True):
        tested = items[0].key.model == data.models[0] and item.key.model != ORACLE and item is not items[0]
        paired = _difference(measures[0], measure, weights) if tested else None
        p = _delong(task, items[0], item) if tested and paired else None
        found.append(Compared(cohort, task, group, item, interval_or_none(measure, weights), paired, p))
    return found


def comparator_section(data: StudyData) -> Section:
    """One table of the binary tasks: every model with its interval, paired tests against the reference, the oracle."""
    found = [
        item for task in _tasks(data) for cohort in data.evaluated_cohorts() for item in compare(data, task, cohort)
    ]
    if not found:
        return Section("comparators", "Network and comparators")
    words = (
        "Xiong et al. 2025, figures 2 and 3: the network against radiomics and the nephrometry nomogram. Every row "
        "compares the models on the cases that all of them have; differences are paired.",
    )
    return Section("comparators", "Network and comparators", words, (_comparator_figure(found),),
                   (_comparator_table(data, found),))  # fmt: skip


def clinical_section(data: StudyData) -> Section:
    """Every model in the second paper's subgroups, per cohort and task."""
    tables, figures = [], []
    for task in _tasks(data):
        parts = [compare(data, task, cohort, group) for cohort in data.evaluated_cohorts() for group in GROUPS]
        found = [item for part in parts for item in part]
        if len({item.group for item in found}) > 1:
            tables.append(_clinical_table(data, task, found))
            figures.append(_clinical_figure(task, found))
    words = (
        "Xiong et al. 2025, figures S3 and S5, tables S10 and S11: solid, cystic and small lesions, and T categories. "
        "The T category is that of the stage where the table has one, else of the largest diameter. Groups under "
        f"{FEWEST} cases, or under {FEWEST_OF_CLASS} of a class, are not measured.",
    )
    return Section("clinical-subgroups", "Clinical subgroups", words, tuple(figures), tuple(tables))


def _tasks(data: StudyData) -> list[str]:
    return [task for task in TASKS if task in data.tasks()]


def _difference(first: Callable[..., object], second: Callable[..., object], weights: object) -> Difference | None:
    try:
        return difference(first, second, weights)  # type: ignore[arg-type]
    except UndefinedMeasureError:
        return None


def _delong(task: str, one: ModelScores, two: ModelScores) -> float | None:
    try:
        return delong([row.labels[task] for row in one.rows], one.score, two.score).p
    except UndefinedMeasureError:
        return None


def _comparator_table(data: StudyData, found: Sequence[Compared]) -> EvidenceTable:
    gaps = [item.difference for item in found if item.difference]
    corrected = iter(holm([gap.p for gap in gaps]) if gaps else ())
    adjusted = {id(item): float(next(corrected)) for item in found if item.difference}
    rows: list[tuple[str, ...]] = []
    for task, cohort in dict.fromkeys((item.task, item.cohort) for item in found):
        here = [item for item in found if (item.task, item.cohort) == (task, cohort)]
        rows.append((f"{task_words(task)}, {cohort}: {len(here[0].item.rows)} cases, {here[0].positive} positive",))
        rows += [_comparator_row(item, adjusted.get(id(item))) for item in here]
    note = (
        "Difference: reference less other, positive where the reference is better. Holm's correction is over this "
        "table. DeLong's test takes cases as independent."
    )
    note += " The oracle knows every hidden attribute of the phantom." * data.of_phantoms
    return EvidenceTable(
        "comparators",
        f"{data.models[0]} against the comparators (AUROC)",
        ("Model", "Phases", "AUROC (95 % interval)", "Difference (95 % interval)", "p bootstrap", "p Holm", "p DeLong"),
        tuple(rows),
        ("task", "cohort", "model", "phases", "cases", "positive", "auroc", "low", "high", "difference",
         "difference_low", "difference_high", "p_bootstrap", "p_holm", "p_delong"),
        tuple(_comparator_record(item, adjusted.get(id(item))) for item in found),
        (note,),
    )  # fmt: skip


def _comparator_row(item: Compared, p_holm: float | None) -> tuple[str, ...]:
    gap = item.difference
    words = range_words(gap.value, gap.low, gap.high) if gap else "-"
    tests = (gap.p if gap else None, p_holm, item.p_delong)
    shown = ["-" if p is None else p_words(p) for p in tests]
    return (item.model, item.phases, interval_words(item.value), words, *shown)


def _comparator_record(item: Compared, p_holm: float | None) -> tuple[Cell, ...]:
    gap, value = item.difference, item.value
    numbers = (value.value, value.low, value.high) if value else (None, None, None)
    gaps = (gap.value, gap.low, gap.high, gap.p) if gap else (None, None, None, None)
    head = (item.task, item.cohort, item.model, item.phases, len(item.item.rows), item.positive)
    return (*head, *numbers, *gaps, p_holm, item.p_delong)


def _mark(value: Interval | None) -> Mark | None:
    return Mark(value.value, value.low, value.high) if value else None


def _comparator_figure(found: Sequence[Compared]) -> EvidenceFigure:
    panels = []
    for task in dict.fromkeys(item.task for item in found):
        mine = [item for item in found if item.task == task]
        cohorts = tuple(dict.fromkeys(item.cohort for item in mine))
        marks = {(item.model, item.cohort): _mark(item.value) for item in mine}
        models = dict.fromkeys(item.model for item in mine)
        series = {model: tuple(marks.get((model, cohort)) for cohort in cohorts) for model in models}
        panels.append(MarksPanel(task_words(task), AUROC, cohorts, series))
    caption = "AUROC with 95 % intervals on the cases that all models have."
    return EvidenceFigure("comparators", caption, marks_figure(panels))


def _clinical_table(data: StudyData, task: str, found: Sequence[Compared]) -> EvidenceTable:
    models = list(dict.fromkeys(item.model for item in found))
    rows: list[tuple[str, ...]] = []
    records: list[tuple[Cell, ...]] = []
    for cohort in dict.fromkeys(item.cohort for item in found):
        rows.append((cohort,))
        for group in GROUPS:
            here = {item.model: item for item in found if (item.cohort, item.group) == (cohort, group)}
            if not here:
                continue
            first = next(iter(here.values()))
            shown = [_cell(here.get(model)) for model in models]
            rows.append((group, str(len(first.item.rows)), str(first.positive), *shown))
            for item in here.values():
                numbers = (item.value.value, item.value.low, item.value.high) if item.value else (None, None, None)
                p = item.difference.p if item.difference else None
                records.append((task, cohort, group, item.model, len(item.item.rows), item.positive, *numbers, p))
    return EvidenceTable(
        f"{task}-clinical-subgroups",
        f"{task_words(task)}: AUROC in clinical subgroups",
        ("Subgroup", "Cases", "Positive", *models),
        tuple(rows),
        ("task", "cohort", "group", "model", "cases", "positive", "auroc", "low", "high", "p_bootstrap"),
        tuple(records),
        (f"*: differs from {data.models[0]} in the paired bootstrap (p < 0.05, not corrected).",),
    )


def _cell(item: Compared | None) -> str:
    if item is None:
        return "-"
    mark = " *" if item.difference and item.difference.p < 0.05 else ""
    return interval_words(item.value, 2) + mark if item.value else "too few of a class"


def _clinical_figure(task: str, found: Sequence[Compared]) -> EvidenceFigure:
    panels = []
    for cohort in dict.fromkeys(item.cohort for item in found):
        here = [item for item in found if item.cohort == cohort]
        groups = tuple(dict.fromkeys(item.group for item in here))
        marks = {(item.model, item.group): _mark(item.value) for item in here}
        models = dict.fromkeys(item.model for item in here)
        series = {model: tuple(marks.get((model, group)) for group in groups) for model in models}
        panels.append(MarksPanel(cohort, AUROC, tuple(_broken(group) for group in groups), series))
    caption = f"{task_words(task)}: AUROC with 95 % intervals of every model in clinical subgroups."
    return EvidenceFigure(f"{task}-clinical-subgroups", caption, marks_figure(panels))


def _broken(group: str) -> str:
    return group.replace(" (", "\n(").replace(", ", ",\n").replace(" and ", "\nand ")
