"""The module's settings in the scene."""

from __future__ import annotations

from typing import Annotated

from slicer import (
    vtkMRMLMarkupsFiducialNode,
    vtkMRMLMarkupsROINode,
    vtkMRMLScalarVolumeNode,
    vtkMRMLSegmentationNode,
    vtkMRMLTextNode,
)
from slicer.parameterNodeWrapper import WithinRange, parameterNodeWrapper


@parameterNodeWrapper
class Parameters:
    """Nodes of the case that is shown, and how it is shown.

    Attributes:
        phaseN: Non-contrast volume.
        phaseA: Arterial volume.
        phaseV: Venous volume.
        phaseD: Delayed volume.
        masks: Segmentation with kidney, tumour and cyst.
        centre: One point, the centre of the shown lesion.
        region: The region of interest around it.
        record: The case as JSON (see CaseState).
        reader: Who reads.
        bundle: Folder of a model bundle; empty for the one that ships.
        layout: ``phases`` or ``planes``.
        mapTask: Task whose explanation map is shown; empty for none.
        mapOpacity: Of the map.
    """

    phaseN: vtkMRMLScalarVolumeNode
    phaseA: vtkMRMLScalarVolumeNode
    phaseV: vtkMRMLScalarVolumeNode
    phaseD: vtkMRMLScalarVolumeNode
    masks: vtkMRMLSegmentationNode
    centre: vtkMRMLMarkupsFiducialNode
    region: vtkMRMLMarkupsROINode
    record: vtkMRMLTextNode
    reader: str = ""
    bundle: str = ""
    layout: str = "phases"
    mapTask: str = ""
    mapOpacity: Annotated[float, WithinRange(0.0, 1.0)] = 0.5
