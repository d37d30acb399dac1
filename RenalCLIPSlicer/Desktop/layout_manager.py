"""The stand-in for Slicer's layout manager: Slicer's own layout logic and descriptions, Qt splitters and our views."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import slicer
from PySide6 import QtCore, QtWidgets
from trame_slicer.core import SlicerApp
from trame_slicer.views import AbstractView, SliceView, ThreeDView
from vtkmodules.vtkCommonCore import vtkCommand, vtkObject

from .pythonqt import StandIn
from .view_widgets import qMRMLSliceWidget, qMRMLThreeDWidget

_GAP = 2


class qSlicerLayoutManager(StandIn, QtCore.QObject):
    """Shows the arrangement that the scene's layout node names.

    Args:
        core: Scene and logic.
        viewport: The widget that holds the views.
    """

    layoutChanged = QtCore.Signal(int)
    _SIGNATURES: ClassVar = {"layoutChanged": ["int"]}

    def __init__(self, core: SlicerApp, viewport: QtWidgets.QWidget) -> None:
        super().__init__(viewport)
        self._core, self._viewport = core, viewport
        self._column = QtWidgets.QVBoxLayout(viewport)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._slices: dict[str, qMRMLSliceWidget] = {}
        self._volumes: dict[str, qMRMLThreeDWidget] = {}
        self._shown: QtWidgets.QWidget | None = None
        self._description = ""
        self._logic = slicer.vtkMRMLLayoutLogic()
        self._logic.SetMRMLScene(core.scene)
        self._node = self._logic.GetLayoutNode()
        self._tag = self._node.AddObserver(vtkCommand.ModifiedEvent, self._follow)

    def layoutLogic(self) -> slicer.vtkMRMLLayoutLogic:
        return self._logic

    def _get_layout(self) -> int:
        return int(self._node.GetViewArrangement())

    @QtCore.Slot(int)
    def setLayout(self, newLayout: int) -> None:
        self._node.SetViewArrangement(int(newLayout))
        self._follow()

    layout = QtCore.Property(int, _get_layout, setLayout)
    threeDViewCount = QtCore.Property(int, lambda self: len(self._volumes))
    tableViewCount = QtCore.Property(int, lambda self: 0)
    plotViewCount = QtCore.Property(int, lambda self: 0)

    def mrmlScene(self) -> slicer.vtkMRMLScene:
        return self._core.scene

    def sliceViewNames(self) -> tuple[str, ...]:
        return tuple(self._slices)

    def sliceWidget(self, name: str) -> qMRMLSliceWidget | None:
        return self._slices.get(name)

    def threeDWidget(self, which: int | str) -> qMRMLThreeDWidget | None:
        if isinstance(which, str):
            return self._volumes.get(which)
        return list(self._volumes.values())[which] if 0 <= which < len(self._volumes) else None

    def viewWidgets(self) -> tuple[QtWidgets.QWidget, ...]:
        return (*self._slices.values(), *self._volumes.values())

    def viewWidget(self, node: Any) -> QtWidgets.QWidget | None:
        return {**self._slices, **self._volumes}.get(node.GetLayoutName())

    def mrmlSliceLogics(self) -> Any:
        return self._core.app_logic.GetSliceLogics()

    def mrmlViewLogics(self) -> Any:
        return self._core.app_logic.GetViewLogics()

    @QtCore.Slot()
    def resetSliceViews(self) -> None:
        for widget in self._slices.values():
            widget._view.fit_view_to_content()

    @QtCore.Slot()
    def resetThreeDViews(self) -> None:
        for widget in self._volumes.values():
            widget._view.reset_focal_point()
            widget._view.reset_camera()

    @QtCore.Slot(bool)
    def setRenderPaused(self, pause: bool) -> None:
        for widget in self.viewWidgets():
            widget.viewWidget()._pause(pause)

    @QtCore.Slot()
    def pauseRender(self) -> None:
        self.setRenderPaused(True)

    @QtCore.Slot()
    def resumeRender(self) -> None:
        self.setRenderPaused(False)

    def _close(self) -> None:
        self._node.RemoveObserver(self._tag)
        for widget in self.viewWidgets():
            widget.viewWidget()._close_view()

    def _follow(self, *_: Any) -> None:
        description = self._node.GetCurrentLayoutDescription() or ""
        if not description or description == self._description or self._core.scene.IsBatchProcessing():
            return
        self._description = description
        before, used = self._shown, []
        if before is not None:
            before.hide()
            self._column.removeWidget(before)
        self._shown = self._build(ElementTree.fromstring(description), used)
        self._put_away(before, used)
        self._column.addWidget(self._shown)
        self._shown.show()
        for widget in used:
            widget.show()
        self._column.activate()  # views have their sizes when this returns, as whoever fits slices next expects
        self._core.view_manager.set_current_view_ids([item.mrmlAbstractViewNode().GetSingletonTag() for item in used])
        self.layoutChanged.emit(self._get_layout())

    def _put_away(self, before: QtWidgets.QWidget | None, used: list[Any]) -> None:
        for widget in self.viewWidgets():
            if widget not in used:
                widget.hide()
                widget.setParent(self._viewport)
        if before is not None and before not in self.viewWidgets():
            before.deleteLater()

    def _build(self, element: Any, used: list[Any]) -> QtWidgets.QWidget:
        if element.tag == "view":
            widget = self._view(element)
            used.append(widget)
            return widget
        kind = element.get("type", "horizontal")
        children = [self._build(item[0], used) for item in element.findall("item")]
        if kind == "tab":
            tabs = QtWidgets.QTabWidget()
            for child in children:
                tabs.addTab(child, child.viewLabel)
            return tabs
        vertical = kind == "vertical"
        splitter = QtWidgets.QSplitter(QtCore.Qt.Orientation.Vertical if vertical else QtCore.Qt.Orientation.Horizontal)
        splitter.setHandleWidth(_GAP)
        splitter.setChildrenCollapsible(False)
        for item, child in zip(element.findall("item"), children, strict=True):
            splitter.addWidget(child)
            splitter.setStretchFactor(splitter.count() - 1, int(item.get("splitSize", "1")))
        splitter.setSizes([int(item.get("splitSize", "1000")) for item in element.findall("item")])
        return splitter

    def _view(self, element: Any) -> Any:
        kind, tag = element.get("class"), element.get("singletontag", "")
        made = {"vtkMRMLSliceNode": self._slice, "vtkMRMLViewNode": self._threed}
        if kind not in made:
            raise RuntimeError(f"A view of class {kind} is not to be had here.")
        widget, new = made[kind](tag)
        values = {item.get("name"): (item.text or "").strip() for item in element.findall("property")}
        _apply(widget.mrmlAbstractViewNode(), values, new)
        return widget

    def _slice(self, tag: str) -> tuple[Any, bool]:
        new = tag not in self._slices
        if new:
            with _quietly():
                view = _SliceView(self._core.scene, self._core.app_logic, tag)
            self._slices[tag] = qMRMLSliceWidget(view)
        return self._slices[tag], new

    def _threed(self, tag: str) -> tuple[Any, bool]:
        new = tag not in self._volumes
        if new:
            view = _ThreeDView(self._core.scene, self._core.app_logic, tag)
            self._volumes[tag] = qMRMLThreeDWidget(view)
        return self._volumes[tag], new


class _SliceView(SliceView):
    """Takes the slice node that the layout logic made, instead of adding another one with the same tag."""

    def set_scene(self, scene: slicer.vtkMRMLScene) -> None:
        self._image_first()
        AbstractView.set_scene(self, scene)
        self._logic.SetMRMLScene(scene)
        made = scene.GetSingletonNode(self.name, "vtkMRMLSliceNode")
        if made is not None:
            self._logic.SetSliceNode(made)
        self.set_view_node(made or self._logic.AddSliceNode(self.name))

    def _image_first(self) -> None:
        """Put the image under whatever displayable managers draw; they draw in the order of their coming."""
        self._render_manager.image_actor.SetVisibility(False)
        self._render_manager._AddSliceActorToRendererIfNeeded()


class _ThreeDView(ThreeDView):
    """Takes the view node that the layout logic made."""

    def set_scene(self, scene: slicer.vtkMRMLScene) -> None:
        AbstractView.set_scene(self, scene)
        self._logic.SetMRMLScene(scene)
        made = scene.GetSingletonNode(self.name, "vtkMRMLViewNode")
        self.set_view_node(made or self._logic.AddViewNode(self.name))


@contextmanager
def _quietly() -> Iterator[None]:
    """Without the warning of VTK 9.6 about the resize event that trame-slicer observes; it is sent by our widget."""
    before = vtkObject.GetGlobalWarningDisplay()
    vtkObject.GlobalWarningDisplayOff()
    try:
        yield
    finally:
        vtkObject.SetGlobalWarningDisplay(before)


def _apply(node: Any, values: dict[str, str], new: bool) -> None:
    from PySide6.QtGui import QColor

    if "viewlabel" in values:
        node.SetLayoutLabel(values["viewlabel"])
    if "viewgroup" in values:
        node.SetViewGroup(int(values["viewgroup"]))
    if "viewcolor" in values:
        colour = QColor(values["viewcolor"])
        node.SetLayoutColor(colour.redF(), colour.greenF(), colour.blueF())
    if new and "orientation" in values:
        node.SetOrientation(values["orientation"])
