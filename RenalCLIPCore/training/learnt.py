"""What a run's networks say of its own cohort, and what a bundle learns from it: calibration, risk, outliers, index."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from ..cohort.dataset import MISSING, RoiDataset, every_phase
from ..cohort.roi_store import RoiStore
from ..cohort.table import EVERY_TASK_CLASSES, TASK_CLASSES, CohortRow
from ..errors import UndefinedMeasureError
from ..evaluation.classification import youden_threshold
from ..evaluation.survival import baseline_cumulative_hazard, kaplan_meier
from ..models.encoder import RenalEncoder
from ..models.feature_statistics import FeatureStatistics, fit_feature_statistics
from ..models.manifest import OutOfDistributionRule, Risk, Task
from ..models.tasks import TASKS
from ..progress import Progress
from .calibration import before_temperature, fit_temperature, says_nothing
from .fine_tuning_stages import SURVIVAL_TASK
from .prediction import Array, Predictions, predict, softmax
from .tasks import survival_rows

MONTHS = tuple(float(month) for month in range(0, 121, 3))
OUTLIER_PERCENTILE = 99.0


@dataclass(frozen=True, eq=False)
class Learnt:
    """Predictions of both splits with the rows in their order."""

    training: Predictions
    training_rows: Sequence[CohortRow]
    validation: Predictions
    validation_rows: Sequence[CohortRow]

    def task(self, name: str, hidden: int, shift: Sequence[float] = ()) -> Task:
        """The manifest's entry of a task; see :func:`task_entry`."""
        return task_entry(name, hidden, self.validation, self.validation_rows, shift)

    def risk(self) -> Risk:
        """Median, baseline hazard and group curves of the malignant training cases."""
        return risk_of(self.training, self.training_rows)

    def outliers(self) -> tuple[FeatureStatistics, OutOfDistributionRule]:
        """Statistics of the training features, and the distance that few validation cases exceed."""
        statistics = fit_feature_statistics(self.training.fused()[0])
        distances = statistics.distance(self.validation.fused()[0])
        rule = OutOfDistributionRule(
            threshold=float(np.percentile(distances, OUTLIER_PERCENTILE)),
            percentile=OUTLIER_PERCENTILE,
            source=f"{len(distances)} validation cases, features averaged over phases",
        )
        return statistics, rule


def task_entry(
    name: str, hidden: int, validation: Predictions, rows: Sequence[CohortRow], shift: Sequence[float] = ()
) -> Task:
    """A manifest's entry of a task, calibrated on the validation split.

    Args:
        name: Of the task.
        hidden: Units of its head.
        validation: Of every phase of every validation case.
        rows: The cases' rows, in the order of ``validation.cases``.
        shift: What the logits lack of the classes' frequencies (``prior_shift``); whoever keeps the head adds it times
            the temperature to its logits.
    """
    definition = TASKS[name]
    if name == SURVIVAL_TASK:
        return Task(name=name, kind="survival", hidden=hidden)
    labels = np.array([row.labels.get(name, MISSING) for row in rows])
    known = labels != MISSING
    logits = validation.fused()[1][name][known]
    temperature = fit_temperature(logits, labels[known], shift)
    source = f"fitted to the fused logits of {int(known.sum())} validation cases"
    source += ", whose classes they do not tell apart" * says_nothing(temperature)
    entry = Task(
        name=name,
        classes=EVERY_TASK_CLASSES[name],
        points=definition.points,
        hidden=hidden,
        temperature=temperature,
        temperature_source=source,
    )
    shifted = logits + np.array(before_temperature(shift, temperature) or 0.0)
    return _with_threshold(entry, labels[known], softmax(shifted, temperature)) if len(entry.classes) == 2 else entry


def risk_of(training: Predictions, rows: Sequence[CohortRow]) -> Risk:
    """Median, baseline hazard and group curves of the malignant training cases.

    Args:
        training: Of every phase of every training case.
        rows: The cases' rows, in the order of ``training.cases``.
    """
    chosen = survival_rows(rows)
    follow_up = [rows[i].follow_up[SURVIVAL_TASK] for i in chosen]
    months, event = [f.months for f in follow_up], [f.event for f in follow_up]
    score = training.fused()[1][SURVIVAL_TASK][chosen, 0]
    high = score > np.median(score)
    last = max(month for month in MONTHS if month <= max(months))
    at = np.array([month for month in MONTHS if month <= last])
    curves = {}
    for group, members in (("low", ~high), ("high", high)):
        # where all scores are equal nobody is above the median; both groups are everyone then
        own = members if members.any() and not members.all() else np.ones(len(score), dtype=bool)
        curves[group] = kaplan_meier(np.array(months)[own], np.array(event)[own], at)
    return Risk(
        cohort=f"{len(chosen)} malignant training cases, {sum(event)} recurrences",
        median=float(np.median(score)),
        months=tuple(at.tolist()),
        baseline_cumulative_hazard=tuple(baseline_cumulative_hazard(months, event, score, at).tolist()),
        survival_low=tuple(curves["low"].tolist()),
        survival_high=tuple(curves["high"].tolist()),
    )


def predict_rows(
    encoder: nn.Module,
    heads: Mapping[str, nn.Module],
    rows: Sequence[CohortRow],
    store: RoiStore,
    batch_size: int,
    part: int,
    progress: Progress | None,
    *,
    one_phase: bool = False,
) -> Predictions:
    """Outputs of every phase of the rows; ``part`` is the half (0 or 1) of the whole work that this is."""
    dataset = RoiDataset(rows, store, one_phase=one_phase)
    total = sum(len(dataset.phases(row)) for row in range(len(dataset)))

    def told() -> Any:
        done = 0
        for batch in every_phase(dataset, batch_size, torch.device("cpu")):
            yield batch
            done += len(batch.case_ids)
            if progress:
                progress((part + done / total) / 2, "reading the training and validation cases")

    return predict(encoder, heads, told())


def _with_threshold(task: Task, labels: Any, probabilities: Array) -> Task:
    try:
        threshold = youden_threshold(labels, probabilities[:, 1])
    except UndefinedMeasureError:
        return task
    source = f"Youden's index on {len(labels)} validation cases, calibrated probabilities"
    return task.model_copy(update={"threshold": threshold, "threshold_source": source})


def embeddings(encoder: RenalEncoder, predictions: Predictions) -> Any:
    """Per case the mean of its phases' unit embeddings, brought back to unit length (as at inference)."""
    with torch.no_grad():
        units = encoder.project(torch.from_numpy(predictions.features).float()).double().numpy()
    mean, _ = replace(predictions, features=units, outputs={}).fused()
    return (mean / np.linalg.norm(mean, axis=1, keepdims=True)).astype(np.float32)


def round_to_half(model: nn.Module) -> None:
    """Round every weight to half precision, in place: everything is computed with what the file will hold."""
    for tensor in model.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(tensor.half())


def stored(module: Any) -> Any:
    """A copy in half precision, as it goes to the file."""
    duplicate: nn.Module = copy.deepcopy(module)
    return duplicate.half()


def facts(row: CohortRow) -> dict[str, str]:
    """What may be shown of a case as a neighbour: no patient data."""
    words: Mapping[str, str] = {
        "histology": row.histology,
        "grade": str(row.grade) if row.grade is not None else "",
        "largest diameter": f"{row.diameter_mm:.0f} mm" if row.diameter_mm is not None else "",
        **{
            task: TASK_CLASSES[task][row.labels[task]]
            for task in ("malignancy", "aggressiveness")
            if task in row.labels
        },
    }
    return {name: text for name, text in words.items() if text}
