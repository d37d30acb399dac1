"""De-identification on export: what may not get out, removing it, and checking that it is gone.

DICOM objects are written from a short list of attributes that are kept, so that nothing has to be found to be removed.
What the basic profile (PS3.15, table E.1-1) empties or replaces is emptied or replaced; UIDs are mapped by one rule.
"""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Iterable, Iterator, Mapping, MutableSequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, Any

from ..errors import OutputError
from ..resources import resources
from ..review import Absent, CaseReview, Edit, LesionReview, ReportDraft, SignOff, decode, encode
from .lesion_values import KEYS
from .reader_names import ReaderNames

if TYPE_CHECKING:
    from pydicom import Dataset

REMOVED = "[removed]"
METHOD = "PS3.15 basic profile; RenalCLIP export"
STANDARD_ROOT = "1.2.840.10008."
_SHORTEST = 4
_NOBODY = ("reader", "renalclip")
_PROGRAM = "RenalCLIP kidney masks measurements manufacturer device observation bundle resource system preliminary"
_EDITED = ", from a draft"  # what reader_changes adds to a reader's name
_IDENTIFYING = {
    "PatientID", "OtherPatientIDs", "PatientBirthName", "PatientAddress", "PatientComments", "ImageComments",
    "PatientTelephoneNumbers", "MedicalRecordLocator", "AccessionNumber", "StudyID", "InstitutionName",
    "InstitutionAddress", "InstitutionalDepartmentName", "DeviceSerialNumber", "StationName", "AdmissionID",
    "CountryOfResidence", "RegionOfResidence", "MilitaryRank", "Occupation", "AdditionalPatientHistory",
    "RequestingService", "RequestedProcedureID", "ScheduledProcedureStepID", "PerformedProcedureStepID",
    "IssuerOfPatientID", "ReferringPhysicianAddress", "ReferringPhysicianTelephoneNumbers", "PerformedLocation",
    "StudyComments", "SeriesComments", "VisitComments", "DetectorID", "PlateID", "CassetteID", "GantryID",
    "FillerOrderNumberImagingServiceRequest", "PlacerOrderNumberImagingServiceRequest",
}  # fmt: skip


@dataclass(frozen=True)
class Identity:
    """Values that may not get out, each with the attribute that it was found in (which is what messages say).

    Attributes:
        values: Whole names, numbers, dates, UIDs, addresses: looked for everywhere.
        words: Single words, such as a family name, that can also be ordinary words (Renal, Stone, Long). They are taken
            out of what persons wrote, and looked for everywhere unless the program itself uses the word.
    """

    values: Mapping[str, str] = field(default_factory=dict, repr=False)
    words: Mapping[str, str] = field(default_factory=dict, repr=False)

    @staticmethod
    def of_review(review: CaseReview) -> Identity:
        """The identifiers that a review was asked to keep, and its readers' whole names."""
        known, readers = review.study.identifiers, Identity(dict.fromkeys(_reader_names(review), "readers' names"))
        if isinstance(known, Absent):
            return readers
        pairs = [("PatientName", part) for part in _name_parts(known.patient_name)]
        pairs += [("PatientID", known.patient_id), ("AccessionNumber", known.accession_number)]
        pairs += [("StudyDate", form) for form in _date_forms(known.study_date)]
        return readers | _identity(pairs)

    @staticmethod
    def of_dataset(dataset: Dataset) -> Identity:
        """Names, numbers, dates, UIDs and private values of a DICOM header, also in its sequences."""
        return _identity(_identifying_values(dataset))

    def __or__(self, other: Identity) -> Identity:
        return Identity({**self.values, **other.values}, {**self.words, **other.words})

    def places_in(self, text: str) -> list[str]:
        """Names of the attributes whose values stand in a text."""
        folded, own = text.casefold(), own_words() if self.words else frozenset()
        sought = {**self.values, **{word: name for word, name in self.words.items() if word.casefold() not in own}}
        return sorted({name for value, name in sought.items() if _stands_in(value, folded, text)})

    def without(self, text: str, *, by_person: bool) -> str:
        """A text in which every known value is replaced; of a text that a person wrote, the single words too."""
        known = {**self.values, **self.words} if by_person else self.values
        for value in sorted(known, key=len, reverse=True):
            if _stands_in(value, text.casefold(), text):
                text = _pattern(value).sub(REMOVED, text)
        return text


@cache
def own_words() -> frozenset[str]:
    """Words (folded) that the program itself writes: those of the page and of the names of values."""
    pages = [path.read_text(encoding="utf-8") for path in (resources() / "templates").glob("*.j2")]
    return frozenset(re.findall(r"[^\W\d_]{4,}", " ".join([*pages, *KEYS.values(), _PROGRAM]).casefold()))


@dataclass(frozen=True)
class UidMap:
    """One rule from a UID to its replacement: the same within a study, not to be turned back without the key.

    Attributes:
        key: Mixed into every UID; the study's pseudonym unless a person gives a secret of their own.
    """

    key: str = field(repr=False)

    def of(self, uid: str) -> str:
        """The replacement; UIDs that the standard defines stay."""
        return uid if uid.startswith(STANDARD_ROOT) or not uid else made_uid("replaced", self.key, uid)


def made_uid(*parts: str) -> str:
    """A UID (root 2.25) that depends on the parts alone."""
    digest = hashlib.sha256("\0".join(("renalclip", *parts)).encode("utf-8", "backslashreplace")).digest()
    return f"2.25.{uuid.UUID(bytes=digest[:16], version=5).int}"


def deidentified_review(review: CaseReview, identity: Identity) -> tuple[CaseReview, int]:
    """A review without identifiers, readers' names and their free words, and how many texts held a known value.

    Readers become ``Reader 1`` and so on. What a person wrote as a comment or reason is removed as a whole; all other
    text loses the values that are known.
    """
    readers = ReaderNames()
    source = review.provenance
    cleaned = replace(
        review,
        study=replace(review.study, identifiers=Absent("removed by de-identification"), folder=""),
        lesions=tuple(_without_readers(lesion, readers, identity) for lesion in review.lesions),
        edits=tuple(_edit(item, readers, identity) for item in review.edits),
        sign_off=tuple(_verdict(item, readers, identity) for item in review.sign_off),
        provenance=replace(source, created=_time(source.created, identity)),
    )
    found = 0

    def clean(value: Any) -> Any:
        """A JSON value without what is known; what is removed is counted."""
        nonlocal found
        if isinstance(value, dict):
            return {key: clean(item) for key, item in value.items()}
        if isinstance(value, list):
            return [clean(item) for item in value]
        if not isinstance(value, str):
            return value
        text = identity.without(value, by_person=False)
        found += text != value
        return text

    return decode(CaseReview, clean(encode(cleaned))), found + _persons_texts(review, identity)


def check_text(text: str, identity: Identity) -> None:
    """Refuse a text that holds a known value.

    Raises:
        OutputError: It does; the message names the attribute, never the value.
    """
    places = identity.places_in(text)
    if places:
        raise OutputError(
            f"The export would still hold the source's {', '.join(places)}, so nothing was written. Remove it from the "
            "review's text, or export with --keep-identifiers."
        )


def check_dataset(dataset: Dataset, identity: Identity) -> None:
    """Refuse a DICOM object that holds a known value anywhere, a private element, or no mark of de-identification.

    Raises:
        OutputError: As said.
    """
    uids = {value for value, name in identity.values.items() if name.endswith("UID")}
    texts = []
    for element in dataset.iterall():
        if element.tag.is_private:
            raise OutputError("The export would hold private DICOM elements, so nothing was written.")
        if element.VR == "UI":
            if uids & set(_texts(element.value)):
                raise OutputError(f"The export would still hold the source's {element.keyword}; nothing was written.")
        elif element.VR not in ("OB", "OW", "OF", "OD", "SQ", "DS", "FD", "FL", "IS", "US", "UL", "SS", "SL", "AT"):
            texts += _texts(element.value)
    check_text("\n".join(texts), identity)
    if dataset.get("PatientIdentityRemoved") != "YES":
        raise OutputError("The export is not marked as de-identified, so nothing was written.")


def texts_of(review: CaseReview) -> Iterator[str]:
    """Every text of a review."""

    def walk(value: Any) -> Iterator[str]:
        """The texts of a JSON value."""
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            for item in value.values():
                yield from walk(item)
        elif isinstance(value, list):
            for item in value:
                yield from walk(item)

    yield from walk(encode(review))


def mark_deidentified(dataset: Dataset) -> None:
    """Say in a DICOM object that it was de-identified, and how (PS3.15, basic profile)."""
    from pydicom import Dataset as Item

    code = Item()
    code.CodeValue, code.CodingSchemeDesignator = "113100", "DCM"
    code.CodeMeaning = "Basic Application Confidentiality Profile"
    dataset.PatientIdentityRemoved = "YES"
    dataset.DeidentificationMethod = METHOD
    dataset.DeidentificationMethodCodeSequence = [code]
    dataset.LongitudinalTemporalInformationModified = "REMOVED"


def _without_readers(lesion: LesionReview, readers: ReaderNames, identity: Identity) -> LesionReview:
    used, draft = lesion.centre_used, lesion.report
    if not isinstance(used, Absent):
        manual = used.source == "manual"
        used = replace(used, at=_time(used.at, identity), by=readers.of(used.by) if manual else used.by)
        used = replace(used, why=REMOVED if manual and used.why else used.why)
    if not isinstance(draft, Absent) and draft.source.endswith(_EDITED):
        draft = ReportDraft(
            identity.without(draft.findings, by_person=True),
            identity.without(draft.impression, by_person=True),
            readers.of(draft.source.removesuffix(_EDITED)) + _EDITED,
        )
    return replace(lesion, centre_used=used, report=draft)


def _edit(item: Edit, readers: ReaderNames, identity: Identity) -> Edit:
    return Edit(
        item.pointer,
        identity.without(item.before, by_person=True),
        identity.without(item.after, by_person=True),
        readers.of(item.by),
        _time(item.at, identity),
        REMOVED if item.why else "",
    )


def _verdict(item: SignOff, readers: ReaderNames, identity: Identity) -> SignOff:
    comment = REMOVED if item.comment else ""
    return replace(item, by=readers.of(item.by), comment=comment, at=_time(item.at, identity))


def _persons_texts(review: CaseReview, identity: Identity) -> int:
    """How many of the texts that a person wrote held a known value."""
    drafts = [lesion.report for lesion in review.lesions]
    edited = [d for d in drafts if not isinstance(d, Absent) and d.source.endswith(_EDITED)]
    texts = [text for draft in edited for text in (draft.findings, draft.impression)]
    texts += [text for item in review.edits for text in (item.before, item.after)]
    return sum(identity.without(text, by_person=True) != text for text in texts)


def _reader_names(review: CaseReview) -> Iterator[str]:
    """Names of readers that are long enough not to be found everywhere; a bare ``reader`` is nobody's."""
    centres = [lesion.centre_used for lesion in review.lesions]
    names = [one.by for one in centres if not isinstance(one, Absent) and one.source == "manual"]
    names += [*(item.by for item in review.edits), *(item.by for item in review.sign_off)]
    for name in map(str.strip, names):
        if len(name) >= (_SHORTEST if name.isascii() else 2) and name.casefold() not in _NOBODY:
            yield name


def _time(at: str, identity: Identity) -> str:
    """A time of the review, unless its day is one of the patient's."""
    return at if identity.without(at[:10], by_person=False) == at[:10] else REMOVED


def _identifying_values(dataset: Dataset) -> Iterator[tuple[str, str]]:
    for element in dataset.iterall():
        if element.VR == "SQ":
            continue
        name = "private elements" if element.tag.is_private else (element.keyword or "unknown elements")
        for text in _texts(element.value):
            if element.VR == "PN":
                yield from ((name, part) for part in _name_parts(text))
            elif element.VR in ("DA", "DT"):
                yield from ((name, form) for form in _date_forms(text))
            elif element.VR == "UI":
                if not text.startswith(STANDARD_ROOT):
                    yield name if name.endswith("UID") else f"{name}UID", text
            elif element.tag.is_private or name in _IDENTIFYING:
                yield name, text


def _texts(value: Any) -> list[str]:
    if value is None:
        return []
    if isinstance(value, bytes):
        return [value.decode("latin-1").strip("\0 ")]
    if isinstance(value, MutableSequence):  # several values; a person's name iterates over its letters
        return [text for item in value for text in _texts(item)]
    return [str(value).strip("\0 ")]


def _name_parts(name: str) -> Iterator[str]:
    """A person's name as it could stand in a text: whole, with spaces, turned round, and each longer part."""
    for group in str(name).split("="):
        parts = [part.strip() for part in group.split("^") if part.strip()]
        if not parts:
            continue
        yield group.strip()
        yield from (" ".join(parts), " ".join(reversed(parts)), "".join(parts), ", ".join(parts))
        yield from parts


def _date_forms(date: str) -> Iterator[str]:
    digits = re.match(r"(\d{4})(\d\d)(\d\d)", str(date))
    if digits:
        year, month, day = digits.groups()
        yield from (f"{year}{month}{day}", f"{year}-{month}-{day}", f"{day}.{month}.{year}", f"{year}/{month}/{day}")


def _identity(pairs: Iterable[tuple[str, str]]) -> Identity:
    """What is long enough not to be found everywhere (Chinese names are short), single words apart from the rest."""
    values: dict[str, str] = {}
    words: dict[str, str] = {}
    for name, given in pairs:
        text = given.strip()
        if len(text) >= (_SHORTEST if text.isascii() else 2):
            (words if text.isascii() and text.isalpha() else values)[text] = name
    return Identity(values, words)


def _pattern(value: str) -> re.Pattern[str]:
    """The value as a word of its own; a number also not as a part of a date; scripts without spaces have no words."""
    body = re.escape(value)
    if not value.isascii():
        return re.compile(body, re.IGNORECASE)
    joined = ":-" if value.isdigit() else ""
    return re.compile(rf"(?<![\w.{joined}]){body}(?![\w{joined}]|\.\d)", re.IGNORECASE)


def _stands_in(value: str, folded: str, text: str) -> bool:
    return value.casefold() in folded and _pattern(value).search(text) is not None
