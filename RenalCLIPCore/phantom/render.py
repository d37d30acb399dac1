"""Phases and labels of a phantom patient on any grid: partial volume, texture, reconstruction kernel and noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..imaging.study import Phase
from ..imaging.volume import Geometry, Volume
from .patient import PhantomPatient
from .sampling import Distance, SampledGrid
from .shapes import Array, Float3, Shape
from .streams import stream
from .tissues import TissueMap

__all__ = ["Acquisition", "TissueMap", "render_labels", "render_phase"]

KIDNEY, TUMOUR, CYST = 1, 2, 3
HU_RANGE = (-1024, 3071)


@dataclass(frozen=True)
class Acquisition:
    """How a scanner blurs and speckles.

    Attributes:
        kernel_mm: Standard deviation of the in-plane blur.
        noise_hu: Standard deviation of the noise at 1 x 1 x 3 mm; thicker slices have less.
        grain_mm: In-plane correlation length of the noise.
    """

    kernel_mm: float = 0.55
    noise_hu: float = 11.0
    grain_mm: float = 0.55


def render_phase(
    patient: PhantomPatient,
    phase: Phase,
    geometry: Geometry,
    seed: int,
    *,
    tissues: TissueMap | None = None,
    acquisition: Acquisition | None = None,
    shift_mm: Float3 = (0.0, 0.0, 0.0),
) -> Volume:
    """One phase in HU on a grid.

    Args:
        patient: The patient.
        phase: Contrast phase.
        geometry: Any grid, also oblique or permuted.
        seed: Of the noise; the anatomy and its texture do not depend on it.
        tissues: A map already made for this patient and grid (saves time when several phases share a grid).
        acquisition: Blur and noise; the defaults when None.
        shift_mm: Displacement (LPS) of the whole patient in this phase, as by breathing.

    Returns:
        int16 HU, clipped to ``HU_RANGE``.
    """
    acquisition = acquisition or Acquisition()
    if tissues is None or any(shift_mm):
        tissues = TissueMap(patient, _shifted(geometry, shift_mm))
    hu = _blurred(tissues.hu(phase), geometry, acquisition.kernel_mm)
    hu += _noise(geometry, acquisition, stream(seed, f"noise.{phase.value}"))
    np.clip(hu, *HU_RANGE, out=hu)
    return Volume(np.rint(hu).astype(np.int16), geometry)


def render_labels(patient: PhantomPatient, geometry: Geometry, *, shift_mm: Float3 = (0.0, 0.0, 0.0)) -> Volume:
    """Labels (uint8: 0 background, 1 kidney, 2 tumour, 3 cyst) of the shapes at the voxel centres."""
    grid = SampledGrid(_shifted(geometry, shift_mm), fine_mm=np.inf)
    labels = np.zeros(geometry.size, np.uint8)
    coats: list[tuple[Shape, Distance, int]] = [(k.outline, k.parenchyma, KIDNEY) for k in patient.kidneys]
    for name, value in (("cyst", CYST), ("tumour", TUMOUR)):
        coats += [(x.shape, x.shape.distance, value) for x in patient.lesions if x.label == name]
    for shape, distance, value in coats:
        region = grid.region(shape)
        if region is not None:
            labels[region][distance(*grid.coordinates(region)) <= 0] = value
    return Volume(labels, geometry)


def _blurred(hu: Array, geometry: Geometry, kernel_mm: float) -> Array:
    from scipy.ndimage import gaussian_filter1d

    thick = int(np.argmax(geometry.spacing_mm))
    out = np.array(hu, np.float32)
    for axis in range(3):
        sigma = kernel_mm / geometry.spacing_mm[axis]
        if axis != thick and sigma > 0.15:
            out = gaussian_filter1d(out, sigma, axis=axis, mode="nearest", truncate=3.0)
    return out


def _noise(geometry: Geometry, acquisition: Acquisition, generator: np.random.Generator) -> Array:
    """Correlated Gaussian noise of the stated standard deviation."""
    from scipy.ndimage import gaussian_filter1d

    spacing = np.asarray(geometry.spacing_mm)
    thick = int(np.argmax(spacing))
    noise: Any = generator.standard_normal(geometry.size, dtype=np.float32)
    sd = acquisition.noise_hu * float(np.sqrt(3.0 / max(spacing[thick], 0.5)))
    for axis in range(3):
        sigma = acquisition.grain_mm / spacing[axis]
        if axis != thick and sigma > 0.15:
            noise = gaussian_filter1d(noise, sigma, axis=axis, mode="wrap", truncate=3.0)
            impulse = np.zeros(65)
            impulse[32] = 1.0
            kernel = gaussian_filter1d(impulse, sigma, truncate=3.0)
            sd /= float(np.sqrt(np.sum(np.square(kernel))))
    noise *= np.float32(sd)
    return noise


def _shifted(geometry: Geometry, shift_mm: Float3) -> Geometry:
    if not any(shift_mm):
        return geometry
    origin = np.asarray(geometry.origin_lps_mm) - shift_mm
    return Geometry.from_components(geometry.size, geometry.spacing_mm, origin, geometry.direction)
