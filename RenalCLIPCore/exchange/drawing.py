"""Strokes, texts and encodings that all pictures share."""

from __future__ import annotations

import io
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from .planes import Plane, View

if TYPE_CHECKING:
    from PIL import Image, ImageDraw, ImageFont

JPEG_QUALITY = 88
SUPERSAMPLING = 2

Colour = tuple[int, int, int]


def position_text(view: View, position_lps_mm: npt.ArrayLike) -> str:
    """Position of a slice in the words of a viewer: ``S 123.0``, ``A 12.5``, ``R 40.2`` (millimetres)."""
    x, y, z = (float(value) for value in np.asarray(position_lps_mm, dtype=float))
    value, positive, negative = {
        View.AXIAL: (z, "S", "I"),
        View.CORONAL: (y, "P", "A"),
        View.SAGITTAL: (x, "L", "R"),
    }[view]
    return f"{positive if value >= 0 else negative} {abs(value):.1f}"


def annotate(image: Image.Image, plane: Plane, title: str) -> None:
    """Draw a title, the position, orientation letters and the scale bar into a picture."""
    from PIL import ImageDraw

    draw = ImageDraw.Draw(image)
    width, height = image.size
    left, right, top, bottom = plane.view.letters
    size = max(14, round(height / 21))
    text(draw, (8, height / 2), left, size, "lm")
    text(draw, (width - 8, height / 2), right, size, "rm")
    text(draw, (width / 2, 5), top, size, "ma")
    text(draw, (width / 2, height - 5), bottom, size, "md")
    text(draw, (8, 5), title, size, "la")
    text(draw, (width - 8, 5), f"{position_text(plane.view, plane.centre_lps_mm)} mm", size, "ra")
    bar_mm = 50 if width * plane.pixel_mm > 200 else 20
    x0, x1, y = width - 12 - bar_mm / plane.pixel_mm, width - 12, height - 12
    tick = size / 3
    for colour, line in ((0, 5), (255, 2)):
        draw.line([(x0, y), (x1, y)], fill=_grey(image, colour), width=line)
        for x in (x0, x1):
            draw.line([(x, y - tick), (x, y + 1)], fill=_grey(image, colour), width=line)
    text(draw, ((x0 + x1) / 2, y - tick), f"{bar_mm // 10} cm", round(size * 0.85), "md")


def text(draw: ImageDraw.ImageDraw, at: tuple[float, float], words: str, size: int, anchor: str) -> None:
    """Write white words with a black rim."""
    white, black = (255, 0) if draw.im.mode == "L" else ((255, 255, 255), (0, 0, 0))
    draw.text(at, words, fill=white, font=_font(size), anchor=anchor, stroke_width=2, stroke_fill=black)


def _grey(image: Image.Image, value: int) -> int | Colour:
    return value if image.mode == "L" else (value, value, value)


@lru_cache(maxsize=8)
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    from PIL import ImageFont

    return ImageFont.load_default(size)


def stroke(draw: ImageDraw.ImageDraw, line: npt.NDArray[np.float64], colour: Colour, width: float, dash: int) -> None:
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


def jpeg(image: Image.Image) -> bytes:
    """JPEG bytes."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=JPEG_QUALITY)
    return buffer.getvalue()


def png(image: Image.Image) -> bytes:
    """PNG bytes."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=6)
    return buffer.getvalue()
