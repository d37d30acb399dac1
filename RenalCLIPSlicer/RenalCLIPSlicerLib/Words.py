"""Values of a review in words and signs as a radiologist reads them. Plain Python."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from RenalCLIPCore.review import (
    Absent,
    BinaryPrediction,
    CaseReview,
    ClassProbability,
    ComponentPrediction,
    LesionReview,
    MeasuredComponent,
    Point,
    Uncertainty,
)

PHASES = {"N": "non-contrast", "A": "arterial", "V": "venous", "D": "delayed"}
COMPONENTS = {
    "R": "Radius",
    "E": "Exophytic",
    "N": "Nearness",
    "A": "Anterior/posterior",
    "L": "Location",
    "h": "Hilar",
}
SUFFIX = {"anterior": "a", "posterior": "p", "neither": "x"}
SURE_PHASE = 0.8
ENOUGH_INSIDE = 0.95
ROUTINE_NOTE = "left out: localiser."


@dataclass(frozen=True)
class ComponentRow:
    """A nephrometry component, predicted beside measured; ``agrees`` is None where one of the two is missing."""

    letter: str
    title: str
    predicted: ComponentPrediction | None
    measured: MeasuredComponent | None
    agrees: bool | None


def present(part: Any) -> Any:
    """The part, or None where it is absent."""
    return None if isinstance(part, Absent) else part


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
    signs = {"<=": "≤", ">=": "≥"}
    return re.sub(r"(<=|>=|<|>)\s*(?=\d)", lambda found: signs.get(found[1], found[1]) + "\u202f", name)


def pointWords(lps: Point) -> str:
    """A position as a viewer writes it: ``R 96.3, P 76.7, I 120.8 mm``."""
    letters = (("L", "R"), ("P", "A"), ("S", "I"))
    return ", ".join(f"{letters[axis][value < 0]} {abs(value):.1f}" for axis, value in enumerate(lps)) + " mm"


def taskWords(task: str) -> str:
    """A task's name as a reader says it."""
    if task.startswith("renal_"):
        letter = task[len("renal_") :]
        return f"R.E.N.A.L. {letter if letter == 'h' else letter.upper()}"
    return {"rfs": "Recurrence"}.get(task, task.capitalize())


def whenWords(at: str) -> str:
    """An ISO 8601 time in UTC to the minute."""
    return f"{at[:16].replace('T', ' ')} UTC" if re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d", at) else at


def lesionWords(lesion: LesionReview) -> str:
    """A lesion in a line: ``L1  right tumour, 64 mm``."""
    diameter = present(lesion.largest_diameter_mm)
    kind = "point" if lesion.label == "point" else lesion.label
    size = "" if diameter is None else f", {diameter:.0f} mm"
    return f"{lesion.lesion_id}  {lesion.side} {kind}{size}{' (primary)' if lesion.primary else ''}"


def predictedClass(component: ComponentPrediction | None) -> ClassProbability | None:
    """The class that a prediction names, if its index is one of the classes'."""
    if component is None or not 0 <= component.predicted < len(component.classes):
        return None
    return component.classes[component.predicted]


def componentRows(lesion: LesionReview) -> list[ComponentRow]:
    """Every component that is predicted or measured, in the order R E N A L h."""
    reading, masks = present(lesion.predicted), present(lesion.measured)
    predicted = {item.component: item for item in (present(reading.components) if reading else None) or ()}
    measured = {item.component: item for item in (masks.components if masks else ())}
    rows = []
    for letter, title in COMPONENTS.items():
        left, right = predicted.get(letter), measured.get(letter)
        if left or right:
            rows.append(ComponentRow(letter, title, left, right, _agrees(letter, left, right)))
    return rows


def measuredWords(item: MeasuredComponent) -> str:
    """A measured component: its class, the value and the points."""
    value = f" ({item.value:.3g} {item.unit})" if item.unit else ""
    return f"{readable(item.label)}{value}"


def verdictOf(prediction: BinaryPrediction) -> str:
    """The class on the probability's side of the threshold."""
    return prediction.positive if prediction.probability >= prediction.threshold else prediction.negative


def spreads(uncertainty: Uncertainty | Absent) -> Mapping[str, float]:
    """Largest standard deviation of the predicted class's probability, by task."""
    part = present(uncertainty)
    return {
        task.task: max(present(task.over_phases) or 0.0, task.over_augmentations, task.over_centres)
        for task in (part.tasks if part else ())
    }


def studyChecks(review: CaseReview) -> list[str]:
    """What a reader should look at before trusting the study."""
    found = []
    for record in review.study.phases:
        name = PHASES.get(record.phase, record.phase)
        if record.confidence < SURE_PHASE and not record.overridden:
            found.append(
                f"The {name} phase was recognised with {percent(record.confidence)} confidence: {record.reason}"
            )
        found += [f"{name.capitalize()} phase: {note}" for note in record.notes]
    found += [note for note in review.study.notes if not note.endswith(ROUTINE_NOTE)]
    masks = present(review.segmentation)
    return found + [f"Segmentation: {note}" for note in (masks.notes if masks else ())]


def lesionChecks(lesion: LesionReview) -> list[str]:
    """What a reader should look at before trusting the reading of a lesion."""
    found = []
    reading, inside = present(lesion.predicted), present(lesion.roi_inside)
    outside = present(reading.out_of_distribution) if reading else None
    if outside and outside.flagged:
        found.append(
            f"Unlike the training data (distance {outside.distance:.1f}, limit {outside.threshold:.1f}): "
            "probabilities may not hold."
        )
    if inside is not None and inside < ENOUGH_INSIDE:
        found.append(f"Only {percent(inside)} of the region of interest lies inside the scan.")
    if lesion.label == "point":
        found.append("No lesion is segmented here; the centre was given.")
    apart = [row.letter for row in componentRows(lesion) if row.agrees is False]
    if apart:
        found.append(f"Predicted and measured R.E.N.A.L. components disagree: {', '.join(apart)}.")
    for name in ("malignancy", "aggressiveness") if reading else ():
        binary = present(getattr(reading, name))
        spread = spreads(reading.uncertainty).get(name, 0.0)
        if binary and abs(binary.probability - binary.threshold) < spread:
            found.append(
                f"{name.capitalize()} lies within one standard deviation ({percent(spread)}) of the threshold."
            )
    return found


def _agrees(letter: str, predicted: ComponentPrediction | None, measured: MeasuredComponent | None) -> bool | None:
    chosen = predictedClass(predicted)
    if chosen is None or measured is None:
        return None
    if letter in "RENL":
        return chosen.points == measured.points
    names = [SUFFIX.get(name.lower(), name.lower()) for name in (chosen.name, measured.label)]
    return names[0] == names[1]
