"""The Enhanced CT multi-frame form of a series."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from .dicom_fields import decimals, set_pixels
from .shapes import Array, Float3

if TYPE_CHECKING:
    from pydicom import Dataset

ENHANCED_CT = "1.2.840.10008.5.1.4.1.1.2.1"
FRAME_TYPE = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]


def enhanced_image(
    dataset: Dataset, slices: Sequence[tuple[Array, Array, Array]], spacing_mm: Float3, dimension_uid: str
) -> Dataset:
    """Turn the common attributes of a series and its slices into one multi-frame data set.

    Args:
        dataset: Patient, study and series attributes; completed in place.
        slices: Per frame: HU (rows, columns), position of the first pixel, (2, 3) directions of rows and columns.
        spacing_mm: Spacing along columns, rows and slices.
        dimension_uid: UID of the dimension organisation.
    """
    from pydicom import Dataset

    dataset.SOPClassUID, dataset.ImageType = ENHANCED_CT, FRAME_TYPE
    dataset.VolumetricProperties, dataset.VolumeBasedCalculationTechnique = "VOLUME", "NONE"
    dataset.PixelPresentation, dataset.PresentationLUTShape = "MONOCHROME", "IDENTITY"
    dataset.ContentQualification, dataset.BurnedInAnnotation, dataset.LossyImageCompression = "RESEARCH", "NO", "00"
    dataset.AcquisitionDateTime = f"{dataset.AcquisitionDate}{dataset.get('AcquisitionTime', '')}"
    set_pixels(dataset, np.stack([pixels for pixels, _, _ in slices]), signed=False)
    rescale = Dataset()
    for name in ("RescaleIntercept", "RescaleSlope", "RescaleType"):
        setattr(rescale, name, getattr(dataset, name))
        delattr(dataset, name)
    dataset.NumberOfFrames = len(slices)
    organisation = Dataset()
    organisation.DimensionOrganizationUID = dimension_uid
    dataset.DimensionOrganizationSequence = [organisation]
    index = Dataset()
    index.DimensionOrganizationUID = dimension_uid
    index.DimensionIndexPointer, index.FunctionalGroupPointer = 0x00200032, 0x00209113
    dataset.DimensionIndexSequence = [index]
    dataset.SharedFunctionalGroupsSequence = [_shared(slices[0][2], spacing_mm, rescale)]
    dataset.PerFrameFunctionalGroupsSequence = [_frame(n, position) for n, (_, position, _) in enumerate(slices, 1)]
    return dataset


def _shared(axes: Array, spacing_mm: Float3, rescale: Dataset) -> Dataset:
    from pydicom import Dataset

    measures, orientation, kind, group = Dataset(), Dataset(), Dataset(), Dataset()
    measures.PixelSpacing = decimals([spacing_mm[1], spacing_mm[0]])
    measures.SliceThickness = measures.SpacingBetweenSlices = decimals([spacing_mm[2]])[0]
    orientation.ImageOrientationPatient = decimals(axes)
    kind.FrameType = FRAME_TYPE
    kind.PixelPresentation, kind.VolumetricProperties = "MONOCHROME", "VOLUME"
    kind.VolumeBasedCalculationTechnique = "NONE"
    group.PixelMeasuresSequence, group.PlaneOrientationSequence = [measures], [orientation]
    group.CTImageFrameTypeSequence, group.PixelValueTransformationSequence = [kind], [rescale]
    return group


def _frame(number: int, position: Array) -> Dataset:
    from pydicom import Dataset

    content, place, group = Dataset(), Dataset(), Dataset()
    content.StackID, content.InStackPositionNumber = "1", number
    content.DimensionIndexValues = [number]
    place.ImagePositionPatient = decimals(position)
    group.FrameContentSequence, group.PlanePositionSequence = [content], [place]
    return group
