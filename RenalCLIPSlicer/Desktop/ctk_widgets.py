"""Stand-ins for the CTK widgets that a scripted module's panel uses, as the module ``ctk``."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any, ClassVar

from PySide6 import QtCore, QtGui, QtWidgets

from . import pythonqt
from .pythonqt import StandIn, stored

pythonqt.install()

_ARROW_PIXELS = 9
_HEADER_MARGIN = 4
_NO_LIMIT = 16777215  # QWIDGETSIZE_MAX


class ctkCollapsibleButton(StandIn, QtWidgets.QAbstractButton):
    """A titled section that folds away."""

    contentsCollapsed = QtCore.Signal(bool)
    _SIGNATURES: ClassVar = {"contentsCollapsed": ["bool"]}

    def __init__(self, *arguments: Any) -> None:
        text, parent = _text_and_parent(arguments)
        super().__init__(parent)
        self._hidden: list[QtWidgets.QWidget] = []
        self._collapsed = False
        self.text = text
        self.setSizePolicy(QtWidgets.QSizePolicy.Policy.Preferred, QtWidgets.QSizePolicy.Policy.Preferred)
        self.setContentsMargins(0, self._header_height(), 0, 0)
        self.clicked.connect(lambda *_: self._fold(not self._collapsed))

    def _get_collapsed(self) -> bool:
        return self._collapsed

    def _fold(self, collapsed: bool) -> None:
        if collapsed == self._collapsed:
            return
        self._collapsed = collapsed
        if collapsed:
            inside = [item for item in self.children() if isinstance(item, QtWidgets.QWidget)]
            self._hidden = [item for item in inside if not item.isHidden()]
        for item in self._hidden:
            item.setVisible(not collapsed)
        self.setMaximumHeight(self._header_height() if collapsed else _NO_LIMIT)
        self.updateGeometry()
        self.update()
        self.contentsCollapsed.emit(collapsed)

    def childEvent(self, event: QtCore.QChildEvent) -> None:
        child = event.child()
        if event.polished() and self._collapsed and isinstance(child, QtWidgets.QWidget) and not child.isHidden():
            self._hidden.append(child)  # a form folds a section before it fills it
            child.setVisible(False)

    collapsed = QtCore.Property(bool, _get_collapsed, _fold)
    flat = stored(bool, "flat", False)
    collapsedHeight = stored(int, "collapsedHeight", 10)
    contentsFrameShape = stored(int, "contentsFrameShape", 0)
    contentsFrameShadow = stored(int, "contentsFrameShadow", 0)
    contentsLineWidth = stored(int, "contentsLineWidth", 1)
    contentsMidLineWidth = stored(int, "contentsMidLineWidth", 0)

    def _header_height(self) -> int:
        return QtGui.QFontMetrics(self.font).height() + 2 * _HEADER_MARGIN

    def sizeHint(self) -> QtCore.QSize:
        own = QtCore.QSize(
            QtGui.QFontMetrics(self.font).horizontalAdvance(self.text) + 4 * _ARROW_PIXELS, self._header_height()
        )
        layout = self.layout()
        if self._collapsed or layout is None:
            return own
        inside = layout.totalSizeHint()
        return QtCore.QSize(max(own.width(), inside.width()), max(own.height(), inside.height()))

    def minimumSizeHint(self) -> QtCore.QSize:
        layout = self.layout()
        if self._collapsed or layout is None:
            return QtCore.QSize(0, self._header_height())
        return layout.totalMinimumSize()

    def hitButton(self, position: QtCore.QPoint) -> bool:
        return position.y() < self._header_height()

    def paintEvent(self, event: QtGui.QPaintEvent) -> None:
        painter = QtGui.QPainter(self)
        try:
            header = QtCore.QRect(0, 0, self.width, self._header_height())
            painter.fillRect(header, self.palette.color(QtGui.QPalette.ColorRole.Midlight))
            painter.setPen(self.palette.color(QtGui.QPalette.ColorRole.Mid))
            painter.drawRect(QtCore.QRect(0, 0, self.width - 1, self.height - 1))
            painter.setRenderHint(QtGui.QPainter.RenderHint.Antialiasing)
            self._draw_title(painter, header)
        finally:
            painter.end()

    def _draw_title(self, painter: QtGui.QPainter, header: QtCore.QRect) -> None:
        x, y, a = 2 * _ARROW_PIXELS // 2 + 4, header.center().y(), _ARROW_PIXELS // 2
        corners = [(-a, -a), (-a, a), (a, 0)] if self._collapsed else [(-a, -a), (a, -a), (0, a)]
        ink = self.palette.color(QtGui.QPalette.ColorRole.ButtonText)
        painter.setPen(ink)
        painter.setBrush(ink)
        painter.drawPolygon(QtGui.QPolygon([QtCore.QPoint(x + dx, y + dy) for dx, dy in corners]))
        font = self.font
        font.setBold(True)
        painter.setFont(font)
        room = header.adjusted(3 * _ARROW_PIXELS, 0, 0, 0)
        painter.drawText(room, QtCore.Qt.AlignmentFlag.AlignVCenter | QtCore.Qt.AlignmentFlag.AlignLeft, self.text)


class ctkPathLineEdit(StandIn, QtWidgets.QWidget):
    """A file or folder, typed or browsed for."""

    Dirs, Files, Drives, NoSymLinks, AllEntries = 0x1, 0x2, 0x4, 0x8, 0x7
    Readable, Writable, Executable, Hidden, NoDotAndDotDot = 0x10, 0x20, 0x40, 0x100, 0x1000

    validInputChanged = QtCore.Signal(bool)
    currentPathChanged = QtCore.Signal(str)
    _SIGNATURES: ClassVar = {"validInputChanged": ["bool"], "currentPathChanged": ["QString"]}

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self._combo = QtWidgets.QComboBox(self)
        self._combo.setEditable(True)
        self._combo.setInsertPolicy(QtWidgets.QComboBox.InsertPolicy.NoInsert)
        self._combo.setSizePolicy(QtWidgets.QSizePolicy.Policy.Expanding, QtWidgets.QSizePolicy.Policy.Fixed)
        self._combo.setMinimumContentsLength(8)
        self._button = QtWidgets.QToolButton(self)
        self._button.text = "..."
        layout.addWidget(self._combo)
        layout.addWidget(self._button)
        self._combo.editTextChanged.connect(self.currentPathChanged)
        self._button.clicked.connect(lambda *_: self.browse())

    def _get_path(self) -> str:
        return self._combo.currentText

    @QtCore.Slot(str)
    def setCurrentPath(self, path: str) -> None:
        if path != self._combo.currentText:
            self._combo.setEditText(path)

    def _show_browse(self, visible: bool) -> None:
        self._button.setVisible(visible)

    currentPath = QtCore.Property(str, _get_path, setCurrentPath)
    showBrowseButton = QtCore.Property(bool, lambda self: not self._button.isHidden(), _show_browse)
    label = stored(str, "label", "")
    filters = stored(int, "filters", AllEntries)
    options = stored(int, "options", 0)
    settingKey = stored(str, "settingKey", "")
    showHistoryButton = stored(bool, "showHistoryButton", True)
    sizeAdjustPolicy = stored(int, "sizeAdjustPolicy", 0)
    minimumContentsLength = stored(int, "minimumContentsLength", 8)
    nameFilters = stored("QStringList", "nameFilters", [])

    @QtCore.Slot()
    def browse(self) -> None:
        start = self.currentPath or str(Path.home())
        title = self.label or "Choose"
        if self.filters & self.Files:
            patterns = ";;".join(self.nameFilters)
            chosen = QtWidgets.QFileDialog.getOpenFileName(self, title, start, patterns)[0]
        else:
            chosen = QtWidgets.QFileDialog.getExistingDirectory(self, title, start)
        if chosen:
            self.setCurrentPath(chosen)
            self.addCurrentPathToHistory()

    @QtCore.Slot()
    def addCurrentPathToHistory(self) -> None:
        path = self.currentPath
        if path and self._combo.findText(path) < 0:
            self._combo.insertItem(0, path)
            self._combo.setCurrentIndex(0)

    @QtCore.Slot()
    def retrieveHistory(self) -> None:
        if self.settingKey:
            known = QtCore.QSettings().value(self.settingKey) or []
            for path in [known] if isinstance(known, str) else known:
                self._combo.addItem(path)

    def comboBox(self) -> QtWidgets.QComboBox:
        return self._combo


class ctkSliderWidget(StandIn, QtWidgets.QWidget):
    """A slider with a number beside it."""

    valueChanged = QtCore.Signal(float)
    valueIsChanging = QtCore.Signal(float)
    decimalsChanged = QtCore.Signal(int)
    _SIGNATURES: ClassVar = {"valueChanged": ["double"], "valueIsChanging": ["double"], "decimalsChanged": ["int"]}
    _STEPS = 10000

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self._slider = QtWidgets.QSlider(QtCore.Qt.Orientation.Horizontal, self)
        self._slider.setRange(0, self._STEPS)
        self._box = QtWidgets.QDoubleSpinBox(self)
        self._box.setRange(0.0, 99.0)
        layout.addWidget(self._slider)
        layout.addWidget(self._box)
        self._box.valueChanged.connect(self._follow_box)
        self._slider.valueChanged.connect(self._follow_slider)

    def _follow_box(self, value: float) -> None:
        span = self._box.maximum - self._box.minimum
        self._slider.blockSignals(True)
        self._slider.setValue(round(self._STEPS * (value - self._box.minimum) / span) if span else 0)
        self._slider.blockSignals(False)
        self.valueChanged.emit(value)

    def _follow_slider(self, position: int) -> None:
        raw = position / self._STEPS * (self._box.maximum - self._box.minimum)
        step = self._box.singleStep
        self._box.setValue(self._box.minimum + (round(raw / step) * step if step else raw))

    @QtCore.Slot(float)
    def setValue(self, value: float) -> None:
        self._box.setValue(value)

    @QtCore.Slot(int)
    def setDecimals(self, decimals: int) -> None:
        self._box.setDecimals(decimals)
        self.decimalsChanged.emit(decimals)

    @QtCore.Slot(bool)
    def setSpinBoxVisible(self, visible: bool) -> None:
        self._box.setVisible(visible)

    @QtCore.Slot()
    def reset(self) -> None:
        self._box.setValue(0.0)

    value = QtCore.Property(float, lambda self: self._box.value, setValue)
    decimals = QtCore.Property(int, lambda self: self._box.decimals, setDecimals)
    spinBoxVisible = QtCore.Property(bool, lambda self: not self._box.isHidden(), setSpinBoxVisible)
    minimum = QtCore.Property(float, lambda self: self._box.minimum, lambda self, v: self._limit(v, None))
    maximum = QtCore.Property(float, lambda self: self._box.maximum, lambda self, v: self._limit(None, v))
    singleStep = QtCore.Property(float, lambda self: self._box.singleStep, lambda self, v: self._box.setSingleStep(v))
    prefix = QtCore.Property(str, lambda self: self._box.prefix, lambda self, v: self._box.setPrefix(v))
    suffix = QtCore.Property(str, lambda self: self._box.suffix, lambda self, v: self._box.setSuffix(v))
    pageStep = stored(float, "pageStep", 10.0)
    tracking = stored(bool, "tracking", True)

    def _limit(self, low: float | None, high: float | None) -> None:
        self._box.setRange(self._box.minimum if low is None else low, self._box.maximum if high is None else high)
        self._slider.blockSignals(True)
        self._follow_box(self._box.value)
        self._slider.blockSignals(False)


class ctkMessageBox(StandIn, QtWidgets.QMessageBox):
    """A message box; "don't show again" is not offered."""

    dontShowAgain = stored(bool, "dontShowAgain", False)
    dontShowAgainVisible = stored(bool, "dontShowAgainVisible", False)
    dontShowAgainSettingsKey = stored(str, "dontShowAgainSettingsKey", "")


class ctkComboBox(StandIn, QtWidgets.QComboBox):
    """A combo box with a default text."""

    defaultText = stored(str, "defaultText", "")
    forceDefault = stored(bool, "forceDefault", False)
    elideMode = stored(int, "elideMode", 0)


class ctkFittedTextBrowser(StandIn, QtWidgets.QTextBrowser):
    """A text browser that asks for the height of its text."""

    def sizeHint(self) -> QtCore.QSize:
        height = int(self.document.size.height()) + 2 * self.frameWidth
        return QtCore.QSize(QtWidgets.QTextBrowser.sizeHint(self).width(), max(height, 24))


CLASSES = (ctkCollapsibleButton, ctkComboBox, ctkFittedTextBrowser, ctkMessageBox, ctkPathLineEdit, ctkSliderWidget)


def install() -> types.ModuleType:
    """Register the module ``ctk`` and return it."""
    module = types.ModuleType("ctk", "The CTK widgets that stand-ins exist for.")
    for cls in CLASSES:
        setattr(module, cls.__name__, cls)
    return sys.modules.setdefault("ctk", module)


def _text_and_parent(arguments: tuple[Any, ...]) -> tuple[str, Any]:
    if arguments and isinstance(arguments[0], str):
        return arguments[0], arguments[1] if len(arguments) > 1 else None
    return "", arguments[0] if arguments else None
