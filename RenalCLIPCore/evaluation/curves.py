"""Curves of binary classification: ROC, precision-recall, calibration, decision. Arrays in, points out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..errors import UndefinedMeasureError
from .bootstrap import HALF_WIDTH
from .classification import Array, ThresholdCounts, checked_binary, checked_probabilities

BINS = 10


@dataclass(frozen=True, eq=False)
class RocCurve:
    """Points of a ROC curve from (0, 0) to (1, 1), one per different score.

    Attributes:
        false_positive_rate: (m,) 1 - specificity, rising.
        sensitivity: (m,) rising.
        thresholds: (m,) falling, the first infinite; scores from the threshold on are called positive.
    """

    false_positive_rate: Array
    sensitivity: Array
    thresholds: Array


@dataclass(frozen=True, eq=False)
class CalibrationCurve:
    """Predicted probability against observed frequency in bins of equal numbers of cases.

    Attributes:
        predicted: (b,) mean probability in each bin.
        observed: (b,) frequency of class 1.
        low: (b,) lower end of its 95 % Wilson interval.
        high: (b,) upper end.
        cases: (b,) number of cases.
    """

    predicted: Array
    observed: Array
    low: Array
    high: Array
    cases: npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class DecisionCurve:
    """Net benefit per case (Vickers and Elkin 2006) over threshold probabilities; higher is better.

    Attributes:
        thresholds: (t,) probability at which a case is treated.
        model: (t,) treating whom the model puts at or above the threshold.
        treat_all: (t,) treating everybody; treating nobody is 0.
    """

    thresholds: Array
    model: Array
    treat_all: Array


def roc_curve(labels: npt.ArrayLike, scores: npt.ArrayLike) -> RocCurve:
    """Every point of the ROC curve.

    Raises:
        UndefinedMeasureError: Only one class occurs, or a score is not finite.
    """
    truth, values = checked_binary(labels, scores)
    counts = ThresholdCounts.of(truth, values, np.ones(len(truth)))
    false_positive_rate = np.append(0.0, counts.negative / counts.negative[-1])
    sensitivity = np.append(0.0, counts.positive / counts.positive[-1])
    return RocCurve(false_positive_rate, sensitivity, np.append(np.inf, counts.thresholds))


def precision_recall_curve(labels: npt.ArrayLike, scores: npt.ArrayLike) -> tuple[Array, Array]:
    """Recall (rising) and precision of every threshold, from (recall 0, precision 1).

    Raises:
        UndefinedMeasureError: As for :func:`roc_curve`.
    """
    truth, values = checked_binary(labels, scores)
    counts = ThresholdCounts.of(truth, values, np.ones(len(truth)))
    called = counts.positive + counts.negative
    return np.append(0.0, counts.positive / counts.positive[-1]), np.append(1.0, counts.positive / called)


def calibration_curve(labels: npt.ArrayLike, probabilities: npt.ArrayLike, bins: int = BINS) -> CalibrationCurve:
    """Observed frequency of class 1 against its probability, in bins of equal numbers of cases (ties stay together).

    Args:
        labels: (n,) 0 or 1; one class alone is allowed.
        probabilities: (n,) of class 1.
        bins: At most this many.

    Raises:
        UndefinedMeasureError: There is no case, or a probability is not within 0 to 1.
    """
    truth, values = checked_probabilities(labels, probabilities)
    edges = np.unique(np.quantile(values, np.linspace(0, 1, bins + 1)[1:-1]))
    place = np.searchsorted(edges, values, side="left")
    used = np.unique(place)
    cases = np.array([(place == k).sum() for k in used])
    predicted = np.array([values[place == k].mean() for k in used])
    events = np.array([(truth[place == k] == 1).sum() for k in used])
    low, high = wilson_interval(events, cases)
    return CalibrationCurve(predicted, events / cases, low, high, cases)


def wilson_interval(events: npt.ArrayLike, cases: npt.ArrayLike) -> tuple[Array, Array]:
    """95 % score interval of proportions (Wilson 1927), within 0 to 1.

    Args:
        events: (b,) counts.
        cases: (b,) counts above 0.
    """
    k, n = np.asarray(events, dtype=float), np.asarray(cases, dtype=float)
    share, spread = k / n, HALF_WIDTH**2 / n
    centre = (share + spread / 2) / (1 + spread)
    half = HALF_WIDTH * np.sqrt(share * (1 - share) / n + spread / (4 * n)) / (1 + spread)
    return np.clip(centre - half, 0, 1), np.clip(centre + half, 0, 1)


def decision_curve(
    labels: npt.ArrayLike, probabilities: npt.ArrayLike, thresholds: npt.ArrayLike | None = None
) -> DecisionCurve:
    """Net benefit: share of true positives less that of false positives, weighted by the odds of the threshold.

    Args:
        labels: (n,) 0 or 1.
        probabilities: (n,) calibrated probability of class 1.
        thresholds: (t,) above 0 and below 1; 0.01 to 0.99 when not given.

    Raises:
        UndefinedMeasureError: There is no case, or a probability is not within 0 to 1.
    """
    truth, values = checked_probabilities(labels, probabilities)
    at = np.linspace(0.01, 0.99, 99) if thresholds is None else np.asarray(thresholds, dtype=float)
    if np.any((at <= 0) | (at >= 1)):
        raise UndefinedMeasureError("Net benefit is defined for threshold probabilities above 0 and below 1.")
    called = values[None, :] >= at[:, None]
    odds = at / (1 - at)
    hits = (called & (truth == 1)).mean(axis=1)
    alarms = (called & (truth != 1)).mean(axis=1)
    prevalence = float(np.mean(truth == 1))
    return DecisionCurve(at, hits - alarms * odds, prevalence - (1 - prevalence) * odds)
