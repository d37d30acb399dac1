"""Shapes whose surface is that of a mask: its signed distance between the voxels instead of a formula.

Their centre, half lengths and axes are those of the ellipsoid with the same second moments; they place what has no mask
(vessels, the collecting system, medullary pyramids).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from ..imaging.mask_fields import SMOOTHING_MM, bounding_box, cropped, crossings, signed_distance, spread
from ..imaging.volume import Geometry, Volume
from .patient import Kidney
from .sampling import along_axes
from .shapes import Array, Blob, Ellipsoid, Float3, Shape, as_matrix, as_point

MARGIN_MM = 10.0
POINTS = 3000
_QUANTILES = 65
_LEAST_HALF_LENGTH_MM = 1.5


@dataclass(frozen=True, eq=False)
class MaskField:
    """A mask's surface; see :class:`RenalCLIPCore.phantom.shapes.Shape`.

    Attributes:
        values: Signed distance (i, j, k) in mm.
        grid: Its grid: the mask's box with a margin of ``MARGIN_MM``.
        low_mm, high_mm: Box of the mask's voxels, LPS.
    """

    values: Array
    grid: Geometry
    low_mm: Float3
    high_mm: Float3

    @staticmethod
    def of(mask: Volume) -> MaskField:
        """The surface of a mask (bool) that is not empty."""
        from scipy.ndimage import gaussian_filter

        box = bounding_box(mask.array)
        if box is None:
            raise ValueError("an empty mask has no surface")
        near = cropped(mask, box, MARGIN_MM)
        rough = signed_distance(near)
        smooth = gaussian_filter(rough, SMOOTHING_MM / np.asarray(near.geometry.spacing_mm), truncate=2.5)
        tight = near.geometry.crop(*_first_and_size(near.array))
        low, high = tight.bounds_lps_mm
        kept = smooth if smooth.min() < 0 else rough
        return MaskField(np.asarray(kept, np.float32), near.geometry, as_point(low), as_point(high))

    def distance(self, x: Array, y: Array, z: Array) -> Array:
        """Signed distance, linear between voxels; constant beyond the margin."""
        from scipy.ndimage import map_coordinates

        index = np.broadcast_arrays(*along_axes(self.grid.lps_to_index, x, y, z))
        return np.asarray(map_coordinates(self.values, np.stack(index), order=1, mode="nearest", prefilter=False))

    def bounds(self) -> tuple[Array, Array]:
        """Bounding box."""
        return np.asarray(self.low_mm), np.asarray(self.high_mm)

    def surface_lps_mm(self) -> Array:
        """Points (n, 3) of the surface."""
        return spread(crossings(self.values, self.grid), POINTS)


@dataclass(frozen=True, eq=False)
class Within:
    """A shape grown by some millimetres and cut back to what others leave or hold.

    Attributes:
        shape: The shape.
        by_mm: How far it is grown.
        inside: Nothing lies outside of these.
        outside: Nothing lies inside of these.
    """

    shape: Shape
    by_mm: float = 0.0
    inside: tuple[Shape, ...] = ()
    outside: tuple[Shape, ...] = ()

    def distance(self, x: Array, y: Array, z: Array) -> Array:
        """Signed distance to the nearest of the surfaces that bound it."""
        found = self.shape.distance(x, y, z) - np.float32(self.by_mm)
        for other in self.inside:
            found = np.maximum(found, other.distance(x, y, z))
        for other in self.outside:
            found = np.maximum(found, -other.distance(x, y, z))
        return np.asarray(found)

    def bounds(self) -> tuple[Array, Array]:
        """Bounding box of the grown shape."""
        low, high = self.shape.bounds()
        return low - self.by_mm, high + self.by_mm


@dataclass(frozen=True, eq=False)
class MaskedOutline(Ellipsoid):
    """The native outline of a kidney of a mask, and the ellipsoid of its second moments."""

    surface: MaskField = field(kw_only=True)

    def distance(self, x: Array, y: Array, z: Array) -> Array:
        """Signed distance."""
        return self.surface.distance(x, y, z)

    def bounds(self) -> tuple[Array, Array]:
        """Bounding box."""
        return self.surface.bounds()


@dataclass(frozen=True, eq=False)
class MaskedKidney(Kidney):
    """A kidney of a mask.

    Attributes:
        tissue: Surface of the parenchyma, which goes on beneath the lesions on it.
        room: What it keeps clear of other organs.
    """

    tissue: MaskField = field(kw_only=True)
    room: Within = field(kw_only=True)

    def capsule(self, by_mm: float) -> Shape:
        """Kidney and lesions grown by some millimetres."""
        return Within(self.room.shape, by_mm, self.room.inside, self.room.outside)

    def parenchyma(self, x: Array, y: Array, z: Array) -> Array:
        """Signed distance of the parenchyma."""
        return self.tissue.distance(x, y, z)


@dataclass(frozen=True, eq=False)
class MaskedBlob(Blob):
    """A lesion of a mask.

    Attributes:
        mask: Its surface.
        depths_mm, radii: Relative radius of a depth below the surface: the cube root of the share of the volume that
            lies deeper, so that a core of a given share of the volume has that share of it.
        voxels_lps_mm: (n, 3) voxels spread through it.
    """

    mask: MaskField = field(kw_only=True)
    depths_mm: Array = field(kw_only=True, repr=False)
    radii: Array = field(kw_only=True, repr=False)
    voxels_lps_mm: Array = field(kw_only=True, repr=False)

    @staticmethod
    def of(mask: Volume) -> MaskedBlob:
        """The shape of a lesion's mask (bool)."""
        surface = MaskField.of(mask)
        points = mask.geometry.lps(np.argwhere(mask.array))
        depth = np.maximum(-surface.distance(*points.T), 0.0)
        share = np.linspace(0.0, 1.0, _QUANTILES)
        body = moments(points)
        return MaskedBlob(
            body.centre_lps_mm, body.semi_axes_mm, body.axes, mask=surface,
            depths_mm=np.concatenate([[0.0], np.quantile(depth, share)[1:]]), radii=np.cbrt(1.0 - share),
            voxels_lps_mm=spread(points, POINTS),
        )  # fmt: skip

    def distance(self, x: Array, y: Array, z: Array) -> Array:
        """Signed distance."""
        return self.mask.distance(x, y, z)

    def relative_radius(self, x: Array, y: Array, z: Array) -> Array:
        """0 where it is deepest, 1 on the surface."""
        depth = -self.distance(x, y, z)
        inside = np.interp(np.maximum(depth, 0.0), self.depths_mm, self.radii)
        return np.asarray(inside + np.maximum(-depth, 0.0) / max(float(self.depths_mm[-1]), 1.0), np.float32)

    def bounds(self) -> tuple[Array, Array]:
        """Bounding box."""
        return self.mask.bounds()


def moments(points: npt.ArrayLike) -> Ellipsoid:
    """The ellipsoid with the centre and second moments of points (n, 3); its first axis is the longest."""
    places = np.asarray(points, dtype=float)
    centre = places.mean(axis=0)
    spread_: Any = np.cov((places - centre).T) if len(places) > 3 else np.eye(3)
    values, vectors = np.linalg.eigh(spread_)
    semi = np.maximum(np.sqrt(5.0 * np.maximum(values[::-1], 0.0)), _LEAST_HALF_LENGTH_MM)
    return Ellipsoid(as_point(centre), as_point(semi), as_matrix(vectors.T[::-1]))


def _first_and_size(mask: npt.NDArray[np.bool_]) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    box = bounding_box(mask)
    assert box is not None
    x, y, z = box
    return (x.start, y.start, z.start), (x.stop - x.start, y.stop - y.start, z.stop - z.start)
