"""Measures of lesions and kidneys on their continuous shapes, by dense sampling of the implicit functions.

No voxel grid, resampling or imaging code takes part.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from .patient import Kidney, Lesion
from .shapes import Array, Blob, Ellipsoid, Float3, as_point, rows

DIRECTIONS = 6000
SHELLS = 8
NEITHER_BAND_MM = 10.0
ENDOPHYTIC_TOLERANCE = 0.05


@dataclass(frozen=True)
class Renal:
    """R.E.N.A.L. components of a lesion: the measured value and the task's class index of each.

    Attributes:
        r_mm: Largest diameter in any single axial, coronal or sagittal plane; ``r`` 0 (<= 40), 1, 2 (>= 70).
        e_outside: Share of the volume outside the native outline; ``e`` 0 (>= 0.5), 1, 2 (endophytic, <= 0.05).
        n_mm: Shortest distance to the sinus or collecting system, 0 when it reaches in; ``n`` 0 (>= 7), 1, 2 (<= 4).
        a_mm: Signed distance of the centre in front of the kidney's coronal plane; ``a`` 0 anterior, 1 posterior,
            2 neither (within 10 mm of the plane).
        l_between: Share of the volume between the polar lines (axial variant).
        polar_lines_mm: Lower line, midline, upper line as z (axial variant); ``l`` 0 outside, 1 crosses, 2 more.
        l_axis_between, polar_lines_axis_mm, l_axis: The same along the kidney's long axis, mm from its centre.
    """

    r_mm: float
    e_outside: float
    n_mm: float
    a_mm: float
    l_between: float
    polar_lines_mm: Float3
    l_axis_between: float
    polar_lines_axis_mm: Float3
    r: int
    e: int
    n: int
    a: int
    l: int  # noqa: E741
    l_axis: int


@dataclass(frozen=True)
class LesionTruth:
    """Geometry of one lesion.

    Attributes:
        side: Patient's side.
        label: ``"tumour"`` or ``"cyst"``.
        centre_lps_mm: Centroid of its largest axial section (the paper's rule).
        centroid_lps_mm: Centroid of its volume.
        volume_ml: Volume.
        largest_diameter_mm: Largest diameter in three dimensions.
        axial_diameter_mm: Largest diameter in any axial plane.
    """

    side: str
    label: str
    centre_lps_mm: Float3
    centroid_lps_mm: Float3
    volume_ml: float
    largest_diameter_mm: float
    axial_diameter_mm: float


def measure_lesion(lesion: Lesion) -> LesionTruth:
    """Volume, diameters and centres of a lesion."""
    shape = lesion.shape
    points, weights = _volume_samples(shape)
    sections = _sections(shape, 2)
    return LesionTruth(
        side=lesion.side,
        label=lesion.label,
        centre_lps_mm=sections.centre_of_largest(),
        centroid_lps_mm=as_point(np.average(points, axis=0, weights=weights)),
        volume_ml=_volume_ml(shape),
        largest_diameter_mm=_diameter(surface_points(shape, 3000)),
        axial_diameter_mm=sections.largest_diameter(),
    )


def measure_renal(lesion: Lesion, kidney: Kidney) -> Renal:
    """R.E.N.A.L. components of a lesion of a kidney."""
    shape = lesion.shape
    points, weights = _volume_samples(shape)
    surface = surface_points(shape, 20000)
    diameter = max(_sections(shape, axis).largest_diameter() for axis in range(3))
    outside = float(np.average(kidney.outline.distance(*points.T) > 0, weights=weights))
    near = sinus_distance_mm(kidney, surface, points)
    front = float(np.average(kidney.local(*points.T)[2], weights=weights))
    lips = _sinus_lips(kidney)
    axial_lines = _lines(lips[:, 2])
    between, level = polar_class(points[:, 2], surface[:, 2], weights, axial_lines)
    axis_lines = _lines(kidney.local(*lips.T)[0])
    along, along_surface = kidney.local(*points.T)[0], kidney.local(*surface.T)[0]
    axis_between, axis_level = polar_class(along, along_surface, weights, axis_lines)
    return Renal(
        diameter, outside, near, front, between, axial_lines, axis_between, axis_lines,
        r=int(diameter > 40) + int(diameter >= 70),
        e=0 if outside >= 0.5 else 1 if outside > ENDOPHYTIC_TOLERANCE else 2,
        n=0 if near >= 7 else 1 if near > 4 else 2,
        a=2 if abs(front) <= NEITHER_BAND_MM else 0 if front > 0 else 1,
        l=level, l_axis=axis_level,
    )  # fmt: skip


def polar_class(along: Array, surface: Array, weights: Array, lines: Float3) -> tuple[float, int]:
    """Share of a lesion between the polar lines, and its L class.

    Args:
        along: Positions of volume samples along the axis of the lines, mm.
        surface: Positions of surface samples.
        weights: Weights of the volume samples.
        lines: Lower line, midline, upper line.
    """
    lower, middle, upper = lines
    low, high = float(surface.min()), float(surface.max())
    between = float(np.average((along > lower) & (along < upper), weights=weights))
    if low >= upper or high <= lower:
        return between, 0
    if between > 0.5 or low < middle < high or (low >= lower and high <= upper):
        return between, 2
    return between, 1


def sinus_distance_mm(kidney: Kidney, surface: Array, inside: Array) -> float:
    """Shortest distance of a lesion (its surface and interior samples) to the sinus or collecting system."""
    from scipy.spatial import KDTree

    if min(float(kidney.sinus_inside(*p.T).min()) for p in (surface, inside)) <= 0:
        return 0.0
    wall = ellipsoid_surface(kidney.sinus, 20000)
    wall = wall[kidney.outline.distance(*wall.T) <= 0]
    targets = [wall, _sinus_lips(kidney)]
    return float(min(KDTree(surface).query(p)[0].min() for p in targets))


def surface_points(shape: Blob, count: int) -> Array:
    """(count, 3) points spread over a lesion's surface, LPS mm."""
    unit = _sphere(count)
    return _at(shape, unit, _factors(shape, unit))


def ellipsoid_surface(shape: Ellipsoid, count: int) -> Array:
    """(count, 3) points spread over an ellipsoid's surface, LPS mm."""
    a = shape.semi_axes_mm[0]
    flat = _sphere(count) * shape.semi_axes_mm
    flat[:, 1] += shape.bend_mm * np.square(flat[:, 0] / a)
    return np.asarray(shape.centre_lps_mm) + flat @ rows(shape.axes)


def parenchyma_volume_ml(kidney: Kidney, lesions: tuple[Lesion, ...]) -> float:
    """Volume of the parenchyma (outline without sinus and lesions), by points spread evenly through the outline."""
    outline = kidney.outline
    unit = _sphere(DIRECTIONS)
    jitter = (np.arange(DIRECTIONS) * 0.7548776662466927) % 1.0
    radius = np.concatenate([((k + jitter) / 16) ** (1 / 3) for k in range(16)])
    flat = np.tile(unit, (16, 1)) * radius[:, None] * outline.semi_axes_mm
    flat[:, 1] += outline.bend_mm * np.square(flat[:, 0] / outline.semi_axes_mm[0])
    points = (np.asarray(outline.centre_lps_mm) + flat @ rows(outline.axes)).T
    inside = kidney.sinus.distance(*points) > 0
    for lesion in lesions:
        inside &= lesion.shape.distance(*points) > 0
    return float(outline.volume_mm3() * inside.mean() / 1000)


class _Sections:
    """Outlines of a lesion in planes across one patient axis, found along rays by bisection."""

    def __init__(self, shape: Blob, axis: int, planes: int = 61, rays: int = 120) -> None:
        surface = surface_points(shape, 3000)
        low, high = surface[:, axis].min(), surface[:, axis].max()
        self.axis, self.others = axis, [a for a in range(3) if a != axis]
        self.levels = low + (high - low) * (np.arange(planes) + 0.5) / planes
        centres = self._centres(shape)
        angle = 2 * np.pi * np.arange(rays) / rays
        unit = np.stack([np.cos(angle), np.sin(angle)], axis=1)
        near = np.zeros((planes, rays))
        far = np.full((planes, rays), 2.0 * float(np.ptp(surface, axis=0).max()))
        for _ in range(18):
            middle = (near + far) / 2
            inside = shape.relative_radius(*self._points(centres, unit, middle)) <= 1
            near, far = np.where(inside, middle, near), np.where(inside, far, middle)
        self.outlines = centres[:, None, :] + near[..., None] * unit

    def _centres(self, shape: Blob) -> Array:
        """A point inside each plane's section: where the relative radius is smallest on a coarse search."""
        centre = np.asarray(shape.centre_lps_mm)[self.others]
        steps = np.linspace(-1, 1, 21) * max(shape.semi_axes_mm)
        grid = np.stack(np.meshgrid(steps, steps, indexing="ij"), axis=-1).reshape(-1, 2) + centre
        found = []
        for level in self.levels:
            points = self._place(grid, np.full(len(grid), level))
            found.append(grid[int(np.argmin(shape.relative_radius(*points)))])
        return np.asarray(found)

    def _points(self, centres: Array, unit: Array, radius: Array) -> tuple[Array, Array, Array]:
        flat = centres[:, None, :] + radius[..., None] * unit
        return self._place(flat, np.broadcast_to(self.levels[:, None], radius.shape))

    def _place(self, flat: Array, level: Array) -> tuple[Array, Array, Array]:
        xyz: list[Any] = [level, level, level]
        for position, axis in enumerate(self.others):
            xyz[axis] = flat[..., position]
        return xyz[0], xyz[1], xyz[2]

    def largest_diameter(self) -> float:
        """Largest diameter in any of the planes, mm."""
        angle = np.pi * np.arange(180) / 180
        widths = np.ptp(self.outlines @ np.stack([np.cos(angle), np.sin(angle)]), axis=1)
        return float(widths.max())

    def centre_of_largest(self) -> Float3:
        """LPS position of the centroid of the largest section."""
        p, q = self.outlines, np.roll(self.outlines, -1, axis=1)
        cross = p[..., 0] * q[..., 1] - q[..., 0] * p[..., 1]
        area = cross.sum(axis=1) / 2
        best = int(np.argmax(np.abs(area)))
        centroid = ((p + q)[best] * cross[best][:, None]).sum(axis=0) / (6 * area[best])
        x, y, z = self._place(centroid, self.levels[best])
        return float(x), float(y), float(z)


@lru_cache(maxsize=8)
def _sections(shape: Blob, axis: int) -> _Sections:
    return _Sections(shape, axis)


def _sphere(count: int) -> Array:
    """(count, 3) points spread evenly over the unit sphere (Fibonacci lattice)."""
    index = np.arange(count) + 0.5
    polar, turn = np.arccos(1 - 2 * index / count), np.pi * (1 + 5**0.5) * index
    return np.stack([np.sin(polar) * np.cos(turn), np.sin(polar) * np.sin(turn), np.cos(polar)], axis=1)


def _factors(shape: Blob, unit: Array) -> Array:
    """Radius of the lesion relative to its ellipsoid along directions of the normalised sphere."""
    return 1.0 / np.asarray(shape.relative_radius(*_at(shape, unit, np.ones(len(unit))).T))


def _at(shape: Blob, unit: Array, radius: Array) -> Array:
    return np.asarray(shape.centre_lps_mm) + (unit * radius[:, None] * shape.semi_axes_mm) @ rows(shape.axes)


def _volume_samples(shape: Blob) -> tuple[Array, Array]:
    """Points filling a lesion and their weights: shells of equal volume along every direction."""
    unit = _sphere(DIRECTIONS)
    factors = _factors(shape, unit)
    jitter = (np.arange(DIRECTIONS) * 0.7548776662466927) % 1.0
    points = [_at(shape, unit, factors * ((k + jitter) / SHELLS) ** (1 / 3)) for k in range(SHELLS)]
    return np.concatenate(points), np.tile(factors**3, SHELLS)


def _volume_ml(shape: Blob) -> float:
    factors = _factors(shape, _sphere(20000))
    return float(4 / 3 * np.pi * np.prod(shape.semi_axes_mm) * np.mean(factors**3) / 1000)


def _diameter(points: Array) -> float:
    """Largest width of a point set over 2000 directions (equals its largest diameter up to 0.1 %)."""
    directions = _sphere(4000)[:2000]
    return float(np.ptp(points @ directions.T, axis=0).max())


def _sinus_lips(kidney: Kidney) -> Array:
    """Points of the native outline's surface that the sinus opens."""
    surface = ellipsoid_surface(kidney.outline, 40000)
    return surface[kidney.sinus.distance(*surface.T) <= 0]


def _lines(along: Array) -> Float3:
    lower, upper = float(along.min()), float(along.max())
    return lower, (lower + upper) / 2, upper
