"""CaseReview and its parts, and their JSON form. Standard library only: the one core file a light host imports.

Every part that a bundle or a study cannot give is an :class:`Absent` with its reason, never an empty value. Positions
are LPS millimetres. ``predicted`` comes from the network, ``measured`` from the masks; they are kept apart.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import os
import sys
import types
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SCHEMA_VERSION = "1.0"
_UNIONS = (typing.Union, getattr(types, "UnionType", typing.Union))

Point = tuple[float, float, float]


@dataclass(frozen=True)
class Absent:
    """A part that is not there, and why."""

    absent: str


@dataclass(frozen=True)
class Registration:
    """Rigid registration of a phase to the reference around the kidneys.

    Attributes:
        translation_mm: Where the kidneys' centre lies in the phase, minus where it lies in the reference (LPS).
        rotation_deg: Rotation about the (L, P, S) axes.
        residual_before: Mean distance between soft-tissue surfaces around the kidneys before, in mm.
        residual_after: The same after registration.
    """

    translation_mm: Point
    rotation_deg: Point
    residual_before: float
    residual_after: float


@dataclass(frozen=True)
class PhaseRecord:
    """One phase of the study.

    Attributes:
        phase: ``N``, ``A``, ``V`` or ``D``.
        file: Volume file, relative to the review where possible.
        confidence: Of the recognition, 0 to 1.
        reason: How the phase was recognised.
        overridden: Whether a person named the phase.
        size: Voxels (i, j, k).
        spacing_mm: Voxel spacing (i, j, k).
        registration: Only when it was asked for.
        notes: What a reader should know (gaps, tilt, resampling).
    """

    phase: str
    file: str
    confidence: float
    reason: str
    overridden: bool
    size: tuple[int, int, int]
    spacing_mm: Point
    registration: Registration | Absent
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Identifiers:
    """Patient identifiers, present only when they were asked for."""

    patient_name: str
    patient_id: str
    study_date: str
    accession_number: str


@dataclass(frozen=True)
class StudyRecord:
    """The study that was reviewed.

    Attributes:
        study_id: A pseudonym, not an identifier of the patient.
        folder: Relative to the review, or empty when the study lies elsewhere.
        reference_phase: Phase whose grid is the common frame.
        phases: All phases.
        identifiers: Only when they were asked for.
        notes: What import had to say.
        pictures: Survey figures of a study without a lesion, relative to the review, by name.
    """

    study_id: str
    folder: str
    reference_phase: str
    phases: tuple[PhaseRecord, ...]
    identifiers: Identifiers | Absent
    notes: tuple[str, ...] = ()
    pictures: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class SegmentationRecord:
    """Where the masks come from.

    Attributes:
        file: Label map (kidney 1, tumour 2, cyst 3) on the reference grid.
        source: ``model`` or ``file``.
        model: Name of the nnU-Net model, or of the given file.
        sha256: Hash of the model or file.
        kidney_volumes_ml: Volume per side (``left``, ``right``) of kidney with its lesions.
        notes: For instance a resampling.
    """

    file: str
    source: str
    model: str
    sha256: str
    kidney_volumes_ml: dict[str, float]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Centre:
    """A lesion centre. ``source`` is ``segmentation`` or ``manual``; ``at`` is ISO 8601 in UTC."""

    lps_mm: Point
    source: str
    by: str
    at: str
    why: str


@dataclass(frozen=True)
class ClassProbability:
    """One class of a task: its name, R.E.N.A.L. points (0 where it carries none) and probability."""

    name: str
    points: int
    probability: float


@dataclass(frozen=True)
class ComponentPrediction:
    """A predicted R.E.N.A.L. component (``R``, ``E``, ``N``, ``A``, ``L`` or ``h``).

    Attributes:
        component: Letter of the component.
        classes: All classes, in the order of the bundle.
        predicted: Index of the most probable class.
        per_phase: Probabilities of the classes from each phase alone.
    """

    component: str
    classes: tuple[ClassProbability, ...]
    predicted: int
    per_phase: dict[str, tuple[float, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class NephrometryTotal:
    """Sum of the points of R, E, N and L from the most probable classes, with its suffix and complexity.

    Attributes:
        score: 4 to 12.
        text: For instance ``7a``.
        complexity: ``low`` (4-6), ``moderate`` (7-9) or ``high`` (10-12).
        complexity_probabilities: Of the three, with the components taken as independent.
    """

    score: int
    text: str
    complexity: str
    complexity_probabilities: dict[str, float]


@dataclass(frozen=True)
class BinaryPrediction:
    """A probability of the positive class, the threshold that the bundle states and where both come from."""

    task: str
    positive: str
    negative: str
    probability: float
    threshold: float
    calibration: str
    per_phase: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class RiskPrediction:
    """Recurrence risk from the Cox model.

    Attributes:
        score: Log relative hazard.
        group: ``high`` when the score exceeds the cohort's median, else ``low``.
        cohort_median: The stored median.
        cohort: The cohort that it and the curves come from.
        months: Times of the curves.
        survival: Recurrence-free probability of this case.
        survival_low: The cohort's low-risk group.
        survival_high: The cohort's high-risk group.
    """

    score: float
    group: str
    cohort_median: float
    cohort: str
    months: tuple[float, ...]
    survival: tuple[float, ...]
    survival_low: tuple[float, ...]
    survival_high: tuple[float, ...]


@dataclass(frozen=True)
class PromptMatch:
    """A prompt of a class and its cosine similarity with the lesion."""

    class_name: str
    prompt: str
    similarity: float


@dataclass(frozen=True)
class ZeroShotReading:
    """Zero-shot reading of one task by maximum similarity (the paper's first strategy).

    ``score`` is the maximum similarity of the positive class minus that of the negative; ``share_positive`` is the
    share of random single-prompt draws that favour the positive class.
    """

    task: str
    positive: str
    negative: str
    score: float
    share_positive: float
    best: tuple[PromptMatch, ...]


@dataclass(frozen=True)
class Neighbour:
    """A similar case of the bundle's index: cosine similarity and the facts that may be shown, no patient data."""

    case_id: str
    similarity: float
    facts: dict[str, str]


@dataclass(frozen=True)
class Explanation:
    """3-D Grad-CAM of one task.

    Attributes:
        task: Task and class that it explains.
        method: For instance ``Grad-CAM, last stage``.
        file: Map in patient space, 0 to 1.
        peak_lps_mm: Position of the maximum.
        share_in_lesion: Share of the map's mass inside the lesion's mask.
    """

    task: str
    method: str
    file: str
    peak_lps_mm: Point
    share_in_lesion: float | Absent


@dataclass(frozen=True)
class TaskSpread:
    """Standard deviation of one task's probability (of the most probable class) from three sources."""

    task: str
    over_phases: float | Absent
    over_augmentations: float
    over_centres: float


@dataclass(frozen=True)
class Uncertainty:
    """How much the reading moves when phases, augmentations and the centre do.

    Attributes:
        tasks: One entry per task.
        augmentations: Number of test-time augmentations.
        centres: Number of jittered centres.
        jitter_mm: Standard deviation of the jitter of the centre.
    """

    tasks: tuple[TaskSpread, ...]
    augmentations: int
    centres: int
    jitter_mm: float


@dataclass(frozen=True)
class OutOfDistribution:
    """Distance of the case from the bundle's training features, against the stored threshold."""

    distance: float
    threshold: float
    flagged: bool
    method: str


@dataclass(frozen=True)
class ReportDraft:
    """A report in the form Findings / Impression. ``source`` is ``structured`` or the name of a generator."""

    findings: str
    impression: str
    source: str


@dataclass(frozen=True)
class Predicted:
    """What the bundle says about one lesion."""

    phases_used: tuple[str, ...]
    fusion: str
    components: tuple[ComponentPrediction, ...] | Absent
    total: NephrometryTotal | Absent
    malignancy: BinaryPrediction | Absent
    aggressiveness: BinaryPrediction | Absent
    recurrence: RiskPrediction | Absent
    zero_shot: tuple[ZeroShotReading, ...] | Absent
    neighbours: tuple[Neighbour, ...] | Absent
    out_of_distribution: OutOfDistribution | Absent
    explanation: tuple[Explanation, ...] | Absent
    uncertainty: Uncertainty | Absent


@dataclass(frozen=True)
class EvidencePlane:
    """A plane in patient space: a point on it and its unit normal (LPS)."""

    name: str
    point_lps_mm: Point
    normal_lps: Point


@dataclass(frozen=True)
class EvidenceSegment:
    """A straight distance that was measured, with its two ends."""

    name: str
    start_lps_mm: Point
    end_lps_mm: Point


@dataclass(frozen=True)
class EvidencePoint:
    """A point that a measurement starts from."""

    name: str
    lps_mm: Point


@dataclass(frozen=True)
class EvidenceShell:
    """A surface as triangles; ``triangles`` are indices into ``vertices_lps_mm``."""

    name: str
    vertices_lps_mm: tuple[Point, ...]
    triangles: tuple[tuple[int, int, int], ...]


@dataclass(frozen=True)
class Evidence:
    """What a viewer draws to show a measurement."""

    planes: tuple[EvidencePlane, ...] = ()
    segments: tuple[EvidenceSegment, ...] = ()
    points: tuple[EvidencePoint, ...] = ()
    shells: tuple[EvidenceShell, ...] = ()


@dataclass(frozen=True)
class MeasuredComponent:
    """A nephrometry component measured from the masks: value with unit, points, and margin to the nearest cut-off.

    Attributes:
        component: Letter of the component (``h`` too, which then says "not assessed" without a vessel mask).
        value: What was measured.
        unit: Of ``value`` and ``margin``; empty where the label says all.
        points: 1 to 3, 0 for A and h.
        label: The class in words, as the predicted classes have it.
        margin: Distance of ``value`` from the nearest cut-off.
        point_probabilities: Per points (R, E, N, L) or label (A, h), when the masks vary as annotators do.
        source: What the value was measured on.
        notes: Assumptions and disagreements between definitions.
        confidence: 0 to 1; lowered by what the notes name (kidney cut off or deformed, modelled sinus, thick slices).
        variants: Values of other published definitions, by name.
        evidence: Geometry behind the value.
    """

    component: str
    value: float
    unit: str
    points: int
    label: str
    margin: float
    point_probabilities: dict[str, float]
    source: str
    notes: tuple[str, ...] = ()
    confidence: float = 1.0
    variants: dict[str, float] = field(default_factory=dict)
    evidence: Evidence = field(default_factory=Evidence)


@dataclass(frozen=True)
class ScoreItem:
    """One item of a score: its name, the class in words and its points."""

    name: str
    label: str
    points: int


@dataclass(frozen=True)
class PaduaScore:
    """PADUA (Ficarra 2009): 6 to 14; ``complexity`` low (6-7), intermediate (8-9) or high (10 and more)."""

    score: int
    text: str
    complexity: str
    items: tuple[ScoreItem, ...]


@dataclass(frozen=True)
class CentralityIndex:
    """C-index (Simmons 2010): distance of the centres of tumour and kidney over the tumour's radius.

    Attributes:
        value: 0 is concentric, 1 touches the kidney's centre with its edge.
        axial_mm: Part of the distance within the axial plane.
        longitudinal_mm: Part along the patient's long axis.
        radius_mm: Half of the scored diameter.
        evidence: Both centres and the segment.
    """

    value: float
    axial_mm: float
    longitudinal_mm: float
    radius_mm: float
    evidence: Evidence = field(default_factory=Evidence)


@dataclass(frozen=True)
class Measured:
    """Nephrometry measured from the masks.

    Attributes:
        components: R, E, N, A, L and h.
        total: Points of R, E, N and L with suffix and complexity.
        notes: What holds for the whole measurement.
        padua: PADUA score.
        centrality: C-index.
        confidence: The smallest of the components that score.
        options: The definitions used where publications differ.
        evidence: The kidney's frame and reconstructed outline, which all components share.
    """

    components: tuple[MeasuredComponent, ...]
    total: NephrometryTotal | Absent
    notes: tuple[str, ...] = ()
    padua: PaduaScore | Absent = field(default_factory=lambda: Absent("PADUA was not measured."))
    centrality: CentralityIndex | Absent = field(default_factory=lambda: Absent("The C-index was not measured."))
    confidence: float = 1.0
    options: dict[str, str] = field(default_factory=dict)
    evidence: Evidence = field(default_factory=Evidence)


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


class ReviewFormatError(ValueError):
    """A JSON text is no case review of a known version; the message names the place."""


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


def encode(value: Any) -> Any:
    """A value of the review as JSON-ready dicts, lists and scalars."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {item.name: encode(getattr(value, item.name)) for item in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {key: encode(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [encode(item) for item in value]
    return value


def decode(kind: Any, data: Any, place: str = "") -> Any:
    """Build a value of the annotated type ``kind`` from JSON data.

    Raises:
        ReviewFormatError: The data do not fit the type; the message names the JSON pointer.
    """
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in _UNIONS:
        is_absent = isinstance(data, dict) and set(data) == {"absent"}
        return decode(Absent if is_absent else next(k for k in arguments if k is not Absent), data, place)
    if dataclasses.is_dataclass(kind):
        return _decode_dataclass(typing.cast(type, kind), data, place)
    if origin is tuple:
        return _decode_tuple(arguments, data, place)
    if origin is dict:
        _require(isinstance(data, dict), place, "an object", data)
        return {key: decode(arguments[1], item, f"{place}/{_token(key)}") for key, item in data.items()}
    if kind is float:
        return _decode_number(data, place)
    _require(isinstance(data, kind) and not (kind is int and isinstance(data, bool)), place, kind.__name__, data)
    return data


def json_schema() -> dict[str, Any]:
    """The JSON schema (draft 2020-12) of :class:`CaseReview`, derived from the dataclasses."""
    definitions: dict[str, Any] = {}
    root = _schema(CaseReview, definitions)
    definitions["CaseReview"]["properties"]["schema_version"] = {"const": SCHEMA_VERSION}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "RenalCLIP case review",
        **root,
        "$defs": definitions,
    }


def _decode_dataclass(kind: type, data: Any, place: str) -> Any:
    _require(isinstance(data, dict), place, f"an object ({kind.__name__})", data)
    hints = _hints(kind)
    known = {item.name: item for item in dataclasses.fields(kind)}
    unknown = sorted(set(data) - set(known))
    if unknown:
        raise ReviewFormatError(f"{place or '/'}: unknown field {unknown[0]!r} in {kind.__name__}.")
    values = {}
    for name, item in known.items():
        if name in data:
            values[name] = decode(hints[name], data[name], f"{place}/{name}")
        elif item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING:
            raise ReviewFormatError(f"{place or '/'}: the field {name!r} of {kind.__name__} is missing.")
    return kind(**values)


@functools.cache
def _hints(kind: type) -> dict[str, Any]:
    """The types of a dataclass's fields. Unions are put together here: Python 3.9 cannot evaluate ``A | B``."""
    names = vars(sys.modules[kind.__module__])
    return {
        item.name: typing.Union[tuple(eval(part, names) for part in str(item.type).split(" | "))]
        for item in dataclasses.fields(kind)
    }


def _decode_number(data: Any, place: str) -> float:
    _require(isinstance(data, (int, float)) and not isinstance(data, bool), place, "a number", data)
    try:
        value = float(data)
    except OverflowError:
        value = math.inf
    if not math.isfinite(value):
        raise ReviewFormatError(f"{place or '/'}: a finite number was expected.")
    return value


def _token(key: str) -> str:
    """A key as a reference token of a JSON pointer (RFC 6901)."""
    return key.replace("~", "~0").replace("/", "~1")


def _decode_tuple(arguments: tuple[Any, ...], data: Any, place: str) -> tuple[Any, ...]:
    _require(isinstance(data, list), place, "a list", data)
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        return tuple(decode(arguments[0], item, f"{place}/{i}") for i, item in enumerate(data))
    _require(len(data) == len(arguments), place, f"a list of {len(arguments)}", data)
    return tuple(decode(kind, data[i], f"{place}/{i}") for i, kind in enumerate(arguments))


def _require(condition: bool, place: str, wanted: str, found: Any) -> None:
    if not condition:
        raise ReviewFormatError(f"{place or '/'}: {wanted} was expected, found {type(found).__name__}.")


def _schema(kind: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in _UNIONS:
        return {"anyOf": [_schema(argument, definitions) for argument in arguments]}
    if dataclasses.is_dataclass(kind):
        name = typing.cast(type, kind).__name__
        if name not in definitions:
            definitions[name] = {}
            hints = _hints(typing.cast(type, kind))
            definitions[name] = {
                "type": "object",
                "description": (kind.__doc__ or "").strip().split("\n")[0],
                "properties": {item.name: _schema(hints[item.name], definitions) for item in dataclasses.fields(kind)},
                "required": [
                    item.name
                    for item in dataclasses.fields(kind)
                    if item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING
                ],
                "additionalProperties": False,
            }
        return {"$ref": f"#/$defs/{name}"}
    if origin is tuple and len(arguments) == 2 and arguments[1] is Ellipsis:
        return {"type": "array", "items": _schema(arguments[0], definitions)}
    if origin is tuple:
        items = [_schema(argument, definitions) for argument in arguments]
        return {"type": "array", "prefixItems": items, "minItems": len(items), "maxItems": len(items)}
    if origin is dict:
        return {"type": "object", "additionalProperties": _schema(arguments[1], definitions)}
    return {"type": {str: "string", bool: "boolean", int: "integer", float: "number"}[kind]}
