"""Layouts, what the slice views show, and jumping to a point."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import slicer

from RenalCLIPCore.review import Point

from .SceneMarks import rasFromLps

PHASES_LAYOUT = 5201
VIEW_GROUP = 52
COLOURS = {"A": "#C0504D", "V": "#4F81BD", "N": "#7F7F7F", "D": "#9BBB59"}
PLANES = ("Red", "Green", "Yellow")
MAP_COLOURS = "vtkMRMLColorTableNodeIron"


def viewName(phase: str) -> str:
    """The slice view of a phase."""
    return f"Renal{phase}"


class SceneViews:
    """Shows the phases side by side, or one phase in three planes and 3-D."""

    def showPhases(self, nodes: Mapping[str, Any]) -> None:
        """A, V, N and D in linked axial views."""
        self._register()
        slicer.app.layoutManager().setLayout(PHASES_LAYOUT)
        for phase in COLOURS:
            self._setBackground(viewName(phase), nodes.get(phase))
            self._link(viewName(phase))

    def showPlanes(self, node: Any) -> None:
        """Axial, sagittal, coronal and 3-D views of one volume."""
        slicer.app.layoutManager().setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)
        for name in PLANES:
            self._setBackground(name, node)
            self._link(name)

    def fit(self) -> None:
        """Fit the slices to what they show."""
        for name in self._names():
            self._widget(name).sliceLogic().FitSliceToAll()

    def jump(self, lps: Point) -> None:
        """Centre every slice view on a point."""
        ras = rasFromLps(lps)
        for name in self._names():
            self._widget(name).mrmlSliceNode().JumpSliceByCentering(*ras)

    def centreSurfaces(self) -> None:
        """Bring what the 3-D views hold into their middle."""
        manager = slicer.app.layoutManager()
        for number in range(int(manager.threeDViewCount)):
            manager.threeDWidget(number).threeDView().resetCamera(False, True, True)  # the direction stays

    def showMap(self, node: Any, opacity: float) -> None:
        """Lay a map over every slice view, or none."""
        for name in self._names():
            composite = self._widget(name).mrmlSliceCompositeNode()
            composite.SetForegroundVolumeID(node.GetID() if node is not None else None)
            composite.SetForegroundOpacity(opacity if node is not None else 0.0)

    def loadMap(self, file: str, name: str, old: Any) -> Any:
        """Load an explanation map (0 to 1), in the place of an older one of that name."""
        if old is not None:
            slicer.mrmlScene.RemoveNode(old)
        node = slicer.util.loadVolume(file, {"name": name, "show": False})
        node.CreateDefaultDisplayNodes()
        display = node.GetDisplayNode()
        display.SetAndObserveColorNodeID(MAP_COLOURS)
        display.AutoWindowLevelOff()
        display.SetWindowLevelMinMax(0.0, 1.0)
        display.SetThreshold(0.15, 1.0)
        display.ApplyThresholdOn()
        return node

    def _register(self) -> None:
        layouts = slicer.app.layoutManager().layoutLogic().GetLayoutNode()
        if not layouts.IsLayoutDescription(PHASES_LAYOUT):
            layouts.AddLayoutDescription(PHASES_LAYOUT, _description())

    def _names(self) -> list[str]:
        return list(slicer.app.layoutManager().sliceViewNames())

    def _widget(self, name: str) -> Any:
        return slicer.app.layoutManager().sliceWidget(name)

    def _setBackground(self, name: str, node: Any) -> None:
        widget = self._widget(name)
        if widget is not None:
            composite = widget.mrmlSliceCompositeNode()
            composite.SetBackgroundVolumeID(node.GetID() if node is not None else None)

    def _link(self, name: str) -> None:
        widget = self._widget(name)
        if widget is not None:
            widget.mrmlSliceCompositeNode().SetLinkedControl(1)
            widget.mrmlSliceCompositeNode().SetHotLinkedControl(1)


def _description() -> str:
    def view(phase: str) -> str:
        return (
            f'<item><view class="vtkMRMLSliceNode" singletontag="{viewName(phase)}">'
            '<property name="orientation" action="default">Axial</property>'
            f'<property name="viewlabel" action="default">{phase}</property>'
            f'<property name="viewcolor" action="default">{COLOURS[phase]}</property>'
            f'<property name="viewgroup" action="default">{VIEW_GROUP}</property>'
            "</view></item>"
        )

    rows = [f'<item><layout type="horizontal" split="true">{view(a)}{view(b)}</layout></item>' for a, b in ("AV", "ND")]
    return f'<layout type="vertical" split="true">{"".join(rows)}</layout>'
