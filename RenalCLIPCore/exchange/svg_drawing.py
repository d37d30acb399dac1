"""The page's inline figures (rectangles, paths of straight lines, circles, texts) as drawings for paper."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from .page_tree import Node
from .pictures import HEAT

if TYPE_CHECKING:
    from reportlab.graphics.shapes import Drawing
    from reportlab.lib.colors import Color

TEXT_SIZE = 11.0
_TOKEN = re.compile(r"([MLHVlvhmzZ])|(-?\d*\.?\d+(?:e-?\d+)?)")
_ANCHORS = {"start": "start", "middle": "middle", "end": "end"}
Point = tuple[float, float]


def svg_drawing(svg: Node, width: float, font: str) -> Drawing:
    """A drawing of an ``svg`` element.

    Args:
        svg: The element, with a view box that begins at 0, 0.
        width: Of the drawing, in points.
        font: For its texts.
    """
    from reportlab.graphics.shapes import Drawing, Group

    _, _, wide, high = (float(part) for part in svg.attributes["viewbox"].split())
    scale = width / wide
    group = Group(transform=(scale, 0, 0, -scale, 0, high * scale))
    drawing = Drawing(width, high * scale)
    for node in svg.elements:
        for shape in _shapes(node, font):
            group.add(shape)
    drawing.add(group)
    return drawing


def path_lines(path: str) -> list[tuple[list[Point], bool]]:
    """Poly-lines of a path of straight strokes: corners, and whether it is closed."""
    lines: list[tuple[list[Point], bool]] = []
    x = y = 0.0
    command, numbers = "M", [0.0][:0]
    tokens = [(letter, number) for letter, number in _TOKEN.findall(path)]
    for letter, number in tokens:
        if letter in ("z", "Z"):
            if lines:
                lines[-1] = (lines[-1][0], True)
            continue
        if letter:
            command, numbers = letter, []
            continue
        numbers.append(float(number))
        if len(numbers) < (1 if command in "HVhv" else 2):
            continue
        relative = command.islower()
        x, y = _moved(command, numbers, x, y, relative)
        if command in "Mm":
            lines.append(([(x, y)], False))
            command = "l" if relative else "L"
        elif lines:
            lines[-1][0].append((x, y))
        numbers = []
    return lines


def _moved(command: str, numbers: list[float], x: float, y: float, relative: bool) -> Point:
    kind = command.upper()
    if kind == "H":
        return (x + numbers[0] if relative else numbers[0]), y
    if kind == "V":
        return x, (y + numbers[0] if relative else numbers[0])
    return (x + numbers[0], y + numbers[1]) if relative else (numbers[0], numbers[1])


def _shapes(node: Node, font: str) -> list[object]:
    from reportlab.graphics.shapes import Circle

    given = node.attributes
    if node.tag == "rect":
        return _rectangle(given)
    if node.tag == "circle":
        radius = float(given.get("r", 0))
        return [
            Circle(
                float(given["cx"]), float(given["cy"]), radius, fillColor=_colour(given.get("fill")), strokeColor=None
            )
        ]
    if node.tag == "path":
        return _path(given)
    if node.tag == "text":
        return [_label(node, font)]
    return []


def _rectangle(given: dict[str, str]) -> list[object]:
    from reportlab.graphics.shapes import Rect
    from reportlab.lib.colors import Color

    x, y = float(given.get("x", 0)), float(given.get("y", 0))
    width, height = float(given["width"]), float(given["height"])
    if given.get("fill", "").startswith("url("):  # the colour bar of the explanation
        return _gradient(x, y, width, height)
    fill = _colour(given.get("fill"))
    if fill is not None and "fill-opacity" in given:
        fill = Color(fill.red, fill.green, fill.blue, float(given["fill-opacity"]))
    return [Rect(x, y, width, height, fillColor=fill, strokeColor=None, strokeWidth=0)]


def _gradient(x: float, y: float, width: float, height: float, steps: int = 64) -> list[object]:
    from reportlab.graphics.shapes import Rect
    from reportlab.lib.colors import Color

    shapes: list[object] = []
    for step in range(steps):
        share = step / (steps - 1)
        after = next(place for place, (offset, _) in enumerate(HEAT) if offset >= share)
        low, high = HEAT[max(after - 1, 0)], HEAT[after]
        part = (share - low[0]) / (high[0] - low[0]) if high[0] > low[0] else 0.0
        red, green, blue = ((a + (b - a) * part) / 255 for a, b in zip(low[1], high[1], strict=True))
        left = x + width * step / steps
        shapes.append(Rect(left, y, width / steps + 0.2, height, fillColor=Color(red, green, blue), strokeColor=None))
    return shapes


def _path(given: dict[str, str]) -> list[object]:
    from reportlab.graphics.shapes import Polygon, PolyLine

    stroke, fill = _colour(given.get("stroke")), _colour(given.get("fill"))
    dash = [float(part) for part in given.get("stroke-dasharray", "none").split()] if _dashed(given) else None
    shapes: list[object] = []
    for corners, closed in path_lines(given.get("d", "")):
        flat = [value for corner in corners for value in corner]
        if len(corners) < 2:
            continue
        if fill is not None and closed:
            shapes.append(Polygon(flat, fillColor=fill, strokeColor=stroke, strokeWidth=0))
        else:
            shapes.append(
                PolyLine(
                    flat,
                    strokeColor=stroke,
                    strokeWidth=float(given.get("stroke-width", 1)),
                    strokeDashArray=dash,
                    strokeLineJoin=1,
                )
            )
    return shapes


def _dashed(given: dict[str, str]) -> bool:
    return given.get("stroke-dasharray", "none") != "none"


def _label(node: Node, font: str) -> object:
    from reportlab.graphics.shapes import Group, String

    given = node.attributes
    text = String(
        0,
        0,
        " ".join(node.text().split()),
        fontName=font,
        fontSize=TEXT_SIZE,
        fillColor=_colour(given.get("fill")),
        textAnchor=_ANCHORS.get(given.get("text-anchor", "start"), "start"),
    )
    # the drawing is upside down, as its view box is; the letters are turned back
    return Group(text, transform=(1, 0, 0, -1, float(given["x"]), float(given["y"])))


def _colour(value: str | None) -> Color | None:
    from reportlab.lib.colors import HexColor

    if not value or value == "none":
        return None
    digits = value.lstrip("#")
    return HexColor("#" + ("".join(2 * digit for digit in digits) if len(digits) == 3 else digits))
