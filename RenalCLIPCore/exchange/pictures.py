"""Key pictures of a lesion: slices of each phase, outlines, centre and explanation, as JPEG and PNG bytes.

A picture of grey values (JPEG) carries its orientation letters, its scale bar and its position, so that it can stand
alone. Outlines, the centre and the box of the region of interest are transparent pictures (PNG) of the same size, to
be laid over it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..imaging.study import Phase
from ..imaging.volume import FloatArray, Volume
from .drawing import SUPERSAMPLING, Colour, annotate, jpeg, png, stroke
from .planes import Plane, View, body_box, sample, sample_label

if TYPE_CHECKING:
    from PIL import Image

WINDOW_LEVEL_HU, WINDOW_WIDTH_HU = 50.0, 500.0
ROI_MM = (140.0, 140.0, 160.0)
SURVEY_PIXEL_MM, ROI_PIXEL_MM = 0.5, 0.25
OUTSIDE_GREY = 38


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
    predecessor: tuple[Volume, ...] = (),
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
        predecessor: The predecessor's maps on the axial slice, likewise.
        survey: Whether the whole cross-sections are wanted beside the region of interest.
        mark_centre: Whether the point and the region of interest are marked (not so for a study without a lesion).

    Returns:
        By name: ``axial-PHASE``, ``coronal-PHASE``, ``sagittal-PHASE`` (the last two of the reference only) and
        ``roi-PHASE`` (JPEG); ``explanation-1`` ... and ``predecessor-1`` ... (JPEG, of the reference phase);
        ``axial-marks``, ``coronal-marks``, ``sagittal-marks`` and ``roi-marks`` (PNG, transparent,
        of the same size).
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
                pictures[f"{plane.view}-{phase}"] = jpeg(_slice_picture(volumes[phase], plane, phase))
            pictures[f"{plane.view}-marks"] = png(_marks(labels, plane, centre, mark_centre, box=mark_centre))
    if mark_centre:
        for phase in order:
            pictures[f"roi-{phase}"] = jpeg(_slice_picture(volumes[phase], roi, phase))
        pictures["roi-marks"] = png(_marks(labels, roi, centre, cross=True, box=False))
        for name, maps in (("explanation", explanations), ("predecessor", predecessor)):
            for number, item in enumerate(maps, 1):
                pictures[f"{name}-{number}"] = jpeg(_heat_picture(volumes[reference], item, roi, reference))
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
    annotate(image, plane, phase.words.split(" ")[0])
    return image


def _heat_picture(volume: Volume, explanation: Volume, plane: Plane, phase: Phase) -> Image.Image:
    from PIL import Image

    grey = windowed(sample(volume, plane)).astype(np.float32)[..., None]
    heat = np.clip(np.nan_to_num(sample(explanation, plane), nan=0.0), 0.0, 1.0)
    alpha = (HEAT_ALPHA * np.clip((heat - 0.05) / 0.6, 0.0, 1.0))[..., None]
    blended = grey * (1 - alpha) + heat_colours(heat) * alpha
    image = Image.fromarray(np.clip(blended + 0.5, 0, 255).astype(np.uint8))
    annotate(image, plane, phase.words.split(" ")[0])
    return image


def _marks(labels: Volume | None, plane: Plane, centre: FloatArray, cross: bool, box: bool) -> Image.Image:
    """Outlines, centre and region of interest as a transparent picture of the plane's size."""
    from PIL import Image, ImageDraw

    rows, columns = plane.shape
    image = Image.new("RGBA", (columns * SUPERSAMPLING, rows * SUPERSAMPLING), (0, 0, 0, 0))
    draw = ImageDraw.Draw(image)
    if labels is not None:
        for style in OUTLINES:
            for line in outline(labels, plane, style.value):
                stroke(draw, line * SUPERSAMPLING, style.colour, style.width, style.dash)
    if box:
        stroke(draw, _roi_box(plane, centre) * SUPERSAMPLING, (235, 235, 235), 1.2, 5)
    if cross:
        x, y = plane.pixel(centre)
        for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1)):
            arm = np.array([[x + 5 * dx, y + 5 * dy], [x + 14 * dx, y + 14 * dy]])
            stroke(draw, arm * SUPERSAMPLING, (255, 255, 255), 1.6, 0)
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
