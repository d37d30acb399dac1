"""A structured report from a lesion's review; the wording is :mod:`RenalCLIPCore.text.report_text`'s."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from ..review import (
    Absent,
    BinaryPrediction,
    ComponentPrediction,
    LesionReview,
    MeasuredComponent,
    NephrometryTotal,
    Predicted,
    ReportDraft,
    RiskPrediction,
)
from ..text.captions import parse_caption
from ..text.report_text import (
    ComponentFact,
    LesionFacts,
    LikelihoodFact,
    OtherLesion,
    RiskFact,
    closing_line,
    findings_text,
    impression_text,
    negative_phrase,
)

if TYPE_CHECKING:
    from ..models.manifest import BundleManifest
    from ..models.report_generator import ReportGenerator
    from .network_output import NetworkOutput

HORIZON_MONTHS = 60.0
RESEARCH_USE = "Research only. Not for clinical use."
_FACES = {"anterior": 0, "a": 0, "posterior": 1, "p": 1, "neither": 2, "x": 2}


def draft_report(
    lesion: LesionReview,
    others: Sequence[LesionReview] = (),
    kidney_sides: Iterable[str] = (),
    *,
    attenuation_hu: Mapping[str, float] | None = None,
    phantom_trained: bool = False,
    intended_use: str = RESEARCH_USE,
) -> ReportDraft:
    """Findings and Impression of one lesion.

    Args:
        lesion: With its predictions and measurements.
        others: Further lesions of the case.
        kidney_sides: Sides whose kidney is segmented; those without a lesion get a negative phrase.
        attenuation_hu: Mean attenuation of the lesion by phase in words (``non-contrast``, ``arterial`` ...).
        phantom_trained: Whether the bundle has only seen a digital phantom.
        intended_use: Of the bundle.
    """
    predicted = None if isinstance(lesion.predicted, Absent) else lesion.predicted
    score, score_source = _total(lesion, predicted)
    facts = LesionFacts(
        side=lesion.side,
        label=lesion.label,
        largest_diameter_mm=_number(lesion.largest_diameter_mm),
        axial_diameter_mm=_number(lesion.axial_diameter_mm),
        volume_ml=_number(lesion.volume_ml),
        components=_components(lesion, predicted),
        score=score.text if score else "",
        complexity=score.complexity if score else "",
        score_source=score_source,
        attenuation_hu=dict(attenuation_hu or {}),
        likelihoods=_likelihoods(predicted),
        risk=_risk(predicted),
        outside_training=_outside(predicted),
        others=tuple(OtherLesion(one.side, one.label, _number(one.largest_diameter_mm)) for one in others),
        empty_sides=_empty_sides(kidney_sides, [lesion, *others]),
        phantom_trained=phantom_trained,
        intended_use=intended_use,
    )
    return ReportDraft(findings_text(facts), impression_text(facts), "structured")


def generated_report(generator: ReportGenerator, output: NetworkOutput, manifest: BundleManifest) -> ReportDraft:
    """Findings and Impression as a report generator writes them from the image alone.

    Args:
        generator: Of the bundle.
        output: Of the bundle's networks.
        manifest: Of the bundle; the report ends with its intended use and names it as the source.
    """
    import torch

    features = output.mean_features
    if generator.settings.fusion == "one-phase":
        phase = next((name for name in ("A", "V") if name in output.phases), output.phases[0])
        features = output.features[output.phases.index(phase)]
    (text,) = generator.write(torch.from_numpy(features[None].astype("float32")))
    findings, impression = parse_caption(text)
    closing = closing_line(manifest.intended_use, phantom_trained=manifest.phantom_trained)
    return ReportDraft(findings, f"{impression}\n{closing}".strip(), f"{manifest.name} {manifest.version}")


def draft_negative_report(
    kidney_sides: Iterable[str], *, phantom_trained: bool = False, intended_use: str = RESEARCH_USE
) -> ReportDraft:
    """Findings and Impression of a case in which no lesion was found."""
    findings = "\n".join(negative_phrase(side) for side in sorted(set(kidney_sides)))
    closing = closing_line(intended_use, phantom_trained=phantom_trained)
    return ReportDraft(findings, f"1. No renal lesion was segmented.\n{closing}", "structured")


def _number(value: float | Absent) -> float | None:
    return None if isinstance(value, Absent) else value


def _total(lesion: LesionReview, predicted: Predicted | None) -> tuple[NephrometryTotal | None, str]:
    if not isinstance(lesion.measured, Absent) and not isinstance(lesion.measured.total, Absent):
        return lesion.measured.total, "measured"
    if predicted is not None and not isinstance(predicted.total, Absent):
        return predicted.total, "predicted"
    return None, "predicted"


def _components(lesion: LesionReview, predicted: Predicted | None) -> tuple[ComponentFact, ...]:
    """The measured components, and the predicted ones of those that are not measured."""
    found: dict[str, ComponentFact] = {}
    if predicted is not None and not isinstance(predicted.components, Absent):
        found = {item.component: _predicted_fact(item) for item in predicted.components if item.component != "h"}
    if not isinstance(lesion.measured, Absent):
        for item in lesion.measured.components:
            index = measured_class(item)
            if index is not None:
                found[item.component] = ComponentFact(item.component, index, None)
    return tuple(found.values())


def _predicted_fact(item: ComponentPrediction) -> ComponentFact:
    return ComponentFact(item.component, item.predicted, item.classes[item.predicted].probability)


def measured_class(item: MeasuredComponent) -> int | None:
    """Class of a measured component in the order of its task; None where it is not assessed."""
    if item.component == "A":
        return _FACES.get(item.label.lower())
    return item.points - 1 if item.component in "RENL" and 1 <= item.points <= 3 else None


def _likelihoods(predicted: Predicted | None) -> tuple[LikelihoodFact, ...]:
    if predicted is None:
        return ()
    named = (("malignancy", predicted.malignancy), ("aggressive histology", predicted.aggressiveness))
    return tuple(
        LikelihoodFact(finding, item.probability, "not calibrated" not in item.calibration, item.threshold)
        for finding, item in named
        if isinstance(item, BinaryPrediction)
    )


def _risk(predicted: Predicted | None) -> RiskFact | None:
    if predicted is None or not isinstance(predicted.recurrence, RiskPrediction):
        return None
    risk = predicted.recurrence
    number = max((i for i, months in enumerate(risk.months) if months <= HORIZON_MONTHS), default=0)
    return RiskFact(risk.group, risk.cohort, risk.months[number], risk.survival[number])


def _outside(predicted: Predicted | None) -> bool:
    if predicted is None or isinstance(predicted.out_of_distribution, Absent):
        return False
    return predicted.out_of_distribution.flagged


def _empty_sides(kidney_sides: Iterable[str], lesions: Sequence[LesionReview]) -> tuple[str, ...]:
    taken = {lesion.side for lesion in lesions}
    return tuple(side for side in sorted(set(kidney_sides)) if side not in taken)
