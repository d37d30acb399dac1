"""Regions of interest: the cube around a lesion centre, on the grid that the networks expect.

The reference's way resamples every phase onto the whole reference grid, crops 140 x 140 x 160 mm around the centre and
averages down to 140 x 140 x 32 voxels (paper, 4.1.3; reference code). Linear interpolation between axis-aligned grids,
padding and area averaging are all products of one operator per axis, so the same values come from three small matrix
products on the part of each phase that the cube touches. Phases whose grid is oblique (stored so, or turned by a
registration) are interpolated on the cropped grid instead.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import CentreError, ConfigurationError
from .study import Phase
from .volume import Float3, Geometry, Int3, Volume

MINIMUM_INSIDE = 0.5
MARGIN_PX = 12


@dataclass(frozen=True)
class RoiSpec:
    """What is cut (paper, 4.1.3).

    Attributes:
        size_mm: Physical size of the cube along (L, P, S).
        shape: Voxels of the cube along (x, y, z).
        window_hu: Lower and upper bound of the intensity window (level 50, width 500).
        input_shape: Centre crop that the network sees at inference, along (x, y, z).
        pad_hu: Value outside the reference volume.
    """

    size_mm: Float3 = (140.0, 140.0, 160.0)
    shape: Int3 = (140, 140, 32)
    window_hu: tuple[float, float] = (-200.0, 300.0)
    input_shape: Int3 = (128, 128, 32)
    pad_hu: float = -1000.0

    @classmethod
    def of_input(cls, input_mm: Sequence[float]) -> RoiSpec:
        """Regions at the paper's voxels of 1 x 1 x 5 mm whose centre crop has another size.

        Args:
            input_mm: Size of what the network sees along (x, y, z).

        Raises:
            ConfigurationError: A size is no whole number of voxels, or lies outside 32 to 256 mm.
        """
        x, y, z = (float(mm) for mm in input_mm)
        if any(mm % voxel or not 32 <= mm <= 256 for mm, voxel in ((x, 1), (y, 1), (z, 5))):
            raise ConfigurationError(
                "The region's size must be whole voxels of 1 x 1 x 5 mm, from 32 to 256 mm along each axis, "
                f"not {x:g} x {y:g} x {z:g} mm."
            )
        inner = int(x), int(y), int(z) // 5
        outer = inner[0] + MARGIN_PX, inner[1] + MARGIN_PX, inner[2]
        return cls((float(outer[0]), float(outer[1]), z), outer, input_shape=inner)


@dataclass(frozen=True, eq=False)
class Roi:
    """One phase's cube.

    Attributes:
        phase: Contrast phase.
        array: (x, y, z) float32 in [0, 1], x towards Left, y towards Posterior, z towards Superior.
        geometry: Grid of the cube's voxels in patient space.
        inside_fraction: Share of the cube inside both the reference grid and the phase's own volume.
    """

    phase: Phase
    array: npt.NDArray[np.float32]
    geometry: Geometry
    inside_fraction: float


@dataclass(frozen=True)
class Crop:
    """The cube on the reference grid: first voxel and number of voxels (may reach outside), and both geometries.

    Attributes:
        reference: The patient-aligned reference grid.
        start: First voxel index along (x, y, z).
        size: Voxels along (x, y, z) before averaging.
        roi_geometry: Grid after averaging.
        inside_fraction: Share of the crop's voxels inside the reference grid.
    """

    reference: Geometry
    start: Int3
    size: Int3
    roi_geometry: Geometry = field(repr=False)
    inside_fraction: float


def locate_crop(reference: Geometry, centre_lps_mm: npt.ArrayLike, spec: RoiSpec = RoiSpec()) -> Crop:
    """Where the cube lies on the reference grid.

    The half sizes are ``int(int(size_mm / 2) / spacing)`` voxels around the voxel nearest to the centre, as in the
    reference code; an oblique reference is replaced by its patient-aligned grid.

    Raises:
        CentreError: The centre is outside the reference volume, or more than half of the cube is.
    """
    grid = reference.patient_aligned()
    voxel = nearest_voxel(grid, centre_lps_mm)
    half = [max(1, int(int(spec.size_mm[a] / 2) / grid.spacing_mm[a])) for a in range(3)]
    start = (int(voxel[0] - half[0]), int(voxel[1] - half[1]), int(voxel[2] - half[2]))
    size = (2 * half[0], 2 * half[1], 2 * half[2])
    inside = math.prod(
        (min(start[a] + size[a], grid.size[a]) - max(start[a], 0)) / size[a] if size[a] else 0.0 for a in range(3)
    )
    if inside < MINIMUM_INSIDE:
        raise CentreError(
            f"Only {100 * inside:.0f} % of the region of interest around the centre lies inside the scan; at least "
            f"{100 * MINIMUM_INSIDE:.0f} % is needed. The lesion is cut off by the scan, or the point is wrong."
        )
    return Crop(grid, start, size, _roi_geometry(grid, start, size, spec), inside)


def nearest_voxel(grid: Geometry, centre_lps_mm: npt.ArrayLike) -> npt.NDArray[np.intp]:
    """Index (3,) of the voxel of a grid that a centre lies in.

    Raises:
        CentreError: The centre is not three finite coordinates, or outside the grid.
    """
    centre = np.asarray(centre_lps_mm, dtype=float)
    if centre.shape != (3,) or not np.all(np.isfinite(centre)):
        raise CentreError("A centre of three finite coordinates (LPS, mm) is needed.")
    if not grid.contains(centre):
        low, high = grid.bounds_lps_mm
        bounds = ", ".join(f"{a:.0f} to {b:.0f}" for a, b in zip(low, high, strict=True))
        raise CentreError(
            f"The centre ({', '.join(f'{c:.1f}' for c in centre)}) LPS mm lies outside the reference "
            f"volume, which spans ({bounds}) mm. Check the point and its coordinate system (LPS, not RAS)."
        )
    # 1e-6: a centre midway between two voxels must not depend on rounding noise of the storage order
    return np.floor(grid.index(centre) + 0.5 + 1e-6).astype(int)


def extract_rois(
    volumes: Mapping[Phase, Volume],
    reference: Geometry,
    centre_lps_mm: npt.ArrayLike,
    spec: RoiSpec = RoiSpec(),
) -> dict[Phase, Roi]:
    """Cut the cube of every phase around a centre.

    Args:
        volumes: Phases in Hounsfield units, each on its own grid, stored in any orientation.
        reference: Grid of the reference phase, as stored.
        centre_lps_mm: Lesion centre, LPS mm.
        spec: What is cut.

    Returns:
        One cube per phase; all share one geometry.

    Raises:
        CentreError: As for :func:`locate_crop`.
    """
    crop = locate_crop(reference, centre_lps_mm, spec)
    return {phase: _extract(phase, volume, crop, spec) for phase, volume in volumes.items()}


def _roi_geometry(grid: Geometry, start: Int3, size: Int3, spec: RoiSpec) -> Geometry:
    spacing = np.asarray(grid.spacing_mm) * size / np.asarray(spec.shape)
    face = grid.lps(np.asarray(start) - 0.5)
    return Geometry.from_components(spec.shape, spacing, face + spacing / 2, np.eye(3))


def _extract(phase: Phase, volume: Volume, crop: Crop, spec: RoiSpec) -> Roi:
    pool = [np.multiply(_area_operator(crop.size[a], spec.shape[a]), _inside(crop, a)) for a in range(3)]
    if not volume.geometry.is_oblique:
        source = volume.canonical()
        sample = [_linear_operator(crop, source.geometry, a) for a in range(3)]
        operators = [pool[a] @ sample[a] for a in range(3)]
        inside = math.prod(float((sample[a].sum(axis=1) * _inside(crop, a)).mean()) for a in range(3))
        offset_hu = _apply(source.array, operators, spec.pad_hu)
    else:
        block, covered = resampled_on(volume, crop.reference.crop(crop.start, crop.size), spec.pad_hu)
        offset_hu = _apply(block, pool, spec.pad_hu)
        inside = crop.inside_fraction * covered
    low, high = spec.window_hu
    array = np.clip((offset_hu + (spec.pad_hu - low)) / (high - low), 0.0, 1.0).astype(np.float32, copy=False)
    return Roi(phase, array.transpose(2, 1, 0), crop.roi_geometry, inside)


def _inside(crop: Crop, axis: int) -> npt.NDArray[np.float32]:
    index = np.arange(crop.start[axis], crop.start[axis] + crop.size[axis])
    return ((index >= 0) & (index < crop.reference.size[axis])).astype(np.float32)


def _area_operator(size: int, out: int) -> npt.NDArray[np.float32]:
    """(out, size) averaging over the windows of adaptive average pooling (MONAI's and PyTorch's ``area`` mode)."""
    operator = np.zeros((out, size), np.float32)
    for i in range(out):
        first, last = (i * size) // out, -((-(i + 1) * size) // out)
        operator[i, first:last] = 1.0 / (last - first)
    return operator


def _linear_operator(crop: Crop, source: Geometry, axis: int) -> npt.NDArray[np.float32]:
    """(crop size, source size) linear interpolation along one patient axis; rows outside the source are zero.

    A position belongs to the source up to half a voxel beyond its outer centres, where the outer value is repeated, as
    ITK's linear interpolator has it.
    """
    index = np.arange(crop.start[axis], crop.start[axis] + crop.size[axis])
    position = crop.reference.origin_lps_mm[axis] + index * crop.reference.spacing_mm[axis]
    at = (position - source.origin_lps_mm[axis]) / source.spacing_mm[axis]
    n = source.size[axis]
    rows = np.flatnonzero((at >= -0.5 - 1e-6) & (at <= n - 0.5 + 1e-6))
    at = np.clip(at[rows], 0, n - 1)
    low = np.minimum(np.floor(at).astype(int), max(n - 2, 0))
    operator = np.zeros((len(index), n), np.float32)
    operator[rows, low] = 1.0 - (at - low)
    operator[rows, np.minimum(low + 1, n - 1)] += at - low
    return operator


def _apply(array: npt.NDArray[Any], operators: Sequence[npt.NDArray[Any]], pad_hu: float) -> npt.NDArray[np.float32]:
    """Apply one operator per axis (x, y, z) to (x, y, z) voxels minus ``pad_hu``; the result is ordered (z, y, x)."""
    window, trimmed = [], []
    for operator in operators:
        used = np.flatnonzero(operator.any(axis=0))
        if not len(used):
            return np.zeros(tuple(len(o) for o in reversed(operators)), np.float32)
        first, last = int(used[0]), int(used[-1]) + 1
        window.append(slice(first, last))
        trimmed.append(np.ascontiguousarray(operator[:, first:last]))
    # voxels are read in the order in which they lie in memory, a transposed copy takes longer than all the products
    order = sorted(range(3), key=lambda axis: (-abs(array.strides[axis]), -axis))
    block = np.ascontiguousarray(array[tuple(window)].transpose(order), dtype=np.float32)
    block -= np.float32(pad_hu)
    slow, middle, quick = (trimmed[axis] for axis in order)
    first_done = (slow @ block.reshape(block.shape[0], -1)).reshape(-1, *block.shape[1:])
    result = np.matmul(np.matmul(middle, first_done), quick.T)
    return np.ascontiguousarray(result.transpose([order.index(axis) for axis in (2, 1, 0)]))


def resampled_on(volume: Volume, target: Geometry, pad_hu: float) -> tuple[npt.NDArray[np.float32], float]:
    """A volume on a small grid (i, j, k), interpolated linearly, and the share of the grid that it covers.

    What it does not cover has the value ``pad_hu``.
    """
    import SimpleITK as sitk

    part = _touched(volume, target)
    if part is None:
        return np.full(target.size, pad_hu, np.float32), 0.0
    image = part.to_sitk()
    # a value that no scanner stores marks what the phase does not cover
    outside = -1e6
    resampled = sitk.Resample(
        image,
        target.size,
        sitk.Transform(3, sitk.sitkIdentity),
        sitk.sitkLinear,
        target.origin_lps_mm,
        target.spacing_mm,
        [value for row in target.direction for value in row],
        outside,
        sitk.sitkFloat32,
    )
    block = sitk.GetArrayFromImage(resampled).transpose(2, 1, 0)
    missing = block <= outside / 2
    return np.where(missing, np.float32(pad_hu), block), 1.0 - float(missing.mean())


def _touched(volume: Volume, target: Geometry) -> Volume | None:
    """The part of a volume that interpolation on the target grid touches, so that only it is copied."""
    corners = np.stack(np.meshgrid(*((-1, n) for n in target.size), indexing="ij"), axis=-1).reshape(-1, 3)
    index = volume.geometry.index(target.lps(corners))
    low = np.maximum(np.floor(index.min(axis=0)).astype(int) - 1, 0)
    high = np.minimum(np.ceil(index.max(axis=0)).astype(int) + 2, volume.geometry.size)
    if np.any(low >= high):
        return None
    start, size = (int(low[0]), int(low[1]), int(low[2])), high - low
    array = volume.array[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
    return Volume(array, volume.geometry.crop(start, (int(size[0]), int(size[1]), int(size[2]))))
