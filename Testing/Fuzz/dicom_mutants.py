"""Mutants of DICOM folders: elements of the files, their bytes, and what else lies in the folder."""

from __future__ import annotations

import functools
import os
import random
import struct
import zlib
from pathlib import Path

from .trees import mutate_bytes

VARIANTS = ("plain", "plain", "plain", "rle", "jpegls", "jpeg2000", "enhanced")
_LONG = (b"OB", b"OW", b"SQ", b"UN", b"UT", b"OF", b"UC", b"UR", b"OD", b"OL")
_SYNTAXES = (
    "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99",
    "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.4.80",
    "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91", "1.2.840.10008.1.2.4.102", "1.2.840.10008.1.2.5",
    "1.2.840.10008.1.2.4.201", "1.2.3.4", "", "nonsense",
)  # fmt: skip
_TEXTS = (
    b"", b"NaN", b"inf", b"-inf", b"1e400", b"-1", b"0", b"1", b"99999999999999999999", b"1\\2", b"0\\0\\0",
    b"1\\0\\0\\0\\1\\0", b"0\\0\\0\\0\\0\\0", b"1e30\\1e30\\1e30", b"NaN\\NaN\\NaN",
    b"1\\0\\0\\1\\0\\0", b"\xff\xfe\xfd",
    b"\\" * 40, b"a" * 60000, b"../../escape", b"19991332", b"99:99", b"\x00", "名前^患者".encode(),
    b"ISO 2022 IR 149", b"0.0001",
    b"PET", b"MR", b"1.2.840.10008.5.1.4.1.1.7", b"LOCALIZER", b"50\\50", b"1000000", b"12.5",
)  # fmt: skip
_NUMBERS = (0, 1, 2, 7, 8, 12, 16, 32, 64, 255, 4096, 8192, 32767, 32768, 65535)

Element = tuple[bytes, bytes, bytes]


def mutate_dicom(seeds: Path, folder: Path, rng: random.Random) -> None:
    """A DICOM folder in which something is wrong."""
    source = seeds / "dicom" / rng.choice(VARIANTS)
    folder.mkdir(parents=True)
    everywhere = rng.random() < 0.4
    draw = rng.randrange(1 << 30)
    files = sorted(source.iterdir())
    chosen = set(files if everywhere else rng.sample(files, k=min(len(files), rng.choice([1, 1, 2, 5]))))
    by_bytes = rng.random() < 0.35
    for file in files:
        data = file.read_bytes()
        if file in chosen:
            own = random.Random(draw)  # the same change in every file
            data = mutate_bytes(data, own, head=2000) if by_bytes else mutate_elements(data, own)
        (folder / file.name).write_bytes(data)
    if rng.random() < 0.2:
        _disorder(folder, rng)


def parse(data: bytes) -> tuple[bytes, list[Element]]:
    """Prefix and top-level elements (tag, VR, value) of an explicit little-endian file."""
    place, found = 132, []
    while place + 8 <= len(data):
        tag, kind = data[place : place + 4], data[place + 4 : place + 6]
        if kind in _LONG:
            (length,) = struct.unpack_from("<I", data, place + 8)
            start = place + 12
        else:
            (length,) = struct.unpack_from("<H", data, place + 6)
            start = place + 8
        if length == 0xFFFFFFFF:
            length = len(data) - start
        found.append((tag, kind, data[start : start + length]))
        place = start + length
    return data[:132], found


def unparse(prefix: bytes, elements: list[Element], lie: tuple[int, int] | None = None) -> bytes:
    """Bytes of elements; ``lie`` gives one of them a false length."""
    parts = [prefix]
    for number, (tag, kind, value) in enumerate(elements):
        length = len(value)
        encapsulated = tag == b"\xe0\x7f\x10\x00" and value[:4] == b"\xfe\xff\x00\xe0"
        if lie is not None and lie[0] == number:
            length = lie[1]
        if kind in _LONG:
            parts.append(tag + kind + b"\0\0" + struct.pack("<I", 0xFFFFFFFF if encapsulated else length & 0xFFFFFFFF))
        else:
            parts.append(tag + kind + struct.pack("<H", length & 0xFFFF))
        parts.append(value)
    return b"".join(parts)


def mutate_elements(data: bytes, rng: random.Random) -> bytes:
    """Elements changed, removed, doubled, given false lengths or types, or joined by private and nested ones."""
    prefix, elements = parse(data)
    lie = None
    for _ in range(rng.choice([1, 1, 2, 4])):
        place = rng.randrange(len(elements))
        tag, kind, value = elements[place]
        act = rng.randrange(12)
        if act == 0:
            del elements[place]
        elif act == 1:
            elements.insert(place, (tag, kind, value))
        elif act == 2:
            lie = (place, rng.choice([0, 1, 0xFFFE, 0xFFFFFFFE, 0x7FFFFFFF, len(value) + 2, max(len(value) - 2, 0)]))
        elif act == 3:
            elements[place] = (tag, rng.choice([b"UN", b"SQ", b"DS", b"US", b"OB", b"ZZ", b"FD", b"AT"]), value)
        elif act == 4:
            elements[place:place] = _private(rng)
        elif act == 5:
            elements = [_other_syntax(item, rng) for item in elements]
        elif act == 6 and kind == b"OW":
            elements[place] = (tag, kind, mutate_bytes(value, rng, head=200))
        elif act == 7:
            return deflated(prefix, elements, rng)
        else:
            elements[place] = (tag, kind, _value(kind, value, rng))
    return unparse(prefix, elements, lie)


def deflated(prefix: bytes, elements: list[Element], rng: random.Random) -> bytes:
    """The file with everything after its meta group deflated; now and then a little file that inflates to gigabytes."""
    meta = [_other_syntax(item, rng, _SYNTAXES[3]) for item in elements if item[0][:2] == b"\x02\0"]
    body = unparse(b"", [item for item in elements if item[0][:2] != b"\x02\0"])
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = packer.compress(body)
    if rng.random() < 0.5:
        packed += packer.flush(zlib.Z_FULL_FLUSH) + _zeros() * rng.choice([4, 640])
    return unparse(prefix, meta) + packed + packer.flush()


@functools.cache
def _zeros() -> bytes:
    """16 MB of zeros, deflated so that the bytes can be repeated."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(bytes(1 << 24)) + packer.flush(zlib.Z_FULL_FLUSH)


def _value(kind: bytes, value: bytes, rng: random.Random) -> bytes:
    if kind in (b"US", b"SS"):
        return struct.pack("<H", rng.choice(_NUMBERS)) * rng.choice([1, 1, 1, 0, 2])
    if kind in (b"UL", b"FL", b"FD") or rng.random() < 0.2:
        return mutate_bytes(value, rng) if value else rng.randbytes(8)
    text = rng.choice(_TEXTS)
    return text if len(text) % 2 == 0 else text + b" "


def _other_syntax(item: Element, rng: random.Random, syntax: str | None = None) -> Element:
    if item[0] != b"\x02\0\x10\0":
        return item
    text = rng.choice(_SYNTAXES) if syntax is None else syntax
    return item[0], item[1], text.encode() + b"\0" * (len(text) % 2)


def _private(rng: random.Random) -> list[Element]:
    nested = b""
    for _ in range(rng.choice([1, 5, 3000])):
        item = b"\xfe\xff\x00\xe0" + struct.pack("<I", len(nested) & 0xFFFFFFFF) + nested
        nested = b"\x09\x00\x02\x10SQ\0\0" + struct.pack("<I", len(item) & 0xFFFFFFFF) + item
        if len(nested) > 200_000:
            break
    return [
        (b"\x09\0\x10\0", b"LO", b"MAKER OF SCANNER"),
        (b"\x09\0\x01\x10", b"UN", rng.randbytes(rng.choice([0, 7, 3000]))),
        (b"\x09\0\x03\x10", b"UT", nested),
    ]


def _disorder(folder: Path, rng: random.Random) -> None:
    act = rng.randrange(8)
    first = sorted(folder.iterdir())[0]
    if act == 0:
        (folder / "loop").symlink_to(folder, target_is_directory=True)
        (folder / "self").symlink_to(folder / "self")
    elif act == 1:
        os.mkfifo(folder / "pipe")
    elif act == 2:
        (folder / "empty").touch()
        (folder / "DICOMDIR").write_bytes(rng.randbytes(5000))
    elif act == 3:
        os.link(first, os.fsencode(folder) + b"/\xff\xfe-\xe5\x90\x8d")
    elif act == 4:
        (folder / "名前 with space").mkdir()
        first.rename(folder / "名前 with space" / "図 1")
    elif act == 5:
        (folder / "gone").symlink_to("/nonexistent/file")
        (folder / "zero").symlink_to("/dev/zero")
    elif act == 6:
        first.rename(folder / ("n" * 250))
    else:
        (folder / "study.json").write_text("{")
        (folder / "notes.nii").write_bytes(rng.randbytes(1000))
