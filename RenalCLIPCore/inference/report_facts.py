"""A review's report checked against its own measurements and predictions, and who wrote each sentence."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..review import (
    Absent,
    BinaryPrediction,
    CaseReview,
    EvidencePlane,
    LesionReview,
    MeasuredComponent,
    Point,
    Predicted,
    ReportDraft,
)
from ..text.captions import sentences
from ..text.report_check import CheckedLesion, Fact, SentenceCheck, check_report
from .report import measured_class

_POLE_MARGIN_MM = 5.0
_CLEAR_OF_SINUS_MM = 4.0
_LEAST_VOLUME_ML = 0.5  # the mean attenuation of less is that of its surroundings too
_SURE = (0.35, 0.65)
# Rise over the unenhanced phase in HU that each degree may go with: none, mild, moderate, marked, uneven, of the wall.
_RISES = ((-1e9, 25.0), (8.0, 65.0), (30.0, 110.0), (60.0, 1e9), (10.0, 1e9), (-1e9, 60.0))
_ARTERIAL_RISES = ((-1e9, 30.0), (5.0, 80.0), (45.0, 1e9))
DRAFT = "draft"  # author of what the program drafted
GIVEN = "given"  # source of a report that is none of the review's own


@dataclass(frozen=True)
class CheckedSentence:
    """A sentence's check and its author: ``draft``, ``given``, or who wrote it."""

    check: SentenceCheck
    author: str


def check_review(review: CaseReview, lesion_id: str = "") -> tuple[CheckedSentence, ...]:
    """Check the report of a lesion of a review, the primary one's by default; nothing without a report."""
    number = next(
        (n for n, one in enumerate(review.lesions) if (one.lesion_id == lesion_id if lesion_id else one.primary)), None
    )
    report = review.lesions[number].report if number is not None else None
    if number is None or not isinstance(report, ReportDraft):
        return ()
    checks = check_report(report.findings, report.impression, lesion_facts(review.lesions, number))
    authors = {
        section: _authors(review, f"/lesions/{number}/report/{section}", text)
        for section, text in (("findings", report.findings), ("impression", report.impression))
    }
    default = report.source if report.source == GIVEN else DRAFT
    return tuple(CheckedSentence(check, authors[check.section].get(check.text, default)) for check in checks)


def lesion_facts(lesions: Sequence[LesionReview], first: int = 0) -> tuple[CheckedLesion, ...]:
    """What a review knows of its lesions, that at ``first`` before the others."""
    ordered = [*lesions[first : first + 1], *lesions[:first], *lesions[first + 1 :]]
    return tuple(_facts(lesion) for lesion in ordered)


def _facts(lesion: LesionReview) -> CheckedLesion:
    predicted = None if isinstance(lesion.predicted, Absent) else lesion.predicted
    measured = () if isinstance(lesion.measured, Absent) else lesion.measured.components
    components = {item.component: item for item in measured}
    facts: dict[str, Fact] = _predicted_components(predicted)
    facts |= {
        letter: Fact(f"{item.value:g} {item.unit}: {item.label}", "measured", frozenset({index}))
        for letter, item in components.items()
        if (index := measured_class(item)) is not None
    }
    facts |= _place(lesion, components.get("L")) | _outside(components) | _tissue(lesion) | _opinion(predicted)
    diameters = [value for value in (lesion.largest_diameter_mm, lesion.axial_diameter_mm) if isinstance(value, float)]
    probabilities = _probabilities(predicted)
    recurrence = None if predicted is None or isinstance(predicted.recurrence, Absent) else predicted.recurrence
    return CheckedLesion(
        lesion.lesion_id,
        lesion.side,
        tuple(diameters),
        facts,
        lesion.label == "cyst",
        lesion.volume_ml if isinstance(lesion.volume_ml, float) else None,
        (*lesion.attenuation_hu.values(), *_rises(lesion).values()),
        probabilities,
        _scores(lesion, predicted),
        recurrence.group if recurrence else "",
        recurrence.survival if recurrence else (),
    )


def _place(lesion: LesionReview, component: MeasuredComponent | None) -> dict[str, Fact]:
    """Pole of the lesion's centre, from the polar lines along the patient's axis."""
    if component is None or isinstance(lesion.centre_used, Absent):
        return {}
    planes = {plane.name.split(" (")[0]: plane for plane in reversed(component.evidence.planes)}
    if not {"upper polar line", "midline", "lower polar line"} <= set(planes):
        return {}
    centre, middle = lesion.centre_used.lps_mm, planes["midline"]
    height = _height(centre, middle, planes["upper polar line"])
    upper = _height(planes["upper polar line"].point_lps_mm, middle, planes["upper polar line"])
    lower = _height(planes["lower polar line"].point_lps_mm, middle, planes["upper polar line"])
    if abs(height) <= _POLE_MARGIN_MM:
        allows = frozenset({0, 1, 2})
    elif height > 0:
        allows = frozenset({0} if height > upper + _POLE_MARGIN_MM else {0, 1})
    else:
        allows = frozenset({2} if height < lower - _POLE_MARGIN_MM else {1, 2})
    words = f"centre {abs(height):.0f} mm {'above' if height > 0 else 'below'} the kidney's midline"
    return {"pole": Fact(words, "measured", allows)}


def _height(point: Point, middle: EvidencePlane, upper: EvidencePlane) -> float:
    """Distance above the midline, towards the upper polar line."""
    along = [high - low for high, low in zip(upper.point_lps_mm, middle.point_lps_mm, strict=True)]
    sign = 1.0 if sum(a * n for a, n in zip(along, middle.normal_lps, strict=True)) >= 0 else -1.0
    offsets = zip(point, middle.point_lps_mm, middle.normal_lps, strict=True)
    return sign * sum((x - o) * n for x, o, n in offsets)


def _outside(components: Mapping[str, MeasuredComponent]) -> dict[str, Fact]:
    found = {}
    share, distance = components.get("E"), components.get("N")
    if share is not None and share.unit == "%":
        allows = frozenset({0} if share.value < 1 else {1} if share.value > 20 else {0, 1})
        found["exophytic"] = Fact(f"{share.value:.0f} % outside the kidney's outline", "measured", allows)
    if distance is not None and distance.unit == "mm" and distance.value >= _CLEAR_OF_SINUS_MM:
        words = f"{distance.value:.1f} mm from the sinus or collecting system"
        found["invasion"] = Fact(words, "measured", frozenset({1}))
    return found


def _tissue(lesion: LesionReview) -> dict[str, Fact]:
    rises = _rises(lesion) if isinstance(lesion.volume_ml, float) and lesion.volume_ml >= _LEAST_VOLUME_ML else {}
    found = {}
    most = max(rises.values(), default=None)
    if lesion.label == "cyst":
        found["composition"] = Fact("segmented as a cyst", "segmented", frozenset({0}))
    elif lesion.label == "tumour" and (most is None or most >= 20):
        found["composition"] = Fact("segmented as a tumour", "segmented", frozenset({1, 2}))
    if most is not None:
        found["enhancement"] = Fact(f"rises by {most:.0f} HU", "measured", _within(most, _RISES))
    if "A" in rises:
        arterial = rises["A"]
        words = f"rises by {arterial:.0f} HU in the arterial phase"
        found["arterial enhancement"] = Fact(words, "measured", _within(arterial, _ARTERIAL_RISES))
    return found


def _within(value: float, ranges: Sequence[tuple[float, float]]) -> frozenset[int]:
    return frozenset(number for number, (low, high) in enumerate(ranges) if low <= value <= high)


def _rises(lesion: LesionReview) -> dict[str, float]:
    plain = lesion.attenuation_hu.get("N")
    if plain is None:
        return {}
    return {phase: value - plain for phase, value in lesion.attenuation_hu.items() if phase != "N"}


def _opinion(predicted: Predicted | None) -> dict[str, Fact]:
    if predicted is None or not isinstance(predicted.malignancy, BinaryPrediction):
        return {}
    probability = predicted.malignancy.probability
    low, high = _SURE
    allows = {1, 3} if probability >= high else {0, 2} if probability <= low else {0, 1, 2, 3}
    return {"malignancy": Fact(f"malignancy {100 * probability:.0f} %", "predicted", frozenset(allows))}


def _predicted_components(predicted: Predicted | None) -> dict[str, Fact]:
    if predicted is None or isinstance(predicted.components, Absent):
        return {}
    return {
        item.component: Fact(item.classes[item.predicted].name, "predicted", frozenset({item.predicted}))
        for item in predicted.components
        if 0 <= item.predicted < len(item.classes)
    }


def _probabilities(predicted: Predicted | None) -> dict[str, float]:
    if predicted is None:
        return {}
    named = (("malignancy", predicted.malignancy), ("aggressive histology", predicted.aggressiveness))
    return {name: part.probability for name, part in named if isinstance(part, BinaryPrediction)}


def _scores(lesion: LesionReview, predicted: Predicted | None) -> tuple[str, ...]:
    totals = [] if isinstance(lesion.measured, Absent) else [lesion.measured.total]
    totals += [predicted.total] if predicted is not None else []
    return tuple(dict.fromkeys(total.text for total in totals if not isinstance(total, Absent)))


def _authors(review: CaseReview, pointer: str, text: str) -> dict[str, str]:
    """Who wrote each sentence of a section, where it was not the draft: the first edit that brought it in."""
    authors: dict[str, str] = {}
    edits = [edit for edit in review.edits if edit.pointer == pointer]
    known: set[str] | None = None
    for edit in edits:
        before = set(sentences(_text(edit.before))) if known is None else known
        after = set(sentences(_text(edit.after)))
        authors |= dict.fromkeys(after - before, edit.by)
        known = after | before
    return {sentence: author for sentence, author in authors.items() if sentence in set(sentences(text))}


def _text(value: str) -> str:
    try:
        found = json.loads(value)
    except ValueError:
        return value
    return found if isinstance(found, str) else value
