"""Agreement of two observers on the same cases: weighted kappa and distances between their points, with intervals."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..errors import UndefinedMeasureError
from .bootstrap import RESAMPLES, Array, Interval, interval, patient_resamples


@dataclass(frozen=True)
class PointAgreement:
    """Distances between two observers' points on the same cases, in millimetres.

    Attributes:
        mean_mm: Mean distance.
        within: Share of the cases with at most the tolerance.
        median_mm: Median distance, of the cases themselves.
        largest_mm: Largest distance.
        cases: Number of cases.
    """

    mean_mm: Interval
    within: Interval
    median_mm: float
    largest_mm: float
    cases: int


def weighted_kappa(
    first: npt.ArrayLike,
    second: npt.ArrayLike,
    classes: int,
    patients: Sequence[Hashable],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Cohen's kappa with quadratic weights (Cohen 1968); 1 is full agreement, 0 what chance gives.

    Args:
        first: (n,) classes of one observer, from 0.
        second: (n,) of the other.
        classes: How many there are; with two this is the plain kappa.
        patients: (n,) patient of each case; patients are resampled as a whole.
        resamples: Bootstrap resamples.
        seed: Of the bootstrap.

    Raises:
        UndefinedMeasureError: There is no case, or both observers give one and the same class throughout.
    """
    one, two = np.asarray(first, dtype=int), np.asarray(second, dtype=int)
    if not len(one):
        raise UndefinedMeasureError("Kappa needs at least one case that both observers read.")
    levels = np.arange(classes)
    cost = (levels[:, None] - levels[None, :]).astype(float) ** 2
    marks, other = (np.eye(classes)[values] for values in (one, two))
    apart = cost[one, two]

    def kappa(weights: Array) -> Array:
        total = weights.sum(axis=-1)
        observed = weights @ apart / total
        chance = np.einsum("...i,ij,...j->...", weights @ marks, cost, weights @ other) / total**2
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(np.where(chance > 0, 1 - observed / chance, np.nan))

    return interval(kappa, patient_resamples(patients, resamples, seed))


def point_agreement(
    first: npt.ArrayLike,
    second: npt.ArrayLike,
    patients: Sequence[Hashable],
    *,
    tolerance_mm: float = 10.0,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> PointAgreement:
    """Distances between two observers' points.

    Args:
        first: (n, 3) points of one observer in millimetres.
        second: (n, 3) of the other.
        patients: (n,) patient of each case; patients are resampled as a whole.
        tolerance_mm: Largest distance that counts as the same place.
        resamples: Bootstrap resamples.
        seed: Of the bootstrap.

    Raises:
        UndefinedMeasureError: There is no case.
    """
    one, two = np.asarray(first, dtype=float).reshape(-1, 3), np.asarray(second, dtype=float).reshape(-1, 3)
    if not len(one):
        raise UndefinedMeasureError("Distances need at least one case on which both observers placed a point.")
    distances = np.linalg.norm(one - two, axis=1)
    weights = patient_resamples(patients, resamples, seed)

    def mean(values: Array) -> Interval:
        return interval(lambda w: np.asarray(w @ values / w.sum(axis=-1)), weights)

    close = (distances <= tolerance_mm).astype(float)
    return PointAgreement(
        mean(distances), mean(close), float(np.median(distances)), float(distances.max()), len(distances)
    )
