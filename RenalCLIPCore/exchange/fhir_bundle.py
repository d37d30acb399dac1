"""A review as a FHIR bundle: R5 (with ImagingSelection) or R4B (with ImagingStudy in its place).

Numbers and classes are those of :func:`.lesion_values.lesion_values`, under the same keys, one Observation each; an
Observation per lesion holds them together. The bundle is plain JSON and refers to itself by ``urn:uuid``.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import ConfigurationError
from ..review import CaseReview, LesionReview
from ..review_reading import present
from .deidentification import made_uid
from .dicom_source import DicomSource
from .lesion_values import Category, Quantity, lesion_values
from .page import missing_parts
from .reader_statements import CENTRE, Statement
from .terminology import (
    FHIR_REPORT,
    FHIR_SYSTEMS,
    LESION_KINDS,
    LOCAL,
    SNOMED,
    Concept,
    class_concept,
    concept,
    unit,
)

Resource = dict[str, Any]

RELEASES = {"R5": "5.0.0", "R4B": "4.3.0"}
KIDNEYS = {
    "left": Concept(SNOMED, "18639004", "Left kidney"),
    "right": Concept(SNOMED, "9846003", "Right kidney"),
}
CT_MODALITY = {"system": FHIR_SYSTEMS["DCM"], "code": "CT", "display": "Computed Tomography"}
_CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"


@dataclass
class _Writer:
    """Collects the entries of one bundle."""

    review: CaseReview
    source: DicomSource | None
    release: str
    segments: dict[str, tuple[str, str, int]]
    entries: list[Resource] = field(default_factory=list)
    values: dict[tuple[str, str], str] = field(default_factory=dict)
    readers: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, resource: Resource) -> str:
        """Add a resource without its empty parts; returns its reference."""
        url = f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, made_uid(self.release, self.review.study.study_id, name))}"
        self.entries.append({"fullUrl": url, "resource": _filled(resource)})
        return url


def fhir_bundle(
    review: CaseReview,
    release: str = "R5",
    source: DicomSource | None = None,
    segments: dict[str, tuple[str, str, int]] | None = None,
    statements: Sequence[Statement] = (),
) -> Resource:
    """The bundle as JSON-ready dicts.

    Args:
        review: The record, already de-identified where that is wanted.
        release: A key of :data:`RELEASES`.
        source: The DICOM series it was made from; without one no images are named.
        segments: By lesion id: class UID and instance UID of the DICOM segmentation, and the segment's number.
        statements: What readers said; each becomes an Observation of its own with the reader as performer.

    Raises:
        ConfigurationError: Another release.
    """
    if release not in RELEASES:
        raise ConfigurationError(f"FHIR {' or '.join(RELEASES)} can be written, {release!r} was asked for.")
    writer = _Writer(review, source, release, segments or {})
    patient = writer.add("patient", _patient(review, source))
    devices = _devices(writer)
    images = _images(writer, patient)
    results = [_kidney(writer, patient, devices[-1], side, volume, images) for side, volume in _kidney_volumes(review)]
    results += [_lesion(writer, patient, devices[0], lesion, images) for lesion in review.lesions]
    results += [_statement(writer, patient, number, item) for number, item in enumerate(statements, 1)]
    writer.add("report", _report(writer, patient, results, images))
    bundle = {
        "resourceType": "Bundle",
        "type": "collection",
        "timestamp": instant(review.provenance.created),
        "identifier": {"system": "urn:renalclip:study", "value": review.study.study_id},
        "entry": writer.entries,
    }
    return {key: value for key, value in bundle.items() if value is not None}


def fhir_json(bundle: Resource) -> str:
    """The bundle as JSON text."""
    return json.dumps(bundle, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def instant(text: str) -> str | None:
    """An ISO 8601 time as a FHIR instant, None where it is none."""
    usable = re.fullmatch(r"[1-9]\d{3}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", text)
    return text if usable else None


def codeable(item: Concept, text: str = "") -> Resource:
    """A code with its system as FHIR has it."""
    coding = {"system": FHIR_SYSTEMS[item.scheme], "code": item.value, "display": item.meaning}
    return {"coding": [coding], "text": text or item.meaning}


def _filled(value: Any) -> Any:
    """A resource without None, empty texts, lists and objects, which FHIR forbids."""
    if isinstance(value, dict):
        return {key: part for key, item in value.items() if (part := _filled(item)) not in (None, "", [], {})}
    if isinstance(value, list):
        return [part for item in value if (part := _filled(item)) not in (None, "", [], {})]
    return value


def _patient(review: CaseReview, source: DicomSource | None) -> Resource:
    known = present(review.study.identifiers)
    number = {"system": "urn:renalclip:study", "value": review.study.study_id}
    resource: Resource = {"resourceType": "Patient", "identifier": [number]}
    if known is not None:
        family, _, given = known.patient_name.partition("=")[0].partition("^")
        resource["identifier"] = [{"value": known.patient_id}, number]
        resource["name"] = [{"text": known.patient_name, "family": family, "given": given.replace("^", " ").split()}]
        if source is not None:
            resource["birthDate"] = _date(source.subject.birth_date)
            resource["gender"] = {"M": "male", "F": "female", "O": "other"}.get(source.subject.sex)
    return resource


def _date(digits: str) -> str | None:
    return f"{digits[:4]}-{digits[4:6]}-{digits[6:]}" if re.fullmatch(r"[1-9]\d{7}", digits) else None


def _devices(writer: _Writer) -> list[str]:
    """What read the lesions (the bundle, else the program) first, what drew the masks last."""
    source, masks = writer.review.provenance, present(writer.review.segmentation)
    program = _device(writer, "RenalCLIP", source.core_version, "", "case review program")
    found = [program]
    bundle = present(source.bundle)
    if bundle is not None:
        trained = present(source.trained_on) or ""
        note = f"{source.intended_use} Trained on: {trained}" if trained else source.intended_use
        found.insert(0, _device(writer, bundle, "", present(source.bundle_sha256) or "", note))
    if masks is not None:
        found.append(_device(writer, masks.model or "given label map", "", masks.sha256, "kidney and lesion masks"))
    return found


def _device(writer: _Writer, name: str, version: str, digest: str, note: str) -> str:
    named: Resource = (
        {"name": [{"value": name, "type": "registered-name"}]}
        if writer.release == "R5"
        else {"deviceName": [{"name": name, "type": "model-name"}]}
    )
    resource = {
        "resourceType": "Device",
        "identifier": [{"system": "urn:renalclip:sha256", "value": digest}] if digest else [],
        "manufacturer": "RenalCLIP",
        **named,
        "version": [{"value": version}] if version else [],
        "note": [{"text": note}],
    }
    return writer.add(f"device {name} {note}", resource)


def _images(writer: _Writer, patient: str) -> list[str]:
    """The source series: an ImagingSelection (R5) or an ImagingStudy (R4B)."""
    source = writer.source
    if source is None:
        return []
    if writer.release == "R4B":
        return [writer.add("images", _imaging_study(source, patient))]
    instances = [
        {"uid": uid, "sopClass": _sop_class(kind)} for kind, uid in sorted(set(_pairs(source)), key=lambda p: p[1])
    ]
    resource = _selection(source, patient, source.series_uid, "CT series of the reference phase")
    return [writer.add("images", resource | {"instance": instances})]


def _imaging_study(source: DicomSource, patient: str) -> Resource:
    instances = [
        {"uid": uid, "sopClass": _sop_class(kind)} for kind, uid in sorted(set(_pairs(source)), key=lambda p: p[1])
    ]
    series = {"uid": source.series_uid, "modality": CT_MODALITY, "instance": instances}
    return {
        "resourceType": "ImagingStudy",
        "identifier": [{"system": "urn:dicom:uid", "value": f"urn:oid:{source.study_uid}"}],
        "status": "available",
        "subject": {"reference": patient},
        "series": [series],
    }


def _pairs(source: DicomSource) -> list[tuple[str, str]]:
    return list(zip(source.sop_class_uids, source.sop_instance_uids, strict=True))


def _sop_class(uid: str) -> Resource:
    return {"system": "urn:ietf:rfc:3986", "code": f"urn:oid:{uid}"}


def _selection(source: DicomSource, patient: str, series_uid: str, words: str) -> Resource:
    return {
        "resourceType": "ImagingSelection",
        "status": "available",
        "subject": {"reference": patient},
        "code": {"text": words},
        "studyUid": source.study_uid,
        "seriesUid": series_uid,
        "frameOfReferenceUid": source.frame_uid,
    }


def _lesion_selection(writer: _Writer, patient: str, lesion: LesionReview) -> list[str]:
    """R5: the lesion's segment in the DICOM segmentation, and its centre as a point in the frame of reference."""
    source, centre = writer.source, present(lesion.centre_used)
    if source is None or writer.release != "R5":
        return []
    resource = _selection(source, patient, "", f"Lesion {lesion.lesion_id}")
    kind, uid, number = writer.segments.get(lesion.lesion_id, (*_pairs(source)[len(source.slices) // 2], 0))
    instance: Resource = {"uid": uid, "sopClass": _sop_class(kind), "subset": [str(number)] if number else []}
    if centre is not None:
        instance["imageRegion3D"] = [{"regionType": "point", "coordinate": list(centre.lps_mm)}]
    return [writer.add(f"selection {lesion.lesion_id}", resource | {"instance": [instance]})]


def _observation(writer: _Writer, patient: str, device: str, code: Resource, site: Concept | None) -> Resource:
    return {
        "resourceType": "Observation",
        "status": "preliminary",
        "category": [{"coding": [{"system": _CATEGORY, "code": "imaging", "display": "Imaging"}]}],
        "code": code,
        "subject": {"reference": patient},
        "issued": instant(writer.review.provenance.created),
        "bodySite": codeable(site) if site else None,
        "device": {"reference": device},
    }


def _kidney_volumes(review: CaseReview) -> list[tuple[str, float]]:
    record = present(review.segmentation)
    return list(record.kidney_volumes_ml.items()) if record else []


def _kidney(writer: _Writer, patient: str, device: str, side: str, volume: float, images: list[str]) -> str:
    code = codeable(concept("volume_ml", "Volume"), "Volume of the kidney with its lesions")
    resource = _observation(writer, patient, device, code, KIDNEYS.get(side))
    resource["valueQuantity"] = _quantity(volume, "mL")
    resource["derivedFrom"] = [{"reference": image} for image in images]
    return writer.add(f"kidney {side}", resource)


def _lesion(writer: _Writer, patient: str, device: str, lesion: LesionReview, images: list[str]) -> str:
    site = KIDNEYS.get(lesion.side)
    selected = _lesion_selection(writer, patient, lesion)
    members = []
    for item in lesion_values(lesion):
        resource = _observation(writer, patient, device, codeable(concept(item.key, item.name), item.name), site)
        resource |= _value(item)
        members.append(writer.add(f"{lesion.lesion_id} {item.key}", resource))
        writer.values[lesion.lesion_id, item.key] = members[-1]
    kind = LESION_KINDS.get(lesion.label, LESION_KINDS["point"])
    code = Concept(LOCAL, "lesion", "Renal lesion")
    group = _observation(writer, patient, device, codeable(code), site)
    group["identifier"] = [{"system": "urn:renalclip:lesion", "value": lesion.lesion_id}]
    group["valueCodeableConcept"] = codeable(kind, lesion.label)
    group["hasMember"] = [{"reference": member} for member in members]
    group["derivedFrom"] = [{"reference": image} for image in (*selected, *images)]
    notes = [f"{'Primary' if lesion.primary else 'Further'} lesion of the {lesion.side} kidney."]
    notes += [f"Not there: {names}. {reason}" for names, reason in missing_parts(lesion)]
    group["note"] = [{"text": note} for note in notes]
    return writer.add(f"lesion {lesion.lesion_id}", group)


def _statement(writer: _Writer, patient: str, number: int, item: Statement) -> str:
    """What a reader said: nothing of the program's Observations is changed by it."""
    value = item.value
    about = [url for (lesion, key), url in writer.values.items() if lesion == item.lesion_id and item.judges(key)]
    resource: Resource = {
        "resourceType": "Observation",
        "status": "final",
        "category": [{"coding": [{"system": _CATEGORY, "code": "imaging", "display": "Imaging"}]}],
        "code": codeable(item.name),
        "subject": {"reference": patient},
        "effectiveDateTime": instant(item.at),
        "performer": [{"reference": _reader(writer, item.by)}],
        "identifier": [{"system": "urn:renalclip:lesion", "value": item.lesion_id}] if item.lesion_id else [],
        "valueString": item.words if value is None else None,
        "valueCodeableConcept": codeable(value, item.words) if value is not None else None,
        "note": [{"text": item.comment}] if item.comment else [],
        "derivedFrom": [{"reference": url} for url in about] if item.kind != CENTRE else [],
    }
    return writer.add(f"statement {number}", resource)


def _reader(writer: _Writer, name: str) -> str:
    if name not in writer.readers:
        resource = {"resourceType": "Practitioner", "name": [{"text": name}]}
        writer.readers[name] = writer.add(f"reader {len(writer.readers) + 1}", resource)
    return writer.readers[name]


def _value(item: Quantity | Category) -> Resource:
    if isinstance(item, Category):
        return {"valueCodeableConcept": codeable(class_concept(item.key, item.value), item.value)}
    return {"valueQuantity": _quantity(item.value, item.unit)}


def _quantity(value: float, code: str) -> Resource:
    return {"value": value, "unit": unit(code).meaning, "system": FHIR_SYSTEMS["UCUM"], "code": code}


def _report(writer: _Writer, patient: str, results: list[str], images: list[str]) -> Resource:
    review = writer.review
    drafts = [(lesion.lesion_id, present(lesion.report)) for lesion in review.lesions]
    texts = [review.conclusion]
    texts += [f"{name}. Findings: {d.findings}\nImpression: {d.impression}" for name, d in drafts if d is not None]
    texts.append(review.provenance.intended_use)
    linked = [{"reference": image} for image in images]
    resource = {
        "resourceType": "DiagnosticReport",
        "identifier": [{"system": "urn:renalclip:study", "value": review.study.study_id}],
        "status": "preliminary",
        "code": codeable(FHIR_REPORT),
        "subject": {"reference": patient},
        "effectiveDateTime": _effective(writer),
        "issued": instant(review.provenance.created),
        "result": [{"reference": result} for result in results],
        "conclusion": "\n\n".join(texts),
    }
    if writer.release == "R4B":
        resource["imagingStudy"] = linked
    return resource


def _effective(writer: _Writer) -> str | None:
    known = present(writer.review.study.identifiers)
    return _date(known.study_date) if known else None
