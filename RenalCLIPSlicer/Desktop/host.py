"""Puts the pieces together: Qt in PythonQt's dress, Slicer's scene and logic, the window, one scripted module."""

from __future__ import annotations

import sys
import time
import types
from pathlib import Path
from typing import Any

from PySide6 import QtCore, QtWidgets

from . import pythonqt
from .requirements import render_off_screen

render_off_screen()
pythonqt.install()

import slicer  # noqa: E402
from trame_slicer.core import SlicerApp  # noqa: E402

from . import ctk_widgets, mrml_widgets, parameter_nodes, scripted_modules  # noqa: E402
from .application import ModuleNamespace, own_modules, qSlicerApplication  # noqa: E402
from .io_manager import qSlicerCoreIOManager  # noqa: E402
from .layout_manager import qSlicerLayoutManager  # noqa: E402
from .rendering import render_queue  # noqa: E402
from .view_widgets import qMRMLSliceView, qMRMLSliceWidget, qMRMLThreeDView, qMRMLThreeDWidget  # noqa: E402
from .window import qSlicerMainWindow  # noqa: E402

_HERE = Path(__file__).resolve().parent
# beside this package in the repository, inside it where it was installed from a wheel
_PLACES = (_HERE.parent / "RenalCLIPSlicer.py", _HERE / "SlicerModule" / "RenalCLIPSlicer.py")
MODULE = next((place for place in _PLACES if place.is_file()), _PLACES[0])
_DRAWING_S = 30.0
_TITLE = "RenalCLIP workstation"
_WIDGETS = (
    qMRMLSliceView,
    qMRMLSliceWidget,
    qMRMLThreeDView,
    qMRMLThreeDWidget,
    qSlicerApplication,
    qSlicerCoreIOManager,
    qSlicerLayoutManager,
    qSlicerMainWindow,
    mrml_widgets.qMRMLNodeComboBox,
    mrml_widgets.qMRMLWidget,
    scripted_modules.qSlicerScriptedLoadableModule,
    scripted_modules.qSlicerScriptedLoadableModuleWidget,
)


class Host:
    """One per process: the application, its window and the module it shows.

    Args:
        testing: As ``slicer.app.testingEnabled()``: messages are logged, not shown.
        size: Of the window, in pixels.
    """

    def __init__(self, testing: bool = False, size: tuple[int, int] = (1600, 1000)) -> None:
        self.qt_app = QtWidgets.QApplication.instance() or QtWidgets.QApplication(["RenalCLIP"])
        self.qt_app.setOrganizationName("RenalCLIP")
        self.qt_app.setApplicationName("RenalCLIP-workstation")
        self.qt_app.setStyle("Fusion")
        self.core = SlicerApp()
        self.app = qSlicerApplication(self.core, testing)
        self._publish()
        self.window = qSlicerMainWindow(_TITLE)
        self.app._window = self.window
        self.layouts = qSlicerLayoutManager(self.core, self.window._viewport)
        self.app._layouts = self.layouts
        self.layouts.setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)
        self.window.resize(*size)
        self.module: Any = None

    def _publish(self) -> None:
        space: Any = slicer
        space.app, space.mrmlScene, space.modules, space.selfTests = self.app, self.core.scene, ModuleNamespace(), {}
        for name, module in own_modules(self.core).items():
            setattr(space.modules, name, module)
        for cls in _WIDGETS:
            setattr(space, cls.__name__, cls)
        ctk_widgets.install()
        i18n = types.ModuleType("slicer.i18n")
        i18n.tr = lambda text: text  # type: ignore[attr-defined]
        i18n.translate = lambda context, text: text  # type: ignore[attr-defined]
        sys.modules["slicer.i18n"] = space.i18n = i18n
        sys.modules["slicer.ScriptedLoadableModule"] = space.ScriptedLoadableModule = _only(
            scripted_modules, "slicer.ScriptedLoadableModule", "ScriptedLoadableModule"
        )
        sys.modules["slicer.parameterNodeWrapper"] = space.parameterNodeWrapper = parameter_nodes

    def show(self) -> None:
        """Show the window and tell that the start is over."""
        self.window.show()
        self.app.startupCompleted.emit()

    def open_module(self, path: Path = MODULE) -> Any:
        """Load a scripted module, show its panel and return its Python widget."""
        self.close_module()
        self.module = scripted_modules.load_module(path)
        slicer.util.selectModule(self.module.name)
        return self.module.widgetRepresentation().self()

    def close_module(self) -> None:
        """Leave and unload the module, if there is one."""
        if self.module is not None:
            self.window._leave()
            scripted_modules.unload_module(self.module)
            self.module = None
            self.settle()

    def settle(self) -> None:
        """Handle what is waiting in the event loop, deletions too."""
        self.qt_app.processEvents()
        QtCore.QCoreApplication.sendPostedEvents(None, QtCore.QEvent.Type.DeferredDelete)
        self.qt_app.processEvents()

    def grab(self, file: Path) -> None:
        """Write a picture of the window, once its views are drawn."""
        end = time.monotonic() + _DRAWING_S
        while not render_queue().empty and time.monotonic() < end:
            self.settle()
            time.sleep(0.005)
        self.settle()
        if not self.window.grab().save(str(file)):
            raise OSError(f"{file} could not be written.")

    def close(self) -> None:
        """Unload the module, close window and views."""
        self.close_module()
        self.window.close()
        self.layouts._close()


def _only(source: Any, name: str, prefix: str) -> types.ModuleType:
    module = types.ModuleType(name)
    wanted = [item for item in vars(source) if item.startswith(prefix)]
    for item in wanted:
        setattr(module, item, getattr(source, item))
    module.__all__ = wanted  # type: ignore[attr-defined]
    return module
