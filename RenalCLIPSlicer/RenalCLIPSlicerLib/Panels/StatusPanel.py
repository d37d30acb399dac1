"""Banner, message and the work under way."""

from __future__ import annotations

from html import escape
from typing import Any

import qt

from .Panel import Panel

NOT_CLINICAL = "Research only. Not for clinical use."


class StatusPanel(Panel):
    """What runs, what went wrong, and that this is no clinical product."""

    listens = frozenset({"busy", "message", "review", "study"})

    def build(self) -> None:
        """Connect *Cancel*."""
        self.ui.bannerLabel.setStyleSheet("background:#2c3742;color:#ffffff;padding:5px 8px;border-radius:3px")
        for label in (self.ui.messageLabel, self.ui.taskLabel):
            label.setTextFormat(qt.Qt.PlainText)
        self.connections.on(self.ui.cancelButton.clicked, self.onCancel)

    def show(self) -> None:
        """Show banner, message and progress."""
        self._showBanner()
        kind, text = self.case.message
        self.ui.messageLabel.setVisible(bool(text))
        self.ui.messageLabel.setText(text)
        theme = self.theme
        if kind == "info":
            self.ui.messageLabel.setStyleSheet(f"color:{theme.quiet}")
        else:
            self.ui.messageLabel.setStyleSheet(
                f"background:{theme.alertBack};border:1px solid {theme.alertEdge};border-radius:3px;padding:5px;"
                f"color:{theme.alert if kind == 'error' else theme.ink}"
            )
        self.showTask()

    def showTask(self) -> None:
        """Show how far the work is; called every half second too, for the time left."""
        task = self.case.task
        self.ui.taskFrame.setVisible(task is not None)
        if task is not None:
            self.ui.taskLabel.setText(task.line())
            self.ui.taskProgressBar.setMaximum(0 if task.fraction <= 0 else 100)
            self.ui.taskProgressBar.setValue(round(100 * task.fraction))
            self.ui.cancelButton.setEnabled(not task.cancelling)

    def onCancel(self, *_: Any) -> None:
        """Stop the work under way."""
        self.case.cancel()

    def _showBanner(self) -> None:
        review = self.case.state.review
        use = review.provenance.intended_use if review else self.case.plan.provenance.get("intended_use", NOT_CLINICAL)
        self.ui.bannerLabel.setText(f"<b>{escape(str(use))}</b>")
