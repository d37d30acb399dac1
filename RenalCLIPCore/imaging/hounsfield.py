"""Values of any image to Hounsfield units as 16-bit integers, and whether they can be Hounsfield units at all."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import InputError

LOWEST_HU = -1024
HIGHEST_HU = 3071
AIR_HU = -1000
_ABSURD_HU = 5000.0
_SLAB_VOXELS = 1 << 22


def to_hounsfield(array: npt.NDArray[Any]) -> tuple[npt.NDArray[np.int16], tuple[str, ...]]:
    """Round and clip to [-1024, 3071]; NaN and infinity become air. Also what there is to say about it."""
    result = np.empty_like(array, dtype=np.int16)
    strange = absurd = 0
    axis = _outer_axis(array)
    for stored, target in zip(_slabs(array, axis), _slabs(result, axis), strict=True):
        values = stored
        if not np.issubdtype(array.dtype, np.integer):
            finite = np.isfinite(stored)
            if not finite.all():
                strange += int(finite.size - np.count_nonzero(finite))
                values = np.where(finite, stored, AIR_HU)
            values = np.rint(values)
        if values.size and (values.max() > _ABSURD_HU or values.min() < -_ABSURD_HU):
            absurd += int(np.count_nonzero((values > _ABSURD_HU) | (values < -_ABSURD_HU)))
        target[...] = np.clip(values, LOWEST_HU, HIGHEST_HU)
    notes = []
    if strange:
        notes.append(f"{strange} voxels without a finite value were set to {AIR_HU} HU.")
    if absurd:
        notes.append(f"{absurd} voxels beyond +-{_ABSURD_HU:.0f} HU were clipped to [{LOWEST_HU}, {HIGHEST_HU}] HU.")
    return result, tuple(notes)


def check_hounsfield(array: npt.NDArray[Any], name: str) -> None:
    """Refuse values that cannot be Hounsfield units of a body: nothing below water, or hardly any range.

    Raises:
        InputError: Naming the range that was found.
    """
    low, high = np.inf, -np.inf
    for slab in _slabs(array, _outer_axis(array)):
        finite = slab if np.issubdtype(array.dtype, np.integer) else slab[np.isfinite(slab)]
        if finite.size:
            low, high = min(low, float(finite.min())), max(high, float(finite.max()))
    if low > high:
        raise InputError(f"{name} holds no finite value; Hounsfield units are needed.")
    if low >= -20 or high - low < 100:
        raise InputError(
            f"{name} does not hold Hounsfield units: its values lie between {low:g} and {high:g}, and air (-1000) and "
            "fat (-100) are missing. Give the CT as it was reconstructed, not a mask, a picture or a normalised image."
        )


def _outer_axis(array: npt.NDArray[Any]) -> int:
    """The axis whose neighbours lie farthest apart in memory."""
    return int(np.argmax(np.abs(array.strides)))


def _slabs(array: npt.NDArray[Any], axis: int) -> Iterator[npt.NDArray[Any]]:
    """Parts along an axis, so that temporary copies stay small."""
    moved = np.moveaxis(array, axis, 0)
    step = max(1, _SLAB_VOXELS // max(1, moved[:1].size))
    for start in range(0, moved.shape[0], step):
        yield moved[start : start + step]
