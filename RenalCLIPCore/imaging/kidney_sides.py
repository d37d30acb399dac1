"""Which kidney is which, and which lesion belongs to which kidney, from geometry alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from .mask_labels import KIDNEY
from .volume import Volume

APART_MM = 45.0
BRIDGE_MM = 20.0
CONTACT_MM = 3.0
NEAR_MM = 15.0
DEEP_MM = 30.0
MINIMUM_SHARE = 0.05
Mask = npt.NDArray[np.bool_]
Boxed = tuple[tuple[slice, ...], Mask]


@dataclass(frozen=True)
class Sides:
    """Result of :func:`assign_sides`.

    Attributes:
        midline_x_mm: LPS x that divides left (larger) from right.
        lesions: ``left`` or ``right`` per lesion.
        parenchyma_ml: Parenchyma per side.
        notes: What was assumed.
        parenchyma: int8 on the labels' grid: 1 left, -1 right, 0 no parenchyma.
    """

    midline_x_mm: float
    lesions: tuple[str, ...]
    parenchyma_ml: dict[str, float]
    notes: tuple[str, ...]
    parenchyma: npt.NDArray[np.int8] = field(repr=False, compare=False)


def assign_sides(
    labels: Volume, lesions: list[Boxed], volume_middle_x_mm: float, midline_x_mm: float | None = None
) -> Sides:
    """Sides of parenchyma and lesions.

    Args:
        labels: Canonical label map, cropped to its foreground.
        lesions: Each lesion as (box, mask in the box).
        volume_middle_x_mm: LPS x of the middle of the whole volume: the midline when only one kidney is there.
        midline_x_mm: A midline that is known better.
    """
    from scipy import ndimage

    parenchyma, count = ndimage.label(labels.array == KIDNEY, structure=np.ones((3, 3, 3)))
    x = _x_of(labels)
    pieces = [_Piece.of(parenchyma, number, box, x) for number, box in enumerate(ndimage.find_objects(parenchyma), 1)]
    between = _middle_between(pieces)
    midline = midline_x_mm if midline_x_mm is not None else (volume_middle_x_mm if between is None else between)
    notes = []
    if between is None and midline_x_mm is None:
        notes.append("One kidney was found; its side was told from the middle of the volume.")
    side_of = np.zeros((count + 1,), np.int8)
    side_of[1:] = [1 if piece.middle > midline else -1 for piece in pieces]
    sided = side_of[parenchyma]
    for number, piece in enumerate(pieces, start=1):
        if piece.bridges(midline):
            notes.append("Parenchyma crosses the midline (horseshoe kidney?); it was divided there.")
            sided = np.where(parenchyma == number, np.where(x > midline, 1, -1), sided).astype(np.int8)
    voxel = labels.geometry.voxel_volume_ml
    volumes = {"left": float((sided > 0).sum()) * voxel, "right": float((sided < 0).sum()) * voxel}
    found = tuple(_lesion_side(labels, sided, boxed, x, midline) for boxed in lesions)
    return Sides(midline, found, volumes, tuple(notes), sided)


@dataclass(frozen=True)
class _Piece:
    """A connected piece of parenchyma: voxels, mean and 2nd/98th percentile of x, in mm."""

    voxels: int
    middle: float
    low: float
    high: float

    @staticmethod
    def of(components: npt.NDArray[Any], number: int, box: tuple[slice, ...], x: npt.NDArray[Any]) -> _Piece:
        values = np.broadcast_to(x, components.shape)[box][components[box] == number]
        low, high = np.percentile(values, (2, 98))
        return _Piece(len(values), float(values.mean()), float(low), float(high))

    def bridges(self, midline: float) -> bool:
        """Whether it reaches well to both sides."""
        return self.low < midline - BRIDGE_MM and self.high > midline + BRIDGE_MM


def _x_of(labels: Volume) -> npt.NDArray[Any]:
    """LPS x of every voxel, broadcastable against the array."""
    grid = labels.geometry
    index = [np.arange(n).reshape([-1 if axis == a else 1 for a in range(3)]) for axis, n in enumerate(grid.size)]
    row = grid.index_to_lps[0]
    x = row[3] + sum(row[axis] * index[axis] for axis in range(3) if abs(row[axis]) > 0)
    return np.asarray(x, dtype=float)


def _middle_between(pieces: list[_Piece]) -> float | None:
    """Middle between two kidneys, or ``None`` when the pieces are one kidney's.

    The pieces are split where the weighted spread between the two groups is largest; they are two kidneys when the
    groups lie further apart than the pieces of one kidney can.
    """
    largest = max(piece.voxels for piece in pieces)
    kept = sorted((p for p in pieces if p.voxels >= MINIMUM_SHARE * largest), key=lambda piece: piece.middle)
    best: tuple[float, float, float] | None = None
    for cut in range(1, len(kept)):
        groups = kept[:cut], kept[cut:]
        weights = [sum(piece.voxels for piece in group) for group in groups]
        means = [
            sum(piece.voxels * piece.middle for piece in group) / weight
            for group, weight in zip(groups, weights, strict=True)
        ]
        spread = weights[0] * weights[1] * (means[1] - means[0]) ** 2
        if best is None or spread > best[0]:
            best = spread, means[0], means[1]
    if best is None or best[2] - best[1] < APART_MM:
        return None
    return (best[1] + best[2]) / 2


def _lesion_side(labels: Volume, sided: npt.NDArray[np.int8], boxed: Boxed, x: npt.NDArray[Any], midline: float) -> str:
    box, mask = boxed
    middle = float(np.broadcast_to(x, labels.array.shape)[box][mask].mean())
    own = 1 if middle > midline else -1
    near = _nearest_parenchyma(labels, sided, boxed)
    swallowed = near == -own and abs(middle - midline) > DEEP_MM and not (sided == own).any()
    return "left" if (own if near == 0 or swallowed else near) > 0 else "right"


def _nearest_parenchyma(labels: Volume, sided: npt.NDArray[np.int8], boxed: Boxed) -> int:
    """Side (1 left, -1 right) of the parenchyma that the lesion touches most, else of the nearest; 0: none near."""
    from scipy import ndimage

    box, mask = boxed
    spacing = np.asarray(labels.geometry.spacing_mm)
    margin = np.ceil(NEAR_MM / spacing).astype(int)
    wide = tuple(
        slice(max(0, side.start - m), min(n, side.stop + m))
        for side, m, n in zip(box, margin, labels.array.shape, strict=True)
    )
    lesion = np.zeros([side.stop - side.start for side in wide], bool)
    lesion[tuple(slice(b.start - w.start, b.stop - w.start) for b, w in zip(box, wide, strict=True))] = mask
    around = sided[wide]
    if not around.any():
        return 0
    faces = ndimage.binary_dilation(lesion)
    if (around[faces] != 0).any() and len(np.unique(around[around != 0])) == 1:
        return 1 if around.max() > 0 else -1
    distance = ndimage.distance_transform_edt(~lesion, sampling=spacing)
    contact = around[(distance <= max(CONTACT_MM, 1.01 * spacing.max())) & (around != 0)]
    if len(contact):
        return 1 if contact.sum(dtype=int) > 0 else -1
    outside = np.where(around != 0, distance, np.inf)
    place = np.unravel_index(int(outside.argmin()), outside.shape)
    return int(around[place]) if outside[place] <= NEAR_MM else 0
