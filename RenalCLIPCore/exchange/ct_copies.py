"""De-identified copies of a study's CT images, beside its segmentation and report and with the same replaced UIDs.

A copy is made of a short list of attributes that are kept, so that nothing has to be found to be removed (PS3.15, basic
profile without options): descriptions, dates, times, device names, overlays and private elements are in no list. Free
texts on the list are dropped where they hold a value that identifies. Pixels are copied as they are stored.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from ..imaging.dicom import Instance
from ..imaging.sources import find_sources
from .deidentification import Identity, UidMap, check_dataset, mark_deidentified
from .dicom_objects import CHARACTER_SET, NO_DATE, NO_TIME, SERIAL_NUMBER
from .dicom_source import DicomSource, any_values

if TYPE_CHECKING:
    from pydicom import Dataset

_IMAGE = {
    "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "Modality",
    "ImageType", "SeriesNumber", "InstanceNumber", "AcquisitionNumber", "Manufacturer", "ManufacturerModelName",
    "PatientPosition", "BodyPartExamined", "Laterality", "ImagePositionPatient", "ImageOrientationPatient",
    "SliceLocation", "SliceThickness", "SpacingBetweenSlices", "PixelSpacing", "Rows", "Columns", "NumberOfFrames",
    "SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration", "BitsAllocated", "BitsStored", "HighBit",
    "PixelRepresentation", "PixelPaddingValue", "PixelPaddingRangeLimit", "SmallestImagePixelValue",
    "LargestImagePixelValue", "RescaleIntercept", "RescaleSlope", "RescaleType", "WindowCenter", "WindowWidth",
    "LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod", "BurnedInAnnotation",
    "KVP", "ScanOptions", "DataCollectionDiameter", "ReconstructionDiameter", "DistanceSourceToDetector",
    "DistanceSourceToPatient", "GantryDetectorTilt", "TableHeight", "RotationDirection", "ExposureTime",
    "XRayTubeCurrent", "Exposure", "FilterType", "GeneratorPower", "FocalSpots", "ConvolutionKernel",
    "RevolutionTime", "SingleCollimationWidth", "TotalCollimationWidth", "TableSpeed", "TableFeedPerRotation",
    "SpiralPitchFactor", "CTDIvol", "ExposureModulationType", "PixelData",
}  # fmt: skip
_FRAMES = {
    "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence", "PixelMeasuresSequence",
    "PlaneOrientationSequence", "PlanePositionSequence", "FrameContentSequence", "PixelValueTransformationSequence",
    "FrameVOILUTSequence", "CTImageFrameTypeSequence", "CTAcquisitionTypeSequence", "CTAcquisitionDetailsSequence",
    "CTReconstructionSequence", "CTExposureSequence", "CTXRayDetailsSequence", "CTGeometrySequence",
    "CTTableDynamicsSequence", "CTPositionSequence", "FrameAnatomySequence", "AnatomicRegionSequence",
    "DimensionOrganizationSequence", "DimensionIndexSequence", "DimensionOrganizationUID", "DimensionIndexPointer",
    "FunctionalGroupPointer", "DimensionIndexValues", "StackID", "InStackPositionNumber", "TemporalPositionIndex",
    "FrameAcquisitionNumber", "FrameType", "FrameLaterality", "PixelPresentation", "VolumetricProperties",
    "VolumeBasedCalculationTechnique", "AcquisitionType", "ConstantVolumeFlag", "FluoroscopyFlag",
    "ReconstructionAlgorithm", "ConvolutionKernelGroup", "ReconstructionPixelSpacing", "ReconstructionAngle",
    "ExposureTimeInms", "XRayTubeCurrentInmA", "ExposureInmAs", "CalciumScoringMassFactorPatient",
    "PresentationLUTShape", "ContentQualification", "CodeValue", "CodingSchemeDesignator", "CodeMeaning",
}  # fmt: skip
KEPT = _IMAGE | _FRAMES
_TEXTS = ("LO", "SH", "LT", "ST", "UT", "CS", "UC", "AE", "PN")


@dataclass
class CtCopies:
    """The CT images of the study that a source belongs to.

    Args:
        folder: With the DICOM files.
        source: The series that the review was made from, as it is stored.
        pseudonym: Of the study.
        uids: The rule by which UIDs are replaced in all of the study's exports.

    Attributes:
        warnings: What a person should look at.
    """

    folder: Path
    source: DicomSource
    pseudonym: str
    uids: UidMap
    warnings: list[str] = field(default_factory=list)

    def files(self) -> Iterator[tuple[str, bytes]]:
        """File names and contents, one by one; every copy is checked before it is given out.

        Raises:
            InputError: There is no CT image of the study, or a file is damaged.
            OutputError: De-identification did not remove everything from an image.
        """
        from .dicom_objects import encoded

        found = self._instances()
        headers = {path: _read(path, pixels=False) for path in found}
        identity = self.source.identity
        for header in headers.values():
            identity |= Identity.of_dataset(header)
        burned = [path for path, header in headers.items() if str(header.get("BurnedInAnnotation", "")) == "YES"]
        self._warn(len(burned), headers)
        kept = [path for path in found if path not in set(burned)]
        if not kept:
            raise InputError("The DICOM folder holds no CT image of the study without text burned into it.")
        del headers
        for name, path in _names(kept, found):
            yield name, encoded(self._copy(_read(path, pixels=True), identity))

    def _instances(self) -> dict[Path, Instance]:
        slices = find_sources([self.folder]).slices
        wanted = {item.instance.study_uid for item in self.source.slices}
        files = {item.instance.file: item.instance for item in slices}
        found = {path: one for path, one in files.items() if one.study_uid in wanted and one.ct_image}
        if len(found) < len(files):
            self.warnings.append(f"{len(files) - len(found)} images of other studies or kinds were left out.")
        return found

    def _warn(self, burned: int, headers: Mapping[Path, Dataset]) -> None:
        if burned:
            self.warnings.append(f"{burned} images with text burned into them, as they say, were left out.")
        said = {str(header.get("BurnedInAnnotation", "")) for header in headers.values()}
        if said - {"NO", "YES"}:
            self.warnings.append(
                "Not all images say whether text is burned into them; look at the copies before you pass them on."
            )

    def _copy(self, original: Dataset, identity: Identity) -> Dataset:
        from pydicom import Dataset
        from pydicom.dataset import FileMetaDataset

        with any_values():
            copy = _kept(original, self.uids, identity)
            copy.SpecificCharacterSet = CHARACTER_SET
            copy.PatientName, copy.PatientID = f"Deidentified^{self.pseudonym}", self.pseudonym
            for keyword in ("PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "AccessionNumber", "StudyID",
                            "ReferringPhysicianName", "PositionReferenceIndicator"):  # fmt: skip
                setattr(copy, keyword, "" if keyword != "ReferringPhysicianName" else None)
            for keyword in ("Manufacturer", "InstanceNumber", "SeriesNumber", "AcquisitionNumber", "KVP"):
                if keyword not in copy:
                    setattr(copy, keyword, None)
            if "SharedFunctionalGroupsSequence" in original:
                copy.ContentDate, copy.ContentTime, copy.AcquisitionDateTime = NO_DATE, NO_TIME, NO_DATE + NO_TIME
                copy.DeviceSerialNumber = copy.SoftwareVersions = SERIAL_NUMBER
            mark_deidentified(copy)
            meta = FileMetaDataset()
            meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = copy.SOPClassUID, copy.SOPInstanceUID
            meta.TransferSyntaxUID = original.file_meta.TransferSyntaxUID
            copy.file_meta = meta
        check_dataset(copy, identity)
        assert isinstance(copy, Dataset)
        return copy


def _read(path: Path, *, pixels: bool) -> Dataset:
    import pydicom

    with any_values():
        try:
            found = pydicom.dcmread(path, stop_before_pixels=not pixels, force=True)
            for element in found.iterall():  # reads what is left to be read later
                element.value  # noqa: B018
        except Exception as error:  # the third-party reader raises errors of any type on damaged files
            raise InputError("A file of the DICOM study is damaged; copy it again.") from error
    return found


def _names(kept: Iterable[Path], instances: Mapping[Path, Instance]) -> Iterator[tuple[str, Path]]:
    """A name by number of the series and of the image for every file, in the order of the files."""
    places: dict[str, int] = {}
    counts: dict[str, int] = {}
    for path in kept:
        series = instances[path].series_uid
        place = places.setdefault(series, len(places) + 1)
        counts[series] = counts.get(series, 0) + 1
        yield f"series-{place:02d}-image-{counts[series]:05d}.dcm", path


def _kept(original: Dataset, uids: UidMap, identity: Identity) -> Dataset:
    from pydicom import DataElement, Dataset

    copy = Dataset()
    for element in original:
        if element.tag.is_private or element.keyword not in KEPT:
            continue
        if element.VR == "SQ":
            copy.add(DataElement(element.tag, "SQ", [_kept(item, uids, identity) for item in element.value]))
        elif element.VR == "UI":
            copy.add(DataElement(element.tag, "UI", _mapped(element.value, uids)))
        elif element.VR not in _TEXTS or not identity.places_in(str(element.value)):
            copy.add(element)
    return copy


def _mapped(value: Any, uids: UidMap) -> Any:
    return uids.of(str(value)) if value is None or isinstance(value, str) else [uids.of(str(one)) for one in value]
