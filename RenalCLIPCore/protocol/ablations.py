"""What phases add (A, AV, NAV, NAVD), and how far a model comes with fewer labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..evaluation.bootstrap import Interval
from ..evaluation.summary_figures import EfficiencyPanel, Mark, MarksPanel, efficiency_figure, marks_figure
from .evidence import Cell, EvidenceFigure, EvidenceTable, Section, interval_words, range_words, slug
from .joining import ModelScores, common_cases, phase_order
from .study_data import ORACLE, StudyData, by_model, task_words
from .task_measures import interval_or_none, main_measure, resampled, task_measures

Array = npt.NDArray[np.float64]
_SHORT = {"renal_r": "R", "renal_e": "E", "renal_n": "N", "renal_a": "A", "renal_l": "L", "renal_h": "h",
          "malignancy": "malig-\nnancy", "aggressiveness": "aggres-\nsiveness"}  # fmt: skip


@dataclass(frozen=True)
class PhaseScore:
    """Main measure of one task under one phase setting, on the cases that all settings have."""

    cohort: str
    task: str
    model: str
    phases: str
    cases: int
    value: Interval | None


@dataclass(frozen=True)
class FractionScore:
    """Main measure of one task after training with a share of the labels.

    Attributes:
        cohort: Name of the cohort.
        task: Task or endpoint.
        model: Name of the model.
        fraction: Share of the training data.
        values: By seed.
        cases: Cases evaluated.
    """

    cohort: str
    task: str
    model: str
    fraction: float
    values: Mapping[int, float]
    cases: int

    @property
    def mean(self) -> float:
        """Mean over the seeds."""
        return float(np.mean(list(self.values.values())))

    @property
    def deviation(self) -> float:
        """Standard deviation over the seeds; NaN of one."""
        return float(np.std(list(self.values.values()), ddof=1)) if len(self.values) > 1 else float("nan")


@dataclass(frozen=True)
class FractionDifference:
    """Reference less another model at equal labels, one value per seed, on the cases that both have."""

    cohort: str
    task: str
    model: str
    fraction: float
    values: tuple[float, ...]


def phase_scores(data: StudyData) -> list[PhaseScore]:
    """Every model with at least two phase settings, per task and cohort."""
    found = []
    for cohort in _cohorts(data):
        for task in (*data.tasks(), *data.endpoints()):
            for model, items in by_model(_first_seeds(data.groups(task, cohort))).items():
                ordered = sorted(items, key=lambda item: phase_order(item.key.phases))
                if len(ordered) > 1:
                    shared = data.with_oracle(common_cases(ordered))
                    found += [_phase_score(data, task, model, item) for item in shared]
    return found


def fraction_scores(data: StudyData) -> list[FractionScore]:
    """Every model that was trained with several shares of the labels, per task and cohort."""
    found = []
    for cohort in _cohorts(data):
        for task in (*data.tasks(), *data.endpoints()):
            for model, items in by_model(data.groups(task, cohort)).items():
                chosen = _one_setting(data, items)
                shares = sorted({item.key.fraction for item in chosen})
                if len(shares) > 1:
                    parts = [[i for i in chosen if i.key.fraction == share] for share in shares]
                    found += [_fraction_score(task, model, part) for part in parts]
    return [item for item in found if item.values]


def ablation_sections(data: StudyData) -> list[Section]:
    """Sections of the phases and of label efficiency, where the predictions have several of either."""
    sections = []
    if phases := phase_scores(data):
        how = "Late fusion: the logits of the phases are averaged." * (data.settings.paper == "renalclip")
        words = (f"{how} Each row compares the settings on the cases that all of them have.".strip(),)
        sections.append(Section("phases", "Multi-phase ablation", words, tuple(_phase_figures(phases)),
                                (_phase_table(phases),)))  # fmt: skip
    if fractions := fraction_scores(data):
        words = (
            "Mean and standard deviation over training seeds; at one seed there is no deviation. Differences are "
            "paired by seed, on the cases and phases that both models have, with Student's t intervals.",
        )
        tables = [_fraction_table(fractions)]
        tables += [table] if (table := _fraction_differences(data)) else []
        figures = tuple(_fraction_figures(data, fractions))
        sections.append(Section("labels", "Label efficiency", words, figures, tuple(tables)))
    return sections


def _cohorts(data: StudyData) -> list[str]:
    return [name for name in data.evaluated_cohorts() if name not in data.settings.pools]


def _first_seeds(items: Sequence[ModelScores]) -> list[ModelScores]:
    """Of every model and setting, the scores of the most training data and the lowest seed."""
    best: dict[tuple[str, str], ModelScores] = {}
    for item in sorted(items, key=lambda i: (-i.key.fraction, i.key.seed)):
        best.setdefault((item.key.model, item.key.phases), item)
    return list(best.values())


def _one_setting(data: StudyData, items: Sequence[ModelScores]) -> list[ModelScores]:
    """Those of the phase setting with the most shares of labels; the main one where several have as many."""
    settings = {item.key.phases for item in items}
    shares = {name: len({i.key.fraction for i in items if i.key.phases == name}) for name in settings}
    main = data.settings.phases
    chosen = min(settings, key=lambda name: (-shares[name], name != main, phase_order(name)))
    return [item for item in items if item.key.phases == chosen]


def _phase_score(data: StudyData, task: str, model: str, item: ModelScores) -> PhaseScore:
    value = None
    if item.rows:
        weights = resampled(item.patients, data.settings.resamples, data.settings.seed)
        value = interval_or_none(task_measures(task, item.rows, item.values)[main_measure(task)], weights)
    phases = ORACLE if item.key.model == ORACLE else item.key.phases
    return PhaseScore(item.cohort, task, model, phases, len(item.rows), value)


def _fraction_score(task: str, model: str, items: Sequence[ModelScores]) -> FractionScore:
    values = {}
    for item in items:
        value = _value(task, item)
        if not np.isnan(value):
            values[item.key.seed] = value
    first = items[0]
    return FractionScore(first.cohort, task, model, first.key.fraction, values, len(first.rows))


def _phase_table(scores: Sequence[PhaseScore]) -> EvidenceTable:
    settings = sorted({item.phases for item in scores}, key=phase_order)
    rows: list[tuple[str, ...]] = []
    for cohort, model in dict.fromkeys((item.cohort, item.model) for item in scores):
        rows.append((f"{cohort}: {model}",))
        mine = [item for item in scores if (item.cohort, item.model) == (cohort, model)]
        for task in dict.fromkeys(item.task for item in mine):
            cells = {item.phases: item for item in mine if item.task == task}
            shown = [interval_words(cells[name].value) if name in cells else "-" for name in settings]
            cases = next(iter(cells.values())).cases
            rows.append((task_words(task), main_measure(task), str(cases), *shown))
    records = [(i.cohort, i.task, main_measure(i.task), i.model, i.phases, i.cases, *_numbers(i.value)) for i in scores]
    return EvidenceTable(
        "phases",
        "Measures by the phases that are read",
        ("Task", "Measure", "Cases", *settings),
        tuple(rows),
        ("cohort", "task", "measure", "model", "phases", "cases", "value", "low", "high", "resamples"),
        tuple(records),
    )


def _phase_figures(scores: Sequence[PhaseScore]) -> list[EvidenceFigure]:
    figures = []
    for model in dict.fromkeys(item.model for item in scores):
        panels = []
        mine = [item for item in scores if item.model == model]
        for cohort in dict.fromkeys(item.cohort for item in mine):
            here = [item for item in mine if item.cohort == cohort]
            tasks = list(dict.fromkeys(item.task for item in here))
            settings = sorted({item.phases for item in here}, key=phase_order)
            marks = {(i.phases, i.task): Mark(i.value.value, i.value.low, i.value.high) for i in here if i.value}
            series = {name: tuple(marks.get((name, task)) for task in tasks) for name in settings}
            places = tuple(_SHORT.get(task, task.upper()) for task in tasks)
            panels.append(MarksPanel(cohort, "AUROC or C-index", places, series))
        caption = f"{model}: measures with 95 % intervals by the phases that are read (R to L: macro AUROC)."
        figures.append(EvidenceFigure(f"phases-{slug(model)}", caption, marks_figure(panels)))
    return figures


def _fraction_table(scores: Sequence[FractionScore]) -> EvidenceTable:
    shares = sorted({item.fraction for item in scores})
    rows: list[tuple[str, ...]] = []
    for cohort, task in dict.fromkeys((item.cohort, item.task) for item in scores):
        rows.append((f"{cohort}: {task_words(task)}, {main_measure(task)}",))
        mine = [item for item in scores if (item.cohort, item.task) == (cohort, task)]
        for model in dict.fromkeys(item.model for item in mine):
            cells = {item.fraction: item for item in mine if item.model == model}
            rows.append((model, *(_deviation_words(cells.get(share)) for share in shares)))
    records: list[tuple[Cell, ...]] = [
        (i.cohort, i.task, main_measure(i.task), i.model, i.fraction, seed, i.cases, value)
        for i in scores
        for seed, value in i.values.items()
    ]
    return EvidenceTable(
        "label-efficiency",
        "Measures by the share of labelled training cases",
        ("Model", *(f"{100 * share:g} %" for share in shares)),
        tuple(rows),
        ("cohort", "task", "measure", "model", "training_fraction", "seed", "cases", "value"),
        tuple(records),
        ("Mean ± standard deviation (number of seeds).",),
    )


def fraction_differences(data: StudyData) -> list[FractionDifference]:
    """The reference's measure less every other model's at equal labels, seed by seed, on the cases that both have.

    Models that are read from other phases than the reference are left out.
    """
    found = []
    for cohort in _cohorts(data):
        for task in (*data.tasks(), *data.endpoints()):
            chosen = {model: _one_setting(data, items) for model, items in by_model(data.groups(task, cohort)).items()}
            mine = {(item.key.fraction, item.key.seed): item for item in chosen.pop(data.models[0], [])}
            for model, items in chosen.items():
                pairs = [(mine[place], item) for item in items if (place := (item.key.fraction, item.key.seed)) in mine]
                pairs = [(one, two) for one, two in pairs if one.key.phases == two.key.phases]
                for fraction in sorted({two.key.fraction for _, two in pairs}):
                    values = [_gap(task, one, two) for one, two in pairs if two.key.fraction == fraction]
                    if known := tuple(value for value in values if not np.isnan(value)):
                        found.append(FractionDifference(cohort, task, model, fraction, known))
    return found


def _gap(task: str, one: ModelScores, two: ModelScores) -> float:
    first, second = (_value(task, item) for item in common_cases([one, two]))
    return first - second


def _value(task: str, item: ModelScores) -> float:
    """The main measure; NaN where it is undefined."""
    if not item.rows:
        return float("nan")
    measure = task_measures(task, item.rows, item.values)[main_measure(task)]
    return float(measure(np.ones(len(item.rows))))


def _fraction_differences(data: StudyData) -> EvidenceTable | None:
    reference = data.models[0]
    rows, records = [], []
    for item in fraction_differences(data):
        mean, low, high = t_interval(item.values)
        seeds = len(item.values)
        cells = (item.cohort, task_words(item.task), item.model, f"{100 * item.fraction:g} %", str(seeds))
        rows.append((*cells, f"{mean:.3f}" if np.isnan(low) else range_words(mean, low, high)))
        records.append((item.cohort, item.task, main_measure(item.task), reference, item.model, item.fraction,
                        seeds, mean, low, high))  # fmt: skip
    if not rows:
        return None
    return EvidenceTable(
        "label-efficiency-differences",
        f"{reference} less the other models at equal labels",
        ("Cohort", "Task", "Other model", "Labels", "Seeds", "Difference (95 % interval)"),
        tuple(rows),
        ("cohort", "task", "measure", "reference", "model", "training_fraction", "seeds", "difference", "low", "high"),
        tuple(records),
    )


def t_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Mean with its 95 % interval (Student 1908); NaN bounds of one value."""
    from scipy.stats import t

    mean = float(np.mean(values))
    if len(values) < 2:
        return mean, float("nan"), float("nan")
    reach = float(t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values)))
    return mean, mean - reach, mean + reach


def _fraction_figures(data: StudyData, scores: Sequence[FractionScore]) -> list[EvidenceFigure]:
    figures = []
    for task in dict.fromkeys(item.task for item in scores):
        mine = [item for item in scores if item.task == task]
        panels = []
        for cohort in dict.fromkeys(item.cohort for item in mine):
            lines: dict[str, tuple[Array, Array, Array]] = {}
            for model in dict.fromkeys(item.model for item in mine):
                points = [item for item in mine if (item.cohort, item.model) == (cohort, model)]
                if points:
                    table = np.array([(i.fraction, i.mean, np.nan_to_num(i.deviation)) for i in points])
                    lines[model] = (table[:, 0], table[:, 1], table[:, 2])
            levels = _zero_shot_levels(data, task, cohort) | _oracle_level(data, task, cohort)
            panels.append(EfficiencyPanel(cohort, main_measure(task), lines, levels))
        caption = (
            f"{task_words(task)}: {main_measure(task)} over the share of labelled training cases; mean and one "
            f"standard deviation over the training seeds."
        )
        figures.append(EvidenceFigure(f"{task}-label-efficiency", caption, efficiency_figure(panels)))
    return figures


def _zero_shot_levels(data: StudyData, task: str, cohort: str) -> dict[str, float]:
    """Zero-shot reading by maximum similarity, of every model that reads so."""
    found = [s for s in data.alignment if (s.cohort, s.what) == (cohort, task) and "maximum" in s.measure]
    words = "zero-shot, maximum similarity"
    return {f"{item.model}, {words}" if len(found) > 1 else words: item.value for item in found}


def _oracle_level(data: StudyData, task: str, cohort: str) -> dict[str, float]:
    items = data.with_oracle(data.main(task, cohort))
    if not items or items[-1].key.model != ORACLE:
        return {}
    measure = task_measures(task, items[-1].rows, items[-1].values)[main_measure(task)]
    return {ORACLE: float(measure(np.ones(len(items[-1].rows))))}


def _deviation_words(item: FractionScore | None) -> str:
    if item is None:
        return "-"
    spread = "" if np.isnan(item.deviation) else f" ± {item.deviation:.3f}"
    return f"{item.mean:.3f}{spread} ({len(item.values)})"


def _numbers(value: Interval | None) -> tuple[Cell, ...]:
    return (value.value, value.low, value.high, value.resamples) if value else (None, None, None, 0)
