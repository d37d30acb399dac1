"""Survival of groups of cases: Kaplan-Meier curves, log-rank test, hazard ratios (lifelines)."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .bootstrap import HALF_WIDTH
from .classification import Array
from .survival import checked_follow_up

_STEPS = (0.95, 0.25, 0.05)  # of Newton's method: lifelines' own, and smaller ones where it runs away
_SEPARATED = 30.0  # standard error over a variable's range beyond which its likelihood has no maximum


@dataclass(frozen=True, eq=False)
class GroupCurve:
    """Kaplan-Meier curve of one group.

    Attributes:
        name: Of the group.
        cases: Number of cases.
        events: Number of events.
        median: Median survival in months, infinite where it is not reached.
        months: (m,) times of the steps, the first 0.
        event_free: (m,) estimate from each time on.
        low: (m,) lower end of its 95 % interval (log-log).
        high: (m,) upper end.
        censored: (c,) times of censoring, rising.
        left: (n,) times at which cases leave, rising.
    """

    name: str
    cases: int
    events: int
    median: float
    months: Array
    event_free: Array
    low: Array
    high: Array
    censored: Array
    left: Array

    def at_risk(self, times: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """Cases still followed up just before each time."""
        return self.cases - np.searchsorted(self.left, np.asarray(times, dtype=float), side="left")


@dataclass(frozen=True)
class HazardRatio:
    """A hazard ratio with its Wald interval and test; NaN throughout where the data cannot tell it.

    Attributes:
        value: The ratio.
        low: Lower end of the 95 % interval.
        high: Upper end.
        p: Wald test, two-sided.
    """

    value: float
    low: float
    high: float
    p: float


UNDEFINED_RATIO = HazardRatio(float("nan"), float("nan"), float("nan"), float("nan"))


@dataclass(frozen=True)
class GroupComparison:
    """Curves of groups and how they differ.

    Attributes:
        curves: One per group, in the order of the groups; empty groups are left out.
        log_rank_p: Two-sided log-rank test over all groups; NaN with one group or without events.
        ratio: Hazard of the last against the first of two groups (Cox, Efron's ties).
    """

    curves: tuple[GroupCurve, ...]
    log_rank_p: float
    ratio: HazardRatio


def compare_groups(
    months: npt.ArrayLike, event: npt.ArrayLike, group: npt.ArrayLike, names: Sequence[str]
) -> GroupComparison:
    """Kaplan-Meier curves of groups, log-rank test and, for two groups, the hazard ratio.

    Args:
        months: (n,) follow-up, above 0.
        event: (n,) 0 or 1.
        group: (n,) place of each case's group in ``names``.
        names: Of the groups; the first is the reference.

    Raises:
        UndefinedMeasureError: There is no case, or a time is negative or not finite.
    """
    from lifelines.statistics import multivariate_logrank_test

    times, seen = checked_follow_up(months, event)
    place = np.asarray(group)
    curves = tuple(group_curve(times[place == k], seen[place == k], names[k]) for k in np.unique(place))
    if len(curves) < 2 or not seen.any():
        return GroupComparison(curves, float("nan"), UNDEFINED_RATIO)
    p = float(multivariate_logrank_test(times, place, seen).p_value)
    ratio = hazard_ratio(times, seen, (place == place.max()).astype(float)) if len(curves) == 2 else UNDEFINED_RATIO
    return GroupComparison(curves, p, ratio)


def group_curve(months: npt.ArrayLike, event: npt.ArrayLike, name: str) -> GroupCurve:
    """Kaplan-Meier curve of one group.

    Raises:
        UndefinedMeasureError: There is no case, or a time is negative or not finite.
    """
    from lifelines import KaplanMeierFitter

    times, seen = checked_follow_up(months, event)
    fitter = KaplanMeierFitter()
    with warnings.catch_warnings():  # the interval of a curve that never falls is made from log(-log(1))
        warnings.simplefilter("ignore", RuntimeWarning)
        fitter.fit(times, seen)
    estimate = fitter.survival_function_.iloc[:, 0]
    low, high = fitter.confidence_interval_.to_numpy(dtype=float).T
    return GroupCurve(
        name=name,
        cases=len(times),
        events=int(seen.sum()),
        median=float(fitter.median_survival_time_),
        months=estimate.index.to_numpy(dtype=float),
        event_free=estimate.to_numpy(dtype=float),
        low=np.where(np.isnan(low), estimate, low),
        high=np.where(np.isnan(high), estimate, high),
        censored=np.sort(times[~seen]),
        left=np.sort(times),
    )


def hazard_ratio(months: npt.ArrayLike, event: npt.ArrayLike, value: npt.ArrayLike) -> HazardRatio:
    """Hazard ratio per unit of one variable (Cox 1972, Efron's ties); undefined where the data cannot tell it.

    Args:
        months: (n,) follow-up.
        event: (n,) 0 or 1.
        value: (n,) the variable.
    """
    return cox(months, event, np.asarray(value, dtype=float)[:, None])[0]


def cox(months: npt.ArrayLike, event: npt.ArrayLike, values: npt.ArrayLike) -> tuple[HazardRatio, ...]:
    """Hazard ratios per unit of each variable in one model (Cox 1972, Efron's ties, Wald tests; lifelines).

    A variable that does not vary, or whose groups are without any event so that its ratio runs to 0 or infinity, has
    an undefined ratio.

    Args:
        months: (n,) follow-up.
        event: (n,) 0 or 1.
        values: (n, v) variables.

    Raises:
        UndefinedMeasureError: There is no case, or a time is negative or not finite.
    """
    times, seen = checked_follow_up(months, event)
    matrix = np.asarray(values, dtype=float)
    varies = [k for k in range(matrix.shape[1]) if np.ptp(matrix[:, k]) > 0]
    ratios = [UNDEFINED_RATIO] * matrix.shape[1]
    summary = _fitted(times, seen, matrix[:, varies]) if varies and seen.any() else None
    if summary is not None:
        for k, (coefficient, error, p) in zip(varies, summary, strict=True):
            if error * float(np.ptp(matrix[:, k])) < _SEPARATED:
                reach = HALF_WIDTH * error
                value, low, high = np.exp([coefficient, coefficient - reach, coefficient + reach]).tolist()
                ratios[k] = HazardRatio(value, low, high, p)
    return tuple(ratios)


def _fitted(times: Array, seen: npt.NDArray[np.bool_], matrix: Array) -> list[tuple[float, float, float]] | None:
    """Coefficient, standard error and p of each variable; None where the fit does not converge."""
    import pandas as pd
    from lifelines import CoxPHFitter
    from lifelines.exceptions import ConvergenceError

    spread = matrix.std(axis=0)
    table = pd.DataFrame(matrix / spread, columns=[f"x{k}" for k in range(matrix.shape[1])])
    table["months"], table["event"] = times, seen
    fitter = CoxPHFitter()
    for step in _STEPS:
        try:
            with warnings.catch_warnings():  # separated groups are told by their errors, see _SEPARATED
                warnings.simplefilter("ignore")
                fitter.fit(table, "months", "event", fit_options={"step_size": step})
            break
        except ConvergenceError:
            continue
    else:
        return None
    found = fitter.summary
    coefficients, errors = found["coef"].to_numpy() / spread, found["se(coef)"].to_numpy() / spread
    return list(zip(coefficients.tolist(), errors.tolist(), found["p"].tolist(), strict=True))
