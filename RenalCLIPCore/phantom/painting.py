"""A patient painted onto a label map of real kidneys: its shapes, with the phantom's enhancement, in a drawn body.

What the map shows is taken from it: the kidneys and their sides, the lesions, their sizes and places. Everything else
is drawn as for other phantoms. The histology is drawn given the size of the primary lesion and whether the map calls it
a tumour or a cyst, so that the posterior given all attributes remains exact; how irregular the surface is, the map
decides alone, and that attribute is not known.

The body is drawn, too, and then fitted: moved so that the kidneys lie beside its spine, scaled where they lie closer
together than an adult's, and widened until they fit into its cavity. Where the kidneys and lesions are, other organs
give way.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any, TypeVar

import numpy as np

from ..errors import ConfigurationError
from ..imaging.kidney_sides import assign_sides
from ..imaging.lesions import LesionFindings
from ..imaging.mask_fields import Mask, bounding_box, cropped, signed_distance, spread
from ..imaging.volume import Geometry, Volume
from .anatomy import axes_along, draw_kidney_at, draw_torso
from .enhancement import draw_enhancement
from .histology import (
    Histology,
    checked_prior,
    draw_attributes,
    draw_histology,
    draw_recurrence,
    given_size,
    oracle,
    size_of,
)
from .lesions import lesion_of
from .masked_shapes import POINTS, MaskedBlob, MaskedKidney, MaskedOutline, MaskField, Within, moments
from .masks import RealMask
from .patient import LEFT, RIGHT, Kidney, Lesion, Painted, PhantomPatient, Torso, Tumour
from .shapes import Array, Cylinder, Ellipsoid, Tube, as_point
from .streams import stream

CLOSING_MM = 12.0
BENEATH_MM = 2.5
COLLECTING_DEPTH_MM = 7.0
HILUM_DEG = 35.0
_KIDNEY_X_MM, _KIDNEY_BEFORE_SPINE_MM, _KIDNEY_Z_MM = 67.0, -13.0, -6.0
_SCALES = (0.5, 1.1)
_SINGLE_X_MM = (45.0, 75.0)
_SHIFTS_MM = np.arange(-20.0, 17.0, 4.0)
_WIDER_MM = np.arange(0.0, 145.0, 8.0)
_CLEAR_MM = 3.0
Shaped = TypeVar("Shaped")


def paint_patient(
    seed: int,
    mask: RealMask,
    *,
    prior: Mapping[Histology, float] | None = None,
    timing_sd: float = 1.0,
) -> PhantomPatient:
    """Draw a patient onto a label map.

    Args:
        seed: Of everything that the map does not decide.
        mask: The map and its lesions.
        prior: As for :func:`RenalCLIPCore.phantom.anatomy.draw_patient`.
        timing_sd: The same.

    Raises:
        ConfigurationError: The prior has no histology that the primary lesion can have.
    """
    sides = _kidney_masks(mask)
    origin, torso = _fitted_body(seed, mask, sides)
    frame = moved(mask.labels.geometry, -origin)
    kidneys = tuple(_kidney(seed, side, torso, mask.found, own, frame) for side, own in sides.items())
    tissues = draw_enhancement(seed, timing_sd)
    tumour = _tumour(seed, mask.found, prior)
    lesions = _lesions(seed, tumour, mask.found, frame)
    painted = Painted(mask.sha256, as_point(origin), mask.found)
    return PhantomPatient(seed, torso, kidneys, lesions, tumour, tissues, painted)


def possible_prior(found: LesionFindings, prior: Mapping[Histology, float] | None) -> dict[Histology, float]:
    """The prior's weights of the histologies that the map's primary lesion can have: cystic ones for a cyst.

    Raises:
        ConfigurationError: None of them has any weight.
    """
    cyst = found.lesions[0].label == "cyst"
    weights = {h: w for h, w in checked_prior(prior).items() if (h is Histology.COMPLEX_CYST) == cyst}
    if not sum(weights.values()) > 0:
        raise ConfigurationError(
            f"A mask's primary lesion is a {found.lesions[0].label}, but the histology weights leave none for it."
        )
    return checked_prior(weights)


def _tumour(seed: int, found: LesionFindings, prior: Mapping[Histology, float] | None) -> Tumour:
    weights = possible_prior(found, prior)
    size = size_of(2.0 * (found.lesions[0].volume_ml * 1000.0 * 3.0 / (4.0 * np.pi)) ** (1.0 / 3.0))
    chosen = draw_histology(seed, given_size(weights, size))
    attributes = replace(draw_attributes(seed, chosen), size=size, irregularity=float("nan"))
    return Tumour(chosen, attributes, draw_recurrence(seed, attributes, chosen), oracle(attributes, chosen, weights))


def _kidney_masks(mask: RealMask) -> dict[str, Mask]:
    """Parenchyma by side, on the map's grid; sides without any are left out."""
    sides = assign_sides(mask.labels, [], mask.middle_x_mm)
    masks = {LEFT: sides.parenchyma > 0, RIGHT: sides.parenchyma < 0}
    return {side: mask for side, mask in masks.items() if mask.any()}


def _fitted_body(seed: int, mask: RealMask, kidneys: Mapping[str, Mask]) -> tuple[Array, Torso]:
    """Where the body's origin lies in the map's frame, and the body."""
    grid = mask.labels.geometry
    centres = {side: grid.lps(np.argwhere(own)).mean(axis=0) for side, own in kidneys.items()}
    middle = np.mean(list(centres.values()), axis=0)
    half = _KIDNEY_X_MM
    if len(centres) == 2:
        half = float(abs(centres[LEFT][0] - centres[RIGHT][0])) / 2
    else:
        # scans are not always centred on the patient
        aside = middle[0] - mask.middle_x_mm
        middle[0] -= np.sign(aside) * np.clip(abs(aside), *_SINGLE_X_MM)
    scale = float(np.clip(half / _KIDNEY_X_MM, *_SCALES))
    points = spread(grid.lps(np.argwhere(mask.labels.array > 0)), POINTS) - middle
    bodies = [(_scaled(draw_torso(seed, wider), scale), wider) for wider in _WIDER_MM]
    candidates = [(torso, wider, _anchor(torso, scale, shift)) for torso, wider in bodies for shift in _SHIFTS_MM]
    torso, _, anchor = min(candidates, key=lambda found: _intrusion(found[0], points + found[2]) + 0.03 * found[1])
    return middle - anchor, torso


def _anchor(torso: Torso, scale: float, shift_mm: float) -> Array:
    """Where the middle between the kidneys lies in the body."""
    y = torso.spine.centre_xy_mm[1] + (_KIDNEY_BEFORE_SPINE_MM + shift_mm) * scale
    return np.array([0.0, y, _KIDNEY_Z_MM * scale])


def _intrusion(torso: Torso, points: Array) -> float:
    """How far kidneys and lesions lie in the spine, the great vessels, the psoas or the wall, in mm on average."""
    x, y, z = points.T
    weights = [(torso.spine, 3.0), (torso.aorta, 1.0), (torso.cava, 1.0), *((m, 0.7) for m in torso.muscles)]
    within = [weight * np.maximum(_CLEAR_MM - shape.distance(x, y, z), 0.0).mean() for shape, weight in weights]
    return float(sum(within) + np.maximum(torso.cavity.distance(x, y, z) + _CLEAR_MM, 0.0).mean())


def _scaled(value: Shaped, factor: float) -> Shaped:
    """A shape, a tuple of shapes, a length or a whole torso, larger by a factor."""
    if factor == 1.0:
        return value
    result: Any = value
    if isinstance(value, tuple):
        result = tuple(_scaled(item, factor) for item in value)
    elif isinstance(value, float):
        result = value * factor
    elif isinstance(value, Ellipsoid):
        result = replace(
            value, centre_lps_mm=_scaled(value.centre_lps_mm, factor), semi_axes_mm=_scaled(value.semi_axes_mm, factor)
        )
    elif isinstance(value, Cylinder | Tube | Torso):
        result = type(value)(*(_scaled(getattr(value, item.name), factor) for item in fields(value)))
    return result


def moved(grid: Geometry, by_mm: Array) -> Geometry:
    """A grid that is shifted by a vector."""
    origin = np.asarray(grid.origin_lps_mm) + by_mm
    return Geometry.from_components(grid.size, grid.spacing_mm, origin, grid.direction_matrix)


def _kidney(seed: int, side: str, torso: Torso, found: LesionFindings, mask: Mask, frame: Geometry) -> Kidney:
    lesions = _of_side(found, side)
    tissue, native = _parenchyma(mask, lesions, frame)
    everything = MaskField.of(Volume(mask | lesions, frame))
    outline = MaskField.of(native)
    body = moments(spread(native.geometry.lps(np.argwhere(native.array)), 20000))
    long = np.asarray(body.axes[0])
    long = long * (np.sign(long[2]) or 1.0)
    semi = (body.semi_axes_mm[0], body.semi_axes_mm[1], body.semi_axes_mm[2])
    place = Ellipsoid(body.centre_lps_mm, semi, axes_along(long, side, HILUM_DEG))
    drawn = draw_kidney_at(stream(seed, f"kidney.{side}"), side, torso, place)
    deep = Within(outline, -COLLECTING_DEPTH_MM)
    parts = [
        *(Within(x, inside=(deep,)) for x in drawn.collecting),
        *(Within(x, outside=(tissue,)) for x in drawn.collecting),
    ]
    vessels = (torso.spine, torso.aorta, torso.cava)
    values: dict[str, Any] = {item.name: getattr(drawn, item.name) for item in fields(Kidney)}
    values["outline"] = MaskedOutline(place.centre_lps_mm, semi, place.axes, surface=outline)
    # the map calls the collecting system kidney where it fills the sinus; never so near its surface
    values["collecting"] = tuple(parts)
    return MaskedKidney(**values, tissue=tissue, room=Within(everything, 0.0, (torso.cavity,), vessels))


def _of_side(found: LesionFindings, side: str) -> Mask:
    numbers = [lesion.number for lesion in found.lesions if lesion.side == side]
    return np.isin(found.components.array, numbers)


def _parenchyma(mask: Mask, lesions: Mask, frame: Geometry) -> tuple[MaskField, Volume]:
    """Surface of the parenchyma, which goes on a little beneath the lesions, and the native outline as a mask.

    The native outline is the parenchyma closed by ``CLOSING_MM``: sinus, holes and beds of small lesions are filled.
    """
    from scipy.ndimage import binary_fill_holes

    box = bounding_box(mask)
    assert box is not None
    near = cropped(Volume(mask, frame), box, CLOSING_MM + 4.0)
    others = cropped(Volume(lesions, frame), box, CLOSING_MM + 4.0).array
    distance = signed_distance(near)
    tissue = near.array | (others & (distance <= BENEATH_MM))
    grown = Volume(distance <= CLOSING_MM, near.geometry)
    closed = binary_fill_holes((signed_distance(grown) <= -CLOSING_MM) | near.array)
    return MaskField.of(Volume(tissue, near.geometry)), Volume(np.asarray(closed), near.geometry)


def _lesions(seed: int, tumour: Tumour, found: LesionFindings, frame: Geometry) -> tuple[Lesion, ...]:
    """The map's lesions: the primary by its attributes, other tumours of the same make-up, other cysts simple."""
    placed = [(lesion, _blob(found, lesion.number, frame)) for lesion in found.lesions]
    first = _with_inner_focus(
        seed, lesion_of(seed, found.lesions[0].side, placed[0][1], tumour.histology, tumour.attributes), placed[0][1]
    )
    result = [first]
    g = stream(seed, "cysts")
    for lesion, shape in placed[1:]:
        if lesion.label == "cyst":
            result.append(Lesion(lesion.side, "cyst", shape, float(g.normal(6, 4)), (1.0, 2.0, 2.0)))
        else:
            solid = replace(first, side=lesion.side, shape=shape, calcification=None, necrosis_fraction=0.01)
            result.append(solid)
    return tuple(result)


def _with_inner_focus(seed: int, lesion: Lesion, shape: MaskedBlob) -> Lesion:
    """The lesion with its calcification, if it has one, moved to where it is surrounded by the lesion."""
    if lesion.calcification is None:
        return lesion
    depth = -shape.distance(*shape.voxels_lps_mm.T)
    wanted = min(max(lesion.calcification.semi_axes_mm), 0.8 * float(depth.max()))
    places = shape.voxels_lps_mm[depth >= wanted]
    place = places[int(stream(seed, "primary.calcification").integers(len(places)))]
    return replace(lesion, calcification=replace(lesion.calcification, centre_lps_mm=as_point(place)))


def _blob(found: LesionFindings, number: int, frame: Geometry) -> MaskedBlob:
    mask = found.components.array == number
    box = bounding_box(mask)
    assert box is not None
    start = (box[0].start, box[1].start, box[2].start)
    part = mask[box]
    return MaskedBlob.of(Volume(part, frame.crop(start, (part.shape[0], part.shape[1], part.shape[2]))))
