"""Weights and networks: strict filling, reading and writing of safetensors files."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeGuard

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ..errors import BundleError, InputError, WeightsMismatchError
from .encoder import RenalEncoder
from .heads import ClassificationHead, SurvivalHead
from .manifest import Task


def empty_encoder(width: int, embedding_dim: int) -> RenalEncoder:
    """An encoder without memory for its tensors, to be filled; ``embedding_dim`` 0 is without a projection."""
    with torch.device("meta"):
        return RenalEncoder(width, embedding_dim)


def read_foreign(path: Path) -> Any:
    """What a file of ``torch.save`` holds; nothing but tensors and plain containers is let in.

    Raises:
        InputError: There is no such file.
        BundleError: It is damaged or holds Python objects.
    """
    if not path.is_file():
        raise InputError(f"{path.name}: there is no such checkpoint file.")
    try:
        # training code stores its parsed arguments beside the weights; a Namespace is a plain container
        with torch.serialization.safe_globals([argparse.Namespace]):
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the reader raises errors of many types on foreign or hostile files
        raise BundleError(
            f"{path.name} cannot be read safely as a checkpoint: it is damaged or holds Python objects beside tensors. "
            "Save its weights alone, as torch.save({'model': checkpoint['model']}, FILE), where it is trusted."
        ) from error


def are_dense(tensors: Any) -> TypeGuard[dict[str, Tensor]]:
    """Whether this is a dictionary of names and dense tensors, each with all its elements in the file.

    One stored element can pose as many.
    """
    return isinstance(tensors, dict) and bool(tensors) and all(_is_dense(*item) for item in tensors.items())


def _is_dense(name: Any, value: Any) -> bool:
    if not isinstance(name, str) or not isinstance(value, Tensor) or value.layout is not torch.strided:
        return False
    return not value.is_quantized and value.untyped_storage().nbytes() >= value.numel() * value.element_size()


def fill(network: nn.Module, tensors: Mapping[str, Tensor], source: str) -> None:
    """Put weights into a network; every tensor must be there, none left over, all of the right shape and finite.

    Raises:
        WeightsMismatchError: They are not; the message names the first few.
    """
    wanted = network.state_dict()
    missing = [name for name in wanted if name not in tensors]
    extra = [name for name in tensors if name not in wanted]
    shapes = [
        f"{name} {tuple(tensors[name].shape)} instead of {tuple(value.shape)}"
        for name, value in wanted.items()
        if name in tensors and tensors[name].shape != value.shape
    ]
    for words, names in (("lacks", missing), ("holds the unexpected", extra), ("has another shape for", shapes)):
        if names:
            raise WeightsMismatchError(f"{source} {words} {listed(names)}; weights and architecture must agree.")
    ready = {name: tensors[name].to(value.dtype) for name, value in wanted.items()}
    for name, tensor in ready.items():
        if not bool(torch.isfinite(tensor).all()):
            raise WeightsMismatchError(f"{source} holds values that are not finite in {name}.")
    network.load_state_dict(ready, assign=True)


def make_head(task: Task, features: int) -> nn.Module:
    """The head of a task, with initial weights."""
    if task.kind == "survival":
        return SurvivalHead(features, task.hidden)
    return ClassificationHead(features, len(task.classes), task.hidden)


def check_architecture(network: nn.Module, wanted: nn.Module, what: str) -> None:
    """Compare names and shapes of the tensors.

    Raises:
        WeightsMismatchError: They differ; ``what`` names the network.
    """
    have = {name: value.shape for name, value in network.state_dict().items()}
    need = {name: value.shape for name, value in wanted.state_dict().items()}
    wrong = [name for name in {**need, **have} if have.get(name) != need.get(name)]
    if wrong:
        raise WeightsMismatchError(f"{what} is not of the manifest's architecture: {listed(wrong)}.")


def read_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file, on the CPU.

    Raises:
        BundleError: It is no such file.
    """
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise BundleError(f"{path.name} is no readable safetensors file.") from error


def save_tensors(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Write tensors as a safetensors file; shared memory is written out for each."""
    save_file({name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}, path)


def listed(names: list[str]) -> str:
    """The first three names, and how many more there are."""
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
