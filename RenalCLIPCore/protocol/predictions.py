"""The predictions table: what a bundle says about every case of a cohort, one row per output."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..cohort.roi_store import RoiStore
from ..cohort.table import CohortRow
from ..inference.head_readings import probabilities
from ..inference.network_output import NetworkOutput, run_networks
from ..progress import Progress

if TYPE_CHECKING:
    import numpy.typing as npt

    from ..models.bundle import Bundle


ALL_PHASES, ONE_PHASE = "all available", "A, else V"


@dataclass(frozen=True)
class Prediction:
    """One output for one lesion.

    Attributes:
        patient: Pseudonym.
        side: ``left`` or ``right``.
        lesion: ``L1`` is the primary one.
        cohort: Name of the cohort.
        split: Of the row.
        task: For instance ``renal_r`` or ``rfs``.
        model: Name and version of the bundle.
        phases: ``all available`` (late fusion) or ``A, else V``.
        training_fraction: Share of the training data that the model saw.
        seed: Of the model's training, where several exist; 0 for a bundle.
        output: Class name, or the endpoint of a survival task.
        score: Calibrated probability, or log relative hazard.
    """

    patient: str
    side: str
    lesion: str
    cohort: str
    split: str
    task: str
    model: str
    phases: str
    training_fraction: float
    seed: int
    output: str
    score: float


def predict_cohort(
    bundle: Bundle, cohort: str, rows: Sequence[CohortRow], store: RoiStore, *, progress: Progress | None = None
) -> list[Prediction]:
    """Predict every case with late fusion over its phases, and from the arterial (else venous) phase alone.

    Args:
        bundle: Loaded model bundle.
        cohort: Name of the cohort, for the table.
        rows: Cases.
        store: Their regions of interest.
        progress: Told of every case.

    Raises:
        CohortError: The store lacks a case.
    """
    found: list[Prediction] = []
    for number, row in enumerate(rows, 1):
        rois = {phase.value: store.read(row.case_id, phase) for phase in store.phases(row.case_id)}
        output = run_networks(bundle, rois)
        found += _outputs(bundle, output, cohort, row)
        if progress:
            progress(number / len(rows), "reading cases")
    return found


def write_predictions(predictions: Sequence[Prediction], path: Path) -> None:
    """Write the table (CSV) by atomic rename."""
    partial = path.with_name(f".partial-{path.name}")
    with partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([field.name for field in fields(Prediction)])
        writer.writerows(astuple(item) for item in predictions)
    os.replace(partial, path)


def _outputs(bundle: Bundle, output: NetworkOutput, cohort: str, row: CohortRow) -> Iterator[Prediction]:
    model = f"{bundle.manifest.name} {bundle.manifest.version}"
    single = next((phase for phase in ("A", "V") if phase in output.fused), None)
    for task in bundle.manifest.tasks:
        logits: dict[str, npt.NDArray[np.floating]] = {ALL_PHASES: output.fused_logits(task.name)}
        if single is not None:
            logits[ONE_PHASE] = output.logits[task.name][output.fused.index(single)]
        for phases, values in logits.items():
            survival = task.kind == "survival"
            scores = values if survival else probabilities(values, task.temperature)
            for name, score in zip((task.name,) if survival else task.classes, scores, strict=True):
                yield Prediction(
                    row.patient, row.side, "L1", cohort, row.split, task.name, model, phases, 1.0, 0, name, float(score)
                )
