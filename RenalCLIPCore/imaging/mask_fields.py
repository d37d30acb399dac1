"""Masks as smooth signed distances on one fine, cubic, patient-aligned grid, whatever slices they were drawn on.

Distances are millimetres, negative inside, and zero half-way between the last voxel inside and the first outside, so
that surfaces are found between the voxels and thick slices are bridged by the shape instead of by steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .volume import FloatArray, Geometry, Volume

Mask = npt.NDArray[np.bool_]
Box = tuple[slice, slice, slice]
FAR_MM = 60.0
REACH_MM = 14.0
SMOOTHING_MM = 0.8


def bounding_box(mask: Mask) -> Box | None:
    """Smallest box of index slices around a mask, or None when it is empty."""
    sides = []
    for axis in range(3):
        found = np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis)))
        if not len(found):
            return None
        sides.append(slice(int(found[0]), int(found[-1]) + 1))
    return sides[0], sides[1], sides[2]


def cropped(volume: Volume, box: Box, margin_mm: float) -> Volume:
    """The part of a volume in a box widened by a margin; where that lies outside the volume it holds zeros."""
    margin = np.ceil(margin_mm / np.asarray(volume.geometry.spacing_mm)).astype(int) + 1
    start = np.array([side.start for side in box]) - margin
    stop = np.array([side.stop for side in box]) + margin
    low, high = np.maximum(start, 0), np.minimum(stop, volume.geometry.size)
    inner = volume.array[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
    array = np.pad(inner, list(zip(low - start, stop - high, strict=True)))
    first = (int(start[0]), int(start[1]), int(start[2]))
    return Volume(array, volume.geometry.crop(first, (array.shape[0], array.shape[1], array.shape[2])))


def cubic_grid(geometry: Geometry, step_mm: float) -> Geometry:
    """The patient-aligned cubic grid that covers the voxel centres of a grid."""
    last = np.asarray(geometry.size) - 1
    corners = geometry.lps([[i, j, k] for i in (0, last[0]) for j in (0, last[1]) for k in (0, last[2])])
    low, high = corners.min(axis=0), corners.max(axis=0)
    size = np.ceil((high - low) / step_mm - 1e-6).astype(int) + 1
    return Geometry.from_components(size, [step_mm] * 3, (low + high) / 2 - step_mm * (size - 1) / 2, np.eye(3))


def signed_distance(mask: Volume) -> FloatArray:
    """Signed distance of a mask (any value but zero is inside) at its own voxels, float32 (i, j, k).

    The distance to the nearest voxel of the other kind is averaged from both kinds, which puts the zero half-way
    between them along any direction, also with thick slices.
    """
    import SimpleITK as sitk

    def from_border(array: npt.NDArray[Any]) -> FloatArray:
        image = Volume(array.astype(np.uint8), mask.geometry).to_sitk()
        return sitk.GetArrayFromImage(sitk.SignedMaurerDistanceMap(image, False, False, True)).transpose(2, 1, 0)

    inside = mask.array.astype(bool)  # of whole numbers, ~ would be no complement
    return np.asarray(0.5 * (from_border(inside) - from_border(~inside)), np.float32)


def field(mask: Volume, grid: Geometry) -> FloatArray:
    """Smooth signed distance of a mask on a cubic grid, float32 (x, y, z); far from an empty mask everywhere.

    Values are true near the surface and cut off at some millimetres outside, which keeps the work to the mask's box.
    """
    from scipy import ndimage

    box = bounding_box(mask.array)
    if box is None:
        return np.full(grid.size, FAR_MM, np.float32)
    near = cropped(mask, box, REACH_MM)
    rough = Volume(signed_distance(near), near.geometry).resample_to(grid, fill=FAR_MM).array
    np.minimum(rough, REACH_MM, out=rough)
    sigma = SMOOTHING_MM / grid.spacing_mm[0]
    smooth = ndimage.gaussian_filter(rough, sigma, truncate=2.5, mode="nearest")
    return np.asarray(smooth if smooth.min() < 0 else rough, np.float32)


def crossings(values: FloatArray, grid: Geometry, axes: Sequence[int] = (0, 1, 2)) -> FloatArray:
    """Points (n, 3) in LPS mm where a field crosses zero between neighbouring voxels along the given axes."""
    found = [np.zeros((0, 3))]
    for axis in axes:
        along = np.moveaxis(values, axis, 0)
        inside = along <= 0
        place = np.nonzero(inside[:-1] != inside[1:])
        first, second = along[:-1][place].astype(float), along[1:][place].astype(float)
        index = np.stack(place, axis=1).astype(float)
        index[:, 0] += first / (first - second)
        order = [1, 2]
        order.insert(axis, 0)
        found.append(index[:, order])
    return grid.lps(np.concatenate(found))


def sample(values: FloatArray, grid: Geometry, lps_mm: FloatArray) -> FloatArray:
    """Values (n,) of a field at points (n, 3) by linear interpolation; the border's beyond it."""
    from scipy import ndimage

    return np.asarray(ndimage.map_coordinates(values, grid.index(lps_mm).T, order=1, mode="nearest"))


def inside_points(values: FloatArray, grid: Geometry) -> FloatArray:
    """Voxel centres (n, 3) in LPS mm where a field is not positive."""
    return grid.lps(np.argwhere(values <= 0))


def spread(points: FloatArray, count: int, seed: int = 0) -> FloatArray:
    """At most ``count`` of the points, drawn evenly and always the same ones."""
    if len(points) <= count:
        return points
    return points[np.random.default_rng(seed).choice(len(points), count, replace=False)]


def sphere(count: int) -> FloatArray:
    """(count, 3) directions spread evenly over the unit sphere (Fibonacci lattice)."""
    index = np.arange(count) + 0.5
    polar, turn = np.arccos(1 - 2 * index / count), np.pi * (1 + 5**0.5) * index
    return np.stack([np.sin(polar) * np.cos(turn), np.sin(polar) * np.sin(turn), np.cos(polar)], axis=1)


def hull_facets(points: FloatArray, directions: int = 400) -> FloatArray:
    """Facets (n, 4) of the convex hull of the extreme points in evenly spread directions: normal and offset."""
    from scipy.spatial import ConvexHull

    corners = points[np.unique((points @ sphere(directions).T).argmax(axis=0))]
    return np.asarray(ConvexHull(corners, qhull_options="QJ").equations)


def hull_distance(facets: FloatArray, points: FloatArray) -> FloatArray:
    """Signed distance (n,) of points to a convex hull, negative inside, exact there."""
    parts = [(points[i : i + 20000] @ facets[:, :3].T + facets[:, 3]).max(axis=1) for i in range(0, len(points), 20000)]
    return np.concatenate(parts) if parts else np.zeros(0)
