"""The module's window: panels, scene and case put together. Slow things happen in the worker or piece by piece."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import qt
import slicer
from slicer.util import VTKObservationMixin

from . import Requirements
from .CaseLogic import CaseLogic
from .CaseState import CaseState, StateFormatError, stateFromJson
from .CoreProcess import CoreProcess
from .Panels.CentrePanel import CentrePanel
from .Panels.Connections import Connections
from .Panels.ExplanationPanel import ExplanationPanel
from .Panels.NeighboursPanel import NeighboursPanel
from .Panels.NephrometryPanel import NephrometryPanel
from .Panels.OverviewPanel import OverviewPanel
from .Panels.Panel import Panel
from .Panels.ProbabilityPanel import ProbabilityPanel
from .Panels.QualityPanel import QualityPanel
from .Panels.RecurrencePanel import RecurrencePanel
from .Panels.ReportPanel import ReportPanel
from .Panels.SegmentationPanel import SegmentationPanel
from .Panels.SetupPanel import SetupPanel
from .Panels.SignOffPanel import SignOffPanel
from .Panels.StatusPanel import StatusPanel
from .Panels.StudyPanel import StudyPanel
from .Panels.WorklistPanel import WorklistPanel
from .Panels.ZeroShotPanel import ZeroShotPanel
from .Parameters import Parameters
from .Scene import Scene
from .Shortcuts import Shortcuts
from .Turns import Turns
from .WorkerPlan import WORKLIST

PANELS = (
    StatusPanel,
    StudyPanel,
    SegmentationPanel,
    CentrePanel,
    OverviewPanel,
    NephrometryPanel,
    ProbabilityPanel,
    RecurrencePanel,
    ZeroShotPanel,
    NeighboursPanel,
    ExplanationPanel,
    ReportPanel,
    QualityPanel,
    SignOffPanel,
    SetupPanel,
    WorklistPanel,
)
RECORDED = frozenset({"study", "masks", "review", "lesion", "reading", "maps", "centre", "report", "verdicts", "nodes"})
SHOWN_MASKS = ("model", "file")  # those that are no nodes of the scene yet
CLOCK_MS = 500


class Widget(VTKObservationMixin):
    """Owns the worker's process, the case, its nodes and the panels.

    Args:
        shell: The scripted module's widget, which has the layout, the resources and the parameter node.
        parameterNode: Gives the module's parameter node of the present scene.
    """

    def __init__(self, shell: Any, parameterNode: Callable[[], Any]) -> None:
        super().__init__()
        self._parameterNode = parameterNode
        self.uiWidget = slicer.util.loadUI(shell.resourcePath("UI/RenalCLIPSlicer.ui"))
        shell.layout.addWidget(self.uiWidget)
        self.ui = slicer.util.childWidgetVariables(self.uiWidget)
        self.uiWidget.setMRMLScene(slicer.mrmlScene)
        folder = os.path.join(str(slicer.app.temporaryPath), f"RenalCLIP-{os.getpid()}")
        self.worker = CoreProcess(
            Requirements.chosenPython, os.path.join(folder, "worker"), _startupEnvironment, Requirements.advice
        )
        self.scene = Scene(Parameters(parameterNode()), folder)
        self.case = CaseLogic(self.worker, self.scene)
        self.case.listeners.append(self._onCase)
        self.connections = Connections()
        self._adopted: CaseState | None = None
        self._active = False
        self.panels: list[Panel] = []
        self._turns = Turns(self.panels, self._showInScene, self._afterTurn, self.connections)
        self.panels += [kind(self.ui, self.case, self.scene) for kind in PANELS]
        self.centrePanel = next(panel for panel in self.panels if isinstance(panel, CentrePanel))
        self.worklistPanel = next(panel for panel in self.panels if isinstance(panel, WorklistPanel))
        self._clock = qt.QTimer()
        self._clock.setInterval(CLOCK_MS)
        self.connections.on(self._clock.timeout, self._onClock)
        window = slicer.util.mainWindow()
        parent = self.uiWidget if window is None else window
        self._shortcuts = Shortcuts(parent, self.centrePanel, self.worklistPanel, self.case.centres, self.connections)
        self.connections.onNamed(self.ui.caseSelector, "currentNodeChanged(vtkMRMLNode*)", self._onCaseChosen)
        self.scene.marks.moved = self._onMoved
        self.scene.marks.defer = self._turns.later
        self._observeScene()
        self.restore()

    def openStudy(self, path: str) -> bool:
        """Open a study folder, or import a folder of DICOM files."""
        self.ui.studyPathEdit.currentPath = path
        return self.case.openFolder(path)

    def enter(self) -> None:
        """The module is shown."""
        self._active = True
        self._shortcuts.enable(self._active)
        self.case.tell("setup", "nodes")

    def leave(self) -> None:
        """Another module is shown."""
        self._active = False
        self.scene.marks.stopPlacing()
        self._shortcuts.enable(self._active)

    def cleanup(self) -> None:
        """Let go of everything: process, observers, timers, files."""
        self._saveRecord()
        self.removeObservers()
        self._turns.stop()
        self._clock.stop()
        self.case.listeners.clear()
        self.scene.marks.stopPlacing()
        self.scene.marks.release()
        for panel in self.panels:
            panel.cleanup()
        self.connections.release()
        self._shortcuts.release()
        self.worker.stop()
        self.scene.discardFiles()

    def restore(self) -> None:
        """Show the case that the scene holds, as it was saved."""
        self.scene.parameters = Parameters(self._parameterNode())
        self.scene.marks.parameters = self.scene.masks.parameters = self.scene.parameters
        self.case.reader, self.case.bundle = self.scene.parameters.reader, self.scene.parameters.bundle
        state, note = CaseState(), ""
        text = self.scene.readRecord()
        if text:
            try:
                state, note = stateFromJson(text)
            except StateFormatError as error:
                note = str(error)
        self._adopted = state
        self.case.adopt(state)
        self.case.say(note, "warning" if note else "info")
        self.case.tell("setup", "maps")

    def settle(self) -> None:
        """Show at once what otherwise waits for the event loop (used before saving and in tests)."""
        self._turns.settle()

    @property
    def settled(self) -> bool:
        """Whether everything is shown as it is."""
        return self._turns.settled

    def _observeScene(self) -> None:
        events = slicer.vtkMRMLScene
        self.addObserver(slicer.mrmlScene, events.StartCloseEvent, self._onSceneStartClose)
        self.addObserver(slicer.mrmlScene, events.EndCloseEvent, self._onSceneReplaced)
        self.addObserver(slicer.mrmlScene, events.EndImportEvent, self._onSceneReplaced)
        self.addObserver(slicer.mrmlScene, events.StartSaveEvent, self._onSceneStartSave)
        self.addObserver(slicer.mrmlScene, events.NodeRemovedEvent, self._onNodeRemoved)

    @property
    def _caseName(self) -> str:
        return str(self.case.state.study.get("study_id", "")).replace("study-", "", 1)

    def _onCase(self, what: str) -> None:
        if what == "leaving":
            self._saveRecord()  # the state is about to be another case's
            return
        if what == "dropped":
            self._dropCase()
            return
        self._turns.tell(what)

    def _dropCase(self) -> None:
        """A worklist's case leaves the scene; any other one stays in it, hidden."""
        self._turns.dropSteps()
        if self.case.state.source.kind == WORKLIST:
            self.scene.dropCase()
        else:
            self._saveRecord()
            self.scene.startCase(keepVolumes=False)

    def _afterTurn(self) -> None:
        self.worklistPanel.hideWithheld()
        if self.case.task:
            self._clock.start()
        else:
            self._clock.stop()
        self._shortcuts.enable(self._active)

    def _showInScene(self, changes: set[str]) -> None:
        adopting, self._adopted = self._adopted is self.case.state, None
        if "study" in changes:
            self._showStudy(adopting)
        if "masks" in changes and not adopting:
            self._showMasks()
        if "layout" in changes and slicer.app.layoutManager() is not None:
            self._applyLayout()
        if changes & {"lesion", "centre", "review"}:
            self._showCentre()
        if "lesion" in changes:
            self._turns.later(self.centrePanel.onJump)
        if changes & RECORDED:
            self._saveRecord()

    def _showStudy(self, adopting: bool) -> None:
        self._turns.dropSteps()
        study = self.case.state.study
        if not study and not adopting:
            return
        toLoad = []
        if not adopting:
            own = self.case.state.source.kind == "scene"
            self.scene.startCase(keepVolumes=own)
            toLoad = [] if own else study["phases"]
        for item in toLoad:
            self._turns.later(lambda item=item: self._loadPhase(item["phase"], item["file"]))
        if toLoad or self.scene.phaseNodes():
            self._turns.later(self._applyLayout, self.scene.views.fit, self.centrePanel.onJump)
        self._turns.later(lambda: self.case.tell("nodes"))

    def _applyLayout(self) -> None:
        self.scene.applyLayout()
        self._makeSurfaces()

    def _makeSurfaces(self) -> None:
        steps = self.scene.surfaceSteps()
        self._turns.next([*steps, self.scene.views.centreSurfaces] if steps else [])

    def _loadPhase(self, phase: str, file: str) -> None:
        if os.path.isfile(file):
            self.scene.loadPhase(phase, file, self._caseName)
        else:
            self.case.say(f"The volume of phase {phase} is no longer where the study was.", "warning")

    def _showMasks(self) -> None:
        masks = self.case.state.masks
        if masks.kind in SHOWN_MASKS and os.path.isfile(masks.file):
            self._turns.later(self._loadMasks)

    def _loadMasks(self) -> None:
        reference = self.scene.reference()
        if reference is not None and self.case.state.masks.kind in SHOWN_MASKS:
            steps = self.scene.masks.loadSteps(self.case.state.masks.file, reference, self._caseName)
            self._turns.next([*steps, self._makeSurfaces, lambda: self.case.tell("nodes")])

    def _showCentre(self) -> None:
        history, unlocked = self.case.centres.history, bool(self.ui.correctButton.checked)
        if history is None:
            self.scene.marks.hide()
        else:
            self.scene.marks.show(history.current.lps_mm, self.case.state.lesion, not unlocked)

    def _onClock(self, *_: Any) -> None:
        self.panels[0].showTask()

    def _onMoved(self, lps: Any) -> None:
        self.case.centres.move(lps, str(self.ui.reasonEdit.text).strip())

    def _onCaseChosen(self, *_: Any) -> None:
        record = self.ui.caseSelector.currentNode()
        if record is None or record is self.scene.parameters.record:
            return
        if self.case.task:
            self.case.say(f"{self.case.task.title} is still under way; cancel it first.", "warning")
            self._showRecord()
            return
        self._saveRecord()
        self.scene.marks.hide()
        self.scene.masks.hide()
        self.scene.showRecord(record)
        self.restore()

    def _saveRecord(self, *_: Any) -> None:
        state = self.case.state
        if state.study or self.scene.parameters.record is not None:
            self.scene.writeRecord(state.toJson(), self._caseName)
            self._showRecord()

    def _showRecord(self) -> None:
        selector = self.ui.caseSelector
        if selector.currentNode() is not self.scene.parameters.record:
            wasBlocked = selector.blockSignals(True)
            selector.setCurrentNode(self.scene.parameters.record)
            selector.blockSignals(wasBlocked)

    def _onSceneStartClose(self, *_: Any) -> None:
        self._turns.drop()
        self.scene.marks.stopPlacing()
        self.scene.marks.release()

    def _onSceneReplaced(self, *_: Any) -> None:
        self.centrePanel.setUnlocked(False)
        self.restore()

    def _onSceneStartSave(self, *_: Any) -> None:
        self._saveRecord()

    def _onNodeRemoved(self, *_: Any) -> None:
        if not slicer.mrmlScene.IsBatchProcessing():
            self.case.tell("nodes")


def _startupEnvironment() -> dict[str, str]:
    return dict(slicer.util.startupEnvironment())
