"""A measurement in the form of the case review: components with points, margins and probabilities, and the scores."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ..review import (
    Absent,
    CentralityIndex,
    Evidence,
    Measured,
    MeasuredComponent,
    NephrometryTotal,
    PaduaScore,
    ScoreItem,
)
from .kidney_frame import KidneyFrame
from .lesions import Lesion
from .nephrometry_evidence import evidence
from .nephrometry_perturbation import Draw, values_of
from .nephrometry_quality import Quality
from .nephrometry_readings import Diameter, Readings
from .nephrometry_scores import (
    E_CUT,
    LABELS,
    N_CUTS_MM,
    R_CUTS_MM,
    NephrometryOptions,
    PolarExtent,
    a_label,
    e_points,
    n_points,
    nearest,
    padua_complexity,
    padua_size_points,
    r_points,
    renal_complexity,
    renal_text,
    shares,
)

FACES = ("anterior", "posterior", "neither")
NO_VESSELS = "not assessed: no mask of the renal artery and vein was given"
NOT_VARIED = "The masks were not varied, so no probabilities are given and the confidence leaves their variation out."


@dataclass(frozen=True, eq=False)
class Context:
    """What a measurement used: the frame, the readings in it and their variation.

    Attributes:
        frame: Kidney's frame with all fields.
        readings: Undisturbed values.
        draws: Values under perturbation.
        quality: Confidence and notes per component.
        vessels: Whether the lesion touches the vessels, and the segment; None without a vessel mask.
    """

    frame: KidneyFrame
    readings: Readings
    draws: Sequence[Draw]
    quality: Quality
    vessels: tuple[bool, Diameter] | None = None
    notes: tuple[str, ...] = field(default=())


def measured(context: Context, options: NephrometryOptions) -> Measured:
    """The measurement in the form of the case review."""
    scored = scored_diameter(context.readings, options)
    shown = evidence(context.frame, context.readings, scored)
    components = [
        _r(context, options, scored), _e(context, options), _n(context), _a(context, options), _l(context, options),
    ]  # fmt: skip
    components = [replace(item, evidence=shown[item.component]) for item in components]
    total = _total(context, options, components)
    return Measured(
        components=(*components, _h(context, options)),
        total=total,
        notes=(*context.notes, *context.quality.notes, *(() if context.draws else (NOT_VARIED,))),
        padua=_padua(context, options, components),
        centrality=_centrality(context, scored, shown["C-index"]),
        confidence=round(min(item.confidence for item in components), 3),
        options=options.described(),
        evidence=shown["kidney"],
    )


def scored_diameter(readings: Readings, options: NephrometryOptions) -> str:
    """Name of the diameter that scores R."""
    if options.diameter != "plane":
        return options.diameter
    planes = {name: item.length_mm for name, item in readings.diameters.items() if name != "space"}
    return max(planes, key=lambda name: planes[name])


def scored_mm(value: Draw, options: NephrometryOptions) -> float:
    """Length of the diameter that scores R."""
    if options.diameter != "plane":
        return value.diameters_mm[options.diameter]
    return max(length for name, length in value.diameters_mm.items() if name != "space")


def extent_of(value: Draw, options: NephrometryOptions) -> PolarExtent:
    """Polar extent along the axis that scores L."""
    return value.patient if options.polar_axis == "patient" else value.kidney


def points_of(value: Draw, options: NephrometryOptions) -> dict[str, int]:
    """Points of R, E, N and L."""
    return {
        "R": r_points(scored_mm(value, options)),
        "E": e_points(value.outside, options.endophytic_tolerance),
        "N": n_points(value.near_mm),
        "L": extent_of(value, options).points,
    }


def _component(
    context: Context, letter: str, value: float, unit: str, points: int, label: str, margin: float, source: str,
    outcomes: dict[str, float], variants: dict[str, float],
) -> MeasuredComponent:  # fmt: skip
    probabilities = shares(outcomes) if context.draws else {}
    factor, notes = context.quality.of(letter)
    own = probabilities.get(str(points) if letter in "RENL" else label, 1.0)
    return MeasuredComponent(
        letter, round(value, 2), unit, points, label, round(margin, 2), probabilities, source, notes,
        confidence=round(factor * own, 3), variants={name: round(item, 2) for name, item in variants.items()},
    )  # fmt: skip


def _counted(context: Context, options: NephrometryOptions, letter: str) -> dict[str, float]:
    counts = Counter(points_of(draw, options)[letter] for draw in context.draws)
    return {str(points): float(counts[points]) for points in (1, 2, 3)}


def _r(context: Context, options: NephrometryOptions, scored: str) -> MeasuredComponent:
    lengths = {name: item.length_mm for name, item in context.readings.diameters.items()}
    value = lengths[scored]
    points = r_points(value)
    where = "in space" if scored == "space" else f"in {'an' if scored == 'axial' else 'a'} {scored} plane"
    return _component(
        context, "R", value, "mm", points, LABELS["R"][points - 1], nearest(value, R_CUTS_MM),
        f"largest diameter of the lesion's surface {where}", _counted(context, options, "R"), lengths,
    )  # fmt: skip


def _e(context: Context, options: NephrometryOptions) -> MeasuredComponent:
    share, tolerance = context.readings.outside, options.endophytic_tolerance
    points = e_points(share, tolerance)
    return _component(
        context, "E", 100 * share, "%", points, LABELS["E"][points - 1], 100 * nearest(share, (E_CUT, tolerance)),
        "share of the lesion outside the reconstructed native outline", _counted(context, options, "E"), {},
    )  # fmt: skip


def _n(context: Context) -> MeasuredComponent:
    value = context.readings.near.length_mm
    points = n_points(value)
    return _component(
        context, "N", value, "mm", points, LABELS["N"][points - 1], nearest(value, N_CUTS_MM),
        f"distance to {context.frame.sinus.source}", _counted(context, NephrometryOptions(), "N"), {},
    )  # fmt: skip


def _a(context: Context, options: NephrometryOptions) -> MeasuredComponent:
    value = context.readings.front_mm
    label = a_label(value, options.band_mm)
    counts = Counter(a_label(draw.front_mm, options.band_mm) for draw in context.draws)
    other = 15.0 - options.band_mm
    variants = (
        {f"points with a {other:g} mm band: {a_label(value, other)}": value} if options.band_mm in (5, 10) else {}
    )
    return _component(
        context, "A", value, "mm", 0, label, abs(abs(value) - options.band_mm),
        "centre of the lesion in front of the kidney's coronal plane",
        {face: float(counts[face]) for face in FACES}, variants,
    )  # fmt: skip


def _l(context: Context, options: NephrometryOptions) -> MeasuredComponent:
    value = values_of(context.readings)
    own = extent_of(value, options)
    other = value.kidney if options.polar_axis == "patient" else value.patient
    names = (
        ("patient's axis", "kidney's axis") if options.polar_axis == "patient" else ("kidney's axis", "patient's axis")
    )
    item = _component(
        context, "L", own.reach, "mm", own.points, LABELS["L"][own.points - 1], own.margin,
        f"reach across the nearest polar line, along the {names[0]}", _counted(context, options, "L"),
        {f"share between the polar lines, {names[0]} (%)": 100 * own.between,
         f"share between the polar lines, {names[1]} (%)": 100 * other.between,
         f"points along the {names[1]}": float(other.points)},
    )  # fmt: skip
    if other.points == own.points:
        return item
    note = f"Along the {names[1]} the polar lines give {other.points} points instead of {own.points}."
    return replace(item, notes=(*item.notes, note))


def _h(context: Context, options: NephrometryOptions) -> MeasuredComponent:
    if context.vessels is None:
        return MeasuredComponent("h", 0.0, "", 0, "not assessed", 0.0, {}, NO_VESSELS, confidence=0.0)
    touching, nearest_ = context.vessels
    label = "hilar" if touching else "not hilar"
    return MeasuredComponent(
        "h", round(min(nearest_.length_mm, 999.0), 2), "mm", 0, label,
        round(abs(min(nearest_.length_mm, 999.0) - options.contact_mm), 2), {},
        "distance to the given vessel mask", context.quality.of("h")[1],
        confidence=context.quality.of("h")[0],
    )  # fmt: skip


def _total(context: Context, options: NephrometryOptions, components: list[MeasuredComponent]) -> NephrometryTotal:
    score = sum(item.points for item in components)
    face = next(item.label for item in components if item.component == "A")
    hilar = context.vessels is not None and context.vessels[0]
    kinds = Counter(renal_complexity(sum(points_of(draw, options).values())) for draw in context.draws)
    counts = {name: float(kinds[name]) for name in ("low", "moderate", "high")}
    return NephrometryTotal(
        score, renal_text(score, face, hilar), renal_complexity(score), shares(counts) if context.draws else {}
    )


def _padua(context: Context, options: NephrometryOptions, components: list[MeasuredComponent]) -> PaduaScore:
    readings, by_letter = context.readings, {item.component: item for item in components}
    extent = extent_of(values_of(readings), options)
    middle = extent.between > 0.5
    above = (extent.low + extent.high) / 2 > extent.middle
    reached = readings.near.length_mm <= options.contact_mm
    size = padua_size_points(by_letter["R"].value)
    items = (
        ScoreItem("Longitudinal location", "middle" if middle else "upper" if above else "lower", 2 if middle else 1),
        ScoreItem("Exophytic rate", by_letter["E"].label, by_letter["E"].points),
        ScoreItem("Renal rim", "medial" if readings.hilar_mm > 0 else "lateral", 2 if readings.hilar_mm > 0 else 1),
        ScoreItem("Renal sinus", "involved" if reached else "not involved", 2 if reached else 1),
        ScoreItem("Collecting system", "displaced or infiltrated" if reached else "not involved", 2 if reached else 1),
        ScoreItem("Size", ("<=4 cm", "4.1 to 7 cm", ">7 cm")[size - 1], size),
    )
    score = sum(item.points for item in items)
    face = by_letter["A"].label
    return PaduaScore(score, renal_text(score, face, False), padua_complexity(score), items)


def _centrality(context: Context, scored: str, shown: Evidence) -> CentralityIndex:
    apart = context.readings.centroid_lps_mm - context.frame.centre_lps_mm
    axial, along = float(np.hypot(apart[0], apart[1])), abs(float(apart[2]))
    radius = max(context.readings.diameters[scored].length_mm / 2, 1e-3)
    return CentralityIndex(
        round(float(np.hypot(axial, along)) / radius, 3), round(axial, 2), round(along, 2), round(radius, 2), shown
    )


def size_alone(lesion: Lesion, options: NephrometryOptions, why: str) -> Measured:
    """The size of a lesion without a kidney, from its component alone."""
    value = lesion.axial_diameter_mm if options.diameter == "axial" else lesion.largest_diameter_mm
    points = r_points(value)
    size = MeasuredComponent(
        "R", round(value, 2), "mm", points, LABELS["R"][points - 1], round(nearest(value, R_CUTS_MM), 2), {},
        "largest diameter of the lesion's mask" + ("" if options.diameter == "axial" else " in space"),
        ("No kidney was found near the lesion.",), confidence=0.5,
        variants={"space": round(lesion.largest_diameter_mm, 2), "axial": round(lesion.axial_diameter_mm, 2)},
    )  # fmt: skip
    gone = Absent(why)
    return Measured((size,), gone, (why,), gone, gone, 0.0, options.described())
