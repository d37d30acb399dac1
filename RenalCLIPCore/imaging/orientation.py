"""Storage orientations by name: the same voxels with index axes that run in given patient directions."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from .volume import Geometry, Volume

Oriented = TypeVar("Oriented", Geometry, Volume)

_AXES = {"L": (0, False), "R": (0, True), "P": (1, False), "A": (1, True), "S": (2, False), "I": (2, True)}


def is_orientation(code: str) -> bool:
    """Whether the code names three different patient axes, such as ``LPS`` or ``IPL``."""
    return len(code) == 3 and {_AXES[letter][0] for letter in code if letter in _AXES} == {0, 1, 2}


def from_canonical(array: npt.NDArray[Any], code: str) -> npt.NDArray[Any]:
    """View of an array in canonical order (L, P, S) with the index axes of ``code``."""
    order = [_AXES[letter][0] for letter in code]
    return array.transpose(order)[_flips([_AXES[letter][1] for letter in code])]


def to_canonical(array: npt.NDArray[Any], code: str) -> npt.NDArray[Any]:
    """View in canonical order (L, P, S) of an array with the index axes of ``code``; undoes :func:`from_canonical`."""
    order = [_AXES[letter][0] for letter in code]
    return array[_flips([_AXES[letter][1] for letter in code])].transpose(np.argsort(order))


def to_storage(array: npt.NDArray[Any], geometry: Geometry) -> npt.NDArray[Any]:
    """View in the storage order of ``geometry`` of an array on its canonical grid; undoes ``Volume.canonical``."""
    order, flip = geometry.canonical_axes()
    return array[_flips(list(flip))].transpose(np.argsort(order))


def reorient(source: Oriented, code: str) -> Oriented:
    """The same grid (and voxels, a view) with index axes (i, j, k) nearest to the directions of ``code``.

    Args:
        source: A volume or a geometry.
        code: Three letters, one of L/R, of P/A and of S/I each: the direction each index axis runs to.
    """
    if isinstance(source, Volume):
        return Volume(from_canonical(source.canonical().array, code), reorient(source.geometry, code))
    grid = source.canonical()
    order = [_AXES[letter][0] for letter in code]
    flip = [_AXES[letter][1] for letter in code]
    start = [0, 0, 0]
    for axis, flipped in zip(order, flip, strict=True):
        start[axis] = grid.size[axis] - 1 if flipped else 0
    columns = grid.direction_matrix[:, order] * np.where(flip, -1.0, 1.0)
    return Geometry.from_components(
        [grid.size[a] for a in order], [grid.spacing_mm[a] for a in order], grid.lps(start), columns
    )


def _flips(flip: list[bool]) -> tuple[slice, ...]:
    return tuple(slice(None, None, -1) if flipped else slice(None) for flipped in flip)
