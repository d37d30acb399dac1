"""Figures of survival: Kaplan-Meier curves with numbers at risk, measures over time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .classification import Array
from .figure_style import COLOURS, LINE, Picture, canvas, legend_below, look, panel_size, panels, picture, shifted
from .survival_groups import GroupComparison

_GROUP_COLOURS = (COLOURS[0], COLOURS[1], COLOURS[2], COLOURS[3])
_BOX_WIDTH, _BOX_HEIGHT = 0.6, 0.3  # share of the axes that the legend takes
_LAST = 0.02  # curves are drawn while this share of the cases is followed


@dataclass(frozen=True, eq=False)
class SurvivalPanel:
    """Groups of one cohort.

    Attributes:
        title: For instance the cohort.
        found: The groups' curves and tests.
        words: Under the curves: hazard ratio and log-rank test.
        endpoint: Label of the vertical axis.
    """

    title: str
    found: GroupComparison
    words: str
    endpoint: str


@dataclass(frozen=True, eq=False)
class TimeLine:
    """One model's measure over time.

    Attributes:
        name: In the legend.
        months: (t,) times.
        values: (t,) of the measure, NaN where undefined.
        low: (t,) lower end of the 95 % interval.
        high: (t,) upper end.
    """

    name: str
    months: Array
    values: Array
    low: Array
    high: Array


@dataclass(frozen=True, eq=False)
class TimePanel:
    """One measure.

    Attributes:
        title: Its name.
        label: Of the vertical axis.
        lines: Models.
        chance: A line for what chance attains, or None.
    """

    title: str
    label: str
    lines: tuple[TimeLine, ...]
    chance: float | None = None


def kaplan_meier_figure(groups: Sequence[SurvivalPanel]) -> Picture:
    """Curves with 95 % bands, marks of censoring and the numbers at risk under them."""
    deepest = max(len(panel.found.curves) for panel in groups)
    with canvas(*panel_size(len(groups), width=4.3, height=3.5 + 0.17 * deepest)) as figure:
        for axes, panel in zip(panels(figure, len(groups)), groups, strict=True):
            _draw_groups(axes, panel)
        return picture(figure)


def over_time_figure(measures: Sequence[TimePanel]) -> Picture:
    """Measures at times of follow-up with 95 % bands, one panel per measure."""
    rows = max(len(panel.lines) for panel in measures)
    with canvas(*panel_size(len(measures), height=2.9 + 0.16 * rows)) as figure:
        for axes, panel in zip(panels(figure, len(measures)), measures, strict=True):
            if panel.chance is not None:
                axes.axhline(panel.chance, color="#b3bcc5", linewidth=0.9)
            for place, line in enumerate(panel.lines):
                style = look(place, line.name)
                axes.fill_between(line.months, line.low, line.high, color=style.colour, alpha=0.12, linewidth=0)
                axes.plot(
                    line.months, line.values, color=style.colour, linestyle=style.style, marker=style.marker,
                    markersize=3.5, label=line.name,
                )  # fmt: skip
            axes.set(title=panel.title, xlabel="Months of follow-up", ylabel=panel.label)
            axes.set_xticks(_month_ticks(max(float(line.months.max()) for line in panel.lines)))
            legend_below(axes)
        return picture(figure)


def _draw_groups(axes: Any, panel: SurvivalPanel) -> None:
    curves = panel.found.curves
    left = np.sort(np.concatenate([curve.left for curve in curves]))
    end = float(left[-max(1, round(_LAST * len(left)))])
    for place, curve in enumerate(curves):
        colour = _GROUP_COLOURS[place % len(_GROUP_COLOURS)]
        axes.fill_between(curve.months, curve.low, curve.high, step="post", color=colour, alpha=0.13, linewidth=0)
        label = f"{curve.name}: {curve.events} events, {curve.cases} cases"
        axes.step(curve.months, curve.event_free, where="post", color=colour, label=label, linestyle=look(place).style)
        heights = curve.event_free[np.searchsorted(curve.months, curve.censored, side="right") - 1]
        axes.plot(curve.censored, heights, "|", color=colour, markersize=4.5, markeredgewidth=0.7)
    ticks = _month_ticks(end)
    axes.set(xlim=(0, end * 1.02), ylim=(0, 1.03), ylabel=panel.endpoint, title=panel.title)
    axes.set_xlabel("Months of follow-up")
    axes.set_xticks(ticks)
    crossed = any((curve.event_free[curve.months <= _BOX_WIDTH * end] < _BOX_HEIGHT).any() for curve in curves)
    legend = axes.legend(loc="upper right" if crossed else "lower left", title=panel.words)
    legend.set_frame_on(True)
    legend.get_frame().set(edgecolor=LINE, linewidth=0.6, alpha=0.92)
    legend.set_alignment("left")
    legend.get_title().set_fontsize(7.8)
    _numbers_at_risk(axes, panel, ticks)


def _numbers_at_risk(axes: Any, panel: SurvivalPanel, ticks: Sequence[float]) -> None:
    from matplotlib.transforms import blended_transform_factory

    head = shifted(axes, down=36)
    axes.text(0, 0, "Number at risk", transform=head, fontsize=7.8, fontweight="bold", va="top")
    for place, curve in enumerate(panel.found.curves):
        colour, row = _GROUP_COLOURS[place % len(_GROUP_COLOURS)], shifted(axes, down=47 + 11 * place)
        name = shifted(axes, right=-12, down=47 + 11 * place)
        axes.text(0, 0, curve.name, transform=name, fontsize=7.6, ha="right", va="top", color=colour)
        at = blended_transform_factory(axes.transData, row)
        for tick, number in zip(ticks, curve.at_risk(ticks), strict=True):
            axes.text(tick, 0, str(int(number)), transform=at, fontsize=7.8, ha="center", va="top", color=colour)


def _month_ticks(end: float) -> list[float]:
    step = next(s for s in (6, 12, 24, 36, 48, 60, 120, 1200) if end / s <= 7)
    return [float(v) for v in np.arange(0, end + 1e-9, step)]
