"""Which tissue lies where on a grid: coats of partial volume over one another, painted for each phase."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Any

import numpy as np

from ..imaging.study import Phase
from ..imaging.volume import Geometry
from .patient import Kidney, Lesion, PhantomPatient
from .sampling import Coordinates, Region, SampledGrid
from .shapes import Array, Blob, Cylinder, Shape

PERIRENAL_FAT_MM = 3.5


@dataclass(frozen=True)
class _Paint:
    """One coat: where, how much, and with which mixture of tissues (or a lesion's own HU)."""

    region: Region
    alpha: Array
    mixture: tuple[tuple[str, Array | float], ...]
    lesion: Lesion | None = None
    texture: Array | None = None

    def varies(self) -> tuple[int, ...]:
        """Shape of everything in the coat, broadcast together."""
        parts = [self.alpha, *(weight for _, weight in self.mixture)]
        if self.texture is not None:
            parts.append(self.texture)
        return np.broadcast_shapes(*(np.shape(part) for part in parts))


class TissueMap:
    """Which tissue lies where on a grid; made once, then painted for every phase that shares the grid."""

    def __init__(self, patient: PhantomPatient, geometry: Geometry) -> None:
        self.patient = patient
        self.geometry = geometry
        self._grid = SampledGrid(geometry)
        self._paints = list(_paints(patient, self._grid))

    def hu(self, phase: Phase) -> Array:
        """HU (i, j, k), float32, without blur or noise."""
        tissues = self.patient.tissues
        canvas: Any = np.full((1, 1, 1), tissues.hu("air", phase), np.float32)
        for paint in self._paints:
            shape = np.broadcast_shapes(canvas.shape, self._grid.extent(paint.region, paint.varies()))
            if shape != canvas.shape:
                canvas = np.broadcast_to(canvas, shape).copy()
            part = canvas[tuple(s if n > 1 else slice(None) for s, n in zip(paint.region, shape, strict=True))]
            part += paint.alpha * (self._colour(paint, phase) - part)
        return np.broadcast_to(canvas, self.geometry.size)

    def _colour(self, paint: _Paint, phase: Phase) -> Any:
        tissues = self.patient.tissues
        total: Any = 0.0
        for tissue, weight in paint.mixture:
            own = tissue == "lesion" and paint.lesion is not None
            hu = paint.lesion.hu(phase) if own and paint.lesion else tissues.hu(tissue, phase)
            total = total + np.float32(hu) * weight
        if paint.texture is not None:
            total = total + np.float32(0.35 if phase is Phase.N else 1.0) * paint.texture
        return total


def _paints(patient: PhantomPatient, grid: SampledGrid) -> Iterable[_Paint]:
    torso = patient.torso
    yield from _coats(grid, [torso.body], "skin")
    yield from _coats(grid, [torso.body.inset(2.0)], "fat")
    yield from _coats(grid, [torso.wall], "muscle")
    yield from _coats(grid, [torso.cavity], "fat")
    yield from _coats(grid, _table(torso.body), "table")
    yield from _coats(grid, torso.muscles[:4], "muscle")
    yield from _coats(grid, [torso.cava], "cava")
    yield from _coats(grid, [torso.aorta], "aorta")
    yield from _spine(patient, grid)
    yield from _coats(grid, torso.muscles[4:], "muscle")
    yield from _coats(grid, torso.ribs, "cortical bone")
    yield from _coats(grid, torso.bowel, "bowel")
    yield from _coats(grid, torso.gas, "gas")
    yield from _coats(grid, torso.liver, "liver")
    yield from _coats(grid, [torso.spleen], "spleen")
    for kidney in patient.kidneys:
        yield from _kidney(patient, kidney, grid)
    for label in ("cyst", "tumour"):
        for lesion in patient.lesions:
            if lesion.label == label:
                yield from _lesion(lesion, grid)


def _coats(grid: SampledGrid, shapes: Iterable[Shape], tissue: str) -> Iterable[_Paint]:
    for shape in shapes:
        region = grid.region(shape, grid.width)
        if region is not None:
            yield _Paint(region, grid.occupancy(shape.distance, region), ((tissue, 1.0),))


def _table(body: Cylinder) -> list[Shape]:
    """Two thin shells of the couch below the back, as flat as a wide cylinder's bottom."""
    return [_TableShell(body.centre_xy_mm[1] + body.semi_axes_mm[1] + 4.0)]


@dataclass(frozen=True)
class _TableShell:
    top_mm: float

    def distance(self, x: Array, y: Array, z: Array) -> Array:
        """A slightly curved plate, 12 mm thick and 420 mm wide, with a dense rim."""
        depth = y - (self.top_mm + 12.0 - np.square(x) * np.float32(3e-4))
        rim = np.abs(np.abs(depth - 8.0) - 8.0) - 1.2
        return np.maximum(rim, np.abs(x) - 205.0)

    def bounds(self) -> tuple[Array, Array]:
        """Bounding box."""
        return np.array([-205.0, self.top_mm - 6.0, -1e6]), np.array([205.0, self.top_mm + 32.0, 1e6])


def _spine(patient: PhantomPatient, grid: SampledGrid) -> Iterable[_Paint]:
    torso = patient.torso
    yield from _coats(grid, torso.processes, "cortical bone")
    yield from _coats(grid, [torso.canal.inset(-4.0)], "cortical bone")
    yield from _coats(grid, [torso.canal], "canal")
    region = grid.region(torso.spine, grid.width)
    if region is None:
        return
    x, y, z = grid.coordinates(region)
    period, middle = np.float32(torso.level_mm), np.float32(torso.level_mm / 2)
    level = np.abs(np.mod(z - np.float32(torso.disc_offset_mm), period) - middle)
    disc = np.clip(level - np.float32(middle - 5.0), 0.0, 1.0)
    shell = np.clip(1.0 + torso.spine.distance(x, y, z) / np.float32(2.0), 0.0, 1.0)
    plate = np.clip(1.0 - np.abs(level - np.float32(middle - 5.5)), 0.0, 1.0)
    bone = np.clip(np.maximum(shell, plate), 0.0, 1.0)
    mixture = (("disc", disc), ("cortical bone", (1 - disc) * bone * 0.7), ("vertebra", (1 - disc) * (1 - bone * 0.7)))
    yield _Paint(region, grid.occupancy(torso.spine.distance, region), mixture)


def _kidney(patient: PhantomPatient, kidney: Kidney, grid: SampledGrid) -> Iterable[_Paint]:
    yield from _coats(grid, [kidney.capsule(PERIRENAL_FAT_MM)], "fat")
    yield from _coats(grid, [kidney.vein], "renal vein")
    if patient.tumour and patient.primary and patient.primary.side == kidney.side:
        yield from _thrombus(kidney, patient.primary, patient.tumour.attributes.vein_invasion, grid)
    yield from _coats(grid, [kidney.artery], "aorta")
    yield from _coats(grid, [kidney.ureter], "urine")
    region = grid.region(kidney.outline, grid.width)
    if region is None:
        return
    coordinates = grid.coordinates(region)
    medulla = _medulla(kidney, *coordinates)
    mixture = (("cortex", 1 - medulla), ("medulla", medulla))
    yield _Paint(region, grid.occupancy(kidney.parenchyma, region), mixture)
    for shape in kidney.collecting:
        yield from _coats(grid, [shape], "urine")


def _thrombus(kidney: Kidney, lesion: Lesion, share: float, grid: SampledGrid) -> Iterable[_Paint]:
    vein = replace(kidney.vein, points_lps_mm=kidney.vein.points_lps_mm[:2], radius_mm=kidney.vein.radius_mm + share)
    region = grid.region(vein, grid.width)
    if share > 0.5 and region is not None:
        yield _Paint(region, grid.occupancy(vein.distance, region), (("lesion", 1.0),), lesion)


def _medulla(kidney: Kidney, x: Array, y: Array, z: Array) -> Array:
    """Share of medulla: cones below the cortex whose tips point to the sinus."""
    long, hilar, front = kidney.local(x, y, z)
    a, b, c = kidney.outline.semi_axes_mm
    depth = -kidney.outline.distance(x, y, z)
    around = np.arctan2(front / c, -hilar / b)
    count, phase, rows_, offset = kidney.pyramids
    pattern = np.cos(np.float32(count) * around + np.float32(phase))
    pattern = pattern + np.cos(np.float32(rows_ * np.pi) * long / a + np.float32(offset))
    beyond = depth - np.float32(kidney.cortex_mm)
    cone = 1.0 / (1.0 + np.exp(-np.clip(4.0 * (pattern + 0.55), -30, 30)))
    return np.asarray(np.clip(beyond / 1.5, 0.0, 1.0) * cone, np.float32)


def _lesion(lesion: Lesion, grid: SampledGrid) -> Iterable[_Paint]:
    region = grid.region(lesion.shape, grid.width)
    if region is None:
        return
    alpha = grid.occupancy(lesion.shape.distance, region)
    if lesion.texture is None:
        yield _Paint(region, alpha, (("lesion", 1.0),), lesion)
        return
    x, y, z = grid.coordinates(region)
    fine, coarse = (field(x, y, z) for field in lesion.texture)
    necrosis = _necrosis(lesion.shape, lesion.necrosis_fraction, coarse, (x, y, z))
    fat = _soft_share(fine, lesion.fat_fraction) * (1 - necrosis)
    solid = 1 - necrosis - fat
    mixture: Mapping[str, Array] = {"lesion": solid, "necrosis": necrosis, "macroscopic fat": fat}
    texture = np.float32(lesion.texture_hu) * np.clip(0.6 * fine + 0.8 * coarse, -2.5, 2.5) * solid
    yield _Paint(region, alpha, tuple(mixture.items()), lesion, texture)
    if lesion.septa:
        wall = np.abs(lesion.shape.distance(x, y, z) + 1.0) - 0.8
        septum = np.abs(coarse) * 4.0 - 0.7
        share = alpha * np.clip(0.5 - np.minimum(wall, septum) / grid.width, 0, 1) * np.float32(0.5)
        yield _Paint(region, share, (("muscle", 1.0),))
    if lesion.calcification is not None:
        yield from _coats(grid, [lesion.calcification], "calcification")


def _necrosis(shape: Blob, fraction: float, field: Array, xyz: Coordinates) -> Array:
    if fraction < 0.02:
        return np.float32(0.0) * field
    radius = shape.relative_radius(*xyz)
    edge = np.float32(fraction ** (1 / 3)) * (1 + np.float32(0.18) * np.clip(field, -2, 2))
    return np.asarray(np.clip(0.5 + (edge - radius) / 0.10, 0.0, 1.0), np.float32)


def _soft_share(field: Array, fraction: float) -> Array:
    """Soft mask of the highest ``fraction`` of a unit-variance field."""
    if fraction < 0.01:
        return np.float32(0.0) * field
    threshold = NormalDist().inv_cdf(1 - min(fraction, 0.98))
    return np.asarray(np.clip(0.5 + (field - threshold) / 0.5, 0.0, 1.0), np.float32)
