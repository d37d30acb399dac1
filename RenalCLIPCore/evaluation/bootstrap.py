"""Bootstrap over patients: percentile intervals of a measure and of the difference of two models."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..errors import UndefinedMeasureError

Array = npt.NDArray[np.float64]
Measure = Callable[[Array], Array]

RESAMPLES = 1000
LEVEL = 0.95
HALF_WIDTH = 1.959963984540054  # of a 95 % normal interval, in standard errors
_SMALLEST_SHARE = 0.5


@dataclass(frozen=True)
class Interval:
    """A measure with its percentile interval.

    Attributes:
        value: Of the samples themselves.
        low: Lower bound.
        high: Upper bound.
        resamples: Resamples in which the measure is defined.
    """

    value: float
    low: float
    high: float
    resamples: int


@dataclass(frozen=True)
class Difference:
    """First model minus second, on the same resamples.

    Attributes:
        value: Of the samples themselves.
        low: Lower bound.
        high: Upper bound.
        p: Two-sided: twice the smaller share of resamples on either side of 0 (equal ones count half), at most 1 and
            at least 2 / (resamples + 1), the smallest that so many resamples can show.
        resamples: Resamples in which both are defined.
    """

    value: float
    low: float
    high: float
    p: float
    resamples: int


def patient_resamples(patients: Sequence[Hashable], resamples: int = RESAMPLES, seed: int = 0) -> Array:
    """How often each sample counts when whole patients are drawn with replacement.

    Args:
        patients: (n,) patient of each sample.
        resamples: Number of resamples.
        seed: Of the draw.

    Returns:
        (resamples, n).
    """
    place = {patient: number for number, patient in enumerate(dict.fromkeys(patients))}
    count = len(place)
    drawn = np.random.default_rng(seed).integers(count, size=(resamples, count))
    counts = np.zeros((resamples, count))
    np.add.at(counts, (np.arange(resamples)[:, None], drawn), 1.0)
    return counts[:, [place[patient] for patient in patients]]


def interval(measure: Measure, weights: Array, level: float = LEVEL) -> Interval:
    """Percentile interval (Efron 1979) of a measure.

    Args:
        measure: Values (...,) of weights (..., n), as the ``weighted_`` functions have them.
        weights: Of :func:`patient_resamples`.
        level: Of the interval.

    Raises:
        UndefinedMeasureError: The measure is undefined for the samples, or in more than half of the resamples.
    """
    value = float(measure(np.ones(weights.shape[1])))
    values = _defined(measure(weights), value)
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, float(low), float(high), len(values))


def difference(first: Measure, second: Measure, weights: Array, level: float = LEVEL) -> Difference:
    """Paired difference of a measure between two models on the same samples.

    Args:
        first: Of the first model.
        second: Of the second model.
        weights: Of :func:`patient_resamples`.
        level: Of the interval.

    Raises:
        UndefinedMeasureError: As for :func:`interval`.
    """
    ones = np.ones(weights.shape[1])
    value = float(first(ones) - second(ones))
    values = _defined(first(weights) - second(weights), value)
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    below = float(np.mean((values < 0) + 0.5 * (values == 0)))
    p = min(1.0, max(2 * min(below, 1 - below), 2 / (len(values) + 1)))
    return Difference(value, float(low), float(high), p, len(values))


def _defined(values: Array, value: float) -> Array:
    known = values[~np.isnan(values)]
    if np.isnan(value) or len(known) < _SMALLEST_SHARE * len(values):
        raise UndefinedMeasureError("The measure is undefined for these samples or for most resamples of them.")
    return known
