"""Step 5: accept or reject each finding, and save."""

from __future__ import annotations

import os
from dataclasses import dataclass
from html import escape
from typing import Any

import ctk
import qt

from RenalCLIPCore.review_reading import when_words

from ..CaseState import CaseState
from ..Findings import findings
from .Panel import Panel
from .Tables import fitHeight, item, prepare

HEADERS = ("Finding", "Verdict", "Comment")
VERDICTS = ("open", "accepted", "rejected")
ARROW_PIXELS = 34


@dataclass(frozen=True)
class Row:
    """A finding of a case's lesion with the widgets that its verdict and comment are given in."""

    state: CaseState
    lesion: str
    finding: str
    box: Any
    comment: Any

    def isOf(self, state: CaseState) -> bool:
        """Whether it belongs to the lesion that a case shows."""
        return self.state is state and self.lesion == state.lesion


class SignOffPanel(Panel):
    """A row per finding of the shown lesion."""

    listens = frozenset({"review", "lesion", "reading", "verdicts", "report", "busy"})

    def build(self) -> None:
        """Lay out the table and connect."""
        self.ui.savePathEdit.filters = ctk.ctkPathLineEdit.Dirs
        table = self.ui.signOffTable
        prepare(table, HEADERS, (0, 2))
        table.horizontalHeader().setSectionResizeMode(1, qt.QHeaderView.Fixed)
        longest = max(int(table.fontMetrics().horizontalAdvance(word)) for word in VERDICTS)
        table.setColumnWidth(1, longest + ARROW_PIXELS)
        self._rows: list[Row] = []
        on = self.connections.on
        on(self.ui.readerEdit.textChanged, self.onReader)
        on(self.ui.saveButton.clicked, self.onSave)
        on(self.ui.showButton.clicked, self.onShow)

    def show(self) -> None:
        """Show values and verdicts."""
        state = self.case.state
        lesion = state.lesionReview()
        values = findings(lesion, state.report(lesion.lesion_id)) if lesion else {}
        self.ui.signOffSection.setVisible(state.review is not None)
        self.ui.signOffTable.setVisible(bool(values))
        if list(values) != [row.finding if row.isOf(state) else "" for row in self._rows]:
            self._rebuild(list(values))
        for number, row in enumerate(self._rows):
            self._showRow(number, row, values[row.finding])
        fitHeight(self.ui.signOffTable)
        self.ui.saveButton.setEnabled(state.review is not None and self.case.task is None)
        page = self._page()
        self.ui.showButton.setEnabled(bool(page))
        if str(self.ui.readerEdit.text) != self.case.reader and not self.ui.readerEdit.hasFocus():
            self.ui.readerEdit.setText(self.case.reader)
        self.ui.savedLabel.setText(self.theme.soft(f"Saved: {page}" if page else ""))

    def onReader(self, *_: Any) -> None:
        """The reader's name was typed."""
        if self.updating:
            return
        self.case.reader = str(self.ui.readerEdit.text).strip()
        self.scene.parameters.reader = self.case.reader

    def onVerdict(self, row: Row) -> None:
        """A verdict was chosen."""
        if not self.updating and row.state is self.case.state:
            number = int(row.box.currentIndex)
            self.onReader()
            self.case.notes.decide(row.finding, "" if number <= 0 else VERDICTS[number], None, row.lesion)

    def onComment(self, row: Row) -> None:
        """A comment is being typed; it is kept with each letter, so that no redrawing can lose it."""
        verdict, text = self._verdict(row), str(row.comment.text)
        if self.updating or row.state is not self.case.state:
            return
        if text != (verdict.comment if verdict else ""):
            self.onReader()
            self.case.notes.decide(row.finding, verdict.verdict if verdict else "", text, row.lesion)

    def onSave(self, *_: Any) -> None:
        """Write the review."""
        self.onReader()
        folder = str(self.ui.savePathEdit.currentPath).strip()
        if folder:
            self.case.save(folder)
        else:
            self.case.say("Choose the folder to save the review in.", "warning")

    def onShow(self, *_: Any) -> None:
        """Open the page in the browser."""
        page = self._page()
        if page:
            qt.QDesktopServices.openUrl(qt.QUrl.fromLocalFile(page))

    def cleanup(self) -> None:
        """Let go of the window and of the rows."""
        super().cleanup()
        self._rows = []

    def _page(self) -> str:
        return next((name for name in self.case.savedFiles if os.path.basename(name) == "review.html"), "")

    def _verdict(self, row: Row) -> Any:
        return row.state.verdicts.get(f"{row.lesion} {row.finding}")

    def _rebuild(self, names: list[str]) -> None:
        table, state = self.ui.signOffTable, self.case.state
        typing = next((row for row in self._rows if row.comment.hasFocus() and row.isOf(state)), None)
        cursor = int(typing.comment.cursorPosition) if typing else 0
        self._rows = []
        table.setRowCount(0)
        table.setRowCount(len(names))
        for number, name in enumerate(names):
            row = Row(state, state.lesion, name, qt.QComboBox(), qt.QLineEdit())
            row.box.addItems(list(VERDICTS))
            row.box.setFocusPolicy(qt.Qt.StrongFocus)
            row.box.connect("currentIndexChanged(int)", lambda *_, row=row: self.onVerdict(row))
            for signal in (row.comment.textEdited, row.comment.editingFinished):
                signal.connect(lambda *_, row=row: self.onComment(row))
            table.setCellWidget(number, 1, row.box)
            table.setCellWidget(number, 2, row.comment)
            self._rows.append(row)
            if typing and typing.finding == name:
                self._typeOn(row, cursor)

    def _typeOn(self, row: Row, cursor: int) -> None:
        """The table grew while a comment was being typed: the keys go on into its new field."""
        verdict = self._verdict(row)
        row.comment.setText(verdict.comment if verdict else "")
        row.comment.setFocus()
        row.comment.setCursorPosition(cursor)

    def _showRow(self, number: int, row: Row, value: str) -> None:
        verdict = self._verdict(row)
        shown = value.split(",")[0] if row.finding == "report" else value
        words = f"{row.finding}: {shown}"
        self.ui.signOffTable.setItem(number, 0, item(words, words))
        row.box.setCurrentIndex(VERDICTS.index(verdict.verdict) if verdict and verdict.verdict else 0)
        tip = escape(f"{verdict.verdict} by {verdict.by or 'a reader'}, {when_words(verdict.at)}") if verdict else ""
        row.box.toolTip = tip
        if not row.comment.hasFocus():
            comment = verdict.comment if verdict else ""
            row.comment.setText(comment)
            row.comment.setCursorPosition(0)
            row.comment.toolTip = escape(comment)
