"""Several processes that train one model (``torchrun``): who takes part, and what they tell one another.

Every process sees its share of each global batch and computes its share of the loss; the shares add up to the loss of
the global batch, and so do the gradients. With one process everything here does nothing.
"""

from __future__ import annotations

import datetime
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from ..errors import ConfigurationError, TrainingError

T = TypeVar("T")

TIMEOUT_MINUTES = 30
_BUCKET_VALUES = 1 << 24


@dataclass(frozen=True)
class Ranks:
    """This process among those of a run: its number, how many there are, and its number on this machine."""

    rank: int = 0
    count: int = 1
    local_rank: int = 0

    @property
    def first(self) -> bool:
        """Whether this is the process that writes the run's folder."""
        return self.rank == 0

    def share(self, items: Sequence[T]) -> Sequence[T]:
        """This process's part of the samples of a global batch: every process gets equally many."""
        size = len(items) // self.count
        return items[self.rank * size : (self.rank + 1) * size]

    def device(self, wanted: str) -> torch.device:
        """The device to use where the configuration says ``wanted``: with ``cuda``, each process its own.

        Raises:
            ConfigurationError: There is no such device.
        """
        own = f"cuda:{self.local_rank}" if wanted == "cuda" and self.count > 1 else wanted
        try:
            torch.empty(0, device=own)
        except (RuntimeError, AssertionError) as error:
            raise ConfigurationError(f"The device {own!r} cannot be used here; 'cpu' always can.") from error
        return torch.device(own)


ALONE = Ranks()


def check_shares(batch_size: int, ranks: Ranks) -> None:
    """Raise a ConfigurationError where a global batch cannot be shared out evenly.

    Args:
        batch_size: Of the global batch, which is no larger than the training rows are many.
        ranks: Who shares it.
    """
    if batch_size % ranks.count:
        most = max(batch_size // ranks.count, 1) * ranks.count
        raise ConfigurationError(
            f"A global batch of {batch_size} (the batch_size, or all training rows where they are fewer) cannot be "
            f"shared by {ranks.count} processes; choose a batch_size that {ranks.count} divides, for instance {most}."
        )


@contextmanager
def joined(device: str = "cpu", timeout_minutes: float = TIMEOUT_MINUTES) -> Iterator[Ranks]:
    """Join the run that ``torchrun`` started, if it did; leave it at the end.

    gloo connects processes on CPUs, nccl those on GPUs.

    Raises:
        ConfigurationError: There is no such device.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield ALONE
        return
    rank, count = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    ranks = Ranks(rank, count, int(os.environ.get("LOCAL_RANK", rank)))
    if ranks.device(device).type == "cuda":
        torch.cuda.set_device(ranks.device(device))
    backend = "cpu:gloo,cuda:nccl" if device.startswith("cuda") else "gloo"
    dist.init_process_group(backend, timeout=datetime.timedelta(minutes=timeout_minutes))
    try:
        yield ranks
    finally:
        dist.destroy_process_group()


@contextmanager
def together() -> Iterator[None]:
    """Turn the loss of another process into one message.

    Raises:
        TrainingError: A process of the run has ended or does not answer.
    """
    try:
        yield
    except RuntimeError as error:
        # torch has no class of its own for a peer that is gone: gloo raises plain RuntimeErrors
        if not dist.is_initialized() or not _is_about_peers(error):
            raise
        raise TrainingError(
            "Another process of the run has ended or does not answer, so this one stops too; see the other's message, "
            "and go on with --resume."
        ) from error


def _is_about_peers(error: RuntimeError) -> bool:
    words = ("connection", "peer", "timed out", "timeout", "gloo", "nccl", "socket")
    return isinstance(error, dist.DistError) or any(word in str(error).lower() for word in words)


def gather(values: Tensor) -> Tensor:
    """(B, ...) of each process -> (count * B, ...) in the order of the processes; gradients flow to their owners."""
    return _Gather.apply(values) if dist.is_initialized() else values


def total(values: Tensor) -> Tensor:
    """Sum over the processes; every process's gradient flows back to all."""
    return _Total.apply(values) if dist.is_initialized() else values


def process_count() -> int:
    """How many processes the run has."""
    return dist.get_world_size() if dist.is_initialized() else 1


def share_of(loss: Tensor) -> Tensor:
    """This process's share of a loss that every process computed of the whole (gathered) batch."""
    return loss / process_count()


def total_number(value: float) -> float:
    """Sum of a number over the processes."""
    if not dist.is_initialized():
        return value
    tensor = torch.tensor(value, dtype=torch.float64)
    with together():
        dist.all_reduce(tensor)
    return float(tensor)


def told_to_all(value: T) -> T:
    """What the first process says."""
    if not dist.is_initialized():
        return value
    box = [value]
    with together():
        dist.broadcast_object_list(box, src=0)
    return box[0]


def everyones(value: T) -> list[T]:
    """What each process says, in their order."""
    if not dist.is_initialized():
        return [value]
    box: list[Any] = [None] * dist.get_world_size()
    with together():
        dist.all_gather_object(box, value)
    return box


def equalise(model: nn.Module) -> None:
    """Give every process the first one's parameters and buffers."""
    if dist.is_initialized():
        with together(), torch.no_grad():
            for tensor in model.state_dict().values():
                dist.broadcast(tensor, src=0)


def add_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Replace every gradient by its sum over the processes, in a few large messages.

    A parameter without a gradient here counts as zero: another process may have one.
    """
    if not dist.is_initialized():
        return
    for bucket in _buckets([parameter for parameter in parameters if parameter.requires_grad]):
        for parameter in bucket:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        gradients = [parameter.grad for parameter in bucket if parameter.grad is not None]
        flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
        with together():
            dist.all_reduce(flat)
        for gradient, summed in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(summed.view_as(gradient))


def _buckets(parameters: Sequence[nn.Parameter]) -> Iterator[list[nn.Parameter]]:
    bucket: list[nn.Parameter] = []
    for parameter in parameters:
        too_large = sum(p.numel() for p in bucket) + parameter.numel() > _BUCKET_VALUES
        if bucket and (too_large or parameter.dtype != bucket[0].dtype):
            yield bucket
            bucket = []
        bucket.append(parameter)
    if bucket:
        yield bucket


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        parts = [torch.empty_like(values) for _ in range(dist.get_world_size())]
        with together():
            dist.all_gather(parts, values.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        summed = gradients[0].contiguous()
        with together():
            dist.all_reduce(summed)
        return summed.chunk(dist.get_world_size())[dist.get_rank()]


class _Total(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        summed = values.clone()
        with together():
            dist.all_reduce(summed)
        return summed

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        summed = gradients[0].clone()
        with together():
            dist.all_reduce(summed)
        return summed
