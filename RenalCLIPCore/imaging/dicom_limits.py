"""What a DICOM file would unpack to, found out before a decoder allocates it."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from ..errors import GeometryError

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_DEFLATED = b"1.2.840.10008.1.2.1.99"
_HEAD = 1 << 12
_CHUNK = 1 << 20
_INFLATED_BYTES = 64 << 20
_INFLATED_RATIO = 200
_J2K_SIZE = b"\xff\x4f\xff\x51"
_NO_FRAME_HEADER = (0xC4, 0xC8, 0xCC)


def check_inflated(stream: BinaryIO, size: int, what: str) -> None:
    """Refuse a deflated file that would unpack to far more than CT does; leaves the stream at its start.

    Raises:
        GeometryError: As said.
        ValueError, zlib.error: The file is damaged.
    """
    head = stream.read(_HEAD)
    stream.seek(0)
    if _DEFLATED not in head:
        return
    if head[132:140] != b"\x02\0\0\0UL\x04\0":
        raise ValueError("no group length")
    start = 144 + struct.unpack_from("<I", head, 140)[0]
    most = max(_INFLATED_BYTES, _INFLATED_RATIO * size)
    stream.seek(start)
    unpacker, total = zlib.decompressobj(-zlib.MAX_WBITS), 0
    while total <= most and not unpacker.eof and (part := unpacker.unconsumed_tail or stream.read(_CHUNK)):
        total += len(unpacker.decompress(part, _CHUNK))
    stream.seek(0)
    if total > most:
        raise GeometryError(f"{what} would unpack to more than can be held; check it, or leave it out.")


def check_codestream(dataset: Dataset, what: str) -> None:
    """Refuse a compressed image whose codestream has another size than the header says.

    Raises:
        GeometryError: As said.
        ValueError: The pixels are damaged.
    """
    from pydicom.encaps import generate_fragments

    data: Any = dataset.get("PixelData")
    if not data or not dataset.file_meta.get("TransferSyntaxUID", None) or not _is_compressed(dataset):
        return
    found = (_codestream_size(fragment) for fragment in generate_fragments(data))
    for rows, columns in (size for size in found if size is not None):
        if (rows, columns) != (int(dataset.Rows), int(dataset.Columns)):
            raise GeometryError(f"{what} holds another image size than its header says.")


def _is_compressed(dataset: Dataset) -> bool:
    from pydicom.uid import UID

    syntax = UID(str(dataset.file_meta.TransferSyntaxUID))
    return bool(syntax.is_transfer_syntax and syntax.is_compressed and not syntax.is_deflated)


def _codestream_size(data: bytes) -> tuple[int, int] | None:
    """(rows, columns) of a JPEG, JPEG-LS or JPEG 2000 image; None where a fragment begins no such image."""
    if data[:4] == _J2K_SIZE and len(data) >= 24:
        right, bottom, left, top = struct.unpack_from(">4I", data, 8)
        return bottom - top, right - left
    if data[:2] != b"\xff\xd8":
        return None
    place = 2
    while place + 9 <= len(data) and data[place] == 0xFF:
        marker = data[place + 1]
        if (0xC0 <= marker <= 0xCF and marker not in _NO_FRAME_HEADER) or marker == 0xF7:
            rows, columns = struct.unpack_from(">2H", data, place + 5)
            return rows, columns
        place += 1 if marker == 0xFF else 2 + struct.unpack_from(">H", data, place + 2)[0]
    return None


def inflated_file(path: Path, what: str) -> None:
    """:func:`check_inflated` for a file that is about to be read whole."""
    with path.open("rb") as stream:
        check_inflated(stream, path.stat().st_size, what)
