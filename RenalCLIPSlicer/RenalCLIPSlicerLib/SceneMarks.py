"""The centre point and the region of interest as markups. Positions come and go in LPS; here alone they become RAS."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import slicer
import vtk

from RenalCLIPCore.review import Point

from .Parameters import Parameters

REGION_MM = (140.0, 140.0, 160.0)
CENTRE_COLOUR, REGION_COLOUR = (1.0, 0.85, 0.2), (0.55, 0.75, 1.0)
PLACE_NAME = "New centre"


class SceneMarks:
    """Shows the centre and its region, and says when a person moves the point.

    Args:
        parameters: The module's settings in the scene.
    """

    def __init__(self, parameters: Parameters) -> None:
        self.parameters = parameters
        self.moved: Callable[[Point], None] = lambda point: None
        self.placingEnded: Callable[[], None] = lambda: None
        self.defer: Callable[[Callable[[], None]], None] = lambda action: action()
        self._observed: list[tuple[Any, int]] = []
        self._node: Any = None
        self._placing: Any = None
        self._interaction: tuple[Any, int] | None = None
        self._updating = False

    def show(self, lps: Point, label: str, locked: bool) -> None:
        """Put the point and the region at a position."""
        point = self._centreNode()
        self._updating = True
        try:
            if point.GetNumberOfControlPoints() == 0:
                point.AddControlPoint(vtk.vtkVector3d(*rasFromLps(lps)))
            elif self.position() is None or max(abs(a - b) for a, b in zip(self.position(), lps)) > 1e-6:
                point.SetNthControlPointPosition(0, *rasFromLps(lps))
            point.SetNthControlPointLabel(0, label)
            point.SetLocked(locked)
            point.GetDisplayNode().SetVisibility(True)
        finally:
            self._updating = False
        if self.parameters.region is None:
            self.defer(self._showRegion)  # another node with its displays is enough for a turn of its own
        else:
            self._placeRegion(lps)

    def position(self) -> Point | None:
        """Where the point lies, or None when it is undefined or gone."""
        node = self.parameters.centre
        if node is None or node.GetNumberOfDefinedControlPoints() == 0:
            return None
        ras = [0.0, 0.0, 0.0]
        node.GetNthControlPointPositionWorld(0, ras)
        return lpsFromRas(ras)

    def hide(self) -> None:
        """Show neither."""
        for node in (self.parameters.centre, self.parameters.region):
            if node is not None and node.GetDisplayNode() is not None:
                node.GetDisplayNode().SetVisibility(False)

    def startPlacing(self) -> None:
        """The next click in a view chooses the centre; the present point stays until then."""
        self.stopPlacing()
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", PLACE_NAME)
        node.SetSaveWithScene(False)
        node.CreateDefaultDisplayNodes()
        node.AddObserver(slicer.vtkMRMLMarkupsNode.PointPositionDefinedEvent, self._onPlaced)
        self._placing = node
        logic = slicer.app.applicationLogic()
        logic.GetSelectionNode().SetReferenceActivePlaceNodeClassName("vtkMRMLMarkupsFiducialNode")
        logic.GetSelectionNode().SetActivePlaceNodeID(node.GetID())
        interaction = logic.GetInteractionNode()
        interaction.SetPlaceModePersistence(0)
        interaction.SetCurrentInteractionMode(slicer.vtkMRMLInteractionNode.Place)
        event = slicer.vtkMRMLInteractionNode.InteractionModeChangedEvent
        self._interaction = (interaction, interaction.AddObserver(event, self._onMode))

    def stopPlacing(self) -> None:
        """Forget a placing that was begun."""
        node, self._placing = self._placing, None
        observed, self._interaction = self._interaction, None
        if observed is not None:
            observed[0].RemoveObserver(observed[1])
        if node is not None:
            interaction = slicer.app.applicationLogic().GetInteractionNode()
            interaction.SetCurrentInteractionMode(slicer.vtkMRMLInteractionNode.ViewTransform)
            if slicer.mrmlScene.IsNodePresent(node):
                slicer.mrmlScene.RemoveNode(node)

    @property
    def placing(self) -> bool:
        """Whether the next click in a view chooses the centre."""
        return self._placing is not None

    def release(self) -> None:
        """Observe nothing any more."""
        for node, tag in self._observed:
            node.RemoveObserver(tag)
        self._observed, self._node = [], None

    def _centreNode(self) -> Any:
        node = self.parameters.centre
        if node is None:
            node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "Lesion centre")
            node.SetMaximumNumberOfControlPoints(1)
            node.CreateDefaultDisplayNodes()
            display = node.GetDisplayNode()
            display.SetSelectedColor(*CENTRE_COLOUR)
            display.SetGlyphScale(2.5)
            display.SetTextScale(3.0)
            self.parameters.centre = node
        if node is not self._node:
            self.release()
            self._node = node
            events = slicer.vtkMRMLMarkupsNode
            self._observed = [
                (node, node.AddObserver(events.PointEndInteractionEvent, self._onDropped)),
                (node, node.AddObserver(events.PointModifiedEvent, self._onMoving)),
            ]
        return node

    def _showRegion(self) -> None:
        node, position = self.parameters.centre, self.position()
        if position is not None and node.GetDisplayNode().GetVisibility():
            self._placeRegion(position)

    def _placeRegion(self, lps: Point) -> None:
        node = self.parameters.region
        if node is None:
            node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "Region of interest")
            node.CreateDefaultDisplayNodes()
            node.SetLocked(True)
            display = node.GetDisplayNode()
            display.SetSelectedColor(*REGION_COLOUR)
            display.SetFillVisibility(False)
            display.SetHandlesInteractive(False)
            display.SetPointLabelsVisibility(False)
            display.SetPropertiesLabelVisibility(False)
            display.SetGlyphScale(0.0)
            display.SetOpacity(0.6)
            self.parameters.region = node
        node.SetSize(*REGION_MM)
        node.SetCenter(vtk.vtkVector3d(*rasFromLps(lps)))
        node.GetDisplayNode().SetVisibility(True)

    def _onMoving(self, *_: Any) -> None:
        position = self.position()
        if not self._updating and position is not None:
            self._placeRegion(position)

    def _onDropped(self, *_: Any) -> None:
        position = self.position()
        if not self._updating and position is not None:
            self.moved(position)

    def _onPlaced(self, node: Any, *_: Any) -> None:
        if node is not self._placing or node.GetNumberOfDefinedControlPoints() == 0:
            return
        ras = [0.0, 0.0, 0.0]
        node.GetNthControlPointPositionWorld(0, ras)
        self.defer(lambda: self._takePlaced(lpsFromRas(ras)))  # the view still works on the node that will go

    def _onMode(self, interaction: Any, *_: Any) -> None:
        if interaction.GetCurrentInteractionMode() != slicer.vtkMRMLInteractionNode.Place:
            self.defer(self._endUnplaced)  # a click ends the mode too, before or after it tells of its point

    def _endUnplaced(self) -> None:
        node = self._placing
        if node is None or node.GetNumberOfDefinedControlPoints():
            return
        interaction = slicer.app.applicationLogic().GetInteractionNode()
        if interaction.GetCurrentInteractionMode() != slicer.vtkMRMLInteractionNode.Place:
            self.placingEnded()

    def _takePlaced(self, position: Point) -> None:
        if self.placing:
            self.placingEnded()
            self.moved(position)


def rasFromLps(point: Point) -> tuple[float, float, float]:
    """Slicer's frame from the core's."""
    x, y, z = point
    return -x, -y, z


def lpsFromRas(point: Any) -> Point:
    """The core's frame from Slicer's."""
    x, y, z = (float(value) for value in point)
    return -x, -y, z
