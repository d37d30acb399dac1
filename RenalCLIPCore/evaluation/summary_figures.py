"""Figures that sum up: measures with intervals by group, forest plots, label efficiency, flow charts, similarity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .classification import Array
from .figure_style import (
    COLOURS,
    INK,
    LINE,
    ORACLE,
    QUIET,
    SOFT,
    Picture,
    canvas,
    legend_below,
    look,
    panel_size,
    panels,
    picture,
    shifted,
    spread,
)  # fmt: skip

_STEP_IN, _COLUMN_IN = 1.24, 3.9  # from box to box, and from cohort to cohort, of a flow chart


@dataclass(frozen=True)
class ForestRow:
    """One line of a forest plot; a heading where there is no value.

    Attributes:
        label: On the left.
        value: Of the measure, or NaN.
        low: Lower end of its interval.
        high: Upper end.
        words: On the right, for instance cases and events.
        heading: Whether it starts a block.
    """

    label: str
    value: float = float("nan")
    low: float = float("nan")
    high: float = float("nan")
    words: str = ""
    heading: bool = False


@dataclass(frozen=True)
class Mark:
    """A value with its interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class MarksPanel:
    """Values of several series in several places.

    Attributes:
        title: Of the panel.
        label: Of the vertical axis.
        places: Names along the horizontal axis.
        series: By name, one mark per place, None where there is none.
    """

    title: str
    label: str
    places: tuple[str, ...]
    series: Mapping[str, tuple[Mark | None, ...]]


@dataclass(frozen=True, eq=False)
class EfficiencyPanel:
    """Label efficiency of one task in one cohort.

    Attributes:
        title: Of the panel.
        label: Of the vertical axis.
        lines: By model: fractions (f,), means (f,) and standard deviations (f,) over the seeds.
        levels: By name: values that need no labels, drawn as horizontal lines.
    """

    title: str
    label: str
    lines: Mapping[str, tuple[Array, Array, Array]]
    levels: Mapping[str, float]


@dataclass(frozen=True)
class FlowStep:
    """One box of a flow chart and what leaves after it, in words."""

    words: str
    leaving: str = ""


def forest_figure(
    rows: Sequence[ForestRow], label: str, reference: float, *, logarithmic: bool = False, overall: float | None = None
) -> Picture:
    """Values with intervals, one per line; ``reference`` is the line of no effect."""
    with canvas(7.4, 0.9 + 0.235 * len(rows)) as figure:
        axes = figure.subplots()
        axes.grid(False, axis="y")
        room = 12 + 4.3 * max(len(row.label) for row in rows)
        for place, row in enumerate(rows):
            _forest_row(axes, row, -place, room)
        axes.axvline(reference, color=QUIET, linewidth=0.9)
        if overall is not None:
            axes.axvline(overall, color=COLOURS[0], linewidth=0.8, linestyle=(0, (4, 3)))
        if logarithmic:
            axes.set_xscale("log")
            _plain_logarithm(axes, rows, reference)
        axes.set(yticks=[], ylim=(-len(rows) + 0.4, 0.6), xlabel=label)
        axes.spines["left"].set_visible(False)
        return picture(figure)


def marks_figure(cohorts: Sequence[MarksPanel]) -> Picture:
    """Values with 95 % intervals, series side by side at every place."""
    most = max(len(panel.series) for panel in cohorts)
    wide = max(3.35, 0.9 + max(len(panel.places) * max(0.62, 0.17 * len(panel.series)) for panel in cohorts))
    columns = max(1, int(11 // wide))
    with canvas(*panel_size(len(cohorts), columns, width=wide, height=2.9 + 0.16 * most)) as figure:
        for axes, panel in zip(panels(figure, len(cohorts), columns), cohorts, strict=True):
            _marks(axes, panel)
        return picture(figure)


def efficiency_figure(cohorts: Sequence[EfficiencyPanel]) -> Picture:
    """Mean of the seeds with one standard deviation over the share of labelled training data."""
    most = max(len(panel.lines) + len(panel.levels) for panel in cohorts)
    with canvas(*panel_size(len(cohorts), height=2.9 + 0.16 * most)) as figure:
        for axes, panel in zip(panels(figure, len(cohorts)), cohorts, strict=True):
            for place, (name, (fractions, means, deviations)) in enumerate(panel.lines.items()):
                style = look(place, name)
                axes.errorbar(
                    100 * fractions, means, yerr=deviations, color=style.colour, linestyle=style.style,
                    marker=style.marker, markersize=4.5, capsize=2.5, elinewidth=1.0, label=name,
                )  # fmt: skip
            for place, (name, value) in enumerate(panel.levels.items()):
                axes.axhline(value, color=look(place, name).colour, linewidth=1.0, linestyle=(0, (2, 2)), label=name)
            axes.set(title=panel.title, xlabel="Labelled training cases used (%)", ylabel=panel.label, xlim=(0, 105))
            axes.set_xticks(sorted({0.0, 20.0, 40.0, 60.0, 80.0, 100.0}))
            legend_below(axes)
        return picture(figure)


def flow_figure(cohorts: Mapping[str, Sequence[FlowStep]]) -> Picture:
    """A column of boxes per cohort: who is there, who leaves and why, who is evaluated."""
    deepest = max(len(steps) for steps in cohorts.values())
    with canvas(_COLUMN_IN * len(cohorts), _STEP_IN * deepest) as figure:
        axes = figure.subplots()
        axes.set_axis_off()
        axes.set(xlim=(0, _COLUMN_IN * len(cohorts)), ylim=(0.46 - _STEP_IN * deepest, 0.45))
        for column, (name, steps) in enumerate(cohorts.items()):
            left = _COLUMN_IN * column
            axes.text(left + 0.05, 0.2, name, fontweight="bold", fontsize=10)
            for place, step in enumerate(steps):
                _box(axes, left, -_STEP_IN * place, step, last=place == len(steps) - 1)
        return picture(figure)


def similarity_figure(names: Sequence[str], values: Array, label: str) -> Picture:
    """A matrix of observers with the values written in."""
    size = 1.9 + 0.52 * len(names)
    with canvas(size + 0.8, size) as figure:
        axes = figure.subplots()
        axes.grid(False)
        image = axes.imshow(values, vmin=min(0.0, float(np.nanmin(values))), vmax=1, cmap="cividis")
        for row in range(len(names)):
            for column in range(len(names)):
                value = values[row, column]
                if not np.isnan(value):
                    colour = "white" if value < 0.55 else "black"
                    axes.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=7.5, color=colour)
        axes.set_xticks(range(len(names)), names, rotation=45, ha="right")
        axes.set_yticks(range(len(names)), names)
        figure.colorbar(image, ax=axes, shrink=0.75, label=label)
        return picture(figure)


def _forest_row(axes: Any, row: ForestRow, height: float, room: float) -> None:
    from matplotlib.transforms import blended_transform_factory

    weight, indent = ("bold", 0) if row.heading else ("normal", 8)
    left = blended_transform_factory(shifted(axes, right=indent - room), axes.transData)
    axes.text(0, height, row.label, transform=left, va="center", fontsize=8.3, fontweight=weight)
    axes.text(1.02, height, row.words, transform=axes.get_yaxis_transform(), va="center", fontsize=7.8, color=INK)
    if not np.isnan(row.value):
        axes.plot([row.low, row.high], [height, height], color=COLOURS[0], linewidth=1.3, solid_capstyle="butt")
        axes.plot([row.value], [height], "s", color=COLOURS[0], markersize=5)


def _plain_logarithm(axes: Any, rows: Sequence[ForestRow], reference: float) -> None:
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter

    values = [v for row in rows for v in (row.low, row.high) if np.isfinite(v)] + [reference]
    low, high = max(min(values) / 1.15, 1e-2), min(max(values) * 1.15, 1e2)
    axes.set_xlim(low, high)
    ticks = [t for t in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100) if low <= t <= high]
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _marks(axes: Any, panel: MarksPanel) -> None:
    offsets = spread(list(range(len(panel.series))), 0.72)
    number = -1
    for (name, marks), offset in zip(panel.series.items(), offsets, strict=True):
        number += name != ORACLE
        style = look(max(number, 0), name)
        there = [(place + offset, mark) for place, mark in enumerate(marks) if mark is not None]
        if not there:
            continue
        x, y = [at for at, _ in there], [mark.value for _, mark in there]
        reach = np.array([[m.value - m.low for _, m in there], [m.high - m.value for _, m in there]]).clip(0)
        axes.errorbar(
            x, y, yerr=reach, fmt=style.marker, color=style.colour, markersize=4.5, elinewidth=1.1, label=name
        )
    axes.set(title=panel.title, ylabel=panel.label, xlim=(-0.6, len(panel.places) - 0.4))
    axes.set_xticks(range(len(panel.places)), panel.places)
    axes.grid(False, axis="x")
    for edge in range(1, len(panel.places)):
        axes.axvline(edge - 0.5, color=SOFT, linewidth=0.8)
    legend_below(axes, columns=2 if len(panel.series) > 3 else 1)


def _box(axes: Any, left: float, top: float, step: FlowStep, *, last: bool) -> None:
    from matplotlib.patches import FancyBboxPatch

    middle, branch = left + 1.155, top - 0.95
    face, edge = ("#e8f0f7", COLOURS[0]) if last else ("white", QUIET)
    shape = "round,pad=0.02,rounding_size=0.05"
    axes.add_patch(
        FancyBboxPatch((left + 0.08, top - 0.68), 2.15, 0.68, boxstyle=shape, facecolor=face, edgecolor=edge)
    )
    axes.text(middle, top - 0.34, step.words, ha="center", va="center", fontsize=8)
    if last:
        return
    arrow = {"arrowstyle": "-|>", "color": QUIET, "lw": 0.9}
    axes.annotate("", (middle, top - _STEP_IN + 0.02), (middle, top - 0.72), arrowprops=arrow)
    if step.leaving:
        frame = {"facecolor": "white", "edgecolor": LINE, "linewidth": 0.7, "boxstyle": "square,pad=0.3"}
        axes.annotate("", (left + 1.4, branch), (middle, branch), arrowprops=arrow)
        axes.text(left + 1.44, branch, step.leaving, va="center", fontsize=7.6, color=QUIET, bbox=frame)
