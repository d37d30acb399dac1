"""What a review says of the study: its phases, masks and lesion centres, and what is absent.

Standard library only. Positions are LPS millimetres.
"""

from __future__ import annotations

from dataclasses import dataclass, field

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
