"""Masks to lesions: connected components with side, size and centre, and the volume of each kidney."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import NoKidneyError
from .kidney_boxes import bounding_box
from .kidney_sides import Sides, assign_sides
from .mask_labels import CYST, KIDNEY, TUMOUR
from .volume import Float3, Geometry, Volume

LABELS = {TUMOUR: "tumour", CYST: "cyst"}
NEIGHBOURHOOD = np.ones((3, 3, 3), bool)
_EQUAL_AREA = 0.95
_WORTH_TELLING = 2
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Lesion:
    """A connected tumour or cyst (26-neighbourhood).

    Attributes:
        lesion_id: ``L1``, ``L2`` ... in the order of importance.
        number: Its voxels' value in ``LesionFindings.components``.
        side: ``left`` or ``right`` of the patient.
        label: ``tumour`` or ``cyst``.
        volume_ml: Voxel count times voxel volume.
        largest_diameter_mm: Longest distance in space between two points of its surface (half-voxel surface).
        axial_diameter_mm: The same within one axial slice.
        centre_lps_mm: Centroid in the axial slice where its area is largest (paper, 4.1.3), as
            :func:`axial_centre_lps_mm` finds it in rough masks.
    """

    lesion_id: str
    number: int
    side: str
    label: str
    volume_ml: float
    largest_diameter_mm: float
    axial_diameter_mm: float
    centre_lps_mm: Float3


@dataclass(frozen=True)
class LesionFindings:
    """What a segmentation shows.

    Attributes:
        lesions: Primary lesion first: tumours before cysts, then by volume. Empty when there is none.
        components: int16 on the segmentation's grid: 0, or the number of a lesion.
        kidney_volumes_ml: Per side (``left``, ``right``) with a kidney: parenchyma with its lesions.
        notes: What was dropped or assumed.
    """

    lesions: tuple[Lesion, ...]
    components: Volume
    kidney_volumes_ml: dict[str, float]
    notes: tuple[str, ...]

    @property
    def primary(self) -> Lesion | None:
        """The primary lesion, if there is any."""
        return self.lesions[0] if self.lesions else None

    def mask(self, lesion: Lesion) -> Volume:
        """A lesion's voxels (bool), cropped to about its extent in storage order."""
        grid, size = self.components.geometry, np.asarray(self.components.geometry.size)
        reach = lesion.largest_diameter_mm / np.asarray(grid.spacing_mm) + 1
        middle = grid.index(lesion.centre_lps_mm)
        low = np.clip(np.floor(middle - reach).astype(int), 0, size)
        high = np.clip(np.ceil(middle + reach).astype(int) + 1, low, size)
        box = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
        array = self.components.array[box] == lesion.number
        start = (int(low[0]), int(low[1]), int(low[2]))
        return Volume(array, grid.crop(start, (array.shape[0], array.shape[1], array.shape[2])))


def find_lesions(labels: Volume, minimum_ml: float = 0.05, midline_x_mm: float | None = None) -> LesionFindings:
    """List the lesions of a label map (0 background, 1 kidney, 2 tumour, 3 cyst).

    A lesion belongs to the kidney whose parenchyma it touches most, else to the nearest within 15 mm, else to the side
    of the midline it lies on. The midline is the middle between both kidneys; with one kidney it is ``midline_x_mm``
    or, when that is not given, the middle of the volume (a CT is centred on the patient to within a few centimetres,
    and kidneys lie some 6 cm aside).

    The result does not depend on how the voxels are stored. Axial means across the patient's long axis: an oblique
    mask is resampled (nearest neighbour) to patient axes to find the slice.

    Args:
        labels: Label map in any storage orientation.
        minimum_ml: Smaller components are dropped, with a note when they add up to more than twice as much.
        midline_x_mm: LPS x of the spine, for a solitary kidney in an off-centre volume.

    Raises:
        NoKidneyError: There is no voxel of kidney parenchyma.
    """
    canonical = labels.canonical()
    region = bounding_box(canonical.array > 0)
    if region is None or not (canonical.array[region] == KIDNEY).any():
        raise NoKidneyError(
            "The segmentation holds no kidney; check that it belongs to this study, or give another one."
        )
    start = (region[0].start, region[1].start, region[2].start)
    array = canonical.array[region]
    cropped = Volume(array, canonical.geometry.crop(start, (array.shape[0], array.shape[1], array.shape[2])))
    candidates, notes = _candidates(cropped, minimum_ml)
    sides = assign_sides(cropped, [mask for _, mask in candidates], _midline(canonical.geometry), midline_x_mm)
    measured = [
        _measure(cropped.geometry, mask, LABELS[label], side)
        for (label, mask), side in zip(candidates, sides.lesions, strict=True)
    ]
    order = sorted(range(len(measured)), key=lambda n: _rank(measured[n]))
    layout: Any = "F" if labels.array.flags.f_contiguous else "C"
    stored = Volume(np.zeros(labels.array.shape, np.int16, order=layout), labels.geometry)
    components = stored.canonical().array
    lesions = []
    for number, place in enumerate(order, start=1):
        box, mask = candidates[place][1]
        components[region][box][mask] = number
        lesions.append(Lesion(f"L{number}", number, *measured[place]))
    volumes = _kidney_volumes(cropped, sides, measured)
    return LesionFindings(tuple(lesions), stored, volumes, (*notes, *sides.notes))


Boxed = tuple[tuple[slice, ...], Mask]
Measured = tuple[str, str, float, float, float, Float3]


def _candidates(labels: Volume, minimum_ml: float) -> tuple[list[tuple[int, Boxed]], tuple[str, ...]]:
    """Components of tumour and of cyst as (label, (box, mask in the box)), without the tiny ones."""
    from scipy import ndimage

    kept: list[tuple[int, Boxed]] = []
    notes = []
    for label, word in LABELS.items():
        components, _ = ndimage.label(labels.array == label, structure=NEIGHBOURHOOD)
        dropped: list[float] = []
        for number, box in enumerate(ndimage.find_objects(components), start=1):
            mask = components[box] == number
            volume = np.count_nonzero(mask) * labels.geometry.voxel_volume_ml
            if volume < minimum_ml:
                dropped.append(volume)
            else:
                kept.append((label, (box, mask)))
        if sum(dropped) >= _WORTH_TELLING * minimum_ml:
            notes.append(
                f"{len(dropped)} {word} islands under {minimum_ml:g} ml, {sum(dropped):.1f} ml together, were left out."
            )
    return kept, tuple(notes)


def _measure(grid: Geometry, boxed: Boxed, label: str, side: str) -> Measured:
    box, mask = boxed
    own = grid.crop((box[0].start, box[1].start, box[2].start), (mask.shape[0], mask.shape[1], mask.shape[2]))
    aligned = patient_aligned_mask(Volume(mask, own))
    return (
        side,
        label,
        float(np.count_nonzero(mask)) * grid.voxel_volume_ml,
        largest_diameter_mm(Volume(mask, own)),
        axial_diameter_mm(aligned),
        axial_centre_lps_mm(aligned),
    )


def largest_diameter_mm(mask: Volume) -> float:
    """Longest distance between two points of a mask's surface, in mm.

    The surface lies half a voxel beyond the outermost voxel centres along each axis, as a mesh of the mask has it.
    """
    points = mask.geometry.lps(_surface(mask.array))
    return _longest(points)


def axial_diameter_mm(mask: Volume) -> float:
    """Longest distance between two points of a mask's surface within one slice of its last axis, in mm."""
    longest = 0.0
    spacing = np.asarray(mask.geometry.spacing_mm[:2])
    for k in np.flatnonzero(mask.array.any(axis=(0, 1))):
        points = _surface(mask.array[:, :, k : k + 1])[:, :2] * spacing
        if np.hypot(*np.ptp(points, axis=0)) > longest:
            longest = max(longest, _longest(np.unique(points, axis=0)))
    return longest


def axial_centre_lps_mm(mask: Volume) -> Float3:
    """Centroid of a patient-aligned mask in the axial slice where its area is largest.

    Near its maximum the area hardly changes, so that rough masks would move the slice by several millimetres. Of the
    slices within 5 % of the largest area that one is taken that is nearest to the peak of a parabola through the areas
    (the exact area of an ellipsoid's slices) above half the largest; of two as near, the upper one.
    """
    area = mask.array.sum(axis=(0, 1)).astype(float)
    largest = np.flatnonzero(area >= _EQUAL_AREA * area.max())
    peak = _parabola_peak(np.flatnonzero(area >= area.max() / 2), area)
    k = min(largest.tolist(), key=lambda slice_: (round(abs(slice_ - peak), 6), -slice_))
    i, j = np.nonzero(mask.array[:, :, k])
    centre = mask.geometry.lps((i.mean(), j.mean(), k))
    return float(centre[0]), float(centre[1]), float(centre[2])


def _parabola_peak(slices: npt.NDArray[np.intp], area: npt.NDArray[np.float64]) -> float:
    """Where a parabola fitted to the areas peaks; their weighted mean when they have no peak."""
    middle = float(np.average(slices, weights=area[slices]))
    if len(slices) < 3:
        return middle
    curvature, slope, _ = np.polyfit(slices - middle, area[slices], 2)
    # a flat top (a cylinder) bends by rounding noise alone
    return float(middle - slope / (2 * curvature)) if curvature < -1e-6 * area.max() else middle


def _surface(mask: Mask) -> npt.NDArray[np.floating[Any]]:
    """Index positions (n, 3) whose convex hull is that of the mask's half-voxel surface.

    The outermost voxels of each line along the first axis are enough: every corner of the hull is one of them.
    """
    j, k = np.nonzero(mask.any(axis=0))
    first = mask.argmax(axis=0)[j, k]
    last = mask.shape[0] - 1 - mask[::-1].argmax(axis=0)[j, k]
    voxels = np.concatenate([np.stack([first, j, k], axis=1), np.stack([last, j, k], axis=1)])
    steps = np.concatenate([np.eye(3, dtype=int), -np.eye(3, dtype=int)])
    doubled = (2 * voxels[:, None, :] + steps + 1).reshape(-1, 3)  # half voxels, counted from the outer face
    size = tuple(2 * n + 1 for n in mask.shape)
    kept = np.unique(np.ravel_multi_index(tuple(doubled.T), size))
    return (np.stack(np.unravel_index(kept, size), axis=1) - 1) / 2.0


def _longest(points: npt.NDArray[np.floating[Any]]) -> float:
    from scipy.spatial import ConvexHull
    from scipy.spatial.distance import pdist

    corners = points[ConvexHull(points).vertices]
    return float(pdist(corners).max())


def patient_aligned_mask(mask: Volume) -> Volume:
    """The mask on patient axes: itself, or resampled (linear, half and more counts) when its grid is oblique."""
    if not mask.geometry.is_oblique:
        return mask
    spacing = np.full(3, min(mask.geometry.spacing_mm))
    low, high = mask.geometry.bounds_lps_mm
    size = np.maximum(1, np.ceil((high - low) / spacing)).astype(int)
    grid = Geometry.from_components(size, spacing, (low + high) / 2 - spacing * (size - 1) / 2, np.eye(3))
    # with a margin the outer voxels fade to nothing over half a voxel, as those between others do
    array = np.pad(mask.array.astype(np.float32), 1)
    size_padded = (array.shape[0], array.shape[1], array.shape[2])
    padded = Volume(array, mask.geometry.crop((-1, -1, -1), size_padded))
    resampled = padded.resample_to(grid, fill=0).array >= 0.5
    return Volume(resampled, grid) if resampled.any() else mask


def _midline(grid: Geometry) -> float:
    low, high = grid.bounds_lps_mm
    return float((low[0] + high[0]) / 2)


def _rank(measured: Measured) -> tuple[Any, ...]:
    _, label, volume, _, _, centre = measured
    return (label != "tumour", -round(volume, 6), *(round(value, 4) for value in centre))


def _kidney_volumes(labels: Volume, sides: Sides, measured: list[Measured]) -> dict[str, float]:
    volumes = dict(sides.parenchyma_ml)
    for side, _, volume, *_ in measured:
        volumes[side] = volumes.get(side, 0.0) + volume
    return {side: volumes[side] for side in ("left", "right") if volumes.get(side)}
