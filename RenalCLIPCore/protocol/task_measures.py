"""The measures of each task, as functions of bootstrap weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial

import numpy as np
import numpy.typing as npt

from ..cohort.table import EVERY_TASK_CLASSES, CohortRow
from ..errors import UndefinedMeasureError
from ..evaluation import classification, survival
from ..evaluation.bootstrap import Interval, Measure, interval, patient_resamples

Array = npt.NDArray[np.float64]
LOWER_IS_BETTER = ("Brier", "ECE")
CONCORDANCE = "Harrell's C"


def main_measure(task: str) -> str:
    """Name of the measure that the paper compares models by."""
    if task not in EVERY_TASK_CLASSES:
        return CONCORDANCE
    return "AUROC" if len(EVERY_TASK_CLASSES[task]) == 2 else "macro AUROC"


def task_measures(
    task: str, rows: Sequence[CohortRow], values: Array, *, calibrated: bool = True
) -> dict[str, Measure]:
    """Threshold-free measures of a task, the main one first.

    Args:
        task: A task or endpoint.
        rows: Its labelled cases.
        values: (n, K) scores, the last column of the second of two classes.
        calibrated: Whether the scores are probabilities, so that Brier score and calibration error are due.
    """
    if task not in EVERY_TASK_CLASSES:
        months, event = follow_up(task, rows)
        return {CONCORDANCE: partial(survival.weighted_concordance, months, event, values[:, -1])}
    labels = np.array([row.labels[task] for row in rows])
    if len(EVERY_TASK_CLASSES[task]) > 2:
        return {"macro AUROC": partial(classification.weighted_macro_auroc, labels, values)}
    positive = values[:, -1]
    measures: dict[str, Measure] = {
        "AUROC": partial(classification.weighted_auroc, labels, positive),
        "average precision": partial(classification.weighted_average_precision, labels, positive),
        "PR-AUC (trapezoids)": partial(classification.weighted_pr_auc, labels, positive),
    }
    if calibrated:
        measures["Brier"] = partial(classification.weighted_brier, labels, positive)
        measures["ECE"] = partial(classification.weighted_calibration_error, labels, positive)
    return measures


def threshold_measures(task: str, rows: Sequence[CohortRow], score: Array, threshold: float) -> dict[str, Measure]:
    """Sensitivity, specificity and F1 of a binary task at a threshold, which stays the same in every resample."""
    labels = np.array([row.labels[task] for row in rows])

    def one(name: str, weights: Array) -> Array:
        return classification.weighted_at_threshold(labels, score, weights, threshold)[name]

    return {words: partial(one, name) for words, name in _AT_THRESHOLD.items()}


_AT_THRESHOLD: Mapping[str, str] = {"sensitivity": "sensitivity", "specificity": "specificity", "F1": "f1"}


def follow_up(endpoint: str, rows: Sequence[CohortRow]) -> tuple[Array, npt.NDArray[np.bool_]]:
    """Months and events of an endpoint."""
    seen = [row.follow_up[endpoint] for row in rows]
    return np.array([item.months for item in seen]), np.array([item.event for item in seen], dtype=bool)


def are_probabilities(values: Array) -> bool:
    """Whether all scores lie within 0 to 1."""
    return bool(np.all((values >= 0) & (values <= 1)))


def interval_or_none(measure: Callable[[Array], Array], weights: Array) -> Interval | None:
    """The interval of a measure; None where it is undefined for the cases."""
    try:
        return interval(measure, weights)
    except UndefinedMeasureError:
        return None


@lru_cache(maxsize=8)
def resampled(patients: tuple[str, ...], resamples: int, seed: int) -> Array:
    """Weights of :func:`RenalCLIPCore.evaluation.bootstrap.patient_resamples`; the same cases get the same ones."""
    weights = patient_resamples(patients, resamples, seed)
    weights.setflags(write=False)
    return weights
