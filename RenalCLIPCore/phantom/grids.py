"""Grids on which a phantom is rendered: a whole-abdomen study, or a crop around the kidneys for training."""

from __future__ import annotations

import numpy as np

from ..imaging.volume import Geometry
from .patient import PhantomPatient

ROI_HALF_MM = (70.0, 70.0, 80.0)
MARGIN_MM = np.array([20.0, 20.0, 25.0])
CENTRE_MARGIN_MM = 8.0


def study_geometry(
    patient: PhantomPatient, *, columns: int = 320, slice_mm: float = 3.0, length_mm: float = 240.0
) -> Geometry:
    """A whole-abdomen grid as a scanner reconstructs it: square, around the body, LPS order, feet first slice."""
    torso = patient.torso
    width = 2.0 * max(torso.body.semi_axes_mm) + 50.0
    spacing = width / columns
    slices = round(length_mm / slice_mm)
    middle = float(np.mean([k.outline.centre_lps_mm[2] for k in patient.kidneys]))
    y = 12.0
    origin = (-width / 2 + spacing / 2, y - width / 2 + spacing / 2, middle - (slices - 1) / 2 * slice_mm)
    return Geometry.from_components((columns, columns, slices), (spacing, spacing, slice_mm), origin, np.eye(3))


def lesion_geometry(patient: PhantomPatient, *, in_plane_mm: float = 1.0, slice_mm: float = 3.0) -> Geometry:
    """A grid just around the region of interest of the primary lesion."""
    if patient.primary is None:
        return crop_geometry(patient, in_plane_mm=in_plane_mm, slice_mm=slice_mm)
    spacing = np.array([in_plane_mm, in_plane_mm, slice_mm])
    half = np.array(ROI_HALF_MM) + CENTRE_MARGIN_MM
    size = np.ceil(2 * half / spacing).astype(int)
    low = np.asarray(patient.primary.shape.centre_lps_mm) - size * spacing / 2
    return Geometry.from_components(size, spacing, low + spacing / 2, np.eye(3))


def crop_geometry(patient: PhantomPatient, *, in_plane_mm: float = 1.0, slice_mm: float = 3.0) -> Geometry:
    """A grid around both kidneys and the region of interest of every lesion, within the body."""
    low = np.min([k.outline.bounds()[0] for k in patient.kidneys], axis=0) - MARGIN_MM
    high = np.max([k.outline.bounds()[1] for k in patient.kidneys], axis=0) + MARGIN_MM
    for lesion in patient.lesions[:1]:
        centre = np.asarray(lesion.shape.centre_lps_mm)
        low, high = np.minimum(low, centre - ROI_HALF_MM), np.maximum(high, centre + ROI_HALF_MM)
    body = patient.torso.body
    half = np.array([*body.semi_axes_mm, np.inf]) + 12.0
    low, high = np.maximum(low, -half), np.minimum(high, half)
    spacing = np.array([in_plane_mm, in_plane_mm, slice_mm])
    size = np.ceil((high - low) / spacing).astype(int)
    return Geometry.from_components(size, spacing, low + spacing / 2, np.eye(3))
