"""The points chart of a nomogram: a scale of points, one axis per component, total points and probability."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .figure_style import INK, QUIET, SOFT, Picture, canvas, picture

_ROW_IN, _WIDTH_IN = 0.56, 8.6
_LETTER, _GAP = 0.0082, 0.008  # width of a letter and between labels, as shares of the axis


@dataclass(frozen=True)
class NomogramAxis:
    """One axis of the chart.

    Attributes:
        label: On the left.
        ticks: What is written and where, on the scale of the axis.
        most: Upper end of that scale, whose lower end is 0.
    """

    label: str
    ticks: tuple[tuple[str, float], ...]
    most: float


def nomogram_figure(title: str, above: Sequence[NomogramAxis], below: Sequence[NomogramAxis]) -> Picture:
    """The chart.

    Args:
        title: On top.
        above: The scale of points and the axes of the components, all on its scale.
        below: Total points and probability, both on the scale of total points.
    """
    axes_drawn = [*above, *below]
    with canvas(_WIDTH_IN, _ROW_IN * (len(axes_drawn) + 0.9)) as figure:
        axes = figure.subplots()
        axes.set_axis_off()
        axes.set(xlim=(-0.34, 1.06), ylim=(len(axes_drawn) - 0.35, -0.75))
        axes.set_title(title)
        for row, axis in enumerate(axes_drawn):
            if row % 2:
                axes.axhspan(row - 0.5, row + 0.5, color=SOFT, lw=0)
            _axis(axes, row, axis, scale=row in (0, len(above)))
        axes.axhline(len(above) - 0.5, color=QUIET, lw=0.8)
        return picture(figure)


def _axis(axes: Any, row: int, axis: NomogramAxis, *, scale: bool) -> None:
    weight = "bold" if scale else "normal"
    axes.text(-0.33, row, axis.label, ha="left", va="center", fontsize=8.5, fontweight=weight, color=INK)
    placed = sorted((place / axis.most if axis.most else 0.0, words) for words, place in axis.ticks)
    if not placed:
        return
    axes.plot([placed[0][0], placed[-1][0]], [row, row], color=INK, lw=1.1, solid_capstyle="butt")
    above = _sides(placed)
    for k, (place, words) in enumerate(placed):
        up = above is None or above[k]
        axes.plot([place, place], [row - 0.12 if up else row, row if up else row + 0.12], color=INK, lw=0.9)
        if above is not None:
            axes.text(
                place, row - 0.16 if up else row + 0.16, words, ha="center", va="bottom" if up else "top",
                fontsize=6.9, color=INK,
            )  # fmt: skip
    if above is None:  # too close to be written at their ticks
        words = ",  ".join(f"{words}: {axis.most * place:.0f}" for place, words in placed)
        axes.text(placed[-1][0] + 0.015, row, f"{words} points", ha="left", va="center", fontsize=6.9, color=INK)


def _sides(placed: Sequence[tuple[float, str]]) -> list[bool] | None:
    """Whether each label stands above its axis, so that none touches another; None where they do not fit."""
    end = {True: -1.0, False: -1.0}
    found = []
    for place, words in placed:
        half = _LETTER * len(words) / 2
        side = next((up for up in (True, False) if place - half >= end[up] + _GAP), None)
        if side is None:
            return None
        end[side] = place + half
        found.append(side)
    return found
