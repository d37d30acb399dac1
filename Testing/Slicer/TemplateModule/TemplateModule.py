"""A small scripted module of the ordinary kind, for testing the host: parameter node, form, observers, logic."""

import numpy as np
import qt
import slicer
import vtk
from slicer import vtkMRMLScalarVolumeNode
from slicer.i18n import tr as _
from slicer.parameterNodeWrapper import WithinRange, parameterNodeWrapper
from slicer.ScriptedLoadableModule import *  # noqa: F403
from slicer.util import VTKObservationMixin

try:
    from typing import Annotated
except ImportError:
    from typing import Annotated


class TemplateModule(ScriptedLoadableModule):  # noqa: F405
    """What the module tells about itself."""

    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)  # noqa: F405
        self.parent.title = _("Template")
        self.parent.categories = ["Examples"]
        self.parent.helpText = _("Makes a volume's values above a threshold bright.")


@parameterNodeWrapper
class TemplateModuleParameterNode:
    """State of the module."""

    inputVolume: vtkMRMLScalarVolumeNode
    threshold: Annotated[float, WithinRange(-100, 500)] = 100
    invert: bool = False
    outputVolume: vtkMRMLScalarVolumeNode


class TemplateModuleWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):  # noqa: F405
    """The panel."""

    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)  # noqa: F405
        VTKObservationMixin.__init__(self)
        self.logic = None
        self._parameterNode = None
        self._tag = None

    def setup(self):
        ScriptedLoadableModuleWidget.setup(self)  # noqa: F405
        panel = slicer.util.loadUI(self.resourcePath("UI/TemplateModule.ui"))
        self.layout.addWidget(panel)
        self.ui = slicer.util.childWidgetVariables(panel)
        panel.setMRMLScene(slicer.mrmlScene)
        self.logic = TemplateModuleLogic()
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndCloseEvent, self.onSceneEndClose)
        assert self.ui.applyButton.connect("clicked(bool)", self.onApplyButton)
        self.initializeParameterNode()

    def cleanup(self):
        self.setParameterNode(None)
        self.removeObservers()

    def enter(self):
        self.initializeParameterNode()

    def exit(self):
        pass

    def onSceneStartClose(self, caller, event):
        self.setParameterNode(None)

    def onSceneEndClose(self, caller, event):
        self.initializeParameterNode()

    def initializeParameterNode(self):
        self.setParameterNode(self.logic.getParameterNode())

    def setParameterNode(self, node):
        if self._parameterNode is not None:
            self._parameterNode.disconnectGui(self._tag)
            self.removeObserver(self._parameterNode, vtk.vtkCommand.ModifiedEvent, self._checkCanApply)
        self._parameterNode = node
        if node is not None:
            self._tag = node.connectGui(self.ui)
            self.addObserver(node, vtk.vtkCommand.ModifiedEvent, self._checkCanApply)
            self._checkCanApply()

    def _checkCanApply(self, caller=None, event=None):
        ready = self._parameterNode is not None and self._parameterNode.inputVolume is not None
        self.ui.applyButton.enabled = ready
        self.ui.applyButton.toolTip = _("Compute") if ready else _("Select an input volume")

    def onApplyButton(self, *_args):
        with slicer.util.tryWithErrorDisplay(_("Failed to compute results."), waitCursor=True):
            node = self._parameterNode
            if node.outputVolume is None:
                node.outputVolume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Result")
            self.logic.process(node.inputVolume, node.outputVolume, node.threshold, node.invert)
            qt.QTimer.singleShot(0, lambda: setattr(self.ui.statusLabel, "text", _("Done")))


class TemplateModuleLogic(ScriptedLoadableModuleLogic):  # noqa: F405
    """The computation."""

    def __init__(self):
        ScriptedLoadableModuleLogic.__init__(self)  # noqa: F405

    def getParameterNode(self):
        return TemplateModuleParameterNode(super().getParameterNode())

    def process(self, inputVolume, outputVolume, threshold, invert):
        """Write a bright and dark copy of a volume."""
        above = slicer.util.arrayFromVolume(inputVolume) > threshold
        slicer.util.updateVolumeFromArray(outputVolume, np.where(above ^ invert, 1000, 0).astype(np.int16))
        matrix = vtk.vtkMatrix4x4()
        inputVolume.GetIJKToRASMatrix(matrix)
        outputVolume.SetIJKToRASMatrix(matrix)


class TemplateModuleTest(ScriptedLoadableModuleTest):  # noqa: F405
    """The module's self-test."""

    def runTest(self):
        slicer.mrmlScene.Clear(0)
        volume = slicer.util.addVolumeFromArray(np.arange(24, dtype=np.int16).reshape(2, 3, 4))
        result = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Result")
        TemplateModuleLogic().process(volume, result, 11, False)
        self.assertEqual(int((slicer.util.arrayFromVolume(result) > 0).sum()), 12)
