"""Lesions: the primary by its attributes and a position on the kidney, a second one, and simple cysts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .histology import Attributes, Histology
from .patient import LEFT, RIGHT, Kidney, Lesion, PhantomPatient
from .shapes import Blob, Ellipsoid, Float3, Waves, as_matrix, as_point, rows
from .streams import stream

TRIES = 40


def place_primary(patient: PhantomPatient, side: str, histology: Histology, attributes: Attributes) -> Lesion:
    """The primary lesion with the given attributes at a position drawn for the patient."""
    g = stream(patient.seed, "primary.shape")
    shape = _free_blob(g, 0.5 * attributes.diameter_mm, attributes.margin_irregularity)
    shape = _placed(patient, side, shape, stream(patient.seed, "primary.position"))
    return _made_up(g, side, shape, histology, attributes)


def lesion_of(seed: int, side: str, shape: Blob, histology: Histology, attributes: Attributes) -> Lesion:
    """A primary lesion of a given shape with the given attributes."""
    return _made_up(stream(seed, "primary.shape"), side, shape, histology, attributes)


def _made_up(g: np.random.Generator, side: str, shape: Blob, histology: Histology, attributes: Attributes) -> Lesion:
    scale = max(3.0, 0.12 * attributes.diameter_mm)
    texture = (Waves.draw(g, scale), Waves.draw(g, 1.6 * scale))
    calcification = None
    if attributes.calcification_mm >= 1.0:
        direction = g.normal(size=3)
        direction *= 0.55 * min(shape.semi_axes_mm) / np.linalg.norm(direction)
        r = attributes.calcification_mm
        calcification = Ellipsoid(as_point(np.asarray(shape.centre_lps_mm) + direction), (r, 0.7 * r, r))
    cyst = histology is Histology.COMPLEX_CYST
    return Lesion(
        side, "cyst" if cyst else "tumour", shape, attributes.native,
        (attributes.arterial, attributes.venous, attributes.delayed), attributes.texture_hu,
        attributes.necrosis_fraction, attributes.fat_fraction, calcification, cyst, texture,
    )  # fmt: skip


def draw_second(patient: PhantomPatient, primary: Lesion) -> tuple[Lesion, ...]:
    """Occasionally a smaller tumour of the same make-up elsewhere, never beside a cystic primary."""
    g = stream(patient.seed, "second")
    if primary.label != "tumour" or g.uniform() >= 0.06:
        return ()
    side = primary.side if g.uniform() < 0.7 else _other(primary.side)
    radius = float(g.uniform(0.25, 0.6)) * float(np.prod(primary.shape.semi_axes_mm)) ** (1 / 3)
    shape = _free_blob(g, max(radius, 5.0), primary.shape.irregularity)
    for _ in range(TRIES):
        placed = _placed(patient, side, shape, g)
        if _apart(placed, (primary,)):
            return (replace(primary, side=side, shape=placed, calcification=None, necrosis_fraction=0.01),)
    return ()


def draw_cysts(patient: PhantomPatient, others: tuple[Lesion, ...]) -> tuple[Lesion, ...]:
    """Zero to three simple cysts in either kidney, apart from the other lesions and smaller than a cystic primary."""
    g = stream(patient.seed, "cysts")
    found: list[Lesion] = []
    limit = 0.7 * min(others[0].shape.semi_axes_mm) if others[0].label == "cyst" else 18.0
    for _ in range(int(g.choice(4, p=(0.55, 0.25, 0.13, 0.07)))):
        side = LEFT if g.uniform() < 0.5 else RIGHT
        radius = float(min(np.exp(g.normal(np.log(7.0), 0.45)), limit))
        shape = _free_blob(g, radius, 0.0)
        native = float(g.normal(6, 4))
        for _ in range(TRIES):
            placed = _placed(patient, side, shape, g)
            if _apart(placed, (*others, *found)):
                found.append(Lesion(side, "cyst", placed, native, (1.0, 2.0, 2.0)))
                break
    return tuple(found)


def position(kidney: Kidney, along: float, around_deg: float) -> tuple[Float3, Float3]:
    """A point on the native outline and the outward normal there.

    Args:
        kidney: The kidney.
        along: -1 (lower pole) to 1 (upper pole) along the long axis.
        around_deg: 0 lateral, 90 anterior, -90 posterior, 180 hilar.
    """
    outline = kidney.outline
    a, b, c = outline.semi_axes_mm
    ring = np.sqrt(max(1.0 - along * along, 0.0))
    angle = np.radians(around_deg)
    unit = np.array([along, -ring * np.cos(angle), ring * np.sin(angle)])
    flat = unit * (a, b, c)
    normal = unit / (a, b, c)
    normal[0] -= normal[1] * 2 * outline.bend_mm * flat[0] / (a * a)
    flat[1] += outline.bend_mm * along * along
    frame = rows(outline.axes)
    point = np.asarray(outline.centre_lps_mm) + frame.T @ flat
    outward = frame.T @ (normal / np.linalg.norm(normal))
    return as_point(point), as_point(outward)


def _free_blob(g: np.random.Generator, radius_mm: float, irregularity: float) -> Blob:
    ratios = np.exp(g.normal(0, 0.07, 3))
    semi = radius_mm * ratios / np.prod(ratios) ** (1 / 3)
    rotation, _ = np.linalg.qr(g.normal(size=(3, 3)))
    surface = Waves.draw(g, 1.3, 16)
    return Blob((0.0, 0.0, 0.0), as_point(semi), as_matrix(rotation), irregularity, surface)


def _placed(patient: PhantomPatient, side: str, shape: Blob, g: np.random.Generator) -> Blob:
    """The shape at a drawn position; positions that leave the retroperitoneum are drawn again."""
    front = 1.0 if g.uniform() < 0.46 else -1.0
    deep = bool(g.uniform() < 0.36)
    best, least = shape, np.inf
    for _ in range(TRIES):
        candidate = replace(shape, centre_lps_mm=_draw_centre(patient.kidney(side), shape, front, deep, g))
        outside = _forbidden(patient, candidate)
        if outside < least:
            best, least = candidate, outside
        if least <= 0.0:
            break
    return best


def _draw_centre(kidney: Kidney, shape: Blob, front: float, deep: bool, g: np.random.Generator) -> Float3:
    """A centre in front of (1) or behind (-1) the kidney's lateral border, wholly inside the kidney if ``deep``."""
    along = float(np.clip(g.normal(0, 0.2) + np.sign(g.uniform(-1, 1)) * g.uniform(0, 1.0), -0.97, 0.97))
    around = front * float(np.clip(g.normal(90.0, 30.0), -10.0, 150.0))
    point, normal = position(kidney, along, around)
    radius = float(np.mean(shape.semi_axes_mm))
    room = kidney.outline.semi_axes_mm[2]
    if deep and radius < 0.85 * room:
        depth = radius + float(g.uniform(0.3, float(np.clip(room - radius, 1.0, 5.0))))
    else:
        depth = radius * float(g.uniform(-0.5, 0.6))
    return as_point(np.asarray(point) - depth * np.asarray(normal))


def _forbidden(patient: PhantomPatient, shape: Blob) -> float:
    """How far the lesion reaches into the spine, the great vessels or beyond the abdominal wall, in mm (<= 0: not)."""
    torso = patient.torso
    x, y, z = _surface_points(shape)
    margins = [torso.cavity.inset(-8.0).distance(x, y, z).max()]
    margins += [-part.distance(x, y, z).min() for part in (torso.aorta, torso.cava, torso.spine)]
    other = patient.kidney(_other(_side(patient, shape))).outline
    margins.append(-other.distance(x, y, z).min())
    return float(max(margins))


def _surface_points(shape: Blob, count: int = 300) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    index = np.arange(count) + 0.5
    polar, turn = np.arccos(1 - 2 * index / count), np.pi * (1 + 5**0.5) * index
    unit = np.stack([np.sin(polar) * np.cos(turn), np.sin(polar) * np.sin(turn), np.cos(polar)], axis=1)
    points = np.asarray(shape.centre_lps_mm) + (unit * shape.semi_axes_mm) @ rows(shape.axes)
    return points[:, 0], points[:, 1], points[:, 2]


def _side(patient: PhantomPatient, shape: Blob) -> str:
    centre = np.asarray(shape.centre_lps_mm)
    return min(patient.kidneys, key=lambda k: float(np.linalg.norm(centre - np.asarray(k.outline.centre_lps_mm)))).side


def _apart(shape: Blob, others: tuple[Lesion, ...]) -> bool:
    for other in others:
        gap = np.linalg.norm(np.asarray(shape.centre_lps_mm) - np.asarray(other.shape.centre_lps_mm))
        if gap < 1.1 * (max(shape.semi_axes_mm) + max(other.shape.semi_axes_mm)) + 3.0:
            return False
    return True


def _other(side: str) -> str:
    return "right" if side == "left" else "left"
