"""Continuous shapes in LPS millimetres: signed distances (negative inside) and bounding boxes.

Every ``distance`` takes coordinate arrays x, y, z that broadcast against each other, so that one function serves
points, axis-aligned grids (three short axes) and oblique grids. Distances of ellipsoids are first-order estimates:
exact on the surface, close to it accurate to a few per cent.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.floating[Any]]
Float3 = tuple[float, float, float]
Matrix3 = tuple[Float3, Float3, Float3]
IDENTITY: Matrix3 = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
EVERYWHERE = 1e6
TINY = 1e-6


class Shape(Protocol):
    """A closed region of patient space."""

    def distance(self, x: Array, y: Array, z: Array) -> Array:
        """Signed distance to the surface in mm, negative inside."""

    def bounds(self) -> tuple[Array, Array]:
        """Smallest and largest LPS coordinates (each (3,)) that the shape can reach."""


def rows(matrix: Matrix3) -> Array:
    """The (3, 3) array of a nested tuple; rows are unit vectors in LPS."""
    return np.asarray(matrix, dtype=float)


def as_matrix(array: npt.ArrayLike) -> Matrix3:
    """The nested tuple of a (3, 3) array."""
    a = np.asarray(array, dtype=float)
    return (as_point(a[0]), as_point(a[1]), as_point(a[2]))


def as_point(array: npt.ArrayLike) -> Float3:
    """Three plain floats of an array."""
    a = np.asarray(array, dtype=float).ravel()
    return (float(a[0]), float(a[1]), float(a[2]))


def local(centre: Float3, axes: Matrix3, x: Array, y: Array, z: Array) -> tuple[Array, Array, Array]:
    """Coordinates along the rows of ``axes`` around ``centre``, in mm."""
    dx, dy, dz = x - centre[0], y - centre[1], z - centre[2]
    first, second, third = (a[0] * dx + a[1] * dy + a[2] * dz for a in axes)
    return first, second, third


@dataclass(frozen=True)
class Ellipsoid:
    """Ellipsoid, optionally bent like a bean.

    Attributes:
        centre_lps_mm: Centre.
        semi_axes_mm: Half lengths along the rows of ``axes``.
        axes: Unit vectors (LPS), one per row.
        bend_mm: How far both ends of the first axis are shifted along the second one (volume stays the same).
    """

    centre_lps_mm: Float3
    semi_axes_mm: Float3
    axes: Matrix3 = IDENTITY
    bend_mm: float = 0.0

    def distance(self, x: Array, y: Array, z: Array) -> Array:
        """Signed distance, see :class:`Shape`."""
        u, v, w = local(self.centre_lps_mm, self.axes, x, y, z)
        a, b, c = self.semi_axes_mm
        if self.bend_mm:
            v = v - self.bend_mm * np.square(u / a)
        q = np.square(u / a) + np.square(v / b) + np.square(w / c)
        length = np.sqrt(q) + TINY
        slope = np.sqrt(np.square(u / (a * a)) + np.square(v / (b * b)) + np.square(w / (c * c)))
        return np.maximum((length - 1.0) * length / (slope + TINY / min(a, b, c)), -min(a, b, c))

    def bounds(self) -> tuple[Array, Array]:
        """Bounding box, see :class:`Shape`."""
        matrix = rows(self.axes)
        semi = np.asarray(self.semi_axes_mm)
        half = np.sqrt(np.square(matrix * semi[:, None]).sum(axis=0)) + np.abs(matrix[1]) * abs(self.bend_mm)
        centre = np.asarray(self.centre_lps_mm)
        return centre - half, centre + half

    def volume_mm3(self) -> float:
        """Exact volume."""
        return float(4.0 / 3.0 * np.pi * np.prod(self.semi_axes_mm))


@dataclass(frozen=True)
class Tube:
    """Polyline with a thickness.

    Attributes:
        points_lps_mm: Two or more points.
        radius_mm: Radius.
    """

    points_lps_mm: tuple[Float3, ...]
    radius_mm: float

    def distance(self, x: Array, y: Array, z: Array) -> Array:
        """Signed distance, exact, see :class:`Shape`."""
        best: Any = None
        for start, end in zip(self.points_lps_mm[:-1], self.points_lps_mm[1:], strict=True):
            ex, ey, ez = end[0] - start[0], end[1] - start[1], end[2] - start[2]
            dx, dy, dz = x - start[0], y - start[1], z - start[2]
            t = np.clip((dx * ex + dy * ey + dz * ez) / (ex * ex + ey * ey + ez * ez + 1e-12), 0.0, 1.0)
            square = np.square(dx - t * ex) + np.square(dy - t * ey) + np.square(dz - t * ez)
            best = square if best is None else np.minimum(best, square)
        return np.sqrt(best) - self.radius_mm

    def bounds(self) -> tuple[Array, Array]:
        """Bounding box, see :class:`Shape`."""
        points = np.asarray(self.points_lps_mm)
        return points.min(axis=0) - self.radius_mm, points.max(axis=0) + self.radius_mm


@dataclass(frozen=True)
class Cylinder:
    """Elliptic cylinder along the patient's long (z) axis, without ends.

    Attributes:
        centre_xy_mm: Axis position (x, y), LPS.
        semi_axes_mm: Half widths along x and y.
    """

    centre_xy_mm: tuple[float, float]
    semi_axes_mm: tuple[float, float]

    def distance(self, x: Array, y: Array, z: Array) -> Array:
        """Signed distance (does not depend on z), see :class:`Shape`."""
        a, b = self.semi_axes_mm
        u, v = x - self.centre_xy_mm[0], y - self.centre_xy_mm[1]
        length = np.sqrt(np.square(u / a) + np.square(v / b)) + TINY
        slope = np.sqrt(np.square(u / (a * a)) + np.square(v / (b * b)))
        return np.maximum((length - 1.0) * length / (slope + TINY / min(a, b)), -min(a, b))

    def bounds(self) -> tuple[Array, Array]:
        """Bounding box, see :class:`Shape`."""
        centre = np.array([*self.centre_xy_mm, 0.0])
        half = np.array([*self.semi_axes_mm, EVERYWHERE])
        return centre - half, centre + half

    def inset(self, by_mm: float) -> Cylinder:
        """The cylinder whose half widths are smaller by ``by_mm``."""
        return Cylinder(self.centre_xy_mm, (self.semi_axes_mm[0] - by_mm, self.semi_axes_mm[1] - by_mm))


@dataclass(frozen=True)
class Waves:
    """A smooth random field in patient space: a sum of plane waves with unit variance.

    Attributes:
        vectors_per_mm: (n, 3) wave vectors, radians per mm.
        phases: (n,) radians.
    """

    vectors_per_mm: tuple[Float3, ...]
    phases: tuple[float, ...]

    def __call__(self, x: Array, y: Array, z: Array) -> Array:
        """Field at the coordinates; zero mean, unit variance over patient space."""
        total: Any = 0.0
        for vector, phase in zip(self.vectors_per_mm, self.phases, strict=True):
            total = total + np.cos(vector[0] * x + vector[1] * y + vector[2] * z + np.float32(phase))
        return total * np.float32(np.sqrt(2.0 / len(self.phases)))

    @staticmethod
    def draw(generator: np.random.Generator, scale_mm: float, count: int = 20) -> Waves:
        """Waves whose typical structure size is ``scale_mm``."""
        directions = generator.normal(size=(count, 3))
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        magnitude = np.pi / (scale_mm * generator.uniform(0.7, 1.6, size=(count, 1)))
        phases = generator.uniform(0, 2 * np.pi, count)
        return Waves(tuple(as_point(v) for v in directions * magnitude), tuple(float(p) for p in phases))


@dataclass(frozen=True)
class Blob:
    """Ellipsoid with a smooth, low-order surface irregularity.

    Attributes:
        centre_lps_mm: Centre of the ellipsoid.
        semi_axes_mm: Half lengths along the rows of ``axes``.
        axes: Unit vectors (LPS), one per row.
        irregularity: Relative radial amplitude (standard deviation over the surface).
        surface: Field evaluated on the unit sphere.
    """

    centre_lps_mm: Float3
    semi_axes_mm: Float3
    axes: Matrix3 = IDENTITY
    irregularity: float = 0.0
    surface: Waves = field(default=Waves(((0.0, 0.0, 0.0),), (float(np.pi / 2),)))

    def relative_radius(self, x: Array, y: Array, z: Array) -> Array:
        """0 at the centre, 1 on the surface."""
        return self._relative(x, y, z)[0]

    def distance(self, x: Array, y: Array, z: Array) -> Array:
        """Signed distance, see :class:`Shape`."""
        relative, slope = self._relative(x, y, z)
        return np.maximum((relative - 1.0) / slope, -min(self.semi_axes_mm))

    def _relative(self, x: Array, y: Array, z: Array) -> tuple[Array, Array]:
        u, v, w = local(self.centre_lps_mm, self.axes, x, y, z)
        a, b, c = self.semi_axes_mm
        u, v, w = u / a, v / b, w / c
        length = np.sqrt(np.square(u) + np.square(v) + np.square(w)) + 1e-6
        factor: Any = 1.0
        if self.irregularity:
            bump = self.surface(u / length, v / length, w / length)
            factor = np.exp(self.irregularity * np.clip(bump, -2.5, 2.5))
        slope = np.sqrt(np.square(u / a) + np.square(v / b) + np.square(w / c)) / length + 1e-9
        return length / factor, slope / factor

    def bounds(self) -> tuple[Array, Array]:
        """Bounding box, see :class:`Shape`."""
        factor = np.exp(2.5 * self.irregularity)
        low, high = Ellipsoid(self.centre_lps_mm, self.semi_axes_mm, self.axes).bounds()
        centre = np.asarray(self.centre_lps_mm)
        return centre + (low - centre) * factor, centre + (high - centre) * factor
