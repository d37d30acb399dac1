"""The kidney's own frame: native outline, sinus, long, hilar and anterior axes, and polar lines."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .kidney_fields import KidneyFields
from .mask_fields import crossings, hull_distance, hull_facets, inside_points, sample, spread
from .native_outline import Outline, fit_outline
from .renal_sinus import (
    CAVITY_SHARE,
    LESION_MARGIN_MM,
    Sinus,
    Variation,
    best_sinus,
    cavity_of,
    free_inside,
    modelled,
)
from .volume import FloatArray, Geometry

WALL_DEPTH_MM = 4.0
LIP_MM = 0.2
HIDDEN_MM, CLEAR_MM = 1.5, 4.5
CUT_MM = 1.0


@dataclass(frozen=True, eq=False)
class KidneyFrame:
    """A kidney's frame in patient space.

    Attributes:
        fields: The structures.
        outline: Native outline.
        sinus: Nearness is measured to it.
        centre_lps_mm: Centre of the outline.
        long, hilar, front: Unit vectors (LPS) to the upper pole, to the hilum and to the front.
        lips_lps_mm: (n, 3) points where the sinus opens through the outline.
        model_lips_lps_mm: (n, 3) the same of the modelled sinus.
        covered: How far (0 to 1) a lesion covers each end of the opening (``lower``, ``upper``); by that share the
            model's lips count there.
        given_sinus: The sinus, when it does not come from the label map.
    """

    fields: KidneyFields
    outline: Outline
    sinus: Sinus
    centre_lps_mm: FloatArray
    long: FloatArray
    hilar: FloatArray
    front: FloatArray
    lips_lps_mm: FloatArray
    model_lips_lps_mm: FloatArray
    covered: dict[str, float]
    given_sinus: Sinus | None = None

    @property
    def hidden(self) -> tuple[str, ...]:
        """Ends of the opening that a lesion covers for the most part."""
        return tuple(name for name, share in self.covered.items() if share > 0.5)

    def polar_lines(self, axis: FloatArray) -> tuple[float, float]:
        """Lower and upper polar line along a unit vector, mm from the patient's origin."""
        along, model = self.lips_lps_mm @ axis, self.model_lips_lps_mm @ axis
        lower = along.min() + self.covered.get("lower", 0.0) * min(0.0, model.min() - along.min())
        upper = along.max() + self.covered.get("upper", 0.0) * max(0.0, model.max() - along.max())
        return float(lower), float(upper)


def kidney_frame(
    fields: KidneyFields,
    *,
    start: Outline | None = None,
    variation: Variation | None = None,
    sinus: Sinus | None = None,
    points: int = 1000,
) -> KidneyFrame:
    """Reconstruct a kidney's frame.

    Args:
        fields: Its structures.
        start: Outline of a similar mask.
        variation: Of the assumptions.
        sinus: A better one than the masks show, on the same grid.
        points: Surface points for the outline.
    """
    variation = variation or Variation()
    outline = fit_outline(_outer_surface(fields), start, variation.roughness, points)
    inside, near = free_inside(fields, outline)
    cavity, share = cavity_of(fields, outline, inside)
    long, hilar, front = _axes(fields, outline, cavity, share)
    model = modelled(fields, outline, (long, hilar, front), variation, near)
    model_lips = _lips(model, fields.grid, outline)
    lips = model_lips
    if share >= variation.enough * CAVITY_SHARE and cavity is not None:
        lips = _lips(cavity, fields.grid, outline)
        lips = model_lips if len(lips) < 10 else lips
    given, sinus = sinus, sinus or best_sinus(fields, outline, inside, cavity, share, model, variation.enough)
    if not len(lips):
        reach = 0.33 * outline.semi_axes_mm[0] * long
        gate = outline.centre_lps_mm + 0.9 * outline.semi_axes_mm[1] * hilar
        lips = model_lips = np.stack([gate - reach, gate + reach])
    covered = {} if lips is model_lips else _covered(fields, lips)
    return KidneyFrame(
        fields, outline, sinus, outline.centre_lps_mm, long, hilar, front, lips, model_lips, covered, given
    )


def _outer_surface(fields: KidneyFields) -> FloatArray:
    """Points of the parenchyma's surface that belong to the native outline: not sinus wall, lesion bed or scan cut."""
    points = spread(crossings(fields.parenchyma, fields.grid), 8000)
    clear = (sample(fields.lesion, fields.grid, points) > LESION_MARGIN_MM) & (
        sample(fields.others, fields.grid, points) > LESION_MARGIN_MM
    )
    for axis in range(3):
        clear &= points[:, axis] > fields.scan_low_mm[axis] + CUT_MM
        clear &= points[:, axis] < fields.scan_high_mm[axis] - CUT_MM
    shallow = hull_distance(hull_facets(points), points) > -WALL_DEPTH_MM
    for chosen in (clear & shallow, shallow, np.ones(len(points), bool)):
        if chosen.sum() >= 60:
            return points[chosen]
    return points


def _axes(
    fields: KidneyFields, outline: Outline, cavity: FloatArray | None, share: float
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Long, hilar and front axis: the hilar one to the visible cavity, else the outline's broad one towards medial."""
    long = outline.axes[0] * (np.sign(outline.axes[0][2]) or 1.0)
    medial = np.array([-1.0 if fields.side == "left" else 1.0, 0.0, 0.0])
    inward = _across(medial + np.array([0.0, -0.6, 0.0]), long)
    broad = outline.axes[1] * (np.sign(outline.axes[1] @ inward) or 1.0)
    flatness = float(np.clip((outline.semi_axes_mm[1] / outline.semi_axes_mm[2] - 1.0) / 0.2, 0.0, 1.0))
    hilar = _across(flatness * broad + (1.0 - flatness) * inward + 1e-6 * inward, long)
    if cavity is not None and share > 0:
        to_cavity = _across(inside_points(cavity, fields.grid).mean(axis=0) - outline.centre_lps_mm, long)
        weight = float(np.clip(share / (2 * CAVITY_SHARE), 0.0, 1.0))
        hilar = _across(weight * to_cavity + (1.0 - weight) * hilar + 1e-6 * to_cavity, long)
    front = np.cross(long, hilar)
    return long, hilar, front * (-np.sign(front[1]) or 1.0)


def _across(vector: FloatArray, axis: FloatArray) -> FloatArray:
    flat = vector - (vector @ axis) * axis
    return flat / (np.linalg.norm(flat) + 1e-12)


def _lips(sinus: FloatArray, grid: Geometry, outline: Outline) -> FloatArray:
    """Points of the sinus' surface that lie on the outline."""
    points = crossings(sinus, grid)
    return points[np.abs(outline.distance(points)) < LIP_MM] if len(points) else points


def _covered(fields: KidneyFields, lips: FloatArray) -> dict[str, float]:
    """Share by which each end of the opening counts as covered: it falls steadily with the distance to a lesion."""
    ends = {"lower": lips[np.argmin(lips[:, 2])], "upper": lips[np.argmax(lips[:, 2])]}
    gaps = {
        name: float(min(sample(part, fields.grid, point[None])[0] for part in (fields.lesion, fields.others)))
        for name, point in ends.items()
    }
    return {name: float(np.clip((CLEAR_MM - gap) / (CLEAR_MM - HIDDEN_MM), 0.0, 1.0)) for name, gap in gaps.items()}
