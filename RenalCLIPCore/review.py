"""CaseReview and its parts, and their JSON form. Standard library only: the one core file a light host imports.

Every part that a bundle or a study cannot give is an :class:`Absent` with its reason, never an empty value. Positions
are LPS millimetres. ``predicted`` comes from the network, ``measured`` from the masks; they are kept apart.
"""

from __future__ import annotations

import json
import os
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .review_json import ReviewFormatError, decode, encode, schema
from .review_measured import (
    CentralityIndex,
    Evidence,
    EvidencePlane,
    EvidencePoint,
    EvidenceSegment,
    EvidenceShell,
    Measured,
    MeasuredComponent,
    PaduaScore,
    ScoreItem,
)
from .review_predicted import (
    BinaryPrediction,
    ClassProbability,
    ComponentPrediction,
    Explanation,
    Neighbour,
    NephrometryTotal,
    OutOfDistribution,
    Predecessor,
    Predicted,
    PromptMatch,
    RiskPrediction,
    TaskSpread,
    Uncertainty,
    ZeroShotReading,
)
from .review_study import Absent, Centre, Identifiers, PhaseRecord, Point, Registration, SegmentationRecord, StudyRecord

__all__ = [
    "SCHEMA_VERSION",
    "Absent",
    "BinaryPrediction",
    "CaseReview",
    "CentralityIndex",
    "Centre",
    "ClassProbability",
    "ComponentPrediction",
    "Edit",
    "Evidence",
    "EvidencePlane",
    "EvidencePoint",
    "EvidenceSegment",
    "EvidenceShell",
    "Explanation",
    "Identifiers",
    "LesionReview",
    "Measured",
    "MeasuredComponent",
    "Neighbour",
    "NephrometryTotal",
    "OutOfDistribution",
    "PaduaScore",
    "PhaseRecord",
    "Point",
    "Predecessor",
    "Predicted",
    "PromptMatch",
    "Provenance",
    "Registration",
    "ReportDraft",
    "ReviewFormatError",
    "RiskPrediction",
    "ScoreItem",
    "SegmentationRecord",
    "SignOff",
    "StudyRecord",
    "TaskSpread",
    "Uncertainty",
    "ZeroShotReading",
    "decode",
    "encode",
    "from_json",
    "json_schema",
    "read_review",
    "to_json",
    "write_review",
]

SCHEMA_VERSION = "1.0"


@dataclass(frozen=True)
class ReportDraft:
    """A report in the form Findings / Impression. ``source`` is ``structured`` or the name of a generator."""

    findings: str
    impression: str
    source: str


@dataclass(frozen=True)
class LesionReview:
    """One lesion.

    Attributes:
        lesion_id: ``L1`` is the primary lesion, then by the paper's order.
        side: ``left`` or ``right`` (the patient's).
        label: ``tumour``, ``cyst`` or ``point`` (a centre was given where no lesion is segmented).
        primary: Whether it is the primary lesion.
        volume_ml: Of the mask.
        largest_diameter_mm: Largest diameter in three dimensions.
        axial_diameter_mm: Largest diameter in any axial slice.
        centre_proposed: From the segmentation, by the paper's rule.
        centre_used: The one that the region of interest was cut around.
        roi_inside: Share of the region of interest inside the reference volume.
        predicted: The network's reading.
        measured: From the masks.
        report: Text drafted from the findings.
        pictures: Figures relative to the review, by name.
        attenuation_hu: Mean attenuation inside the mask, by phase (``N`` ...).
        predecessor: The multi-phase 2-D network's reading.
    """

    lesion_id: str
    side: str
    label: str
    primary: bool
    volume_ml: float | Absent
    largest_diameter_mm: float | Absent
    axial_diameter_mm: float | Absent
    centre_proposed: Centre | Absent
    centre_used: Centre | Absent
    roi_inside: float | Absent
    predicted: Predicted | Absent
    measured: Measured | Absent
    report: ReportDraft | Absent
    pictures: dict[str, str] = field(default_factory=dict)
    attenuation_hu: dict[str, float] = field(default_factory=dict)
    predecessor: Predecessor | Absent = field(
        default_factory=lambda: Absent("The predecessor has not read this lesion.")
    )


@dataclass(frozen=True)
class Provenance:
    """What made the review.

    Attributes:
        created: ISO 8601, UTC.
        core_version: Of RenalCLIPCore.
        libraries: Versions of the libraries that decide numbers.
        bundle: Name and version of the model bundle.
        bundle_sha256: Hash over the bundle's files.
        trained_on: Training data in one sentence.
        intended_use: For instance ``Research only. Not for clinical use.``
        options: Options that decide the result.
        seconds: Time per step.
    """

    created: str
    core_version: str
    libraries: dict[str, str]
    bundle: str | Absent
    bundle_sha256: str | Absent
    trained_on: str | Absent
    intended_use: str
    options: dict[str, str]
    seconds: dict[str, float]


@dataclass(frozen=True)
class Edit:
    """A change by a person: JSON pointer, old and new value as JSON text, who, when and why."""

    pointer: str
    before: str
    after: str
    by: str
    at: str
    why: str


@dataclass(frozen=True)
class SignOff:
    """A person's verdict on one finding: ``accepted`` or ``rejected``."""

    finding: str
    verdict: str
    comment: str
    by: str
    at: str


@dataclass(frozen=True)
class CaseReview:
    """The review of one study. ``lesions`` lists the primary lesion first and is empty when none was found."""

    schema_version: str
    study: StudyRecord
    segmentation: SegmentationRecord | Absent
    conclusion: str
    lesions: tuple[LesionReview, ...]
    provenance: Provenance
    edits: tuple[Edit, ...] = ()
    sign_off: tuple[SignOff, ...] = ()

    @property
    def primary(self) -> LesionReview | None:
        """The primary lesion, if there is one."""
        return next((lesion for lesion in self.lesions if lesion.primary), None)


def to_json(review: CaseReview) -> str:
    """JSON text of a review (UTF-8, two-space indent, keys in the order of the fields)."""
    return json.dumps(encode(review), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def from_json(text: str) -> CaseReview:
    """Read a review.

    Raises:
        ReviewFormatError: No JSON, an unknown version, or a field that is missing, unknown or of a wrong type.
    """
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ReviewFormatError(f"The review is not valid JSON: {error}.") from error
    version = data.get("schema_version") if isinstance(data, dict) else None
    if version != SCHEMA_VERSION:
        raise ReviewFormatError(f"Schema version {SCHEMA_VERSION} is needed, but this review says {version!r}.")
    return typing.cast(CaseReview, decode(CaseReview, data))


def write_review(review: CaseReview, path: Path) -> None:
    """Write ``review.json`` by atomic rename."""
    partial = path.with_name(f".partial-{path.name}")
    try:
        # A lone surrogate has no UTF-8 form; its escape is JSON and reads back as itself.
        partial.write_text(to_json(review), encoding="utf-8", errors="backslashreplace")
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def read_review(path: Path) -> CaseReview:
    """Read a review file.

    Raises:
        ReviewFormatError: As for :func:`from_json`.
        OSError: The file cannot be read.
    """
    try:
        return from_json(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise ReviewFormatError("The review is not UTF-8 text.") from error


def json_schema() -> dict[str, Any]:
    """The JSON schema (draft 2020-12) of :class:`CaseReview`, derived from the dataclasses."""
    definitions: dict[str, Any] = {}
    root = schema(CaseReview, definitions)
    definitions["CaseReview"]["properties"]["schema_version"] = {"const": SCHEMA_VERSION}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "RenalCLIP case review",
        **root,
        "$defs": definitions,
    }
