"""Stand-ins for Slicer's MRML widgets."""

from __future__ import annotations

from typing import Any, ClassVar

import slicer
from PySide6 import QtCore, QtWidgets
from vtkmodules.vtkCommonCore import VTK_OBJECT, vtkObject

from . import pythonqt
from .pythonqt import StandIn, stored

pythonqt.install()


class qMRMLWidget(StandIn, QtWidgets.QWidget):
    """A widget that knows a scene."""

    mrmlSceneChanged = QtCore.Signal(object)
    _SIGNATURES: ClassVar = {"mrmlSceneChanged": ["vtkMRMLScene*"]}

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._scene: Any = None

    def mrmlScene(self) -> Any:
        return self._scene

    def setMRMLScene(self, scene: Any) -> None:
        if scene is not self._scene:
            self._scene = scene
            self.mrmlSceneChanged.emit(scene)


class SceneObserver:
    """Tells of nodes that come, go and change their names, as long as it is kept.

    Args:
        scene: The scene.
        changed: Called with the node that is about to be removed, or None for any other change.
    """

    def __init__(self, scene: Any, changed: Any) -> None:
        self._scene, self._changed = scene, changed
        events = (slicer.vtkMRMLScene.NodeAddedEvent, slicer.vtkMRMLScene.NodeRemovedEvent)
        ends = (slicer.vtkMRMLScene.EndBatchProcessEvent, slicer.vtkMRMLScene.EndCloseEvent)
        self._tags = [scene.AddObserver(event, lambda *_: self._changed(None)) for event in (*events, *ends)]
        observe = slicer.vtkMRMLScene.NodeAboutToBeRemovedEvent

        @_with_object
        def going(caller: Any, event: str, node: vtkObject) -> None:
            self._changed(node)

        self._tags.append(scene.AddObserver(observe, going))

    def stop(self) -> None:
        """Stop observing."""
        for tag in self._tags:
            self._scene.RemoveObserver(tag)
        self._tags = []


def _with_object(function: Any) -> Any:
    function.CallDataType = VTK_OBJECT
    return function


class qMRMLNodeComboBox(StandIn, QtWidgets.QWidget):
    """Chooses a node of the scene by its class."""

    currentNodeChanged = QtCore.Signal(object)
    currentNodeIDChanged = QtCore.Signal(str)
    nodeActivated = QtCore.Signal(object)
    nodeAdded = QtCore.Signal(object)
    nodeAddedByUser = QtCore.Signal(object)
    nodeAboutToBeRemoved = QtCore.Signal(object)
    currentNodeRenamed = QtCore.Signal(str)
    _SIGNATURES: ClassVar = {
        "currentNodeChanged": ["vtkMRMLNode*", "bool"],
        "currentNodeIDChanged": ["QString"],
        "nodeActivated": ["vtkMRMLNode*"],
        "nodeAdded": ["vtkMRMLNode*"],
        "nodeAddedByUser": ["vtkMRMLNode*"],
        "nodeAboutToBeRemoved": ["vtkMRMLNode*"],
        "currentNodeRenamed": ["QString"],
    }

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        row = QtWidgets.QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        self._combo = QtWidgets.QComboBox(self)
        self._combo.setSizePolicy(QtWidgets.QSizePolicy.Policy.Expanding, QtWidgets.QSizePolicy.Policy.Fixed)
        self._combo.setMinimumContentsLength(8)
        row.addWidget(self._combo)
        self._combo.activated.connect(self._choose)
        self._scene: Any = None
        self._observer: SceneObserver | None = None
        self._current: str | None = None
        self._attributes: list[tuple[str, str, Any]] = []
        self._leaving: str | None = None
        self.destroyed.connect(lambda *_: self._observer.stop() if self._observer else None)

    showHidden = stored(bool, "showHidden", False)
    baseName = stored(str, "baseName", "")
    editEnabled = stored(bool, "editEnabled", False)
    selectNodeUponCreation = stored(bool, "selectNodeUponCreation", True)
    interactionNodeSingletonTag = stored(str, "interactionNodeSingletonTag", "")
    sizeAdjustPolicy = stored(int, "sizeAdjustPolicy", 0)

    def _get_kept(self, name: str, default: Any) -> Any:
        return self.__dict__.get("_" + name, default)

    def _keep(self, name: str, value: Any) -> None:
        self.__dict__["_" + name] = value
        self._refill()

    nodeTypes = QtCore.Property(
        "QStringList", lambda self: self._get_kept("nodeTypes", []), lambda self, v: self._keep("nodeTypes", list(v))
    )
    hideChildNodeTypes = QtCore.Property(
        "QStringList", lambda self: self._get_kept("hideChild", []), lambda self, v: self._keep("hideChild", list(v))
    )
    showChildNodeTypes = QtCore.Property(
        bool, lambda self: self._get_kept("showChild", True), lambda self, v: self._keep("showChild", v)
    )
    noneEnabled = QtCore.Property(
        bool, lambda self: self._get_kept("none", False), lambda self, v: self._keep("none", v)
    )
    noneDisplay = QtCore.Property(
        str, lambda self: self._get_kept("noneWords", "None"), lambda self, v: self._keep("noneWords", v)
    )
    addEnabled = QtCore.Property(bool, lambda self: self._get_kept("add", True), lambda self, v: self._keep("add", v))
    removeEnabled = QtCore.Property(
        bool, lambda self: self._get_kept("remove", True), lambda self, v: self._keep("remove", v)
    )
    renameEnabled = QtCore.Property(
        bool, lambda self: self._get_kept("rename", False), lambda self, v: self._keep("rename", v)
    )
    currentNodeID = QtCore.Property(str, lambda self: self._current or "", lambda self, v: self.setCurrentNodeID(v))

    def mrmlScene(self) -> Any:
        return self._scene

    def setMRMLScene(self, scene: Any) -> None:
        if self._observer is not None:
            self._observer.stop()
            self._observer = None
        self._scene = scene
        if scene is not None:
            self._observer = SceneObserver(scene, self._scene_changed)
        self._refill()

    def addAttribute(self, nodeType: str, attributeName: str, attributeValue: Any = None) -> None:
        self._attributes.append((nodeType, attributeName, attributeValue))
        self._refill()

    def removeAttribute(self, nodeType: str, attributeName: str) -> None:
        self._attributes = [item for item in self._attributes if item[:2] != (nodeType, attributeName)]
        self._refill()

    def currentNode(self) -> Any:
        return self._scene.GetNodeByID(self._current) if self._scene is not None and self._current else None

    def nodeCount(self) -> int:
        return len(self._nodes())

    def nodeFromIndex(self, index: int) -> Any:
        nodes = self._nodes()
        return nodes[index] if 0 <= index < len(nodes) else None

    def setCurrentNode(self, node: Any) -> None:
        if isinstance(node, str):
            self.setCurrentNodeID(node)
        else:
            self._select(node)

    @QtCore.Slot(str)
    def setCurrentNodeID(self, nodeID: str) -> None:
        self._select(self._scene.GetNodeByID(nodeID) if self._scene is not None and nodeID else None)

    @QtCore.Slot(int)
    def setCurrentNodeIndex(self, index: int) -> None:
        self._select(self.nodeFromIndex(index))

    def addNode(self, nodeType: str = "") -> Any:
        kind = nodeType or self.nodeTypes[0]
        node = self._scene.AddNewNodeByClass(kind, self.baseName or self._scene.GetTagByClassName(kind))
        if self.selectNodeUponCreation:
            self._select(node)
        self.nodeAddedByUser.emit(node)
        return node

    @QtCore.Slot()
    def removeCurrentNode(self) -> None:
        node = self.currentNode()
        if node is not None:
            self._scene.RemoveNode(node)

    @QtCore.Slot()
    def renameCurrentNode(self) -> None:
        node = self.currentNode()
        if node is not None:
            name, accepted = QtWidgets.QInputDialog.getText(self, "Rename", "New name:", text=node.GetName())
            if accepted and name:
                node.SetName(name)
                self._refill()
                self.currentNodeRenamed.emit(name)

    def _scene_changed(self, leaving: Any) -> None:
        if leaving is not None:
            self._leaving = leaving.GetID()
            self.nodeAboutToBeRemoved.emit(leaving)
        self._refill()
        self._leaving = None

    def _nodes(self) -> list[Any]:
        if self._scene is None or self._scene.IsClosing():
            return []
        found = []
        for kind in self.nodeTypes:
            for index in range(self._scene.GetNumberOfNodesByClass(kind)):
                node = self._scene.GetNthNodeByClass(index, kind)
                if self._suits(node, kind) and node not in found:
                    found.append(node)
        return found

    def _suits(self, node: Any, kind: str) -> bool:
        if node.GetID() == self._leaving or (node.GetHideFromEditors() and not self.showHidden):
            return False
        if not self.showChildNodeTypes and node.GetClassName() != kind:
            return False
        if any(node.IsA(hidden) for hidden in self.hideChildNodeTypes):
            return False
        wanted = [item for item in self._attributes if node.IsA(item[0])]
        return all(node.GetAttribute(n) == str(v) if v is not None else node.GetAttribute(n) for _, n, v in wanted)

    def _refill(self) -> None:
        nodes = self._nodes()
        self._combo.blockSignals(True)
        self._combo.clear()
        if self.noneEnabled or not nodes:
            self._combo.addItem(self.noneDisplay if self.noneEnabled else f"Select a {self._kind_words()}", "")
        for node in nodes:
            self._combo.addItem(node.GetName(), node.GetID())
        self._add_actions()
        self._combo.blockSignals(False)
        known = [node.GetID() for node in nodes]
        if self._current in known:
            self._combo.setCurrentIndex(self._combo.findData(self._current))
        else:
            first = None if self.noneEnabled or not nodes else nodes[0]
            self._select(first)

    def _kind_words(self) -> str:
        tag = self._scene.GetTagByClassName(self.nodeTypes[0]) if self._scene is not None and self.nodeTypes else None
        return tag or "node"

    def _add_actions(self) -> None:
        if self.addEnabled:
            self._combo.addItem(f"Create new {self._kind_words()}", "+")
        if self.renameEnabled and self._current:
            self._combo.addItem("Rename current node", "=")
        if self.removeEnabled and self._current:
            self._combo.addItem("Delete current node", "-")

    def _choose(self, index: int) -> None:
        data = self._combo.itemData(index)
        self._combo.setCurrentIndex(max(0, self._combo.findData(self._current or "")))
        actions = {"+": self.addNode, "=": self.renameCurrentNode, "-": self.removeCurrentNode}
        if data in actions:
            actions[data]()
        else:
            self.setCurrentNodeID(data)
            self.nodeActivated.emit(self.currentNode())

    def _select(self, node: Any) -> None:
        new = node.GetID() if node is not None and node in self._nodes() else None
        if new is not None or self.noneEnabled or not self._nodes():
            changed = new != self._current
            self._current = new
            self._combo.setCurrentIndex(max(0, self._combo.findData(new or "")))
            if changed:
                self.currentNodeChanged.emit(node if new else None)
                self.currentNodeIDChanged.emit(new or "")
