"""Measures of classification. Arrays in, numbers out.

The ``weighted_`` cores take ``weights`` (..., n): how often each sample counts, in as many resamples as there are
leading axes, so that a bootstrap (:mod:`RenalCLIPCore.evaluation.bootstrap`) is one call. In a resample where a measure
is undefined its value is NaN; for the samples themselves it is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import UndefinedMeasureError

Array = npt.NDArray[np.float64]


def auroc(labels: npt.ArrayLike, scores: npt.ArrayLike) -> float:
    """Area under the ROC curve; higher is better, 0.5 is chance. Ties count half (Hanley and McNeil 1982).

    Args:
        labels: (n,) 0 or 1.
        scores: (n,) finite, higher speaks for class 1.

    Raises:
        UndefinedMeasureError: Only one class occurs, or a score is not finite.
    """
    truth, values = checked_binary(labels, scores)
    return float(weighted_auroc(truth, values, np.ones(len(truth))))


def macro_auroc(labels: npt.ArrayLike, scores: npt.ArrayLike) -> float:
    """Unweighted mean over the classes of the one-vs-rest AUROC; higher is better. Two classes give :func:`auroc`.

    Args:
        labels: (n,) class 0 .. K-1.
        scores: (n, K) finite, higher speaks for the class of the column.

    Raises:
        UndefinedMeasureError: A class of the K does not occur, or a score is not finite.
    """
    truth, values = _multiclass(labels, scores)
    return float(weighted_macro_auroc(truth, values, np.ones(len(truth))))


def pr_auc(labels: npt.ArrayLike, scores: npt.ArrayLike) -> float:
    """Area under the precision-recall curve by trapezoids, from (recall 0, precision 1); higher is better.

    The paper's reference code uses it; it is optimistic (Davis and Goadrich 2006), see :func:`average_precision`.

    Raises:
        UndefinedMeasureError: As for :func:`auroc`.
    """
    truth, values = checked_binary(labels, scores)
    return float(weighted_pr_auc(truth, values, np.ones(len(truth))))


def average_precision(labels: npt.ArrayLike, scores: npt.ArrayLike) -> float:
    """Sum of precision times gain of recall over the thresholds (no interpolation); higher is better.

    Raises:
        UndefinedMeasureError: As for :func:`auroc`.
    """
    truth, values = checked_binary(labels, scores)
    return float(weighted_average_precision(truth, values, np.ones(len(truth))))


def youden_threshold(labels: npt.ArrayLike, scores: npt.ArrayLike) -> float:
    """The score at which sensitivity + specificity - 1 is largest (Youden 1950); the highest one when several are.

    A score equal to the threshold is called positive.

    Raises:
        UndefinedMeasureError: As for :func:`auroc`.
    """
    truth, values = checked_binary(labels, scores)
    curve = ThresholdCounts.of(truth, values, np.ones(len(truth)))
    gain = curve.positive / curve.positive[-1] - curve.negative / curve.negative[-1]
    # equal gains may differ by rounding
    return float(curve.thresholds[int(np.argmax(gain >= gain.max() - 1e-12))])


@dataclass(frozen=True)
class AtThreshold:
    """Measures at one threshold; all are better when higher.

    Attributes:
        threshold: Scores from here on are called positive.
        sensitivity: Share of the positive samples that are called positive.
        specificity: Share of the negative samples that are called negative.
        f1: Harmonic mean of precision and sensitivity; 0 when nothing positive is found.
    """

    threshold: float
    sensitivity: float
    specificity: float
    f1: float


def at_threshold(labels: npt.ArrayLike, scores: npt.ArrayLike, threshold: float) -> AtThreshold:
    """Sensitivity, specificity and F1 at a threshold.

    Raises:
        UndefinedMeasureError: As for :func:`auroc`.
    """
    truth, values = checked_binary(labels, scores)
    measures = weighted_at_threshold(truth, values, np.ones(len(truth)), threshold)
    return AtThreshold(threshold, *(float(measures[name]) for name in ("sensitivity", "specificity", "f1")))


def brier(labels: npt.ArrayLike, probabilities: npt.ArrayLike) -> float:
    """Mean squared error of probabilities; lower is better. For K classes summed over the classes (Brier 1950).

    Args:
        labels: (n,) class.
        probabilities: (n,) of class 1, or (n, K).

    Raises:
        UndefinedMeasureError: There is no sample, or a probability is not within 0 to 1.
    """
    truth, values = checked_probabilities(labels, probabilities)
    if values.ndim == 1:
        return float(weighted_brier(truth, values, np.ones(len(truth))))
    return float(np.mean(((values - np.eye(values.shape[1])[truth]) ** 2).sum(axis=1)))


def calibration_error(labels: npt.ArrayLike, probabilities: npt.ArrayLike, bins: int = 10) -> float:
    """Expected calibration error: mean distance of confidence and accuracy over equal bins; lower is better.

    For (n,) probabilities of class 1 the frequency of class 1 is compared with its probability; for (n, K) the accuracy
    of the most probable class with its probability (Guo et al. 2017). A probability on the edge of two bins belongs
    to the lower one.

    Raises:
        UndefinedMeasureError: As for :func:`brier`.
    """
    truth, values = checked_probabilities(labels, probabilities)
    if values.ndim == 1:
        return float(weighted_calibration_error(truth, values, np.ones(len(truth)), bins))
    correct = values.argmax(axis=1) == truth
    return float(weighted_calibration_error(correct, values.max(axis=1), np.ones(len(truth)), bins))


def log_loss(labels: npt.ArrayLike, probabilities: npt.ArrayLike) -> float:
    """Mean negative log probability of the true class; lower is better.

    Args:
        labels: (n,) class 0 .. K-1.
        probabilities: (n, K).

    Raises:
        UndefinedMeasureError: As for :func:`brier`.
    """
    truth, values = checked_probabilities(labels, probabilities)
    chosen = values[np.arange(len(truth)), truth]
    return float(-np.mean(np.log(np.maximum(chosen, np.finfo(float).tiny))))


def weighted_auroc(truth: npt.NDArray[Any], scores: Array, weights: Array) -> Array:
    """AUROC per resample (...,) of weights (..., n)."""
    curve = ThresholdCounts.of(truth, scores, weights)
    before = np.concatenate([np.zeros_like(curve.positive[..., :1]), curve.positive[..., :-1]], axis=-1)
    gained = np.diff(curve.negative, axis=-1, prepend=0.0)
    area = (gained * (curve.positive + before) / 2).sum(axis=-1)
    return _ratio(area, curve.positive[..., -1] * curve.negative[..., -1])


def weighted_macro_auroc(truth: npt.NDArray[Any], scores: Array, weights: Array) -> Array:
    """Macro one-vs-rest AUROC per resample (...,) of weights (..., n)."""
    columns = range(scores.shape[1])
    return np.mean([weighted_auroc(truth == k, scores[:, k], weights) for k in columns], axis=0)


def weighted_pr_auc(truth: npt.NDArray[Any], scores: Array, weights: Array) -> Array:
    """Area under the precision-recall curve (trapezoids) per resample of weights (..., n)."""
    precision, recall = _precision_recall(truth, scores, weights)
    first = np.ones_like(precision[..., :1])
    previous = np.concatenate([first, precision[..., :-1]], axis=-1)
    return (np.diff(recall, axis=-1, prepend=0.0) * (precision + previous) / 2).sum(axis=-1)


def weighted_average_precision(truth: npt.NDArray[Any], scores: Array, weights: Array) -> Array:
    """Average precision per resample of weights (..., n)."""
    precision, recall = _precision_recall(truth, scores, weights)
    return (np.diff(recall, axis=-1, prepend=0.0) * precision).sum(axis=-1)


def weighted_at_threshold(truth: npt.NDArray[Any], scores: Array, weights: Array, threshold: float) -> dict[str, Array]:
    """Sensitivity, specificity and F1 per resample of weights (..., n)."""
    called, truth = scores >= threshold, truth.astype(bool)
    hits, misses = weights @ (called & truth), weights @ (~called & truth)
    alarms, rejections = weights @ (called & ~truth), weights @ (~called & ~truth)
    return {
        "sensitivity": _ratio(hits, hits + misses),
        "specificity": _ratio(rejections, rejections + alarms),
        "f1": _ratio(2 * hits, 2 * hits + misses + alarms),
    }


def weighted_brier(truth: npt.NDArray[Any], probabilities: Array, weights: Array) -> Array:
    """Brier score of class 1 per resample of weights (..., n)."""
    return _ratio(weights @ (probabilities - truth) ** 2, weights.sum(axis=-1))


def weighted_calibration_error(truth: npt.NDArray[Any], probabilities: Array, weights: Array, bins: int = 10) -> Array:
    """Expected calibration error of class 1 per resample of weights (..., n)."""
    place = np.clip(np.ceil(probabilities * bins).astype(int) - 1, 0, bins - 1)
    gaps = np.where(place[:, None] == np.arange(bins), (truth.astype(float) - probabilities)[:, None], 0.0)
    return _ratio(np.abs(weights @ gaps).sum(axis=-1), weights.sum(axis=-1))


@dataclass(frozen=True, eq=False)
class ThresholdCounts:
    """Weight of the positive and negative samples (..., T) with a score of at least each threshold (T,), falling."""

    thresholds: Array
    positive: Array
    negative: Array

    @staticmethod
    def of(truth: npt.NDArray[Any], scores: Array, weights: Array) -> ThresholdCounts:
        """Counts of truth (n,) 0 or 1 and scores (n,) under weights (..., n)."""
        order = np.argsort(-scores, kind="stable")
        ordered, positive = scores[order], truth[order].astype(bool)
        ends = np.append(np.flatnonzero(np.diff(ordered)), len(ordered) - 1)
        sorted_weights = weights[..., order]
        return ThresholdCounts(
            ordered[ends],
            np.cumsum(np.where(positive, sorted_weights, 0.0), axis=-1)[..., ends],
            np.cumsum(np.where(positive, 0.0, sorted_weights), axis=-1)[..., ends],
        )


def _precision_recall(truth: npt.NDArray[Any], scores: Array, weights: Array) -> tuple[Array, Array]:
    curve = ThresholdCounts.of(truth, scores, weights)
    called = curve.positive + curve.negative
    # thresholds above which a resample has no sample leave precision at its limit of 1
    precision = np.where(called > 0, curve.positive / np.where(called > 0, called, 1.0), 1.0)
    return precision, _ratio(curve.positive, curve.positive[..., -1:])


def _ratio(numerator: Array, denominator: Array) -> Array:
    numerator, denominator = np.broadcast_arrays(numerator, denominator)
    out = np.full(numerator.shape, np.nan)
    return np.divide(numerator, denominator, out=out, where=denominator > 0)


def checked_binary(labels: npt.ArrayLike, scores: npt.ArrayLike) -> tuple[npt.NDArray[Any], Array]:
    """Labels 0 or 1 and finite scores as arrays.

    Raises:
        UndefinedMeasureError: Only one class occurs, or a score is not finite.
    """
    truth, values = np.asarray(labels), np.asarray(scores, dtype=float)
    if values.ndim != 1 or truth.shape != values.shape:
        raise ValueError(f"one score per label is needed, found {truth.shape} labels and {values.shape} scores")
    if not np.all(np.isfinite(values)):
        raise UndefinedMeasureError("Scores must be finite; a model that yields other values cannot be evaluated.")
    if set(np.unique(truth)) != {0, 1}:
        raise UndefinedMeasureError(
            "The measure needs samples of both classes, 0 and 1; it is undefined for one alone."
        )
    return truth, values


def _multiclass(labels: npt.ArrayLike, scores: npt.ArrayLike) -> tuple[npt.NDArray[Any], Array]:
    truth, values = np.asarray(labels), np.asarray(scores, dtype=float)
    if values.ndim != 2 or truth.shape != values.shape[:1]:
        raise ValueError(f"one row of scores per label is needed, found {truth.shape} labels, {values.shape} scores")
    if not np.all(np.isfinite(values)):
        raise UndefinedMeasureError("Scores must be finite; a model that yields other values cannot be evaluated.")
    if set(np.unique(truth)) != set(range(values.shape[1])):
        raise UndefinedMeasureError(f"The macro average needs samples of every one of the {values.shape[1]} classes.")
    return truth, values


def checked_probabilities(labels: npt.ArrayLike, probabilities: npt.ArrayLike) -> tuple[npt.NDArray[np.int64], Array]:
    """Labels and probabilities as arrays.

    Raises:
        UndefinedMeasureError: There is no sample, or a probability is not within 0 to 1.
    """
    truth, values = np.asarray(labels, dtype=np.int64), np.asarray(probabilities, dtype=float)
    if truth.ndim != 1 or values.shape[:1] != truth.shape:
        raise ValueError(f"one probability per label is needed, found {truth.shape} and {values.shape}")
    if not len(truth) or not np.all((values >= 0) & (values <= 1)):
        raise UndefinedMeasureError("The measure needs at least one sample, and probabilities from 0 to 1.")
    return truth, values
