"""Zero-shot reading: a lesion's embedding against the stored embeddings of prompts (paper, 4.4.2).

The embedding is the mean of the phases' unit embeddings, brought back to unit length.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..review import Absent, PromptMatch, ZeroShotReading
from .network_output import NetworkOutput

if TYPE_CHECKING:
    from ..models.bundle import Bundle
    from ..models.bundle_parts import TaskPrompts

Array = npt.NDArray[np.floating[Any]]
SHOWN_PER_CLASS = 3


def zero_shot(bundle: Bundle, output: NetworkOutput) -> tuple[ZeroShotReading, ...] | Absent:
    """Zero-shot reading of every task that has prompts."""
    embedding = output.mean_embedding
    if not bundle.prompts or embedding is None:
        return Absent("The model bundle carries no prompts for a zero-shot output.")
    return tuple(_read(task, prompts, embedding) for task, prompts in bundle.prompts.items())


def maximum_similarity(negative: npt.ArrayLike, positive: npt.ArrayLike) -> float:
    """First strategy: largest similarity of the positive prompts minus largest of the negative; higher is positive."""
    return float(np.max(positive) - np.max(negative))


def share_positive(negative: npt.ArrayLike, positive: npt.ArrayLike) -> float:
    """Share of pairs of one prompt per class in which the positive one is more similar; ties count half.

    This is the expectation of the second strategy's random draws, counted over all pairs.
    """
    ordered = np.sort(np.asarray(negative, dtype=np.float64))
    values = np.asarray(positive, dtype=np.float64)
    below = np.searchsorted(ordered, values, side="left") + np.searchsorted(ordered, values, side="right")
    return float(below.sum() / (2 * len(ordered) * len(values)))


def stochastic_scores(
    negative: npt.ArrayLike, positive: npt.ArrayLike, draws: int, generator: np.random.Generator
) -> Array:
    """Second strategy: (draws,) similarity of a random positive prompt minus that of a random negative one.

    With a generator of the same seed every case of a cohort gets the same prompts, as the strategy asks.
    """
    negatives, positives = np.asarray(negative, dtype=np.float64), np.asarray(positive, dtype=np.float64)
    first = generator.integers(len(negatives), size=draws)
    second = generator.integers(len(positives), size=draws)
    return np.asarray(positives[second] - negatives[first])


def _read(task: str, prompts: TaskPrompts, embedding: Array) -> ZeroShotReading:
    negative, positive = (class_embeddings @ embedding for class_embeddings in prompts.embeddings)
    matches = [
        PromptMatch(name, texts[number], float(similarities[number]))
        for name, texts, similarities in zip(prompts.classes, prompts.texts, (negative, positive), strict=True)
        for number in np.argsort(-similarities, kind="stable")[:SHOWN_PER_CLASS]
    ]
    return ZeroShotReading(
        task=task,
        positive=prompts.classes[1],
        negative=prompts.classes[0],
        score=maximum_similarity(negative, positive),
        share_positive=share_positive(negative, positive),
        best=tuple(sorted(matches, key=lambda match: -match.similarity)),
    )
