"""Paired tests between two models or readers on the same cases."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..errors import UndefinedMeasureError
from .bootstrap import HALF_WIDTH
from .classification import Array, checked_binary


@dataclass(frozen=True)
class DeLongTest:
    """AUROC of two models on the same cases (DeLong et al. 1988).

    Attributes:
        first: AUROC of the first model.
        second: AUROC of the second model.
        difference: First minus second.
        low: Lower end of the 95 % interval of the difference.
        high: Upper end.
        p: Two-sided; 1 where both models rank every pair alike.
    """

    first: float
    second: float
    difference: float
    low: float
    high: float
    p: float


@dataclass(frozen=True)
class McNemarTest:
    """Two ways of answering the same cases (McNemar 1947), tested exactly.

    Attributes:
        first_only: Cases that only the first answers rightly.
        second_only: Cases that only the second answers rightly.
        p: Two-sided, binomial; 1 where they never differ.
    """

    first_only: int
    second_only: int
    p: float


def delong(labels: npt.ArrayLike, first: npt.ArrayLike, second: npt.ArrayLike) -> DeLongTest:
    """Compare two AUROCs on the same independent cases; for several kidneys of a patient use the bootstrap.

    Args:
        labels: (n,) 0 or 1.
        first: (n,) scores of the first model.
        second: (n,) scores of the second model.

    Raises:
        UndefinedMeasureError: Fewer than two cases of a class, a score is not finite, or the areas differ without any
            variance, as where one model separates the classes perfectly and the other is constant.
    """
    from scipy.stats import norm

    truth, one = checked_binary(labels, first)
    _, two = checked_binary(labels, second)
    areas, covariance = delong_covariance(truth == 1, np.stack([one, two]))
    difference = float(areas[0] - areas[1])
    variance = float(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    deviation = float(np.sqrt(max(variance, 0.0)))
    reach = HALF_WIDTH * deviation
    if deviation < 1e-12:
        if abs(difference) >= 1e-12:
            raise UndefinedMeasureError("DeLong's test is undefined: the areas differ, but have no variance.")
        p = 1.0
    else:
        p = float(2 * norm.sf(abs(difference) / deviation))
    return DeLongTest(float(areas[0]), float(areas[1]), difference, difference - reach, difference + reach, p)


def delong_covariance(positive: npt.NDArray[np.bool_], scores: Array) -> tuple[Array, Array]:
    """AUROCs (m,) and their covariance (m, m), by midranks (Sun and Xu 2014).

    Args:
        positive: (n,) which cases are positive.
        scores: (m, n) of the models.

    Raises:
        UndefinedMeasureError: Fewer than two cases of a class.
    """
    from scipy.stats import rankdata

    hits, misses = int(positive.sum()), int((~positive).sum())
    if min(hits, misses) < 2:
        raise UndefinedMeasureError("DeLong's test needs at least two cases of each class.")
    ranks = rankdata(scores, axis=1)
    above = (ranks[:, positive] - rankdata(scores[:, positive], axis=1)) / misses
    below = 1 - (ranks[:, ~positive] - rankdata(scores[:, ~positive], axis=1)) / hits
    covariance = np.atleast_2d(np.cov(above)) / hits + np.atleast_2d(np.cov(below)) / misses
    return above.mean(axis=1), covariance


def mcnemar(first_right: npt.ArrayLike, second_right: npt.ArrayLike) -> McNemarTest:
    """Compare which cases two readers answer rightly.

    Args:
        first_right: (n,) whether the first is right.
        second_right: (n,) whether the second is right, same cases.

    Raises:
        UndefinedMeasureError: There is no case.
    """
    from scipy.stats import binomtest

    one, two = np.asarray(first_right, dtype=bool), np.asarray(second_right, dtype=bool)
    if one.shape != two.shape or one.ndim != 1:
        raise ValueError(f"one answer of each per case is needed, found {one.shape} and {two.shape}")
    if not len(one):
        raise UndefinedMeasureError("McNemar's test needs at least one case that both answered.")
    a, b = int((one & ~two).sum()), int((~one & two).sum())
    p = float(binomtest(a, a + b, 0.5).pvalue) if a + b else 1.0
    return McNemarTest(a, b, p)


def holm(p_values: npt.ArrayLike) -> Array:
    """P values of a family of tests, adjusted by Holm's step-down method (Holm 1979).

    Args:
        p_values: (k,) unadjusted.
    """
    p = np.asarray(p_values, dtype=float)
    order = np.argsort(p, kind="stable")
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)), 1.0)
    return adjusted
