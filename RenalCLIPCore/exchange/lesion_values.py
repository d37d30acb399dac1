"""What is known of a lesion as one flat list of numbers and classes: every export reads this list and no other.

A key is stable and documented in :data:`KEYS`; it is the column of the table and the code of the local coding scheme.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..review import Absent, BinaryPrediction, Centre, LesionReview, Measured, NephrometryTotal, Predicted
from ..review_reading import COMPONENTS, phase_words, predicted_class, present, spreads, task_words, verdict

NO_UNIT, POINTS, MILLIMETRE, MILLILITRE, HOUNSFIELD, PERCENT = "1", "{points}", "mm", "mL", "[hnsf'U]", "%"
_UNITS = {"mm": MILLIMETRE, "%": PERCENT, "": NO_UNIT, "ml": MILLILITRE, "HU": HOUNSFIELD}
_AXES = ("x", "y", "z")


@dataclass(frozen=True)
class Quantity:
    """A number: its key, its name, its value as the review has it, and its unit as a UCUM code."""

    key: str
    name: str
    value: float
    unit: str


@dataclass(frozen=True)
class Category:
    """A class in words: its key, its name and the class."""

    key: str
    name: str
    value: str


Value = Quantity | Category


def lesion_values(lesion: LesionReview) -> tuple[Value, ...]:
    """Everything known of a lesion; what is absent has no entry."""
    found: list[Value] = [*_size(lesion)]
    reading, masks = present(lesion.predicted), present(lesion.measured)
    if reading is not None:
        found += _predicted(reading)
    if masks is not None:
        found += _measured(masks)
    return tuple(found)


def quantities(lesion: LesionReview) -> tuple[Quantity, ...]:
    """The numbers among :func:`lesion_values`."""
    return tuple(item for item in lesion_values(lesion) if isinstance(item, Quantity))


def categories(lesion: LesionReview) -> tuple[Category, ...]:
    """The classes among :func:`lesion_values`."""
    return tuple(item for item in lesion_values(lesion) if isinstance(item, Category))


def _size(lesion: LesionReview) -> Iterator[Value]:
    sizes = (
        ("volume_ml", "Volume", lesion.volume_ml, MILLILITRE),
        ("largest_diameter_mm", "Largest diameter in space", lesion.largest_diameter_mm, MILLIMETRE),
        ("axial_diameter_mm", "Largest diameter in an axial slice", lesion.axial_diameter_mm, MILLIMETRE),
        ("roi_inside", "Share of the region of interest inside the scan", lesion.roi_inside, NO_UNIT),
    )
    for key, name, value, unit in sizes:
        if not isinstance(value, Absent):
            yield Quantity(key, name, value, unit)
    yield from _centre("centre_used", "Centre used", lesion.centre_used)
    yield from _centre("centre_proposed", "Centre proposed", lesion.centre_proposed)
    for phase, value in lesion.attenuation_hu.items():
        yield Quantity(f"attenuation_{phase}_hu", f"Mean attenuation, {phase_words(phase)} phase", value, HOUNSFIELD)


def _centre(key: str, name: str, part: Centre | Absent) -> Iterator[Value]:
    centre = present(part)
    if centre is None:
        return
    for axis, value in zip(_AXES, centre.lps_mm, strict=True):
        yield Quantity(f"{key}_lps_{axis}_mm", f"{name}, {axis} (LPS)", value, MILLIMETRE)
    yield Category(f"{key}_source", f"{name}: where it comes from", centre.source)


def _predicted(reading: Predicted) -> Iterator[Value]:
    for component in present(reading.components) or ():
        letter = component.component
        key, name = f"predicted_{letter}", f"R.E.N.A.L. {letter}, predicted"
        chosen = predicted_class(component)
        if chosen is not None:
            yield Category(key, f"R.E.N.A.L. {_title(letter)}, predicted", chosen.name)
            if letter in "RENL":
                yield Quantity(f"{key}_points", f"{name}: points", chosen.points, POINTS)
        for number, item in enumerate(component.classes, 1):
            yield Quantity(
                f"{key}_probability_{number}", f"{name}: probability of {item.name}", item.probability, NO_UNIT
            )
    yield from _total("predicted", reading.total)
    yield from _binary(reading.malignancy)
    yield from _binary(reading.aggressiveness)
    if (risk := present(reading.recurrence)) is not None:
        yield Category("recurrence_group", "Recurrence risk group", risk.group)
        yield Quantity("recurrence_score", "Recurrence risk, log relative hazard", risk.score, NO_UNIT)
        yield Quantity("recurrence_cohort_median", "Median risk of the cohort", risk.cohort_median, NO_UNIT)
    if (outside := present(reading.out_of_distribution)) is not None:
        yield Quantity("training_distance", "Distance from the training data", outside.distance, NO_UNIT)
        yield Quantity("training_distance_threshold", "Its threshold", outside.threshold, NO_UNIT)
        yield Category("unlike_training_data", "Unlike the training data", "yes" if outside.flagged else "no")
    for task, spread in spreads(reading.uncertainty).items():
        yield Quantity(f"spread_{task}", f"Spread of the probability: {task_words(task)}", spread, NO_UNIT)


def _binary(part: BinaryPrediction | Absent) -> Iterator[Value]:
    prediction = present(part)
    if prediction is None:
        return
    task = prediction.task
    yield Category(f"{task}_read_as", f"{task.capitalize()}: read as", verdict(prediction))
    yield Quantity(f"{task}_probability", f"Probability of {prediction.positive}", prediction.probability, NO_UNIT)
    yield Quantity(f"{task}_threshold", f"Threshold of {task}", prediction.threshold, NO_UNIT)


def _total(key: str, part: NephrometryTotal | Absent) -> Iterator[Value]:
    total = present(part)
    if total is None:
        return
    yield Quantity(f"{key}_total", f"R.E.N.A.L. total, {key}", total.score, POINTS)
    yield Category(f"{key}_total_text", f"R.E.N.A.L. total with suffix, {key}", total.text)
    yield Category(f"{key}_complexity", f"R.E.N.A.L. complexity, {key}", total.complexity)
    for level, share in total.complexity_probabilities.items():
        yield Quantity(f"{key}_complexity_{level}", f"Probability of {level} complexity, {key}", share, NO_UNIT)


def _measured(masks: Measured) -> Iterator[Value]:
    for item in masks.components:
        letter = item.component
        key, name = f"measured_{letter}", f"R.E.N.A.L. {letter}, measured"
        yield Category(key, f"R.E.N.A.L. {_title(letter)}, measured", item.label)
        if letter in "RENL":
            yield Quantity(f"{key}_points", f"{name}: points", item.points, POINTS)
        if item.unit:
            unit = _UNITS.get(item.unit, NO_UNIT)
            yield Quantity(f"{key}_value", f"{name}: value", item.value, unit)
            yield Quantity(f"{key}_margin", f"{name}: margin to the nearest cut-off", item.margin, unit)
        yield Quantity(f"{key}_confidence", f"{name}: confidence", item.confidence, NO_UNIT)
    yield from _total("measured", masks.total)
    if (padua := present(masks.padua)) is not None:
        yield Quantity("padua", "PADUA score", padua.score, POINTS)
        yield Category("padua_text", "PADUA score with suffix", padua.text)
        yield Category("padua_complexity", "PADUA complexity", padua.complexity)
    if (centrality := present(masks.centrality)) is not None:
        yield Quantity("c_index", "Centrality index", centrality.value, NO_UNIT)
    yield Quantity("measured_confidence", "Confidence of the measurement", masks.confidence, NO_UNIT)


def _title(letter: str) -> str:
    title = COMPONENTS.get(letter, ("", ""))[0].lower()
    return f"{letter} ({title})" if title else letter


def _documented() -> dict[str, str]:
    """The keys of a usual review, in order, with what they mean."""
    keys = {
        "volume_ml": "volume of the mask, ml",
        "largest_diameter_mm": "largest diameter in space, mm",
        "axial_diameter_mm": "largest diameter in any axial slice, mm",
        "roi_inside": "share of the region of interest inside the scan, 0 to 1",
    }
    for which in ("used", "proposed"):
        for axis in _AXES:
            keys[f"centre_{which}_lps_{axis}_mm"] = f"centre {which}, LPS {axis}, mm"
        keys[f"centre_{which}_source"] = f"centre {which}: segmentation or manual"
    keys |= {f"attenuation_{p}_hu": f"mean attenuation in the {phase_words(p)} phase, HU" for p in "NAVD"}
    for letter in COMPONENTS:
        keys |= _component_keys(letter, "predicted")
    keys |= _total_keys("predicted")
    for task, positive in (("malignancy", "malignant"), ("aggressiveness", "aggressive")):
        keys[f"{task}_read_as"] = "class on the probability's side of the threshold"
        keys[f"{task}_probability"] = f"probability of {positive}, 0 to 1"
        keys[f"{task}_threshold"] = "threshold that the bundle states"
    keys |= {
        "recurrence_group": "low or high against the cohort's median",
        "recurrence_score": "log relative hazard",
        "recurrence_cohort_median": "median score of the bundle's cohort",
        "training_distance": "distance from the bundle's training features",
        "training_distance_threshold": "threshold of that distance",
        "unlike_training_data": "yes where the distance exceeds its threshold",
    }
    for task in (*(f"renal_{letter.lower()}" for letter in COMPONENTS), "malignancy", "aggressiveness", "rfs"):
        keys[f"spread_{task}"] = "largest standard deviation of the predicted class's probability"
    for letter in COMPONENTS:
        keys |= _component_keys(letter, "measured")
    keys |= _total_keys("measured")
    return keys | {
        "padua": "PADUA score, 6 to 14",
        "padua_text": "PADUA score with its suffix",
        "padua_complexity": "low, intermediate or high",
        "c_index": "centrality index",
        "measured_confidence": "confidence of the least certain measured component, 0 to 1",
    }


def _component_keys(letter: str, which: str) -> dict[str, str]:
    name, key = f"R.E.N.A.L. {letter}, {which}", f"{which}_{letter}"
    keys = {key: f"{name}: class in words"}
    if letter in "RENL":
        keys[f"{key}_points"] = f"{name}: points, 1 to 3"
    if which == "predicted":
        count = 2 if letter == "h" else 3
        return keys | {f"{key}_probability_{n}": f"{name}: probability of class {n}" for n in range(1, count + 1)}
    if letter != "h":
        keys[f"{key}_value"] = f"{name}: measured value (R, N, A, L in mm, E in %)"
        keys[f"{key}_margin"] = f"{name}: distance to the nearest cut-off, in the value's unit"
    return keys | {f"{key}_confidence": f"{name}: confidence, 0 to 1"}


def _total_keys(which: str) -> dict[str, str]:
    keys = {
        f"{which}_total": f"R.E.N.A.L. total, {which}: 4 to 12",
        f"{which}_total_text": f"R.E.N.A.L. total, {which}, with its suffix",
        f"{which}_complexity": "low, moderate or high",
    }
    return keys | {f"{which}_complexity_{n}": f"probability of {n} complexity" for n in ("low", "moderate", "high")}


KEYS = _documented()
