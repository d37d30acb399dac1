"""Calibration of logits by one temperature (Guo et al. 2017) and the classes' frequencies (Saerens et al. 2002)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from ..errors import UndefinedMeasureError

_BOUNDS = (0.05, 20.0)


def says_nothing(temperature: float) -> bool:
    """Whether a fitted temperature is as high as can be: the logits do not go with the labels of the validation."""
    return temperature > 0.99 * _BOUNDS[1]


def fit_temperature(logits: npt.ArrayLike, labels: npt.ArrayLike, shift: Sequence[float] = ()) -> float:
    """The temperature in [0.05, 20] that minimises the negative log likelihood of ``softmax(logits / t + shift)``.

    Args:
        logits: (n, K).
        labels: (n,) class.
        shift: (K,) of :func:`prior_shift`; empty for none.

    Raises:
        UndefinedMeasureError: There is no sample.
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import log_softmax

    values, truth = np.asarray(logits, dtype=float), np.asarray(labels, dtype=int)
    if not len(truth):
        raise UndefinedMeasureError("A temperature needs at least one labelled validation case.")
    rows, prior = np.arange(len(truth)), np.array(shift or 0.0)

    def loss(log_temperature: float) -> float:
        return float(-log_softmax(values / np.exp(log_temperature) + prior, axis=1)[rows, truth].mean())

    found = minimize_scalar(loss, bounds=np.log(_BOUNDS), method="bounded", options={"xatol": 1e-6})
    # one is always among the candidates: calibration must not raise the loss
    return float(np.exp(found.x)) if found.fun < loss(0.0) else 1.0


def prior_shift(labels: npt.ArrayLike, weights: npt.ArrayLike, classes: int) -> tuple[float, ...]:
    """What logits lack that were learnt from reweighted classes: log of each class's natural over its learnt share.

    Args:
        labels: (n,) class of each training case; negative ones are unknown and left out.
        weights: (n,) how much each case counted: the sampler's weight times the loss's.
        classes: Number of classes. One without a case, or without weight, is not shifted.
    """
    truth, counted = np.asarray(labels, dtype=int), np.asarray(weights, dtype=float)
    known = truth >= 0
    natural = np.bincount(truth[known], minlength=classes).astype(float)
    learnt = np.bincount(truth[known], counted[known], minlength=classes)
    both = (natural > 0) & (learnt > 0)
    shift = np.zeros(classes)
    shift[both] = np.log(natural[both] / natural.sum()) - np.log(learnt[both] / learnt.sum())
    return tuple(float(value) for value in shift)


def before_temperature(shift: Sequence[float], temperature: float) -> tuple[float, ...]:
    """What to add to logits that are divided by the temperature afterwards."""
    return tuple(temperature * value for value in shift)


def add_to_logits(head: nn.Module, values: Sequence[float]) -> None:
    """Add to the bias of the last linear layer of a head, which then is in half precision as a bundle has it."""
    last = [layer for layer in head.modules() if isinstance(layer, nn.Linear)][-1]
    with torch.no_grad():
        last.bias.copy_((last.bias + torch.tensor(values)).half().float())
