"""What a reader makes of a review: rows of the nephrometry table, what to check first, values in words.

The review's page and the Slicer module both read it, so it needs the standard library alone and runs on Python 3.9.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TypeVar

from .review import (
    Absent,
    BinaryPrediction,
    CaseReview,
    ClassProbability,
    ComponentPrediction,
    LesionReview,
    MeasuredComponent,
    Point,
    Predicted,
    Uncertainty,
)

Part = TypeVar("Part")

PHASES = {"N": "non-contrast", "A": "arterial", "V": "venous", "D": "delayed"}
COMPONENTS = {
    "R": ("Radius", "largest diameter"),
    "E": ("Exophytic", "share outside the kidney's contour"),
    "N": ("Nearness", "to the collecting system or sinus"),
    "A": ("Anterior / posterior", "suffix, no points"),
    "L": ("Location", "relative to the polar lines"),
    "h": ("Hilar", "touches the main renal vessels; suffix, no points"),
}
SUFFIX = {"anterior": "a", "posterior": "p", "neither": "x"}
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


def present(part: Part | Absent) -> Part | None:
    """The part, or None where it is absent."""
    return None if isinstance(part, Absent) else part


def component_rows(lesion: LesionReview) -> list[ComponentRow]:
    """The nephrometry table of a lesion: every component that is predicted or measured, in the order R E N A L h."""
    reading, masks = present(lesion.predicted), present(lesion.measured)
    parts = (present(reading.components) if reading else None) or ()
    predicted = {item.component: item for item in parts}
    measured = {item.component: item for item in (masks.components if masks else ())}
    moving = spreads(reading.uncertainty) if reading else {}
    letters = [*COMPONENTS, *sorted({*predicted, *measured} - set(COMPONENTS))]
    rows = []
    for letter in letters:
        left, right = predicted.get(letter), measured.get(letter)
        if left is None and right is None:
            continue
        title, meaning = COMPONENTS.get(letter, (letter, ""))
        spread = moving.get(f"renal_{letter.lower()}")
        rows.append(ComponentRow(letter, title, meaning, left, right, spread, _agrees(letter, left, right)))
    return rows


def predicted_class(component: ComponentPrediction | None) -> ClassProbability | None:
    """The class that a prediction names, if its index is one of the classes'."""
    if component is None or not 0 <= component.predicted < len(component.classes):
        return None
    return component.classes[component.predicted]


def verdict(prediction: BinaryPrediction) -> str:
    """The class on the probability's side of the threshold."""
    return prediction.positive if prediction.probability >= prediction.threshold else prediction.negative


def agreement_words(lesion: LesionReview) -> list[str]:
    """Per task that both systems read: whether they agree, with both probabilities."""
    earlier, reading = present(lesion.predecessor), present(lesion.predicted)
    found = []
    for task, word in (earlier.agreement if earlier else {}).items():
        own, other = (present(getattr(part, task, Absent(""))) if part else None for part in (reading, earlier))
        if own is None or other is None:
            continue
        values = f"{percent(own.probability)} and {percent(other.probability)} {own.positive}"
        if word == "agree":
            found.append(f"{task.capitalize()}: RenalCLIP and the predecessor agree on {verdict(own)} ({values}).")
        else:
            found.append(
                f"{task.capitalize()}: RenalCLIP and the predecessor disagree ({values}): "
                f"{verdict(own)} against {verdict(other)}."
            )
    return found


def predecessor_notes(lesion: LesionReview) -> list[str]:
    """What a reader should know of the predecessor's reading: phases that it was trained with and did not see."""
    earlier = present(lesion.predecessor)
    if earlier is None or not earlier.phases_missing:
        return []
    lacking = " and ".join(phase_words(letter) for letter in earlier.phases_missing)
    plural = "s" if len(earlier.phases_missing) > 1 else ""
    return [f"The predecessor read the lesion without the {lacking} phase{plural}, which it was trained with."]


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
    found += _beyond_the_lesion(lesion)
    apart = [row.letter for row in component_rows(lesion) if row.agrees is False]
    if apart:
        found.append(f"Predicted and measured R.E.N.A.L. components disagree: {', '.join(apart)}.")
    found += [words for words in agreement_words(lesion) if " disagree " in words]
    found += predecessor_notes(lesion)
    if reading:
        found += _benign_yet_aggressive(reading)
        found += _near_threshold(reading.malignancy, reading.uncertainty)
        found += _near_threshold(reading.aggressiveness, reading.uncertainty)
    return found


def spreads(uncertainty: Uncertainty | Absent) -> Mapping[str, float]:
    """Largest standard deviation of the predicted class's probability, by task."""
    part = present(uncertainty)
    return {
        task.task: max(present(task.over_phases) or 0.0, task.over_augmentations, task.over_centres)
        for task in (part.tasks if part else ())
    }


def task_words(task: str) -> str:
    """A task's name as a reader says it: ``R.E.N.A.L. R`` for ``renal_r``, ``Recurrence`` for ``rfs``."""
    if task.startswith("renal_"):
        letter = task.removeprefix("renal_")
        return f"R.E.N.A.L. {letter if letter == 'h' else letter.upper()}"
    return {"rfs": "Recurrence"}.get(task, task.capitalize())


def phase_words(letter: str) -> str:
    """A phase's letter in words, for instance ``arterial``."""
    return PHASES.get(letter, letter)


def position_words(lps_mm: Point) -> str:
    """A position as a viewer writes it: ``R 96.3, P 76.7, I 120.8 mm``."""
    letters = (("L", "R"), ("P", "A"), ("S", "I"))
    return ", ".join(f"{letters[axis][value < 0]} {abs(value):.1f}" for axis, value in enumerate(lps_mm)) + " mm"


def when_words(at: str) -> str:
    """An ISO 8601 time as ``2025-03-04 10:20 UTC``; anything else as it is."""
    try:
        moment = datetime.fromisoformat(at)
        return moment.astimezone(timezone.utc).strftime("%Y-%m-%d %H:%M UTC") if moment.tzinfo else at
    except (ValueError, OverflowError):
        return at


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


def _agrees(letter: str, predicted: ComponentPrediction | None, measured: MeasuredComponent | None) -> bool | None:
    chosen = predicted_class(predicted)
    if chosen is None or measured is None:
        return None
    if letter in "RENL":
        return chosen.points == measured.points
    names = [SUFFIX.get(name.lower(), name.lower()) for name in (chosen.name, measured.label)]
    return names[0] == names[1]


def _beyond_the_lesion(lesion: LesionReview) -> list[str]:
    proposed, used = present(lesion.centre_proposed), present(lesion.centre_used)
    diameter = present(lesion.largest_diameter_mm)
    if proposed is None or used is None or diameter is None:
        return []
    away = math.dist(proposed.lps_mm, used.lps_mm)
    if away <= diameter / 2:
        return []
    return [f"The centre was put {away:.0f} mm from the proposed one, further than the lesion reaches."]


def _benign_yet_aggressive(reading: Predicted) -> list[str]:
    """Aggressive means malignant of high grade, but each probability has a threshold of its own."""
    benign, aggressive = present(reading.malignancy), present(reading.aggressiveness)
    if benign is None or aggressive is None:
        return []
    if verdict(benign) == benign.positive or verdict(aggressive) != aggressive.positive:
        return []
    return [
        f"Read as {verdict(benign)} and yet as {verdict(aggressive)}, which malignant lesions alone can be: the two "
        "probabilities contradict each other. The recurrence risk holds for malignant lesions."
    ]


def _near_threshold(part: BinaryPrediction | Absent, uncertainty: Uncertainty | Absent) -> list[str]:
    prediction = present(part)
    if prediction is None:
        return []
    spread = spreads(uncertainty).get(prediction.task, 0.0)
    if abs(prediction.probability - prediction.threshold) >= spread:
        return []
    return [f"{prediction.task.capitalize()} lies within one standard deviation ({percent(spread)}) of its threshold."]
