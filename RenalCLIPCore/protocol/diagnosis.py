"""Characterisation and diagnosis: the papers' tables of AUROC, measures at a threshold, curves, and paired tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..cohort.table import EVERY_TASK_CLASSES
from ..errors import UndefinedMeasureError
from ..evaluation.bootstrap import Interval
from ..evaluation.classification import brier, youden_threshold
from ..evaluation.diagnostic_figures import (
    DiagnosticPanel,
    ModelCurve,
    Point,
    calibration_figure,
    decision_figure,
    roc_figure,
)
from ..evaluation.readers import reader_score
from .comparisons import comparison_table
from .evidence import Cell, EvidenceFigure, EvidenceTable, Section, interval_words
from .joining import ModelScores, common_cases
from .study_data import ORACLE, StudyData, task_words
from .task_measures import (
    LOWER_IS_BETTER,
    are_probabilities,
    interval_or_none,
    main_measure,
    resampled,
    task_measures,
    threshold_measures,
)

SCORE_COLUMNS = (
    "cohort", "split", "task", "measure", "model", "phases", "training_fraction", "seed", "cases", "positive", "value",
    "low", "high", "resamples", "threshold", "threshold_from",
)  # fmt: skip
OWN, VALIDATION = "this cohort", "validation split"
BY_CONSTRUCTION = "1 by construction"


@dataclass(frozen=True)
class CellScore:
    """One measure of one model in one cohort.

    Attributes:
        cohort: Name of the cohort or pool.
        task: Task or endpoint.
        measure: In words.
        scores: What was measured.
        value: With its interval; None where undefined for these cases.
        threshold: Of measures at a threshold.
        source: Where that threshold was chosen.
    """

    cohort: str
    task: str
    measure: str
    scores: ModelScores
    value: Interval | None
    threshold: float | None = None
    source: str = ""

    def record(self) -> tuple[Cell, ...]:
        """The line of the CSV file."""
        key, rows, i = self.scores.key, self.scores.rows, self.value
        binary = len(EVERY_TASK_CLASSES.get(self.task, ())) == 2
        positive = sum(row.labels[self.task] == 1 for row in rows) if binary else None
        numbers = (i.value, i.low, i.high, i.resamples) if i else (None, None, None, 0)
        return (
            self.cohort, self.scores.split, self.task, self.measure, *key, len(rows), positive, *numbers,
            self.threshold, self.source,
        )  # fmt: skip


def measured(data: StudyData, task: str, cohort: str) -> list[CellScore]:
    """Every measure of every model, and of the oracle, for a task or endpoint in a cohort or pool."""
    found: list[CellScore] = []
    for item in data.with_oracle(data.main(task, cohort)):
        weights = resampled(item.patients, data.settings.resamples, data.settings.seed)
        calibrated = item.key.model != ORACLE and are_probabilities(item.values)
        measures = task_measures(task, item.rows, item.values, calibrated=calibrated)
        found += [CellScore(cohort, task, name, item, interval_or_none(m, weights)) for name, m in measures.items()]
        if len(EVERY_TASK_CLASSES.get(task, ())) == 2:
            found += _at_thresholds(data, task, cohort, item)
    return found


def thresholds(data: StudyData, task: str, item: ModelScores) -> dict[str, float]:
    """Youden's threshold by where it was chosen: the validation split where it has both classes, and the cohort."""
    sources = {VALIDATION: data.validation(item, task) if item.key.model != ORACLE else None, OWN: item}
    found = {}
    for name, scores in sources.items():
        if scores is not None:
            try:
                found[name] = youden_threshold([row.labels[task] for row in scores.rows], scores.score)
            except UndefinedMeasureError:
                continue
    return found


def diagnosis_sections(data: StudyData, cells: Sequence[CellScore]) -> list[Section]:
    """Sections of R.E.N.A.L. components and of the binary tasks.

    Args:
        data: Of the study.
        cells: Of :func:`measured`, all tasks and cohorts.
    """
    tasks = data.tasks()
    components = [task for task in tasks if task.startswith("renal_")]
    sections = []
    if components:
        tables = tuple(score_table(data, cells, task) for task in components)
        words = (
            "Macro one-vs-rest AUROC of each R.E.N.A.L. component with 95 % intervals; the letter h, where it is "
            "labelled, is binary. Chance is 0.5.",
        )
        sections.append(Section("renal", "R.E.N.A.L. nephrometry score", words, (), tables))
    for task in (task for task in tasks if task not in components):
        sections.append(_binary_section(data, cells, task))
    return sections


def score_table(data: StudyData, cells: Sequence[CellScore], task: str) -> EvidenceTable:
    """Main measure of a task: a row per cohort, a column per model, the oracle last (layout of the paper's)."""
    measure = main_measure(task)
    mine = [cell for cell in cells if (cell.task, cell.measure) == (task, measure)]
    models = [*data.models, *([ORACLE] if data.of_phantoms else [])]
    cohorts = list(dict.fromkeys(cell.cohort for cell in mine))
    rows, unequal = [], False
    for cohort in cohorts:
        here = {cell.scores.key.model: cell for cell in mine if cell.cohort == cohort}
        counts = {len(cell.scores.rows) for cell in here.values()}
        same = len({cell.scores.case_ids for cell in here.values()}) == 1
        top = best(list(here.values())) if same else float("nan")
        shown = [_shown(here.get(model), model, task, top, counted=len(counts) > 1) for model in models]
        rows.append((cohort if len(counts) > 1 else f"{cohort} (n = {counts.pop()})", *shown))
        unequal |= not same
    notes = [_phases_note(mine)] if mine else []
    notes += ["Where the models' cases differ, none is marked as the best; the comparison below pairs them."] * unequal
    notes += data.left_out_of_pools(task)
    return EvidenceTable(
        f"{task}-{'c-index' if task not in EVERY_TASK_CLASSES else 'auroc'}",
        f"{task_words(task)}: {measure}",
        ("Cohort", *models),
        tuple(rows),
        SCORE_COLUMNS,
        tuple(cell.record() for cell in cells if cell.task == task),
        tuple(notes),
    )


def best(cells: Sequence[CellScore]) -> float:
    """The best value among models (not the oracle); NaN where there is one model alone."""
    values = [cell.value.value for cell in cells if cell.value and cell.scores.key.model != ORACLE]
    return max(values) if len(values) > 1 else float("nan")


def _binary_section(data: StudyData, cells: Sequence[CellScore], task: str) -> Section:
    mine = [cell for cell in cells if cell.task == task]
    words = (
        "Area under the ROC curve with 95 % percentile intervals (bootstrap over patients). PR-AUC is the area under "
        "the precision-recall curve by trapezoids, as in the paper's reference code; average precision is beside it. "
        "Sensitivity, specificity and F1 are at Youden's threshold: chosen on the validation split where its scores "
        "are given, and, as the paper did, on each cohort itself, which is optimistic.",
    )
    comparison = comparison_table(data, task)
    tables = [score_table(data, cells, task), *_measure_tables(mine, task)]
    return Section(
        task, task_words(task), words, tuple(_figures(data, task)),
        tuple(tables) + ((comparison,) if comparison else ()),
    )  # fmt: skip


def _measure_tables(cells: Sequence[CellScore], task: str) -> list[EvidenceTable]:
    free = [cell for cell in cells if not cell.source]
    lower = " and ".join(LOWER_IS_BETTER)
    notes = (
        f"{lower} are better when lower. ECE is an absolute value: in small samples it is too high, and its bootstrap "
        "interval more so, which can lie above the value.",
    )
    tables = [_measure_table(free, f"{task}-measures", f"{task_words(task)}: measures without a threshold", notes)]
    for source, name in ((VALIDATION, "validation"), (OWN, "own")):
        here = [cell for cell in cells if cell.source == source]
        if here:
            title = f"{task_words(task)}: at Youden's threshold of {'the ' if source == VALIDATION else ''}{source}"
            notes = ("The threshold stays fixed in the resamples.",)
            tables.append(_measure_table(here, f"{task}-threshold-{name}", title, notes))
    return tables


def _measure_table(cells: Sequence[CellScore], name: str, title: str, notes: tuple[str, ...]) -> EvidenceTable:
    measures = list(dict.fromkeys(cell.measure for cell in cells))
    threshold = any(cell.threshold is not None for cell in cells)
    rows: list[tuple[str, ...]] = []
    for cohort in dict.fromkeys(cell.cohort for cell in cells):
        rows.append((cohort,))
        for model in dict.fromkeys(cell.scores.key.model for cell in cells if cell.cohort == cohort):
            here = {c.measure: c for c in cells if (c.cohort, c.scores.key.model) == (cohort, model)}
            cut = next(iter(here.values())).threshold
            shown = [f"{cut:.3f}"] if cut is not None else []
            shown += [interval_words(here[m].value) if m in here else "-" for m in measures]
            rows.append((model, *shown))
    heads = [measure[0].upper() + measure[1:] for measure in measures]
    head = ("Model", *(["Threshold"] if threshold else []), *heads)
    records = tuple(cell.record() for cell in cells)
    return EvidenceTable(name, title, head, tuple(rows), SCORE_COLUMNS, records, notes)


def _figures(data: StudyData, task: str) -> list[EvidenceFigure]:
    roc, calibrated = [], []
    for cohort in data.evaluated_cohorts():
        items = data.with_oracle(data.main(task, cohort))
        items = common_cases(items) if items else []
        labels = np.array([row.labels[task] for row in items[0].rows]) if items else np.array([])
        if len(set(labels.tolist())) < 2:
            continue
        curves = tuple(ModelCurve(i.key.model, i.score, _area(data, i)) for i in items)
        roc.append(DiagnosticPanel(cohort, labels, curves, _readers(data, task, cohort, items[0])))
        probable = [i for i in items if i.key.model != ORACLE and are_probabilities(i.values)]
        if probable:
            shown = tuple(ModelCurve(i.key.model, i.score, _brier(labels, i)) for i in probable)
            calibrated.append(DiagnosticPanel(cohort, labels, shown))
    return [*_drawn(task, roc, calibrated)]


def _area(data: StudyData, item: ModelScores) -> str:
    """The AUROC of the very cases that are drawn."""
    weights = resampled(item.patients, data.settings.resamples, data.settings.seed)
    return interval_words(interval_or_none(task_measures(item.task, item.rows, item.values)["AUROC"], weights))


def _brier(labels: npt.ArrayLike, item: ModelScores) -> str:
    return f"Brier {brier(labels, item.score):.3f}"


def _drawn(task: str, roc: Sequence[DiagnosticPanel], calibrated: Sequence[DiagnosticPanel]) -> list[EvidenceFigure]:
    name = task_words(task)
    figures = []
    if roc:
        text = f"{name}: ROC curves, with the AUROC and its 95 % interval, on the cases that all models have."
        figures.append(EvidenceFigure(f"{task}-roc", text, roc_figure(roc)))
    if calibrated:
        text = (
            f"{name}: calibration. Cases in two to ten bins of equal size (about twenty cases at least) by predicted "
            f"probability; bars are 95 % Wilson intervals of the observed frequency. On the diagonal both agree."
        )
        figures.append(EvidenceFigure(f"{task}-calibration", text, calibration_figure(calibrated)))
        text = (
            f"{name}: decision curves. Net benefit of acting on cases at or above a threshold probability, against "
            f"acting on all cases or on none; higher is better."
        )
        plain = [DiagnosticPanel(p.title, p.labels, tuple(ModelCurve(c.name, c.scores) for c in p.curves))
                 for p in calibrated]  # fmt: skip
        figures.append(EvidenceFigure(f"{task}-decision", text, decision_figure(plain)))
    return figures


def _readers(data: StudyData, task: str, cohort: str, drawn: ModelScores) -> tuple[Point, ...]:
    """Readers without the model on the cases that are drawn."""
    cases = set(drawn.case_ids)
    here = [
        (r, row)
        for r, row in data.evaluated_readings()
        if (r.task, r.cohort, r.with_model) == (task, cohort, False) and f"{cohort}/{row.case_id}" in cases
    ]
    points = []
    for name in dict.fromkeys(reading.reader for reading, _ in here):
        known = [(row.labels[task], r.call) for r, row in here if r.reader == name and task in row.labels]
        if len({label for label, _ in known}) == 2:
            score = reader_score([label for label, _ in known], [call for _, call in known])
            points.append(Point(name, score.sensitivity.value, score.specificity.value))
    return tuple(points)


def _at_thresholds(data: StudyData, task: str, cohort: str, item: ModelScores) -> list[CellScore]:
    weights = resampled(item.patients, data.settings.resamples, data.settings.seed)
    found = []
    for source, threshold in thresholds(data, task, item).items():
        for name, measure in threshold_measures(task, item.rows, item.score, threshold).items():
            value = interval_or_none(measure, weights)
            found.append(CellScore(cohort, task, name, item, value, threshold, source))
    return found


def _shown(cell: CellScore | None, model: str, task: str, top: float, *, counted: bool) -> str:
    if cell is None:
        return BY_CONSTRUCTION if model == ORACLE and task.startswith("renal_") else "-"
    text = interval_words(cell.value) + f" (n = {len(cell.scores.rows)})" * counted
    return f"**{text}**" if cell.value and cell.value.value == top and model != ORACLE else text


def _phases_note(cells: Sequence[CellScore]) -> str:
    settings = dict.fromkeys(cell.scores.key.phases for cell in cells if cell.scores.key.model != ORACLE)
    note = f"Phases: {' or '.join(settings)}. 95 % intervals: percentiles of resamples over patients."
    if any(cell.scores.key.model == ORACLE for cell in cells):
        note += " The oracle knows every hidden attribute of the phantom."
    return note
