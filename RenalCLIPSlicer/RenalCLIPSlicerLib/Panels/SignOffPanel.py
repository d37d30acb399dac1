"""Step 5: accept or reject each finding, and save."""

from __future__ import annotations

import os
from html import escape
from typing import Any

import ctk
import qt

from RenalCLIPCore.review_reading import when_words

from ..Findings import findings
from .Panel import Panel
from .Tables import fitHeight, item, prepare

HEADERS = ("Finding", "Verdict", "Comment")
VERDICTS = ("open", "accepted", "rejected")
ARROW_PIXELS = 34


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
        self._names: list[str] = []
        self._boxes: list[Any] = []
        self._comments: list[Any] = []
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
        if list(values) != self._names or len(self._boxes) != len(values):
            self._rebuild(list(values))
        for row, (name, value) in enumerate(values.items()):
            self._showRow(row, name, value)
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

    def onVerdict(self, row: int) -> None:
        """A verdict was chosen."""
        if not self.updating and row < len(self._names):
            number = int(self._boxes[row].currentIndex)
            self.onReader()
            self.case.notes.decide(self._names[row], "" if number <= 0 else VERDICTS[number])

    def onComment(self, row: int) -> None:
        """A comment was typed."""
        if self.updating or row >= len(self._names):
            return
        verdict = self._verdict(self._names[row])
        text = str(self._comments[row].text)
        if verdict is None or verdict.comment != text:
            self.onReader()
            self.case.notes.decide(self._names[row], verdict.verdict if verdict else "", text)

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
        self._boxes, self._comments = [], []

    def _page(self) -> str:
        return next((name for name in self.case.savedFiles if os.path.basename(name) == "review.html"), "")

    def _verdict(self, name: str) -> Any:
        return self.case.state.verdicts.get(f"{self.case.state.lesion} {name}")

    def _rebuild(self, names: list[str]) -> None:
        table = self.ui.signOffTable
        self._names, self._boxes, self._comments = names, [], []
        table.setRowCount(0)
        table.setRowCount(len(names))
        for row in range(len(names)):
            box, comment = qt.QComboBox(), qt.QLineEdit()
            box.addItems(list(VERDICTS))
            box.setFocusPolicy(qt.Qt.StrongFocus)
            box.connect("currentIndexChanged(int)", lambda *_, row=row: self.onVerdict(row))
            comment.editingFinished.connect(lambda *_, row=row: self.onComment(row))
            table.setCellWidget(row, 1, box)
            table.setCellWidget(row, 2, comment)
            self._boxes.append(box)
            self._comments.append(comment)

    def _showRow(self, row: int, name: str, value: str) -> None:
        verdict = self._verdict(name)
        shown = value.split(",")[0] if name == "report" else value
        words = f"{name}: {shown}"
        self.ui.signOffTable.setItem(row, 0, item(words, words))
        self._boxes[row].setCurrentIndex(VERDICTS.index(verdict.verdict) if verdict and verdict.verdict else 0)
        tip = escape(f"{verdict.verdict} by {verdict.by or 'a reader'}, {when_words(verdict.at)}") if verdict else ""
        self._boxes[row].toolTip = tip
        if verdict and not self._comments[row].hasFocus():
            self._comments[row].setText(verdict.comment)
            self._comments[row].setCursorPosition(0)
            self._comments[row].toolTip = escape(verdict.comment)
        elif verdict is None:
            self._comments[row].setText("")
