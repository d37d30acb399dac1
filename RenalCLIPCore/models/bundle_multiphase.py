"""The multi-phase 2-D networks that a bundle carries beside RenalCLIP's own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

from ..errors import BundleError
from .manifest import BundleManifest, MultiphaseEntry
from .multiphase import MultiphaseNetwork
from .weights import check_architecture, fill, read_tensors, save_tensors


def multiphase_file(task: str) -> str:
    """Path of a network's weights within a bundle."""
    return f"multiphase/{task}.safetensors"


def empty_network(entry: MultiphaseEntry) -> MultiphaseNetwork:
    """A network of an entry's architecture, without weights."""
    with torch.device("meta"):
        return MultiphaseNetwork(entry.phases, entry.fusion, entry.width)


def load_multiphase(folder: Path, manifest: BundleManifest, device: torch.device) -> dict[str, MultiphaseNetwork]:
    """The networks by task name, in evaluation mode, without gradients.

    Raises:
        BundleError: A file cannot be read.
        WeightsMismatchError: A tensor is missing, left over, of another shape, or not finite.
    """
    found = {}
    for entry in manifest.multiphase:
        name = multiphase_file(entry.task.name)
        network = empty_network(entry)
        fill(network, read_tensors(folder / name), name)
        network.eval().requires_grad_(False).to(device)
        # the branches are two-dimensional convolutions
        network.branches.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        found[entry.task.name] = network
    return found


def write_multiphase(folder: Path, task: str, network: MultiphaseNetwork) -> None:
    """Write a network's weights."""
    path = folder / multiphase_file(task)
    path.parent.mkdir(exist_ok=True)
    save_tensors(network.state_dict(), path)


def check_multiphase(manifest: BundleManifest, networks: Mapping[str, MultiphaseNetwork]) -> None:
    """Whether the manifest and the networks agree.

    Raises:
        BundleError: A network has no entry, or an entry no network.
        WeightsMismatchError: A network is not of its entry's architecture.
    """
    entries = {entry.task.name: entry for entry in manifest.multiphase}
    if set(networks) != set(entries):
        raise BundleError("Each multi-phase entry of the manifest needs a network of its name, and no others.")
    for name, network in networks.items():
        check_architecture(network, empty_network(entries[name]), f"The multi-phase network of {name}")
