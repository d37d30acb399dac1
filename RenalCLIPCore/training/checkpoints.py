"""Checkpoints of a run: written by atomic rename, the newest few kept, read with ``weights_only=True``."""

from __future__ import annotations

import os
import random
import re
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import TrainingError

_NAME = re.compile(r"step-(\d{9})\.pt")


def save(content: dict[str, Any], path: Path) -> None:
    """Write tensors, numbers, texts and containers of them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".partial-{path.name}")
    try:
        with partial.open("wb") as file:
            torch.save(content, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def load(path: Path) -> dict[str, Any]:
    """Read a checkpoint onto the CPU.

    Raises:
        TrainingError: It is missing or damaged.
    """
    try:
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, UnpicklingError, EOFError) as error:
        raise TrainingError(
            f"The checkpoint {path.name} is missing or damaged; remove it to use an older one."
        ) from error
    return content


def save_step(content: dict[str, Any], folder: Path, step: int, keep: int) -> Path:
    """Write the checkpoint of a step and remove all but the newest ``keep``."""
    path = folder / f"step-{step:09d}.pt"
    save(content, path)
    for old in _steps(folder)[:-keep]:
        old.unlink(missing_ok=True)
    return path


def newest(folder: Path) -> Path | None:
    """The checkpoint with the largest step, if there is one."""
    steps = _steps(folder)
    return steps[-1] if steps else None


def trained_state(model: nn.Module) -> dict[str, Tensor]:
    """The model's tensors without the parameters that are not trained, which a large frozen model has many of."""
    frozen = _frozen(model)
    return {name: value for name, value in model.state_dict().items() if name not in frozen}


def load_trained_state(model: nn.Module, state: dict[str, Tensor]) -> None:
    """Put back what :func:`trained_state` gave; nothing may be missing or left over.

    Raises:
        TrainingError: Names or shapes differ.
    """
    frozen = _frozen(model)
    whole = model.state_dict()
    wanted = {name: value.shape for name, value in whole.items() if name not in frozen}
    if {name: value.shape for name, value in state.items()} != wanted:
        raise TrainingError(
            "The checkpoint is of a model with other tensors; use the configuration that it began with."
        )
    model.load_state_dict({**{name: whole[name] for name in frozen}, **state})


def _frozen(model: nn.Module) -> set[str]:
    trained = {id(p) for p in model.parameters() if p.requires_grad}
    everything = model.named_parameters(remove_duplicate=False)
    return {name for name, p in everything if id(p) not in trained}


def random_states() -> dict[str, Any]:
    """The states of all global generators: Python, NumPy, torch, and this process's CUDA device where there is one."""
    name, keys, position, has_gauss, gauss = np.random.get_state()  # noqa: NPY002
    version, internal, following = random.getstate()
    return {
        "python": [version, list(internal), following],
        "numpy": [name, torch.from_numpy(np.asarray(keys).astype(np.int64)), position, has_gauss, gauss],
        "torch": torch.get_rng_state(),
        "cuda": [torch.cuda.get_rng_state()] if torch.cuda.is_available() else [],
    }


def restore_random_states(states: dict[str, Any]) -> None:
    """Put the global generators back where :func:`random_states` found them."""
    version, internal, following = states["python"]
    random.setstate((version, tuple(internal), following))
    name, keys, position, has_gauss, gauss = states["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), position, has_gauss, gauss))  # noqa: NPY002
    torch.set_rng_state(states["torch"])
    if states["cuda"] and torch.cuda.is_available():
        torch.cuda.set_rng_state(states["cuda"][0])


def _steps(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if _NAME.fullmatch(path.name))
