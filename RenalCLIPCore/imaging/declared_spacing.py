"""Refuse volume files whose header leaves the voxel spacing out or whose axes are sheared.

The image library reads a missing or zero spacing as 1 mm without a word, and calls a sheared file unreadable; every
length measured in the one would be wrong, and nobody could tell why the other is refused.
"""

from __future__ import annotations

import gzip
import math
import re
import struct
import zlib
from pathlib import Path

import numpy as np

from ..errors import GeometryError

_NIFTI_1, _NIFTI_2 = 348, 540
_HEADER_BYTES = 1 << 16
_SKEW = 0.01
_DECLARED = re.compile(
    rb"^(spacings:|space directions:|ElementSpacing\s*=|ElementSize\s*=)", re.IGNORECASE | re.MULTILINE
)


def check_declared_spacing(path: Path, what: str) -> None:
    """Check a NIfTI, NRRD or MetaImage header; anything that is none of these passes.

    Raises:
        GeometryError: No spacing is declared, one is not positive, or the axes are not orthogonal.
    """
    if not path.name.lower().endswith((".nii", ".nii.gz")):
        with path.open("rb") as stream:
            head = stream.read(_HEADER_BYTES)
        known = head.startswith(b"NRRD") or b"ElementDataFile" in head
        if known and not _DECLARED.search(head):
            raise GeometryError(f"{what} declares no voxel spacing, so nothing in it can be measured; add its spacing.")
        return
    fields = _nifti_fields(path)
    if fields is None:
        return
    spacing, qform, sform, rows = fields
    if any(not math.isfinite(value) or value == 0 for value in spacing):
        shown = " x ".join(f"{value:g}" for value in spacing)
        raise GeometryError(
            f"{what} declares a voxel spacing of {shown} mm, so nothing in it can be measured; correct its header."
        )
    if sform > 0 and qform <= 0 and _sheared(rows):
        raise GeometryError(f"The axes of {what[:1].lower()}{what[1:]} are not orthogonal; rectify the volume first.")


def _nifti_fields(path: Path) -> tuple[tuple[float, ...], int, int, np.ndarray] | None:
    """Spacing, qform code, sform code and the (3, 4) sform of a NIfTI header; None where there is none."""
    opened = gzip.open if path.name.lower().endswith(".gz") else open
    try:
        with opened(path, "rb") as stream:
            head = stream.read(_NIFTI_2)
    except (OSError, EOFError, zlib.error):
        return None
    for order in "<>":
        size = struct.unpack(f"{order}i", head[:4])[0] if len(head) >= _NIFTI_1 else 0
        if size == _NIFTI_1:
            codes, rows = struct.unpack_from(f"{order}2h", head, 252), struct.unpack_from(f"{order}12f", head, 280)
            return struct.unpack_from(f"{order}3f", head, 80), *codes, np.reshape(rows, (3, 4))
        if size == _NIFTI_2 and len(head) >= _NIFTI_2:
            codes, rows = struct.unpack_from(f"{order}2i", head, 344), struct.unpack_from(f"{order}12d", head, 400)
            return struct.unpack_from(f"{order}3d", head, 112), *codes, np.reshape(rows, (3, 4))
    return None


def _sheared(rows: np.ndarray) -> bool:
    columns = rows[:, :3]
    lengths = np.linalg.norm(columns, axis=0)
    if not np.all(np.isfinite(lengths)) or lengths.min() <= 0:
        return False
    unit = columns / lengths
    return bool(np.abs(unit.T @ unit - np.eye(3)).max() > _SKEW)
