"""What the DICOM objects of an export share: evidence, equipment, algorithm, codes, dates, and writing them."""

from __future__ import annotations

import io
import os
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import __version__
from ..errors import InputError
from ..review import CaseReview
from ..review_reading import present
from .deidentification import Identity, UidMap, check_dataset, deidentified_review, made_uid, mark_deidentified
from .dicom_source import DicomSource, any_values
from .export_case import PartMap
from .terminology import ARTIFICIAL_INTELLIGENCE, LOCAL, Concept, meaning

if TYPE_CHECKING:
    from highdicom import AlgorithmIdentificationSequence
    from highdicom.sr import CodedConcept
    from pydicom import Dataset

MANUFACTURER, MODEL, SERIAL_NUMBER = "RenalCLIP", "RenalCLIP", "0"
CHARACTER_SET = "ISO_IR 192"
NO_DATE, NO_TIME = "19000101", "000000"
SEGMENTATION_SERIES, REPORT_SERIES = 9901, 9902
_CT_BITS = 16


@dataclass(frozen=True)
class DicomCase:
    """All that a DICOM object is made of, already de-identified where that is asked for.

    Attributes:
        review: The record.
        parts: Its label map taken apart; None where nothing was segmented.
        source: The series that it was made from.
        identity: What may not get out; None where identifiers are kept.
        version: Distinguishes exports of the same study: when the review was made, and what it says.
    """

    review: CaseReview
    parts: PartMap | None
    source: DicomSource
    identity: Identity | None
    version: str

    @property
    def is_deidentified(self) -> bool:
        """Whether identifiers are left out."""
        return self.identity is not None

    def uid(self, *parts: str) -> str:
        """A UID of an object of this export; the same review gives the same one."""
        return made_uid(self.source.study_uid, self.review.study.study_id, self.version, *parts)

    def tracking_uid(self, name: str) -> str:
        """The UID by which a lesion (or kidney) is followed over the exports of a study."""
        return made_uid("tracking", self.source.study_uid, self.review.study.study_id, name)

    def tracking_id(self, name: str) -> str:
        """The name that goes with :meth:`tracking_uid`."""
        return f"{self.review.study.study_id} {name}"

    @property
    def stamp(self) -> tuple[str, str]:
        """Date and time of the content: when the review was made, or nothing that tells of it."""
        if self.is_deidentified:
            return NO_DATE, NO_TIME
        try:
            moment = datetime.fromisoformat(self.review.provenance.created).astimezone(UTC)
        except (ValueError, OverflowError):
            return NO_DATE, NO_TIME
        return moment.strftime("%Y%m%d").zfill(8), moment.strftime("%H%M%S")


def dicom_case(
    review: CaseReview, parts: PartMap | None, source: DicomSource, version: str, key: str = "", *, keep: bool
) -> DicomCase:
    """Put a review and its source together for DICOM objects.

    Args:
        review: The record as written.
        parts: Its label map taken apart.
        source: The series, with its own identifiers.
        version: See :class:`DicomCase`.
        key: Secret for the replacement of UIDs; the study's pseudonym when empty.
        keep: Whether identifiers are kept.
    """
    if keep:
        return DicomCase(review, parts, source, None, version)
    identity = source.identity | Identity.of_review(review)
    cleaned, _ = deidentified_review(review, identity)
    hidden = source.deidentified(review.study.study_id, UidMap(key or review.study.study_id))
    return DicomCase(cleaned, parts, hidden, identity, version)


def evidence(source: DicomSource) -> list[Dataset]:
    """Headers of the source's images with what references and grids need, and nothing else.

    Raises:
        InputError: The series is only a part of a multi-frame file.
    """
    if not source.is_multiframe:
        return [_plain(source, place) for place in range(len(source.slices))]
    if {item.frame for item in source.slices} != set(range(source.slices[0].instance.frames)):
        raise InputError(
            "The DICOM series is one of several in a multi-frame file, which exports cannot name frame by frame. "
            "Convert the file to one image per file, then export again."
        )
    return [_multiframe(source)]


def frame_order(source: DicomSource) -> list[int]:
    """Places of the slices in the order of :func:`evidence` and of its frames."""
    return sorted(range(len(source.slices)), key=lambda k: source.slices[k].frame if source.is_multiframe else k)


def coded(concept: Concept) -> CodedConcept:
    """A code as highdicom takes it."""
    from highdicom.sr import CodedConcept

    return CodedConcept(concept.value, concept.scheme, concept.meaning)


def algorithm(case: DicomCase) -> AlgorithmIdentificationSequence:
    """What drew the masks, with its hash."""
    from highdicom import AlgorithmIdentificationSequence

    record = present(case.review.segmentation)
    assert record is not None
    return AlgorithmIdentificationSequence(
        name=meaning(record.model or "label map given to RenalCLIP"),
        family=coded(ARTIFICIAL_INTELLIGENCE),
        version=record.sha256[:64] or "unknown",
        source=MANUFACTURER,
        parameters={"sha256": record.sha256 or "unknown", "use": use_words(case.review)},
    )


def use_words(review: CaseReview) -> str:
    """The intended use, in the characters and length that a DICOM long string takes."""
    return meaning(review.provenance.intended_use or "Research only. Not for clinical use.")


def equipment() -> dict[str, Any]:
    """Manufacturer and version as highdicom takes them."""
    return {"manufacturer": MANUFACTURER, "manufacturer_model_name": MODEL, "software_versions": __version__}


def finish(dataset: Dataset, case: DicomCase, description: str) -> None:
    """Set dates, series description and the mark of de-identification; what was set by the clock is overwritten."""
    date, time = case.stamp
    with any_values():
        dataset.SpecificCharacterSet = CHARACTER_SET
        dataset.SeriesDescription = description
        dataset.CodingSchemeIdentificationSequence = [_local_scheme()]
        dataset.ContentDate, dataset.ContentTime = date, time
        for keyword in ("InstanceCreationDate", "InstanceCreationTime", "SeriesDate", "SeriesTime"):
            if keyword in dataset:
                del dataset[keyword]
        for item in dataset.get("ContributingEquipmentSequence", ()):
            item.pop("ContributionDateTime", None)
        if case.identity is None:
            dataset.InstanceCreationDate, dataset.InstanceCreationTime = date, time
            dataset.SeriesDate, dataset.SeriesTime = date, time
            return
        mark_deidentified(dataset)
    check_dataset(dataset, case.identity)


def encoded(dataset: Dataset) -> bytes:
    """A DICOM file's bytes."""
    from pydicom import dcmwrite

    target = io.BytesIO()
    with any_values():
        dcmwrite(target, dataset, enforce_file_format=True)
    return target.getvalue()


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file by atomic rename."""
    partial = path.with_name(f".partial-{secrets.token_hex(4)}")
    try:
        partial.write_bytes(data)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _local_scheme() -> Dataset:
    from pydicom import Dataset

    scheme = Dataset()
    scheme.CodingSchemeDesignator, scheme.CodingSchemeName = LOCAL, "RenalCLIP findings"
    scheme.CodingSchemeResponsibleOrganization = MANUFACTURER
    return scheme


def _common(source: DicomSource, place: int) -> Dataset:
    from pydicom import Dataset

    subject, item = source.subject, source.slices[place]
    d = Dataset()
    d.SpecificCharacterSet = CHARACTER_SET
    d.SOPClassUID, d.SOPInstanceUID = source.sop_class_uids[place], source.sop_instance_uids[place]
    d.StudyInstanceUID, d.SeriesInstanceUID = source.study_uid, source.series_uid
    d.FrameOfReferenceUID, d.PositionReferenceIndicator = source.frame_uid, ""
    d.PatientName, d.PatientID = subject.patient_name, subject.patient_id
    d.PatientBirthDate, d.PatientSex = subject.birth_date or None, subject.sex or None
    d.StudyDate, d.StudyTime = subject.study_date or None, subject.study_time or None
    d.StudyID, d.AccessionNumber = subject.study_id, subject.accession_number
    d.ReferringPhysicianName = subject.referring_physician
    d.Modality = "CT"
    d.Rows, d.Columns = item.instance.rows, item.instance.columns
    d.SamplesPerPixel, d.BitsAllocated, d.BitsStored, d.HighBit = 1, _CT_BITS, _CT_BITS, _CT_BITS - 1
    d.PhotometricInterpretation, d.PixelRepresentation = "MONOCHROME2", 0
    d.InstanceNumber = place + 1
    return d


def _plain(source: DicomSource, place: int) -> Dataset:
    item = source.slices[place]
    d = _common(source, place)
    d.ImagePositionPatient = decimals(item.position_lps_mm)
    d.ImageOrientationPatient = decimals((*item.row_direction, *item.column_direction))
    d.PixelSpacing = decimals(reversed(item.spacing_mm))
    d.SliceThickness = decimals([item.thickness_mm or 1.0])[0]
    return d


def _multiframe(source: DicomSource) -> Dataset:
    from pydicom import Dataset

    first = source.slices[0]
    d = _common(source, 0)
    d.NumberOfFrames = len(source.slices)
    shared, measures, orientation = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing = decimals(reversed(first.spacing_mm))
    measures.SliceThickness = decimals([first.thickness_mm or 1.0])[0]
    orientation.ImageOrientationPatient = decimals((*first.row_direction, *first.column_direction))
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [orientation]
    d.SharedFunctionalGroupsSequence = [shared]
    frames = []
    for place in frame_order(source):
        group, position = Dataset(), Dataset()
        position.ImagePositionPatient = decimals(source.slices[place].position_lps_mm)
        group.PlanePositionSequence = [position]
        frames.append(group)
    d.PerFrameFunctionalGroupsSequence = frames
    return d


def decimals(values: Any) -> list[Any]:
    """Decimal strings of at most 16 characters."""
    from pydicom.valuerep import DSfloat

    return [DSfloat(float(value) + 0.0, auto_format=True) for value in np.ravel(list(values))]
