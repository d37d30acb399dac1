"""A model bundle: a folder with ``bundle.yaml``, safetensors weights and what the reading of a case needs beside them.

Loading is strict: every file must be listed and have its hash, every tensor its name, shape and finite values.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..errors import BundleError, ConfigurationError, OutputError, WeightsMismatchError
from .bundle_multiphase import check_multiphase, load_multiphase, multiphase_file, write_multiphase
from .bundle_parts import (
    INDEX_CASES_FILE,
    INDEX_FILE,
    PROMPT_TEXTS_FILE,
    PROMPTS_FILE,
    STATISTICS_FILE,
    CaseIndex,
    TaskPrompts,
    load_index,
    load_prompts,
    load_statistics,
    write_index,
    write_prompts,
    write_statistics,
)
from .encoder import Precision, RenalEncoder, accelerated, suited_precision
from .feature_statistics import FeatureStatistics
from .manifest import MANIFEST_FILE, BundleManifest, Task, read_manifest
from .multiphase import MultiphaseNetwork
from .report_generator import GENERATOR_FILE, check_generator
from .weights import check_architecture, empty_encoder, fill, listed, make_head, read_tensors, save_tensors

ENCODER_FILE = "encoder.safetensors"
HEADS_FILE = "heads.safetensors"
SEGMENTATION_FOLDER = "segmentation"
REPORT_FOLDER = "report"
_IGNORED_NAMES = (".DS_Store", "Thumbs.db")


@dataclass(frozen=True, eq=False)
class BundleContents:
    """What a bundle is written from.

    Attributes:
        manifest: With everything but ``files``.
        encoder: Of the manifest's architecture.
        heads: One per task, by name.
        task_encoders: Encoders (no projection) of the tasks that have their own.
        prompts: Prompts by task name; must be there when the manifest says ``prompts``.
        index: As the manifest's ``index`` says.
        statistics: As the manifest's ``out_of_distribution`` says.
        segmentation: Folder of an nnU-Net model to copy, as the manifest's ``segmentation`` says.
        report: Folder of a report generator to copy, as the manifest's ``report`` says.
        multiphase: Multi-phase 2-D networks by task name, as the manifest's ``multiphase`` says.
    """

    manifest: BundleManifest
    encoder: RenalEncoder
    heads: Mapping[str, nn.Module] = field(default_factory=dict)
    task_encoders: Mapping[str, RenalEncoder] = field(default_factory=dict)
    prompts: Mapping[str, TaskPrompts] | None = None
    index: CaseIndex | None = None
    statistics: FeatureStatistics | None = None
    segmentation: Path | None = None
    report: Path | None = None
    multiphase: Mapping[str, MultiphaseNetwork] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Bundle:
    """A loaded bundle, ready for inference (networks in evaluation mode, no gradients).

    Attributes:
        folder: Where it was read.
        manifest: What it says about itself.
        sha256: Hash over manifest and files.
        encoder: The image encoder.
        heads: One per task, by name.
        task_encoders: Encoders of the tasks that have their own.
        prompts: By task name, or None.
        index: Cases to compare with, or None.
        statistics: Of the training features, or None.
        device: Where the networks are.
        precision: How they compute; ``fast`` encoders are :func:`accelerated`.
        multiphase: Multi-phase 2-D networks by task name; empty where the bundle carries none.
    """

    folder: Path
    manifest: BundleManifest
    sha256: str
    encoder: RenalEncoder
    heads: Mapping[str, nn.Module]
    task_encoders: Mapping[str, RenalEncoder]
    prompts: Mapping[str, TaskPrompts] | None
    index: CaseIndex | None
    statistics: FeatureStatistics | None
    device: torch.device
    precision: Precision
    multiphase: Mapping[str, MultiphaseNetwork] = field(default_factory=dict)

    @property
    def capabilities(self) -> tuple[str, ...]:
        """What the bundle can do."""
        return self.manifest.capabilities

    @property
    def segmentation_folder(self) -> Path | None:
        """Folder of the bundle's nnU-Net model, if it has one."""
        return self.folder / SEGMENTATION_FOLDER if self.manifest.segmentation else None

    @property
    def report_folder(self) -> Path | None:
        """Folder of the bundle's report generator, if it has one."""
        return self.folder / REPORT_FOLDER if self.manifest.report else None

    @staticmethod
    def load(folder: Path, device: str = "cpu", precision: Precision | str = Precision.EXACT) -> Bundle:
        """Read and check a bundle.

        Args:
            folder: The bundle.
            device: Where the networks go.
            precision: How they compute; ``auto`` is what suits the device.

        Raises:
            BundleError: It is missing or damaged, or holds a file that is not listed.
            WeightsMismatchError: A tensor is missing, left over or of another shape.
            ConfigurationError: There is no such device.
        """
        manifest = verify(folder)
        where = _device(device)
        chosen = suited_precision(where) if precision == "auto" else Precision(precision)
        architecture = manifest.architecture
        encoder = empty_encoder(architecture.width, architecture.embedding_dim)
        fill(encoder, read_tensors(folder / ENCODER_FILE), ENCODER_FILE)
        own = {task.name: _own_encoder(folder, manifest, task) for task in manifest.tasks if task.own_encoder}
        heads = _load_heads(folder, manifest)
        networks: tuple[Any, ...] = (encoder, *own.values(), *heads.values())
        for network in networks:
            network.eval().requires_grad_(False).to(where).to(memory_format=torch.channels_last_3d)
        if chosen is Precision.FAST:
            encoder, own = accelerated(encoder), {name: accelerated(item) for name, item in own.items()}
        return Bundle(
            folder,
            manifest,
            manifest.sha256,
            encoder,
            heads,
            own,
            load_prompts(folder, manifest),
            load_index(folder, manifest),
            load_statistics(folder, manifest),
            where,
            chosen,
            load_multiphase(folder, manifest, where),
        )


def verify(folder: Path) -> BundleManifest:
    """Read the manifest and check that exactly the listed files are there, with their hashes.

    Raises:
        BundleError: As the message says.
    """
    manifest = read_manifest(folder)
    present = _present(folder)
    for path in sorted(present - set(manifest.files)):
        raise BundleError(f"The bundle holds the file {path!r}, which {MANIFEST_FILE} does not list; remove it.")
    for path, expected in sorted(manifest.files.items()):
        if path not in present:
            raise BundleError(f"The bundle lacks the file {path!r}; take a complete copy of the bundle.")
        if file_hash(folder / path) != expected:
            raise BundleError(f"{path!r} is not the file that {MANIFEST_FILE} lists (its SHA-256 differs).")
    missing = sorted(_required(manifest) - set(manifest.files))
    if missing:
        raise BundleError(f"{MANIFEST_FILE} does not list the file {missing[0]!r}, which its contents need.")
    return manifest


def write_bundle(folder: Path, contents: BundleContents, *, overwrite: bool = False) -> BundleManifest:
    """Write a bundle by atomic rename and return its manifest, with ``files``.

    Raises:
        OutputError: The folder exists and is not a bundle to overwrite, or cannot be written.
        BundleError: Manifest and contents disagree.
        WeightsMismatchError: A network is not of the manifest's architecture.
    """
    _check_target(folder, overwrite)
    _check_contents(contents)
    partial: Path | None = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=folder.parent))
        partial.chmod(0o755)
        _write_parts(partial, contents)
        files = {path: file_hash(partial / path) for path in sorted(_present(partial))}
        manifest = contents.manifest.model_copy(update={"files": files})
        (partial / MANIFEST_FILE).write_text(manifest.to_yaml(), encoding="utf-8")
        Bundle.load(partial)
        _swap(partial, folder)
    except OSError as error:
        raise OutputError(f"The bundle cannot be written to {folder.name!r}: {error.strerror}.") from error
    finally:
        if partial is not None:
            shutil.rmtree(partial, ignore_errors=True)
    return manifest


def file_hash(path: Path) -> str:
    """SHA-256 of a file, streamed."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigurationError(f"The device {name!r} cannot be used here; 'cpu' always can.") from error
    return device


def _present(folder: Path) -> set[str]:
    found = set()
    for path in folder.rglob("*"):
        if path.is_symlink():
            raise BundleError(f"The bundle holds the link {path.name!r}; it must hold plain files.")
        if path.is_file() and path.name not in _IGNORED_NAMES and path != folder / MANIFEST_FILE:
            found.add(path.relative_to(folder).as_posix())
    return found


def _required(manifest: BundleManifest) -> set[str]:
    parts = {
        ENCODER_FILE: True,
        HEADS_FILE: bool(manifest.tasks),
        STATISTICS_FILE: manifest.out_of_distribution is not None,
        PROMPTS_FILE: manifest.prompts,
        PROMPT_TEXTS_FILE: manifest.prompts,
        INDEX_FILE: manifest.index,
        INDEX_CASES_FILE: manifest.index,
        f"{SEGMENTATION_FOLDER}/dataset.json": manifest.segmentation,
        f"{REPORT_FOLDER}/{GENERATOR_FILE}": manifest.report,
    }
    own = {_own_encoder_file(task.name) for task in manifest.tasks if task.own_encoder}
    own |= {multiphase_file(item.task.name) for item in manifest.multiphase}
    return own | {path for path, needed in parts.items() if needed}


def _own_encoder_file(task: str) -> str:
    return f"encoders/{task}.safetensors"


def _own_encoder(folder: Path, manifest: BundleManifest, task: Task) -> RenalEncoder:
    name = _own_encoder_file(task.name)
    encoder = empty_encoder(manifest.architecture.width, 0)
    fill(encoder, read_tensors(folder / name), name)
    return encoder


def _load_heads(folder: Path, manifest: BundleManifest) -> dict[str, nn.Module]:
    if not manifest.tasks:
        return {}
    tensors = read_tensors(folder / HEADS_FILE)
    heads: dict[str, nn.Module] = {}
    for task in manifest.tasks:
        prefix = f"{task.name}."
        own = {name.removeprefix(prefix): tensors.pop(name) for name in list(tensors) if name.startswith(prefix)}
        with torch.device("meta"):
            heads[task.name] = make_head(task, 8 * manifest.architecture.width)
        fill(heads[task.name], own, f"{HEADS_FILE} ({task.name})")
    if tensors:
        raise WeightsMismatchError(
            f"{HEADS_FILE} holds the unexpected {listed(list(tensors))}; the bundle is not used."
        )
    return heads


def _check_target(folder: Path, overwrite: bool) -> None:
    if not folder.exists():
        return
    if folder.is_dir() and not any(folder.iterdir()):
        return
    if not overwrite:
        raise OutputError(f"{folder.name!r} exists already; choose another name or ask to overwrite it.")
    if not (folder / MANIFEST_FILE).is_file():
        raise OutputError(f"{folder.name!r} exists and is not a model bundle, so it is not overwritten.")


def _check_contents(contents: BundleContents) -> None:
    manifest = contents.manifest
    parts = {
        "prompts": (manifest.prompts, contents.prompts is not None),
        "index": (manifest.index, contents.index is not None),
        "out_of_distribution": (manifest.out_of_distribution is not None, contents.statistics is not None),
        "segmentation": (manifest.segmentation, contents.segmentation is not None),
        "report": (manifest.report, contents.report is not None),
    }
    for name, (declared, given) in parts.items():
        if declared != given:
            raise BundleError(f"The manifest and the contents disagree about {name}: give both or neither.")
    if contents.segmentation is not None and not (contents.segmentation / "dataset.json").is_file():
        raise BundleError("The segmentation model must be an nnU-Net model folder, with dataset.json in it.")
    if contents.report is not None:
        check_generator(contents.report, contents.encoder)
    if set(contents.heads) != {task.name for task in manifest.tasks}:
        raise BundleError("Each task of the manifest needs a head of its name, and no other heads are allowed.")
    if set(contents.task_encoders) != {task.name for task in manifest.tasks if task.own_encoder}:
        raise BundleError("Exactly the tasks with own_encoder need an encoder of their own.")
    check_multiphase(manifest, contents.multiphase)
    architecture = manifest.architecture
    check_architecture(contents.encoder, empty_encoder(architecture.width, architecture.embedding_dim), "The encoder")
    for name, encoder in contents.task_encoders.items():
        check_architecture(encoder, empty_encoder(architecture.width, 0), f"The encoder of {name}")
    with torch.device("meta"):
        heads = {task.name: make_head(task, 8 * architecture.width) for task in manifest.tasks}
    for name, head in heads.items():
        check_architecture(contents.heads[name], head, f"The head of {name}")


def _write_parts(folder: Path, contents: BundleContents) -> None:
    save_tensors(contents.encoder.state_dict(), folder / ENCODER_FILE)
    for name, encoder in contents.task_encoders.items():
        (folder / "encoders").mkdir(exist_ok=True)
        save_tensors(encoder.state_dict(), folder / _own_encoder_file(name))
    if contents.heads:
        heads = {
            f"{task}.{name}": value
            for task, head in contents.heads.items()
            for name, value in head.state_dict().items()
        }
        save_tensors(heads, folder / HEADS_FILE)
    for name, network in contents.multiphase.items():
        write_multiphase(folder, name, network)
    if contents.prompts is not None:
        write_prompts(folder, contents.prompts)
    if contents.index is not None:
        write_index(folder, contents.index)
    if contents.statistics is not None:
        write_statistics(folder, contents.statistics)
    if contents.segmentation is not None:
        shutil.copytree(contents.segmentation, folder / SEGMENTATION_FOLDER, symlinks=False)
    if contents.report is not None:
        shutil.copytree(contents.report, folder / REPORT_FOLDER, symlinks=False)


def _swap(partial: Path, folder: Path) -> None:
    """Put the finished folder in its place; an older bundle there is moved aside first and removed last."""
    if not folder.exists():
        os.rename(partial, folder)
        return
    aside = Path(tempfile.mkdtemp(prefix=".replaced-", dir=folder.parent))
    try:
        os.rename(folder, aside / "old")
        os.rename(partial, folder)
    except OSError:
        if (aside / "old").exists() and not folder.exists():
            os.rename(aside / "old", folder)
        raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)
