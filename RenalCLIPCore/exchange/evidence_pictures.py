"""Pictures of the evidence behind measured nephrometry: one slice per component, with what was measured drawn in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..imaging.volume import Volume
from ..review import Absent, Measured
from .drawing import SUPERSAMPLING, Colour, annotate, jpeg, png, stroke, text
from .evidence_views import LETTERS, EvidenceView, Line, evidence_views, plane_line, scoring_segment, shell_loops
from .pictures import OUTLINES, outline, windowed
from .planes import Plane, sample, sample_label

if TYPE_CHECKING:
    from PIL import Image, ImageDraw

NATIVE: Colour = (255, 255, 255)
MEASURE: Colour = (255, 80, 80)
SINUS: Colour = (240, 130, 255)
OUTSIDE: Colour = (255, 80, 80)
POLAR: Colour = (255, 240, 90)
POLAR_OF_KIDNEY: Colour = (150, 255, 150)
LABEL_GREY = ((1, 120), (3, 70), (2, 170))


def evidence_pictures(
    measured: Measured | Absent, labels: Volume, scan: Volume | None, title: str = ""
) -> dict[str, bytes]:
    """Pictures of a measurement.

    Args:
        measured: The measurement.
        labels: Label map (1 kidney, 2 tumour, 3 cyst) in the same patient frame.
        scan: Phase in Hounsfield units for the background; the label map itself where there is none.
        title: What the background is, for instance ``arterial``.

    Returns:
        By name: ``evidence-R``, ``-E``, ``-N``, ``-A``, ``-L`` and ``-C`` (C-index) as JPEG, and each with ``-marks``
        as a transparent PNG of the same size. Empty where no kidney was measured.
    """
    found: dict[str, bytes] = {}
    if isinstance(measured, Absent):
        return found
    for view in evidence_views(measured):
        base = _label_picture(labels, view.plane) if scan is None else _grey_picture(scan, view.plane)
        annotate(base, view.plane, title or ("masks" if scan is None else ""))
        found[f"evidence-{view.letter}"] = jpeg(base)
        found[f"evidence-{view.letter}-marks"] = png(_marks(view, measured, labels))
    return found


def evidence_captions(measured: Measured) -> dict[str, str]:
    """What each of the pictures shows, by the component's letter, in the order in which they are shown."""
    kept = {item.component: item for item in measured.components}
    if isinstance(measured.total, Absent) or any(letter not in kept for letter in LETTERS[:5]):
        return {}
    band, front = measured.options.get("band_mm", ""), kept["A"].value
    words = {
        "R": f"R {kept['R'].value:.1f} mm: {kept['R'].source}",
        "E": f"E {kept['E'].value:.0f} %: the part outside the native outline is filled",
        "N": f"N {kept['N'].value:.1f} mm: {kept['N'].source}",
        "A": f"A {abs(front):.1f} mm {'in front of' if front > 0 else 'behind'} the kidney's coronal plane"
             + (f"; dashed: {band} mm to either side" if band else ""),
        "L": f"L {kept['L'].points}: polar lines and midline across the patient's axis; dashed: across the kidney's",
    }  # fmt: skip
    if not isinstance(measured.centrality, Absent):
        value = measured.centrality
        apart = (value.axial_mm**2 + value.longitudinal_mm**2) ** 0.5
        words["C"] = (
            f"C-index {value.value:.2f}: {apart:.1f} mm between the centres over a radius of {value.radius_mm:.1f} mm"
        )
    return words


def _grey_picture(scan: Volume, plane: Plane) -> Image.Image:
    from PIL import Image

    return Image.fromarray(windowed(sample(scan, plane)))


def _label_picture(labels: Volume, plane: Plane) -> Image.Image:
    from PIL import Image

    grey = np.full(plane.shape, 25.0, np.float32)
    for value, shade in LABEL_GREY:
        share = sample_label(labels, plane, value)
        if share is not None:
            grey += np.clip(share, 0, 1) * (shade - grey)
    return Image.fromarray(grey.astype(np.uint8))


def _marks(view: EvidenceView, measured: Measured, labels: Volume) -> Image.Image:
    from PIL import Image, ImageDraw

    rows, columns = view.plane.shape
    image = Image.new("RGBA", (columns * SUPERSAMPLING, rows * SUPERSAMPLING), (0, 0, 0, 0))
    draw = ImageDraw.Draw(image)
    if view.letter == "E":
        _fill_outside(image, view)
    for style in OUTLINES:
        for line in outline(labels, view.plane, style.value):
            stroke(draw, line * SUPERSAMPLING, style.colour, 0.75 * style.width, style.dash)
    if view.letter in "EAL":
        for shell in measured.evidence.shells:
            for line in shell_loops(shell, view.plane):
                stroke(draw, line * SUPERSAMPLING, NATIVE, 1.6, 7)
    _OWN[view.letter](draw, view, measured)
    return image.resize((columns, rows), Image.Resampling.BOX)


def _fill_outside(image: Image.Image, view: EvidenceView) -> None:
    from PIL import Image, ImageDraw

    layer = Image.new("RGBA", image.size, (0, 0, 0, 0))
    draw = ImageDraw.Draw(layer)
    for shell in view.evidence.shells:
        for line in shell_loops(shell, view.plane):
            draw.polygon([(float(x), float(y)) for x, y in line * SUPERSAMPLING], fill=(*OUTSIDE, 110))
    image.alpha_composite(layer)


def _segment(draw: ImageDraw.ImageDraw, plane: Plane, start: object, end: object) -> None:
    """A measured distance with round ends, projected onto the slice."""
    ends = np.array([plane.pixel(np.asarray(point, dtype=float)) for point in (start, end)]) * SUPERSAMPLING
    stroke(draw, ends, MEASURE, 2.8, 0)
    for x, y in ends:
        reach = 4.0 * SUPERSAMPLING
        draw.ellipse((x - reach, y - reach, x + reach, y + reach), fill=(*MEASURE, 255), outline=(0, 0, 0, 160))


def _draw_r(draw: ImageDraw.ImageDraw, view: EvidenceView, _measured: Measured) -> None:
    if scored := scoring_segment(view.evidence):
        _segment(draw, view.plane, scored.start_lps_mm, scored.end_lps_mm)


def _draw_e(draw: ImageDraw.ImageDraw, view: EvidenceView, _measured: Measured) -> None:
    for shell in view.evidence.shells:
        for line in shell_loops(shell, view.plane):
            stroke(draw, line * SUPERSAMPLING, OUTSIDE, 1.2, 0)


def _draw_n(draw: ImageDraw.ImageDraw, view: EvidenceView, _measured: Measured) -> None:
    for shell in view.evidence.shells:
        for line in shell_loops(shell, view.plane):
            stroke(draw, line * SUPERSAMPLING, SINUS, 1.8, 0)
    for item in view.evidence.segments:
        _segment(draw, view.plane, item.start_lps_mm, item.end_lps_mm)


def _draw_a(draw: ImageDraw.ImageDraw, view: EvidenceView, measured: Measured) -> None:
    band = float(measured.options.get("band_mm", "nan"))
    for plane in view.evidence.planes:
        lines = [(plane_line(plane, view.plane, shift), 6 if shift else 0) for shift in (0.0, -band, band)]
        for line, dash in lines:
            if line is not None:
                stroke(draw, line * SUPERSAMPLING, POLAR, 2.0 if not dash else 1.5, dash)
    _points(draw, view)


def _draw_l(draw: ImageDraw.ImageDraw, view: EvidenceView, _measured: Measured) -> None:
    for plane in view.evidence.planes:
        line = plane_line(plane, view.plane)
        if line is None:
            continue
        own = "patient" in plane.name
        stroke(draw, line * SUPERSAMPLING, POLAR if own else POLAR_OF_KIDNEY, 1.8, 0 if own else 7)
        if own:
            _name(draw, line, plane.name.split(" (")[0], view.plane)


def _draw_c(draw: ImageDraw.ImageDraw, view: EvidenceView, _measured: Measured) -> None:
    for item in view.evidence.segments:
        _segment(draw, view.plane, item.start_lps_mm, item.end_lps_mm)


def _points(draw: ImageDraw.ImageDraw, view: EvidenceView) -> None:
    for item in view.evidence.points:
        x, y = np.asarray(view.plane.pixel(np.asarray(item.lps_mm))) * SUPERSAMPLING
        reach = 5.0 * SUPERSAMPLING
        draw.ellipse((x - reach, y - reach, x + reach, y + reach), fill=(*MEASURE, 255), outline=(0, 0, 0, 160))


def _name(draw: ImageDraw.ImageDraw, line: Line, words: str, plane: Plane) -> None:
    """A name at the left end of a line, just above it."""
    x, y = line[np.argmin(line[:, 0])] * SUPERSAMPLING
    text(draw, (x + 14 * SUPERSAMPLING, y - 2 * SUPERSAMPLING), words, plane.shape[0] // 28 * SUPERSAMPLING, "lb")


_OWN = {"R": _draw_r, "E": _draw_e, "N": _draw_n, "A": _draw_a, "L": _draw_l, "C": _draw_c}
