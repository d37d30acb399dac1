"""Checkpoints of the public training code -> the contents of a bundle."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from torch import nn

from ..errors import BundleError, ConfigurationError
from .bundle import BundleContents
from .checkpoints import Checkpoint, CheckpointKind, read_checkpoint
from .encoder import RenalEncoder
from .heads import ClassificationHead, SurvivalHead
from .manifest import Architecture, BundleManifest, Fusion, Task
from .tasks import TASKS

_NOT_CALIBRATED = "not calibrated (imported weights)"


def contents_from_checkpoints(
    checkpoint: Path,
    tasks: Mapping[str, Path],
    *,
    name: str,
    version: str,
    fusion: Fusion,
    licence: str,
    training_data: str,
    kind: CheckpointKind | None = None,
    segmentation: Path | None = None,
) -> tuple[BundleContents, tuple[str, ...]]:
    """Read checkpoints and describe the bundle that they make.

    Args:
        checkpoint: Gives the main encoder, and the heads of known tasks that it holds.
        tasks: Fine-tuned checkpoints by task name; each keeps its own encoder.
        name: Of the bundle.
        version: Of the bundle.
        fusion: How the tasks were fine-tuned.
        licence: Of the weights.
        training_data: In one sentence.
        kind: Layout of ``checkpoint``; recognised when None.
        segmentation: Folder of an nnU-Net model to include.

    Returns:
        The contents, and the names of heads in ``checkpoint`` that no known task matches and that were left out.

    Raises:
        ConfigurationError: A task name is unknown.
        BundleError: A checkpoint cannot be read or does not fit its task.
    """
    main = read_checkpoint(checkpoint, kind)
    heads, left_out = _known_heads(main)
    own: dict[str, RenalEncoder] = {}
    for task, path in tasks.items():
        encoder, head = _task_weights(task, path)
        if encoder.width != main.encoder.width:
            raise BundleError(f"{path.name} has the width {encoder.width}, the main encoder {main.encoder.width}.")
        own[task], heads[task] = encoder, head
    manifest = BundleManifest(
        name=name,
        version=version,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        architecture=Architecture(width=main.encoder.width, embedding_dim=main.encoder.embedding_dim),
        fusion=fusion,
        tasks=tuple(_describe(task, heads[task], task in own) for task in TASKS if task in heads),
        segmentation=segmentation is not None,
        licence=licence,
        training_data=training_data,
    )
    return BundleContents(manifest, main.encoder, heads, own, segmentation=segmentation), left_out


def _known_heads(main: Checkpoint) -> tuple[dict[str, nn.Module], tuple[str, ...]]:
    heads: dict[str, nn.Module] = {name: head for name, head in main.classifiers.items() if _fits(name, head)}
    left_out = tuple(name for name in main.classifiers if name not in heads)
    if main.survival is not None:
        heads["rfs"] = main.survival
    return heads, left_out


def _fits(task: str, head: ClassificationHead) -> bool:
    return task in TASKS and len(TASKS[task].classes) == head.output.out_features


def _task_weights(task: str, path: Path) -> tuple[RenalEncoder, nn.Module]:
    if task not in TASKS:
        raise ConfigurationError(f"The task {task!r} is unknown; the tasks are {', '.join(TASKS)}.")
    checkpoint = read_checkpoint(path)
    checkpoint.encoder.drop_projection()
    if not TASKS[task].classes:
        if checkpoint.survival is None:
            raise BundleError(f"{path.name} holds no survival head (fc.*), which the task {task} needs.")
        return checkpoint.encoder, checkpoint.survival
    candidates = checkpoint.classifiers
    head = candidates.get(task) or (next(iter(candidates.values())) if len(candidates) == 1 else None)
    if head is None:
        raise BundleError(f"{path.name} holds {len(candidates)} classification heads and none is named {task}.")
    if not _fits(task, head):
        found, wanted = head.output.out_features, len(TASKS[task].classes)
        raise BundleError(f"{path.name}: the head has {found} classes, but the task {task} has {wanted}.")
    return checkpoint.encoder, head


def _describe(name: str, head: nn.Module, own_encoder: bool) -> Task:
    definition = TASKS[name]
    if isinstance(head, SurvivalHead):
        return Task(name=name, kind="survival", hidden=head.hidden_units, own_encoder=own_encoder)
    hidden = head.hidden.out_features if isinstance(head, ClassificationHead) and head.hidden is not None else 0
    return Task(
        name=name,
        classes=definition.classes,
        points=definition.points,
        hidden=hidden,
        own_encoder=own_encoder,
        temperature_source=_NOT_CALIBRATED,
    )
