"""Risk group and recurrence-free curve."""

from __future__ import annotations

from html import escape

from RenalCLIPCore.review import Absent
from RenalCLIPCore.review_reading import present

from ..Words import signed
from .Charts import SurvivalChart
from .Panel import Panel


class RecurrencePanel(Panel):
    """The group against the cohort's median, and the curves."""

    listens = frozenset({"review", "lesion", "reading"})

    def build(self) -> None:
        """Make the chart."""
        self.chart = SurvivalChart()
        self.ui.recurrenceFrame.layout().addWidget(self.chart)

    def show(self) -> None:
        """Show the risk, or why it is absent."""
        lesion = self.case.state.lesionReview()
        self.ui.recurrenceSection.setVisible(lesion is not None)
        reading = present(lesion.predicted) if lesion else None
        part = reading.recurrence if reading else Absent("The network has not read this lesion.")
        risk = present(part)
        self.chart.setRisk(risk)
        self.chart.setVisible(risk is not None and bool(risk.months))
        if risk is None:
            self.ui.recurrenceLabel.setText(self.theme.soft(part.absent))
            return
        self.ui.recurrenceLabel.setText(
            f"<b>{escape(risk.group.capitalize())} risk</b>: score {signed(risk.score)}, "
            f"median {signed(risk.cohort_median)} {self.theme.soft('of ' + risk.cohort)}"
        )
