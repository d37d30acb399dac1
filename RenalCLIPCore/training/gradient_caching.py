"""Gradient caching (Gao et al. 2021): representations of a large batch from chunks, at the memory of one chunk.

The first pass computes the representations chunk by chunk and keeps nothing else. The loss is taken of all of them; in
the backward pass each chunk runs again, under the same random numbers, takes its representations' gradients and is
dropped. The gradients are those of the undivided batch wherever samples do not see one another, which batch norm in
training lets them do: there a chunk is normalised by its own statistics, in both passes alike, and the running
statistics move once per step (``normalisation.pooled_statistics``), in the first pass only.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from .normalisation import held_statistics, pooled_statistics


def cached(encode: Callable[..., Tensor], model: nn.Module, *inputs: Tensor, chunk: int | None) -> Tensor:
    """Representations of a batch, ready for a loss over all of it.

    Args:
        encode: Tensors with b samples along their first axis -> representations (b, D); a part of ``model``.
        model: Holds the batch norms that ``encode`` uses.
        inputs: Tensors with B samples along their first axis.
        chunk: Samples per chunk; None, or at least B, is the plain step.

    Returns:
        (B, D).
    """
    if chunk is None or chunk >= len(inputs[0]) or not torch.is_grad_enabled():
        return encode(*inputs)
    parts = zip(*(tensor.split(chunk) for tensor in inputs), strict=True)
    with pooled_statistics(model):
        return torch.cat([_remembered(encode, model, *part) for part in parts])


def _remembered(encode: Callable[..., Tensor], model: nn.Module, *inputs: Tensor) -> Tensor:
    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), held_statistics(model)

    result: Tensor = checkpoint(encode, *inputs, use_reentrant=False, context_fn=contexts)
    return result
