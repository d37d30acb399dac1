"""What an encoder and its heads say about every case and phase of a cohort."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from ..cohort.dataset import Batch

Array = npt.NDArray[np.float64]

_FALLBACK = ("A", "V")


@dataclass(frozen=True, eq=False)
class Predictions:
    """Outputs per region (one per case and phase), in the order in which they were seen.

    Attributes:
        case_ids: Case of each region.
        phases: Phase of each region.
        features: (regions, F) pooled features of the encoder.
        outputs: Per task (regions, K) logits, or (regions, 1) log relative hazard for survival.
    """

    case_ids: tuple[str, ...]
    phases: tuple[str, ...]
    features: Array
    outputs: Mapping[str, Array]

    @property
    def cases(self) -> tuple[str, ...]:
        """Every case once, in the order of its first region."""
        return tuple(dict.fromkeys(self.case_ids))

    def fused(self) -> tuple[Array, dict[str, Array]]:
        """Features and outputs per case: the element-wise mean over its phases (late fusion)."""
        place = {case: number for number, case in enumerate(self.cases)}
        mean = np.zeros((len(place), len(self.case_ids)))
        mean[[place[case] for case in self.case_ids], np.arange(len(self.case_ids))] = 1
        mean /= mean.sum(axis=1, keepdims=True)
        return mean @ self.features, {task: mean @ values for task, values in self.outputs.items()}

    def single_phase(self) -> tuple[Array, dict[str, Array]]:
        """Features and outputs per case from its arterial phase, else its venous one."""
        chosen: dict[str, int] = {}
        for phase in reversed(_FALLBACK):
            chosen |= {c: i for i, (c, p) in enumerate(zip(self.case_ids, self.phases, strict=True)) if p == phase}
        rows = [chosen[case] for case in self.cases]
        return self.features[rows], {task: values[rows] for task, values in self.outputs.items()}


def predict(encoder: nn.Module, heads: Mapping[str, nn.Module], batches: Iterable[Batch]) -> Predictions:
    """Run networks over batches. They must be in evaluation mode; gradients are off.

    Args:
        encoder: Images (B, 1, z, x, y) -> features (B, F).
        heads: Per task, features -> outputs (B, K).
        batches: For instance of :func:`RenalCLIPCore.cohort.dataset.every_phase`.
    """
    case_ids: list[str] = []
    phases: list[str] = []
    features: list[Array] = []
    outputs: dict[str, list[Array]] = {task: [] for task in heads}
    with torch.no_grad():
        for batch in batches:
            found = encoder(batch.images)
            features.append(found.double().cpu().numpy())
            for task, head in heads.items():
                outputs[task].append(head(found).double().cpu().numpy())
            case_ids += batch.case_ids
            phases += batch.phases
    return Predictions(
        tuple(case_ids),
        tuple(phases),
        np.concatenate(features),
        {task: np.concatenate(values) for task, values in outputs.items()},
    )


def softmax(logits: Array, temperature: float = 1.0) -> Array:
    """Probabilities (n, K) of logits divided by a temperature."""
    scaled = logits / temperature
    exponent = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return np.asarray(exponent / exponent.sum(axis=1, keepdims=True))
