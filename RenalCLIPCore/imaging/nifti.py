"""Whether a NIfTI file holds all the voxels it announces; the image library reads a truncated one without a word."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path

_HEADER_BYTES = 560
_TRAILING_BYTES = 1 << 16
_CHUNK = 1 << 22


def nifti_is_complete(path: Path) -> bool:
    """Whether a ``.nii`` or ``.nii.gz`` file reaches the end of its voxels (True for what is no NIfTI header).

    A compressed file's own length field is trusted when it fits; otherwise the file is decompressed to be sure.
    """
    with path.open("rb") as stream:
        compressed = stream.read(2) == b"\x1f\x8b"
    try:
        with gzip.open(path) if compressed else path.open("rb") as stream:
            needed = _announced_bytes(stream.read(_HEADER_BYTES))
    except (OSError, EOFError, zlib.error):
        return False
    if needed is None:
        return True
    if not compressed:
        return path.stat().st_size >= needed
    with path.open("rb") as stream:
        stream.seek(-4, 2)
        (length,) = struct.unpack("<I", stream.read(4))
    return 0 <= length - needed % (1 << 32) <= _TRAILING_BYTES or _decompresses_to(path, needed)


def _announced_bytes(header: bytes) -> int | None:
    for order in "<>":
        if len(header) >= 348 and struct.unpack_from(f"{order}i", header, 0)[0] == 348:
            dimensions = struct.unpack_from(f"{order}8h", header, 40)
            bits = struct.unpack_from(f"{order}h", header, 72)[0]
            offset = struct.unpack_from(f"{order}f", header, 108)[0]
        elif len(header) >= 540 and struct.unpack_from(f"{order}i", header, 0)[0] == 540:
            dimensions = struct.unpack_from(f"{order}8q", header, 16)
            bits = struct.unpack_from(f"{order}h", header, 12 + 2)[0]
            offset = struct.unpack_from(f"{order}q", header, 168)[0]
        else:
            continue
        if not 1 <= dimensions[0] <= 7 or not math.isfinite(offset):
            return None
        return int(offset) + math.prod(max(n, 1) for n in dimensions[1 : dimensions[0] + 1]) * bits // 8
    return None


def _decompresses_to(path: Path, needed: int) -> bool:
    found = 0
    try:
        with gzip.open(path) as stream:
            while found < needed and (part := stream.read(_CHUNK)):
                found += len(part)
    except (OSError, EOFError, zlib.error):
        return False
    return found >= needed
