"""Values of any image to Hounsfield units as 16-bit integers, and whether they can be Hounsfield units at all."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import InputError

LOWEST_HU = -1024
HIGHEST_HU = 3071
AIR_HU = -1000
_ABSURD_HU = 5000.0


def to_hounsfield(array: npt.NDArray[Any]) -> tuple[npt.NDArray[np.int16], tuple[str, ...]]:
    """Round and clip to [-1024, 3071]; NaN and infinity become air. Also what there is to say about it."""
    notes: list[str] = []
    values = array
    if not np.issubdtype(array.dtype, np.integer):
        finite = np.isfinite(array)
        if not finite.all():
            notes.append(f"{int((~finite).sum())} voxels without a finite value were set to {AIR_HU} HU.")
            values = np.where(finite, array, AIR_HU)
        values = np.rint(values)
    if values.size and (values.max() > _ABSURD_HU or values.min() < -_ABSURD_HU):
        absurd = int(np.count_nonzero((values > _ABSURD_HU) | (values < -_ABSURD_HU)))
        notes.append(f"{absurd} voxels beyond +-{_ABSURD_HU:.0f} HU were clipped to [{LOWEST_HU}, {HIGHEST_HU}] HU.")
    return np.clip(values, LOWEST_HU, HIGHEST_HU).astype(np.int16), tuple(notes)


def check_hounsfield(array: npt.NDArray[Any], name: str) -> None:
    """Refuse values that cannot be Hounsfield units of a body: nothing below water, or hardly any range.

    Raises:
        InputError: Naming the range that was found.
    """
    finite = array[np.isfinite(array)] if not np.issubdtype(array.dtype, np.integer) else array
    if finite.size == 0:
        raise InputError(f"{name} holds no finite value; Hounsfield units are needed.")
    low, high = float(finite.min()), float(finite.max())
    if low >= -20 or high - low < 100:
        raise InputError(
            f"{name} does not hold Hounsfield units: its values lie between {low:g} and {high:g}, and air (-1000) and "
            "fat (-100) are missing. Give the CT as it was reconstructed, not a mask, a picture or a normalised image."
        )
