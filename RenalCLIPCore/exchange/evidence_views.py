"""Where the evidence of a measurement is looked at: slices, and what of the evidence lies in them.

Everything is taken from the evidence of the review itself, in patient space, so that a picture shows what was stored.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..imaging.volume import FloatArray
from ..review import Evidence, EvidencePlane, EvidenceSegment, EvidenceShell, Measured
from .planes import Plane, View

LETTERS = ("R", "E", "N", "A", "L", "C")
MARGIN_MM = 12.0
SMALLEST_MM, LARGEST_MM = 110.0, 280.0
PIXELS = 440

Line = npt.NDArray[np.float64]


@dataclass(frozen=True)
class EvidenceView:
    """A slice that shows one component's evidence.

    Attributes:
        letter: ``R``, ``E``, ``N``, ``A``, ``L`` or ``C`` (the C-index).
        plane: The slice.
        evidence: Of the component.
    """

    letter: str
    plane: Plane
    evidence: Evidence


def evidence_views(measured: Measured) -> list[EvidenceView]:
    """The slices to draw for a measurement; none where no kidney's frame was measured."""
    kept = {item.component: item.evidence for item in measured.components}
    centres = [point for point in kept.get("A", Evidence()).points if "lesion" in point.name]
    outline = next(iter(measured.evidence.shells), None)
    if outline is None or not centres or any(letter not in kept for letter in LETTERS[:5]):
        return []
    centre = np.asarray(centres[0].lps_mm)
    centrality = getattr(measured.centrality, "evidence", Evidence())
    scored = scoring_segment(kept["R"])
    shortest = next(iter(kept["N"].segments), None)
    places = {
        "R": _along(scored, centre),
        "E": (fullest_view(outline, centre, list(View)), centre),
        "N": _along(shortest, centre),
        "A": (fullest_view(outline, centre, [View.AXIAL, View.SAGITTAL]), centre),
        "L": (fullest_view(outline, centre, [View.CORONAL, View.SAGITTAL]), centre),
        "C": _along(next(iter(centrality.segments), None), centre),
    }
    low, high = _box(outline, kept["R"])
    shown = {**kept, "C": centrality}
    return [EvidenceView(name, _framed(view, at, low, high), shown[name]) for name, (view, at) in places.items()]


def scoring_segment(evidence: Evidence) -> EvidenceSegment | None:
    """The diameter that scores R."""
    return next((item for item in evidence.segments if "scores R" in item.name), None)


def fullest_view(shell: EvidenceShell, at: FloatArray, views: Iterable[View]) -> View:
    """The view whose slice through a point shows most of a shell."""
    chosen = list(views)
    areas = [sum(_area(loop) for loop in shell_loops(shell, Plane.around(view, at, 1, 1, 1))) for view in chosen]
    return chosen[int(np.argmax(areas))]


def flattest_view(start: FloatArray, end: FloatArray) -> View:
    """The view in whose slice a segment lies most nearly."""
    apart = np.abs(np.subtract(end, start))
    return (View.SAGITTAL, View.CORONAL, View.AXIAL)[int(np.argmin(apart))]


def shell_loops(shell: EvidenceShell, plane: Plane) -> list[Line]:
    """Where a plane cuts a shell: closed lines (n, 2) of column and row in pixels of the plane."""
    vertices = np.asarray(shell.vertices_lps_mm, dtype=float).reshape(-1, 3)
    triangles = np.asarray(shell.triangles, dtype=int).reshape(-1, 3)
    offset = vertices - np.asarray(plane.corner_lps_mm)
    flat = np.stack([offset @ np.asarray(plane.view.right), offset @ np.asarray(plane.view.down)], 1) / plane.pixel_mm
    height = offset @ np.cross(plane.view.right, plane.view.down)
    height = np.where(height == 0, 1e-9, height)
    links: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for triangle in triangles[(np.ptp(np.sign(height[triangles]), axis=1) > 0) if len(triangles) else []]:
        pairs = [(int(min(a, b)), int(max(a, b))) for a, b in zip(triangle, np.roll(triangle, 1), strict=True)]
        first, second = (pair for pair in pairs if height[pair[0]] * height[pair[1]] < 0)
        links.setdefault(first, []).append(second)
        links.setdefault(second, []).append(first)
    at = {(a, b): flat[a] + (flat[b] - flat[a]) * height[a] / (height[a] - height[b]) for a, b in links}
    return [np.stack([at[edge] for edge in [*chain, chain[0]]]) for chain in _chains(links)]


def plane_line(shown: EvidencePlane, plane: Plane, shift_mm: float = 0.0) -> Line | None:
    """Where an evidence plane, moved along its normal, cuts a slice: two ends (2, 2) in pixels; None outside it."""
    normal = np.asarray(shown.normal_lps)
    slope = np.array([normal @ plane.view.right, normal @ plane.view.down]) * plane.pixel_mm
    level = float(normal @ (np.asarray(shown.point_lps_mm) + shift_mm * normal - np.asarray(plane.corner_lps_mm)))
    if np.linalg.norm(slope) < 0.2 * plane.pixel_mm:
        return None
    rows, columns = plane.shape
    ends = []
    for axis, limit in ((0, columns), (1, rows)):
        if abs(slope[1 - axis]) > 1e-9:
            for value in (0.0, float(limit)):
                other = (level - slope[axis] * value) / slope[1 - axis]
                if -1e-6 <= other <= (rows, columns)[axis] + 1e-6:
                    ends.append((value, other) if axis == 0 else (other, value))
    if len(ends) < 2:
        return None
    line = np.asarray(ends)
    order = np.argsort(line @ (1.0, 1e-3))
    return line[order[[0, -1]]]


def _chains(links: dict[tuple[int, int], list[tuple[int, int]]]) -> list[list[tuple[int, int]]]:
    """Edges in the order in which they follow each other."""
    left = set(links)
    chains: list[list[tuple[int, int]]] = []
    while left:
        chain = [min(left)]
        while chain[-1] in left:
            left.discard(chain[-1])
            chain += [edge for edge in links[chain[-1]] if edge in left][:1]
        if len(chain) > 2:
            chains.append(chain)
    return chains


def _area(loop: Line) -> float:
    x, y = loop[:, 0], loop[:, 1]
    return float(abs(np.sum(x[:-1] * y[1:] - x[1:] * y[:-1])) / 2)


def _along(segment: EvidenceSegment | None, fallback: FloatArray) -> tuple[View, FloatArray]:
    if segment is None:
        return View.AXIAL, fallback
    start, end = np.asarray(segment.start_lps_mm), np.asarray(segment.end_lps_mm)
    return flattest_view(start, end), np.asarray((start + end) / 2)


def _box(outline: EvidenceShell, sizes: Evidence) -> tuple[FloatArray, FloatArray]:
    ends = [end for item in sizes.segments for end in (item.start_lps_mm, item.end_lps_mm)]
    points = np.asarray([*outline.vertices_lps_mm, *ends], dtype=float)
    return points.min(axis=0), points.max(axis=0)


def _framed(view: View, at: FloatArray, low: FloatArray, high: FloatArray) -> Plane:
    across = np.abs(np.cross(view.right, view.down))
    middle = np.where(across > 0.5, at, (low + high) / 2)
    side = float(np.clip((high - low)[across < 0.5].max() + 2 * MARGIN_MM, SMALLEST_MM, LARGEST_MM))
    return Plane.around(view, middle, side, side, side / PIXELS)
