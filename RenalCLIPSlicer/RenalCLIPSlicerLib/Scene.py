"""The case's nodes in Slicer's scene. With the other Scene files the only MRML code, and the only place where Slicer's
RAS meets the core's LPS."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from typing import Any

import slicer

from RenalCLIPCore.review_reading import PHASES

from .Parameters import Parameters
from .SceneMarks import SceneMarks
from .SceneMasks import SceneMasks
from .SceneViews import SceneViews
from .SceneVolumes import hardened, isWrittenHardened, writeVolume

ORDER = ("A", "V", "N", "D")
LEVEL_HU, WIDTH_HU = 50.0, 500.0
CASE_ATTRIBUTE = "RenalCLIP.Case"
MAP_ATTRIBUTE, STAMP_ATTRIBUTE = "RenalCLIP.Map", "RenalCLIP.Written"
ROLES = ("phaseN", "phaseA", "phaseV", "phaseD", "masks", "centre", "region")


class Scene:
    """Nodes of one case, found through the module's parameters; any of them may be missing.

    Args:
        parameters: The module's settings in the scene.
        folder: Temporary folder for the files that stand for nodes.
    """

    def __init__(self, parameters: Parameters, folder: str) -> None:
        self.parameters = parameters
        self.folder = folder
        self.views = SceneViews()
        self.marks = SceneMarks(parameters)
        self.masks = SceneMasks(parameters, self.phaseNode)
        self._number = 0

    def phaseNode(self, phase: str) -> Any:
        """The volume of a phase, or None."""
        return getattr(self.parameters, f"phase{phase}")

    def setPhaseNode(self, phase: str, node: Any) -> None:
        """Choose the volume of a phase."""
        setattr(self.parameters, f"phase{phase}", node)

    def phaseNodes(self) -> dict[str, Any]:
        """The volumes that are chosen, by phase."""
        return {phase: self.phaseNode(phase) for phase in ORDER if self.phaseNode(phase) is not None}

    def reference(self) -> Any:
        """The arterial volume, else the venous one, else any."""
        return next(iter(self.phaseNodes().values()), None)

    def loadPhase(self, phase: str, file: str, caseName: str) -> Any:
        """Load the volume of a phase with the window of the paper."""
        node = slicer.util.loadVolume(file, {"name": f"{phase} {PHASES[phase]} {caseName}".strip(), "show": False})
        self.applyWindow(node)
        self.setPhaseNode(phase, node)
        return node

    def applyWindow(self, node: Any) -> None:
        """Level 50 HU, width 500 HU."""
        node.CreateDefaultDisplayNodes()
        display = node.GetDisplayNode()
        display.AutoWindowLevelOff()
        display.SetWindowLevel(WIDTH_HU, LEVEL_HU)

    def problem(self) -> str:
        """Why the chosen volumes cannot be one study, in words; empty when they can."""
        nodes = self.phaseNodes()
        if not nodes:
            return "Choose the volume of at least the arterial or the venous phase."
        for phase, node in nodes.items():
            text = _unusable(node)
            if text:
                return f"The volume chosen for {phase} ({PHASES[phase]}) {text}"
        if len({node.GetID() for node in nodes.values()}) < len(nodes):
            return "One volume is chosen for two phases; choose another or none for one of them."
        patients = {patientOf(node) for node in nodes.values()} - {""}
        if len(patients) > 1:
            return "The chosen volumes belong to different patients; choose phases of one patient."
        return ""

    def phaseFiles(self) -> dict[str, str]:
        """Write the chosen volumes; raises ValueError when they cannot be one study."""
        problem = self.problem()
        if problem:
            raise ValueError(problem)
        folder = self.newFolder("phases")
        os.makedirs(folder)
        return {
            phase: writeVolume(node, os.path.join(folder, f"{phase}.nrrd")) for phase, node in self.phaseNodes().items()
        }

    def masksFile(self) -> str:
        """Write the case's segmentation as a label map on the grid on which the worker has the reference.

        Raises:
            ValueError: There is no segmentation to use, or none that can be brought onto that grid.
        """
        reference = self.reference()
        if reference is None:
            raise ValueError("The volumes of this case are no longer in the scene; open the study again.")
        path = os.path.join(self.folder, "masks.nrrd")
        if not isWrittenHardened(reference):
            transform = reference.GetParentTransformNode()
            if transform is not None and not transform.IsTransformToWorldLinear():
                raise ValueError("A transform bends the volumes; press Use these phases to take them as they lie now.")
            return self.masks.write(reference, path)
        with hardened(reference) as volume:
            return self.masks.write(volume, path)

    def newFolder(self, name: str) -> str:
        """A folder of this session that does not exist yet."""
        os.makedirs(self.folder, exist_ok=True)
        while True:
            self._number += 1
            path = os.path.join(self.folder, f"{name}-{self._number}")
            if not os.path.exists(path):
                return path

    def writeRecord(self, text: str, name: str) -> None:
        """Keep the case's record in the scene."""
        record = self.parameters.record
        if record is None:
            record = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTextNode", f"RenalCLIP case {name}".strip())
            record.SetAttribute(CASE_ATTRIBUTE, "1")
            self.parameters.record = record
        self._keepRoles(record)
        if record.GetText() != text:
            record.SetText(text)

    def readRecord(self) -> str:
        """The record of the case that is shown; empty when there is none."""
        record = self.parameters.record
        return record.GetText() or "" if record is not None else ""

    def records(self) -> list[Any]:
        """The records of all cases of the scene."""
        found = list(slicer.util.getNodesByClass("vtkMRMLTextNode"))
        return [node for node in found if node.GetAttribute(CASE_ATTRIBUTE)]

    def showRecord(self, record: Any) -> None:
        """Show another case of the scene: its nodes become the parameters'."""
        self.parameters.record = record
        for role in ROLES:
            setattr(self.parameters, role, record.GetNodeReference(f"RenalCLIP.{role}") if record is not None else None)

    def startCase(self, keepVolumes: bool) -> None:
        """A new case begins; the nodes of the one before stay in the scene, hidden."""
        self.marks.hide()
        kept = {
            role: getattr(self.parameters, role) for role in ROLES if keepVolumes and role not in ("centre", "region")
        }
        if not keepVolumes:
            self.masks.hide()
        self.showRecord(None)
        for role, node in kept.items():
            setattr(self.parameters, role, node)

    def dropCase(self) -> None:
        """Take the nodes of the case out of the scene: its volumes, masks, marks, maps and record."""
        record = self.parameters.record
        maps = self._maps()
        nodes = [getattr(self.parameters, role) for role in ROLES]
        self.startCase(keepVolumes=False)
        self.marks.release()
        for node in (*nodes, *maps, record):
            if node is not None and slicer.mrmlScene.IsNodePresent(node):
                slicer.mrmlScene.RemoveNode(node)

    def mapNode(self, file: str, folder: str, stamp: str) -> Any:
        """The volume of an explanation map: as loaded before, loaded anew when it was written since, or None."""
        record = self.parameters.record
        if record is None:
            return None
        old = next((node for node in self._maps() if node.GetAttribute(MAP_ATTRIBUTE) == file), None)
        if not stamp or (old is not None and old.GetAttribute(STAMP_ATTRIBUTE) == stamp):
            return old
        node = self.views.loadMap(os.path.join(folder, file), os.path.splitext(file)[0], old)
        node.SetAttribute(MAP_ATTRIBUTE, file)
        node.SetAttribute(STAMP_ATTRIBUTE, stamp)
        node.SetNodeReferenceID(CASE_ATTRIBUTE, record.GetID())  # a reference, for ids change when scenes are joined
        return node

    def _maps(self) -> list[Any]:
        """The explanation maps of the case that is shown."""
        record = self.parameters.record
        found = list(slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode"))
        found = [node for node in found if node.GetAttribute(MAP_ATTRIBUTE)]
        return [node for node in found if record is not None and node.GetNodeReference(CASE_ATTRIBUTE) is record]

    def surfaceSteps(self) -> list[Callable[[], None]]:
        """Making the masks' surfaces, in steps, where a 3-D view shows them."""
        return self.masks.surfaceSteps() if self.parameters.layout == "planes" else []

    def applyLayout(self) -> None:
        """Show the volumes as the settings say."""
        if self.parameters.layout == "planes":
            self.views.showPlanes(self.reference())
        else:
            self.views.showPhases(self.phaseNodes())

    def discardFiles(self) -> None:
        """Remove what this session wrote into its temporary folder."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _keepRoles(self, record: Any) -> None:
        for role in ROLES:
            node = getattr(self.parameters, role)
            wanted = node.GetID() if node is not None else None
            if record.GetNodeReferenceID(f"RenalCLIP.{role}") != wanted:
                record.SetNodeReferenceID(f"RenalCLIP.{role}", wanted)


def patientOf(node: Any) -> str:
    """The patient that the subject hierarchy files a node under; empty when it does not say."""
    hierarchy = slicer.mrmlScene.GetSubjectHierarchyNode()
    item = hierarchy.GetItemByDataNode(node) if hierarchy is not None else 0
    while item:
        if hierarchy.GetItemLevel(item) == "Patient":
            return hierarchy.GetItemAttribute(item, "DICOM.PatientID") or hierarchy.GetItemName(item)
        item = hierarchy.GetItemParent(item)
    return ""


def _unusable(node: Any) -> str:
    image = node.GetImageData()
    if image is None:
        return "holds no image."
    if node.IsA("vtkMRMLLabelMapVolumeNode"):
        return "is a label map, not an image."
    if image.GetNumberOfScalarComponents() != 1 or node.IsA("vtkMRMLVectorVolumeNode"):
        return "has several values per voxel (colour or time); choose one three-dimensional CT series."
    if min(image.GetDimensions()) < 2:
        return "is two-dimensional; a CT series with several slices is needed."
    return ""
