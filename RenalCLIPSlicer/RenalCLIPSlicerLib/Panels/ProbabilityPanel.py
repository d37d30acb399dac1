"""Malignancy and aggressiveness as probabilities, RenalCLIP's and beside them the predecessor's."""

from __future__ import annotations

from html import escape

import qt

from RenalCLIPCore.review import Absent, LesionReview
from RenalCLIPCore.review_reading import (
    agreement_words,
    percent,
    predecessor_notes,
    present,
    spreads,
    verdict,
)

from .Charts import Gauge
from .Panel import Panel

TASKS = ("malignancy", "aggressiveness")


class ProbabilityPanel(Panel):
    """Per task: probability with spread, threshold, phases, calibration."""

    listens = frozenset({"review", "lesion", "reading"})

    def build(self) -> None:
        """Make both figures."""
        layout = self.ui.probabilityFrame.layout()
        self.heads, self.gauges, self.notes = {}, {}, {}
        for task in TASKS:
            head, gauge, note = qt.QLabel(), Gauge(), qt.QLabel()
            for label in (head, note):
                label.setWordWrap(True)
            self.heads[task], self.gauges[task], self.notes[task] = head, gauge, note
            for widget in (head, gauge, note):
                layout.addWidget(widget)
        self.predecessor = qt.QLabel()
        self.predecessor.setWordWrap(True)
        layout.addWidget(self.predecessor)

    def show(self) -> None:
        """Show both, or why one is absent."""
        lesion = self.case.state.lesionReview()
        self.ui.probabilitySection.setVisible(lesion is not None)
        reading = present(lesion.predicted) if lesion else None
        for task in TASKS:
            part = getattr(reading, task) if reading else Absent("The network has not read this lesion.")
            binary = present(part)
            self.gauges[task].setPrediction(binary)
            self.gauges[task].setVisible(binary is not None)
            self.notes[task].setVisible(binary is not None)
            if binary is None:
                self.heads[task].setText(f"<b>{task.capitalize()}</b>: {self.theme.soft(part.absent)}")
                continue
            spread = spreads(reading.uncertainty).get(task) if reading else None
            around = f" ± {100 * spread:.0f}" if spread else ""
            self.heads[task].setText(
                f"<b>{task.capitalize()}</b>: {escape(binary.positive)} with probability "
                f"<b>{percent(binary.probability)}</b>{escape(around)}; read as <b>{escape(verdict(binary))}</b>"
            )
            self.notes[task].setText(f'<span style="font-size:small">{self.theme.soft(binary.calibration)}</span>')
        words = self._predecessor(lesion) if lesion else ""
        self.predecessor.setText(words)
        self.predecessor.setVisible(bool(words))

    def _predecessor(self, lesion: LesionReview) -> str:
        """The multi-phase 2-D network's answers, where the bundle carries it."""
        earlier = present(lesion.predecessor)
        if earlier is None:
            return ""
        read = self.theme.soft(f"multi-phase 2-D network, read from {', '.join(earlier.phases_used)}")
        lines = [f"<b>Predecessor</b> {read}"]
        for task in TASKS:
            part = getattr(earlier, task)
            binary = present(part)
            if binary is None:
                lines.append(f"{task.capitalize()}: {self.theme.soft(part.absent)}")
                continue
            lines.append(
                f"{task.capitalize()}: {escape(binary.positive)} with probability "
                f"<b>{percent(binary.probability)}</b>; read as <b>{escape(verdict(binary))}</b>"
            )
        score = present(earlier.score)
        if score is not None:
            lines.append(f"Aggressiveness score <b>{score:.1f}</b> {self.theme.soft('of 0 to 10')}")
        lines += [escape(words) for words in (*agreement_words(lesion), *predecessor_notes(lesion))]
        return "<br>".join(lines)
