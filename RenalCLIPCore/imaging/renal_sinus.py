"""The renal sinus or collecting system of a kidney, from the best source there is.

In this order: urine with contrast in an excretory phase, a given mask, the cavity that the kidney label leaves open,
sinus fat that the label leaves out, and else a sinus modelled from the kidney's axes. Some label maps (KiTS) fill the
sinus and show no more of it than its fat. The model's place and size are those of the sinus fat of 27 kidneys of KiTS23
without lesions, relative to the half lengths of the outline.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .kidney_fields import KidneyFields
from .mask_fields import bounding_box, hull_distance, hull_facets, inside_points, signed_distance
from .native_outline import Outline
from .volume import FloatArray, Geometry, Volume

LESION_MARGIN_MM = 3.0
OPENING_MM, REGROWN_MM = 2.0, 0.5
CAVITY_SHARE = 0.025
FAT_SHARE = 0.015
DEEP_MM = 4.0
PLACED_MM = 5.0
MODEL_CENTRE = (0.0, 0.55, 0.0)
MODEL_SEMI_AXES = (0.42, 0.65, 0.40)
LUMEN_ML = 0.3
NEAR_OUTLINE = 1.4

CAVITY = "the cavity that the kidney label leaves open"
FAT = "sinus fat that the kidney label leaves out"
MODEL = "a sinus modelled from the kidney's axes, because the kidney label fills it"
LUMEN = "collecting system with contrast in the excretory phase"
GIVEN = "the given sinus mask"


@dataclass(frozen=True)
class Variation:
    """How the assumptions of a frame are varied.

    Attributes:
        sinus_scale: Factor on the size of the modelled sinus.
        sinus_shift: Its shift towards the hilum, in half lengths of the outline.
        roughness: Factor on the flatness of the outline.
        enough: Factor on how much of the sinus must be seen before it is believed rather than modelled.
    """

    sinus_scale: float = 1.0
    sinus_shift: float = 0.0
    roughness: float = 1.0
    enough: float = 1.0


@dataclass(frozen=True, eq=False)
class Sinus:
    """Sinus or collecting system.

    Attributes:
        values: Signed distance field on the kidney's grid; true near the surface.
        source: What it comes from, in words.
        visible: Whether the masks or images show it; False for the model.
    """

    values: FloatArray
    source: str
    visible: bool


def free_inside(fields: KidneyFields, outline: Outline) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
    """Field of what is inside the outline and neither parenchyma nor lesion, and where the outline is near."""
    grid = fields.grid
    reach = NEAR_OUTLINE * np.linalg.norm(outline.axes * outline.semi_axes_mm[:, None], axis=0)
    low = np.floor(grid.index(outline.centre_lps_mm - reach)).astype(int)
    high = np.ceil(grid.index(outline.centre_lps_mm + reach)).astype(int) + 1
    box = tuple(slice(max(0, int(a)), max(0, int(b))) for a, b in zip(low, high, strict=True))
    near, values = np.zeros(grid.size, bool), np.full(grid.size, 30.0, np.float32)
    part = near[box]
    index = np.indices(part.shape, dtype=np.float32).reshape(3, -1).T
    index += np.asarray([side.start for side in box], np.float32)
    places = index * np.float32(grid.spacing_mm[0]) + np.asarray(grid.origin_lps_mm, np.float32)
    part[...] = (outline.relative(places)[1] < NEAR_OUTLINE).reshape(part.shape)
    free = part & (fields.parenchyma[box] > 0) & (fields.lesion[box] > 0) & (fields.others[box] > 0)
    values[box][free] = outline.distance(places[free.ravel()])
    taken = np.minimum(np.minimum(fields.parenchyma, fields.lesion), fields.others)
    return np.maximum(values, -taken), near


def cavity_of(fields: KidneyFields, outline: Outline, inside: FloatArray) -> tuple[FloatArray | None, float]:
    """Field of the opened cavity that looks like a sinus, and its share of the outline's volume."""
    from scipy import ndimage

    hollow = inside <= 0
    tight = bounding_box(hollow)
    if tight is None:
        return None, 0.0
    box = tuple(slice(max(0, side.start - 3), side.stop + 3) for side in tight)
    hollow = hollow[box]
    first = (box[0].start, box[1].start, box[2].start)
    grid = fields.grid.crop(first, hollow.shape)
    core = signed_distance(Volume(hollow, grid)) < -OPENING_MM
    pieces, count = ndimage.label(core)
    if not count:
        return None, 0.0
    sizes = ndimage.sum_labels(core, pieces, range(1, count + 1))
    middles = grid.lps(np.asarray(ndimage.center_of_mass(core, pieces, range(1, count + 1))))
    medial = -1.0 if fields.side == "left" else 1.0
    faces_in = (middles[:, 0] - outline.centre_lps_mm[0]) * medial > -5.0
    best = int(np.argmax(sizes * np.where(faces_in, 1.0, 0.3)))
    grown = signed_distance(Volume(pieces == best + 1, grid)) - OPENING_MM
    values = inside.copy()
    np.maximum(values[box], grown - REGROWN_MM, out=values[box])
    share = float((values <= 0).sum()) * grid.voxel_volume_ml / outline.volume_ml
    return values, share


def modelled(
    fields: KidneyFields,
    outline: Outline,
    axes: tuple[FloatArray, FloatArray, FloatArray],
    variation: Variation,
    near: npt.NDArray[np.bool_],
) -> FloatArray:
    """Field of the modelled sinus within the outline."""
    frame = np.stack(axes)
    semi = np.array([np.linalg.norm(outline.semi_axes_mm * (outline.axes @ axis)) for axis in frame])
    shifted = np.add(MODEL_CENTRE, (0, variation.sinus_shift, 0))
    middle = outline.centre_lps_mm + (shifted * semi) @ frame
    size = np.asarray(MODEL_SEMI_AXES) * semi * (variation.sinus_scale, 1.0, variation.sinus_scale)
    ellipsoid = Outline(middle, frame, size)
    places = fields.grid.lps(np.argwhere(near))
    values = np.full(fields.grid.size, 30.0, np.float32)
    own = np.asarray(ellipsoid.distance(places))
    close = own < 4.0
    own[close] = np.maximum(own[close], outline.distance(places[close]))
    values[near] = own
    return values


def best_sinus(
    fields: KidneyFields,
    outline: Outline,
    inside: FloatArray,
    cavity: FloatArray | None,
    share: float,
    model: FloatArray,
    enough: float = 1.0,
) -> Sinus:
    """The best source that the masks show: cavity, fat, else the model with what little there is of both.

    Args:
        fields: Structures of the kidney.
        outline: Its native outline.
        inside: From :func:`free_inside`.
        cavity, share: From :func:`cavity_of`.
        model: From :func:`modelled`.
        enough: Factor on the shares of the outline's volume from which cavity and fat are believed.
    """
    fat = _fat(fields, outline, inside)
    fat_share = 0.0 if fat is None else float((fat <= 0).sum()) * fields.grid.voxel_volume_ml / outline.volume_ml
    if cavity is not None and share >= enough * CAVITY_SHARE:
        return Sinus(cavity if fat is None else np.minimum(cavity, fat), CAVITY, True)
    if fat is not None and fat_share >= enough * FAT_SHARE:
        return Sinus(_hull_of(fields, outline, fat), FAT, True)
    values = model
    for part in (fat, cavity if share > 0 else None):
        if part is not None:
            # a dent beside a lesion is no sinus: only what lies near the model is taken for it
            values = np.minimum(values, np.maximum(part, model - PLACED_MM))
    return Sinus(values, MODEL, False)


def _fat(fields: KidneyFields, outline: Outline, inside: FloatArray) -> FloatArray | None:
    """Field of the deep holes of the kidney label, apart from the lesions."""
    from scipy import ndimage

    hole = inside <= 0
    places = fields.grid.lps(np.argwhere(hole))
    if not len(places):
        return None
    hole[hole] = outline.distance(places) < -DEEP_MM
    apart = hole & (fields.lesion > LESION_MARGIN_MM) & (fields.others > LESION_MARGIN_MM)
    pieces, count = ndimage.label(apart, structure=np.ones((3, 3, 3)))
    volumes = np.bincount(pieces.ravel(), minlength=count + 1) * fields.grid.voxel_volume_ml
    volumes[0] = 0.0
    kept = (volumes >= 0.05)[pieces]
    return np.where(_regrown(kept, hole, fields.grid), inside, np.float32(30.0)) if kept.any() else None


def _regrown(kept: npt.NDArray[np.bool_], hole: npt.NDArray[np.bool_], grid: Geometry) -> npt.NDArray[np.bool_]:
    """What was kept, with the hole beside it up to a lesion: gaps along lesions are no fat, but fat may reach them."""
    box = bounding_box(kept)
    assert box is not None
    margin = int(LESION_MARGIN_MM / grid.spacing_mm[0]) + 2
    wide = tuple(slice(max(0, side.start - margin), side.stop + margin) for side in box)
    part = kept[wide]
    if not (hole[wide] & ~part).any():
        return kept
    near = signed_distance(Volume(part, grid.crop((0, 0, 0), part.shape))) <= LESION_MARGIN_MM
    result = kept.copy()
    result[wide] |= hole[wide] & near
    return result


def _hull_of(fields: KidneyFields, outline: Outline, fat: FloatArray) -> FloatArray:
    """Field of the convex hull of the fat: fat surrounds the calyces and vessels of the sinus."""
    points = inside_points(fat, fields.grid)
    values = np.full(fields.grid.size, 30.0, np.float32)
    low, high = fields.grid.index(points.min(axis=0) - 4.0), fields.grid.index(points.max(axis=0) + 4.0)
    box = tuple(slice(max(0, int(a)), int(b) + 2) for a, b in zip(low, high, strict=True))
    part = values[box]
    index = np.indices(part.shape).reshape(3, -1).T + [s.start for s in box]
    part[...] = hull_distance(hull_facets(points, 150), fields.grid.lps(index)).reshape(part.shape)
    return np.minimum(np.maximum(values, -np.minimum(fields.lesion, fields.others)), fat)


def given_sinus(fields: KidneyFields, mask: Volume) -> Sinus | None:
    """A given sinus or collecting-system mask on the kidney's grid; None when it is empty there."""
    values = on_grid(fields, mask)
    return None if values is None else Sinus(values, GIVEN, True)


def excretory_sinus(fields: KidneyFields, outline: Outline, phase: Volume, contrast_hu: float) -> Sinus | None:
    """The lumen with contrast inside the outline; None where there is too little to be a collecting system.

    Args:
        fields: Structures of the kidney.
        outline: Its native outline.
        phase: Excretory phase in HU, in the frame of the masks.
        contrast_hu: Brighter is contrast.
    """
    from scipy import ndimage

    grid = fields.grid
    hu = phase.resample_to(grid).array
    places = grid.lps(np.argwhere(hu > contrast_hu))
    if not len(places):
        return None
    bright = hu > contrast_hu
    bright[bright] = outline.distance(places) < 2.0
    pieces, count = ndimage.label(bright & (fields.lesion > 0))
    volumes = np.bincount(pieces.ravel(), minlength=count + 1) * grid.voxel_volume_ml
    volumes[0] = 0.0
    kept = (volumes >= LUMEN_ML / 10)[pieces]
    if float(kept.sum()) * grid.voxel_volume_ml < LUMEN_ML:
        return None
    values = np.clip((contrast_hu - hu) / 100.0, -2.0, 2.0)
    distance = signed_distance(Volume(kept, grid))
    return Sinus(np.asarray(np.where(np.abs(distance) < 1.0, values, distance), np.float32), LUMEN, True)


def on_grid(fields: KidneyFields, mask: Volume) -> FloatArray | None:
    """Signed distance of another mask (any non-zero value) on the kidney's grid; None when it is empty there."""
    filled = Volume((mask.array > 0).astype(np.uint8), mask.geometry)
    near = filled.resample_to(fields.grid, nearest=True, fill=0).array > 0
    return signed_distance(Volume(near, fields.grid)) if near.any() else None
