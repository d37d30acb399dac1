"""DICOM CT files: cheap recognition, headers without pixels, stored values with the installed decoders.

A file gives one :class:`Slice` per image: one for an ordinary CT file, one per frame for an enhanced one. Nothing here
decides which slices belong together.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..errors import GeometryError, InputError, RenalCLIPError
from .dicom_limits import check_codestream, check_inflated, inflated_file
from .dicom_tags import READ_TAGS, FrameTags, moment_s, number, numbers, text, whole
from .volume import Float3
from .volume_header import MAX_VOXELS, native_silence

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

MAX_SIDE = 8192
CT_SOP_CLASSES = {
    "1.2.840.10008.5.1.4.1.1.2",
    "1.2.840.10008.5.1.4.1.1.2.1",
    "1.2.840.10008.5.1.4.1.1.2.2",
}
_NO_AGENT = {"", "NO", "NONE", "N", "OFF", "0", "NO CONTRAST", "WITHOUT", "OHNE", "KEIN", "KEINE", "NEIN", "SANS"}
_DEFLATED = "1.2.840.10008.1.2.1.99"
_IMPLICIT = "1.2.840.10008.1.2"
_UNCOMPRESSED = {_IMPLICIT, "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"}


@dataclass(frozen=True)
class Patient:
    """Whose image it is; only compared, and written nowhere unless a person asks for it."""

    name: str = field(repr=False)
    identifier: str = field(repr=False)
    birth_date: str = field(repr=False)
    study_date: str = field(repr=False)
    accession_number: str = field(repr=False)

    def differs(self, other: Patient) -> bool:
        """Whether the two cannot be one patient: another id, birth date, or family name (where both are known)."""
        pairs = (
            (self.identifier, other.identifier),
            (self.birth_date, other.birth_date),
            (_family(self.name), _family(other.name)),
        )
        return any(mine and theirs and mine != theirs for mine, theirs in pairs)


@dataclass(frozen=True)
class Instance:
    """What the images of one file share.

    Attributes:
        file: The file.
        ct_image: Whether the SOP class is that of a CT image (not, say, a secondary capture).
        contrast_agent: Name of the intravenous agent, ``""`` when the file names none.
        bolus_start_s: Start of the injection, in seconds on the clock of the acquisition times.
    """

    file: Path
    patient: Patient
    ct_image: bool
    study_uid: str
    series_uid: str
    frame_of_reference_uid: str
    series_number: int | None
    description: str = field(repr=False)
    protocol: str = field(repr=False)
    contrast_agent: str = field(repr=False)
    bolus_start_s: float | None
    rows: int
    columns: int
    frames: int


@dataclass(frozen=True)
class Slice:
    """One CT image: its place in the patient and what tells it apart from other images of the series.

    Attributes:
        frame: Number of the frame in its file, from 0.
        position_lps_mm: Centre of the first voxel; None where the file gives none.
        row_direction: Unit vector along a row (growing column), LPS.
        column_direction: Unit vector along a column (growing row), LPS.
        spacing_mm: In-plane spacing (along a row, along a column).
        acquired_s: Acquisition time, in seconds since a fixed day.
        slope: Rescale slope; None where the file gives none.
    """

    instance: Instance
    frame: int
    position_lps_mm: Float3 | None
    row_direction: Float3
    column_direction: Float3
    spacing_mm: tuple[float, float]
    thickness_mm: float
    image_type: tuple[str, ...]
    kernel: str
    instance_number: int
    acquisition_number: int | None
    temporal_position: int | None
    acquired_s: float | None
    content_s: float | None
    trigger: float | None
    slope: float | None
    intercept: float | None
    rescale_type: str

    @property
    def normal(self) -> Float3:
        """Unit normal of the image plane (row direction x column direction), LPS."""
        value = np.cross(self.row_direction, self.column_direction)
        return float(value[0]), float(value[1]), float(value[2])


@dataclass(frozen=True)
class NotCt:
    """A DICOM file that is no CT image: its modality, and whether it holds pixels."""

    modality: str
    is_image: bool


class Preamble(StrEnum):
    """What a file's first bytes say."""

    DICOM = "the DICOM prefix"
    PERHAPS = "no prefix, but what could be a first DICOM element"
    NONE = "no DICOM"


def preamble(path: Path) -> Preamble:
    """What the first bytes of a file say; reads 140 bytes at most."""
    try:
        with path.open("rb") as stream:
            head = stream.read(140)
    except OSError as error:
        raise InputError(f"A file of the source cannot be read ({error.strerror}); check the permissions.") from error
    if head[128:132] == b"DICM":
        return Preamble.DICOM
    if len(head) < 16 or head[:2] not in (b"\x08\x00", b"\x02\x00") or head[2:4] > b"\x70\x00":
        return Preamble.NONE
    explicit = head[4:6].isalpha() and head[4:6].isupper()
    return Preamble.PERHAPS if explicit or int.from_bytes(head[4:8], "little") < 256 else Preamble.NONE


def read_slices(path: Path, what: str = "The file") -> tuple[Slice, ...] | NotCt:
    """Headers of a DICOM file's CT images, without pixels.

    Args:
        path: The file.
        what: What to call it in messages; not its name, which can hold a patient's.

    Raises:
        InputError: The file is truncated or damaged.
        GeometryError: It announces more than can be held.
    """
    try:
        with _quiet(), path.open("rb") as stream:
            size = path.stat().st_size
            check_inflated(stream, size, what)
            dataset, left = _read_header(stream, size)
            return _slices(dataset, path, left, what)
    except RenalCLIPError:
        raise
    except Exception as error:  # the third-party reader raises errors of any type on damaged files
        raise InputError(f"{what} is a truncated or damaged DICOM file; copy it again or remove it.") from error


def read_pixels(path: Path, frames: Sequence[int], what: str = "the DICOM file") -> list[npt.NDArray[Any]]:
    """Stored values (rows, columns) of a file's frames, in the order asked for; ``what`` as for read_slices.

    Raises:
        InputError: The pixels are truncated, damaged, or compressed in a way that no installed decoder reads.
        GeometryError: They unpack to another size than the header says.
    """
    import pydicom
    from pydicom.pixels.utils import iter_pixels

    with _quiet(), native_silence():
        try:
            inflated_file(path, what)
            dataset = pydicom.dcmread(path, force=True)
            check_codestream(dataset, what)
            if int(dataset.get("NumberOfFrames") or 1) == 1:
                return [dataset.pixel_array]
            return list(iter_pixels(dataset, indices=list(frames)))
        except RenalCLIPError:
            raise
        except Exception as error:  # as above, and each decoder its own
            raise InputError(
                f"The pixels of {what} cannot be decoded; the file may be truncated or damaged, or compressed in "
                "a way that this installation cannot read. Copy it again, or convert it to uncompressed DICOM."
            ) from error


def content_hash(values: npt.NDArray[Any]) -> str:
    """A hash of an array's values."""
    return hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()


@contextmanager
def _quiet() -> Iterator[None]:
    # Files from the field break value rules that do not matter here; what matters is checked below.
    from pydicom.config import disable_value_validation

    with warnings.catch_warnings(), disable_value_validation():
        warnings.simplefilter("ignore")
        yield


def _read_header(stream: Any, size: int) -> tuple[Dataset, int | None]:
    """The header, and how many bytes are left for the pixels (None where that cannot be said)."""
    import pydicom

    dataset = pydicom.dcmread(stream, stop_before_pixels=True, specific_tags=list(READ_TAGS), force=True)
    syntax = str(dataset.file_meta.get("TransferSyntaxUID", ""))
    if syntax == _DEFLATED:
        return dataset, None
    return dataset, size - stream.tell()


def _slices(dataset: Dataset, path: Path, left: int | None, what: str) -> tuple[Slice, ...] | NotCt:
    modality = text(dataset, "Modality")
    sop_class = text(dataset, "SOPClassUID") or str(dataset.file_meta.get("MediaStorageSOPClassUID", ""))
    rows, columns = whole(dataset, "Rows"), whole(dataset, "Columns")
    if modality != "CT" and sop_class not in CT_SOP_CLASSES:
        return NotCt(modality, rows is not None)
    if rows is None or columns is None:
        if sop_class and sop_class not in CT_SOP_CLASSES:
            return NotCt("", False)
        raise EOFError("no image size")
    frames = max(whole(dataset, "NumberOfFrames") or 1, 1)
    _check_size(dataset, what, (rows, columns, frames), left)
    if (whole(dataset, "SamplesPerPixel") or 1) != 1:
        sop_class = "colour"
    instance = _instance(dataset, path, sop_class in CT_SOP_CLASSES | {""}, (rows, columns, frames))
    return tuple(_slice(FrameTags(dataset, frame), instance, frame) for frame in range(frames))


def _check_size(dataset: Dataset, what: str, size: tuple[int, int, int], left: int | None) -> None:
    rows, columns, frames = size
    if not (0 < rows <= MAX_SIDE and 0 < columns <= MAX_SIDE) or rows * columns * frames > MAX_VOXELS:
        raise GeometryError(
            f"{what} announces {columns} x {rows} x {frames} voxels, more than can be held; check the file."
        )
    if left is None:
        return
    syntax = str(dataset.file_meta.get("TransferSyntaxUID", ""))
    bits = whole(dataset, "BitsAllocated") or 16
    samples = whole(dataset, "SamplesPerPixel") or 1
    plain = syntax in _UNCOMPRESSED or not syntax
    needed = rows * columns * frames * samples * bits // 8 if plain else 8 * frames
    element = 8 if syntax == _IMPLICIT or not syntax else 12  # the pixel element's own tag and length
    if left < needed + element:
        raise EOFError("the pixels end early")


def _instance(dataset: Dataset, path: Path, ct_image: bool, size: tuple[int, int, int]) -> Instance:
    patient = Patient(
        text(dataset, "PatientName"),
        text(dataset, "PatientID"),
        text(dataset, "PatientBirthDate"),
        text(dataset, "StudyDate"),
        text(dataset, "AccessionNumber"),
    )
    day = text(dataset, "AcquisitionDate") or text(dataset, "AcquisitionDateTime")[:8] or text(dataset, "StudyDate")
    start = text(dataset, "ContrastBolusStartTime")
    return Instance(
        file=path,
        patient=patient,
        ct_image=ct_image,
        study_uid=text(dataset, "StudyInstanceUID"),
        series_uid=text(dataset, "SeriesInstanceUID"),
        frame_of_reference_uid=text(dataset, "FrameOfReferenceUID"),
        series_number=whole(dataset, "SeriesNumber"),
        description=text(dataset, "SeriesDescription"),
        protocol=text(dataset, "ProtocolName"),
        contrast_agent=_contrast_agent(dataset),
        bolus_start_s=moment_s(day, start) if start else None,
        rows=size[0],
        columns=size[1],
        frames=size[2],
    )


def _contrast_agent(dataset: Dataset) -> str:
    route = text(dataset, "ContrastBolusRoute").upper()
    agent = text(dataset, "ContrastBolusAgent")
    for item in dataset.get("ContrastBolusAgentSequence") or ():
        agent = agent or text(item, "CodeMeaning") or "agent"
    oral = any(word in route or word in agent.upper() for word in ("ORAL", "RECTAL", "PER OS"))
    none = agent.strip().upper() in (
        "",
        "NO",
        "NONE",
        "N",
        "OFF",
        "0",
        "NO CONTRAST",
        "OHNE",
        "KEIN",
        "KEINE",
        "WITHOUT",
    )
    return "" if oral or none else agent


def _slice(tags: FrameTags, instance: Instance, frame: int) -> Slice:
    orientation = numbers(tags.value("PlaneOrientationSequence", "ImageOrientationPatient"), 6)
    position = numbers(tags.value("PlanePositionSequence", "ImagePositionPatient"), 3)
    spacing = numbers(tags.value("PixelMeasuresSequence", "PixelSpacing"), 2)
    known = orientation is not None and position is not None and spacing is not None and min(spacing) > 0
    row, column = _unit_axes(orientation) if orientation else ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))
    day, clock = tags.acquisition_moment()
    return Slice(
        instance=instance,
        frame=frame,
        position_lps_mm=(position[0], position[1], position[2]) if known and position else None,
        row_direction=row,
        column_direction=column,
        spacing_mm=(spacing[1], spacing[0]) if spacing else (0.0, 0.0),
        thickness_mm=number(tags.value("PixelMeasuresSequence", "SliceThickness")) or 0.0,
        image_type=tags.image_type(),
        kernel=tags.kernel(),
        instance_number=whole(tags.dataset, "InstanceNumber") or 0,
        acquisition_number=tags.acquisition_number(),
        temporal_position=tags.temporal_position(),
        acquired_s=moment_s(day, clock),
        content_s=moment_s(text(tags.dataset, "ContentDate"), text(tags.dataset, "ContentTime")),
        trigger=tags.trigger(),
        slope=number(tags.value("PixelValueTransformationSequence", "RescaleSlope")),
        intercept=number(tags.value("PixelValueTransformationSequence", "RescaleIntercept")),
        rescale_type=str(tags.value("PixelValueTransformationSequence", "RescaleType") or "").upper(),
    )


def _unit_axes(orientation: Sequence[float]) -> tuple[Float3, Float3]:
    row, column = np.asarray(orientation[:3], dtype=float), np.asarray(orientation[3:], dtype=float)
    if min(np.linalg.norm(row), np.linalg.norm(column)) < 0.5:
        raise ValueError("orientation without direction")
    row /= np.linalg.norm(row)
    column -= row * (row @ column)
    if np.linalg.norm(column) < 0.5:
        raise ValueError("image axes are not orthogonal")
    column /= np.linalg.norm(column)
    return (float(row[0]), float(row[1]), float(row[2])), (float(column[0]), float(column[1]), float(column[2]))


def _family(name: str) -> str:
    return "".join(letter for letter in name.split("^")[0].upper() if letter.isalnum())
