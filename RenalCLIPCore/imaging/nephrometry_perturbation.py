"""How the measured values move when masks vary as annotators do and assumptions within their bounds.

Surfaces are moved by a smooth random displacement: a common part (one annotator draws wider) and a local one, and
across thick slices by the uncertainty of where a structure ends between them. The draws are measured on a coarser
grid; only their difference from the median of those with the same source of the sinus is added to the fine reading,
because a largest diameter grows and a shortest distance shrinks on average when any surface is roughened. Three
annotators of one KiTS case differ by 0.4 to 0.8 mm (standard deviation of the surface), about half of it in common.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass, replace

import numpy as np

from ..progress import Progress
from .kidney_fields import KidneyFields
from .kidney_frame import KidneyFrame, kidney_frame
from .mask_fields import crossings
from .nephrometry_readings import Readings, read
from .nephrometry_scores import PolarExtent
from .renal_sinus import Sinus, Variation
from .volume import FloatArray, Geometry

ANNOTATOR_MM = 0.8
COMMON_SHARE = 0.5
LOCAL_MM = 6.0
SLICE_SHARE = 0.25
COARSE_MM = 2.0
MAXIMUM_VOXELS = 400_000
FEWEST_ALIKE = 3
SINUS_SD, SINUS_SHIFT_SD, ROUGHNESS_SD, ENOUGH_SD = 0.12, 0.06, 0.8, 0.3


@dataclass(frozen=True)
class Draw:
    """Values of one perturbed reading; see :class:`~.nephrometry_readings.Readings`."""

    diameters_mm: dict[str, float]
    outside: float
    near_mm: float
    front_mm: float
    hilar_mm: float
    patient: PolarExtent
    kidney: PolarExtent


def values_of(readings: Readings) -> Draw:
    """The numbers of a reading."""
    lengths = {name: item.length_mm for name, item in readings.diameters.items()}
    return Draw(
        lengths, readings.outside, readings.near.length_mm, readings.front_mm, readings.hilar_mm,
        readings.patient, readings.kidney,
    )  # fmt: skip


def draws(
    frame: KidneyFrame, readings: Readings, count: int, seed: int = 0, progress: Progress | None = None
) -> list[Draw]:
    """Perturbed values.

    Args:
        frame: Undisturbed frame.
        readings: Undisturbed readings in it.
        count: Number of draws.
        seed: Of the draws.
        progress: Called before each draw.
    """
    generator = np.random.default_rng(seed)
    fields = frame.fields.coarse(max(COARSE_MM, _coarse_step(frame.fields)))
    sinus = _coarse_sinus(frame, fields)
    found, alike = [], []
    amplitudes = [_amplitude(fields, values) for values in (fields.parenchyma, fields.lesion, fields.others)]
    for number in range(count):
        if progress is not None:
            progress(number / count, "varying the masks")
        moved = _moved(fields, amplitudes, generator)
        variation = Variation(
            sinus_scale=float(np.exp(generator.normal(0, SINUS_SD))),
            sinus_shift=float(generator.normal(0, SINUS_SHIFT_SD)),
            roughness=float(np.exp(generator.normal(0, ROUGHNESS_SD))),
            enough=float(np.exp(generator.normal(0, ENOUGH_SD))),
        )
        own = None if sinus is None else replace(sinus, values=sinus.values + np.float32(generator.normal(0, 0.5)))
        if not len(crossings(moved.lesion, moved.grid)):
            continue
        disturbed = kidney_frame(moved, start=frame.outline, variation=variation, sinus=own, points=400)
        found.append(values_of(read(disturbed)))
        alike.append(disturbed.sinus.source == frame.sinus.source)
    return centred(found, alike, values_of(readings))


def _coarse_step(fields: KidneyFields) -> float:
    voxels = float(np.prod(fields.grid.size)) * fields.grid.spacing_mm[0] ** 3
    return float((voxels / MAXIMUM_VOXELS) ** (1 / 3))


def _coarse_sinus(frame: KidneyFrame, fields: KidneyFields) -> Sinus | None:
    """A given or contrast-filled sinus on the coarse grid; None where it is found from the masks again."""
    if frame.given_sinus is None:
        return None
    n = round(fields.grid.spacing_mm[0] / frame.fields.grid.spacing_mm[0])
    return replace(frame.given_sinus, values=np.ascontiguousarray(frame.given_sinus.values[::n, ::n, ::n]))


def _amplitude(fields: KidneyFields, values: FloatArray) -> FloatArray:
    """Standard deviation of the displacement in mm: annotators, and slices where the surface faces along them."""
    thick = max(0.0, fields.slice_mm - 1.0)
    slope = np.clip(np.abs(np.gradient(values, fields.grid.spacing_mm[0], axis=2)), 0.0, 1.0)
    return np.asarray(np.sqrt(ANNOTATOR_MM**2 + np.square(SLICE_SHARE * thick * slope)), np.float32)


def _moved(fields: KidneyFields, amplitudes: list[FloatArray], generator: np.random.Generator) -> KidneyFields:
    parts = []
    for values, amplitude in zip((fields.parenchyma, fields.lesion, fields.others), amplitudes, strict=True):
        parts.append(values + amplitude * _displacement(fields.grid, generator))
    parenchyma = np.maximum(parts[0], -parts[1])
    return replace(fields, parenchyma=parenchyma, lesion=parts[1], others=parts[2])


def _displacement(grid: Geometry, generator: np.random.Generator) -> FloatArray:
    """A random field of unit variance with a common and a smooth local part."""
    from scipy import ndimage

    noise = generator.standard_normal(grid.size, dtype=np.float32)
    local = ndimage.gaussian_filter(noise, LOCAL_MM / grid.spacing_mm[0], truncate=2.0, mode="wrap")
    local *= np.float32(np.sqrt(1.0 - COMMON_SHARE) / max(float(local.std()), 1e-9))
    return np.asarray(local + np.float32(np.sqrt(COMMON_SHARE) * generator.standard_normal()), np.float32)


def centred(found: list[Draw], alike: list[bool], fine: Draw) -> list[Draw]:
    """The draws moved so that the median of those that took the sinus from the fine reading's source is the fine value.

    Draws from another source keep their distance from these: they show what the other source would give.
    """
    if sum(alike) < FEWEST_ALIKE:
        return found
    names = tuple(fine.diameters_mm)
    rows = np.array([_row(draw, names) for draw in found])
    middle = np.median(rows[np.asarray(alike)], axis=0)
    return [_draw(row, names) for row in _row(fine, names) + rows - middle]


def _row(draw: Draw, names: tuple[str, ...]) -> FloatArray:
    scalars = (draw.outside, draw.near_mm, draw.front_mm, draw.hilar_mm)
    lengths = [draw.diameters_mm[name] for name in names]
    return np.array([*scalars, *astuple(draw.patient), *astuple(draw.kidney), *lengths])


def _draw(row: FloatArray, names: tuple[str, ...]) -> Draw:
    values = [float(value) for value in row]
    outside, near, front, hilar = values[:4]
    lengths = {name: max(0.0, value) for name, value in zip(names, values[14:], strict=True)}
    patient, kidney = _extent(values[4:9]), _extent(values[9:14])
    return Draw(lengths, min(max(outside, 0.0), 1.0), max(near, 0.0), front, hilar, patient, kidney)


def _extent(values: list[float]) -> PolarExtent:
    return PolarExtent(values[0], values[1], values[2], values[3], min(max(values[4], 0.0), 1.0))
