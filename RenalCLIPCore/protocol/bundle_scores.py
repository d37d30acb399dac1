"""A bundle's scores on held-out cases, per task with bootstrap intervals, beside what the phantom allows."""

from __future__ import annotations

import csv
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..cohort.table import TASK_CLASSES, CohortRow
from ..evaluation.bootstrap import Interval, patient_resamples
from .joining import is_labelled
from .predictions import Prediction
from .task_measures import interval_or_none, task_measures

Array = npt.NDArray[np.float64]

ORACLE = "oracle"
_GEOMETRIC = tuple(task for task in TASK_CLASSES if task.startswith("renal_"))
_COLUMNS = ("task", "measure", "reader", "cases", "value", "low", "high", "resamples")


@dataclass(frozen=True)
class Score:
    """One measure of one task.

    Attributes:
        task: For instance ``malignancy``.
        measure: ``macro AUROC``, ``AUROC``, ``average precision``, ``PR-AUC (trapezoids)``, ``Brier``, ``ECE`` or
            ``Harrell's C``.
        reader: The phases that the bundle read, or ``oracle``.
        cases: Number of cases.
        interval: Value and interval; None where the measure is undefined for these cases.
    """

    task: str
    measure: str
    reader: str
    cases: int
    interval: Interval | None


def score_predictions(
    predictions: Sequence[Prediction], rows: Sequence[CohortRow], *, resamples: int = 1000, seed: int = 0
) -> list[Score]:
    """Scores per task and reader. Survival is scored on malignant cases with follow-up.

    The oracle is the best observer of the phantom's hidden attributes. For R.E.N.A.L. components it is 1 by
    construction, since the truth is a function of the shapes.

    Args:
        predictions: Of :func:`RenalCLIPCore.protocol.predictions.predict_cohort`.
        rows: Every case that was predicted.
        resamples: Of the bootstrap over patients.
        seed: Of the bootstrap.
    """
    outputs: dict[tuple[str, str], dict[tuple[str, str], list[float]]] = defaultdict(lambda: defaultdict(list))
    for item in predictions:
        outputs[item.task, item.phases][item.patient, item.side].append(item.score)
    found: list[Score] = []
    for task in dict.fromkeys(task for task, _ in outputs):
        readers: dict[str, Mapping[tuple[str, str], list[float]]] = {r: v for (t, r), v in outputs.items() if t == task}
        readers[ORACLE] = {(r.patient, r.side): [r.oracle[task]] for r in rows if task in r.oracle}
        for reader, values in readers.items():
            known = [row for row in rows if (row.patient, row.side) in values and is_labelled(task, row)]
            if known:
                array = np.array([values[row.patient, row.side] for row in known])
                found += _task_scores(task, reader, known, array, resamples, seed)
    return found


def write_scores(scores: Sequence[Score], folder: Path, title: str) -> None:
    """Write ``scores.csv`` and ``scores.md`` by atomic rename."""
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / ".partial-scores.csv"
    with partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(_COLUMNS)
        for score in scores:
            i = score.interval
            numbers = (i.value, i.low, i.high, i.resamples) if i else ("", "", "", 0)
            writer.writerow((score.task, score.measure, score.reader, score.cases, *numbers))
    os.replace(partial, folder / "scores.csv")
    page = folder / ".partial-scores.md"
    page.write_text(to_markdown(scores, title), encoding="utf-8")
    os.replace(page, folder / "scores.md")


def to_markdown(scores: Sequence[Score], title: str) -> str:
    """One table: a row per task and measure, a column per reader, 95 % intervals in brackets."""
    readers = list(dict.fromkeys(score.reader for score in scores if score.reader != ORACLE))
    readers += [ORACLE] if any(score.reader == ORACLE for score in scores) else []
    cells = {(score.task, score.measure, score.reader): score for score in scores}
    lines = [
        f"# {title}",
        "",
        f"| task | measure | cases | {' | '.join(readers)} |",
        "|" + " --- |" * (3 + len(readers)),
    ]
    for task, measure in dict.fromkeys((score.task, score.measure) for score in scores if score.reader != ORACLE):
        cases = next(score.cases for score in scores if (score.task, score.measure) == (task, measure))
        values = [_cell(cells.get((task, measure, reader)), task, measure, reader) for reader in readers]
        lines.append(f"| {task} | {measure} | {cases} | {' | '.join(values)} |")
    lines += ["", "95 % intervals: percentiles of resamples over patients. Brier and ECE are better when lower."]
    if ORACLE in readers:
        lines.append(
            "The oracle knows every hidden attribute of the phantom; for R.E.N.A.L. components it is 1 by construction "
            "because the truth is a function of the shapes."
        )
    return "\n".join(lines) + "\n"


def _cell(score: Score | None, task: str, measure: str, reader: str) -> str:
    if reader == ORACLE and task in _GEOMETRIC and measure == "macro AUROC":
        return "1 by construction"
    if score is None:
        return "-"
    if score.interval is None:
        return "undefined"
    return f"{score.interval.value:.3f} ({score.interval.low:.3f} to {score.interval.high:.3f})"


def _task_scores(
    task: str, reader: str, rows: Sequence[CohortRow], values: Array, resamples: int, seed: int
) -> list[Score]:
    weights = patient_resamples([row.patient for row in rows], resamples, seed)
    measures = task_measures(task, rows, values, calibrated=reader != ORACLE)
    return [
        Score(task, name, reader, len(rows), interval_or_none(measure, weights)) for name, measure in measures.items()
    ]
