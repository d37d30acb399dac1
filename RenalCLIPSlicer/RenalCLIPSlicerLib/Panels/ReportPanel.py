"""The report: drafted from the findings, edited by the reader."""

from __future__ import annotations

from typing import Any

from RenalCLIPCore.review import ReportDraft

from .Panel import Panel

LINES = {"findings": 7, "impression": 6}


class ReportPanel(Panel):
    """Two sections to edit; a new draft leaves edited ones alone."""

    listens = frozenset({"review", "lesion", "report", "reading", "busy"})

    def build(self) -> None:
        """Connect."""
        self._shown: dict[str, str] = {}
        self.editors = {"findings": self.ui.findingsEdit, "impression": self.ui.impressionEdit}
        for section, editor in self.editors.items():
            editor.setTabChangesFocus(True)
            editor.setFixedHeight(LINES[section] * int(editor.fontMetrics().lineSpacing()) + 12)
        self.connections.on(self.ui.findingsEdit.textChanged, self.onFindings)
        self.connections.on(self.ui.impressionEdit.textChanged, self.onImpression)
        self.connections.on(self.ui.regenerateButton.clicked, self.onRegenerate)
        self.connections.on(self.ui.discardButton.clicked, self.onDiscard)

    def show(self) -> None:
        """Show the report as it reads now."""
        lesion = self.case.state.lesion
        review = self.case.state.lesionReview()
        texts = self.case.state.report(lesion)
        self.ui.reportSection.setVisible(review is not None)
        for number, editor in enumerate(self.editors.values()):
            wanted = texts[number] if texts else ""
            editor.setReadOnly(texts is None)
            if str(editor.plainText) != wanted:
                editor.blockSignals(True)
                editor.setPlainText(wanted)
                editor.blockSignals(False)
        self.ui.regenerateButton.setEnabled(review is not None and self.case.task is None)
        self._showState()

    def onFindings(self, *_: Any) -> None:
        """The reader typed."""
        self._edit("findings")

    def onImpression(self, *_: Any) -> None:
        """The reader typed."""
        self._edit("impression")

    def onRegenerate(self, *_: Any) -> None:
        """Draft anew."""
        self.case.notes.regenerate()

    def onDiscard(self, *_: Any) -> None:
        """Show the draft again."""
        self.case.notes.discardEdits()

    def _edit(self, section: str) -> None:
        if not self.updating:
            self.case.notes.editReport(section, str(self.editors[section].plainText))
            self._showState()

    def _showState(self) -> None:
        state, lesion = self.case.state, self.case.state.lesion
        review, edited = state.lesionReview(), state.reports.get(lesion)
        sections = [name for name in LINES if edited and getattr(edited, name) is not None]
        self.ui.discardButton.setEnabled(bool(sections))
        if review is None or not isinstance(review.report, ReportDraft):
            reason = review.report.absent if review else "Nothing is read yet."
            self.ui.reportStateLabel.setText(self.theme.soft(reason))
        elif self.case.notes.draftChanged(lesion):
            self.ui.reportStateLabel.setText(
                self.theme.warn(
                    "The findings changed after you edited; your text is kept. Check it against the panels."
                )
            )
        elif sections:
            self.ui.reportStateLabel.setText(self.theme.soft(f"Edited by you: {' and '.join(sections)}."))
        else:
            self.ui.reportStateLabel.setText(self.theme.soft("Draft put together from the findings; to be checked."))
