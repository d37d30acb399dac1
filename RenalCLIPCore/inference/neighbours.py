"""Similar cases: cosine similarity of the lesion's embedding with those of the bundle's index."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..review import Absent, Neighbour
from .network_output import NetworkOutput

if TYPE_CHECKING:
    from ..models.bundle import Bundle

DEFAULT_COUNT = 5


def neighbours(bundle: Bundle, output: NetworkOutput, count: int = DEFAULT_COUNT) -> tuple[Neighbour, ...] | Absent:
    """The most similar cases, best first; equal ones in the order of the index."""
    embedding = output.mean_embedding
    if bundle.index is None or embedding is None:
        return Absent("The model bundle carries no index of cases.")
    # in the index's own precision: widening it would copy all of it
    similarities = bundle.index.embeddings @ embedding.astype(bundle.index.embeddings.dtype)
    best = np.argsort(-similarities, kind="stable")[:count]
    return tuple(Neighbour(bundle.index.case_ids[i], float(similarities[i]), dict(bundle.index.facts[i])) for i in best)
