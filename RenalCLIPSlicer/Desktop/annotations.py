"""What is written over a slice view: the patient's directions at the edges, a ruler, the volume and its window."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import slicer
from PySide6 import QtCore, QtGui

_MARGIN = 6
_RULER_STEPS_MM = (1, 2, 5, 10, 20, 50, 100, 200)
_RULER_SHARE = 0.35
_LETTERS = (("L", "R"), ("P", "A"), ("I", "S"))  # towards minus and plus of the axes R, A, S
_FLAT = 0.3  # a direction whose cosine is below this goes unnamed


@dataclass(frozen=True)
class Text:
    """A text and where its box is anchored: alignment inside the view."""

    words: str
    alignment: QtCore.Qt.AlignmentFlag
    strong: bool = False


def direction_letters(direction_ras: np.ndarray) -> str:
    """Letters of a direction in RAS: its largest part first, then others that are not small."""
    order = np.argsort(-np.abs(direction_ras))
    named = [axis for axis in order if abs(direction_ras[axis]) >= _FLAT]
    return "".join(_LETTERS[axis][1 if direction_ras[axis] > 0 else 0] for axis in named)


def edge_texts(slice_node: slicer.vtkMRMLSliceNode) -> list[Text]:
    """The patient's directions at the four edges, from the slice's geometry."""
    matrix = slice_node.GetSliceToRAS()
    right = np.array([matrix.GetElement(row, 0) for row in range(3)])
    up = np.array([matrix.GetElement(row, 1) for row in range(3)])
    flag = QtCore.Qt.AlignmentFlag
    return [
        Text(direction_letters(right), flag.AlignRight | flag.AlignVCenter, True),
        Text(direction_letters(-right), flag.AlignLeft | flag.AlignVCenter, True),
        Text(direction_letters(up), flag.AlignHCenter | flag.AlignTop, True),
        Text(direction_letters(-up), flag.AlignHCenter | flag.AlignBottom, True),
    ]


def corner_texts(label: str, volume: slicer.vtkMRMLVolumeNode | None) -> list[Text]:
    """The volume's name and window; the view's label where there is none."""
    flag = QtCore.Qt.AlignmentFlag
    if volume is None:
        return [Text(label, flag.AlignLeft | flag.AlignTop)]
    found = [Text(volume.GetName() or label, flag.AlignLeft | flag.AlignTop)]
    display = volume.GetDisplayNode()
    if isinstance(display, slicer.vtkMRMLScalarVolumeDisplayNode):
        words = f"W {display.GetWindow():.0f}  L {display.GetLevel():.0f}"
        found.append(Text(words, flag.AlignLeft | flag.AlignBottom))
    return found


def ruler_mm(mm_per_pixel: float, width: int) -> int:
    """The longest round length that fits into a share of the width."""
    room = mm_per_pixel * width * _RULER_SHARE
    return max((step for step in _RULER_STEPS_MM if step <= room), default=_RULER_STEPS_MM[0])


def draw_texts(painter: QtGui.QPainter, area: QtCore.QRect, texts: list[Text]) -> None:
    """Light letters with a dark rim, to be read over any grey."""
    room = area.adjusted(_MARGIN, _MARGIN, -_MARGIN, -_MARGIN)
    font = painter.font()
    for text in texts:
        font.setPixelSize(15 if text.strong else 12)
        font.setBold(text.strong)
        painter.setFont(font)
        painter.setPen(QtGui.QColor(0, 0, 0))
        for dx, dy in ((-1, 0), (1, 0), (0, -1), (0, 1)):
            painter.drawText(room.translated(dx, dy), text.alignment, text.words)
        painter.setPen(QtGui.QColor(255, 221, 120) if text.strong else QtGui.QColor(235, 235, 235))
        painter.drawText(room, text.alignment, text.words)


def draw_ruler(painter: QtGui.QPainter, area: QtCore.QRect, mm_per_pixel: float) -> None:
    """A bar of a round length at the lower right."""
    if mm_per_pixel <= 0:
        return
    length = ruler_mm(mm_per_pixel, area.width())
    pixels = round(length / mm_per_pixel)
    right, y = area.right() - 2 * _MARGIN, area.bottom() - 2 * _MARGIN
    bar = QtCore.QRect(right - pixels, y - 2, pixels, 3)
    painter.fillRect(bar.adjusted(-1, -1, 1, 1), QtGui.QColor(0, 0, 0))
    painter.fillRect(bar, QtGui.QColor(235, 235, 235))
    flag = QtCore.Qt.AlignmentFlag
    words = f"{length} mm" if length < 10 else f"{length // 10} cm"
    room = QtCore.QRect(area.left(), area.top(), area.width() - _MARGIN, y - area.top() + _MARGIN // 2)
    draw_texts(painter, room, [Text(words, flag.AlignRight | flag.AlignBottom)])
