"""Calibration of logits by one temperature (Guo et al. 2017)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..errors import UndefinedMeasureError

_BOUNDS = (0.05, 20.0)


def says_nothing(temperature: float) -> bool:
    """Whether a fitted temperature is as high as can be: the logits do not go with the labels of the validation."""
    return temperature > 0.99 * _BOUNDS[1]


def fit_temperature(logits: npt.ArrayLike, labels: npt.ArrayLike) -> float:
    """The temperature in [0.05, 20] that minimises the negative log likelihood of ``softmax(logits / temperature)``.

    Args:
        logits: (n, K).
        labels: (n,) class.

    Raises:
        UndefinedMeasureError: There is no sample.
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import log_softmax

    values, truth = np.asarray(logits, dtype=float), np.asarray(labels, dtype=int)
    if not len(truth):
        raise UndefinedMeasureError("A temperature needs at least one labelled validation case.")
    rows = np.arange(len(truth))

    def loss(log_temperature: float) -> float:
        return float(-log_softmax(values / np.exp(log_temperature), axis=1)[rows, truth].mean())

    found = minimize_scalar(loss, bounds=np.log(_BOUNDS), method="bounded", options={"xatol": 1e-6})
    # one is always among the candidates: calibration must not raise the loss
    return float(np.exp(found.x)) if found.fun < loss(0.0) else 1.0
