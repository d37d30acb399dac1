"""Measured values of a lesion in its kidney's frame: diameters, share outside, distances, polar extents."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .kidney_frame import KidneyFrame
from .mask_fields import crossings, inside_points, sample, spread
from .nephrometry_scores import PolarExtent
from .volume import FloatArray, Geometry

PLANES = ("sagittal", "coronal", "axial")
TURNS = 60
FEW = 400


@dataclass(frozen=True, eq=False)
class Diameter:
    """A largest diameter and its two ends (LPS mm)."""

    length_mm: float
    start_lps_mm: FloatArray
    end_lps_mm: FloatArray


@dataclass(frozen=True, eq=False)
class Readings:
    """Measured values.

    Attributes:
        diameters: Largest diameter in ``sagittal``, ``coronal`` and ``axial`` planes and in ``space``.
        outside: Share of the volume outside the native outline.
        near: Shortest segment from the lesion to the sinus or collecting system; length 0 when it reaches in.
        centroid_lps_mm: Of the lesion's volume.
        front_mm: Of the centroid, in front of the kidney's coronal plane.
        hilar_mm: Of the centroid, towards the hilum from the kidney's centre.
        patient, kidney: Polar extents along the patient's long axis and the kidney's.
    """

    diameters: dict[str, Diameter]
    outside: float
    near: Diameter
    centroid_lps_mm: FloatArray
    front_mm: float
    hilar_mm: float
    patient: PolarExtent
    kidney: PolarExtent


def read(frame: KidneyFrame, values: FloatArray | None = None) -> Readings:
    """Measure a lesion.

    Args:
        frame: Of its kidney.
        values: Field of the lesion on the frame's grid, when it is not that of the frame's structures.
    """
    grid = frame.fields.grid
    lesion = frame.fields.lesion if values is None else values
    surface, volume = crossings(lesion, grid), inside_points(lesion, grid)
    if not len(volume):
        volume = surface if len(surface) else frame.centre_lps_mm[None]
    centroid = volume.mean(axis=0)
    local = centroid - frame.centre_lps_mm
    depth = frame.outline.distance(volume)
    return Readings(
        diameters={**plane_diameters(lesion, grid), "space": space_diameter(surface)},
        outside=float(np.clip(0.5 + depth / grid.spacing_mm[0], 0.0, 1.0).mean()),
        near=_nearness(frame, surface, volume),
        centroid_lps_mm=centroid,
        front_mm=float(local @ frame.front),
        hilar_mm=float(local @ frame.hilar),
        patient=_polar(frame, np.array([0.0, 0.0, 1.0]), surface, volume),
        kidney=_polar(frame, frame.long, surface, volume),
    )


def plane_diameters(lesion: FloatArray, grid: Geometry) -> dict[str, Diameter]:
    """Largest diameter within any single plane across each patient axis."""
    return {name: _plane_diameter(lesion, grid, axis) for axis, name in enumerate(PLANES)}


def space_diameter(surface: FloatArray) -> Diameter:
    """Largest diameter of surface points (n, 3)."""
    from scipy.spatial import ConvexHull
    from scipy.spatial.distance import pdist

    if len(surface) < 5:
        return Diameter(0.0, np.zeros(3), np.zeros(3))
    corners = surface[ConvexHull(surface, qhull_options="QJ").vertices]
    gaps = pdist(corners)
    starts = np.concatenate([[0], np.cumsum(np.arange(len(corners) - 1, 0, -1))])
    best = int(gaps.argmax())
    first = int(np.searchsorted(starts, best, side="right")) - 1
    last = first + 1 + best - int(starts[first])
    return Diameter(float(gaps[best]), corners[first], corners[last])


def _plane_diameter(lesion: FloatArray, grid: Geometry, axis: int) -> Diameter:
    others = [a for a in range(3) if a != axis]
    points = crossings(lesion, grid, others)
    if not len(points):
        return Diameter(0.0, np.zeros(3), np.zeros(3))
    level = np.rint((points[:, axis] - grid.origin_lps_mm[axis]) / grid.spacing_mm[axis]).astype(int)
    order = np.argsort(level, kind="stable")
    points, level = points[order], level[order]
    starts = np.flatnonzero(np.concatenate([[True], np.diff(level) > 0]))
    angle = np.pi * np.arange(TURNS) / TURNS
    along = points[:, others] @ np.stack([np.cos(angle), np.sin(angle)])
    width = np.maximum.reduceat(along, starts) - np.minimum.reduceat(along, starts)
    plane, turn = np.unravel_index(int(width.argmax()), width.shape)
    stop = starts[plane + 1] if plane + 1 < len(starts) else len(points)
    part, row = points[starts[plane] : stop], along[starts[plane] : stop, turn]
    return Diameter(float(width[plane, turn]), part[row.argmax()], part[row.argmin()])


def _nearness(frame: KidneyFrame, surface: FloatArray, volume: FloatArray) -> Diameter:
    grid, sinus = frame.fields.grid, frame.sinus.values
    depth = sample(sinus, grid, volume)
    if depth.min() <= 0:
        place = volume[int(depth.argmin())]
        return Diameter(0.0, place, place)
    wall = crossings(sinus, grid)
    if not len(wall) or not len(surface):
        return Diameter(float(depth.min()), volume[int(depth.argmin())], volume[int(depth.argmin())])
    return shortest(surface, wall)


def shortest(first: FloatArray, second: FloatArray) -> Diameter:
    """Shortest segment between two clouds of points; a few points bound the search for all."""
    from scipy.spatial import KDTree

    tree = KDTree(second)
    limit = float(tree.query(spread(first, FEW))[0].min()) + 1e-6
    gaps, which = tree.query(first, distance_upper_bound=limit)
    best = int(gaps.argmin())
    return Diameter(float(gaps[best]), first[best], second[which[best]])


def _polar(frame: KidneyFrame, axis: FloatArray, surface: FloatArray, volume: FloatArray) -> PolarExtent:
    lower, upper = frame.polar_lines(axis)
    along = volume @ axis
    ends = surface @ axis if len(surface) else along
    between = float(((along > lower) & (along < upper)).mean())
    return PolarExtent(lower, upper, float(ends.min()), float(ends.max()), between)


def touches(frame: KidneyFrame, structure: FloatArray, contact_mm: float) -> tuple[bool, Diameter]:
    """Whether the lesion touches a structure's field on the same grid, and the shortest segment to it."""
    surface = spread(crossings(frame.fields.lesion, frame.fields.grid), 20000)
    wall = crossings(structure, frame.fields.grid)
    if not len(wall):
        return False, Diameter(float("inf"), frame.centre_lps_mm, frame.centre_lps_mm)
    nearest = shortest(surface, wall)
    if sample(structure, frame.fields.grid, surface).min() <= 0:
        nearest = replace(nearest, length_mm=0.0)
    return nearest.length_mm <= contact_mm, nearest
