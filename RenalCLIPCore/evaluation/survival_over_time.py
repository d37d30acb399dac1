"""Survival measures at times of follow-up, weighted against censoring. Times are months; events are 1 where seen.

Cases that are censored before a time are left out of the measures at that time; those that remain are weighted by the
inverse probability of not being censored (IPCW; Graf et al. 1999, Uno et al. 2007, 2011). That probability is the
Kaplan-Meier estimate of censoring in the same cases, at equal times events first, as torchsurv and scikit-survival
have it. The ``weighted_`` functions take ``weights`` (..., n), see :mod:`RenalCLIPCore.evaluation.classification`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .classification import Array, weighted_auroc
from .survival import baseline_cumulative_hazard

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class FollowUpWeights:
    """What the measures at a time weigh cases with.

    Attributes:
        own: (..., n) weight of each case at its own time, 0 where nobody is uncensored any more.
        at: (...,) weight of those still followed up at the time.
    """

    own: Array
    at: Array

    @staticmethod
    def of(months: Array, event: Bools, time: float, weights: Array) -> FollowUpWeights:
        """Weights of the cases, per resample of weights (..., n)."""
        free = censoring_free(months, event, weights)
        times = np.unique(months)
        own = free[..., np.searchsorted(times, months)]
        place = int(np.searchsorted(times, time, side="right")) - 1
        at = free[..., place] if place >= 0 else np.ones(weights.shape[:-1])
        return FollowUpWeights(_inverse(own), _inverse(at))


def censoring_free(months: Array, event: Bools, weights: Array) -> Array:
    """Share (..., t) not yet censored at each different time, per resample of weights (..., n)."""
    order = np.argsort(months, kind="stable")
    _, starts = np.unique(months[order], return_index=True)
    leaving = np.add.reduceat(weights[..., order], starts, axis=-1)
    events = np.add.reduceat(np.where(event, weights, 0.0)[..., order], starts, axis=-1)
    at_risk = np.cumsum(leaving[..., ::-1], axis=-1)[..., ::-1] - events
    lost = np.divide(leaving - events, at_risk, out=np.zeros(leaving.shape), where=at_risk > 0)
    return np.cumprod(1 - lost, axis=-1)


def weighted_auroc_at(months: Array, event: Bools, risk: Array, time: float, weights: Array) -> Array:
    """Cumulative/dynamic AUROC at a time (Uno et al. 2007) per resample: events by then against those event-free."""
    follow = FollowUpWeights.of(months, event, time, weights)
    case = (months <= time) & event
    kept = np.where(case, follow.own, np.where(months > time, 1.0, 0.0))
    return weighted_auroc(case, risk, weights * kept)


def weighted_concordance_until(months: Array, event: Bools, risk: Array, time: float, weights: Array) -> Array:
    """Uno's C (2011) of the events before a time, per resample; NaN where no pair is comparable."""
    follow = FollowUpWeights.of(months, event, time, weights)
    first = np.flatnonzero(event & (months < time))
    earlier = (months[first, None] < months[None, :]) | ((months[first, None] == months[None, :]) & ~event[None, :])
    higher = (risk[first, None] > risk[None, :]) + 0.5 * (risk[first, None] == risk[None, :])
    starting = (weights * follow.own**2)[..., first]
    pairs = ((starting @ earlier.astype(float)) * weights).sum(axis=-1)
    concordant = ((starting @ (earlier * higher)) * weights).sum(axis=-1)
    return np.divide(concordant, pairs, out=np.full(np.shape(pairs), np.nan), where=np.asarray(pairs) > 0)


def weighted_brier_at(months: Array, event: Bools, event_free: Array, time: float, weights: Array) -> Array:
    """Brier score at a time (Graf et al. 1999) per resample; lower is better.

    Args:
        months: (n,) follow-up.
        event: (n,) whether the event was seen.
        event_free: (n,) predicted probability of being event-free at the time.
        time: In months.
        weights: (..., n).
    """
    follow = FollowUpWeights.of(months, event, time, weights)
    case, control = (months <= time) & event, months > time
    error = case * event_free**2 * follow.own + control * (1 - event_free) ** 2 * follow.at[..., None]
    total = weights.sum(axis=-1)
    return np.divide(
        (weights * error).sum(axis=-1), total, out=np.full(np.shape(total), np.nan), where=np.asarray(total) > 0
    )


def event_free_probability(fitted: tuple[Array, Bools, Array], risk: Array, time: float) -> Array:
    """Probability (n,) of being event-free at a time for log relative hazards (Breslow's baseline hazard).

    Args:
        fitted: Months, events and log relative hazards of the cases that the baseline is estimated on.
        risk: (n,) log relative hazards to predict for.
        time: In months.

    Raises:
        UndefinedMeasureError: There is no case to fit on, or a value is not finite.
    """
    centre = float(fitted[2].mean()) if len(fitted[2]) else 0.0
    baseline = baseline_cumulative_hazard(fitted[0], fitted[1], fitted[2] - centre, [time])
    return np.exp(-baseline[0] * np.exp(risk - centre))


def _inverse(values: Array) -> Array:
    return np.divide(1.0, values, out=np.zeros(np.shape(values)), where=np.asarray(values) > 0)
