"""Measures and estimates of survival. Times are months; events are 1 where seen and 0 where censored."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..errors import UndefinedMeasureError

Array = npt.NDArray[np.float64]


def concordance(months: npt.ArrayLike, event: npt.ArrayLike, risk: npt.ArrayLike) -> float:
    """Harrell's C: share of the comparable pairs in which the one with the earlier event has the higher risk.

    Higher is better, 0.5 is chance; equal risks count half. A pair is comparable when the earlier time is an event; at
    equal times, when exactly one of the two is, which then counts as the earlier (Harrell et al. 1996).

    Args:
        months: (n,) follow-up.
        event: (n,) 0 or 1.
        risk: (n,) finite, higher means earlier.

    Raises:
        UndefinedMeasureError: No pair is comparable, or a risk is not finite.
    """
    times, seen, values = _checked(months, event, risk)
    value = float(weighted_concordance(times, seen, values, np.ones(len(times))))
    if np.isnan(value):
        raise UndefinedMeasureError(
            "The C-index needs an event that happened before another case's time; there is none."
        )
    return value


def weighted_concordance(months: Array, event: npt.NDArray[np.bool_], risk: Array, weights: Array) -> Array:
    """Harrell's C per resample (...,) of weights (..., n); NaN where no pair is comparable."""
    earlier = (months[:, None] < months[None, :]) | ((months[:, None] == months[None, :]) & ~event[None, :])
    comparable = (event[:, None] & earlier).astype(float)
    higher = (risk[:, None] > risk[None, :]) + 0.5 * (risk[:, None] == risk[None, :])
    pairs = ((weights @ comparable) * weights).sum(axis=-1)
    concordant = ((weights @ (comparable * higher)) * weights).sum(axis=-1)
    return np.divide(concordant, pairs, out=np.full(np.shape(pairs), np.nan), where=np.asarray(pairs) > 0)


def kaplan_meier(months: npt.ArrayLike, event: npt.ArrayLike, at: npt.ArrayLike) -> Array:
    """Share still free of the event at given times (Kaplan and Meier 1958).

    Args:
        months: (n,) follow-up.
        event: (n,) 0 or 1.
        at: (m,) times.

    Raises:
        UndefinedMeasureError: There is no case.
    """
    times, seen, _ = _checked(months, event, np.zeros(np.shape(months)))
    moments = np.unique(times[seen])
    dying = np.array([(seen & (times == moment)).sum() for moment in moments])
    at_risk = np.array([(times >= moment).sum() for moment in moments])
    curve = np.concatenate([[1.0], np.cumprod(1 - dying / np.maximum(at_risk, 1))])
    return curve[np.searchsorted(moments, np.asarray(at, dtype=float), side="right")]


def baseline_cumulative_hazard(
    months: npt.ArrayLike, event: npt.ArrayLike, risk: npt.ArrayLike, at: npt.ArrayLike
) -> Array:
    """Breslow's estimate of the cumulative hazard at given times of a case with log relative hazard 0 (Breslow 1972).

    Args:
        months: (n,) follow-up.
        event: (n,) 0 or 1.
        risk: (n,) log relative hazard.
        at: (m,) times.

    Raises:
        UndefinedMeasureError: There is no case, or a risk is not finite.
    """
    times, seen, values = _checked(months, event, risk)
    moments = np.unique(times[seen])
    hazard = np.exp(values)
    gains = [(seen & (times == moment)).sum() / hazard[times >= moment].sum() for moment in moments]
    curve = np.concatenate([[0.0], np.cumsum(gains)])
    return curve[np.searchsorted(moments, np.asarray(at, dtype=float), side="right")]


def checked_follow_up(months: npt.ArrayLike, event: npt.ArrayLike) -> tuple[Array, npt.NDArray[np.bool_]]:
    """Times and events as arrays.

    Raises:
        UndefinedMeasureError: There is no case, or a time is negative or not finite.
    """
    times, seen = np.asarray(months, dtype=float), np.asarray(event).astype(bool)
    if times.ndim != 1 or times.shape != seen.shape:
        raise ValueError(f"one time and event per case are needed, found {times.shape} and {seen.shape}")
    if not len(times) or not np.all(np.isfinite(times)) or np.any(times < 0):
        raise UndefinedMeasureError("At least one case is needed, and finite times that are not negative.")
    return times, seen


def _checked(
    months: npt.ArrayLike, event: npt.ArrayLike, risk: npt.ArrayLike
) -> tuple[Array, npt.NDArray[np.bool_], Array]:
    times, seen = checked_follow_up(months, event)
    values = np.asarray(risk, dtype=float)
    if times.shape != values.shape:
        raise ValueError(f"one risk per case is needed, found {values.shape} for {times.shape}")
    if not np.all(np.isfinite(values)):
        raise UndefinedMeasureError("Risks must be finite; a model that yields other values cannot be evaluated.")
    return times, seen, values
