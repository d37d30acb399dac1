"""Predictions of multi-phase 2-D networks: one row per output, from a chosen part of the phases."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from ..cohort.table import CohortRow
from ..inference.head_readings import probabilities
from ..models.manifest import Task
from .predictions import Prediction


def multiphase_predictions(
    rows: Sequence[CohortRow],
    logits: npt.NDArray[np.float64],
    task: Task,
    *,
    cohort: str,
    model: str,
    phases: str,
    seed: int,
) -> Iterator[Prediction]:
    """Rows of the predictions table.

    Args:
        rows: The cases.
        logits: (cases, classes) of the network.
        task: With its calibration.
        cohort: Name of the cohort.
        model: Name of the model.
        phases: What was read, in the table's words: letters, or :data:`.predictions.ALL_PHASES`.
        seed: Of the model's training.
    """
    for row, scores in zip(rows, probabilities(logits, task.temperature), strict=True):
        for name, score in zip(task.classes, scores, strict=True):
            yield Prediction(
                row.patient, row.side, "L1", cohort, row.split, task.name, model, phases, 1.0, seed, name, float(score)
            )
