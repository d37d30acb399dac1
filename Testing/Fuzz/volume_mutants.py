"""Mutants of volume files: NIfTI and NRRD (with MetaImage) headers, voxels and containers."""

from __future__ import annotations

import gzip
import random
import re
import struct
from pathlib import Path

from .trees import mutate_bytes

_FLOATS = (0.0, -0.0, 1.0, -1.0, 1e-30, 1e30, -1e30, float("nan"), float("inf"), float("-inf"), 1e9, 352.0, 0.5)
_SHORTS = (0, 1, -1, 2, 3, 4, 5, 7, 8, 100, 1000, 32767, -32768)
_KINDS = (0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 768, 1024, 1280, 1536, 1792, 2048, 2304)
# offset and form of the fields of a NIfTI-1 header
_FIELDS = (
    (0, "i"), (40, "h"), (42, "h"), (44, "h"), (46, "h"), (48, "h"), (50, "h"), (70, "h"), (72,
    "h"), (76, "f"), (80, "f"),
    (84, "f"), (88, "f"), (108, "f"), (112, "f"), (116, "f"), (123, "b"), (252, "h"), (254, "h"),
    (256, "f"), (260, "f"),
    (264, "f"), (268, "f"), (272, "f"), (276, "f"), (280, "f"), (296, "f"), (312, "f"), (344, "i"),
)  # fmt: skip
_WORDS = (
    "", "0", "-1", "1", "3", "4", "64 64 24", "100000 100000 100000", "2147483647 2147483647 3",
    "1024 1024 1024", "nan",
    "(nan,0,0) (0,1,0) (0,0,1)", "none (0,1,0) (0,0,1)", "(1,0,0) (1,0,0) (0,0,1)",
    "(0,0,0) (0,0,0) (0,0,0)", "(1e30,0,0)",
    "left-posterior-superior", "right-anterior-superior", "scanner-xyz", "gzip", "raw", "ascii",
    "hex", "bzip2", "double",
    "signed char", "block", "unsigned long long int", "MET_DOUBLE", "MET_SHORT", "True", "False",
    "../../escape", "/dev/zero",
    "/etc/passwd", "LIST", "a%03d.raw 0 99999999 1", "a.raw", "pipe", "名前", "x" * 10000, "1e400",
)  # fmt: skip


def mutate_nifti(seeds: Path, folder: Path, rng: random.Random, names: tuple[str, ...]) -> Path:
    """A NIfTI file in which something is wrong."""
    name = rng.choice(names)
    data = (seeds / "volumes" / name).read_bytes()
    if name.endswith(".gz") and rng.random() < 0.4:
        return _put(folder / name, mutate_bytes(data, rng, head=200))
    plain = bytearray(gzip.decompress(data) if name.endswith(".gz") else data)
    act = rng.randrange(4)
    if act == 0:
        plain = bytearray(mutate_bytes(bytes(plain), rng, head=352))
    elif act == 1:
        _set_voxels(plain, rng)
    if act > 0:
        for _ in range(rng.choice([1, 1, 2, 4]) if act > 1 else 0):
            _set_field(plain, rng)
    content = bytes(plain)
    if name.endswith(".gz"):
        content = gzip.compress(content, 1)
        if rng.random() < 0.1:
            content += b"".join([gzip.compress(bytes(1 << 24), 9)] * rng.choice([2, 600]))
    return _put(folder / name, content)


def _set_field(plain: bytearray, rng: random.Random) -> None:
    place, form = rng.choice(_FIELDS)
    if form == "f":
        struct.pack_into("<f", plain, place, rng.choice(_FLOATS))
    elif place == 70:
        struct.pack_into("<h", plain, place, rng.choice(_KINDS))
    elif form == "h":
        struct.pack_into("<h", plain, place, rng.choice(_SHORTS))
    else:
        plain[place] = rng.randrange(256)
    if rng.random() < 0.1:
        struct.pack_into("<8h", plain, 40, 3, *rng.choice([(32767, 32767, 32767), (2000, 2000, 500)]), 1, 1, 1, 1)


def _set_voxels(plain: bytearray, rng: random.Random) -> None:
    """Not-a-numbers, infinities and values far from Hounsfield units, in a few voxels or in all."""
    (kind,) = struct.unpack_from("<h", plain, 70)
    size = {16: 4, 4: 2}.get(kind, 1)
    values = [struct.pack("<f", value) for value in _FLOATS] if size == 4 else [rng.randbytes(size) for _ in range(3)]
    count = (len(plain) - 352) // size
    many = rng.random() < 0.3
    for _ in range(1 if many else rng.choice([1, 50, 2000])):
        place = 352 + size * rng.randrange(count)
        plain[place : place + size] = rng.choice(values)
    if many:
        plain[352:] = rng.choice(values) * count


def mutate_nrrd(seeds: Path, folder: Path, rng: random.Random, names: tuple[str, ...]) -> Path:
    """A NRRD or MetaImage file in which something is wrong; a detached header comes with its data."""
    name = rng.choice(names)
    data = (seeds / "volumes" / name).read_bytes()
    for other in (seeds / "volumes").glob(f"{name.rsplit('.', 1)[0]}*.*raw*"):
        _put(folder / other.name, other.read_bytes())
    if rng.random() < 0.3:
        return _put(folder / name, mutate_bytes(data, rng, head=400))
    header, mark, body = _header(data)
    for _ in range(rng.choice([1, 1, 2, 4])):
        header = _change_line(header, rng)
    if rng.random() < 0.1 and body:
        body = body[: rng.randrange(len(body))]
    return _put(folder / name, header + mark + body)


def _header(data: bytes) -> tuple[bytes, bytes, bytes]:
    place = data.find(b"\n\n")
    if data.startswith(b"NRRD") and place >= 0:
        return data[: place + 1], b"\n", data[place + 2 :]
    found = re.search(rb"ElementDataFile[^\n]*\n", data)
    end = found.end() if found else len(data)
    return data[:end], b"", data[end:]


def _change_line(header: bytes, rng: random.Random) -> bytes:
    lines = header.split(b"\n")
    place = rng.randrange(max(len(lines) - 1, 1))
    line, act = lines[place], rng.randrange(6)
    separator = b" = " if b" = " in line else b": "
    key, found, value = line.partition(separator)
    if act == 0:
        del lines[place]
    elif act == 1:
        lines.insert(place, line)
    elif act == 2 and found:
        words = value.split(b" ")
        words[rng.randrange(len(words))] = rng.choice(_WORDS).encode()
        lines[place] = key + separator + b" ".join(words)
    elif act == 3:
        more = ("data file", "line skip", "byte skip", "encoding", "endian", "kinds", "old min", "space units")
        lines.insert(place, f"{rng.choice(more)}: {rng.choice(_WORDS)}".encode())
    elif found:
        lines[place] = key + separator + rng.choice(_WORDS).encode()
    else:
        lines[place] = mutate_bytes(line, rng)
    return b"\n".join(lines)


def _put(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path
