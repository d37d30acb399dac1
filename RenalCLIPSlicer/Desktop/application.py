"""The stand-in for Slicer's application object and its module manager: ``slicer.app`` and ``slicer.modules``."""

from __future__ import annotations

import tempfile
from typing import Any, ClassVar

import slicer
from PySide6 import QtCore, QtGui, QtWidgets
from trame_slicer.core import SlicerApp

from .io_manager import qSlicerCoreIOManager
from .pythonqt import StandIn


class qSlicerModuleFactoryManager(StandIn, QtCore.QObject):
    """Knows which modules are there."""

    def __init__(self, modules: dict[str, Any]) -> None:
        super().__init__()
        self._modules = modules

    def loadedModuleNames(self) -> tuple[str, ...]:
        return tuple(self._modules)

    def isLoaded(self, name: str) -> bool:
        return name in self._modules


class qSlicerModuleManager(StandIn, QtCore.QObject):
    """Modules by name."""

    moduleLoaded = QtCore.Signal(str)
    moduleAboutToBeUnloaded = QtCore.Signal(str)
    _SIGNATURES: ClassVar = {"moduleLoaded": ["QString"], "moduleAboutToBeUnloaded": ["QString"]}

    def __init__(self) -> None:
        super().__init__()
        self._modules: dict[str, Any] = {}
        self._factory = qSlicerModuleFactoryManager(self._modules)

    def factoryManager(self) -> qSlicerModuleFactoryManager:
        return self._factory

    def modulesNames(self) -> tuple[str, ...]:
        return tuple(self._modules)

    def module(self, name: str) -> Any:
        return self._modules.get(name)


class qSlicerLoadableModule(StandIn, QtCore.QObject):
    """A module of Slicer's own, of which only the logic is here."""

    def __init__(self, name: str, logic: Any) -> None:
        super().__init__()
        self._name, self._logic = name, logic

    name = QtCore.Property(str, lambda self: self._name)
    title = QtCore.Property(str, lambda self: self._name)

    def logic(self) -> Any:
        return self._logic


class ModuleNamespace:
    """``slicer.modules``: what is loaded, as attributes."""


class qSlicerApplication(StandIn, QtCore.QObject):
    """``slicer.app``. What Slicer inherits from QApplication is handed on to it.

    Args:
        core: Scene and logic.
        testing: Whether messages are logged instead of shown, as in Slicer's testing mode.
    """

    startupCompleted = QtCore.Signal()
    renderPaused = QtCore.Signal(bool)
    lastWindowClosed = QtCore.Signal()
    aboutToQuit = QtCore.Signal()
    focusChanged = QtCore.Signal(QtWidgets.QWidget, QtWidgets.QWidget)
    _SIGNATURES: ClassVar = {
        "startupCompleted": [""],
        "renderPaused": ["bool"],
        "lastWindowClosed": [""],
        "aboutToQuit": [""],
        "focusChanged": ["QWidget*,QWidget*"],
    }

    def __init__(self, core: SlicerApp, testing: bool) -> None:
        super().__init__()
        self._core, self._testing = core, testing
        self._layouts: Any = None
        self._window: Any = None
        self._io = qSlicerCoreIOManager(core)
        self._manager = qSlicerModuleManager()
        self._folder = tempfile.TemporaryDirectory(prefix="RenalCLIP-")
        self._qt = QtWidgets.QApplication.instance()
        self._qt.aboutToQuit.connect(self.aboutToQuit)
        self._qt.focusChanged.connect(self.focusChanged)

    temporaryPath = QtCore.Property(str, lambda self: self._folder.name)
    applicationName = QtCore.Property(str, lambda self: self._qt.applicationName)
    applicationVersion = QtCore.Property(str, lambda self: self._version())
    majorVersion = QtCore.Property(int, lambda self: int(self._version().split(".")[0]))
    minorVersion = QtCore.Property(int, lambda self: int(self._version().split(".")[1]))
    documentationBaseUrl = QtCore.Property(str, lambda self: "https://slicer.readthedocs.io/")

    def _version(self) -> str:
        from importlib.metadata import version

        return version("slicer-core")

    def mrmlScene(self) -> slicer.vtkMRMLScene:
        return self._core.scene

    def applicationLogic(self) -> slicer.vtkSlicerApplicationLogic:
        return self._core.app_logic

    def moduleLogic(self, moduleName: str) -> Any:
        return self._core.app_logic.GetModuleLogic(moduleName)

    def moduleManager(self) -> qSlicerModuleManager:
        return self._manager

    def coreIOManager(self) -> qSlicerCoreIOManager:
        return self._io

    def ioManager(self) -> qSlicerCoreIOManager:
        return self._io

    def layoutManager(self) -> Any:
        return self._layouts

    def testingEnabled(self) -> bool:
        return self._testing

    def settings(self) -> QtCore.QSettings:
        return QtCore.QSettings()

    def userSettings(self) -> QtCore.QSettings:
        return QtCore.QSettings()

    def revisionUserSettings(self) -> QtCore.QSettings:
        return QtCore.QSettings()

    def startupEnvironment(self) -> QtCore.QProcessEnvironment:
        return QtCore.QProcessEnvironment.systemEnvironment()

    def moduleDocumentationUrl(self, moduleName: str) -> str:
        return self.documentationBaseUrl

    @QtCore.Slot(bool)
    def setRenderPaused(self, pause: bool) -> None:
        if self._layouts is not None:
            self._layouts.setRenderPaused(pause)
        self.renderPaused.emit(pause)

    @QtCore.Slot()
    def pauseRender(self) -> None:
        self.setRenderPaused(True)

    @QtCore.Slot()
    def resumeRender(self) -> None:
        self.setRenderPaused(False)

    def processEvents(self, *_: Any) -> None:
        self._qt.processEvents()

    def topLevelWidgets(self) -> tuple[QtWidgets.QWidget, ...]:
        return tuple(self._qt.topLevelWidgets())

    def activeWindow(self) -> Any:
        return self._qt.activeWindow()

    def focusWidget(self) -> Any:
        return self._qt.focusWidget()

    def clipboard(self) -> QtGui.QClipboard:
        return self._qt.clipboard()

    def palette(self, *_: Any) -> QtGui.QPalette:
        return self._qt.palette()

    def keyboardModifiers(self) -> Any:
        return self._qt.keyboardModifiers()

    def setOverrideCursor(self, cursor: Any) -> None:
        self._qt.setOverrideCursor(cursor)

    def restoreOverrideCursor(self) -> None:
        self._qt.restoreOverrideCursor()

    def exit(self, status: int = 0) -> None:
        self._qt.exit(status)

    def quit(self) -> None:
        self._qt.quit()


def own_modules(core: SlicerApp) -> dict[str, qSlicerLoadableModule]:
    """Slicer's modules whose logic is here, by lower-case name."""
    logics = {
        "Colors": core.color_logic,
        "Data": core.data_logic,
        "Markups": core.markups_logic._logic,
        "Segmentations": core.segmentations_logic,
        "SubjectHierarchy": core.subject_hierarchy_logic,
        "Terminologies": core.terminologies_logic,
        "VolumeRendering": core.app_logic.GetModuleLogic("VolumeRendering"),
        "Volumes": core.volumes_logic,
    }
    return {name.lower(): qSlicerLoadableModule(name, logic) for name, logic in logics.items()}
