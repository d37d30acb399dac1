"""Volumes and segmentations as files: where they lie in the world, with their transforms applied."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import slicer

HARDENED_ATTRIBUTE = "RenalCLIP.Hardened"


@contextmanager
def hardened(volume: Any) -> Iterator[Any]:
    """A volume with its transforms applied: itself where it has none, else a clone that is gone afterwards."""
    if volume.GetParentTransformNode() is None:
        yield volume
        return
    clone = slicer.vtkSlicerVolumesLogic.CloneVolume(slicer.mrmlScene, volume, "RenalCLIP export")
    try:
        clone.SetAndObserveTransformNodeID(volume.GetTransformNodeID())
        clone.HardenTransform()
        yield clone
    finally:
        for node in (clone.GetDisplayNode(), clone):
            if node is not None:
                slicer.mrmlScene.RemoveNode(node)


@contextmanager
def hardenedSegmentation(node: Any) -> Iterator[Any]:
    """The same for a segmentation; the clone has its segments and their ids, no display."""
    if node.GetParentTransformNode() is None:
        yield node
        return
    clone = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "RenalCLIP export")
    try:
        clone.GetSegmentation().DeepCopy(node.GetSegmentation())
        clone.SetAndObserveTransformNodeID(node.GetTransformNodeID())
        clone.HardenTransform()
        yield clone
    finally:
        slicer.mrmlScene.RemoveNode(clone)


def writeVolume(node: Any, path: str) -> str:
    """Write a volume with its transforms applied, and remember whether it had any; returns the path."""
    storage = slicer.vtkMRMLVolumeArchetypeStorageNode()
    storage.SetFileName(path)
    storage.SetUseCompression(False)
    with hardened(node) as volume:
        if not storage.WriteData(volume):
            raise ValueError(f"The volume {node.GetName()} could not be written.")
        node.SetAttribute(HARDENED_ATTRIBUTE, None if volume is node else "1")
    return path


def isWrittenHardened(node: Any) -> bool:
    """Whether the worker has a volume as its transforms place it, not as its file had it when it was opened."""
    return bool(node.GetAttribute(HARDENED_ATTRIBUTE))
