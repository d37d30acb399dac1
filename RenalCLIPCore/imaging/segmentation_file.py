"""A segmentation that was made elsewhere: read, checked and put onto the study's grid."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import GridMismatchError, InputError, NoKidneyError
from .mask_labels import CYST, KIDNEY, TUMOUR, name_kind
from .volume import Geometry, Volume, read_volume
from .volume_header import native_silence

_KINDS = {"kidney": KIDNEY, "tumour": TUMOUR, "mass": TUMOUR, "cyst": CYST}
_WHAT = "The segmentation"
_CONVENTION = "0 background, 1 kidney, 2 tumour, 3 cyst (the KiTS convention)"


@dataclass(frozen=True)
class Segmentation:
    """Kidney, tumour and cyst masks.

    Attributes:
        labels: uint8: 0 background, 1 kidney, 2 tumour, 3 cyst.
        source: ``model`` or ``file``.
        model: Name of the segmentation model; empty for a file.
        sha256: Hash over the model's files, or of the file.
        notes: What was done or should be known.
    """

    labels: Volume
    source: str
    model: str
    sha256: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Origin:
    """What a host remembers of masks that a model made, to be given with them when they come back as a file.

    Attributes:
        model: Name of the segmentation model.
        sha256: Hash over the model's files.
        labels_sha256: :func:`labels_hash` of the masks as the model made them.
        notes: What the model's run had to say.
    """

    model: str
    sha256: str
    labels_sha256: str
    notes: tuple[str, ...] = ()


def origin_of(made: Segmentation) -> Origin:
    """What to remember of a model's masks."""
    return Origin(made.model, made.sha256, labels_hash(made.labels), made.notes)


def recognised(given: Segmentation, origin: Origin) -> Segmentation:
    """A file's masks as the model's where they are still what it made; else the file's, which a note tells."""
    if labels_hash(given.labels) == origin.labels_sha256:
        return Segmentation(given.labels, "model", origin.model, origin.sha256, origin.notes)
    note = f"The masks were made by {origin.model} and changed since."
    return replace(given, notes=(*given.notes, note))


def labels_hash(labels: Volume) -> str:
    """SHA-256 of the labels along the patient's axes, however they are stored."""
    array = np.ascontiguousarray(labels.canonical().array)
    return hashlib.sha256(f"{array.dtype} {array.shape}".encode() + array.tobytes()).hexdigest()


def load_segmentation(path: Path, reference: Geometry) -> Segmentation:
    """Read a segmentation file (NIfTI, NRRD, MetaImage, or a Slicer ``.seg.nrrd`` of one layer).

    Values are 0 background, 1 kidney, 2 tumour, 3 cyst (as in KiTS), also stored as floats. In a ``.seg.nrrd`` the
    segments' names decide: kidney, tumour or mass, cyst. On another grid it is resampled (nearest neighbour), which
    a note tells.

    Args:
        path: The file.
        reference: Grid of the result.

    Raises:
        InputError: Not readable, not one value per voxel, or unknown values or segment names.
        GridMismatchError: Its foreground lies outside the reference volume.
        NoKidneyError: It holds no kidney.
    """
    stored = read_volume(path, _WHAT)
    segments = slicer_segments(path)
    array = _named(stored.array, segments) if segments else _checked(stored.array)
    labels, notes = _onto(Volume(array, stored.geometry), reference)
    if not (labels.array == KIDNEY).any():
        raise NoKidneyError(f"{_WHAT} holds no kidney; the values must be {_CONVENTION}.")
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return Segmentation(labels, "file", "", digest, notes)


def slicer_segments(path: Path) -> dict[int, str]:
    """Segment names by label value of a Slicer ``.seg.nrrd``; empty for any other file.

    Raises:
        InputError: Its segments overlap (several layers).
    """
    import SimpleITK as sitk

    if not path.name.lower().endswith(".seg.nrrd"):
        return {}
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    with native_silence():
        reader.ReadImageInformation()
    try:
        header = {key: reader.GetMetaData(key) for key in reader.GetMetaDataKeys()}
    except (TypeError, RuntimeError) as error:  # keys that are no text
        raise InputError(f"{_WHAT} has a damaged segment table; export it from Slicer as a label map.") from error
    layers = {value for key, value in header.items() if key.endswith("_Layer")}
    if len(layers) > 1:
        raise InputError(f"{_WHAT} holds overlapping segments; export it from Slicer as one label map.")
    names = {key.removesuffix("_Name"): value for key, value in header.items() if key.endswith("_Name")}
    try:
        return {int(header[f"{key}_LabelValue"]): name for key, name in names.items() if key.startswith("Segment")}
    except (KeyError, ValueError) as error:
        raise InputError(f"{_WHAT} has a damaged segment table; export it from Slicer as a label map.") from error


def _named(array: npt.NDArray[Any], segments: dict[int, str]) -> npt.NDArray[np.uint8]:
    meaning = {value: _KINDS.get(name_kind(name), 0) for value, name in segments.items()}
    unknown = sorted(segments[value] for value, label in meaning.items() if not label)
    if unknown:
        raise InputError(
            f"The segment {unknown[0]!r} is not known; name the segments kidney, tumour and cyst, or remove it."
        )
    labels = np.zeros(array.shape, np.uint8)
    for value, label in meaning.items():
        labels[array == value] = label
    return labels


def _checked(array: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    values = np.unique(array)
    if not set(values.tolist()) <= {0, KIDNEY, TUMOUR, CYST}:
        shown = ", ".join(f"{value:g}" for value in values[:8])
        raise InputError(f"{_WHAT} holds the values {shown}; expected are {_CONVENTION}.")
    return array.astype(np.uint8)


def _onto(labels: Volume, reference: Geometry) -> tuple[Volume, tuple[str, ...]]:
    if labels.geometry.same_grid(reference, 0.01):
        return Volume(labels.array, reference), ()
    resampled = labels.resample_to(reference, nearest=True, fill=0)
    before = int(np.count_nonzero(labels.array)) * labels.geometry.voxel_volume_ml
    after = int(np.count_nonzero(resampled.array)) * reference.voxel_volume_ml
    if before and not after:
        raise GridMismatchError(
            "The segmentation does not overlap the study in patient space; give one that was drawn on this study."
        )
    notes = ["The segmentation was resampled from another grid (nearest neighbour)."]
    if after < 0.95 * before:
        notes.append(f"{100 * (1 - after / before):.0f} % of the segmented volume lies outside the study.")
    return Volume(resampled.array.astype(np.uint8), reference), tuple(notes)
