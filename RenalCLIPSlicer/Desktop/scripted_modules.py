"""Loading and showing a scripted module as Slicer does, and the base classes such a module derives from."""

from __future__ import annotations

import importlib
import importlib.util
import logging
import sys
import unittest
from pathlib import Path
from typing import Any, ClassVar

import slicer
from PySide6 import QtCore, QtGui, QtWidgets

from .mrml_widgets import qMRMLWidget
from .pythonqt import StandIn, stored

_ICON_ENDINGS = (".svg", ".png")


class qSlicerScriptedLoadableModule(StandIn, QtCore.QObject):
    """What a module tells about itself; ``parent`` of the module's Python class."""

    title = stored(str, "title", "")
    categories = stored("QStringList", "categories", [])
    contributors = stored("QStringList", "contributors", [])
    dependencies = stored("QStringList", "dependencies", [])
    associatedNodeTypes = stored("QStringList", "associatedNodeTypes", [])
    helpText = stored(str, "helpText", "")
    acknowledgementText = stored(str, "acknowledgementText", "")
    hidden = stored(bool, "hidden", False)
    index = stored(int, "index", -1)
    icon = stored(QtGui.QIcon, "icon", QtGui.QIcon())
    path = QtCore.Property(str, lambda self: str(self._path))
    name = QtCore.Property(str, lambda self: self._path.stem)

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self._representation: qSlicerScriptedLoadableModuleWidget | None = None

    def mrmlScene(self) -> Any:
        return slicer.mrmlScene

    def logic(self) -> Any:
        return None

    def widgetRepresentation(self) -> qSlicerScriptedLoadableModuleWidget:
        if self._representation is None:
            self._representation = self.createNewWidgetRepresentation()
        return self._representation

    def createNewWidgetRepresentation(self) -> qSlicerScriptedLoadableModuleWidget:
        made = qSlicerScriptedLoadableModuleWidget(self.name)
        made.setMRMLScene(slicer.mrmlScene)
        made._set_up()
        return made


class qSlicerScriptedLoadableModuleWidget(StandIn, QtWidgets.QWidget):
    """The panel of a module; ``parent`` of the module's Python widget."""

    mrmlSceneChanged = QtCore.Signal(object)
    _SIGNATURES: ClassVar = {"mrmlSceneChanged": ["vtkMRMLScene*"]}

    def __init__(self, name: str) -> None:
        super().__init__()
        self._module = name
        self._widget: Any = None
        self.setObjectName(name + "ModuleWidget")
        self.setLayout(QtWidgets.QVBoxLayout())

    moduleName = QtCore.Property(str, lambda self: self._module)

    def _set_up(self) -> None:
        cls = getattr(sys.modules[self._module], self._module + "Widget")
        self._widget = cls(self)
        setattr(slicer.modules, self._module + "Widget", self._widget)
        self._widget.setup()

    def setMRMLScene(self, scene: Any) -> None:
        self.mrmlSceneChanged.emit(scene)

    def reload(self) -> None:
        self._set_up()

    def self(self) -> Any:
        return self._widget

    def _enter(self) -> None:
        if hasattr(self._widget, "enter"):
            self._widget.enter()

    def _exit(self) -> None:
        if hasattr(self._widget, "exit"):
            self._widget.exit()


def load_module(path: Path) -> qSlicerScriptedLoadableModule:
    """Make the module of a file known to the application; its folder goes to the front of ``sys.path``.

    Raises:
        Whatever the module raises.
    """
    name, folder = path.stem, str(path.parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python module.")
    python_module = importlib.util.module_from_spec(spec)
    sys.modules[name] = python_module
    spec.loader.exec_module(python_module)
    shown = qSlicerScriptedLoadableModule(path)
    setattr(slicer.modules, name.lower(), shown)
    setattr(slicer.modules, name + "Instance", getattr(python_module, name)(shown))
    manager = slicer.app.moduleManager()
    manager._modules[name] = shown
    manager.moduleLoaded.emit(name)
    return shown


def unload_module(shown: qSlicerScriptedLoadableModule) -> None:
    """Let the module clean up and forget it."""
    manager = slicer.app.moduleManager()
    manager.moduleAboutToBeUnloaded.emit(shown.name)
    manager._modules.pop(shown.name, None)
    for attribute in (shown.name.lower(), shown.name + "Instance", shown.name + "Widget"):
        if hasattr(slicer.modules, attribute):
            delattr(slicer.modules, attribute)
    if shown._representation is not None:
        shown._representation.setParent(None)
        shown._representation.deleteLater()


class ScriptedLoadableModule:
    """Base of a module's description."""

    def __init__(self, parent: Any) -> None:
        super().__init__()
        self.parent = parent
        self.moduleName = type(self).__name__
        icons = Path(parent.path).parent / "Resources" / "Icons"
        found = [icons / (self.moduleName + ending) for ending in _ICON_ENDINGS]
        icon = next((file for file in found if file.is_file()), None)
        if icon is not None:
            parent.icon = QtGui.QIcon(str(icon))
        slicer.selfTests[self.moduleName] = self.runTest

    def resourcePath(self, filename: str) -> str:
        return str(Path(self.parent.path).parent / "Resources" / filename)

    def getDefaultModuleDocumentationLink(self, docPage: str | None = None) -> str:
        url = (
            slicer.app.documentationBaseUrl + docPage if docPage else slicer.app.moduleDocumentationUrl(self.moduleName)
        )
        return f'<p>For more information, see the <a href="{url}">online documentation</a>.</p>'

    def runTest(self, msec: int = 100, **keywords: Any) -> None:
        case = getattr(sys.modules[type(self).__module__], self.moduleName + "Test")()
        case.messageDelay = msec
        case.runTest(**keywords)


class ScriptedLoadableModuleWidget:
    """Base of a module's panel."""

    def __init__(self, parent: Any = None) -> None:
        super().__init__()
        self.moduleName = type(self).__name__.removesuffix("Widget")
        self.developerMode = False
        self.parent = parent
        if parent is None:
            self.parent = qMRMLWidget()
            self.parent.setLayout(QtWidgets.QVBoxLayout())
            self.parent.setMRMLScene(slicer.mrmlScene)
        self.layout = self.parent.layout()
        if parent is None:
            self.setup()
            self.parent.show()
        slicer.app.moduleManager().connect("moduleAboutToBeUnloaded(QString)", self._onModuleAboutToBeUnloaded)

    def resourcePath(self, filename: str) -> str:
        return str(Path(slicer.util.modulePath(self.moduleName)).parent / "Resources" / filename)

    def setup(self) -> None:
        """Make the panel; extended by the module."""

    def cleanup(self) -> None:
        """Called before the module goes."""

    def onReload(self) -> None:
        slicer.util.reloadScriptedModule(self.moduleName)

    def _onModuleAboutToBeUnloaded(self, moduleName: str) -> None:
        if moduleName == self.moduleName:
            self.cleanup()
            manager = slicer.app.moduleManager()
            manager.disconnect("moduleAboutToBeUnloaded(QString)", self._onModuleAboutToBeUnloaded)


class ScriptedLoadableModuleLogic:
    """Base of a module's logic: keeps the module's parameter node."""

    def __init__(self, parent: Any = None) -> None:
        super().__init__()
        self.moduleName = type(self).__name__.removesuffix("Logic")
        self.isSingletonParameterNode = True

    def getParameterNode(self) -> Any:
        if self.isSingletonParameterNode:
            node = slicer.mrmlScene.GetSingletonNode(self.moduleName, "vtkMRMLScriptedModuleNode")
            if node is not None:
                if node.GetAttribute("ModuleName") != self.moduleName:
                    node.SetAttribute("ModuleName", self.moduleName)  # closing a scene takes it away
                return node
        else:
            known = self.getAllParameterNodes()
            if known:
                return known[0]
        return slicer.mrmlScene.AddNode(self.createParameterNode())

    def getAllParameterNodes(self) -> list[Any]:
        nodes = slicer.util.getNodesByClass("vtkMRMLScriptedModuleNode")
        return [node for node in nodes if node.GetAttribute("ModuleName") == self.moduleName]

    def createParameterNode(self) -> Any:
        node = slicer.mrmlScene.CreateNodeByClass("vtkMRMLScriptedModuleNode")
        node.UnRegister(None)
        if self.isSingletonParameterNode:
            node.SetSingletonTag(self.moduleName)
        node.SetAttribute("ModuleName", self.moduleName)
        node.SetName(slicer.mrmlScene.GenerateUniqueName(self.moduleName))
        return node


class ScriptedLoadableModuleTest(unittest.TestCase):
    """Base of a module's self-test."""

    messageDelay = 50

    def delayDisplay(self, message: str, requestedDelay: int | None = None, msec: int | None = None) -> None:
        logging.info(message)
        slicer.app.processEvents()

    def runTest(self, **keywords: Any) -> None:
        """Run the self-test; extended by the module."""
