"""Batch-norm statistics where a batch is seen in parts: by several processes, or in the chunks of gradient caching."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from . import distribution
from .distribution import Ranks


class GlobalBatchNorm(_BatchNorm):
    """Batch norm whose statistics in training are those of the batches of all processes; works with any backend.

    On CPUs it does what ``torch.nn.SyncBatchNorm`` does on GPUs.
    """

    def _check_input_dim(self, input: Tensor) -> None:
        pass

    def forward(self, input: Tensor) -> Tensor:
        """(B, C, ...) -> the same shape."""
        if not self.training:
            return super().forward(input)
        axes = [axis for axis in range(input.ndim) if axis != 1]
        shape = [1, -1, *([1] * (input.ndim - 2))]
        values = input.float()
        elements = distribution.total_number(values.numel() / values.shape[1])
        mean = distribution.total(values.sum(axes)) / elements
        centred = values - mean.view(shape)
        variance = distribution.total((centred**2).sum(axes)) / elements
        self._track(mean.detach(), variance.detach() * elements / max(elements - 1, 1))
        scaled = centred * torch.rsqrt(variance + self.eps).view(shape)
        return (scaled * self.weight.view(shape) + self.bias.view(shape)).to(input.dtype)

    def _track(self, mean: Tensor, variance: Tensor) -> None:
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        share = 0.1 if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean.to(self.running_mean), share)
        self.running_var.lerp_(variance.to(self.running_var), share)
        self.num_batches_tracked.add_(1)


def synchronise(model: nn.Module, ranks: Ranks, device: torch.device) -> None:
    """Let the batch norms of a model use the statistics of all processes, in place; names of tensors stay.

    What is frozen stays frozen.
    """
    if ranks.count == 1:
        return
    if device.type == "cuda":
        nn.SyncBatchNorm.convert_sync_batchnorm(model)
        return
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, _BatchNorm):
                norm = GlobalBatchNorm(child.num_features, child.eps, child.momentum)
                norm.load_state_dict(child.state_dict())
                norm.requires_grad_(any(parameter.requires_grad for parameter in child.parameters()))
                setattr(parent, name, norm.train(child.training))


def fix_statistics(model: nn.Module) -> None:
    """Let every batch norm use its running statistics and leave them as they are; may be called again and again."""
    for norm in _norms(model):
        norm.eval()


@contextmanager
def held_statistics(model: nn.Module) -> Iterator[None]:
    """Within the context batch norms normalise as in training, but their running statistics do not move."""
    before = [(norm, norm.momentum, norm.num_batches_tracked) for norm in _norms(model)]
    for norm, _, tracked in before:
        norm.momentum = 0.0
        norm.num_batches_tracked = None if tracked is None else tracked.clone()
    try:
        yield
    finally:
        for norm, momentum, tracked in before:
            norm.momentum, norm.num_batches_tracked = momentum, tracked


@contextmanager
def pooled_statistics(model: nn.Module) -> Iterator[None]:
    """Within the context a batch passes in chunks; at the end the running statistics have moved once.

    Each chunk is normalised by its own statistics. What the running ones take up is the mean and the variance of the
    whole batch, put together from the chunks' (variance within them and between their means). For the first batch
    norm, whose input does not depend on the chunks, that is what an undivided batch gives.
    """
    norms = [norm for norm in _norms(model) if norm.training]
    pools = [_Pool(norm) for norm in norms]
    try:
        yield
    finally:
        for pool in pools:
            pool.close()


class _Pool:
    """Collects the statistics of the chunks of one batch norm."""

    def __init__(self, norm: _BatchNorm) -> None:
        self.norm = norm
        self.momentum = norm.momentum
        self.before = self._running()
        self.parts: list[tuple[float, Tensor, Tensor]] = []
        # with momentum 1 the running statistics after a chunk are the chunk's own
        norm.momentum = 1.0
        self.hook = norm.register_forward_hook(self._collect)

    def _running(self) -> tuple[Tensor, Tensor]:
        if self.norm.running_mean is None or self.norm.running_var is None:
            raise ValueError("a batch norm without running statistics cannot be pooled")
        return self.norm.running_mean.clone(), self.norm.running_var.clone()

    def _collect(self, norm: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        elements = output.numel() / output.shape[1]
        if isinstance(norm, (GlobalBatchNorm, nn.SyncBatchNorm)):
            elements *= distribution.process_count()
        self.parts.append((elements, *self._running()))

    def close(self) -> None:
        """Put the momentum back, and let the running statistics take up the whole batch once."""
        self.hook.remove()
        self.norm.momentum = self.momentum
        if not self.parts or self.norm.running_mean is None or self.norm.running_var is None:
            return
        elements = sum(count for count, _, _ in self.parts)
        mean = torch.stack([count * m for count, m, _ in self.parts]).sum(0) / elements
        spread = torch.stack([(count - 1) * v + count * (m - mean) ** 2 for count, m, v in self.parts]).sum(0)
        share = 0.1 if self.momentum is None else self.momentum
        for running, old, new in zip(
            (self.norm.running_mean, self.norm.running_var),
            self.before,
            (mean, spread / max(elements - 1, 1)),
            strict=True,
        ):
            running.copy_(old + share * (new - old))
        if self.norm.num_batches_tracked is not None:
            self.norm.num_batches_tracked.sub_(len(self.parts) - 1)


def _norms(model: nn.Module) -> list[_BatchNorm]:
    return [module for module in model.modules() if isinstance(module, _BatchNorm)]
