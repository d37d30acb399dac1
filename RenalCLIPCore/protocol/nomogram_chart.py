"""The points chart of a nomogram file."""

from __future__ import annotations

import math

import numpy as np

from ..evaluation.figure_style import Picture
from ..evaluation.nomogram_figure import NomogramAxis, nomogram_figure
from ..models.nomogram import WORDS, Nomogram, axis_values

PROBABILITIES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99)
# shorter than the classes of the cohort table
_SHORT = {
    "over half across, between the lines or across the midline": "half across or between",
    "outside the polar lines": "outside the lines",
    "crosses a polar line": "crosses a line",
    ">=50 % exophytic": "≥ 50 % exophytic",
    "<50 % exophytic": "< 50 %",
    "entirely endophytic": "endophytic",
    "<=4 cm": "≤ 4 cm",
    ">4 to <7 cm": "> 4 to < 7",
    ">=7 cm": "≥ 7 cm",
    ">=7 mm": "≥ 7 mm",
    ">4 to <7 mm": "> 4 to < 7",
    "<=4 mm": "≤ 4 mm",
}
TARGET_WORDS = {"malignancy": "malignancy", "high_grade": "high grade (WHO/ISUP 3 or 4)",
                "aggressiveness": "aggressive pathology"}  # fmt: skip


def nomogram_chart(nomogram: Nomogram) -> Picture:
    """Points per component, total points, and the probability that they stand for (SVG and PNG)."""
    above = [NomogramAxis("Points", tuple((str(p), float(p)) for p in range(0, 101, 10)), 100.0)]
    for term in nomogram.terms:
        ticks = tuple((_SHORT.get(words, words), nomogram.points(term, value)) for words, value in axis_values(term))
        above.append(NomogramAxis(WORDS[term.component], ticks, 100.0))
    most = max(nomogram.most_points, 1.0)
    step = next(s for s in (10, 20, 25, 50, 100) if most / s <= 13)
    total = tuple((str(p), float(p)) for p in range(0, math.ceil(most) + 1, step) if p <= most)
    what = TARGET_WORDS[nomogram.target]
    below = [
        NomogramAxis("Total points", total, most),
        NomogramAxis(f"Probability of {what}", _probabilities(nomogram, most), most),
    ]
    cases = f" ({nomogram.cases} cases, {nomogram.positive} positive)" if nomogram.cases else ""
    return nomogram_figure(f"Nephrometry nomogram: {what}{cases}", above, below)


def _probabilities(nomogram: Nomogram, most: float) -> tuple[tuple[str, float], ...]:
    found = []
    for p in PROBABILITIES:
        points = (np.log(p / (1 - p)) - nomogram.base_log_odds) / nomogram.log_odds_per_point
        if -1e-9 <= points <= most + 1e-9:
            found.append((f"{p:g}", float(points)))
    return tuple(found)
