"""Losses: torch functions of predictions and targets. Missing targets are ignored, never imputed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from ..cohort.dataset import MISSING

Ties = Literal["efron", "breslow"]


def classification_loss(logits: Tensor, target: Tensor, weights: Tensor | None = None) -> Tensor | None:
    """Mean cross-entropy over the samples whose class is known, or None when there is none.

    Args:
        logits: (B, K).
        target: (B,) class, -1 where not known.
        weights: (K,) weight of each class, or None.
    """
    known = target != MISSING
    if not bool(known.any()):
        return None
    return functional.cross_entropy(logits[known].float(), target[known], weight=weights)


def cox_loss(risk: Tensor, months: Tensor, event: Tensor, ties: Ties = "efron") -> Tensor | None:
    """Negative log partial likelihood per event (Cox 1975), or None when there is no event.

    Args:
        risk: (n,) log relative hazard.
        months: (n,) follow-up times.
        event: (n,) 1 when the event was seen, 0 when censored.
        ties: Efron's or Breslow's handling of tied event times.
    """
    event = event.bool()
    if not bool(event.any()):
        return None
    # in single precision at least; whoever gives doubles gets doubles
    risk = risk.to(torch.promote_types(risk.dtype, torch.float32))
    # a shift changes nothing in the likelihood and keeps the exponentials in range
    hazard = torch.exp(risk - risk.max().detach())
    total = risk.new_zeros(())
    for time in torch.unique(months[event]):
        dying = event & (months == time)
        count = int(dying.sum())
        at_risk = hazard[months >= time].sum()
        share = torch.arange(count, device=risk.device).to(risk) / count if ties == "efron" else hazard.new_zeros(count)
        denominators = at_risk - share * hazard[dying].sum()
        total = total + torch.log(denominators).sum() - (risk[dying] - risk.max().detach()).sum()
    return total / event.sum()


def contrastive_loss(first: Tensor, second: Tensor, scale: Tensor | float) -> Tensor:
    """Symmetric InfoNCE: the mean of both directions' cross-entropies, pair i against all others of the batch.

    Args:
        first: (B, D) unit embeddings.
        second: (B, D) unit embeddings; row i belongs to row i of ``first``.
        scale: Inverse temperature.
    """
    own = torch.arange(len(first), device=first.device)
    with torch.autocast(first.device.type, enabled=False):  # cosines near 1 need their digits
        logits = scale * first.float() @ second.float().T
        return (functional.cross_entropy(logits, own) + functional.cross_entropy(logits.T, own)) / 2


def class_weights(labels: Sequence[int], classes: int) -> Tensor:
    """(classes,) weights proportional to the inverse frequency of the known labels, with mean 1 over the samples.

    A class that does not occur gets 0.
    """
    known = torch.tensor([label for label in labels if label != MISSING], dtype=torch.int64)
    counts = torch.bincount(known, minlength=classes).float()
    present = counts > 0
    weights = torch.zeros(classes)
    weights[present] = counts.sum() / (present.sum() * counts[present])
    return weights
