"""Phases and labels of a phantom patient on any grid: partial volume, texture, reconstruction kernel and noise."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..imaging.study import Phase
from ..imaging.volume import Geometry, Volume
from .anatomy import Kidney, Lesion, PhantomPatient
from .shapes import Array, Blob, Cylinder, Float3, Shape, as_point
from .streams import stream

KIDNEY, TUMOUR, CYST = 1, 2, 3
HU_RANGE = (-1024, 3071)
PERIRENAL_FAT_MM = 3.5
Region = tuple[slice, slice, slice]
Coordinates = tuple[Array, Array, Array]
Distance = Callable[[Array, Array, Array], Array]


@dataclass(frozen=True)
class Acquisition:
    """How a scanner blurs and speckles.

    Attributes:
        kernel_mm: Standard deviation of the in-plane blur.
        noise_hu: Standard deviation of the noise at 1 x 1 x 3 mm; thicker slices have less.
        grain_mm: In-plane correlation length of the noise.
    """

    kernel_mm: float = 0.55
    noise_hu: float = 11.0
    grain_mm: float = 0.55


@dataclass(frozen=True)
class _Paint:
    """One coat: where, how much, and with which mixture of tissues (or a lesion's own HU)."""

    region: Region
    alpha: Array
    mixture: tuple[tuple[str, Array | float], ...]
    lesion: Lesion | None = None
    texture: Array | None = None


class TissueMap:
    """Which tissue lies where on a grid; made once, then painted for every phase that shares the grid."""

    def __init__(self, patient: PhantomPatient, geometry: Geometry) -> None:
        self.patient = patient
        self.geometry = geometry
        self._grid = _Grid(geometry)
        self._paints = list(_paints(patient, self._grid))

    def hu(self, phase: Phase) -> Array:
        """HU (i, j, k), float32, without blur or noise."""
        tissues = self.patient.tissues
        canvas: Any = np.full((1, 1, 1), tissues.hu("air", phase), np.float32)
        for paint in self._paints:
            shape = np.broadcast_shapes(canvas.shape, self._grid.extent(paint))
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


def render_phase(
    patient: PhantomPatient,
    phase: Phase,
    geometry: Geometry,
    seed: int,
    *,
    tissues: TissueMap | None = None,
    acquisition: Acquisition | None = None,
    shift_mm: Float3 = (0.0, 0.0, 0.0),
) -> Volume:
    """One phase in HU on a grid.

    Args:
        patient: The patient.
        phase: Contrast phase.
        geometry: Any grid, also oblique or permuted.
        seed: Of the noise; the anatomy and its texture do not depend on it.
        tissues: A map already made for this patient and grid (saves time when several phases share a grid).
        acquisition: Blur and noise; the defaults when None.
        shift_mm: Displacement (LPS) of the whole patient in this phase, as by breathing.

    Returns:
        int16 HU, clipped to ``HU_RANGE``.
    """
    acquisition = acquisition or Acquisition()
    if tissues is None or any(shift_mm):
        tissues = TissueMap(patient, _shifted(geometry, shift_mm))
    hu = _blurred(tissues.hu(phase), geometry, acquisition.kernel_mm)
    hu += _noise(geometry, acquisition, stream(seed, f"noise.{phase.value}"))
    np.clip(hu, *HU_RANGE, out=hu)
    return Volume(np.rint(hu).astype(np.int16), geometry)


def render_labels(patient: PhantomPatient, geometry: Geometry, *, shift_mm: Float3 = (0.0, 0.0, 0.0)) -> Volume:
    """Labels (uint8: 0 background, 1 kidney, 2 tumour, 3 cyst) of the shapes at the voxel centres."""
    grid = _Grid(_shifted(geometry, shift_mm), fine_mm=np.inf)
    labels = np.zeros(geometry.size, np.uint8)
    coats: list[tuple[Shape, Distance, int]] = [(k.outline, k.parenchyma, KIDNEY) for k in patient.kidneys]
    for name, value in (("cyst", CYST), ("tumour", TUMOUR)):
        coats += [(x.shape, x.shape.distance, value) for x in patient.lesions if x.label == name]
    for shape, distance, value in coats:
        region = grid.region(shape)
        if region is not None:
            labels[region][distance(*grid.coordinates(region)) <= 0] = value
    return Volume(labels, geometry)


class _Grid:
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
        affine = self.geometry.index_to_lps
        indices = []
        for axis, part in enumerate(region):
            values = np.arange(part.start, part.stop, dtype=np.float64) + (offset if axis == self.thick else 0.0)
            indices.append(values.reshape([-1 if a == axis else 1 for a in range(3)]))
        found: list[Any] = []
        for row in affine[:3]:
            total: Any = row[3]
            for axis in range(3):
                if row[axis]:
                    total = total + row[axis] * indices[axis]
            found.append(np.asarray(total, np.float32))
        return found[0], found[1], found[2]

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

    def extent(self, paint: _Paint) -> tuple[int, ...]:
        """Shape that the canvas needs for a coat: full along the axes on which it varies or is limited."""
        sizes = []
        for axis, n in enumerate(self.geometry.size):
            part = paint.region[axis]
            whole = part.start == 0 and part.stop == n and paint.alpha.shape[axis] == 1
            sizes.append(1 if whole else n)
        return tuple(sizes)


def _paints(patient: PhantomPatient, grid: _Grid) -> Iterable[_Paint]:
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


def _coats(grid: _Grid, shapes: Iterable[Shape], tissue: str) -> Iterable[_Paint]:
    for shape in shapes:
        region = grid.region(shape, grid.width)
        if region is not None:
            yield _Paint(region, grid.occupancy(shape.distance, region), ((tissue, np.float32(1.0)),))


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


def _spine(patient: PhantomPatient, grid: _Grid) -> Iterable[_Paint]:
    torso = patient.torso
    yield from _coats(grid, torso.processes, "cortical bone")
    yield from _coats(grid, [torso.canal.inset(-4.0)], "cortical bone")
    yield from _coats(grid, [torso.canal], "canal")
    region = grid.region(torso.spine, grid.width)
    if region is None:
        return
    x, y, z = grid.coordinates(region)
    level = np.abs(np.mod(z - np.float32(torso.disc_offset_mm), np.float32(36.0)) - np.float32(18.0))
    disc = np.clip(level - np.float32(13.0), 0.0, 1.0)
    shell = np.clip(1.0 + torso.spine.distance(x, y, z) / np.float32(2.0), 0.0, 1.0)
    plate = np.clip(1.0 - np.abs(level - np.float32(12.5)), 0.0, 1.0)
    bone = np.clip(np.maximum(shell, plate), 0.0, 1.0)
    mixture = (("disc", disc), ("cortical bone", (1 - disc) * bone * 0.7), ("vertebra", (1 - disc) * (1 - bone * 0.7)))
    yield _Paint(region, grid.occupancy(torso.spine.distance, region), mixture)


def _kidney(patient: PhantomPatient, kidney: Kidney, grid: _Grid) -> Iterable[_Paint]:
    one = np.float32(1.0)
    capsule = replace(kidney.outline, semi_axes_mm=as_point(np.asarray(kidney.outline.semi_axes_mm) + PERIRENAL_FAT_MM))
    yield from _coats(grid, [capsule], "fat")
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
    mixture = (("cortex", one - medulla), ("medulla", medulla))
    yield _Paint(region, grid.occupancy(kidney.parenchyma, region), mixture)
    for shape in kidney.collecting:
        yield from _coats(grid, [shape], "urine")


def _thrombus(kidney: Kidney, lesion: Lesion, share: float, grid: _Grid) -> Iterable[_Paint]:
    vein = replace(kidney.vein, points_lps_mm=kidney.vein.points_lps_mm[:2], radius_mm=kidney.vein.radius_mm + share)
    region = grid.region(vein, grid.width)
    if share > 0.5 and region is not None:
        yield _Paint(region, grid.occupancy(vein.distance, region), (("lesion", np.float32(1.0)),), lesion)


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


def _lesion(lesion: Lesion, grid: _Grid) -> Iterable[_Paint]:
    region = grid.region(lesion.shape, grid.width)
    if region is None:
        return
    alpha = grid.occupancy(lesion.shape.distance, region)
    if lesion.texture is None:
        yield _Paint(region, alpha, (("lesion", np.float32(1.0)),), lesion)
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
        yield _Paint(region, share, (("muscle", np.float32(1.0)),))
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
    from statistics import NormalDist

    threshold = NormalDist().inv_cdf(1 - min(fraction, 0.98))
    return np.asarray(np.clip(0.5 + (field - threshold) / 0.5, 0.0, 1.0), np.float32)


def _blurred(hu: Array, geometry: Geometry, kernel_mm: float) -> Array:
    from scipy.ndimage import gaussian_filter1d

    thick = int(np.argmax(geometry.spacing_mm))
    out = np.array(hu, np.float32)
    for axis in range(3):
        sigma = kernel_mm / geometry.spacing_mm[axis]
        if axis != thick and sigma > 0.15:
            out = gaussian_filter1d(out, sigma, axis=axis, mode="nearest", truncate=3.0)
    return out


def _noise(geometry: Geometry, acquisition: Acquisition, generator: np.random.Generator) -> Array:
    """Correlated Gaussian noise of the stated standard deviation."""
    from scipy.ndimage import gaussian_filter1d

    spacing = np.asarray(geometry.spacing_mm)
    thick = int(np.argmax(spacing))
    noise: Any = generator.standard_normal(geometry.size, dtype=np.float32)
    sd = acquisition.noise_hu * float(np.sqrt(3.0 / max(spacing[thick], 0.5)))
    for axis in range(3):
        sigma = acquisition.grain_mm / spacing[axis]
        if axis != thick and sigma > 0.15:
            noise = gaussian_filter1d(noise, sigma, axis=axis, mode="wrap", truncate=3.0)
            impulse = np.zeros(65)
            impulse[32] = 1.0
            kernel = gaussian_filter1d(impulse, sigma, truncate=3.0)
            sd /= float(np.sqrt(np.sum(np.square(kernel))))
    noise *= np.float32(sd)
    return noise


def _shifted(geometry: Geometry, shift_mm: Float3) -> Geometry:
    if not any(shift_mm):
        return geometry
    origin = np.asarray(geometry.origin_lps_mm) - shift_mm
    return Geometry.from_components(geometry.size, geometry.spacing_mm, origin, geometry.direction)
