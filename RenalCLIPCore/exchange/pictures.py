"""Key pictures of a lesion: slices of each phase, outlines, centre and explanation, as JPEG and PNG bytes.

A picture of grey values (JPEG) carries its orientation letters, its scale bar and its position, so that it can stand
alone. Outlines, the centre and the box of the region of interest are transparent pictures (PNG) of the same size, to
be laid over it.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..imaging.study import Phase
from ..imaging.volume import FloatArray, Volume
from .planes import Plane, View, body_box, sample, sample_label

if TYPE_CHECKING:
    from PIL import Image, ImageDraw, ImageFont

WINDOW_LEVEL_HU, WINDOW_WIDTH_HU = 50.0, 500.0
ROI_MM = (140.0, 140.0, 160.0)
SURVEY_PIXEL_MM, ROI_PIXEL_MM = 0.5, 0.25
OUTSIDE_GREY = 38
JPEG_QUALITY = 88
SUPERSAMPLING = 2

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class OutlineStyle:
    """How a label is outlined: value in the label map, colour, line width in pixels, dash length (0: solid)."""

    name: str
    value: int
    colour: Colour
    width: float
    dash: int


OUTLINES = (
    OutlineStyle("kidney", 1, (86, 190, 245), 1.8, 0),
    OutlineStyle("cyst", 3, (120, 240, 170), 2.4, 8),
    OutlineStyle("tumour", 2, (255, 170, 30), 2.8, 0),
)
HEAT = (
    (0.0, (60, 15, 110)),
    (0.3, (150, 40, 125)),
    (0.55, (225, 80, 70)),
    (0.8, (250, 155, 30)),
    (1.0, (252, 250, 160)),
)
HEAT_ALPHA = 0.55


def key_pictures(
    volumes: Mapping[Phase, Volume],
    labels: Volume | None,
    centre_lps_mm: npt.ArrayLike,
    explanations: tuple[Volume, ...] = (),
    *,
    survey: bool = True,
    mark_centre: bool = True,
) -> dict[str, bytes]:
    """Pictures of the slices through one point.

    Args:
        volumes: Phases in Hounsfield units, in one patient frame; the reference is the arterial, else the venous, else
            the first.
        labels: Label map (1 kidney, 2 tumour, 3 cyst) in the same frame.
        centre_lps_mm: The point, (3,).
        explanations: Maps in patient space, 0 to 1, in the order of the review.
        survey: Whether the whole cross-sections are wanted beside the region of interest.
        mark_centre: Whether the point and the region of interest are marked (not so for a study without a lesion).

    Returns:
        By name: ``axial-PHASE``, ``coronal-PHASE``, ``sagittal-PHASE`` (the last two of the reference only) and
        ``roi-PHASE`` (JPEG); ``explanation-1`` ... (JPEG, of the reference phase); ``axial-marks``, ``coronal-marks``,
        ``sagittal-marks`` and ``roi-marks`` (PNG with transparency, of the same size).
    """
    if not volumes:
        return {}
    centre = np.asarray(centre_lps_mm, dtype=float)
    reference = next((p for p in (Phase.A, Phase.V) if p in volumes), next(iter(volumes)))
    order = sorted(volumes, key=list(Phase).index)
    roi = Plane.around(View.AXIAL, centre, ROI_MM[0], ROI_MM[1], ROI_PIXEL_MM)
    pictures: dict[str, bytes] = {}
    if survey:
        planes = survey_planes(volumes[reference], centre)
        for plane in planes:
            for phase in order if plane.view is View.AXIAL else (reference,):
                pictures[f"{plane.view}-{phase}"] = _jpeg(_slice_picture(volumes[phase], plane, phase))
            pictures[f"{plane.view}-marks"] = _png(_marks(labels, plane, centre, mark_centre, box=mark_centre))
    if mark_centre:
        for phase in order:
            pictures[f"roi-{phase}"] = _jpeg(_slice_picture(volumes[phase], roi, phase))
        pictures["roi-marks"] = _png(_marks(labels, roi, centre, cross=True, box=False))
        for number, explanation in enumerate(explanations, 1):
            pictures[f"explanation-{number}"] = _jpeg(_heat_picture(volumes[reference], explanation, roi, reference))
    return pictures


def survey_planes(reference: Volume, centre_lps_mm: FloatArray) -> tuple[Plane, Plane, Plane]:
    """Axial, coronal and sagittal plane through a point, around the body, of one height and one scale."""
    low, high = body_box(reference, centre_lps_mm)
    bottom, top = (float(bound[2]) for bound in reference.geometry.bounds_lps_mm)
    width, depth = (float(value) for value in high - low)
    x, y, z = (float(value) for value in centre_lps_mm)
    middle = (low + high) / 2
    half = depth / 2
    level = z if top - bottom <= depth else float(np.clip(z, bottom + half, top - half))
    level = (top + bottom) / 2 if top - bottom <= depth else level
    return (
        Plane.around(View.AXIAL, (middle[0], middle[1], z), width, depth, SURVEY_PIXEL_MM),
        Plane.around(View.CORONAL, (middle[0], y, level), width, depth, SURVEY_PIXEL_MM),
        Plane.around(View.SAGITTAL, (x, middle[1], level), depth, depth, SURVEY_PIXEL_MM),
    )


def position_text(view: View, position_lps_mm: npt.ArrayLike) -> str:
    """Position of a slice in the words of a viewer: ``S 123.0``, ``A 12.5``, ``R 40.2`` (millimetres)."""
    x, y, z = (float(value) for value in np.asarray(position_lps_mm, dtype=float))
    value, positive, negative = {
        View.AXIAL: (z, "S", "I"),
        View.CORONAL: (y, "P", "A"),
        View.SAGITTAL: (x, "L", "R"),
    }[view]
    return f"{positive if value >= 0 else negative} {abs(value):.1f}"


def windowed(hu: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """Grey values 0 to 255 of Hounsfield units in the window 50/500; a flat dark grey where nothing was scanned."""
    scaled = (hu - (WINDOW_LEVEL_HU - WINDOW_WIDTH_HU / 2)) * (255.0 / WINDOW_WIDTH_HU)
    grey = np.clip(np.nan_to_num(scaled, nan=0.0) + 0.5, 0, 255).astype(np.uint8)
    grey[np.isnan(hu)] = OUTSIDE_GREY
    return grey


def heat_colours(value: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Colours (..., 3), 0 to 255, of a map between 0 and 1."""
    stops = [stop for stop, _ in HEAT]
    channels = [np.interp(value, stops, [colour[c] for _, colour in HEAT]) for c in range(3)]
    return np.stack(channels, axis=-1).astype(np.float32)


def _slice_picture(volume: Volume, plane: Plane, phase: Phase) -> Image.Image:
    from PIL import Image

    image = Image.fromarray(windowed(sample(volume, plane)))
    _annotate(image, plane, phase)
    return image


def _heat_picture(volume: Volume, explanation: Volume, plane: Plane, phase: Phase) -> Image.Image:
    from PIL import Image

    grey = windowed(sample(volume, plane)).astype(np.float32)[..., None]
    heat = np.clip(np.nan_to_num(sample(explanation, plane), nan=0.0), 0.0, 1.0)
    alpha = (HEAT_ALPHA * np.clip((heat - 0.05) / 0.6, 0.0, 1.0))[..., None]
    blended = grey * (1 - alpha) + heat_colours(heat) * alpha
    image = Image.fromarray(np.clip(blended + 0.5, 0, 255).astype(np.uint8))
    _annotate(image, plane, phase)
    return image


def _annotate(image: Image.Image, plane: Plane, phase: Phase) -> None:
    """Draw phase and position, orientation letters and the scale bar into a picture."""
    from PIL import ImageDraw

    draw = ImageDraw.Draw(image)
    width, height = image.size
    left, right, top, bottom = plane.view.letters
    size = max(14, round(height / 21))
    _text(draw, (8, height / 2), left, size, "lm")
    _text(draw, (width - 8, height / 2), right, size, "rm")
    _text(draw, (width / 2, 5), top, size, "ma")
    _text(draw, (width / 2, height - 5), bottom, size, "md")
    _text(draw, (8, 5), phase.words.split(" ")[0], size, "la")
    _text(draw, (width - 8, 5), f"{position_text(plane.view, plane.centre_lps_mm)} mm", size, "ra")
    bar_mm = 50 if width * plane.pixel_mm > 200 else 20
    x0, x1, y = width - 12 - bar_mm / plane.pixel_mm, width - 12, height - 12
    tick = size / 3
    for colour, line in ((0, 5), (255, 2)):
        draw.line([(x0, y), (x1, y)], fill=_grey(image, colour), width=line)
        for x in (x0, x1):
            draw.line([(x, y - tick), (x, y + 1)], fill=_grey(image, colour), width=line)
    _text(draw, ((x0 + x1) / 2, y - tick), f"{bar_mm // 10} cm", round(size * 0.85), "md")


def _text(draw: ImageDraw.ImageDraw, at: tuple[float, float], text: str, size: int, anchor: str) -> None:
    white, black = (255, 0) if draw.im.mode == "L" else ((255, 255, 255), (0, 0, 0))
    draw.text(at, text, fill=white, font=_font(size), anchor=anchor, stroke_width=2, stroke_fill=black)


def _grey(image: Image.Image, value: int) -> int | Colour:
    return value if image.mode == "L" else (value, value, value)


@lru_cache(maxsize=8)
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    from PIL import ImageFont

    return ImageFont.load_default(size)


def _marks(labels: Volume | None, plane: Plane, centre: FloatArray, cross: bool, box: bool) -> Image.Image:
    """Outlines, centre and region of interest as a transparent picture of the plane's size."""
    from PIL import Image, ImageDraw

    rows, columns = plane.shape
    image = Image.new("RGBA", (columns * SUPERSAMPLING, rows * SUPERSAMPLING), (0, 0, 0, 0))
    draw = ImageDraw.Draw(image)
    if labels is not None:
        for style in OUTLINES:
            for line in outline(labels, plane, style.value):
                _stroke(draw, line * SUPERSAMPLING, style.colour, style.width, style.dash)
    if box:
        _stroke(draw, _roi_box(plane, centre) * SUPERSAMPLING, (235, 235, 235), 1.2, 5)
    if cross:
        x, y = plane.pixel(centre)
        for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1)):
            arm = np.array([[x + 5 * dx, y + 5 * dy], [x + 14 * dx, y + 14 * dy]])
            _stroke(draw, arm * SUPERSAMPLING, (255, 255, 255), 1.6, 0)
    return image.resize((columns, rows), Image.Resampling.BOX)


def outline(labels: Volume, plane: Plane, value: int) -> list[npt.NDArray[np.float64]]:
    """Outlines of a label on a plane: lines (n, 2) of column and row in pixels of the plane."""
    import contourpy

    coarse = plane.coarser(2)
    mask = sample_label(labels, coarse, value)
    if mask is None:
        return []
    lines = contourpy.contour_generator(z=np.pad(mask, 1)).lines(0.5)
    return [(np.asarray(line) - 0.5) * 2 for line in lines]


def _roi_box(plane: Plane, centre: FloatArray) -> npt.NDArray[np.float64]:
    half = np.asarray(ROI_MM) / 2
    right, down = np.asarray(plane.view.right), np.asarray(plane.view.down)
    corners = ((-1, -1), (1, -1), (1, 1), (-1, 1), (-1, -1))
    return np.array([plane.pixel(centre + a * right * half + b * down * half) for a, b in corners])


def _stroke(draw: ImageDraw.ImageDraw, line: npt.NDArray[np.float64], colour: Colour, width: float, dash: int) -> None:
    """Draw a line with a dark rim; both in pixels of the supersampled picture."""
    wide = max(1, round(width * SUPERSAMPLING))
    for piece in _dashes(line, dash * SUPERSAMPLING) if dash else [line]:
        points = [(float(x), float(y)) for x, y in piece]
        draw.line(points, fill=(0, 0, 0, 120), width=wide + 2 * SUPERSAMPLING, joint="curve")
        draw.line(points, fill=(*colour, 255), width=wide, joint="curve")


def _dashes(line: npt.NDArray[np.float64], length: float) -> list[npt.NDArray[np.float64]]:
    """Every other piece of ``length`` along a line."""
    steps = np.hypot(*np.diff(line, axis=0).T)
    along = np.concatenate([[0.0], np.cumsum(steps)])
    starts = np.arange(0.0, along[-1], 2 * length)
    pieces = []
    for start in starts:
        stop = min(start + length, along[-1])
        at = np.concatenate([[start], along[(along > start) & (along < stop)], [stop]])
        pieces.append(np.stack([np.interp(at, along, line[:, 0]), np.interp(at, along, line[:, 1])], axis=1))
    return pieces


def _jpeg(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=JPEG_QUALITY)
    return buffer.getvalue()


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=6)
    return buffer.getvalue()
