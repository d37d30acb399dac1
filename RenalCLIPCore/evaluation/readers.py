"""Readers against a model and against themselves with the model's help: binary calls in, comparisons out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..errors import UndefinedMeasureError
from .classification import Array, ThresholdCounts, checked_binary
from .curves import wilson_interval
from .paired import McNemarTest, mcnemar

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Share:
    """A proportion with its 95 % Wilson interval; NaN where there is no case.

    Attributes:
        value: Events by cases.
        low: Lower end.
        high: Upper end.
        events: Numerator.
        cases: Denominator.
    """

    value: float
    low: float
    high: float
    events: int
    cases: int

    @staticmethod
    def of(right: npt.NDArray[np.bool_]) -> Share:
        """Share of the true values."""
        if not len(right):
            return Share(float("nan"), float("nan"), float("nan"), 0, 0)
        low, high = wilson_interval([right.sum()], [len(right)])
        return Share(float(right.mean()), float(low[0]), float(high[0]), int(right.sum()), len(right))


@dataclass(frozen=True)
class ReaderScore:
    """What one reader attains.

    Attributes:
        sensitivity: Share of the positive cases that are called positive.
        specificity: Share of the negative cases that are called negative.
        accuracy: Share of the cases that are called rightly.
    """

    sensitivity: Share
    specificity: Share
    accuracy: Share


@dataclass(frozen=True)
class MatchedComparison:
    """The model against a reader where one of sensitivity and specificity is the same, McNemar's test on the other.

    Attributes:
        threshold: The model's threshold.
        model: The model's measure there.
        reader: The reader's.
        test: First is the model, over the positive cases (sensitivity) or the negative ones (specificity).
    """

    threshold: float
    model: float
    reader: float
    test: McNemarTest


@dataclass(frozen=True)
class ReadingTimes:
    """Time per case without and with the model.

    Attributes:
        without: Median in seconds.
        with_model: Median in seconds.
        change: Median of the differences (with less without).
        cases: Cases read both ways.
        p: Wilcoxon's signed-rank test, two-sided; 1 where no time differs.
    """

    without: float
    with_model: float
    change: float
    cases: int
    p: float


def reader_score(labels: npt.ArrayLike, calls: npt.ArrayLike) -> ReaderScore:
    """Sensitivity, specificity and accuracy of calls.

    Args:
        labels: (n,) 0 or 1.
        calls: (n,) 0 or 1.

    Raises:
        UndefinedMeasureError: There is no case.
    """
    truth, called = np.asarray(labels) == 1, np.asarray(calls) == 1
    if not len(truth):
        raise UndefinedMeasureError("A reader's scores need at least one case.")
    return ReaderScore(Share.of(called[truth]), Share.of(~called[~truth]), Share.of(called == truth))


def matched_sensitivity(labels: npt.ArrayLike, scores: npt.ArrayLike, calls: npt.ArrayLike) -> MatchedComparison:
    """The model's sensitivity at the lowest threshold whose specificity is at least the reader's.

    Args:
        labels: (n,) 0 or 1.
        scores: (n,) of the model.
        calls: (n,) 0 or 1 of the reader.

    Raises:
        UndefinedMeasureError: Only one class occurs, or a score is not finite.
    """
    truth, values = checked_binary(labels, scores)
    called, positive = np.asarray(calls) == 1, truth == 1
    specificity = float((~called[~positive]).mean())
    threshold = _lowest_threshold(truth, values, specificity)
    hits = values[positive] >= threshold
    return MatchedComparison(
        threshold, float(hits.mean()), float(called[positive].mean()), mcnemar(hits, called[positive])
    )


def matched_specificity(labels: npt.ArrayLike, scores: npt.ArrayLike, calls: npt.ArrayLike) -> MatchedComparison:
    """The model's specificity at the highest threshold whose sensitivity is at least the reader's.

    Args:
        labels: (n,) 0 or 1.
        scores: (n,) of the model.
        calls: (n,) 0 or 1 of the reader.

    Raises:
        UndefinedMeasureError: Only one class occurs, or a score is not finite.
    """
    truth, values = checked_binary(labels, scores)
    called, positive = np.asarray(calls) == 1, truth == 1
    sensitivity = float(called[positive].mean())
    counts = ThresholdCounts.of(truth, values, np.ones(len(truth)))
    attained = counts.positive / counts.positive[-1] >= sensitivity - 1e-12
    threshold = float("inf") if sensitivity == 0 else float(counts.thresholds[int(np.argmax(attained))])
    rejections = values[~positive] < threshold
    return MatchedComparison(
        threshold, float(rejections.mean()), float((~called[~positive]).mean()), mcnemar(rejections, ~called[~positive])
    )


def reading_times(without: npt.ArrayLike, with_model: npt.ArrayLike) -> ReadingTimes:
    """Compare the times of the same cases read without and with the model.

    Args:
        without: (n,) seconds.
        with_model: (n,) seconds.

    Raises:
        UndefinedMeasureError: There is no case.
    """
    from scipy.stats import wilcoxon

    one, two = np.asarray(without, dtype=float), np.asarray(with_model, dtype=float)
    if not len(one):
        raise UndefinedMeasureError("Reading times need at least one case that was read both ways.")
    change = two - one
    p = float(wilcoxon(change, method="approx" if len(change) > 50 else "auto").pvalue) if np.any(change) else 1.0
    return ReadingTimes(float(np.median(one)), float(np.median(two)), float(np.median(change)), len(one), p)


def similarity(calls: Sequence[npt.ArrayLike]) -> tuple[Array, Array]:
    """Agreement of observers in pairs, over the cases that both called.

    Args:
        calls: One array (n,) per observer, NaN where a case was not called.

    Returns:
        Share of equal calls (m, m), and Cohen's kappa (1960) (m, m), NaN where both give one and the same call alone.
    """
    table = np.array([np.asarray(observer, dtype=float) for observer in calls])
    equal, kappa = np.full((len(table), len(table)), np.nan), np.full((len(table), len(table)), np.nan)
    for i, one in enumerate(table):
        for j, two in enumerate(table):
            both = ~np.isnan(one) & ~np.isnan(two)
            if both.any():
                a, b = one[both], two[both]
                equal[i, j] = float(np.mean(a == b))
                chance = float(a.mean() * b.mean() + (1 - a.mean()) * (1 - b.mean()))
                kappa[i, j] = (equal[i, j] - chance) / (1 - chance) if chance < 1 else np.nan
    return equal, kappa


def _lowest_threshold(truth: Array, values: Array, specificity: float) -> float:
    counts = ThresholdCounts.of(truth, values, np.ones(len(truth)))
    kept = 1 - counts.negative / counts.negative[-1] >= specificity - 1e-12
    return float(counts.thresholds[kept][-1]) if kept.any() else float("inf")
