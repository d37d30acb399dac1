"""Finding image files: a folder in any disorder, single files, several of both."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError
from ..progress import Progress
from .dicom import NotCt, Preamble, Slice, preamble, read_slices
from .study import STUDY_FILE
from .volume import is_volume_file

MAX_VOLUME_FILES = 32
REVIEW_FILE = "review.json"


@dataclass(frozen=True)
class Sources:
    """What a source holds.

    Attributes:
        slices: CT images of all DICOM files.
        volume_files: NIfTI, NRRD and MetaImage files.
        other_modalities: Modalities of DICOM images that are not CT.
        without_pixels: How many DICOM files hold no image (reports, segmentations, directories).
        files: How many files were looked at.
    """

    slices: tuple[Slice, ...]
    volume_files: tuple[Path, ...]
    other_modalities: frozenset[str]
    without_pixels: int
    files: int


def find_sources(paths: Sequence[Path], leave_out: Path | None = None, progress: Progress | None = None) -> Sources:
    """Look through files and folders (nested; links to folders are followed once) for CT images.

    Args:
        paths: Files and folders.
        leave_out: Folder that is not entered (where results will go).
        progress: Called with the fraction done.

    Raises:
        InputError: A path does not exist or cannot be read, or a DICOM file is truncated or damaged.
        GeometryError: A file announces more than can be held.
    """
    files = sorted({path.resolve() if path.is_symlink() else path: path for path in _files(paths, leave_out)}.values())
    slices: list[Slice] = []
    volumes: list[Path] = []
    modalities: set[str] = set()
    without_pixels = 0
    for count, file in enumerate(files):
        if progress and count % 50 == 0:
            progress(count / len(files), "reading headers")
        if is_volume_file(file):
            volumes.append(file)
            continue
        content = _dicom_content(file, f"File {count + 1} of {len(files)} (in the order of their paths)")
        if isinstance(content, NotCt):
            known = re.fullmatch("[A-Z]{2,6}", content.modality)  # a damaged file can hold any text there
            modalities |= {content.modality if known else "unknown"} if content.is_image else set()
            without_pixels += not content.is_image
        else:
            slices.extend(content)
    return Sources(tuple(slices), tuple(volumes), frozenset(modalities), without_pixels, len(files))


def _dicom_content(file: Path, what: str) -> tuple[Slice, ...] | NotCt:
    kind = preamble(file)
    if kind is Preamble.NONE:
        return ()
    if kind is Preamble.DICOM:
        return read_slices(file, what)
    try:
        content = read_slices(file, what)
    except InputError:
        return ()  # something else that happens to begin like DICOM
    return () if isinstance(content, NotCt) and not content.modality else content


def _files(paths: Sequence[Path], leave_out: Path | None) -> Iterator[Path]:
    excluded = leave_out.resolve() if leave_out is not None else None
    seen: set[tuple[int, int]] = set()
    for path in paths:
        if path.is_dir():
            yield from _walk(path.resolve(), excluded, seen)
        elif path.is_file():
            yield path.parent.resolve() / path.name  # a link keeps the name that was chosen for it
        else:
            raise InputError("There is no such file or folder as one of the sources that were given.")


def _walk(folder: Path, excluded: Path | None, seen: set[tuple[int, int]]) -> Iterator[Path]:
    pending = [folder]
    while pending:
        current = pending.pop()
        try:
            status = current.stat()
            if (status.st_dev, status.st_ino) in seen or current.resolve() == excluded:
                continue
            seen.add((status.st_dev, status.st_ino))
            with os.scandir(current) as entries:
                listed = [entry for entry in entries if not entry.name.startswith(".")]
        except OSError as error:
            raise InputError(
                f"A folder of the source cannot be read ({error.strerror}); check the permissions."
            ) from error
        if current != folder and any(entry.name in (STUDY_FILE, REVIEW_FILE) for entry in listed):
            continue  # an imported study or a review that lies among the images
        pending.extend(Path(entry.path) for entry in listed if entry.is_dir())
        yield from (Path(entry.path) for entry in listed if entry.is_file())
