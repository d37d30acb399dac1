"""RenalCLIP as a module of 3D Slicer. What it does is in RenalCLIPSlicerLib; this file is what Slicer looks for."""

import qt
import slicer
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)

HELP = _("""
<p>Reads kidney tumours on multi-phase CT. Open a study folder, a folder of DICOM files or volumes of the scene; segment
kidneys, tumours and cysts; correct the lesion's centre with the mouse; read R.E.N.A.L. nephrometry, malignancy,
aggressiveness, recurrence risk, similar cases and the report; sign off and save.</p>
<p><b>Research software. Not for clinical use.</b> The model that ships was trained on digital phantoms, not on
patients. Calculations run in a Python of your choice (section Setup); nothing is installed without asking.</p>
""")
ACKNOWLEDGEMENT = _("""
An open implementation of the published RenalCLIP method. Segmentation uses nnU-Net, networks use PyTorch and MONAI.
Licence: Apache-2.0.
""")


class RenalCLIPSlicer(ScriptedLoadableModule):
    """Tells Slicer about the module."""

    def __init__(self, parent):  # noqa: ANN001, ANN204
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("RenalCLIP")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Oncology")]
        self.parent.dependencies = ["Markups", "Segmentations", "SubjectHierarchy", "Volumes"]
        self.parent.contributors = ["RenalCLIP contributors"]
        self.parent.helpText = HELP
        self.parent.acknowledgementText = ACKNOWLEDGEMENT
        slicer.app.connect("startupCompleted()", registerSampleData)


class RenalCLIPSlicerWidget(ScriptedLoadableModuleWidget):
    """The module's panel; see RenalCLIPSlicerLib.Widget."""

    def __init__(self, parent=None):  # noqa: ANN001, ANN204
        self.parts = None
        self.logic = None
        ScriptedLoadableModuleWidget.__init__(self, parent)

    def setup(self) -> None:
        """Build the panel."""
        ScriptedLoadableModuleWidget.setup(self)
        from RenalCLIPSlicerLib.Widget import Widget

        self.logic = RenalCLIPSlicerLogic()
        self.parts = Widget(self, self.logic.getParameterNode)
        self.logic.case = self.parts.case

    def openStudy(self, path: str) -> bool:
        """Open a study folder, or import a folder of DICOM files; the work goes on in the background."""
        return self.parts.openStudy(path)

    def enter(self) -> None:
        """The module is shown."""
        if self.parts is not None:
            self.parts.enter()

    def exit(self) -> None:
        """Another module is shown."""
        if self.parts is not None:
            self.parts.leave()

    def cleanup(self) -> None:
        """The module is unloaded or the application closes."""
        if self.parts is not None:
            self.parts.cleanup()
            self.parts = None


class RenalCLIPSlicerLogic(ScriptedLoadableModuleLogic):
    """Holds the case of the module's panel as ``case`` (see RenalCLIPSlicerLib.CaseLogic)."""

    def __init__(self) -> None:
        ScriptedLoadableModuleLogic.__init__(self)
        self.case = None


class RenalCLIPSlicerTest(ScriptedLoadableModuleTest):
    """The self test: a phantom study is made, segmented, corrected, signed off and saved in a scene."""

    def setUp(self) -> None:
        """Start from an empty scene."""
        slicer.mrmlScene.Clear(0)

    def runTest(self) -> None:
        """Run every test."""
        from RenalCLIPSlicerLib.SelfTest import SelfTest

        self.setUp()
        SelfTest(self).run()


def registerSampleData() -> None:
    """Offer the phantom study among Slicer's sample data; it is computed, not downloaded."""
    try:
        import SampleData
    except ImportError:
        return
    import os

    icons = os.path.join(os.path.dirname(os.path.abspath(__file__)), "Resources", "Icons")
    SampleData.SampleDataLogic.registerCustomSampleDataSource(
        category="RenalCLIP",
        sampleName="Renal phantom study",
        thumbnailFileName=os.path.join(icons, "RenalCLIPSlicer.png"),
        uris="",
        fileNames=None,
        nodeNames=None,
        customDownloader=openPhantom,
    )


def openPhantom(source=None) -> list:  # noqa: ANN001
    """Show the module and let it make and open the phantom study."""
    slicer.util.selectModule("RenalCLIPSlicer")
    widget = slicer.modules.RenalCLIPSlicerWidget
    qt.QTimer.singleShot(0, widget.parts.ui.sampleButton.click)
    return []
