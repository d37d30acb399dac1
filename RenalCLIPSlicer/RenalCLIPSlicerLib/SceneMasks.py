"""Kidney, tumour and cyst as a segmentation node with terminology, and back to the core's label map."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer
import vtk

from .Parameters import Parameters

LABEL_TAG = "RenalCLIP.Label"
TERMINOLOGY = "Segmentation category and type - 3D Slicer General Anatomy list"
ANATOMY = "Anatomic codes - DICOM master list"


@dataclass(frozen=True)
class MaskLabel:
    """A label of the core's map: value, name, SNOMED CT category, type and region, colour, words that name it."""

    value: int
    name: str
    category: str
    kind: str
    region: str
    colour: tuple[float, float, float]
    words: tuple[str, ...]

    @property
    def terminology(self) -> str:
        """The entry as Slicer writes it into a segment's tag."""
        return f"{TERMINOLOGY}~{self.category}~{self.kind}~^^~{ANATOMY}~{self.region}~^^"


_ALTERED = "SCT^49755003^Morphologically Altered Structure"
_KIDNEY = "SCT^64033007^Kidney"
LABELS = (
    MaskLabel(
        1, "kidney", "SCT^123037004^Anatomical Structure", _KIDNEY, "^^", (0.72, 0.81, 0.93), ("kidney", "renal", "ren")
    ),
    MaskLabel(
        2,
        "tumour",
        _ALTERED,
        "SCT^4147007^Mass",
        _KIDNEY,
        (0.93, 0.62, 0.25),
        ("tumour", "tumor", "mass", "neoplasm", "carcinoma", "rcc"),
    ),
    MaskLabel(3, "cyst", _ALTERED, "SCT^367643001^Cyst", _KIDNEY, (0.36, 0.78, 0.66), ("cyst",)),
)
# whether a mass is a neoplasm is what the reading is about; other software's masks may say so
CODES = {label.kind.split("^")[1]: label.name for label in LABELS} | {"108369006": "tumour", "86049000": "tumour"}


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

    def write(self, reference: Any, path: str) -> str:
        """Write the segmentation as a label map on the reference's grid; raises ValueError without a kidney."""
        node = self.parameters.masks
        if node is None:
            raise ValueError("Choose a segmentation with a kidney segment first.")
        found = labelled(node)
        if "kidney" not in found:
            raise ValueError(
                f"The segmentation {node.GetName()} has no segment that is named or coded as a kidney; "
                "name its segments kidney, tumour and cyst."
            )
        total = np.zeros(slicer.util.arrayFromVolume(reference).shape, dtype=np.uint8)
        for label in LABELS:  # lesions are painted over the kidney
            for segment in found.get(label.name, ()):
                array = slicer.util.arrayFromSegmentBinaryLabelmap(node, segment, reference)
                if array is not None:
                    total[array > 0] = label.value
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


def labelled(node: Any) -> dict[str, list[str]]:
    """Segment ids by the core's label: by our tag, else by SNOMED code, else by name."""
    segmentation = node.GetSegmentation()
    found: dict[str, list[str]] = {}
    for number in range(segmentation.GetNumberOfSegments()):
        name = _labelOf(segmentation.GetNthSegment(number))
        if name:
            found.setdefault(name, []).append(segmentation.GetNthSegmentID(number))
    return found


def _labelOf(segment: Any) -> str:
    tag = _tag(segment, LABEL_TAG)
    if tag:
        return tag
    kind = [*_tag(segment, slicer.vtkSegment.GetTerminologyEntryTagName()).split("~"), "", "", ""][2]
    code = [*kind.split("^"), "", ""][1]
    if code in CODES:
        return CODES[code]
    name = segment.GetName().lower()
    # "renal tumour" names a tumour: the lesions' words count before the kidney's
    return next((label.name for label in reversed(LABELS) if any(word in name for word in label.words)), "")


def _tag(segment: Any, name: str) -> str:
    value = vtk.reference("")
    return str(value) if segment.GetTag(name, value) else ""
