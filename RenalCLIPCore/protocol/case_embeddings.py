"""What an image encoder makes of every case of a cohort: features and embeddings, averaged over the phases."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from ..cohort.dataset import RoiDataset, every_phase
from ..cohort.roi_store import RoiStore
from ..cohort.table import CohortRow
from ..models.encoder import RenalEncoder
from ..progress import Progress

Array = npt.NDArray[np.float64]
_BATCH = 32


def read_cases(
    encoder: RenalEncoder, rows: Sequence[CohortRow], store: RoiStore, *, progress: Progress | None = None
) -> tuple[Array, Array]:
    """Run the encoder over every phase of every case.

    Args:
        encoder: In evaluation mode.
        rows: Cases.
        store: Their regions of interest.
        progress: Told of every batch.

    Returns:
        Mean features (cases, F); and the mean of the phases' unit embeddings, brought back to unit length, (cases, D)
        (D is 0 where the encoder has no projection).

    Raises:
        CohortError: The store lacks a case.
    """
    dataset = RoiDataset(rows, store)
    place = {row.case_id: number for number, row in enumerate(rows)}
    features = np.zeros((len(rows), encoder.feature_dim))
    embeddings = np.zeros((len(rows), encoder.embedding_dim))
    counts = np.zeros((len(rows), 1))
    done, total = 0, sum(len(dataset.phases(row)) for row in range(len(rows)))
    with torch.no_grad():
        for batch in every_phase(dataset, _BATCH, torch.device("cpu")):
            found = encoder(batch.images)
            at = [place[case] for case in batch.case_ids]
            np.add.at(features, at, found.double().numpy())
            np.add.at(counts, at, 1.0)
            if encoder.projection is not None:
                np.add.at(embeddings, at, encoder.project(found).double().numpy())
            done += len(at)
            if progress:
                progress(done / total, "reading cases")
    norms = np.maximum(np.linalg.norm(embeddings, axis=1, keepdims=True), 1e-12)
    return features / counts, embeddings / norms
