"""Rigid registration of a phase to the reference around the kidneys (breathing), with its residual in millimetres.

The residual is the mean distance between the soft-tissue surfaces (where smoothed HU cross -30, between fat and organs)
of the two images inside the region. That surface bounds the kidneys in every phase, enhanced or not, so the measure
does not depend on the contrast phase as intensity differences do; distances count up to 15 mm.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ..errors import GeometryError, GridMismatchError
from .volume import Float3, FloatArray, Geometry, Volume

if TYPE_CHECKING:
    import SimpleITK as sitk

RADIUS_MM = 60.0
_MARGIN_MM = 12.0
_GRID_MM = 2.0
_SURFACE_HU = -30.0
_FARTHEST_MM = 15.0
_WINDOW_HU = (-160.0, 300.0)
_LARGEST_ROTATION_DEG = 20.0
_LARGEST_SHIFT_MM = 60.0

Row = tuple[float, float, float, float]


@dataclass(frozen=True)
class RigidTransform:
    """A rotation and translation in patient space.

    Attributes:
        matrix: 4 x 4, row major; maps points of the reference (LPS mm) to the points of the phase that show the same
            anatomy: ``phase = matrix @ reference``.
    """

    matrix: tuple[Row, Row, Row, Row]

    def __post_init__(self) -> None:
        rotation = self.array[:3, :3]
        if not np.allclose(rotation.T @ rotation, np.eye(3), atol=1e-6) or np.linalg.det(rotation) < 0:
            raise GeometryError("A rigid transform needs a rotation matrix without scale, shear or reflection.")

    @property
    def array(self) -> FloatArray:
        """(4, 4) matrix."""
        return np.asarray(self.matrix, dtype=float)

    def apply(self, points_lps_mm: npt.ArrayLike) -> FloatArray:
        """Points of the phase (..., 3) for points of the reference (..., 3), LPS mm."""
        return np.asarray(points_lps_mm, dtype=float) @ self.array[:3, :3].T + self.array[:3, 3]

    def inverse(self) -> RigidTransform:
        """The transform from points of the phase to points of the reference."""
        return RigidTransform.from_array(np.linalg.inv(self.array))

    @property
    def rotation_deg(self) -> Float3:
        """Rotation about the (L, P, S) axes, applied in the order L, P, S, in degrees."""
        r = self.array[:3, :3]
        angles = (
            np.arctan2(r[2, 1], r[2, 2]),
            -np.arcsin(np.clip(r[2, 0], -1.0, 1.0)),
            np.arctan2(r[1, 0], r[0, 0]),
        )
        return float(np.degrees(angles[0])), float(np.degrees(angles[1])), float(np.degrees(angles[2]))

    @staticmethod
    def identity() -> RigidTransform:
        """No movement."""
        return RigidTransform.from_array(np.eye(4))

    @staticmethod
    def from_array(matrix: npt.ArrayLike) -> RigidTransform:
        """Build from a (4, 4) array."""
        rows = np.asarray(matrix, dtype=float).reshape(4, 4).tolist()
        return RigidTransform(tuple((row[0], row[1], row[2], row[3]) for row in rows))  # type: ignore[arg-type]

    @staticmethod
    def about(centre_lps_mm: npt.ArrayLike, rotation_deg: npt.ArrayLike, shift_mm: npt.ArrayLike) -> RigidTransform:
        """Rotate about a centre (about L, then P, then S), then shift."""
        a, b, c = np.radians(np.asarray(rotation_deg, dtype=float))
        about_l = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
        about_p = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
        about_s = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
        matrix, centre = np.eye(4), np.asarray(centre_lps_mm, dtype=float)
        matrix[:3, :3] = about_s @ about_p @ about_l
        matrix[:3, 3] = centre - matrix[:3, :3] @ centre + np.asarray(shift_mm, dtype=float)
        return RigidTransform.from_array(matrix)


@dataclass(frozen=True)
class RegistrationResult:
    """A registration and what it achieved.

    Attributes:
        transform: Reference points to phase points; the identity when no better one was found.
        shift_mm: Where the centre of the region lies in the phase, minus where it lies in the reference (LPS).
        residual_before_mm: Mean surface distance in the region without the transform.
        residual_after_mm: The same with it; never larger.
        notes: For instance that the identity was kept.
    """

    transform: RigidTransform
    shift_mm: Float3
    residual_before_mm: float
    residual_after_mm: float
    notes: tuple[str, ...] = ()


def register_rigid(
    moving: Volume,
    fixed: Volume,
    *,
    centre_lps_mm: npt.ArrayLike | None = None,
    region: Volume | None = None,
    radius_mm: float = RADIUS_MM,
    seed: int = 0,
) -> RegistrationResult:
    """Register a phase to the reference around one kidney or both.

    Mutual information (Mattes) over a rotation and a translation, coarse to fine, started from the best of a grid of
    shifts of up to 32 mm along the body. Deterministic for a seed.

    Args:
        moving: The phase, HU.
        fixed: The reference, HU.
        centre_lps_mm: Centre of a ball to look at; or
        region: a mask (not zero inside) in the reference's patient space, which is widened by 12 mm.
        radius_mm: Radius of the ball.
        seed: Of the random sampling.

    Raises:
        GridMismatchError: The region lies outside the reference, or hardly overlaps the phase.
        ValueError: Neither or both of ``centre_lps_mm`` and ``region`` are given.
    """
    mask = _region_mask(fixed.geometry, centre_lps_mm, region, radius_mm)
    centre = mask.geometry.lps(np.argwhere(mask.array).mean(axis=0))
    inner = _prepared(fixed, mask.geometry)
    surroundings = _prepared(moving, _widened(mask.geometry))
    if _covered(moving.geometry, mask) < 0.5:
        raise GridMismatchError("The region to register lies mostly outside the phase; register without it.")
    start = _best_shift(surroundings, inner, mask)
    found = _optimise(surroundings, inner, mask, centre, start, seed)
    before = surface_distance_mm(surroundings, inner, mask, RigidTransform.identity())
    after = surface_distance_mm(surroundings, inner, mask, found)
    shift = found.apply(centre) - centre
    notes: tuple[str, ...] = ()
    too_far = np.abs(found.rotation_deg).max() > _LARGEST_ROTATION_DEG or np.linalg.norm(shift) > _LARGEST_SHIFT_MM
    if after >= before or too_far:
        found, after, shift = RigidTransform.identity(), before, np.zeros(3)
        notes = ("No registration brought the surfaces nearer than they are; the phase was left where it is.",)
    return RegistrationResult(found, (float(shift[0]), float(shift[1]), float(shift[2])), before, after, notes)


def in_reference_frame(volume: Volume, transform: RigidTransform) -> Volume:
    """The phase at the places of the reference: the same voxels on a grid moved by the inverse transform."""
    inverse = transform.inverse().array
    geometry = volume.geometry
    moved = Geometry.from_components(
        geometry.size,
        geometry.spacing_mm,
        inverse[:3, :3] @ np.asarray(geometry.origin_lps_mm) + inverse[:3, 3],
        inverse[:3, :3] @ geometry.direction_matrix,
    )
    return Volume(volume.array, moved)


def resample_aligned(
    volume: Volume, target: Geometry, transform: RigidTransform, *, fill: float = -1000.0, nearest: bool = False
) -> Volume:
    """The phase on a grid of the reference, moved by a transform (linear or nearest neighbour, ``fill`` outside)."""
    import SimpleITK as sitk

    source = volume if nearest else Volume(volume.array.astype(np.float32, copy=False), volume.geometry)
    image = sitk.Resample(
        source.to_sitk(),
        target.size,
        to_sitk(transform),
        sitk.sitkNearestNeighbor if nearest else sitk.sitkLinear,
        target.origin_lps_mm,
        target.spacing_mm,
        [value for row in target.direction for value in row],
        fill,
    )
    return Volume(sitk.GetArrayFromImage(image).transpose(2, 1, 0), target)


def to_sitk(transform: RigidTransform) -> sitk.AffineTransform:
    """The transform for SimpleITK's resampling (output, that is reference, points to input points)."""
    import SimpleITK as sitk

    result = sitk.AffineTransform(3)
    result.SetMatrix(transform.array[:3, :3].ravel().tolist())
    result.SetTranslation(transform.array[:3, 3].tolist())
    return result


def surface_distance_mm(moving: Volume, fixed: Volume, mask: Volume, transform: RigidTransform) -> float:
    """Mean distance between the two images' soft-tissue surfaces inside the mask, both ways, up to 15 mm each."""
    from scipy import ndimage

    moved = resample_aligned(moving, fixed.geometry, transform)
    inside = mask.array > 0
    surfaces = []
    for volume in (moved, fixed):
        solid = volume.array > _SURFACE_HU
        surfaces.append(solid & ~ndimage.binary_erosion(solid, border_value=1))
    one, other = surfaces
    if not (one & inside).any() or not (other & inside).any():
        return _FARTHEST_MM
    spacing = fixed.geometry.spacing_mm
    there = np.asarray(ndimage.distance_transform_edt(~other, sampling=spacing))[one & inside]
    back = np.asarray(ndimage.distance_transform_edt(~one, sampling=spacing))[other & inside]
    return float(np.minimum(np.concatenate([there, back]), _FARTHEST_MM).mean())


def _region_mask(reference: Geometry, centre: npt.ArrayLike | None, region: Volume | None, radius_mm: float) -> Volume:
    """The region on its own 2 mm grid along the patient axes."""
    from scipy import ndimage

    if (centre is None) == (region is None):
        raise ValueError("either a centre or a region is needed")
    if region is not None:
        inside = region.geometry.lps(np.argwhere(region.array > 0))
        if len(inside) == 0:
            raise GridMismatchError("The region to register is empty; a kidney mask or a centre is needed.")
        low, high = inside.min(axis=0) - _MARGIN_MM, inside.max(axis=0) + _MARGIN_MM
    else:
        middle = np.asarray(centre, dtype=float)
        if not reference.contains(middle):
            raise GridMismatchError("The centre of the region to register lies outside the reference.")
        low, high = middle - radius_mm, middle + radius_mm
    size = np.ceil((high - low) / _GRID_MM).astype(int) + 1
    grid = Geometry.from_components(size, (_GRID_MM,) * 3, low, np.eye(3))
    if region is not None:
        marked = Volume((region.array > 0).astype(np.uint8), region.geometry)
        near = marked.resample_to(grid, nearest=True, fill=0).array > 0
        array = np.asarray(ndimage.distance_transform_edt(~near, sampling=grid.spacing_mm)) <= _MARGIN_MM
    else:
        points = grid.lps(np.argwhere(np.ones(grid.size, dtype=bool)))
        array = (np.linalg.norm(points - np.asarray(centre, dtype=float), axis=1) <= radius_mm).reshape(grid.size)
    return Volume(array.astype(np.uint8), grid)


def _prepared(volume: Volume, grid: Geometry) -> Volume:
    """Windowed HU on the 2 mm grid, slightly smoothed."""
    from scipy import ndimage

    array = volume.resample_to(grid).array
    return Volume(ndimage.gaussian_filter(np.clip(array, *_WINDOW_HU), 0.6).astype(np.float32), grid)


def _widened(grid: Geometry, by_mm: float = 44.0) -> Geometry:
    voxels = int(np.ceil(by_mm / _GRID_MM))
    size = [n + 2 * voxels for n in grid.size]
    return grid.crop((-voxels, -voxels, -voxels), (size[0], size[1], size[2]))


def _covered(geometry: Geometry, mask: Volume) -> float:
    points = mask.geometry.lps(np.argwhere(mask.array))
    index = geometry.index(points)
    inside = np.all((index >= -0.5) & (index <= np.asarray(geometry.size) - 0.5), axis=1)
    return float(inside.mean())


def _best_shift(moving: Volume, fixed: Volume, mask: Volume) -> FloatArray:
    """The shift (multiples of 4 mm; up to 12, 12 and 32 mm along L, P, S) with the largest mutual information."""
    step = 2
    inside = mask.array[::step, ::step, ::step] > 0
    here = _binned(fixed.array[::step, ::step, ::step][inside])
    offset = [(m - f) // 2 for m, f in zip(moving.geometry.size, fixed.geometry.size, strict=True)]
    best, best_value = np.zeros(3), -np.inf
    for shift in np.ndindex(7, 7, 17):
        voxels = [2 * (n - half) for n, half in zip(shift, (3, 3, 8), strict=True)]
        place = tuple(
            slice(o + v, o + v + n, step) for o, v, n in zip(offset, voxels, fixed.geometry.size, strict=True)
        )
        value = _mutual_information(here, _binned(moving.array[place][inside])) - 0.002 * float(np.linalg.norm(voxels))
        if value > best_value:
            best, best_value = np.asarray(voxels, dtype=float) * _GRID_MM, value
    return best


def _binned(values: npt.NDArray[np.floating]) -> npt.NDArray[np.int64]:
    low, high = _WINDOW_HU
    return np.asarray(np.clip((values - low) / (high - low) * 24, 0, 23)).astype(np.int64)


def _mutual_information(one: npt.NDArray[np.int64], other: npt.NDArray[np.int64]) -> float:
    joint = np.bincount(one * 24 + other, minlength=576).reshape(24, 24) / len(one)
    product = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0, keepdims=True)
    filled = joint > 0
    return float((joint[filled] * np.log(joint[filled] / product[filled])).sum())


def _optimise(
    moving: Volume, fixed: Volume, mask: Volume, centre: FloatArray, start: FloatArray, seed: int
) -> RigidTransform:
    import SimpleITK as sitk

    initial = sitk.Euler3DTransform()
    initial.SetCenter(centre.tolist())
    initial.SetTranslation(start.tolist())
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(32)
    method.SetMetricSamplingStrategy(method.RANDOM)
    method.SetMetricSamplingPercentagePerLevel([0.6, 0.3], seed + 1)
    method.SetMetricFixedMask(mask.to_sitk())
    method.SetInterpolator(sitk.sitkLinear)
    method.SetShrinkFactorsPerLevel([2, 1])
    method.SetSmoothingSigmasPerLevel([2.0, 0.0])
    method.SmoothingSigmasAreSpecifiedInPhysicalUnitsOn()
    method.SetOptimizerAsRegularStepGradientDescent(2.0, 0.02, 60, relaxationFactor=0.6)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetInitialTransform(initial, inPlace=True)
    method.SetNumberOfThreads(1)  # sums in one order: the same result on every run
    try:
        method.Execute(fixed.to_sitk(), moving.to_sitk())
    except RuntimeError:
        return RigidTransform.about(centre, (0.0, 0.0, 0.0), start)  # the samples ran out of the image on the way
    matrix = np.eye(4)
    matrix[:3, :3] = np.reshape(initial.GetMatrix(), (3, 3))
    matrix[:3, 3] = initial.TransformPoint((0.0, 0.0, 0.0))
    left, _, right = np.linalg.svd(matrix[:3, :3])
    matrix[:3, :3] = left @ right
    return RigidTransform.from_array(np.round(matrix, 10))  # below this, runs differ by the last bits
