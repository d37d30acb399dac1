"""Draw a phantom patient: an abdomen of continuous shapes in LPS millimetres, from a seed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from .enhancement import draw_enhancement
from .histology import Histology, checked_prior, draw_attributes, draw_histology, draw_recurrence, oracle
from .lesions import draw_cysts, draw_second, place_primary
from .patient import LEFT, RIGHT, Kidney, Lesion, PhantomPatient, Torso, Tumour
from .shapes import Cylinder, Ellipsoid, Float3, Matrix3, Tube, as_matrix, as_point, rows
from .streams import stream

__all__ = [
    "LEFT", "RIGHT", "Kidney", "Lesion", "PhantomPatient", "Torso", "Tumour", "axes_along", "draw_kidney_at",
    "draw_patient", "draw_torso",
]  # fmt: skip


def draw_patient(
    seed: int,
    *,
    lesion: bool = True,
    prior: Mapping[Histology, float] | None = None,
    histology: Histology | None = None,
    side: str | None = None,
    timing_sd: float = 1.0,
) -> PhantomPatient:
    """Draw a patient.

    Args:
        seed: Every draw depends on it and nothing else.
        lesion: False gives a study without any lesion.
        prior: Weights of the histologies instead of the paper's proportions; the oracle uses the same ones.
        histology: A fixed histology (the oracle still uses the prior).
        side: Side of the primary lesion; drawn when None.
        timing_sd: Spread of the contrast timing between patients, relative to the default.

    Raises:
        ConfigurationError: The prior is unusable.
    """
    weights = checked_prior(prior)
    torso = draw_torso(seed)
    kidneys = (_draw_kidney(seed, LEFT, torso), _draw_kidney(seed, RIGHT, torso))
    tissues = draw_enhancement(seed, timing_sd)
    patient = PhantomPatient(seed, torso, kidneys, (), None, tissues)
    if not lesion:
        return patient
    chosen = histology or draw_histology(seed, weights)
    attributes = draw_attributes(seed, chosen)
    tumour = Tumour(chosen, attributes, draw_recurrence(seed, attributes, chosen), oracle(attributes, chosen, weights))
    side = side or (LEFT if stream(seed, "side").uniform() < 0.5 else RIGHT)
    primary = place_primary(patient, side, chosen, attributes)
    lesions = (primary, *draw_second(patient, primary))
    lesions = (*lesions, *draw_cysts(patient, lesions))
    return replace(patient, lesions=lesions, tumour=tumour)


def draw_torso(seed: int, wider_mm: float = 0.0) -> Torso:
    """Everything but kidneys and lesions; ``wider_mm`` adds to the half widths of body and cavity."""
    g = stream(seed, "torso")
    half = (float(np.clip(g.normal(168, 12), 145, 195)), float(np.clip(g.normal(116, 9), 100, 138)))
    half = (half[0] + wider_mm, half[1] + wider_mm)
    body = Cylinder((0.0, 0.0), half)
    fat = float(np.clip(g.normal(18, 6), 8, 32))
    wall = Cylinder((0.0, -1.0), (half[0] - fat, half[1] - fat))
    cavity = Cylinder((0.0, -2.0), (wall.semi_axes_mm[0] - 13, wall.semi_axes_mm[1] - 11))
    back = cavity.centre_xy_mm[1] + cavity.semi_axes_mm[1]
    spine = Cylinder((0.0, back - 34.0), (22.0 + g.normal(0, 1), 17.0 + g.normal(0, 0.8)))
    y = spine.centre_xy_mm[1]
    muscles: tuple[Cylinder | Tube, ...] = (
        *(Cylinder((s * 33.0, y + 34.0), (25.0, 15.0)) for s in (-1, 1)),
        *(Cylinder((s * 62.0, y + 27.0), (18.0, 9.0)) for s in (-1, 1)),
        *(Tube(((s * 27.0, y + 6, 90.0), (s * 40.0, y - 2, -130.0)), 15.0) for s in (-1, 1)),
    )
    offset = float(g.uniform(0, 36))
    aorta = Cylinder((11.0 + float(g.normal(0, 2)), y - 27.0), (9.5, 9.5))
    cava = Cylinder((-20.0 + float(g.normal(0, 2)), y - 24.0), (12.0, 8.5))
    a, b = cavity.semi_axes_mm
    liver = (
        Ellipsoid((-0.56 * a, -0.06 * b, 66.0), (0.42 * a, 0.78 * b, 82.0), _turn_z(-12.0)),
        Ellipsoid((-0.05 * a, -0.42 * b, 88.0), (0.55 * a, 0.42 * b, 52.0)),
    )
    spleen = Ellipsoid((0.70 * a, 0.20 * b, 72.0), (0.24 * a, 0.48 * b, 48.0), _turn_z(25.0))
    bowel, gas = _draw_bowel(seed, cavity)
    return Torso(
        body, wall, cavity, muscles, spine, Cylinder((0.0, y + 26.0), (10.0, 8.0)), _processes(y, offset), offset,
        aorta, cava, liver, spleen, bowel, gas, _ribs(wall, y),
    )  # fmt: skip


def _processes(spine_y: float, offset_mm: float) -> tuple[Ellipsoid, ...]:
    levels = offset_mm + 36.0 * np.arange(-6, 7)
    spinous = (Ellipsoid((0.0, spine_y + 45.0, float(z) - 8), (4.0, 14.0, 11.0)) for z in levels)
    transverse = (Ellipsoid((s * 26.0, spine_y + 20.0, float(z)), (16.0, 4.5, 6.0)) for z in levels for s in (-1, 1))
    return (*spinous, *transverse)


def _ribs(wall: Cylinder, spine_y: float) -> tuple[Tube, ...]:
    (cx, cy), (a, b) = wall.centre_xy_mm, wall.semi_axes_mm
    ribs = []
    for level, reach in ((45.0, 55.0), (80.0, 105.0), (115.0, 140.0), (150.0, 150.0)):
        angle = np.radians(np.linspace(62.0, 90.0 - reach, 9))
        drop = np.linspace(0.0, 0.45 * reach, 9)
        for s in (-1, 1):
            points = [
                (cx + s * (a - 7) * np.cos(t), cy + (b - 7) * np.sin(t), level - d)
                for t, d in zip(angle, drop, strict=True)
            ]
            ribs.append(Tube(((s * 18.0, spine_y + 14.0, level + 6), *(as_point(p) for p in points)), 4.5))
    return tuple(ribs)


def _draw_bowel(seed: int, cavity: Cylinder) -> tuple[tuple[Tube, ...], tuple[Ellipsoid, ...]]:
    g = stream(seed, "bowel")
    a, b = cavity.semi_axes_mm
    bowel, gas = [], []
    for index in range(9):
        angle = np.radians(-155 + 130 * (index + g.uniform(-0.3, 0.3)) / 8)
        radius = float(g.uniform(10, 16))
        reach = float(g.uniform(0.45, 0.75))
        x, y = a * reach * np.cos(angle), b * (0.9 * reach * np.sin(angle)) - 6
        top = float(g.uniform(-25, 35))
        points = tuple(
            as_point((x + g.uniform(-14, 14), y + g.uniform(-8, 8), z)) for z in np.arange(-170.0, top, 40.0)
        )
        bowel.append(Tube((*points, as_point((x, y, top))), radius))
        if g.uniform() < 0.5:
            pocket = (radius * 0.6, radius * 0.45, float(g.uniform(6, 20)))
            gas.append(Ellipsoid(as_point((x, y - 0.3 * radius, top - 6)), pocket))
    for s in (-1, 1):
        x, y = s * 0.80 * a, 0.05 * b
        bowel.append(Tube(((x, y, -170.0), (x + s * 2, y + 6, -30.0 - 15 * s)), 17.0))
        gas.append(Ellipsoid((x, y - 3.0, -80.0), (9.0, 7.0, 28.0)))
    return tuple(bowel), tuple(gas)


def _draw_kidney(seed: int, side: str, torso: Torso) -> Kidney:
    g = stream(seed, f"kidney.{side}")
    s = _sign(side)
    size = float(np.clip(g.normal(1.0, 0.05), 0.88, 1.14))
    semi = (56.0 * size + g.normal(0, 1.5), 29.5 * size + g.normal(0, 1), 25.0 * size + g.normal(0, 1))
    axes = _kidney_axes(side, g.normal(11, 3), g.normal(12, 3), g.normal(35, 8))
    spine_y = torso.spine.centre_xy_mm[1]
    centre = (
        s * (67.0 + g.normal(0, 3)),
        spine_y - 13.0 + g.normal(0, 3),
        (2.0 if side == LEFT else -14.0) + g.normal(0, 5),
    )
    return draw_kidney_at(g, side, torso, Ellipsoid(as_point(centre), as_point(semi), axes))


def draw_kidney_at(g: np.random.Generator, side: str, torso: Torso, place: Ellipsoid) -> Kidney:
    """A kidney with sinus, collecting system and vessels where an ellipsoid lies.

    Args:
        g: Of everything that is drawn.
        side: ``left`` or ``right``.
        torso: Whose great vessels the kidney's own reach.
        place: Centre, half lengths and axes (long, hilar, anterior).
    """
    s, centre, axes, semi = _sign(side), place.centre_lps_mm, place.axes, place.semi_axes_mm
    frame = rows(axes)

    def at(long: float, hilar: float, front: float) -> Float3:
        return as_point(np.asarray(centre) + frame.T @ np.array([long, hilar, front]))

    a, b, c = semi
    sinus = Ellipsoid(at(g.normal(0, 1.5), 0.68 * b, 0), (0.43 * a, 0.62 * b, 0.42 * c), axes)
    pelvis = Ellipsoid(at(-1, 0.66 * b, -1), (0.20 * a, 0.28 * b, 0.24 * c), axes)
    calyces = tuple(
        Tube((at(-1, 0.6 * b, -1), at(0.30 * a * t + g.normal(0, 0.7), 0.34 * b, g.normal(0, 1))), 2.6)
        for t in (-0.9, -0.35, 0.35, 0.9)
    )
    cups = tuple(Ellipsoid(tube.points_lps_mm[1], (3.6, 2.8, 3.2), axes) for tube in calyces)
    gate = at(-4, 1.05 * b, 0)
    ureter = Tube(
        (at(-4, 0.7 * b, -1), gate, (s * 42.0, gate[1] - 8.0, gate[2] - 40.0), (s * 36.0, gate[1] - 12.0, -170.0)), 2.2
    )
    aorta, cava = torso.aorta.centre_xy_mm, torso.cava.centre_xy_mm
    artery_gate, vein_gate = at(6, 1.0 * b, -3), at(3, 1.0 * b, 5)
    artery = Tube((at(8, 0.55 * b, -4), artery_gate, (*aorta, artery_gate[2] + 5.0)), 2.8)
    bridge = ((aorta[0] + 4.0, aorta[1] - 15.0, vein_gate[2] + 3.0),) if side == LEFT else ()
    vein = Tube((at(2, 0.5 * b, 4), vein_gate, *bridge, (*cava, vein_gate[2] + 4.0)), 4.6)
    pyramids = (6.0, float(g.uniform(0, 2 * np.pi)), 4.0, float(g.uniform(0, 2 * np.pi)))
    outline = replace(place, bend_mm=float(g.uniform(3, 7)))
    cortex = float(np.clip(g.normal(7.5, 0.8), 5.5, 9.5))
    return Kidney(side, outline, sinus, (pelvis, *calyces, *cups), ureter, artery, vein, cortex, pyramids)


def _sign(side: str) -> float:
    return 1.0 if side == LEFT else -1.0


def _kidney_axes(side: str, medial_deg: float, posterior_deg: float, hilum_deg: float) -> Matrix3:
    """Rows (long, hilar, anterior): the upper pole medial and posterior, the hilum facing anteromedially."""
    s = _sign(side)
    return axes_along([-s * np.tan(np.radians(medial_deg)), np.tan(np.radians(posterior_deg)), 1.0], side, hilum_deg)


def axes_along(direction: npt.ArrayLike, side: str, hilum_deg: float) -> Matrix3:
    """Rows (long, hilar, anterior) of a kidney whose long axis has a direction (LPS, upwards)."""
    s, long = _sign(side), np.array(direction, dtype=float)
    long /= np.linalg.norm(long)
    angle = np.radians(hilum_deg)
    hilar = np.array([-s * np.cos(angle), -np.sin(angle), 0.0])
    hilar -= (hilar @ long) * long
    hilar /= np.linalg.norm(hilar)
    front: Any = np.cross(long, hilar)
    front *= -np.sign(front[1])
    return as_matrix([long, hilar, front])


def _turn_z(degrees: float) -> Matrix3:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return as_matrix([[c, s, 0], [-s, c, 0], [0, 0, 1]])
