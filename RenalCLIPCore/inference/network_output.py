"""Regions of interest -> what the networks put out, in one batched pass over the phases.

Heads, recurrence risk, zero-shot reading, neighbours, distance from the training data and explanation start from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..errors import MissingPhaseError

if TYPE_CHECKING:
    import torch

    from ..models.bundle import Bundle
    from ..models.encoder import RenalEncoder

Array = npt.NDArray[np.floating[Any]]

PHASES = ("N", "A", "V", "D")
KEPT_STAGE = 3


@dataclass(frozen=True, eq=False)
class NetworkOutput:
    """What the networks make of one region of interest in all its phases.

    Attributes:
        phases: The phases read, in the order N, A, V, D; rows of the arrays below.
        fused: Those whose logits are averaged: all of them, or one where the bundle was fine-tuned on A, else V.
        fusion: In words.
        features: (phases, F) pooled features of the main encoder.
        embeddings: (phases, D) L2-normalised, or None without a projection.
        logits: By task: (fused phases, classes), for survival (fused phases, 1).
        activations: Activation after the third stage, (phases, C, z, x, y), of the main encoder (key ``""``) and, over
            the fused phases, of each task's own encoder (key: the task).
    """

    phases: tuple[str, ...]
    fused: tuple[str, ...]
    fusion: str
    features: Array
    embeddings: Array | None
    logits: Mapping[str, Array]
    activations: Mapping[str, torch.Tensor]

    def fused_logits(self, task: str) -> Array:
        """(classes,) mean of the logits over the fused phases (late fusion; paper, 4.5)."""
        return np.asarray(self.logits[task].mean(axis=0))

    @property
    def mean_features(self) -> Array:
        """(F,) mean of the features over all phases."""
        return np.asarray(self.features.mean(axis=0))

    @property
    def mean_embedding(self) -> Array | None:
        """(D,) mean of the phases' unit embeddings, brought back to unit length."""
        if self.embeddings is None:
            return None
        mean = self.embeddings.mean(axis=0)
        return np.asarray(mean / max(float(np.linalg.norm(mean)), 1e-12))


def run_networks(bundle: Bundle, rois: Mapping[str, npt.NDArray[np.float32]]) -> NetworkOutput:
    """Run the networks over the regions of interest of one lesion.

    Args:
        bundle: Loaded model bundle.
        rois: By phase (``N``, ``A``, ``V``, ``D``): (x, y, z) in [0, 1], cut as the bundle's preprocessing says.

    Raises:
        MissingPhaseError: The bundle needs an arterial or venous phase and there is none, or there is no phase at all.
        ValueError: A region of interest has another shape than the bundle was trained on.
    """
    phases = tuple(phase for phase in PHASES if phase in rois)
    fused = fused_phases(bundle.manifest.fusion, phases)
    rows = [phases.index(phase) for phase in fused]
    x = _batch(bundle, [rois[phase] for phase in phases])
    activations = {"": _activation(bundle.encoder, x)}
    features = _features(bundle.encoder, activations[""])
    logits = {}
    for task in bundle.manifest.tasks:
        task_features = features[rows]
        if task.own_encoder:
            encoder = bundle.task_encoders[task.name]
            activations[task.name] = _activation(encoder, x[rows])
            task_features = _features(encoder, activations[task.name])
        logits[task.name] = _array(bundle.heads[task.name](task_features))
    embeddings = _array(bundle.encoder.project(features)) if bundle.encoder.embedding_dim else None
    words = "late fusion: mean of the logits over the phases" if len(fused) > 1 else f"single phase: {fused[0]}"
    return NetworkOutput(phases, fused, words, _array(features), embeddings, logits, activations)


def fused_phases(fusion: str, phases: tuple[str, ...]) -> tuple[str, ...]:
    """The phases whose logits are averaged.

    Raises:
        MissingPhaseError: None of the phases can be used.
    """
    if fusion == "random-phase" and phases:
        return phases
    for phase in ("A", "V"):
        if phase in phases:
            return (phase,)
    found = ", ".join(phases) or "none"
    raise MissingPhaseError(f"The model needs an arterial (A) or venous (V) phase, but the phases are: {found}.")


def _batch(bundle: Bundle, rois: list[npt.NDArray[np.float32]]) -> torch.Tensor:
    import torch

    from ..models.encoder import network_input

    preprocessing = bundle.manifest.preprocessing
    for roi in rois:
        if roi.shape != preprocessing.shape:
            raise ValueError(f"regions of interest of {preprocessing.shape} voxels are needed, not {roi.shape}")
    x = network_input(np.stack(rois), preprocessing.input_shape).to(bundle.device)
    return x.contiguous(memory_format=torch.channels_last_3d)


def _activation(encoder: RenalEncoder, x: torch.Tensor) -> torch.Tensor:
    import torch

    with torch.no_grad():
        return encoder.activation(x, KEPT_STAGE).float()


def _features(encoder: RenalEncoder, activation: torch.Tensor) -> torch.Tensor:
    import torch

    with torch.no_grad():
        return encoder.features_after(activation, KEPT_STAGE)


def _array(values: torch.Tensor) -> Array:
    return np.asarray(values.detach().cpu().numpy(), dtype=np.float64)
