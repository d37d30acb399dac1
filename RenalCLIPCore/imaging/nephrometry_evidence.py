"""Geometry behind each measurement, in patient space (LPS mm), for a viewer to draw."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..review import Evidence, EvidencePlane, EvidencePoint, EvidenceSegment, EvidenceShell, Point
from .kidney_frame import KidneyFrame
from .mask_fields import FAR_MM, crossings, sphere
from .native_outline import Outline
from .nephrometry_readings import Diameter, Readings
from .nephrometry_scores import PolarExtent
from .volume import FloatArray, Geometry

OUTLINE_POINTS = 300
SHELL_CELLS = 18
SHOWN_MM, SHOWN_SHARE, PART_MM = 3.0, 0.8, 7.0
AXIAL = np.array([0.0, 0.0, 1.0])


def evidence(frame: KidneyFrame, readings: Readings, scored: str) -> dict[str, Evidence]:
    """Evidence of ``R``, ``E``, ``N``, ``A``, ``L``, the ``C-index`` and the ``kidney``.

    Args:
        frame: Of the kidney.
        readings: Of the lesion.
        scored: Name of the diameter that scores R.
    """
    centroid = EvidencePoint("centre of the lesion", point(readings.centroid_lps_mm))
    middle = EvidencePoint("centre of the kidney", point(frame.centre_lps_mm))
    return {
        "R": Evidence(segments=tuple(_segment(_words(n, scored), d) for n, d in readings.diameters.items())),
        "E": Evidence(shells=_outside_shell(frame)),
        "N": Evidence(
            segments=(_segment("shortest distance to the sinus or collecting system", readings.near),),
            shells=_sinus_shells(frame, readings.near),
        ),
        "A": Evidence(
            planes=(_plane("coronal plane of the kidney", frame.centre_lps_mm, frame.front),), points=(centroid,)
        ),
        "L": Evidence(planes=(*polar_planes(frame, readings.patient, AXIAL, "patient's axis"),
                              *polar_planes(frame, readings.kidney, frame.long, "kidney's axis"))),
        "C-index": Evidence(
            segments=(EvidenceSegment("between the centres", middle.lps_mm, centroid.lps_mm),),
            points=(middle, centroid),
        ),
        "kidney": _kidney(frame, middle),
    }  # fmt: skip


def _kidney(frame: KidneyFrame, middle: EvidencePoint) -> Evidence:
    semi = frame.outline.semi_axes_mm
    axes = (("long axis", frame.long, semi[0]), ("hilar axis", frame.hilar, semi[1]), ("front", frame.front, semi[2]))
    segments = tuple(
        EvidenceSegment(name, point(frame.centre_lps_mm - axis * half), point(frame.centre_lps_mm + axis * half))
        for name, axis, half in axes
    )
    return Evidence(segments=segments, points=(middle,), shells=(outline_shell(frame.outline),))


def polar_planes(frame: KidneyFrame, extent: PolarExtent, axis: FloatArray, name: str) -> tuple[EvidencePlane, ...]:
    """Lower polar line, midline and upper polar line as planes through the kidney."""
    along = float(frame.centre_lps_mm @ axis)
    levels = (("lower polar line", extent.lower), ("midline", extent.middle), ("upper polar line", extent.upper))
    return tuple(_plane(f"{word} ({name})", frame.centre_lps_mm + (at - along) * axis, axis) for word, at in levels)


def outline_shell(outline: Outline) -> EvidenceShell:
    """The native outline as a closed surface."""
    from scipy.spatial import ConvexHull

    directions = sphere(OUTLINE_POINTS)
    return _as_shell("native outline", outline.surface(directions), ConvexHull(directions).simplices)


def _outside_shell(frame: KidneyFrame) -> tuple[EvidenceShell, ...]:
    """Surface of the part of the lesion outside the native outline; none for an endophytic lesion."""
    grid = frame.fields.grid
    values = np.full(grid.size, FAR_MM, np.float32)
    near = frame.fields.lesion < 2.0
    depth = frame.outline.distance(grid.lps(np.argwhere(near)))
    values[near] = np.maximum(frame.fields.lesion[near], -depth)
    return _shell("part outside the native outline", values, grid)


def _sinus_shells(frame: KidneyFrame, near: Diameter) -> tuple[EvidenceShell, ...]:
    """Surface of the sinus; where that is too coarse to show what the lesion is near to, that part on its own too."""
    values, grid = frame.sinus.values, frame.fields.grid
    whole = _shell("sinus or collecting system", values, grid)
    index = np.rint(grid.index(near.end_lps_mm)).astype(int)
    reach = max(1, round(PART_MM / grid.spacing_mm[0]))
    box = tuple(slice(max(0, i - reach), i + reach + 1) for i in index)
    near_grid = grid.crop((box[0].start, box[1].start, box[2].start), values[box].shape)
    if whole and _shows(whole[0], crossings(values[box], near_grid)):
        return whole
    part = np.full(values.shape, FAR_MM, np.float32)
    part[box] = values[box]
    return (*whole, *_shell("sinus or collecting system, nearest part", part, grid))


def _shows(shell: EvidenceShell, surface: FloatArray) -> bool:
    """Whether most of some surface points (n, 3) have a vertex of a shell beside them."""
    from scipy.spatial import KDTree

    gaps = KDTree(np.asarray(shell.vertices_lps_mm)).query(surface)[0] if len(surface) else np.zeros(1)
    return float((gaps <= SHOWN_MM).mean()) >= SHOWN_SHARE


def _shell(name: str, values: FloatArray, grid: Geometry) -> tuple[EvidenceShell, ...]:
    """Zero surface of a field on a grid coarse enough for a page; empty when there is none."""
    from skimage.measure import marching_cubes

    inside = np.argwhere(values <= 0)
    if not len(inside):
        return ()
    low, high = inside.min(axis=0), inside.max(axis=0)
    step = max(1, int(np.ptp(inside, axis=0).max()) // SHELL_CELLS)
    start = np.maximum(low - step, 0)
    part = values[tuple(slice(a, b + 2 * step, step) for a, b in zip(start, high, strict=True))]
    padded = np.pad(np.clip(part, -3.0, 3.0), 1, constant_values=3.0)
    if padded.min() >= 0:
        return ()
    vertices, triangles, _, _ = marching_cubes(padded, 0.0)
    return (_as_shell(name, grid.lps((vertices - 1) * step + start), triangles),)


def _as_shell(name: str, vertices: FloatArray, triangles: npt.NDArray[np.integer]) -> EvidenceShell:
    faces = tuple((int(a), int(b), int(c)) for a, b, c in triangles)
    return EvidenceShell(name, tuple(point(vertex) for vertex in vertices), faces)


def _segment(name: str, diameter: Diameter) -> EvidenceSegment:
    return EvidenceSegment(name, point(diameter.start_lps_mm), point(diameter.end_lps_mm))


def _plane(name: str, at: FloatArray, normal: FloatArray) -> EvidencePlane:
    unit = (round(float(normal[0]), 5), round(float(normal[1]), 5), round(float(normal[2]), 5))
    return EvidencePlane(name, point(at), unit)


def _words(name: str, scored: str) -> str:
    where = "in space" if name == "space" else f"in {'an' if name == 'axial' else 'a'} {name} plane"
    return f"largest diameter {where}" + (" (scores R)" if name == scored else "")


def point(lps_mm: FloatArray) -> Point:
    """A position with two decimals."""
    return round(float(lps_mm[0]), 2), round(float(lps_mm[1]), 2), round(float(lps_mm[2]), 2)
