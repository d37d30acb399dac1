"""The DICOM series that a review's reference phase came from: found again by its grid and its voxels."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError, RenalCLIPError
from ..imaging.candidates import candidates_in
from ..imaging.dicom import Slice
from ..imaging.series import Series
from ..imaging.sources import find_sources
from ..imaging.stacking import build_volume, stack_geometry
from ..imaging.volume import Geometry, Volume
from .deidentification import Identity, UidMap, made_uid

if TYPE_CHECKING:
    from pydicom import Dataset

_NEEDED = "Give the folder with the DICOM series that the study came from with --dicom."
_NO_BURNED_IN = "NO"
_LONGEST = {"patient_name": 64, "patient_id": 64, "study_id": 16, "accession_number": 16, "referring_physician": 64}


@dataclass(frozen=True)
class Subject:
    """Whose study it is, as DICOM objects say it; empty strings where it is not said.

    Dates and times are valid DICOM values or empty.
    """

    patient_name: str
    patient_id: str
    birth_date: str = ""
    sex: str = ""
    study_date: str = ""
    study_time: str = ""
    study_id: str = ""
    accession_number: str = ""
    referring_physician: str = ""


@dataclass(frozen=True)
class DicomSource:
    """A CT series: what references to it need.

    Attributes:
        subject: Patient and study.
        study_uid, series_uid, frame_uid: Of the series.
        slices: In ascending position along the normal.
        sop_class_uids, sop_instance_uids: Per slice.
        geometry: Grid of the slices as they are stored (column, row, slice); None where the study's volume was
            resampled from them (gaps, gantry tilt).
        identity: What may not get out when it is de-identified.
        burned_in: Why text could be burned into the images; empty where the files say that there is none.
    """

    subject: Subject
    study_uid: str
    series_uid: str
    frame_uid: str
    slices: tuple[Slice, ...]
    sop_class_uids: tuple[str, ...]
    sop_instance_uids: tuple[str, ...]
    geometry: Geometry | None
    identity: Identity
    burned_in: str

    def deidentified(self, pseudonym: str, uids: UidMap) -> DicomSource:
        """The same series under a pseudonym and with replaced UIDs."""
        return replace(
            self,
            subject=Subject(f"Deidentified^{pseudonym}", pseudonym),
            study_uid=uids.of(self.study_uid),
            series_uid=uids.of(self.series_uid),
            frame_uid=uids.of(self.frame_uid),
            sop_instance_uids=tuple(uids.of(uid) for uid in self.sop_instance_uids),
        )

    @property
    def is_multiframe(self) -> bool:
        """Whether the slices are frames of one file."""
        return self.slices[0].instance.frames > 1


def find_source(folder: Path, grid: Geometry, reference: Volume | None, number: str = "") -> DicomSource:
    """The series in a folder whose volume is a study's reference phase.

    Args:
        folder: With the DICOM files, in any disorder.
        grid: Of the reference phase.
        reference: Its voxels, where they are at hand: then they decide.
        number: Number of the series as a person names it.

    Raises:
        InputError: No series, or more than one, fits; or its files share UIDs.
    """
    candidates, _ = candidates_in(find_sources([folder]))
    series = [item.series for item in candidates if item.series is not None]
    if number:
        series = [item for item in series if number in (item.label, str(item.instance.series_number))]
        if not series:
            raise InputError(f"The DICOM folder holds no usable series {number}.")
    fits = [item for item in series if _may_be(item, grid)]
    if reference is not None:
        fits = [item for item in fits if _is(item, reference)]
    if len(fits) != 1:
        found = "No series" if not fits else f"More than one series ({', '.join(item.label for item in fits)})"
        raise InputError(
            f"{found} in the DICOM folder is the study's reference phase. "
            + ("Name it with --series." if fits else _NEEDED)
        )
    return _describe(fits[0], grid)


def needed() -> InputError:
    """What is said where a DICOM object is wanted and no DICOM was given."""
    return InputError(
        f"A DICOM object must name the images that it was made from, so it needs a DICOM study. {_NEEDED} A study from "
        "NIfTI, NRRD or MetaImage files has none; export it as fhir, pdf or csv."
    )


@contextmanager
def any_values() -> Iterator[None]:
    """Let values of files from the field through that break the standard's rules."""
    from pydicom.config import disable_value_validation

    with warnings.catch_warnings(), disable_value_validation():
        warnings.simplefilter("ignore")
        yield


def _may_be(series: Series, grid: Geometry) -> bool:
    stored = stack_geometry(series)
    return stored is None or stored.canonical().same_grid(grid.canonical(), 0.01)


def _is(series: Series, reference: Volume) -> bool:
    try:
        volume, _ = build_volume(series, allow_gaps=True)
    except RenalCLIPError:
        return False
    mine, wanted = volume.canonical(), reference.canonical()
    return mine.geometry.same_grid(wanted.geometry, 0.01) and np.array_equal(mine.array, wanted.array)


def _describe(series: Series, grid: Geometry) -> DicomSource:
    stored = stack_geometry(series)
    slices = _unrepeated(series)
    headers = _headers(slices)
    first = headers[slices[0].instance.file]
    uids = tuple(_text(headers[item.instance.file], "SOPInstanceUID") for item in slices)
    _check_uids(slices, uids)
    identity = Identity()
    for header in headers.values():
        identity |= Identity.of_dataset(header)
    study, name = slices[0].instance.study_uid, slices[0].instance.series_uid
    return DicomSource(
        subject=_subject(first),
        study_uid=study or made_uid("study", name),
        series_uid=name,
        frame_uid=slices[0].instance.frame_of_reference_uid or made_uid("frame", study, name),
        slices=slices,
        sop_class_uids=tuple(_text(headers[item.instance.file], "SOPClassUID") for item in slices),
        sop_instance_uids=uids,
        geometry=stored if stored is not None and stored.canonical().same_grid(grid.canonical(), 0.01) else None,
        identity=identity,
        burned_in=_burned_in(headers.values()),
    )


def _unrepeated(series: Series) -> tuple[Slice, ...]:
    from ..imaging.series import without
    from ..imaging.stacking import repeated_places

    return without(series, (second for _, second in repeated_places(series))).slices


def _check_uids(slices: Sequence[Slice], uids: Sequence[str]) -> None:
    by_uid: dict[str, set[Path]] = {}
    for item, uid in zip(slices, uids, strict=True):
        by_uid.setdefault(uid, set()).add(item.instance.file)
    shared = sum(len(files) for uid, files in by_uid.items() if len(files) > 1 or not uid)
    if shared:
        raise InputError(
            f"{shared} images of the DICOM series share a UID or have none, so that an export could not say which of "
            "them it means. Have the series' UIDs repaired, then export again."
        )


def _headers(slices: Sequence[Slice]) -> dict[Path, Dataset]:
    import pydicom

    found: dict[Path, Dataset] = {}
    with any_values():
        for path in dict.fromkeys(item.instance.file for item in slices):
            try:
                header = pydicom.dcmread(path, stop_before_pixels=True, force=True)
                for element in header.iterall():  # reads what is left to be read later
                    element.value  # noqa: B018
            except Exception as error:  # the third-party reader raises errors of any type on damaged files
                raise InputError("A file of the DICOM series is damaged; copy it again.") from error
            found[path] = header
    return found


def _subject(header: Dataset) -> Subject:
    sex = _text(header, "PatientSex").upper()
    texts = {
        "patient_name": _text(header, "PatientName"),
        "patient_id": _text(header, "PatientID"),
        "study_id": _text(header, "StudyID"),
        "accession_number": _text(header, "AccessionNumber"),
        "referring_physician": _text(header, "ReferringPhysicianName"),
    }
    return Subject(
        birth_date=valid_date(_text(header, "PatientBirthDate")),
        sex=sex if sex in ("M", "F", "O") else "",
        study_date=valid_date(_text(header, "StudyDate")),
        study_time=valid_time(_text(header, "StudyTime")),
        **{name: text[: _LONGEST[name]].replace("\\", " ") for name, text in texts.items()},
    )


def valid_date(text: str) -> str:
    """A DICOM date, empty where it is none (month 13, year 0)."""
    import datetime

    found = re.fullmatch(r"(\d{4})[.]?(\d\d)[.]?(\d\d)", text.strip())
    try:
        return datetime.date(*(int(part) for part in found.groups())).strftime("%Y%m%d").zfill(8) if found else ""
    except ValueError:
        return ""


def valid_time(text: str) -> str:
    """A DICOM time, empty where it is none."""
    found = re.fullmatch(r"([01]\d|2[0-3])([0-5]\d)?([0-5]\d)?(\.\d{1,6})?", text.strip())
    return text.strip() if found else ""


def _burned_in(headers: Any) -> str:
    said = {_text(header, "BurnedInAnnotation").upper() for header in headers}
    if said == {_NO_BURNED_IN}:
        return ""
    if "YES" in said:
        return "The source says that text is burned into its images"
    return "The source does not say whether text is burned into its images"


def _text(dataset: Dataset, keyword: str) -> str:
    value = dataset.get(keyword)
    return "" if value is None else str(value).strip("\0 ")
