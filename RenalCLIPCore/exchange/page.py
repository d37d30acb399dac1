"""What the page of a review says beyond the review's own fields: rows, headlines, warnings, grouped absences."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

from ..imaging.study import Phase
from ..review import (
    Absent,
    BinaryPrediction,
    CaseReview,
    Centre,
    ClassProbability,
    ComponentPrediction,
    Explanation,
    LesionReview,
    MeasuredComponent,
    Neighbour,
    PhaseRecord,
    Point,
    Uncertainty,
)

Part = TypeVar("Part")

COMPONENTS = {
    "R": ("Radius", "largest diameter"),
    "E": ("Exophytic", "share outside the kidney's contour"),
    "N": ("Nearness", "to the collecting system or sinus"),
    "A": ("Anterior / posterior", "suffix, no points"),
    "L": ("Location", "relative to the polar lines"),
    "h": ("Hilar", "touches the main renal vessels; suffix, no points"),
}
SUFFIX = {"anterior": "a", "posterior": "p", "neither": "x"}
PARTS = {
    "components": "R.E.N.A.L. components",
    "total": "R.E.N.A.L. total",
    "malignancy": "malignancy",
    "aggressiveness": "aggressiveness",
    "recurrence": "recurrence risk",
    "zero_shot": "zero-shot reading",
    "neighbours": "similar cases",
    "out_of_distribution": "comparison with the training data",
    "explanation": "explanation map",
    "uncertainty": "uncertainty",
}
NARROW_SPACE = "\u202f"
SURE_PHASE = 0.8
ROUTINE_NOTES = ("left out: localiser.",)
ENOUGH_INSIDE = 0.95


@dataclass(frozen=True)
class ComponentRow:
    """One line of the nephrometry table.

    Attributes:
        letter: ``R``, ``E``, ``N``, ``A``, ``L`` or ``h``.
        title: Its name.
        meaning: What it stands for.
        predicted: The network's reading, if any.
        measured: From the masks, if any.
        spread: Largest standard deviation of the probability of the predicted class, if known.
        agrees: Whether prediction and measurement give the same points (or suffix); None if one is missing.
    """

    letter: str
    title: str
    meaning: str
    predicted: ComponentPrediction | None
    measured: MeasuredComponent | None
    spread: float | None
    agrees: bool | None


@dataclass(frozen=True)
class Headline:
    """A finding in a few words: its name, its value and a remark."""

    name: str
    value: str
    remark: str


def present(part: Part | Absent) -> Part | None:
    """The part, or None where it is absent."""
    return None if isinstance(part, Absent) else part


def component_rows(lesion: LesionReview) -> list[ComponentRow]:
    """The nephrometry table of a lesion: every component that is predicted or measured, in the order R E N A L h."""
    reading, masks = present(lesion.predicted), present(lesion.measured)
    parts = (present(reading.components) if reading else None) or ()
    predicted = {item.component: item for item in parts}
    measured = {item.component: item for item in (masks.components if masks else ())}
    spreads = _spreads(present(reading.uncertainty) if reading else None)
    letters = [*COMPONENTS, *sorted({*predicted, *measured} - set(COMPONENTS))]
    rows = []
    for letter in letters:
        left, right = predicted.get(letter), measured.get(letter)
        if left is None and right is None:
            continue
        title, meaning = COMPONENTS.get(letter, (letter, ""))
        spread = spreads.get(f"renal_{letter.lower()}")
        rows.append(ComponentRow(letter, title, meaning, left, right, spread, _agrees(letter, left, right)))
    return rows


def predicted_class(component: ComponentPrediction | None) -> ClassProbability | None:
    """The class that a prediction names, if its index is one of the classes'."""
    if component is None or not 0 <= component.predicted < len(component.classes):
        return None
    return component.classes[component.predicted]


def headlines(lesion: LesionReview) -> list[Headline]:
    """The few findings that stand at the head of the page."""
    reading, masks = present(lesion.predicted), present(lesion.measured)
    found = []
    total = present(reading.total) if reading else None
    by_mask = present(masks.total) if masks else None
    if total or by_mask:
        shown = total or by_mask
        assert shown is not None
        remark = f"{shown.complexity} complexity" + ("" if total else ", measured")
        found.append(
            Headline("R.E.N.A.L.", shown.text, remark + (f"; measured {by_mask.text}" if total and by_mask else ""))
        )
    if reading is None:
        return found
    for name, part in (("Malignancy", reading.malignancy), ("Aggressiveness", reading.aggressiveness)):
        if binary := present(part):
            remark = f"read as {verdict(binary)}, threshold {percent(binary.threshold)}"
            found.append(Headline(name, percent(binary.probability), remark))
    if risk := present(reading.recurrence):
        found.append(Headline("Recurrence", f"{risk.group} risk", f"against the median of {risk.cohort}"))
    return found


def point_words(component: MeasuredComponent) -> str:
    """Probability of each class of a measured component when the masks vary, for instance ``1 point 93 %, ...``."""
    shares = component.point_probabilities
    said = [f"{name} point{'s' if name != '1' else ''}" if name.isdigit() else name for name in shares]
    return ", ".join(f"{name} {percent(share)}" for name, share in zip(said, shares.values(), strict=True))


def verdict(prediction: BinaryPrediction) -> str:
    """The class on the probability's side of the threshold."""
    return prediction.positive if prediction.probability >= prediction.threshold else prediction.negative


def study_checks(review: CaseReview) -> list[str]:
    """What a reader should look at before trusting anything on the page."""
    found = []
    for record in review.study.phases:
        if record.confidence < SURE_PHASE and not record.overridden:
            found.append(
                f"The {phase_words(record.phase)} phase was recognised with {percent(record.confidence)} confidence: "
                f"{record.reason}"
            )
        found += [f"{phase_words(record.phase).capitalize()} phase: {note}" for note in record.notes]
    found += [note for note in review.study.notes if not note.endswith(ROUTINE_NOTES)]
    if segmentation := present(review.segmentation):
        found += [f"Segmentation: {note}" for note in segmentation.notes]
    found += [
        f"{item.by} rejected {item.finding}" + (f": {item.comment}" if item.comment else ".")
        for item in review.sign_off
        if item.verdict == "rejected"
    ]
    return found


def lesion_checks(lesion: LesionReview) -> list[str]:
    """What a reader should look at before trusting the reading of a lesion."""
    found = []
    reading = present(lesion.predicted)
    if reading and (outside := present(reading.out_of_distribution)) and outside.flagged:
        found.append(
            f"Unlike the training data: distance {outside.distance:.1f} exceeds {outside.threshold:.1f} "
            f"({outside.method}). Probabilities may not hold."
        )
    inside = present(lesion.roi_inside)
    if inside is not None and inside < ENOUGH_INSIDE:
        found.append(f"Only {percent(inside)} of the region of interest lies inside the scan.")
    if lesion.label == "point":
        found.append("No lesion is segmented here; the centre was given.")
    apart = [row.letter for row in component_rows(lesion) if row.agrees is False]
    if apart:
        found.append(f"Predicted and measured R.E.N.A.L. components disagree: {', '.join(apart)}.")
    if reading:
        found += _near_threshold(reading.malignancy, reading.uncertainty)
        found += _near_threshold(reading.aggressiveness, reading.uncertainty)
    return found


def missing_parts(lesion: LesionReview) -> list[tuple[str, str]]:
    """Absent parts of a lesion, those with one reason together: (names, reason)."""
    gone: list[tuple[str, Absent]] = []
    if isinstance(lesion.predicted, Absent):
        gone.append(("network reading", lesion.predicted))
    else:
        parts = [(name, getattr(lesion.predicted, attribute)) for attribute, name in PARTS.items()]
        gone += [(name, part) for name, part in parts if isinstance(part, Absent)]
    own = {
        "volume": lesion.volume_ml,
        "largest diameter": lesion.largest_diameter_mm,
        "axial diameter": lesion.axial_diameter_mm,
        "proposed centre": lesion.centre_proposed,
        "centre": lesion.centre_used,
        "region of interest": lesion.roi_inside,
        "measured nephrometry": lesion.measured,
        "report": lesion.report,
    }
    gone += [(name, part) for name, part in own.items() if isinstance(part, Absent)]
    if not isinstance(lesion.measured, Absent) and isinstance(lesion.measured.total, Absent):
        gone.append(("measured total", lesion.measured.total))
    return grouped(gone)


def grouped(gone: Iterable[tuple[str, Absent]]) -> list[tuple[str, str]]:
    """Names of absent parts joined by reason, in the order of their first mention."""
    reasons: dict[str, list[str]] = {}
    for name, part in gone:
        reasons.setdefault(part.absent, []).append(name)
    return [(", ".join(names), reason) for reason, names in reasons.items()]


def fact_names(neighbours: Iterable[Neighbour]) -> list[str]:
    """The facts that any of the neighbours shows, in the order of their first mention."""
    return list(dict.fromkeys(name for neighbour in neighbours for name in neighbour.facts))


def moved_mm(lesion: LesionReview) -> float | None:
    """Distance between the centre used and the one proposed, where both are known."""
    proposed, used = present(lesion.centre_proposed), present(lesion.centre_used)
    return math.dist(proposed.lps_mm, used.lps_mm) if proposed and used else None


def centre_words(centre: Centre) -> str:
    """A centre as a viewer writes it: ``R 96.3, P 76.7, I 120.8 mm``."""
    return _point_words(centre.lps_mm)


def peak_words(explanation: Explanation) -> str:
    """The position of an explanation's maximum, written as a centre is."""
    return _point_words(explanation.peak_lps_mm)


def task_words(task: str) -> str:
    """A task's name as a reader says it: ``R`` for ``renal_r``, ``recurrence`` for ``rfs``."""
    if task.startswith("renal_"):
        letter = task.removeprefix("renal_")
        return f"R.E.N.A.L. {letter if letter == 'h' else letter.upper()}"
    return {"rfs": "Recurrence"}.get(task, task.capitalize())


def _point_words(lps_mm: Point) -> str:
    letters = (("L", "R"), ("P", "A"), ("S", "I"))
    parts = [f"{pair[value < 0]} {abs(value):.1f}" for pair, value in zip(letters, lps_mm, strict=True)]
    return ", ".join(parts) + " mm"


def when_words(at: str) -> str:
    """An ISO 8601 time as ``2025-03-04 10:20 UTC``; anything else as it is."""
    try:
        moment = datetime.fromisoformat(at)
        return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC") if moment.tzinfo else at
    except (ValueError, OverflowError):
        return at


def phase_words(letter: str) -> str:
    """A phase's letter in words, for instance ``arterial``."""
    return Phase(letter).words.split(" ")[0] if letter in list(Phase) else letter


def ordered_phases(review: CaseReview) -> list[PhaseRecord]:
    """The phases in the order of the examination: N, A, V, D, then any other."""
    order = {phase.value: number for number, phase in enumerate(Phase)}
    return sorted(review.study.phases, key=lambda record: order.get(record.phase, len(order)))


def percent(value: float) -> str:
    """A probability in whole per cent, without rounding a possibility away."""
    if not math.isfinite(value):
        return "–"
    if 0 < value < 0.01:
        return "< 1 %"
    if 0.99 < value < 1:
        return "> 99 %"
    return f"{100 * value:.0f} %"


def readable(name: str) -> str:
    """A class name with typographic comparison signs."""
    signs = {"<=": "≤", ">=": "≥", "<": "<", ">": ">"}
    return re.sub(r"(<=|>=|<|>)\s*(?=\d)", lambda found: signs[found[1]] + NARROW_SPACE, name)


def trained_on_phantoms(review: CaseReview) -> bool:
    """Whether the bundle says that it was trained on digital phantoms."""
    trained_on = present(review.provenance.trained_on)
    return trained_on is not None and "phantom" in trained_on.lower()


def _agrees(letter: str, predicted: ComponentPrediction | None, measured: MeasuredComponent | None) -> bool | None:
    chosen = predicted_class(predicted)
    if chosen is None or measured is None:
        return None
    if letter in "RENL":
        return chosen.points == measured.points
    names = [SUFFIX.get(name.lower(), name.lower()) for name in (chosen.name, measured.label)]
    return names[0] == names[1]


def _spreads(uncertainty: Uncertainty | None) -> Mapping[str, float]:
    if uncertainty is None:
        return {}
    return {
        task.task: max(present(task.over_phases) or 0.0, task.over_augmentations, task.over_centres)
        for task in uncertainty.tasks
    }


def _near_threshold(part: BinaryPrediction | Absent, uncertainty: Uncertainty | Absent) -> list[str]:
    prediction = present(part)
    if prediction is None:
        return []
    spread = _spreads(present(uncertainty)).get(prediction.task, 0.0)
    if abs(prediction.probability - prediction.threshold) >= spread:
        return []
    return [f"{prediction.task.capitalize()} lies within one standard deviation ({percent(spread)}) of its threshold."]
