"""Painted figures: a probability on its scale, and recurrence-free curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import tee
from typing import Any

import qt

from RenalCLIPCore.review import BinaryPrediction, RiskPrediction
from RenalCLIPCore.review_reading import percent

from .Theme import Theme

MARGIN = 8


class Gauge(qt.QWidget):
    """A scale from 0 to 100 % with the probability, the threshold and the phases' own probabilities."""

    def __init__(self) -> None:
        super().__init__()
        self.prediction: BinaryPrediction | None = None
        self.setMinimumSize(220, 2 * int(self.fontMetrics().height()) + 24)
        self.setSizePolicy(qt.QSizePolicy.Expanding, qt.QSizePolicy.Fixed)

    def setPrediction(self, prediction: BinaryPrediction | None) -> None:
        """Show another prediction."""
        self.prediction = prediction
        self.update()

    def paintEvent(self, event: Any) -> None:
        """Paint the scale."""
        painter = qt.QPainter(self)
        try:
            if self.prediction is not None:
                self._paint(painter, self.prediction, Theme(self))
        finally:
            painter.end()

    def _paint(self, painter: Any, prediction: BinaryPrediction, theme: Theme) -> None:
        painter.setRenderHint(qt.QPainter.Antialiasing)
        metrics = painter.fontMetrics()
        text, width = metrics.height(), int(self.width) - 2 * MARGIN
        top = text + 4

        def x(value: float) -> int:
            return MARGIN + round(width * min(1.0, max(0.0, value)))

        painter.fillRect(MARGIN, top, width, 10, theme.colour("track"))
        painter.fillRect(MARGIN, top, x(prediction.probability) - MARGIN, 10, theme.colour("bar"))
        painter.setPen(_pen(theme.colour("ink"), 2.0))
        limit = x(prediction.threshold)
        painter.drawLine(limit, top - 3, limit, top + 13)
        words = f"threshold {percent(prediction.threshold)}"
        left = min(
            max(MARGIN, limit - metrics.horizontalAdvance(words) // 2),
            int(self.width) - MARGIN - metrics.horizontalAdvance(words),
        )
        painter.drawText(left, text - 3, words)
        for phase, place, label in _spread(prediction.per_phase, x, metrics.horizontalAdvance("M") + 3):
            painter.setPen(_pen(theme.colour("bar"), 2.0))
            painter.drawLine(place, top + 11, place, top + 16)
            painter.setPen(_pen(theme.colour("quiet"), 1.0))
            painter.drawText(label - metrics.horizontalAdvance(phase) // 2, top + 16 + metrics.ascent(), phase)


class SurvivalChart(qt.QWidget):
    """Recurrence-free probability over months: this case, the low-risk and the high-risk group."""

    def __init__(self) -> None:
        super().__init__()
        self.risk: RiskPrediction | None = None
        self.setMinimumSize(240, 206)
        self.setSizePolicy(qt.QSizePolicy.Expanding, qt.QSizePolicy.Fixed)

    def setRisk(self, risk: RiskPrediction | None) -> None:
        """Show another prediction."""
        self.risk = risk
        self.update()

    def paintEvent(self, event: Any) -> None:
        """Paint axes, curves and their names."""
        painter = qt.QPainter(self)
        try:
            if self.risk is not None and self.risk.months and max(self.risk.months) > 0:
                self._paint(painter, self.risk, Theme(self))
        finally:
            painter.end()

    def _paint(self, painter: Any, risk: RiskPrediction, theme: Theme) -> None:
        painter.setRenderHint(qt.QPainter.Antialiasing)
        frame = _Frame(painter, int(self.width), int(self.height), max(risk.months))
        frame.paintAxes(theme)
        curves = (
            ("low-risk group", risk.survival_low, "low", qt.Qt.DashLine, 1.6),
            ("high-risk group", risk.survival_high, "high", qt.Qt.DotLine, 2.0),
            ("this case", risk.survival, "ink", qt.Qt.SolidLine, 2.4),
        )
        ends = []
        for name, values, colour, style, width in curves:
            pen = _pen(theme.colour(colour), width)
            pen.setStyle(style)
            painter.setPen(pen)
            corners = [(frame.x(month), frame.y(share)) for month, share in _steps(risk.months, values)]
            for (x0, y0), (x1, y1) in _pairs(corners):
                painter.drawLine(x0, y0, x1, y1)
            if corners:
                ends.append((corners[-1][1], f"{name} {percent(values[-1])}", colour))
        frame.paintNames(ends, theme)


class _Frame:
    """The chart's plotting area: months to the right, probability up."""

    def __init__(self, painter: Any, width: int, height: int, months: float) -> None:
        self.painter, self.months = painter, months
        self.metrics = painter.fontMetrics()
        self.left = self.metrics.horizontalAdvance("100 %") + 8
        self.names = self.metrics.horizontalAdvance("high-risk group 100 %") + 10
        self.right, self.top = width - self.names, self.metrics.height() + 10
        self.bottom = height - 2 * self.metrics.height() - 8

    def x(self, month: float) -> int:
        return self.left + round((self.right - self.left) * month / self.months)

    def y(self, share: float) -> int:
        return self.bottom - round((self.bottom - self.top) * min(1.0, max(0.0, share)))

    def paintAxes(self, theme: Theme) -> None:
        self.painter.setPen(_pen(theme.colour("quiet"), 1.0))
        self.painter.drawText(0, self.metrics.ascent(), "recurrence-free")
        for share in (0.0, 0.5, 1.0):
            self.painter.setPen(_pen(theme.colour("track"), 1.0))
            self.painter.drawLine(self.left, self.y(share), self.right, self.y(share))
            self.painter.setPen(_pen(theme.colour("quiet"), 1.0))
            words = f"{100 * share:.0f} %"
            self.painter.drawText(
                self.left - 6 - self.metrics.horizontalAdvance(words), self.y(share) + self.metrics.ascent() // 2, words
            )
        step = next((s for s in (6, 12, 24, 60, 120) if self.months / s <= 5), 240)
        baseline = self.bottom + self.metrics.height()
        for month in range(0, int(self.months) + 1, step):
            self.painter.drawLine(self.x(month), self.bottom, self.x(month), self.bottom + 3)
            words = f"{month}"
            self.painter.drawText(self.x(month) - self.metrics.horizontalAdvance(words) // 2, baseline + 3, words)
        words = "months of follow-up"
        middle = (self.left + self.right - self.metrics.horizontalAdvance(words)) // 2
        self.painter.drawText(middle, baseline + self.metrics.height() + 3, words)

    def paintNames(self, ends: list[tuple[int, str, str]], theme: Theme) -> None:
        place = -1000
        for height, words, colour in sorted(ends):
            place = max(height, place + self.metrics.height())
            self.painter.setPen(_pen(theme.colour(colour), 1.0))
            self.painter.drawText(self.right + 6, place + self.metrics.ascent() // 2, words)


def _pen(colour: Any, width: float) -> Any:
    pen = qt.QPen(colour)
    pen.setWidthF(width)
    return pen


def _steps(months: Sequence[float], values: Sequence[float]) -> list[tuple[float, float]]:
    """The corners of a step curve that starts at 100 % in month 0."""
    known = list(zip(months, values))
    if known and known[0][0] > 0:
        known.insert(0, (0.0, 1.0))
    corners = known[:1]
    for before, after in _pairs(known):
        corners += [(after[0], before[1]), after]
    return corners


def _pairs(items: Sequence[Any]) -> list[tuple[Any, Any]]:
    first, second = tee(items)
    next(second, None)
    return list(zip(first, second))


def _spread(values: Mapping[str, float], x: Any, gap: int) -> list[tuple[str, int, int]]:
    """Phases with the place of their tick and of their letter, the letters kept apart."""
    placed: list[tuple[str, int, int]] = []
    for phase in sorted(values, key=lambda name: values[name]):
        place = x(values[phase])
        placed.append((phase, place, max(place, placed[-1][2] + gap) if placed else place))
    overrun = max(0, placed[-1][2] - x(1.0)) if placed else 0
    return [(phase, place, label - overrun) for phase, place, label in placed]
