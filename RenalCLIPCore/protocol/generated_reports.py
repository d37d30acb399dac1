"""The table of generated reports, and the reports of the nearest training kidneys as a baseline for it."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable, Sequence
from dataclasses import astuple, fields
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ..cohort.roi_store import RoiStore
from ..cohort.table import CohortRow
from ..errors import CohortError
from ..progress import Progress, span
from ..text.captions import parse_caption
from .case_embeddings import read_cases
from .prediction_table import GeneratedReport

if TYPE_CHECKING:
    from ..models.encoder import RenalEncoder

NEAREST = "nearest training kidney"
_AT_ONCE = 8


def written_reports(
    write: Callable[[npt.NDArray[np.float32]], list[str]],
    features: npt.NDArray[np.float32],
    rows: Sequence[CohortRow],
    cohort: str,
    model: str,
    progress: Progress | None = None,
) -> list[GeneratedReport]:
    """Reports of all rows.

    Args:
        write: Features (B, F) -> B reports.
        features: (rows, F).
        rows: Cases.
        cohort: Name of the cohort, for the table.
        model: Name of the model, for the table.
        progress: Told of every batch.
    """
    found: list[GeneratedReport] = []
    for first in range(0, len(rows), _AT_ONCE):
        part = rows[first : first + _AT_ONCE]
        texts = write(features[first : first + _AT_ONCE])
        for row, text in zip(part, texts, strict=True):
            found.append(GeneratedReport(row.patient, row.side, cohort, model, *parse_caption(text)))
        if progress:
            progress(len(found) / len(rows), "writing reports")
    return found


def nearest_reports(
    encoder: RenalEncoder,
    training: tuple[Sequence[CohortRow], RoiStore],
    rows: Sequence[CohortRow],
    store: RoiStore,
    cohort: str,
    progress: Progress | None = None,
) -> list[GeneratedReport]:
    """For every row the report of the training kidney with the most similar image (cosine).

    Embeddings are compared where the encoder has a projection, else features less their mean over the training rows.

    Args:
        encoder: In evaluation mode.
        training: Rows to choose from and their regions; those without a report are left out.
        rows: Cases.
        store: Their regions.
        cohort: Name of the cohort, for the table.
        progress: Told of every batch.

    Raises:
        CohortError: No training row has a report, or a store lacks a row.
    """
    reported = [row for row in training[0] if row.findings or row.impression]
    if not reported:
        raise CohortError("No training row has a report to take; fill in findings and impression.")
    first = span(progress, 0.0, 0.5)
    features, embeddings = read_cases(encoder, reported, training[1], progress=first)
    own_features, own_embeddings = read_cases(encoder, rows, store, progress=span(progress, 0.5, 0.5))
    if embeddings.shape[1]:
        gallery, queries = embeddings, own_embeddings
    else:
        centre = features.mean(axis=0)
        gallery, queries = _unit(features - centre), _unit(own_features - centre)
    nearest = (queries @ gallery.T).argmax(axis=1)
    return [
        GeneratedReport(row.patient, row.side, cohort, NEAREST, reported[place].findings, reported[place].impression)
        for row, place in zip(rows, nearest, strict=True)
    ]


def asked_reports(
    ask: Callable[[bytes], str],
    rows: Sequence[CohortRow],
    store: RoiStore,
    cohort: str,
    model: str,
    progress: Progress | None = None,
) -> list[GeneratedReport]:
    """Reports of a two-dimensional model that sees the centre slice of each region (paper, 4.4.1).

    Args:
        ask: A picture (PNG) -> the report.
        rows: Cases.
        store: Their regions; the arterial, else the venous, else the first phase is shown.
        cohort: Name of the cohort, for the table.
        model: Name of the model, for the table.
        progress: Told of every case.

    Raises:
        CohortError: The store lacks a row.
    """
    found = []
    for number, row in enumerate(rows, 1):
        there = store.phases(row.case_id)
        phase = next((one for one in there if one.value in ("A", "V")), there[0])
        text = ask(centre_slice(store.read(row.case_id, phase)))
        found.append(GeneratedReport(row.patient, row.side, cohort, model, *parse_caption(text)))
        if progress:
            progress(number / len(rows), "asking for reports")
    return found


def centre_slice(roi: npt.NDArray[np.float32]) -> bytes:
    """The middle axial slice of a region (x, y, z) in [0, 1] as PNG, as radiologists look at it.

    Front is at the top, the patient's right at the left.
    """
    from PIL import Image

    picture = np.round(255 * np.clip(roi[:, :, roi.shape[2] // 2].T, 0, 1)).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, format="PNG")
    return stream.getvalue()


def write_generated_reports(reports: Sequence[GeneratedReport], path: Path) -> None:
    """Write the table (CSV) by atomic rename."""
    partial = path.with_name(f".partial-{path.name}")
    with partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([field.name for field in fields(GeneratedReport)])
        writer.writerows(astuple(item) for item in reports)
    os.replace(partial, path)


def _unit(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-12)
