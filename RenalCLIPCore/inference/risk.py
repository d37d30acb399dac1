"""Recurrence risk: a Cox score, its group by the stored median, and the survival curve that belongs to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..review import Absent, RiskPrediction
from .network_output import NetworkOutput

if TYPE_CHECKING:
    from ..models.bundle import Bundle

_MAX_EXPONENT = 50.0


def recurrence(bundle: Bundle, output: NetworkOutput) -> RiskPrediction | Absent:
    """Risk of recurrence. The score is the mean over the fused phases; above the cohort's median is the high group."""
    task = bundle.manifest.task("rfs")
    if task is None or task.kind != "survival":
        return Absent("The model bundle predicts no recurrence.")
    risk = bundle.manifest.risk
    if risk is None:
        return Absent("The model bundle has a recurrence score, but no cohort median and curves to read it by.")
    score = float(output.fused_logits(risk.task)[0])
    return RiskPrediction(
        score=score,
        group="high" if score > risk.median else "low",
        cohort_median=risk.median,
        cohort=risk.cohort,
        months=risk.months,
        survival=tuple(float(value) for value in survival_curve(risk.baseline_cumulative_hazard, score)),
        survival_low=risk.survival_low,
        survival_high=risk.survival_high,
    )


def survival_curve(baseline_cumulative_hazard: npt.ArrayLike, score: float) -> npt.NDArray[np.floating[Any]]:
    """Survival exp(-H0(t) exp(score)) at the times of the baseline cumulative hazard H0 (Breslow 1972)."""
    relative = np.exp(np.clip(score, -_MAX_EXPONENT, _MAX_EXPONENT))
    return np.asarray(np.exp(-np.asarray(baseline_cumulative_hazard, dtype=np.float64) * relative))
