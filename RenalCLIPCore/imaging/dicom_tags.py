"""Values of DICOM tags as plain Python values, for ordinary and for per-frame (functional group) tags."""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

READ_TAGS = (
    "SOPClassUID", "Modality", "ImageType", "SamplesPerPixel", "Rows", "Columns", "NumberOfFrames", "BitsAllocated",
    "PatientName", "PatientID", "PatientBirthDate", "StudyDate", "AccessionNumber",
    "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "SeriesNumber", "SeriesDescription", "ProtocolName",
    "InstanceNumber", "AcquisitionNumber", "TemporalPositionIdentifier", "TriggerTime",
    "AcquisitionDate", "AcquisitionTime", "AcquisitionDateTime", "ContentDate", "ContentTime",
    "SeriesDate", "SeriesTime",
    "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness", "ConvolutionKernel",
    "RescaleSlope", "RescaleIntercept", "RescaleType",
    "ContrastBolusAgent", "ContrastBolusRoute", "ContrastBolusStartTime", "ContrastBolusAgentSequence",
    "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence",
)  # fmt: skip


def text(dataset: Dataset, tag: str) -> str:
    """A tag's value as text; empty where it is absent."""
    value = dataset.get(tag)
    return "" if value is None else str(value).strip()


def number(value: Any) -> float | None:
    """A finite number, or None."""
    if value is None or value == "":
        return None
    result = float(value)
    return result if math.isfinite(result) else None


def whole(dataset: Dataset, tag: str) -> int | None:
    """A tag's value as an integer; None where it is absent or no number."""
    value = dataset.get(tag)
    try:
        return None if value is None or value == "" else int(value)
    except (TypeError, ValueError):
        return None


def numbers(value: Any, count: int) -> tuple[float, ...] | None:
    """``count`` finite numbers, or None."""
    if value is None or isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        return None
    result = tuple(float(item) for item in value)
    return result if len(result) == count and all(math.isfinite(item) for item in result) else None


def moment_s(day: str, clock: str) -> float | None:
    """Seconds since a fixed day of a DICOM date and time; None where the time is absent or malformed."""
    digits = clock.replace(":", "")
    try:
        seconds = int(digits[:2]) * 3600 + int(digits[2:4] or 0) * 60 + float(digits[4:] or 0)
    except ValueError:
        return None
    try:
        return datetime.datetime.strptime(day[:8], "%Y%m%d").toordinal() * 86400.0 + seconds
    except ValueError:
        return seconds


@dataclass(frozen=True)
class FrameTags:
    """The tags of one frame: its functional groups, then the shared ones, then the file's own."""

    dataset: Dataset
    frame: int

    def value(self, group: str, tag: str) -> Any:
        """A value from a functional group sequence, or from the top level; None where it is nowhere."""
        for holder in self._groups():
            items = holder.get(group)
            if items and items[0].get(tag) is not None:
                return items[0].get(tag)
        return self.dataset.get(tag)

    def _groups(self) -> Iterable[Dataset]:
        frames = self.dataset.get("PerFrameFunctionalGroupsSequence")
        if frames and self.frame < len(frames):
            yield frames[self.frame]
        yield from (self.dataset.get("SharedFunctionalGroupsSequence") or ())[:1]

    def image_type(self) -> tuple[str, ...]:
        """ImageType (or FrameType) in capitals, without empty values."""
        value = self.value("CTImageFrameTypeSequence", "FrameType") or self.dataset.get("ImageType") or ()
        values = (value,) if isinstance(value, str) else tuple(value)
        return tuple(str(item).strip().upper() for item in values)

    def kernel(self) -> str:
        """Convolution kernel; several values joined."""
        value = self.value("CTReconstructionSequence", "ConvolutionKernel") or ""
        return value if isinstance(value, str) else "/".join(str(item) for item in value)

    def acquisition_moment(self) -> tuple[str, str]:
        """Date and time of the acquisition, as written in the file (empty where absent)."""
        stamp = str(self.value("FrameContentSequence", "FrameAcquisitionDateTime") or "")
        stamp = stamp or text(self.dataset, "AcquisitionDateTime")
        clock = text(self.dataset, "AcquisitionTime")
        if stamp and (not clock or self.dataset.get("PerFrameFunctionalGroupsSequence")):
            return stamp[:8], stamp[8:].split("+")[0].split("-")[0]
        return text(self.dataset, "AcquisitionDate") or text(self.dataset, "StudyDate"), clock

    def acquisition_number(self) -> int | None:
        """Acquisition number of the frame or file."""
        value = self.value("FrameContentSequence", "FrameAcquisitionNumber")
        return whole(self.dataset, "AcquisitionNumber") if value is None else int(value)

    def temporal_position(self) -> int | None:
        """Temporal position index or identifier."""
        value = self.value("FrameContentSequence", "TemporalPositionIndex")
        return whole(self.dataset, "TemporalPositionIdentifier") if value is None else int(value)

    def trigger(self) -> float | None:
        """Trigger or nominal cardiac delay time."""
        value = self.value("CardiacSynchronizationSequence", "NominalCardiacTriggerDelayTime")
        return number(self.dataset.get("TriggerTime") if value is None else value)
