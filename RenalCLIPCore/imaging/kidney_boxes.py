"""Boxes around the kidneys that a coarse segmentation found: where the fine model has to look.

All in the index space of a canonical volume (axes nearest to L, P, S).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .volume import Float3, Geometry, Int3, Volume

Box = tuple[slice, slice, slice]

MINIMUM_ML = 5.0
MOST_BOXES = 4
WHOLE_TILES = 1.5
BODY_HU = -300.0


def one_patch(geometry: Geometry, patch_mm: Float3) -> bool:
    """Whether the whole volume is hardly more than one patch along each axis, so that boxes save nothing."""
    extent = np.asarray(geometry.size) * np.asarray(geometry.spacing_mm)
    return bool(np.all(extent <= WHOLE_TILES * np.asarray(patch_mm)))


def bounding_box(mask: npt.NDArray[np.bool_]) -> Box | None:
    """Smallest box around a mask, or ``None`` when it is empty."""
    sides = []
    for axis in range(3):
        found = np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis)))
        if not len(found):
            return None
        sides.append(slice(int(found[0]), int(found[-1]) + 1))
    return sides[0], sides[1], sides[2]


def find_boxes(volume: Volume, coarse: Volume, margin_mm: float, patch_mm: Float3) -> list[Box]:
    """Boxes (index ranges of ``volume``) around each kidney of a coarse segmentation.

    Args:
        volume: Canonical CT in Hounsfield units.
        coarse: Labels on a coarse canonical grid of the same frame.
        margin_mm: Added on every side.
        patch_mm: Boxes are widened to one patch where the volume allows, for context instead of padding.

    Returns:
        At most four boxes, largest component first; empty when nothing of 5 ml was found. When all lie on one side
        of the body, their mirror images across its middle are added.
    """
    from scipy import ndimage

    components, count = ndimage.label(coarse.array > 0, structure=np.ones((3, 3, 3)))
    sizes = np.bincount(components.ravel(), minlength=count + 1)[1:] * coarse.geometry.voxel_volume_ml
    if not count or sizes.max() < MINIMUM_ML:
        return []
    kept = [n for n in np.argsort(-sizes, kind="stable") if sizes[n] >= max(MINIMUM_ML, 0.1 * sizes.max())]
    found = ndimage.find_objects(components)
    extents = [_extent(found[n], coarse.geometry, volume.geometry, margin_mm) for n in kept[:MOST_BOXES]]
    extents = _merged(extents)
    middle = body_middle(volume)
    sides = {bool(low[0] + high[0] > 2 * middle) for low, high in extents}
    if len(sides) == 1 and not any(low[0] < middle < high[0] for low, high in extents):
        extents += [_mirrored(low, high, middle) for low, high in extents]
    own = np.asarray(volume.geometry.spacing_mm)
    return [
        _box(low, high, np.asarray(patch_mm) / own, margin_mm / own, volume.geometry.size)
        for low, high in extents
        if np.all(high > 0) and np.all(low < volume.geometry.size)
    ]


def grown(box: Box, labels: npt.NDArray[Any], geometry: Geometry, step_mm: float) -> Box:
    """The box, larger by ``step_mm`` on each face that foreground touches, within the volume."""
    sides = []
    for axis, side in enumerate(box):
        step = max(1, round(step_mm / geometry.spacing_mm[axis]))
        first, last = (labels.take(index, axis=axis).any() for index in (0, -1))
        start = max(0, side.start - step) if first else side.start
        stop = min(geometry.size[axis], side.stop + step) if last else side.stop
        sides.append(slice(start, stop))
    return sides[0], sides[1], sides[2]


def disjoint_parts(boxes: list[Box]) -> list[Box]:
    """The part of each box that it alone writes: overlaps are cut in the middle of their thinnest axis."""
    parts = [list(box) for box in boxes]
    for a in range(len(parts)):
        for b in range(a + 1, len(parts)):
            _cut(parts[a], parts[b])
    return [(part[0], part[1], part[2]) for part in parts]


def _cut(a: list[slice], b: list[slice]) -> None:
    overlap = [min(x.stop, y.stop) - max(x.start, y.start) for x, y in zip(a, b, strict=True)]
    if min(overlap) <= 0:
        return
    axis = int(np.argmin(overlap))
    low, high = (a, b) if a[axis].start + a[axis].stop <= b[axis].start + b[axis].stop else (b, a)
    middle = (max(a[axis].start, b[axis].start) + min(a[axis].stop, b[axis].stop)) // 2
    low[axis] = slice(low[axis].start, max(low[axis].start, min(low[axis].stop, middle)))
    high[axis] = slice(min(high[axis].stop, max(high[axis].start, middle)), high[axis].stop)


Extent = tuple[npt.NDArray[np.floating[Any]], npt.NDArray[np.floating[Any]]]


def _extent(found: Any, coarse: Geometry, fine: Geometry, margin_mm: float) -> Extent:
    """Continuous index range in the fine grid of a component's bounding box, with margin."""
    low = fine.index(coarse.lps([side.start - 0.5 for side in found]))
    high = fine.index(coarse.lps([side.stop - 0.5 for side in found]))
    margin = margin_mm / np.asarray(fine.spacing_mm)
    return low - margin, high + margin


def _merged(extents: list[Extent]) -> list[Extent]:
    """Join ranges that overlap when one box is not much more work than two."""
    for a in range(len(extents)):
        for b in range(a + 1, len(extents)):
            low = np.minimum(extents[a][0], extents[b][0])
            high = np.maximum(extents[a][1], extents[b][1])
            apart = sum(float(np.prod(extents[n][1] - extents[n][0])) for n in (a, b))
            if float(np.prod(high - low)) <= 1.1 * apart:
                return _merged([extents[n] for n in range(len(extents)) if n not in (a, b)] + [(low, high)])
    return extents


def _mirrored(low: npt.NDArray[Any], high: npt.NDArray[Any], middle: float) -> Extent:
    other_low, other_high = low.copy(), high.copy()
    other_low[0], other_high[0] = 2 * middle - high[0], 2 * middle - low[0]
    return other_low, other_high


def body_middle(volume: Volume) -> float:
    """Index of the body's middle along the left axis, from a thinned copy."""
    step = tuple(max(1, n // 64) for n in volume.array.shape)
    body = (volume.array[:: step[0], :: step[1], :: step[2]] > BODY_HU).sum(axis=(1, 2))
    columns = np.flatnonzero(body > 0.1 * body.max()) if body.any() else np.arange(len(body))
    return float((columns[0] + columns[-1]) / 2 * step[0])


def _box(
    low: npt.NDArray[Any], high: npt.NDArray[Any], patch: npt.NDArray[Any], margin: npt.NDArray[Any], size: Int3
) -> Box:
    """Whole voxels inside the volume: one patch wide where half the margin still fits into it, else as asked."""
    sides = []
    for axis in range(3):
        extent = float(high[axis] - low[axis])
        length = int(patch[axis] + 1e-6) if extent <= patch[axis] + margin[axis] else int(np.ceil(extent))
        start = round(float(low[axis] + high[axis]) / 2 - (length - 1) / 2)
        start = max(0, min(start, size[axis] - length)) if length <= size[axis] else 0
        sides.append(slice(start, min(size[axis], start + max(1, length))))
    return sides[0], sides[1], sides[2]
