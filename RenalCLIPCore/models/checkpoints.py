"""Checkpoints of the public RenalCLIP training code, read safely and mapped strictly onto our networks.

A checkpoint is ``torch.save({"model": state_dict, ...})``; its keys may start with ``module.``. The layouts:

* ``clip`` (image-text training): ``logit_scale``, ``image_encoder_q_student.*``, and
  ``text_encoder_q_student.*`` unless the text features were pre-computed;
* ``image`` (attribute pre-training or fine-tuning): ``backbone.image_encoder.*``, ``classifiers.TASK.block_forward.*``;
* ``survival`` (Cox fine-tuning): ``backbone.image_encoder.*``, ``fc.*``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import torch
from torch import Tensor

from ..errors import BundleError, WeightsMismatchError
from .encoder import RenalEncoder
from .heads import ClassificationHead, SurvivalHead
from .weights import are_dense, empty_encoder, fill, listed, read_foreign

_MLP = {"2": "hidden", "3": "norm", "6": "output"}
_LINEAR = {"2": "output"}
_CLASSIFIER = re.compile(r"classifiers\.(?P<task>.+)\.block_forward\.(?P<rest>[^.]+\.[^.]+)")


class CheckpointKind(StrEnum):
    """Layout of a checkpoint."""

    CLIP = "clip"
    IMAGE = "image"
    SURVIVAL = "survival"


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A checkpoint on our networks.

    Attributes:
        kind: Its layout.
        encoder: Filled; without a projection where the checkpoint has none.
        classifiers: Filled heads by the names the checkpoint gives them (``image``).
        survival: Filled head (``survival``).
        logit_scale: Inverse temperature of the image-text loss (``clip``).
        text_tensors: Number of text encoder tensors, which are not used.
    """

    kind: CheckpointKind
    encoder: RenalEncoder
    classifiers: Mapping[str, ClassificationHead]
    survival: SurvivalHead | None
    logit_scale: float | None
    text_tensors: int


def read_checkpoint(path: Path, kind: CheckpointKind | None = None) -> Checkpoint:
    """Read a checkpoint.

    Args:
        path: File.
        kind: Its layout; recognised from its tensor names when None.

    Raises:
        InputError: There is no such file.
        BundleError: It is no checkpoint, or holds Python objects beside tensors.
        WeightsMismatchError: A tensor is missing, left over or of another shape.
    """
    tensors = _state_dict(path)
    kind = kind or _recognise(tensors, path.name)
    if kind is CheckpointKind.CLIP:
        return _clip(tensors, path.name)
    encoder, rest = _split(tensors, "backbone.image_encoder.")
    network = _encoder(encoder, path.name)
    if kind is CheckpointKind.SURVIVAL:
        return Checkpoint(kind, network, {}, _survival(rest, network.feature_dim, path.name), None, 0)
    return Checkpoint(kind, network, _classifiers(rest, network.feature_dim, path.name), None, None, 0)


def _state_dict(path: Path) -> dict[str, Tensor]:
    data = read_foreign(path)
    model = data.get("model") if isinstance(data, dict) else None
    if not are_dense(model):
        raise BundleError(f"{path.name}: a checkpoint with a dictionary of tensors named 'model' is needed.")
    tensors = {key.removeprefix("module."): value for key, value in model.items()}
    if len(tensors) != len(model):
        raise WeightsMismatchError(f"{path.name} holds tensors twice, with and without the prefix 'module.'.")
    return tensors


def _recognise(tensors: Mapping[str, Tensor], source: str) -> CheckpointKind:
    if any(name.startswith("image_encoder_q_student.") for name in tensors):
        return CheckpointKind.CLIP
    if any(name.startswith("backbone.image_encoder.") for name in tensors):
        return CheckpointKind.SURVIVAL if any(name.startswith("fc.") for name in tensors) else CheckpointKind.IMAGE
    raise WeightsMismatchError(
        f"{source} has none of the known layouts (image_encoder_q_student.* or backbone.image_encoder.*); "
        f"it holds {listed(list(tensors))}."
    )


def _clip(tensors: Mapping[str, Tensor], source: str) -> Checkpoint:
    encoder, rest = _split(tensors, "image_encoder_q_student.")
    text, rest = _split(rest, "text_encoder_q_student.")
    scale = rest.pop("logit_scale", None)
    if scale is None or scale.numel() != 1 or not math.isfinite(scale.item()):
        raise WeightsMismatchError(f"{source} lacks logit_scale (one finite number).")
    _refuse(rest, source)
    network = _encoder(encoder, source)
    if not network.embedding_dim:
        raise WeightsMismatchError(f"{source} lacks image_encoder_q_student.global_embedding.head, the projection.")
    return Checkpoint(CheckpointKind.CLIP, network, {}, None, math.exp(scale.item()), len(text))


def _split(tensors: Mapping[str, Tensor], prefix: str) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    inside = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
    return inside, {name: value for name, value in tensors.items() if not name.startswith(prefix)}


def _refuse(rest: Mapping[str, Tensor], source: str) -> None:
    if rest:
        raise WeightsMismatchError(f"{source} holds the unexpected {listed(list(rest))}; nothing was loaded.")


def _encoder(tensors: Mapping[str, Tensor], source: str) -> RenalEncoder:
    renamed = {
        name.replace("global_embedding.head.", "projection.")
        if name.startswith("global_embedding.head.")
        else name: value
        for name, value in tensors.items()
    }
    first, projection = renamed.get("conv1.weight"), renamed.get("projection.weight")
    if first is None or first.ndim != 5 or (projection is not None and projection.ndim != 2):
        raise WeightsMismatchError(f"{source} holds no 3-D ResNet: conv1.weight or the projection is not as expected.")
    encoder = empty_encoder(first.shape[0], 0 if projection is None else projection.shape[0])
    fill(encoder, renamed, source)
    return encoder


def _survival(tensors: Mapping[str, Tensor], features: int, source: str) -> SurvivalHead:
    layers, rest = _split(tensors, "fc.")
    _refuse(rest, source)
    first = layers.get("0.weight")
    with torch.device("meta"):
        head = SurvivalHead(features, first.shape[0] if first is not None else 128)
    fill(head, {f"layers.{name}": value for name, value in layers.items()}, source)
    return head


def _classifiers(tensors: Mapping[str, Tensor], features: int, source: str) -> dict[str, ClassificationHead]:
    by_task: dict[str, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        match = _CLASSIFIER.fullmatch(name)
        if match is None:
            raise WeightsMismatchError(f"{source} holds the unexpected {name}; nothing was loaded.")
        by_task.setdefault(match["task"], {})[match["rest"]] = value
    return {task: _classifier(layers, features, f"{source}, head {task}") for task, layers in by_task.items()}


def _classifier(layers: Mapping[str, Tensor], features: int, source: str) -> ClassificationHead:
    is_mlp = "6.weight" in layers
    names = _MLP if is_mlp else _LINEAR
    renamed = {}
    for name, value in layers.items():
        number, _, rest = name.partition(".")
        renamed[f"{names.get(number, number)}.{rest}"] = value
    output, hidden = renamed.get("output.weight"), renamed.get("hidden.weight")
    if output is None:
        raise WeightsMismatchError(f"{source} lacks its output layer.")
    with torch.device("meta"):
        head = ClassificationHead(features, output.shape[0], hidden.shape[0] if hidden is not None else 0)
    fill(head, renamed, source)
    return head
