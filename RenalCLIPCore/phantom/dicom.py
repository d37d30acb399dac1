"""A phantom study as a folder of DICOM CT series, tidy or in the disorder that archives deliver."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ConfigurationError, OutputError
from ..imaging.study import Phase
from ..imaging.volume import Geometry, Volume
from .dicom_fields import decimals, set_pixels
from .enhanced import enhanced_image
from .grids import study_geometry
from .patient import PhantomPatient
from .render import TissueMap, render_phase
from .shapes import Array

if TYPE_CHECKING:
    from pydicom import Dataset

TRANSFER_SYNTAXES: Mapping[str, str] = {
    "explicit": "1.2.840.10008.1.2.1",
    "implicit": "1.2.840.10008.1.2",
    "deflated": "1.2.840.10008.1.2.1.99",
    "rle": "1.2.840.10008.1.2.5",
    "jpegls": "1.2.840.10008.1.2.4.80",
    "jpeg2000": "1.2.840.10008.1.2.4.90",
}
CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
DELAYS_S: Mapping[Phase, float] = {Phase.N: 0.0, Phase.A: 34.0, Phase.V: 85.0, Phase.D: 300.0}
_NAMES = {Phase.N: "NATIVE", Phase.A: "ART", Phase.V: "PORT VEN", Phase.D: "DELAY"}
_START_S = 9 * 3600 + 12 * 60
_INJECTION_S = _START_S + 150


@dataclass(frozen=True)
class DicomOptions:
    """How a study is written.

    Attributes:
        descriptions: ``"clear"``; ``"garbled"`` (series descriptions that say nothing of the phase); or ``"none"``
            (no series description and no protocol name).
        contrast_tags: Whether contrast agent and its start time are written.
        times: Whether acquisition, content and series times are written.
        one_folder: All files in one folder instead of one folder per series.
        one_series: All phases under one series UID and number (one mixed series).
        reverse: Instance numbers and files run from head to feet.
        transfer_syntax: A key of ``TRANSFER_SYNTAXES``.
        enhanced: One Enhanced CT multi-frame file per phase.
        gantry_tilt_deg: Slices tilted about the left-right axis, stacked along z.
        missing_slice, duplicate_slice: Index of a slice left out, or written twice, in every series.
        duplicate_differs: Whether the second copy has other pixels.
        localiser: Whether a localiser series comes along.
        signed: Signed pixels with intercept 0; else unsigned with intercept -1024.
        suffix: Of the file names, ``""`` or ``".dcm"``.
        patient_name, patient_id: Fictitious.
    """

    descriptions: str = "clear"
    contrast_tags: bool = True
    times: bool = True
    one_folder: bool = False
    one_series: bool = False
    reverse: bool = False
    transfer_syntax: str = "explicit"
    enhanced: bool = False
    gantry_tilt_deg: float = 0.0
    missing_slice: int | None = None
    duplicate_slice: int | None = None
    duplicate_differs: bool = False
    localiser: bool = True
    signed: bool = False
    suffix: str = ""
    patient_name: str = "PHANTOM^RENAL"
    patient_id: str = "PHANTOM"

    def __post_init__(self) -> None:
        if self.transfer_syntax not in TRANSFER_SYNTAXES:
            raise ConfigurationError(
                f"There is no transfer syntax {self.transfer_syntax!r}; choose one of {', '.join(TRANSFER_SYNTAXES)}."
            )
        if self.descriptions not in ("clear", "garbled", "none"):
            raise ConfigurationError("Series descriptions can be 'clear', 'garbled' or 'none'.")


@dataclass(frozen=True)
class _Series:
    """What the images of one series have in common."""

    phase: Phase
    number: int
    seed: int
    delay_s: float
    spacing_mm: tuple[float, float, float]
    options: DicomOptions

    def uid(self, *parts: object) -> str:
        from pydicom.uid import generate_uid

        return str(generate_uid(entropy_srcs=["renalclip phantom", str(self.seed), *(str(p) for p in parts)]))

    @property
    def series_uid(self) -> str:
        return self.uid("series", "mixed" if self.options.one_series else self.phase.value)

    @property
    def time_s(self) -> float:
        return _START_S if self.phase is Phase.N else _INJECTION_S + self.delay_s


def write_phantom_study(
    patient: PhantomPatient,
    folder: Path,
    phases: Iterable[Phase] = tuple(Phase),
    *,
    geometry: Geometry | None = None,
    **options: Any,
) -> Path:
    """Render a patient's phases on one grid (a whole abdomen when None) and write them as DICOM."""
    grid = geometry or study_geometry(patient)
    tissues = TissueMap(patient, grid)
    volumes = {phase: render_phase(patient, phase, grid, patient.seed, tissues=tissues) for phase in phases}
    delays = {phase: patient.tissues.delay_s(phase) for phase in volumes}
    return write_dicom(volumes, folder, seed=patient.seed, delays_s=delays, **options)


def write_dicom(
    volumes: Mapping[Phase, Volume],
    folder: Path,
    *,
    seed: int = 0,
    delays_s: Mapping[Phase, float] | None = None,
    **options: Any,
) -> Path:
    """Write phases as CT series into a new folder, by atomic rename.

    Args:
        volumes: HU per phase, any grid with orthogonal axes; index k counts the slices.
        folder: Must not exist.
        seed: UIDs and file names depend on it and on nothing else.
        delays_s: Seconds from injection to each phase.
        **options: Fields of :class:`DicomOptions`.

    Raises:
        OutputError: The folder exists already or cannot be made.
    """
    chosen = DicomOptions(**options)
    if folder.exists():
        raise OutputError(f"{folder.name} exists already; choose another folder.")
    partial = folder.with_name(f".partial-{folder.name}")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        for number, (phase, volume) in enumerate(volumes.items(), 2):
            delay = (delays_s or DELAYS_S)[phase]
            number = 2 if chosen.one_series else number
            series = _Series(phase, number, seed, delay, volume.geometry.spacing_mm, chosen)
            for index, dataset in enumerate(_images(volume, series)):
                _save(dataset, partial, chosen, series.series_uid, index)
        if chosen.localiser and volumes:
            _save(_localiser(next(iter(volumes.values())), seed, chosen), partial, chosen, "localiser", 0)
        os.replace(partial, folder)
    except OSError as error:
        raise OutputError(f"The folder {folder.name} cannot be written: {error.strerror}.") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder


def _images(volume: Volume, series: _Series) -> Iterator[Dataset]:
    options = series.options
    slices = list(_tilted(volume, options.gantry_tilt_deg) if options.gantry_tilt_deg else _slices(volume))
    if options.duplicate_slice is not None:
        pixels, position, axes = slices[options.duplicate_slice]
        slices.insert(options.duplicate_slice, (pixels + int(options.duplicate_differs) * 25, position, axes))
    if options.missing_slice is not None:
        del slices[options.missing_slice]
    if options.reverse:
        slices.reverse()
    if options.enhanced:
        dataset = _common(series, 1)
        yield enhanced_image(dataset, slices, series.spacing_mm, series.uid("dimension", series.phase))
        return
    for number, (pixels, position, axes) in enumerate(slices, 1):
        yield _image(series, number, pixels, position, axes)


def _slices(volume: Volume) -> Iterator[tuple[Array, Array, Array]]:
    """Pixels (rows, columns), position of the first pixel, and (2, 3) directions of rows and columns, per slice."""
    axes = volume.geometry.direction_matrix[:, :2].T
    for k in range(volume.geometry.size[2]):
        yield volume.array[:, :, k].T, volume.geometry.lps((0, 0, k)), axes


def _tilted(volume: Volume, degrees: float) -> Iterator[tuple[Array, Array, Array]]:
    """Slices as a tilted gantry acquires them: each turned about the left-right axis, positions stacked along z."""
    geometry = volume.canonical().geometry
    angle = np.radians(degrees)
    turn = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
    middle = geometry.lps([(n - 1) / 2 for n in geometry.size])
    for k in range(geometry.size[2]):
        first = geometry.lps((0, 0, k))
        pivot = np.array([first[0], middle[1], first[2]])
        origin = pivot + turn @ (first - pivot)
        plane = Geometry.from_components((*geometry.size[:2], 1), geometry.spacing_mm, origin, turn)
        pixels = volume.resample_to(plane).array[:, :, 0].T
        yield np.rint(pixels).astype(np.int16), origin, turn[:, :2].T


def _image(series: _Series, number: int, pixels: Array, position: Array, axes: Array) -> Dataset:
    dataset = _common(series, number)
    dataset.SOPClassUID = CT_IMAGE
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.ImagePositionPatient = decimals(position)
    dataset.ImageOrientationPatient = decimals(axes)
    dataset.SliceLocation = decimals([position[2]])[0]
    spacing = series.spacing_mm
    dataset.PixelSpacing = decimals([spacing[1], spacing[0]])
    dataset.SliceThickness = decimals([spacing[2]])[0]
    if series.options.gantry_tilt_deg:
        dataset.GantryDetectorTilt = decimals([series.options.gantry_tilt_deg])[0]
    set_pixels(dataset, pixels, signed=series.options.signed)
    return dataset


def _common(series: _Series, number: int) -> Dataset:
    from pydicom import Dataset

    options = series.options
    d = Dataset()
    d.SpecificCharacterSet = "ISO_IR 100"
    d.SOPInstanceUID = series.uid("image", series.phase, number)
    d.StudyInstanceUID, d.SeriesInstanceUID = series.uid("study"), series.series_uid
    d.FrameOfReferenceUID, d.PositionReferenceIndicator = series.uid("frame"), ""
    d.PatientName, d.PatientID = options.patient_name, options.patient_id
    d.PatientBirthDate, d.PatientSex, d.PatientPosition = "", "O", "HFS"
    d.StudyDate = d.SeriesDate = d.AcquisitionDate = d.ContentDate = "20200115"
    d.StudyTime, d.StudyID, d.AccessionNumber, d.ReferringPhysicianName = _clock(_START_S), "1", "", ""
    d.StudyDescription, d.BodyPartExamined = "CT ABDOMEN MULTIPHASE", "ABDOMEN"
    d.Modality, d.Manufacturer, d.ManufacturerModelName = "CT", "RenalCLIP", "Digital phantom"
    d.KVP, d.XRayTubeCurrent, d.ConvolutionKernel, d.DataCollectionDiameter = "120", 220, "B30f", "500"
    d.SeriesNumber, d.AcquisitionNumber, d.InstanceNumber = series.number, "NAVD".index(series.phase) + 1, number
    _describe(d, series)
    if options.times:
        d.SeriesTime = d.AcquisitionTime = _clock(series.time_s)
        d.ContentTime = _clock(series.time_s + 0.05 * number)
    if options.contrast_tags and series.phase is not Phase.N:
        d.ContrastBolusAgent, d.ContrastBolusRoute, d.ContrastBolusVolume = "Iohexol 350", "IV", "110"
        d.ContrastBolusStartTime = _clock(_INJECTION_S)
        d.ContrastFlowRate = "4"
    return d


def _describe(dataset: Dataset, series: _Series) -> None:
    options = series.options
    if options.descriptions == "none":
        return
    thickness = f"{series.spacing_mm[2]:.1f}"
    clear = options.descriptions == "clear" and not options.one_series
    name = _NAMES[series.phase] if clear else "ABD"
    dataset.SeriesDescription = f"{name} {thickness} B30f" if clear else f"Abd {thickness} B30f {series.number + 3}/{7}"
    dataset.ProtocolName = "Abdomen multiphase"


def _localiser(volume: Volume, seed: int, options: DicomOptions) -> Dataset:
    """A coronal projection, as the scout that precedes every examination."""
    canonical = volume.canonical()
    geometry = canonical.geometry
    series = _Series(
        Phase.N, 1, seed, 0.0, geometry.spacing_mm, replace(options, contrast_tags=False, one_series=False)
    )
    d = _common(series, 1)
    d.SOPClassUID, d.ImageType = CT_IMAGE, ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    d.SOPInstanceUID, d.SeriesInstanceUID = series.uid("image", "localiser"), series.uid("series", "localiser")
    if options.descriptions != "none":
        d.SeriesDescription = "Topogram 0.6 T20f"
    if options.times:
        d.SeriesTime = d.AcquisitionTime = d.ContentTime = _clock(_START_S - 60)
    pixels = canonical.array.mean(axis=1).T[::-1]
    top = geometry.lps((0, geometry.size[1] // 2, geometry.size[2] - 1))
    d.ImagePositionPatient, d.ImageOrientationPatient = decimals(top), ["1", "0", "0", "0", "0", "-1"]
    d.PixelSpacing = decimals([geometry.spacing_mm[2], geometry.spacing_mm[0]])
    d.SliceThickness = "0.6"
    set_pixels(d, pixels, signed=options.signed)
    return d


def _save(dataset: Dataset, folder: Path, options: DicomOptions, series_uid: str, index: int) -> None:
    from pydicom import dcmwrite
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import UID, ExplicitVRLittleEndian

    syntax = TRANSFER_SYNTAXES[options.transfer_syntax]
    compressed = options.transfer_syntax in ("rle", "jpegls", "jpeg2000")
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = dataset.SOPClassUID, dataset.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian if compressed else UID(syntax)
    dataset.file_meta = meta
    if options.transfer_syntax == "jpeg2000":
        _compress_jpeg2000(dataset)
    elif compressed:
        dataset.compress(syntax, generate_instance_uid=False)
    place = folder if options.one_folder else folder / _random_name(series_uid)[:8]
    place.mkdir(exist_ok=True)
    name = f"{_random_name(f'{dataset.SOPInstanceUID}{index}')}{options.suffix}"
    dcmwrite(place / name, dataset, enforce_file_format=True)


def _compress_jpeg2000(dataset: Dataset) -> None:
    """Lossless JPEG 2000 through OpenJPEG itself: pydicom's encoder would need one more package."""
    from openjpeg.utils import encode_array
    from pydicom.encaps import encapsulate
    from pydicom.uid import UID

    if min(dataset.Rows, dataset.Columns) < 32:
        raise ConfigurationError("JPEG 2000 needs slices of at least 32 rows and columns; choose another syntax.")
    kind = "<i2" if dataset.PixelRepresentation else "<u2"
    frames = np.frombuffer(dataset.PixelData, kind).reshape(-1, dataset.Rows, dataset.Columns)
    dataset.PixelData = encapsulate([encode_array(frame, bits_stored=16) for frame in frames])
    dataset["PixelData"].VR, dataset["PixelData"].is_undefined_length = "OB", True
    dataset.file_meta.TransferSyntaxUID = UID(TRANSFER_SYNTAXES["jpeg2000"])


def _random_name(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16].upper()


def _clock(seconds: float) -> str:
    whole, part = divmod(round(seconds * 100), 100)
    return f"{whole // 3600:02d}{whole // 60 % 60:02d}{whole % 60:02d}.{part:02d}0000"
