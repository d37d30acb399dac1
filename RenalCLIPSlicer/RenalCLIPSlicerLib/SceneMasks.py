"""Kidney, tumour and cyst as a segmentation node with terminology, and back to the core's label map."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import slicer
import vtk

from .Parameters import Parameters
from .SceneLabels import LABEL_TAG, LABELS, labelled, labelWords
from .SceneVolumes import hardenedSegmentation


class SceneMasks:
    """The case's segmentation node.

    Args:
        parameters: The module's settings in the scene.
        phase: The volume of a phase, or None.
    """

    def __init__(self, parameters: Parameters, phase: Callable[[str], Any]) -> None:
        self.parameters = parameters
        self._phase = phase

    def loadSteps(self, file: str, reference: Any, name: str) -> list[Callable[[], None]]:
        """Showing a label map as a segmentation, in steps so that the window stays responsive.

        It takes the place of the segmentation that the case had from the model; a person's own stays as it is.
        """
        read: list[Any] = []
        values: list[int] = []

        def readFile() -> None:
            labelmap = slicer.util.loadLabelVolume(file, {"name": "RenalCLIP labels", "show": False})
            labelmap.SetSaveWithScene(False)
            read.append(labelmap)

        def crop() -> None:
            if slicer.mrmlScene.IsNodePresent(read[0]):
                values.extend(_cropToLabels(read[0]))

        def importLabels() -> None:
            labelmap = read.pop()
            if slicer.mrmlScene.IsNodePresent(labelmap) and slicer.mrmlScene.IsNodePresent(reference):
                self._import(labelmap, values, reference, name)
            if slicer.mrmlScene.IsNodePresent(labelmap):
                slicer.mrmlScene.RemoveNode(labelmap)

        return [readFile, crop, importLabels]

    def _import(self, labelmap: Any, values: list[int], reference: Any, name: str) -> None:
        node = self.parameters.masks
        if node is None or not node.GetAttribute(LABEL_TAG):
            self.hide()
            node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", f"Kidney and lesions {name}".strip())
            node.SetAttribute(LABEL_TAG, "model")
        node.GetSegmentation().RemoveAllSegments()
        node.SetReferenceImageGeometryParameterFromVolumeNode(reference)
        if values:
            slicer.vtkSlicerSegmentationsModuleLogic.ImportLabelmapToSegmentationNode(labelmap, node)
        self._name(node, values)
        node.CreateDefaultDisplayNodes()
        self._display(node)
        self.parameters.masks = node

    def surfaceSteps(self) -> list[Callable[[], None]]:
        """Making the 3-D surfaces, a segment a step; none where they are there."""
        node = self.parameters.masks
        surface = slicer.vtkSegmentationConverter.GetSegmentationClosedSurfaceRepresentationName()
        if node is None or node.GetSegmentation().ContainsRepresentation(surface):
            return []

        def make(segment: str) -> None:
            if not slicer.mrmlScene.IsNodePresent(node) or node.GetSegmentation().GetSegment(segment) is None:
                return
            made = vtk.vtkPolyData()
            logic = slicer.vtkSlicerSegmentationsModuleLogic
            if logic.GetSegmentClosedSurfaceRepresentation(node, segment, made, False):
                node.GetSegmentation().GetSegment(segment).AddRepresentation(surface, made)

        segmentation = node.GetSegmentation()
        names = [segmentation.GetNthSegmentID(number) for number in range(segmentation.GetNumberOfSegments())]
        return [lambda name=name: make(name) for name in names]

    def hide(self) -> None:
        """Show the segmentation no longer."""
        node = self.parameters.masks
        if node is not None and node.GetDisplayNode() is not None:
            node.GetDisplayNode().SetVisibility(False)

    def words(self) -> str:
        """What the segments are taken as; empty where there are none or all are the model's own."""
        node = self.parameters.masks
        own = node is not None and node.GetAttribute(LABEL_TAG) and "" not in labelled(node)
        return "" if node is None or own else labelWords(node)

    def write(self, reference: Any, path: str) -> str:
        """Write the segmentation as a label map on the reference's grid; raises ValueError without a kidney."""
        node = self.parameters.masks
        if node is None:
            raise ValueError("Choose a segmentation with a kidney segment first.")
        found = labelled(node)
        if "kidney" not in found:
            words = labelWords(node)
            raise ValueError(
                f"The segmentation {node.GetName()} has no segment that is named or coded as a kidney"
                f"{f' ({words})' if words else ''}; name its segments kidney, tumour and cyst."
            )
        with hardenedSegmentation(node) as placed:
            total = _painted(placed, found, reference)
        labelmap = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "RenalCLIP labels")
        try:
            slicer.util.updateVolumeFromArray(labelmap, total)
            labelmap.CopyOrientation(reference)
            storage = slicer.vtkMRMLVolumeArchetypeStorageNode()
            storage.SetFileName(path)
            if not storage.WriteData(labelmap):
                raise ValueError("The segmentation could not be written.")
        finally:
            slicer.mrmlScene.RemoveNode(labelmap)
        return path

    def _name(self, node: Any, values: list[int]) -> None:
        segmentation = node.GetSegmentation()
        byValue = {label.value: label for label in LABELS}
        for number, value in enumerate(values[: segmentation.GetNumberOfSegments()]):
            segment, label = segmentation.GetNthSegment(number), byValue[value]
            segment.SetName(label.name)
            segment.SetColor(*label.colour)
            segment.SetTag(LABEL_TAG, label.name)
            segment.SetTag(slicer.vtkSegment.GetTerminologyEntryTagName(), label.terminology)

    def _display(self, node: Any) -> None:
        display = node.GetDisplayNode()
        display.SetVisibility(True)
        display.SetOpacity2DFill(0.12)
        display.SetOpacity2DOutline(0.9)
        segmentation = node.GetSegmentation()
        for number in range(segmentation.GetNumberOfSegments()):
            if segmentation.GetNthSegment(number).GetName() == "kidney":
                display.SetSegmentOpacity3D(segmentation.GetNthSegmentID(number), 0.35)


def _painted(node: Any, found: dict[str, list[str]], reference: Any) -> Any:
    """The label map's voxels."""
    total = np.zeros(slicer.util.arrayFromVolume(reference).shape, dtype=np.uint8)
    for label in LABELS:  # lesions are painted over the kidney
        for segment in found.get(label.name, ()):
            array = slicer.util.arrayFromSegmentBinaryLabelmap(node, segment, reference)
            if array is not None:
                total[array > 0] = label.value
    return total


def _cropToLabels(labelmap: Any) -> list[int]:
    """Cut a label map down to what it labels, which makes everything after faster; returns its labels."""
    array = slicer.util.arrayFromVolume(labelmap)
    spans, part = [], array
    for axis in range(3):  # each cut leaves less to look through
        place = np.flatnonzero(part.any(axis=tuple({0, 1, 2} - {axis})))
        if not place.size:
            return []
        spans.append(slice(max(0, int(place[0]) - 1), int(place[-1]) + 2))
        part = part[tuple([slice(None)] * axis + [spans[-1]])]
    values = [int(value) for value in np.unique(part) if value]
    matrix = vtk.vtkMatrix4x4()
    labelmap.GetIJKToRASMatrix(matrix)
    origin = matrix.MultiplyPoint((spans[2].start, spans[1].start, spans[0].start, 1))
    slicer.util.updateVolumeFromArray(labelmap, part.copy())
    labelmap.SetOrigin(*origin[:3])
    return values
