"""A review's label map as a DICOM segmentation: one segment per kidney or lesion, on the source's own slices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..errors import InputError
from ..imaging.orientation import to_storage
from ..imaging.volume import Volume
from ..review_reading import present
from .dicom_objects import (
    SEGMENTATION_SERIES,
    SERIAL_NUMBER,
    DicomCase,
    algorithm,
    coded,
    equipment,
    evidence,
    finish,
    frame_order,
    use_words,
)
from .dicom_source import any_values
from .export_case import Part, PartMap
from .terminology import ABNORMALITY, ANATOMY, BOTH, KIDNEY, LESION_KINDS, SIDES, meaning

if TYPE_CHECKING:
    from highdicom.seg import Segmentation

SERIES_DESCRIPTION = "RenalCLIP kidney and lesion masks"
_COLOURS = {"kidney": (86, 190, 245), "tumour": (255, 170, 30), "cyst": (120, 240, 170)}


def segmentation_object(case: DicomCase) -> Segmentation:
    """The label map as a binary segmentation with SNOMED codes, tracking ids and references to every source image.

    Where the study's volume was resampled from the slices (gaps, gantry tilt) the frames lie on the study's own grid in
    the same frame of reference, and the source is named as a series.

    Raises:
        InputError: Nothing was segmented.
    """
    parts = case.parts
    if parts is None:
        raise InputError("Nothing was segmented in this review, so there is no segmentation to export.")
    from highdicom.seg import Segmentation

    with any_values():
        dataset = Segmentation(
            source_images=evidence(case.source),
            pixel_array=_pixels(case, parts),
            segmentation_type="BINARY",
            segment_descriptions=[_description(case, number, part) for number, part in enumerate(parts.parts, 1)],
            series_instance_uid=case.uid("segmentation series"),
            series_number=SEGMENTATION_SERIES,
            sop_instance_uid=case.uid("segmentation"),
            instance_number=1,
            device_serial_number=SERIAL_NUMBER,
            content_label="RENAL_MASKS",
            content_description=use_words(case.review),
            omit_empty_frames=True,
            **equipment(),
        )
        for item, part in zip(dataset.SegmentSequence, parts.parts, strict=True):
            _add_side(item, part)
        _name_dimensions(dataset, case.uid("dimensions"))
    finish(dataset, case, SERIES_DESCRIPTION)
    return dataset


def segment_labels(parts: PartMap) -> tuple[str, ...]:
    """Labels of the segments, from number 1."""
    return tuple(meaning(part.name) for part in parts.parts)


def _pixels(case: DicomCase, parts: PartMap) -> Any:
    """(frames, rows, columns) part numbers on the source's slices, or a volume of its own where they do not fit."""
    stored = case.source.geometry
    voxels = parts.voxels.array.astype(np.uint8 if len(parts.parts) < 256 else np.uint16)
    if stored is not None and stored.canonical().same_grid(parts.voxels.geometry.canonical(), 0.01):
        array = to_storage(Volume(voxels, parts.voxels.geometry).canonical().array, stored)
        return np.ascontiguousarray(array.transpose(2, 1, 0)[frame_order(case.source)])
    return _own_volume(voxels, parts, case.source.frame_uid)


def _own_volume(voxels: npt.NDArray[Any], parts: PartMap, frame_uid: str) -> Any:
    from highdicom import Volume as Stack

    affine = parts.voxels.geometry.index_to_lps.copy()
    affine[:3, [0, 1, 2]] = affine[:3, [2, 1, 0]]
    return Stack(np.ascontiguousarray(voxels.transpose(2, 1, 0)), affine, "PATIENT", frame_of_reference_uid=frame_uid)


def _description(case: DicomCase, number: int, part: Part) -> Any:
    from highdicom.color import CIELabColor
    from highdicom.seg import SegmentDescription

    record = present(case.review.segmentation)
    is_kidney = part.label == "kidney"
    name = part.lesion.lesion_id if part.lesion else part.name
    return SegmentDescription(
        segment_number=number,
        segment_label=meaning(part.name),
        segmented_property_category=coded(ANATOMY if is_kidney else ABNORMALITY),
        segmented_property_type=coded(KIDNEY if is_kidney else LESION_KINDS[part.label]),
        algorithm_type="AUTOMATIC" if record and record.source == "model" else "SEMIAUTOMATIC",
        algorithm_identification=algorithm(case),
        tracking_id=case.tracking_id(name),
        tracking_uid=case.tracking_uid(name),
        anatomic_regions=[coded(KIDNEY)],
        display_color=CIELabColor.from_rgb(*_COLOURS[part.label]),
    )


def _name_dimensions(dataset: Segmentation, uid: str) -> None:
    """Give the dimensions a UID that does not change from export to export."""
    for item in (*dataset.DimensionOrganizationSequence, *dataset.DimensionIndexSequence):
        item.DimensionOrganizationUID = uid


def _add_side(item: Any, part: Part) -> None:
    """Laterality as a modifier of the anatomic region (PS3.3, 10.5)."""
    side = BOTH if part.side == "both" else SIDES.get(part.side)
    if side is not None:
        item.AnatomicRegionSequence[0].AnatomicRegionModifierSequence = [coded(side)]
