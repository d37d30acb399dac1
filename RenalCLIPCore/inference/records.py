"""The parts of a review that say what was read and by what: study, masks, provenance, and the conclusion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from .. import __version__
from ..imaging.study import Phase, StudyPhase
from ..review import (
    Absent,
    Identifiers,
    LesionReview,
    PhaseRecord,
    Provenance,
    Registration,
    SegmentationRecord,
    StudyRecord,
)
from ..review_reading import verdict
from .case import Case, now

if TYPE_CHECKING:
    from ..imaging.alignment import RegistrationResult
    from ..models.bundle import Bundle

RESEARCH_USE = "Research only. Not for clinical use."
_LIBRARIES = ("torch", "nnunetv2", "SimpleITK", "numpy", "scipy")
_IDENTIFIERS = ("patient_name", "patient_id", "study_date", "accession_number")


def study_record(
    case: Case, registrations: Mapping[Phase, RegistrationResult], folder: Path | None, *, keep_identifiers: bool
) -> StudyRecord:
    """What was read.

    Args:
        case: The opened study.
        registrations: Of the phases that were registered.
        folder: Where the review will be written; a study below it is named relative to it, any other is not named, as
            paths can hold patients' names.
        keep_identifiers: Whether the study's identifiers go in.
    """
    study = case.study
    identifiers: Identifiers | Absent = Absent("identifiers are left out unless asked for")
    if keep_identifiers and study.identifiers:
        name, patient, date, accession = (study.identifiers.get(key, "") for key in _IDENTIFIERS)
        identifiers = Identifiers(name, patient, date, accession)
    below = _below(study.folder, folder)
    return StudyRecord(
        study.study_id,
        below or "",
        study.reference.phase.value,
        tuple(_phase_record(item, registrations, below) for item in study.phases.values()),
        identifiers,
        study.notes,
    )


def segmentation_record(case: Case, file: str) -> SegmentationRecord | Absent:
    """Where the masks come from; ``file`` is their name beside the review."""
    segmentation, findings = case.segmentation, case.findings
    if segmentation is None or findings is None:
        return Absent("nothing was segmented; the centre was given")
    return SegmentationRecord(
        file,
        segmentation.source,
        segmentation.model,
        segmentation.sha256,
        dict(findings.kidney_volumes_ml),
        (*segmentation.notes, *findings.notes),
    )


def registration_record(result: RegistrationResult) -> Registration:
    """A registration as the review holds it."""
    transform = result.transform
    return Registration(result.shift_mm, transform.rotation_deg, result.residual_before_mm, result.residual_after_mm)


def provenance(bundle: Bundle | None, options: Mapping[str, str], seconds: Mapping[str, float]) -> Provenance:
    """What made the review."""
    missing = Absent("no model bundle was used")
    manifest = bundle.manifest if bundle else None
    return Provenance(
        now(),
        __version__,
        {name: found for name in _LIBRARIES if (found := _version(name))},
        f"{manifest.name} {manifest.version}" if manifest else missing,
        bundle.sha256 if bundle else missing,
        manifest.training_data if manifest else missing,
        manifest.intended_use if manifest else RESEARCH_USE,
        dict(options),
        dict(seconds),
    )


def conclusion(lesions: Sequence[LesionReview]) -> str:
    """The review in one line."""
    if not lesions:
        return "No tumour or cyst was found in the segmented kidneys."
    primary = lesions[0]
    size = "" if isinstance(primary.largest_diameter_mm, Absent) else f", {primary.largest_diameter_mm / 10:.1f} cm"
    what = "lesion at the given point" if primary.label == "point" else primary.label
    parts = [f"{primary.side.capitalize()} renal {what}{size}"]
    predicted = primary.predicted
    if not isinstance(predicted, Absent):
        if not isinstance(predicted.total, Absent):
            parts.append(f"predicted R.E.N.A.L. {predicted.total.text} ({predicted.total.complexity} complexity)")
        held = ""
        if not isinstance(predicted.malignancy, Absent):
            held = "" if verdict(predicted.malignancy) == predicted.malignancy.positive else " if malignant"
            likely = f"probability of malignancy {100 * predicted.malignancy.probability:.0f} %"
            parts.append(f"{likely}, read as {verdict(predicted.malignancy)}")
        if not isinstance(predicted.recurrence, Absent):
            parts.append(f"{predicted.recurrence.group} recurrence-risk group{held}")
    more = len(lesions) - 1
    parts += [f"{more} further lesion{'s' if more > 1 else ''}"] if more else []
    return "; ".join(parts) + "."


def _phase_record(
    item: StudyPhase, registrations: Mapping[Phase, RegistrationResult], below: str | None
) -> PhaseRecord:
    registration: Registration | Absent = Absent("not asked for")
    if item.phase in registrations:
        registration = registration_record(registrations[item.phase])
    elif registrations:
        registration = Absent("the reference phase")
    return PhaseRecord(
        item.phase.value,
        item.file.name if below is None else f"{below}/{item.file.name}",
        item.confidence,
        item.reason,
        item.overridden,
        item.geometry.size,
        item.geometry.spacing_mm,
        registration,
        (*item.notes, *(registrations[item.phase].notes if item.phase in registrations else ())),
    )


def _below(path: Path, folder: Path | None) -> str | None:
    """A path relative to a folder above it, or None."""
    if folder is None or not path.resolve().is_relative_to(folder.resolve()):
        return None
    return path.resolve().relative_to(folder.resolve()).as_posix()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
