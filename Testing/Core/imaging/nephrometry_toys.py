"""Small kidneys with lesions for measured nephrometry: an analytic one, and phantoms of one side."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from RenalCLIPCore.imaging.lesions import Lesion, LesionFindings, find_lesions
from RenalCLIPCore.imaging.nephrometry import measure_context
from RenalCLIPCore.imaging.nephrometry_components import Context, points_of
from RenalCLIPCore.imaging.nephrometry_perturbation import values_of
from RenalCLIPCore.imaging.nephrometry_scores import NephrometryOptions, a_label
from RenalCLIPCore.imaging.volume import Geometry, Volume
from RenalCLIPCore.phantom.anatomy import draw_patient
from RenalCLIPCore.phantom.measures import Renal, measure_renal
from RenalCLIPCore.phantom.patient import Kidney, PhantomPatient
from RenalCLIPCore.phantom.render import render_labels
from RenalCLIPCore.review import Measured, MeasuredComponent

OPTIONS = NephrometryOptions()
QUICK = NephrometryOptions(step_mm=1.5)
LATERAL = [((30.0, 0.0, -34.0), 12.0, 2)]
CENTRE = np.array([70.0, 10.0, 0.0])
SEMI = np.array([30.0, 26.0, 55.0])


def grid_around(low, high, spacing=(1.0, 1.0, 2.0)) -> Geometry:
    """A patient-aligned grid over a box."""
    size = np.ceil((np.asarray(high) - low) / spacing).astype(int) + 1
    return Geometry.from_components(size, spacing, low, np.eye(3))


def box(below, above, spacing=(1.0, 1.0, 2.0), sign=1.0) -> Geometry:
    """A grid that reaches ``below`` and ``above`` mm from the kidney's centre."""
    centre = CENTRE * (sign, 1, 1)
    return grid_around(np.add(np.subtract(centre, below), (0.37, 0.21, 0.83)), np.add(centre, above), spacing)


def positions(grid: Geometry) -> np.ndarray:
    """(i, j, k, 3) LPS positions of the voxels."""
    return grid.lps(np.stack(np.meshgrid(*(np.arange(n) for n in grid.size), indexing="ij"), axis=-1))


def left_kidney(balls, grid=None, mirrored=False) -> Volume:
    """An upright left kidney (half lengths 30, 26, 55 mm) whose sinus opens medially, with balls as lesions.

    ``balls``: (centre relative to the kidney in mm, radius, label) in the order they are painted.
    """
    sign = -1.0 if mirrored else 1.0
    centre = CENTRE * (sign, 1, 1)
    grid = grid or box((52, 48, 62), (52, 48, 62), sign=sign)
    away = positions(grid) - centre
    sinus = np.linalg.norm((away - (-sign * 22.0, 0, 0)) / (20.0, 10.0, 22.0), axis=-1) <= 1
    labels = np.where((np.linalg.norm(away / SEMI, axis=-1) <= 1) & ~sinus, 1, 0).astype(np.uint8)
    for offset, radius, label in balls:
        labels[np.linalg.norm(away - np.asarray(offset) * (sign, 1, 1), axis=-1) <= radius] = label
    return Volume(labels, grid)


def found(labels: Volume) -> tuple[LesionFindings, Lesion]:
    """Findings and primary lesion of one side."""
    findings = find_lesions(labels, midline_x_mm=0.0)
    assert findings.primary is not None
    return findings, findings.primary


def measured_context(labels: Volume, options: NephrometryOptions | None = None) -> Context:
    """Frame and readings of the primary lesion, without perturbations."""
    return measure_context(labels, *found(labels), perturbations=0, options=options)


@lru_cache(maxsize=4)
def phantom_side(seed: int, slice_mm: float = 2.0) -> tuple[PhantomPatient, Kidney, Volume, Renal]:
    """A phantom's side with the primary lesion: patient, kidney, labels and truth."""
    patient = draw_patient(seed)
    primary = patient.primary
    assert primary is not None
    kidney = patient.kidney(primary.side)
    shapes = [kidney.outline, *(item.shape for item in patient.lesions if item.side == primary.side)]
    low = np.min([shape.bounds()[0] for shape in shapes], axis=0) - 8
    high = np.max([shape.bounds()[1] for shape in shapes], axis=0) + 8
    labels = render_labels(patient, grid_around(low, high, (0.9, 0.9, slice_mm)))
    return patient, kidney, labels, measure_renal(primary, kidney)


def component(result: Measured, letter: str) -> MeasuredComponent:
    """One component of a measurement."""
    return next(item for item in result.components if item.component == letter)


def outcome(context: Context) -> dict[str, object]:
    """Points of R, E, N and L and the label of A."""
    value = values_of(context.readings)
    return {**points_of(value, OPTIONS), "A": a_label(value.front_mm, OPTIONS.band_mm)}
