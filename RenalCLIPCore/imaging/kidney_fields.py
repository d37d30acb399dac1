"""The kidney of a lesion, cut out of a label map as smooth distance fields on one cubic grid."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from ..errors import NoKidneyError
from . import mask_fields
from .lesions import Lesion, LesionFindings
from .mask_fields import Mask, bounding_box, cropped, cubic_grid
from .mask_labels import KIDNEY
from .volume import FloatArray, Geometry, Volume

SEARCH_MM = 150.0
NEAREST_MM = 60.0
SAME_KIDNEY_MM = 15.0
OTHER_KIDNEY_MM = 80.0
OTHER_KIDNEY_ML = 20.0
PIECE_ML = 0.1
HORSESHOE_MM = 130.0
MARGIN_MM = 8.0
COARSE_MM = 2.2
MAXIMUM_VOXELS = 3_000_000


@dataclass(frozen=True, eq=False)
class KidneyFields:
    """Signed distances (mm, negative inside, x y z) of the structures of one kidney.

    Attributes:
        grid: Cubic, patient-aligned.
        parenchyma: Kidney label of this kidney.
        lesion: The lesion that is measured.
        others: Other tumours and cysts.
        side: ``left`` or ``right``.
        slice_mm: Largest voxel spacing of the masks.
        pixel_mm: Smallest voxel spacing of the masks.
        gap_mm: Distance of the lesion from the parenchyma; about 0 when they touch.
        scan_low_mm, scan_high_mm: (3,) corners of the scan's bounding box, LPS.
        cut: Which of ``kidney`` and ``lesion`` the scan's border cuts off, with the border.
        horseshoe: Whether the parenchyma goes on across the midline, where it was divided.
    """

    grid: Geometry
    parenchyma: FloatArray
    lesion: FloatArray
    others: FloatArray
    side: str
    slice_mm: float
    pixel_mm: float
    gap_mm: float
    scan_low_mm: FloatArray
    scan_high_mm: FloatArray
    cut: dict[str, str] = field(default_factory=dict)
    horseshoe: bool = False

    def coarse(self, step_mm: float) -> KidneyFields:
        """The same fields on every n-th voxel, about ``step_mm`` apart."""
        own = self.grid.spacing_mm[0]
        n = max(1, round(step_mm / own))
        every = (slice(None, None, n),) * 3
        parts = [np.ascontiguousarray(part[every]) for part in (self.parenchyma, self.lesion, self.others)]
        grid = Geometry.from_components(parts[0].shape, [own * n] * 3, self.grid.origin_lps_mm, np.eye(3))
        return replace(self, grid=grid, parenchyma=parts[0], lesion=parts[1], others=parts[2])


def kidney_fields(labels: Volume, findings: LesionFindings, lesion: Lesion, step_mm: float = 1.0) -> KidneyFields:
    """Find the kidney of a lesion and its distance fields.

    The kidney is the nearest piece of parenchyma with the pieces that lie close to it or to the lesion (a tumour may
    divide a kidney), without the other kidney.

    Raises:
        NoKidneyError: No parenchyma lies within 60 mm of the lesion.
    """
    whole, numbers = _rounded(labels.canonical()), _rounded(findings.components.canonical())
    box = _lesion_box(numbers, lesion)
    if box is None:
        raise NoKidneyError(f"The lesion {lesion.lesion_id} is not in the masks that were given.")
    search = _widened(box, whole.geometry, SEARCH_MM)
    chosen = _own_kidney(whole, numbers, lesion, search)
    area = _joint(box, chosen.box)
    part = Volume(_structures(whole, numbers, lesion, area, chosen), whole.geometry.crop(_first(area), _size(area)))
    structures = cropped(part, _full(part), MARGIN_MM)
    step = _step(structures.geometry, step_mm)
    grid = cubic_grid(structures.geometry, step)
    if step > step_mm:
        structures = _thinned(structures, step)
    fields = [mask_fields.field(Volume(structures.array == n, structures.geometry), grid) for n in (1, 2, 3)]
    low, high = whole.geometry.bounds_lps_mm
    return KidneyFields(
        grid, fields[0], fields[1], fields[2], lesion.side,
        slice_mm=max(labels.geometry.spacing_mm), pixel_mm=min(labels.geometry.spacing_mm), gap_mm=chosen.gap_mm,
        scan_low_mm=low, scan_high_mm=high, cut=_cut(part.array, area, whole.geometry),
        horseshoe=chosen.divided_x_mm is not None,
    )  # fmt: skip


def _lesion_box(numbers: Volume, lesion: Lesion) -> mask_fields.Box | None:
    """Box of a lesion's voxels, looked for no further from its centre than its diameter; None when there are none."""
    grid, size = numbers.geometry, np.asarray(numbers.geometry.size)
    reach = lesion.largest_diameter_mm / np.asarray(grid.spacing_mm) + 1
    middle = grid.index(lesion.centre_lps_mm)
    low = np.clip(np.floor(middle - reach).astype(int), 0, size)
    high = np.clip(np.ceil(middle + reach).astype(int) + 1, low, size)
    window = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    found = bounding_box(numbers.array[window] == lesion.number)
    if found is None:
        return None
    sides = [slice(side.start + int(a), side.stop + int(a)) for side, a in zip(found, low, strict=True)]
    return sides[0], sides[1], sides[2]


def _rounded(volume: Volume) -> Volume:
    """The same voxels on a grid whose last digits do not depend on how the volume was stored."""
    grid = volume.geometry
    direction = np.round(grid.direction_matrix, 10)
    exact = Geometry.from_components(
        grid.size, np.round(grid.spacing_mm, 8), np.round(grid.origin_lps_mm, 6), direction
    )
    return Volume(volume.array, exact)


@dataclass(frozen=True, eq=False)
class _OwnKidney:
    """Pieces of the lesion's kidney: box in the volume, pieces that do not belong, gap, and where it was divided."""

    box: mask_fields.Box
    refused: Mask
    search: mask_fields.Box
    steps: list[int]
    gap_mm: float
    divided_x_mm: float | None


def _joint(first: mask_fields.Box, second: mask_fields.Box) -> mask_fields.Box:
    sides = [slice(min(a.start, b.start), max(a.stop, b.stop)) for a, b in zip(first, second, strict=True)]
    return sides[0], sides[1], sides[2]


def _widened(box: mask_fields.Box, geometry: Geometry, margin_mm: float) -> mask_fields.Box:
    margin = np.ceil(margin_mm / np.asarray(geometry.spacing_mm)).astype(int)
    sides = [slice(max(0, s.start - m), min(n, s.stop + m)) for s, m, n in zip(box, margin, geometry.size, strict=True)]
    return sides[0], sides[1], sides[2]


def _own_kidney(whole: Volume, numbers: Volume, lesion: Lesion, search: mask_fields.Box) -> _OwnKidney:
    """Find the kidney on a coarse copy of the search box."""
    from scipy import ndimage

    steps = [max(1, int(COARSE_MM / spacing)) for spacing in whole.geometry.spacing_mm]
    every = tuple(slice(s.start, s.stop, n) for s, n in zip(search, steps, strict=True))
    pieces, count = ndimage.label(whole.array[every] == KIDNEY, structure=np.ones((3, 3, 3)))
    target = numbers.array[every] == lesion.number
    if not target.any():
        target = ndimage.maximum_filter(numbers.array[search] == lesion.number, size=steps)[
            tuple(slice(None, None, n) for n in steps)
        ]
    grid = whole.geometry.crop(_first(search), _size(search))
    chosen, gap, divided = _choose(pieces, count, target, grid, steps)
    own = bounding_box(np.isin(pieces, chosen))
    assert own is not None
    box = [
        slice(max(s.start, s.start + (o.start - 1) * n), min(s.stop, s.start + (o.stop + 1) * n))
        for s, o, n in zip(search, own, steps, strict=True)
    ]
    refused = np.isin(pieces, np.setdiff1d(np.arange(1, count + 1), chosen))
    return _OwnKidney((box[0], box[1], box[2]), refused, search, steps, gap, divided)


def _choose(
    pieces: npt.NDArray[np.int32], count: int, target: Mask, grid: Geometry, steps: list[int]
) -> tuple[list[int], float, float | None]:
    from scipy import ndimage
    from scipy.spatial import KDTree

    tree = KDTree(_shell(target, grid, steps))
    voxel_ml = grid.voxel_volume_ml * float(np.prod(steps))
    found: dict[int, tuple[FloatArray, float, float]] = {}
    for number, box in enumerate(ndimage.find_objects(pieces), start=1):
        mask = pieces[box] == number
        volume = float(mask.sum()) * voxel_ml
        if volume >= PIECE_ML or count == 1:
            shell = _shell(mask, grid, steps, [s.start for s in box])
            found[number] = shell, float(tree.query(shell)[0].min()), volume
    reachable = {n: item for n, item in found.items() if item[1] <= NEAREST_MM}
    if not reachable:
        raise NoKidneyError(
            "No kidney parenchyma lies within 60 mm of the lesion, so nothing but its size can be measured; "
            "check the masks."
        )
    closest = min(item[1] for item in reachable.values())
    touching = {n: item for n, item in reachable.items() if item[1] <= closest + 3.0}
    seed = max(touching, key=lambda n: touching[n][2])
    chosen = _joined(found, seed)
    x = found[seed][0][:, 0]
    low, high = np.percentile(x, (1, 99))
    gap = max(0.0, closest - float(np.max(np.asarray(grid.spacing_mm) * steps)))
    return chosen, gap, float((low + high) / 2) if high - low > HORSESHOE_MM else None


def _joined(found: dict[int, tuple[FloatArray, float, float]], seed: int) -> list[int]:
    """The seed with the pieces near it or near the lesion that are not the other kidney."""
    from scipy.spatial import KDTree

    tree, middle = KDTree(found[seed][0]), found[seed][0].mean(axis=0)
    chosen = [seed]
    for number, (shell, to_lesion, volume) in found.items():
        other = volume > OTHER_KIDNEY_ML and abs(shell[:, 0].mean() - middle[0]) > OTHER_KIDNEY_MM
        near = min(to_lesion, float(tree.query(shell)[0].min())) <= SAME_KIDNEY_MM
        if number != seed and near and not other:
            chosen.append(number)
    return chosen


def _shell(mask: Mask, grid: Geometry, steps: list[int], offset: list[int] | None = None) -> FloatArray:
    """LPS positions of the outermost voxels of each line of a coarse mask along its axes."""
    rims = np.zeros(mask.shape, bool)
    for axis in range(3):
        padded = np.pad(mask, [(1, 1) if a == axis else (0, 0) for a in range(3)])
        ahead, behind = np.roll(padded, -1, axis), np.roll(padded, 1, axis)
        edge = padded & ~(ahead & behind)
        rims |= edge[tuple(slice(1, -1) if a == axis else slice(None) for a in range(3))]
    return grid.lps((np.argwhere(rims) + np.asarray(offset or [0, 0, 0])) * np.asarray(steps))


def _structures(
    whole: Volume, numbers: Volume, lesion: Lesion, area: mask_fields.Box, chosen: _OwnKidney
) -> npt.NDArray[np.uint8]:
    """1 this kidney, 2 the lesion, 3 other lesions, 0 everything else, in an area of the volume."""
    own, part = whole.array[area], numbers.array[area]
    structures = np.where(own > KIDNEY, np.uint8(3), own.astype(np.uint8))
    outside = [np.ones(n, bool) for n in own.shape]
    places = []
    for axis, side in enumerate(area):
        index = np.arange(side.start, side.stop)
        outside[axis] = (index < chosen.box[axis].start) | (index >= chosen.box[axis].stop)
        coarse = (index - chosen.search[axis].start) // chosen.steps[axis]
        places.append(np.clip(coarse, 0, chosen.refused.shape[axis] - 1))
    foreign = chosen.refused[np.ix_(*places)] if chosen.refused.any() else np.zeros((1, 1, 1), bool)
    foreign = foreign | outside[0][:, None, None] | outside[1][None, :, None] | outside[2][None, None, :]
    if chosen.divided_x_mm is not None:
        index = np.zeros((own.shape[0], 3))
        index[:, 0] = np.arange(area[0].start, area[0].stop)
        beyond = whole.geometry.lps(index)[:, 0] < chosen.divided_x_mm
        foreign = foreign | (beyond if lesion.side == "left" else ~beyond)[:, None, None]
    structures[(structures == KIDNEY) & foreign] = 0
    structures[part == lesion.number] = 2
    return structures


def _cut(structures: npt.NDArray[np.uint8], area: tuple[slice, ...], geometry: Geometry) -> dict[str, str]:
    """Structures that reach the first or last voxels of the scan, and the border (canonical axes)."""
    names = (("right", "left"), ("anterior", "posterior"), ("lower", "upper"))
    found = {}
    for axis in range(3):
        for end, border in enumerate((area[axis].start == 0, area[axis].stop == geometry.size[axis])):
            face = np.take(structures, -1 if end else 0, axis=axis)
            for value, name in ((1, "kidney"), (2, "lesion")):
                if border and (face == value).any() and name not in found:
                    found[name] = names[axis][end]
    return found


def _step(geometry: Geometry, step_mm: float) -> float:
    volume = float(np.prod(np.asarray(geometry.size) * np.asarray(geometry.spacing_mm)))
    return float(max(step_mm, (volume / MAXIMUM_VOXELS) ** (1 / 3)))


def _thinned(structures: Volume, step_mm: float) -> Volume:
    """Every n-th voxel along each axis, about as far apart as those of the grid: more costs time and adds nothing."""
    spacing = np.asarray(structures.geometry.spacing_mm)
    every = np.maximum(1, np.round(step_mm / spacing)).astype(int)
    array = np.ascontiguousarray(structures.array[tuple(slice(None, None, n) for n in every)])
    grid = structures.geometry
    return Volume(array, Geometry.from_components(array.shape, spacing * every, grid.origin_lps_mm, grid.direction))


def _first(box: tuple[slice, ...]) -> tuple[int, int, int]:
    return box[0].start, box[1].start, box[2].start


def _size(box: tuple[slice, ...]) -> tuple[int, int, int]:
    return box[0].stop - box[0].start, box[1].stop - box[1].start, box[2].stop - box[2].start


def _full(volume: Volume) -> mask_fields.Box:
    n = volume.geometry.size
    return slice(0, n[0]), slice(0, n[1]), slice(0, n[2])
