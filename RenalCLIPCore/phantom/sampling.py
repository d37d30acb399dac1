"""Evaluation of shapes on voxel grids: boxes, coordinates, and the share of each voxel inside."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..imaging.volume import Geometry
from .shapes import Array, Shape

Region = tuple[slice, slice, slice]
Coordinates = tuple[Array, Array, Array]
Distance = Callable[[Array, Array, Array], Array]


def along_axes(affine: Array, *axes: Array) -> Coordinates:
    """An affine map (4, 4) of coordinates that broadcast; axes that take no part in a result do not lengthen it."""
    found: list[Any] = []
    for row in affine[:3]:
        total: Any = row[3]
        for factor, axis in zip(row[:3], axes, strict=True):
            if factor:
                total = total + factor * axis
        found.append(total)
    return found[0], found[1], found[2]


class SampledGrid:
    """Coordinates of a grid's parts; short broadcasting axes when the grid is aligned with the patient."""

    def __init__(self, geometry: Geometry, fine_mm: float = 1.6) -> None:
        self.geometry = geometry
        spacing = np.asarray(geometry.spacing_mm)
        self.thick = int(np.argmax(spacing))
        self.parts = 1 if not np.isfinite(fine_mm) else int(np.clip(np.ceil(spacing[self.thick] / fine_mm), 1, 4))
        self.width = float(np.sort(spacing)[:2].mean())
        if self.parts == 1:
            self.width = float(spacing.mean())

    def region(self, shape: Shape, margin_mm: float = 0.0) -> Region | None:
        """Index slices of a shape's box, or None when it lies outside the grid."""
        low, high = shape.bounds()
        centre, half = (low + high) / 2, (high - low) / 2 + margin_mm
        inverse = self.geometry.lps_to_index[:3, :3]
        middle, reach = self.geometry.index(centre), np.abs(inverse) @ half
        start = np.maximum(np.ceil(middle - reach - 1.0), 0).astype(int)
        stop = np.minimum(np.floor(middle + reach + 2.0), self.geometry.size).astype(int)
        if np.any(start >= stop):
            return None
        return (slice(start[0], stop[0]), slice(start[1], stop[1]), slice(start[2], stop[2]))

    def coordinates(self, region: Region, offset: float = 0.0) -> Coordinates:
        """LPS coordinates of a region, float32, shifted by ``offset`` voxels along the thickest axis."""
        indices: list[Any] = []
        for axis, part in enumerate(region):
            values = np.arange(part.start, part.stop, dtype=np.float64) + (offset if axis == self.thick else 0.0)
            indices.append(values.reshape([-1 if a == axis else 1 for a in range(3)]))
        x, y, z = along_axes(self.geometry.index_to_lps, *indices)
        return np.asarray(x, np.float32), np.asarray(y, np.float32), np.asarray(z, np.float32)

    def offsets(self) -> list[float]:
        """Sub-slice positions, in voxels along the thickest axis."""
        return [float((p + 0.5) / self.parts - 0.5) for p in range(self.parts)]

    def occupancy(self, distance: Distance, region: Region) -> Array:
        """Share of each voxel inside, averaged over sub-slices; float32."""
        total: Any = 0.0
        for offset in self.offsets():
            d = distance(*self.coordinates(region, offset))
            total = total + np.clip(np.float32(0.5) - d / np.float32(self.width), 0.0, 1.0)
        return np.asarray(total / np.float32(self.parts), np.float32)

    def extent(self, region: Region, varies: tuple[int, ...]) -> tuple[int, ...]:
        """Shape that the canvas needs for a coat: full along the axes on which it varies or is limited."""
        sizes = []
        for axis, n in enumerate(self.geometry.size):
            part = region[axis]
            whole = part.start == 0 and part.stop == n and varies[axis] == 1
            sizes.append(1 if whole else n)
        return tuple(sizes)
