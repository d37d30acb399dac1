"""Tables that are as high as their rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import qt


def prepare(table: Any, headers: Sequence[str], stretched: Sequence[int]) -> None:
    """Columns, no row numbers, no editing; the stretched columns share what the others leave."""
    table.setColumnCount(len(headers))
    table.setHorizontalHeaderLabels(list(headers))
    table.verticalHeader().setVisible(False)
    table.setEditTriggers(qt.QAbstractItemView.NoEditTriggers)
    table.setSelectionMode(qt.QAbstractItemView.NoSelection)
    table.setFocusPolicy(qt.Qt.NoFocus)
    table.setShowGrid(False)
    table.setWordWrap(True)
    table.setHorizontalScrollBarPolicy(qt.Qt.ScrollBarAlwaysOff)
    table.setVerticalScrollBarPolicy(qt.Qt.ScrollBarAlwaysOff)
    header = table.horizontalHeader()
    header.setDefaultAlignment(qt.Qt.AlignLeft)
    for column in range(len(headers)):
        stretch = column in stretched
        header.setSectionResizeMode(column, qt.QHeaderView.Stretch if stretch else qt.QHeaderView.ResizeToContents)


def item(text: str, tip: str = "", colour: str = "", bold: bool = False) -> Any:
    """A cell."""
    cell = qt.QTableWidgetItem(str(text))
    if tip:
        cell.setToolTip(tip)
    if colour:
        cell.setForeground(qt.QBrush(qt.QColor(colour)))
    if bold:
        font = qt.QFont()
        font.setBold(True)
        cell.setFont(font)
    return cell


def fitHeight(table: Any) -> None:
    """Make the table as high as its rows."""
    table.resizeRowsToContents()
    header = int(table.fontMetrics().height()) + 8
    table.horizontalHeader().setFixedHeight(header)
    table.setFixedHeight(header + sum(int(table.rowHeight(row)) for row in range(int(table.rowCount))) + 4)
