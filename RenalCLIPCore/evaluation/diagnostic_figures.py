"""Figures of binary classification: ROC, calibration and decision curves, one panel per cohort."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .classification import Array
from .curves import BINS, calibration_curve, decision_curve, roc_curve
from .figure_style import INK, ORACLE, QUIET, Picture, canvas, legend_below, look, panel_size, panels, picture
from .figure_style import square_axes as _square

_HEIGHT = 3.9
_CASES_PER_BIN = 20


@dataclass(frozen=True, eq=False)
class ModelCurve:
    """One model in one panel.

    Attributes:
        name: In the legend; ``oracle`` is drawn grey.
        scores: (n,) for class 1.
        words: After the name in the legend, for instance the AUROC and its interval.
    """

    name: str
    scores: Array
    words: str = ""


@dataclass(frozen=True, eq=False)
class Point:
    """An observer without a curve: a reader's sensitivity and specificity."""

    name: str
    sensitivity: float
    specificity: float


@dataclass(frozen=True, eq=False)
class DiagnosticPanel:
    """One cohort.

    Attributes:
        title: Name of the cohort.
        labels: (n,) 0 or 1, both there.
        curves: Models, each with scores of the same cases.
        points: Readers.
    """

    title: str
    labels: npt.NDArray[np.int64]
    curves: tuple[ModelCurve, ...]
    points: tuple[Point, ...] = ()


def roc_figure(cohorts: Sequence[DiagnosticPanel]) -> Picture:
    """ROC curves with the AUROC in the legend; readers as points."""
    rows = max(len(panel.curves) + bool(panel.points) for panel in cohorts)
    with canvas(*panel_size(len(cohorts), height=_HEIGHT + 0.14 * rows)) as figure:
        for axes, panel in zip(panels(figure, len(cohorts)), cohorts, strict=True):
            axes.plot([0, 1], [0, 1], color="#b3bcc5", linewidth=0.9, zorder=1)
            for place, curve in enumerate(panel.curves):
                points, style = roc_curve(panel.labels, curve.scores), look(place, curve.name)
                axes.plot(
                    points.false_positive_rate, points.sensitivity, color=style.colour, linestyle=style.style,
                    linewidth=1.1 if curve.name == ORACLE else 1.7, label=_words(curve), zorder=3,
                )  # fmt: skip
            if panel.points:
                x, y = [1 - p.specificity for p in panel.points], [p.sensitivity for p in panel.points]
                axes.scatter(
                    x, y, s=26, marker="D", facecolor="white", edgecolor=INK, linewidth=1.1, zorder=5,
                    label=f"readers (n = {len(x)})",
                )  # fmt: skip
            _square(axes, "1 - specificity", "Sensitivity", _title(panel))
            legend_below(axes)
        return picture(figure)


def calibration_figure(cohorts: Sequence[DiagnosticPanel]) -> Picture:
    """Observed frequency against predicted probability in bins of equal size, with 95 % Wilson intervals."""
    rows = max(len(panel.curves) for panel in cohorts)
    with canvas(*panel_size(len(cohorts), height=_HEIGHT + 0.14 * rows)) as figure:
        for axes, panel in zip(panels(figure, len(cohorts)), cohorts, strict=True):
            axes.plot([0, 1], [0, 1], color="#b3bcc5", linewidth=0.9, zorder=1)
            for place, curve in enumerate(panel.curves):
                _calibration(axes, panel.labels, curve, place)
            _square(axes, "Predicted probability", "Observed frequency", _title(panel))
            legend_below(axes)
        return picture(figure)


def decision_figure(cohorts: Sequence[DiagnosticPanel]) -> Picture:
    """Net benefit over threshold probabilities, beside treating everybody and nobody."""
    rows = max(len(panel.curves) for panel in cohorts) + 2
    with canvas(*panel_size(len(cohorts), height=3.0 + 0.15 * rows)) as figure:
        for axes, panel in zip(panels(figure, len(cohorts)), cohorts, strict=True):
            everybody, lowest = None, 0.0
            for place, curve in enumerate(panel.curves):
                found, style = decision_curve(panel.labels, curve.scores), look(place, curve.name)
                axes.plot(found.thresholds, found.model, color=style.colour, linestyle=style.style, label=_words(curve))
                everybody, lowest = found, min(lowest, float(found.model.min()))
            assert everybody is not None
            axes.plot(everybody.thresholds, everybody.treat_all, color=QUIET, linewidth=1.0, label="treat all")
            axes.axhline(0, color=INK, linewidth=1.0, label="treat none")
            top = float(np.mean(panel.labels)) * 1.08
            bottom = min(-0.12 * top, max(1.1 * lowest, -0.5 * top))
            axes.set(xlim=(0, 1), ylim=(bottom, top), title=_title(panel))
            axes.set(xlabel="Threshold probability", ylabel="Net benefit (per case)")
            legend_below(axes)
        return picture(figure)


def calibration_bins(cases: int) -> int:
    """Bins of at least about twenty cases, from two to ten."""
    return int(np.clip(cases // _CASES_PER_BIN, 2, BINS))


def _calibration(axes: Any, labels: npt.NDArray[np.int64], curve: ModelCurve, place: int) -> None:
    found, style = calibration_curve(labels, curve.scores, calibration_bins(len(labels))), look(place, curve.name)
    reach = np.stack([found.observed - found.low, found.high - found.observed]).clip(0)
    axes.errorbar(
        found.predicted, found.observed, yerr=reach, color=style.colour, linestyle=style.style, marker=style.marker,
        markersize=4, linewidth=1.3, elinewidth=0.8, capsize=0, label=_words(curve),
    )  # fmt: skip


def _title(panel: DiagnosticPanel) -> str:
    return f"{panel.title}\n{len(panel.labels)} cases, {int(np.sum(panel.labels))} positive"


def _words(curve: ModelCurve) -> str:
    return f"{curve.name}  {curve.words}".rstrip()
