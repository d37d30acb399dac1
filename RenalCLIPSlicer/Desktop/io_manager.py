"""The stand-in for Slicer's core IO manager: what ``slicer.util`` loads and saves through."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from PySide6 import QtCore
from trame_slicer.core import SlicerApp

from .pythonqt import StandIn

_TYPES = {
    "SceneFile": (".mrb", ".mrml"),
    "SegmentationFile": (".seg.nrrd", ".seg.nhdr", ".seg.vtm"),
    "MarkupsFile": (".mrk.json",),
    "VolumeFile": (".nrrd", ".nhdr", ".nii", ".nii.gz", ".mha", ".mhd"),
}
_WRITERS = {
    "vtkMRMLScalarVolumeNode": "VolumeFile",
    "vtkMRMLSegmentationNode": "SegmentationFile",
    "vtkMRMLMarkupsNode": "MarkupsFile",
}
_VOLUME_OPTIONS = {"labelmap": 1, "center": 2, "singleFile": 4, "autoWindowLevel": 8, "discardOrientation": 16}


class qSlicerCoreIOManager(StandIn, QtCore.QObject):
    """Reads and writes scenes, volumes, segmentations and markups with Slicer's own logic and storage nodes."""

    newFileLoaded = QtCore.Signal(dict)
    fileSaved = QtCore.Signal(dict)
    _SIGNATURES: ClassVar = {
        "newFileLoaded": ["qSlicerIO::IOProperties"],
        "fileSaved": ["qSlicerIO::IOProperties"],
    }

    def __init__(self, core: SlicerApp) -> None:
        super().__init__()
        self._core = core

    def fileType(self, file: str) -> str:
        name = Path(file).name.lower()
        found = (kind for kind, endings in _TYPES.items() if name.endswith(endings))
        return next(found, "NoFile")

    def fileWriterFileType(self, node: Any, extension: str = "") -> str:
        return next((kind for name, kind in _WRITERS.items() if node.IsA(name)), "NoFile")

    def loadNodes(
        self, fileType: str, parameters: dict[str, Any], loadedNodes: Any = None, messages: Any = None
    ) -> bool:
        readers = {
            "SceneFile": self._load_scene,
            "VolumeFile": self._load_volume,
            "SegmentationFile": self._load_segmentation,
            "MarkupsFile": self._load_markups,
        }
        if fileType not in readers or not Path(parameters["fileName"]).is_file():
            return False
        known = set(_nodes(self._core.scene))
        done = readers[fileType](parameters)
        if fileType == "SceneFile":
            new = [node for node in _nodes(self._core.scene) if node not in known]
        else:
            new = [done] if done is not None else []
        for node in new:
            if loadedNodes is not None:
                loadedNodes.AddItem(node)
        if done:
            self.newFileLoaded.emit(dict(parameters))
        return bool(done)

    def loadScene(self, fileName: str, clear: bool = True, userMessages: Any = None) -> bool:
        return self.loadNodes("SceneFile", {"fileName": fileName, "clear": clear})

    def saveNodes(self, fileType: str, parameters: dict[str, Any], messages: Any = None, scene: Any = None) -> bool:
        file = Path(parameters["fileName"])
        if fileType == "SceneFile":
            done = bool(self._core.io_manager.save_scene(file))
        else:
            done = _save(self._core.scene.GetNodeByID(parameters["nodeID"]), file)
        if done:
            self.fileSaved.emit(dict(parameters))
        return done

    def saveScene(self, fileName: str, screenShot: Any = None, userMessages: Any = None) -> bool:
        return self.saveNodes("SceneFile", {"fileName": fileName})

    def _load_scene(self, parameters: dict[str, Any]) -> bool:
        if parameters.get("clear"):
            self._core.scene.Clear(0)
        return bool(self._core.io_manager.load_scene(parameters["fileName"]))

    def _load_volume(self, parameters: dict[str, Any]) -> Any:
        chosen = {"autoWindowLevel": True, **parameters}
        options = sum(bit for name, bit in _VOLUME_OPTIONS.items() if chosen.get(name))
        arguments = [parameters["fileName"], parameters.get("name") or _stem(parameters["fileName"]), options]
        node = self._core.volumes_logic.AddArchetypeVolume(*arguments)
        if node is not None and parameters.get("show", True):
            selection = self._core.app_logic.GetSelectionNode()
            if parameters.get("labelmap"):
                selection.SetActiveLabelVolumeID(node.GetID())
            else:
                selection.SetActiveVolumeID(node.GetID())
            self._core.app_logic.PropagateVolumeSelection()
        return node

    def _load_segmentation(self, parameters: dict[str, Any]) -> Any:
        logic = self._core.segmentations_logic
        name = parameters.get("name") or _stem(parameters["fileName"])
        return logic.LoadSegmentationFromFile(parameters["fileName"], parameters.get("autoOpacities", True), name)

    def _load_markups(self, parameters: dict[str, Any]) -> Any:
        name = parameters.get("name") or _stem(parameters["fileName"])
        found = self._core.markups_logic.LoadMarkups(parameters["fileName"], name)
        return self._core.scene.GetNodeByID(found) if found else None


def _nodes(scene: Any) -> list[Any]:
    return [scene.GetNthNode(index) for index in range(scene.GetNumberOfNodes())]


def _stem(file: str) -> str:
    return Path(file).name.split(".")[0]


def _save(node: Any, file: Path) -> bool:
    if node is None:
        return False
    if node.GetStorageNode() is None:
        node.AddDefaultStorageNode()
    storage = node.GetStorageNode()
    storage.SetFileName(str(file))
    return bool(storage.WriteData(node))
