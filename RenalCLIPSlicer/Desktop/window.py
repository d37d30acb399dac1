"""The window: a panel at the left, Slicer's views beside it, a menu above."""

from __future__ import annotations

from typing import Any

import slicer
from PySide6 import QtCore, QtGui, QtWidgets

from .pythonqt import StandIn

_PANEL_PIXELS = 480
_SCROLL_BAR_PIXELS = 18


class qSlicerModuleSelectorToolBar(StandIn, QtCore.QObject):
    """Says which module the panel shows."""

    def __init__(self, window: qSlicerMainWindow) -> None:
        super().__init__()
        self._window = window

    selectedModule = QtCore.Property(str, lambda self: self._window._selected)

    @QtCore.Slot(str)
    def selectModule(self, name: str) -> None:
        self._window._select(name)


class qSlicerMainWindow(StandIn, QtWidgets.QMainWindow):
    """The main window.

    Args:
        title: Of the window.
    """

    def __init__(self, title: str) -> None:
        super().__init__()
        self.setObjectName("qSlicerMainWindow")
        self.setWindowTitle(title)
        self._selected = ""
        self._selector = qSlicerModuleSelectorToolBar(self)
        self._viewport = QtWidgets.QWidget()
        self._viewport.setObjectName("CentralWidget")
        self.setCentralWidget(self._viewport)
        self._scroll = QtWidgets.QScrollArea()
        self._scroll.setWidgetResizable(True)
        self._scroll.setFrameShape(QtWidgets.QFrame.Shape.NoFrame)
        self._scroll.setHorizontalScrollBarPolicy(QtCore.Qt.ScrollBarPolicy.ScrollBarAsNeeded)
        self._dock = QtWidgets.QDockWidget()
        self._dock.setObjectName("PanelDockWidget")
        self._dock.setFeatures(QtWidgets.QDockWidget.DockWidgetFeature.DockWidgetMovable)
        self._dock.setWidget(self._scroll)
        self.addDockWidget(QtCore.Qt.DockWidgetArea.LeftDockWidgetArea, self._dock)
        self.setStatusBar(QtWidgets.QStatusBar())
        self._fill_menu()

    def moduleSelector(self) -> qSlicerModuleSelectorToolBar:
        return self._selector

    def _fill_menu(self) -> None:
        menu = self.menuBar().addMenu("&File")
        entries = (
            ("&Open study ...", QtGui.QKeySequence.StandardKey.Open, self._open_study),
            ("Open s&cene ...", None, self._open_scene),
            ("&Save scene ...", QtGui.QKeySequence.StandardKey.Save, self._save_scene),
            ("Close scene", None, lambda *_: slicer.mrmlScene.Clear(0)),
            ("&Quit", QtGui.QKeySequence.StandardKey.Quit, self._quit),
        )
        for words, keys, slot in entries:
            action = menu.addAction(words)
            action.setObjectName(words.replace("&", "").split(" ...")[0].title().replace(" ", "") + "Action")
            if keys is not None:
                action.setShortcut(QtGui.QKeySequence(keys))
            action.triggered.connect(slot)

    def _open_study(self, *_: Any) -> None:
        folder = QtWidgets.QFileDialog.getExistingDirectory(self, "Open study: DICOM files or an imported study")
        widget = getattr(slicer.modules, f"{self._selected}Widget", None)
        if folder and widget is not None:
            widget.openStudy(folder)

    def _open_scene(self, *_: Any) -> None:
        file = QtWidgets.QFileDialog.getOpenFileName(self, "Open scene", "", "Scenes (*.mrb *.mrml)")[0]
        if file:
            with slicer.util.tryWithErrorDisplay("The scene could not be opened."):
                slicer.mrmlScene.Clear(0)
                slicer.util.loadScene(file)

    def _save_scene(self, *_: Any) -> None:
        file = QtWidgets.QFileDialog.getSaveFileName(self, "Save scene", "", "Scenes (*.mrb)")[0]
        if file:
            file = file if file.endswith(".mrb") else file + ".mrb"
            if not slicer.util.saveScene(file):
                slicer.util.errorDisplay(f"The scene could not be saved as {file}.")

    def _quit(self, *_: Any) -> None:
        self.close()

    def closeEvent(self, event: QtGui.QCloseEvent) -> None:
        event.accept()
        QtWidgets.QApplication.instance().quit()

    def _select(self, name: str) -> None:
        module = slicer.app.moduleManager().module(name)
        if module is None:
            raise RuntimeError(f"There is no module {name!r}.")
        if self._selected:
            self._leave()
        panel = module.widgetRepresentation()
        self._selected = name
        self._dock.setWindowTitle(module.title or name)
        self._scroll.setWidget(panel)
        wide = panel.minimumSizeHint().width() + _SCROLL_BAR_PIXELS
        self._scroll.setMinimumWidth(min(wide, _PANEL_PIXELS))
        self.resizeDocks([self._dock], [max(_PANEL_PIXELS, wide)], QtCore.Qt.Orientation.Horizontal)
        panel._enter()

    def _leave(self) -> None:
        panel = self._scroll.takeWidget()
        self._selected = ""
        if panel is not None:
            panel._exit()
