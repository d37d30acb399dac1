"""A review as a DICOM structured report (TID 1500): one measurement group per lesion, and one for the kidneys.

Numbers and classes are those of :func:`.lesion_values.lesion_values`, under the same keys.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .. import __version__
from ..errors import InputError
from ..review import LesionReview
from ..review_reading import present
from .dicom_objects import (
    MANUFACTURER,
    MODEL,
    REPORT_SERIES,
    DicomCase,
    coded,
    equipment,
    evidence,
    finish,
    use_words,
)
from .dicom_source import any_values
from .lesion_values import Category, Quantity, lesion_values
from .reader_statements import Statement
from .terminology import (
    ABNORMALITY,
    ANATOMY,
    KIDNEY,
    LESION_KINDS,
    LOCAL,
    PROCEDURE,
    REPORT_TITLE,
    SIDES,
    VOLUME,
    Concept,
    class_concept,
    concept,
    local_code,
    meaning,
    unit,
)

if TYPE_CHECKING:
    from highdicom.seg import Segmentation
    from highdicom.sr import Comprehensive3DSR

SERIES_DESCRIPTION = "RenalCLIP measurements"


def report_object(
    case: DicomCase, masks: Segmentation | None, statements: Sequence[Statement] = ()
) -> Comprehensive3DSR:
    """The review as a measurement report that names the source's images and the segments of the masks.

    Args:
        case: The record and its source.
        masks: The segmentation of the same export, which the groups refer to; None where nothing was segmented.
        statements: What readers said; those of one reader about one lesion become a group with that reader as observer.

    Raises:
        InputError: There is neither a lesion nor a kidney to report on.
    """
    from highdicom.sr import Comprehensive3DSR, MeasurementReport

    with any_values():
        images = evidence(case.source)
        groups = [_lesion_group(case, lesion, masks, images) for lesion in case.review.lesions]
        groups += _kidney_groups(case, masks)
        groups += _reader_groups(case, statements, images) if groups else []
        if not groups:
            raise InputError("This review has neither a lesion nor a kidney, so there is nothing to report on.")
        content = MeasurementReport(
            observation_context=_context(case),
            procedure_reported=coded(PROCEDURE),
            imaging_measurements=groups,
            title=coded(REPORT_TITLE),
        )
        dataset = Comprehensive3DSR(
            evidence=[*images, *([masks] if masks is not None else [])],
            content=content[0],
            series_instance_uid=case.uid("report series"),
            series_number=REPORT_SERIES,
            sop_instance_uid=case.uid("report"),
            instance_number=1,
            is_complete=True,
            is_verified=False,
            **equipment(),
        )
    finish(dataset, case, SERIES_DESCRIPTION)
    return dataset


def _context(case: DicomCase) -> Any:
    from highdicom.sr import DeviceObserverIdentifyingAttributes, ObservationContext, ObserverContext
    from pydicom.sr.codedict import codes

    device = DeviceObserverIdentifyingAttributes(
        uid=case.uid("device"), name=MODEL, manufacturer_name=MANUFACTURER, model_name=f"{MODEL} {__version__}"
    )
    return ObservationContext(observer_device_context=ObserverContext(codes.DCM.Device, device))


def _algorithm(case: DicomCase) -> Any:
    """What read the lesions: the bundle with its hash, or the program where no bundle was used."""
    from highdicom.sr import AlgorithmIdentification

    source = case.review.provenance
    bundle, digest, trained = present(source.bundle), present(source.bundle_sha256), present(source.trained_on)
    parameters = [use_words(case.review)]
    parameters += [f"bundle sha256 {digest}"] if digest else []
    parameters += [f"trained on {trained}"] if trained else []
    if (record := present(case.review.segmentation)) is not None:
        parameters.append(f"masks: {record.model or 'given file'}, sha256 {record.sha256}")
    return AlgorithmIdentification(
        name=bundle or f"{MODEL}, without a model bundle", version=source.core_version, parameters=parameters
    )


def _lesion_group(case: DicomCase, lesion: LesionReview, masks: Segmentation | None, images: list[Any]) -> Any:
    from highdicom.sr import (
        FindingSite,
        MeasurementsAndQualitativeEvaluations,
        SourceImageForMeasurementGroup,
        TrackingIdentifier,
        VolumetricROIMeasurementsAndQualitativeEvaluations,
    )

    name = lesion.lesion_id
    side = SIDES.get(lesion.side)
    shared = {
        "tracking_identifier": TrackingIdentifier(case.tracking_uid(name), case.tracking_id(name)),
        "finding_category": coded(ABNORMALITY),
        "finding_type": coded(LESION_KINDS.get(lesion.label, LESION_KINDS["point"])),
        "algorithm_id": _algorithm(case),
        "finding_sites": [FindingSite(coded(KIDNEY), coded(side) if side else None)],
        "measurements": [_measurement(item) for item in lesion_values(lesion) if isinstance(item, Quantity)],
        "qualitative_evaluations": [*_statements(lesion)],
    }
    segment = case.parts.number_of(name) if case.parts else None
    if masks is None or segment is None:
        image = SourceImageForMeasurementGroup.from_source_image(images[len(images) // 2])
        return MeasurementsAndQualitativeEvaluations(source_images=[image], **shared)
    return VolumetricROIMeasurementsAndQualitativeEvaluations(
        referenced_segment=_segment(case, masks, segment), **shared
    )


def _kidney_groups(case: DicomCase, masks: Segmentation | None) -> list[Any]:
    """One group per kidney with its volume (lesions included), both on the segment of the parenchyma."""
    from highdicom.sr import FindingSite, Measurement, TrackingIdentifier
    from highdicom.sr import VolumetricROIMeasurementsAndQualitativeEvaluations as Group

    record = present(case.review.segmentation)
    if masks is None or record is None:
        return []
    groups = []
    for side, volume in record.kidney_volumes_ml.items():
        name = f"{side} kidney"
        groups.append(
            Group(
                tracking_identifier=TrackingIdentifier(case.tracking_uid(name), case.tracking_id(name)),
                finding_category=coded(ANATOMY),
                finding_type=coded(KIDNEY),
                algorithm_id=_algorithm(case),
                finding_sites=[FindingSite(coded(KIDNEY), coded(SIDES[side]) if side in SIDES else None)],
                measurements=[Measurement(coded(VOLUME), volume, coded(unit("mL")))],
                referenced_segment=_segment(case, masks, 1),
            )
        )
    return groups


def _reader_groups(case: DicomCase, statements: Sequence[Statement], images: list[Any]) -> list[Any]:
    """What readers said, by lesion and reader; each group names its reader as a person observer (TID 1003)."""
    pairs = dict.fromkeys((item.lesion_id, item.by) for item in statements)
    return [
        _reader_group(case, lesion, by, [one for one in statements if (one.lesion_id, one.by) == (lesion, by)], images)
        for lesion, by in pairs
    ]


def _reader_group(case: DicomCase, lesion_id: str, by: str, said: Sequence[Statement], images: list[Any]) -> Any:
    from highdicom.sr import (
        MeasurementsAndQualitativeEvaluations,
        ObserverContext,
        PersonObserverIdentifyingAttributes,
        QualitativeEvaluation,
        RelationshipTypeValues,
        SourceImageForMeasurementGroup,
        TextContentItem,
        TrackingIdentifier,
    )
    from pydicom.sr.codedict import codes

    name = lesion_id or "study"
    lesion = next((one for one in case.review.lesions if one.lesion_id == lesion_id), None)
    kind = LESION_KINDS.get(lesion.label if lesion else "", LESION_KINDS["point"])
    codes_said = [(item.name, item.value) for item in said if item.value is not None]
    group = MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(case.tracking_uid(name), case.tracking_id(name)),
        finding_type=coded(kind),
        qualitative_evaluations=[QualitativeEvaluation(coded(title), coded(value)) for title, value in codes_said],
        source_images=[SourceImageForMeasurementGroup.from_source_image(images[len(images) // 2])],
    )
    content = group[0].ContentSequence
    person = PersonObserverIdentifyingAttributes(name=_person(by))
    content.extend(ObserverContext(observer_type=codes.DCM.Person, observer_identifying_attributes=person))
    texts = [(coded(item.name), item.words) for item in said if item.value is None]
    texts += [(codes.DCM.Comment, f"{item.about}: {item.comment}") for item in said if item.comment]
    for title, text in texts:
        content.append(TextContentItem(title, text, relationship_type=RelationshipTypeValues.CONTAINS))
    return group


def _person(name: str) -> str:
    """A reader's name as a person name: without what separates the parts of one, 64 characters at most."""
    return meaning(name.replace("^", " ").replace("=", " ")) or "reader"


def _segment(case: DicomCase, masks: Segmentation, number: int) -> Any:
    from highdicom.sr import ReferencedSegment, SourceSeriesForSegmentation

    return ReferencedSegment(
        sop_class_uid=masks.SOPClassUID,
        sop_instance_uid=masks.SOPInstanceUID,
        segment_number=number,
        source_series=SourceSeriesForSegmentation(case.source.series_uid),
    )


def _measurement(item: Quantity) -> Any:
    from highdicom.sr import Measurement

    return Measurement(coded(concept(item.key, item.name)), item.value, coded(unit(item.unit)))


def _statements(lesion: LesionReview) -> list[Any]:
    from highdicom.sr import QualitativeEvaluation

    kind = Category("primary", "Primary lesion", "yes" if lesion.primary else "no")
    found = [item for item in (kind, *lesion_values(lesion)) if isinstance(item, Category)]
    return [
        QualitativeEvaluation(
            coded(Concept(LOCAL, local_code(item.key), meaning(item.name))), coded(class_concept(item.key, item.value))
        )
        for item in found
    ]
