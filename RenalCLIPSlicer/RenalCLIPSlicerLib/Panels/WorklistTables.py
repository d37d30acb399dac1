"""Tables of a worklist: its cases, and versions of a reading to choose from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import qt

from ..WorklistWords import STATES, remarks, timeWords, versionRows, versionTitles
from .Tables import fitHeight, item, prepare
from .Theme import Theme

CASE_HEADERS = ("Case", "State", "Segmentation", "Time", "Notes")
SHOWN_ROWS = 8


class CasesTable:
    """The cases of a worklist.

    Args:
        table: To fill.
        theme: Colours.
    """

    def __init__(self, table: Any, theme: Theme) -> None:
        self.table = table
        self._theme = theme
        self._numbers: list[int] = []
        self._shown: list[Any] = []
        prepare(table, CASE_HEADERS, (4,))
        table.setVerticalScrollBarPolicy(qt.Qt.ScrollBarAsNeeded)
        table.setWordWrap(False)

    def show(self, rows: Sequence[Mapping[str, Any]], current: int) -> None:
        """Show the rows, the open case in bold."""
        wanted = [current, *([dict(row) for row in rows])]
        if wanted == self._shown:
            return
        self._shown, self._numbers = wanted, [row["number"] for row in rows]
        self.table.setRowCount(len(rows))
        for place, row in enumerate(rows):
            bold, quiet = row["number"] == current, self._theme.quiet if row["status"] == "finished" else ""
            texts = [row["name"], STATES[row["status"]], row["quality"] or "–", _time(row), remarks(row)]
            for column, text in enumerate(texts):
                warned = column == 4 and row["conflicts"]
                cell = item(text, text, self._theme.high if warned else quiet, bold)
                self.table.setItem(place, column, cell)
        self._fit()
        if current in self._numbers:
            self.table.scrollToItem(self.table.item(self._numbers.index(current), 0))

    def number(self, row: int) -> int | None:
        """The case of a row."""
        return self._numbers[row] if 0 <= row < len(self._numbers) else None

    def _fit(self) -> None:
        height = int(self.table.fontMetrics().height()) + 8
        for row in range(int(self.table.rowCount)):
            self.table.setRowHeight(row, height)
        self.table.horizontalHeader().setFixedHeight(height)
        self.table.setFixedHeight(height * (1 + max(1, min(SHOWN_ROWS, len(self._numbers)))) + 4)


def _time(row: Mapping[str, Any]) -> str:
    return timeWords(row["seconds"]) if row["seconds"] >= 1 else ""


class ConflictTable:
    """Versions of a reading side by side, each with a button that takes it.

    Args:
        table: To fill.
        chosen: Told the version that a person takes.
    """

    def __init__(self, table: Any, chosen: Callable[[Mapping[str, Any]], None]) -> None:
        self._table = table
        self._chosen = chosen
        self._shown: list[Any] = []
        self.buttons: list[Any] = []

    def show(self, versions: Sequence[Mapping[str, Any]], questions: Mapping[str, Sequence[str]]) -> None:
        """Show the versions."""
        wanted = [dict(version) for version in versions]
        if wanted == self._shown:
            return
        self._shown = wanted
        table, rows = self._table, versionRows(versions, questions)
        prepare(table, ["", *versionTitles(versions)], tuple(range(1, len(versions) + 1)))
        self.buttons = []
        table.setRowCount(0)
        table.setRowCount(len(rows) + 1)
        for place, row in enumerate(rows):
            for column, text in enumerate(row):
                table.setItem(place, column, item(text, text))
        for column, version in enumerate(versions, 1):
            button = qt.QPushButton("Keep this" if column == 1 else "Take this")
            button.clicked.connect(lambda *_, version=version: self._chosen(version["reading"]))
            table.setCellWidget(len(rows), column, button)
            self.buttons.append(button)
        fitHeight(table)
