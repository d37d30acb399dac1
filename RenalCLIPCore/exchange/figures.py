"""Small figures of a review as inline SVG: probability bars, gauges, recurrence-free curves, the heat map's scale.

Every function returns markup whose texts are escaped; shapes are SVG, not backgrounds, so that they print.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

from markupsafe import Markup

from ..review import RiskPrediction
from .pictures import HEAT

INK, QUIET, TRACK = "#1c2733", "#5b6875", "#e4e9ee"
BAR, BAR_QUIET, CASE = "#2a6496", "#a9bccd", "#123f6d"
LOW, HIGH = "#00795f", "#b5520a"


def probability_bar(probability: float, *, chosen: bool, spread: float | None = None) -> Markup:
    """A horizontal bar from 0 to 100 %, with a whisker of one standard deviation to either side."""
    value = _unit(probability)
    parts = [
        Markup('<rect x="0" y="3" width="120" height="8" rx="2" fill="{}"/>').format(TRACK),
        Markup('<rect x="0" y="3" width="{:.1f}" height="8" rx="2" fill="{}"/>').format(
            120 * value, BAR if chosen else BAR_QUIET
        ),
    ]
    if spread:
        low, high = 120 * _unit(value - spread), 120 * _unit(value + spread)
        parts.append(
            Markup(
                '<path d="M{:.1f} 7H{:.1f}M{:.1f} 4v6M{:.1f} 4v6" stroke="{}" stroke-width="1.2" fill="none"/>'
            ).format(low, high, low, high, INK)
        )
    return _svg("bar", 120, 14, f"{100 * value:.0f} percent", parts)


def gauge(probability: float, threshold: float, per_phase: Mapping[str, float]) -> Markup:
    """A scale from 0 to 100 % with the probability, the threshold, and the phases' own probabilities as dots below."""
    value, limit = _unit(probability), _unit(threshold)
    parts = [
        Markup('<rect x="10" y="20" width="300" height="14" rx="3" fill="{}"/>').format(TRACK),
        Markup('<rect x="10" y="20" width="{:.1f}" height="14" rx="3" fill="{}"/>').format(300 * value, BAR),
        Markup('<path d="M{0:.1f} 15V39" stroke="{1}" stroke-width="2"/>').format(10 + 300 * limit, INK),
        _text(_inside(10 + 300 * limit, 40, 280), 11, f"threshold {100 * limit:.0f} %", INK),
    ]
    for percent in (0, 50, 100):
        parts.append(_text(10 + 3 * percent, 50, f"{percent}", QUIET))
    height = 54
    if per_phase:
        height = 84
        parts.append(Markup('<path d="M10 62H310" stroke="{}"/>').format(TRACK))
        for phase, x, row in _spread_letters(per_phase):
            dot = 10 + 300 * _unit(per_phase[phase])
            parts.append(Markup('<circle cx="{:.1f}" cy="62" r="3.6" fill="{}"/>').format(dot, BAR))
            parts.append(_text(x, 77 + row, phase, INK))
    phases = ", ".join(f"phase {phase} alone {100 * p:.0f} percent" for phase, p in per_phase.items())
    words = f"{100 * value:.0f} percent; threshold {100 * limit:.0f} percent" + (f"; {phases}" if phases else "")
    return _svg("gauge", 320, height, words, parts)


def risk_scale(score: float, median: float) -> Markup:
    """The risk score on a line against the cohort's median."""
    reach = max(1.0, 1.4 * abs(score - median))
    x = 160 + 145 * (score - median) / reach
    low, high = _text(10, 40, "lower risk", LOW, "start"), _text(310, 40, "higher risk", HIGH, "end")
    parts = [
        Markup('<rect x="10" y="20" width="150" height="6" fill="{}" fill-opacity=".55"/>').format(LOW),
        Markup('<rect x="160" y="20" width="150" height="6" fill="{}" fill-opacity=".55"/>').format(HIGH),
        Markup('<path d="M160 15V31" stroke="{}" stroke-width="2"/>').format(INK),
        Markup('<path d="M{:.1f} 19l-6 -10h12z" fill="{}"/>').format(x, CASE),
        _text(160, 44, f"median {median:.2f}", INK),
        low,
        high,
    ]
    return _svg("gauge", 320, 50, f"score {score:.2f}, cohort median {median:.2f}", parts)


def survival_curve(risk: RiskPrediction) -> Markup:
    """Recurrence-free probability over months as steps: this case, the cohort's low-risk and high-risk group."""
    if not risk.months or max(risk.months) <= 0:
        return Markup("")
    end = max(risk.months)
    lines = (
        ("low-risk group", risk.survival_low, LOW, "6 4", 2.0),
        ("high-risk group", risk.survival_high, HIGH, "2 4", 2.4),
        ("this case", risk.survival, CASE, "none", 3.0),
    )
    parts = _axes(end)
    ends = []
    for name, values, colour, dash, width in lines:
        points = _steps(risk.months, values)
        if len(points) < 2:
            continue
        path = "M" + "L".join(f"{_month_x(m, end):.1f} {_share_y(p):.1f}" for m, p in points)
        parts.append(
            Markup(
                '<path d="{}" fill="none" stroke="{}" stroke-width="{}" stroke-dasharray="{}" stroke-linejoin="round"/>'
            ).format(path, colour, width, dash)
        )
        ends.append((_share_y(points[-1][1]), name, colour, _month_x(points[-1][0], end)))
    for y, name, colour, x in _apart(ends):
        parts.append(_text(x + 6, y + 4, name, colour, "start"))
    words = "; ".join(f"{name} {100 * _unit(values[-1]):.0f} percent" for name, values, *_ in lines if values)
    return _svg("curve", 560, 270, f"Recurrence-free probability at {end:.0f} months: {words}", parts)


def at_months(risk: RiskPrediction) -> list[tuple[str, float, float, float]]:
    """Recurrence-free probability (case, low, high) at the round times that the curves cover."""
    rows = []
    for month in (12, 24, 36, 60, 120):
        values = [
            _value_at(risk.months, curve, month) for curve in (risk.survival, risk.survival_low, risk.survival_high)
        ]
        if risk.months and month <= max(risk.months) and not any(math.isnan(value) for value in values):
            rows.append((f"{month} months", values[0], values[1], values[2]))
    return rows


def heat_scale(identity: int) -> Markup:
    """The colour bar of the explanation, from 0 to 1; ``identity`` keeps its gradient's name unique on the page."""
    stops = [
        Markup('<stop offset="{}" stop-color="rgb({},{},{})"/>').format(offset, *colour) for offset, colour in HEAT
    ]
    parts = [
        Markup('<defs><linearGradient id="heat{:d}">{}</linearGradient></defs>').format(
            identity, Markup("").join(stops)
        ),
        Markup('<rect width="160" height="12" fill="url(#heat{:d})" stroke="{}" stroke-width=".5"/>').format(
            identity, QUIET
        ),
        _text(0, 25, "0 none", QUIET, "start"),
        _text(160, 25, "1 strongest", QUIET, "end"),
    ]
    return _svg("heat", 160, 28, "Colour scale of the explanation from 0 to 1", parts)


def _svg(kind: str, width: int, height: int, words: str, parts: Sequence[Markup]) -> Markup:
    return Markup('<svg class="{}" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        kind, width, height, words, Markup("").join(parts)
    )


def _text(x: float, y: float, words: str, colour: str, anchor: str = "middle") -> Markup:
    return Markup('<text x="{:.1f}" y="{:.1f}" text-anchor="{}" fill="{}">{}</text>').format(
        x, y, anchor, colour, words
    )


def _unit(value: float) -> float:
    return min(1.0, max(0.0, value))


def _inside(x: float, low: float, high: float) -> float:
    return min(high, max(low, x))


def _spread_letters(per_phase: Mapping[str, float]) -> list[tuple[str, float, int]]:
    """Phase letters with an x of their own, so that close dots keep readable letters."""
    placed: list[tuple[str, float, int]] = []
    last = -100.0
    for phase in sorted(per_phase, key=lambda name: per_phase[name]):
        x = max(10 + 300 * _unit(per_phase[phase]), last + 11)
        placed.append((phase, x, 0))
        last = x
    overrun = max(0.0, last - 312)
    return [(phase, x - overrun, row) for phase, x, row in placed]


def _axes(end: float) -> list[Markup]:
    parts = []
    for percent in (0, 25, 50, 75, 100):
        y = _share_y(percent / 100)
        parts.append(Markup('<path d="M46 {0:.1f}H450" stroke="{1}"/>').format(y, TRACK))
        parts.append(_text(40, y + 4, f"{percent} %", QUIET, "end"))
    step = next(s for s in (6, 12, 24, 60, 120, 240, 1200, math.ceil(end)) if end / s <= 6)
    for month in range(0, math.floor(end) + 1, step):
        x = _month_x(month, end)
        parts.append(Markup('<path d="M{:.1f} 226v4" stroke="{}"/>').format(x, QUIET))
        parts.append(_text(x, 244, f"{month}", QUIET))
    parts.append(Markup('<path d="M46 226H450" stroke="{}"/>').format(QUIET))
    parts.append(_text(248, 263, "months of follow-up", QUIET))
    return parts


def _month_x(month: float, end: float) -> float:
    return 46 + 404 * (month / end)


def _share_y(share: float) -> float:
    return 226 - 212 * _unit(share)


def _steps(months: Sequence[float], values: Sequence[float]) -> list[tuple[float, float]]:
    """The corners of a step curve that starts at 100 % in month 0."""
    known = list(zip(months, values, strict=False))
    if known and known[0][0] > 0:
        known.insert(0, (0.0, 1.0))
    points = known[:1]
    for before, after in pairwise(known):
        points += [(after[0], before[1]), after]
    return points


def _apart(ends: list[tuple[float, str, str, float]], gap: float = 15.0) -> list[tuple[float, str, str, float]]:
    """The labels of the lines' ends, moved down until they do not overlap, then up as far as the bottom needs."""
    placed: list[tuple[float, str, str, float]] = []
    for y, name, colour, x in sorted(ends):
        placed.append((max(y, placed[-1][0] + gap) if placed else y, name, colour, x))
    overrun = max(0.0, placed[-1][0] - 226) if placed else 0.0
    return [(y - overrun, name, colour, x) for y, name, colour, x in placed]


def _value_at(months: Sequence[float], values: Sequence[float], month: float) -> float:
    before = [value for at, value in zip(months, values, strict=False) if at <= month]
    return before[-1] if before else (1.0 if values else math.nan)
