"""Measures of retrieval between images and texts. Arrays in, numbers out; higher is better."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import UndefinedMeasureError

RANKS = (1, 3, 5)


def ranks(similarity: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Place (n,), from 1, of each query's own item; items that are as similar as it are placed before it.

    Args:
        similarity: (n, m) of queries (rows) and gallery; query i's own item is gallery item i, m >= n.

    Raises:
        UndefinedMeasureError: There is no query, fewer items than queries, or a value is not finite.
    """
    values = np.asarray(similarity, dtype=float)
    if values.ndim != 2 or not len(values) or values.shape[1] < len(values) or not np.isfinite(values).all():
        raise UndefinedMeasureError(
            "Retrieval needs a finite similarity of every query with a gallery that holds its own."
        )
    own = values[np.arange(len(values)), np.arange(len(values))]
    return np.asarray((values >= own[:, None]).sum(axis=1))


def recall_at(similarity: npt.ArrayLike, count: int) -> float:
    """Share of the queries whose own item is among the ``count`` most similar ones; chance is count / m."""
    return float((ranks(similarity) <= count).mean())


def recalls(images: npt.ArrayLike, texts: npt.ArrayLike, counts: Sequence[int] = RANKS) -> dict[str, float]:
    """Recall at each count in both directions, as ``image to text R@1`` and so on.

    Args:
        images: (n, D) unit embeddings.
        texts: (n, D) unit embeddings, in the same order.
        counts: For instance 1, 3, 5.
    """
    similarity: npt.NDArray[np.floating[Any]] = np.asarray(images, dtype=float) @ np.asarray(texts, dtype=float).T
    found: dict[str, float] = {}
    for words, values in (("image to text", similarity), ("text to image", similarity.T)):
        places = ranks(values)
        found |= {f"{words} R@{count}": float((places <= count).mean()) for count in counts}
    return found
