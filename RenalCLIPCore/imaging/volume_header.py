"""What a volume file announces, held against what is there, before any voxel is allocated; names are never told.

A file's name can hold a patient's, so messages speak of "the .nrrd file".
"""

from __future__ import annotations

import os
import re
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import GeometryError, InputError

SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".nhdr", ".mha", ".mhd")
DETACHED = (".nhdr", ".mhd")
MAX_VOXELS = 1 << 29
MAX_BYTES = 1 << 32
_HEADER_BYTES = 1 << 20
_MOST_PACKED = 1100  # deflate packs at most 1032 to 1
_SLACK = 1 << 16
_LONGEST_LINE = 2000
_MOST_DIMENSIONS = 8
_DATA_FILE = re.compile(rb"^(?:data ?file:|ElementDataFile\s*=)[ \t]*([^\r\n]*)", re.IGNORECASE | re.MULTILINE)
_SILENCE = threading.Lock()


def file_words(path: Path) -> str:
    """A file in words that hold no name: ``The .nii.gz file``."""
    suffix = next((suffix for suffix in SUFFIXES if path.name.lower().endswith(suffix)), "")
    return f"The {suffix} file" if suffix else "The file"


def check_data_files(path: Path, what: str) -> int:
    """Bytes of a volume file and of the file with its voxels, if its header names one.

    Raises:
        InputError: The header names several files, one elsewhere, or something that is no plain file.
    """
    check_lines(path, what)
    total = path.stat().st_size
    if path.name.lower().endswith((".nii", ".nii.gz")):
        return total
    for name in _data_files(path):
        if name in ("LIST", "list") or "%" in name or " " in name.strip():
            raise InputError(f"{what} spreads its voxels over several files; convert it to one file (.nrrd, .nii.gz).")
        target = path.parent / name
        inside = not os.path.isabs(name) and ".." not in Path(name).parts and "\0" not in name
        if not inside or not target.is_file():
            raise InputError(f"{what} names a file with its voxels that does not lie beside it; copy both together.")
        total += target.stat().st_size
    return total


def check_lines(path: Path, what: str) -> None:
    """Refuse a text header whose lines would overrun a C parser, or whose sizes are no numbers.

    Raises:
        InputError: As said.
    """
    if path.name.lower().endswith((".nii", ".nii.gz")):
        return
    for line in _header(path).splitlines():
        _, separator, value = line.partition(b":")
        plain = not separator or not value.startswith(b"=")  # not a free NRRD key with its value
        if (plain and len(line) > _LONGEST_LINE) or len(line) > _SLACK or not _counts_are_sane(line):
            raise InputError(f"{what} is no image that can be read (NIfTI, NRRD or MetaImage).")


def _counts_are_sane(line: bytes) -> bool:
    """Whether a line that gives the number of dimensions or of voxels holds whole numbers that a C parser can take."""
    found = re.match(rb"\s*(NDims|DimSize|sizes|dimension)\s*[:=](.*)", line, re.IGNORECASE)
    if not found:
        return True
    counts = found.group(2).split()
    if not counts or len(counts) > _MOST_DIMENSIONS or not all(re.fullmatch(rb"\d{1,10}", count) for count in counts):
        return False
    return found.group(1).lower() in (b"dimsize", b"sizes") or (len(counts) == 1 and int(counts[0]) <= _MOST_DIMENSIONS)


def check_announced(size: tuple[int, ...], voxel_bytes: int, stored: int, what: str) -> None:
    """Refuse more voxels than can be held, or than a file of this size can hold.

    Raises:
        GeometryError: As said.
        InputError: The file is too short for what its header announces.
    """
    voxels = 1
    for count in size:
        voxels *= int(count)
    if voxels > MAX_VOXELS or voxels * voxel_bytes > MAX_BYTES:
        shown = " x ".join(str(count) for count in size)
        raise GeometryError(f"{what} announces {shown} voxels, more than can be held; check its header.")
    if voxels * voxel_bytes > stored * _MOST_PACKED + _SLACK:
        raise InputError(f"{what} is too short for the voxels that its header announces; it may be truncated.")


def gzip_length(path: Path) -> int:
    """The length (modulo 4 GiB) that the last gzip member of a file gives for its content."""
    with path.open("rb") as stream:
        stream.seek(-4, os.SEEK_END)
        (length,) = struct.unpack("<I", stream.read(4))
    return int(length)


@contextmanager
def native_silence() -> Iterator[None]:
    """Keep what C and C++ libraries print on stderr from it: their messages name files, and files name patients."""
    with _SILENCE:
        try:
            kept, nothing = os.dup(2), os.open(os.devnull, os.O_WRONLY)
        except OSError:  # a host without standard streams
            yield
            return
        try:
            os.dup2(nothing, 2)
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            os.close(nothing)


def _data_files(path: Path) -> list[str]:
    names = [found.decode("utf-8", "surrogateescape").strip() for found in _DATA_FILE.findall(_header(path))]
    return [name for name in names if name.upper() != "LOCAL"]


def _header(path: Path) -> bytes:
    """The lines of a NRRD or MetaImage header."""
    with path.open("rb") as stream:
        head = stream.read(_HEADER_BYTES)
    if head.startswith(b"NRRD"):
        end = re.search(rb"\r?\n\r?\n", head)
        return head[: end.start()] if end else head
    end = re.search(rb"^ElementDataFile[^\n]*", head, re.IGNORECASE | re.MULTILINE)
    return head[: end.end()] if end else head
