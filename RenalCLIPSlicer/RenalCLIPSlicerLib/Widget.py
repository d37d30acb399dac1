"""The module's window: panels, scene and case put together. Slow things happen in the worker or piece by piece."""

from __future__ import annotations

import os
import time
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
from .Panels.ZeroShotPanel import ZeroShotPanel
from .Parameters import Parameters
from .Scene import Scene

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
)
RECORDED = frozenset({"study", "masks", "review", "lesion", "reading", "maps", "centre", "report", "verdicts", "nodes"})
NUDGES = {
    "Left": (1.0, 0.0, 0.0),
    "Right": (-1.0, 0.0, 0.0),
    "Up": (0.0, -1.0, 0.0),
    "Down": (0.0, 1.0, 0.0),
    "PgUp": (0.0, 0.0, 1.0),
    "PgDown": (0.0, 0.0, -1.0),
}
CLOCK_MS, TURN_S = 500, 0.03


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
        self._changes: set[str] = set()
        self._dirty: list[Panel] = []
        self._steps: list[Callable[[], None]] = []
        self._adopting = False
        self._active = True
        self._makeTimers()
        self.panels = [kind(self.ui, self.case, self.scene) for kind in PANELS]
        self.centrePanel = next(panel for panel in self.panels if isinstance(panel, CentrePanel))
        self._makeShortcuts()
        self.connections.onNamed(self.ui.caseSelector, "currentNodeChanged(vtkMRMLNode*)", self._onCaseChosen)
        self.scene.marks.moved = self._onMoved
        self.scene.marks.defer = self._later
        self._observeScene()
        self.restore()

    def openStudy(self, path: str) -> bool:
        """Open a study folder, or import a folder of DICOM files."""
        self.ui.studyPathEdit.currentPath = path
        return self.case.openFolder(path)

    def enter(self) -> None:
        """The module is shown."""
        self._active = True
        self._enableShortcuts()
        self.case.tell("setup", "nodes")

    def leave(self) -> None:
        """Another module is shown."""
        self._active = False
        self.scene.marks.stopPlacing()
        self._enableShortcuts()

    def cleanup(self) -> None:
        """Let go of everything: process, observers, timers, files."""
        self._saveRecord()
        self.removeObservers()
        for timer in (self._changeTimer, self._stepTimer, self._clock):
            timer.stop()
        self.case.listeners.clear()
        self.scene.marks.stopPlacing()
        self.scene.marks.release()
        for panel in self.panels:
            panel.cleanup()
        self.connections.release()
        for shortcut in self._shortcuts:
            shortcut.setEnabled(False)
            shortcut.setParent(None)
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
        self._adopting = True
        self.case.adopt(state)
        self.case.say(note, "warning" if note else "info")
        self.case.tell("setup", "maps")

    def settle(self) -> None:
        """Show at once what otherwise waits for the event loop (used before saving and in tests)."""
        while not self.settled:
            self._onChanges()
            self._onStep()

    @property
    def settled(self) -> bool:
        """Whether everything is shown as it is."""
        return not (self._changes or self._dirty or self._steps)

    def _makeTimers(self) -> None:
        self._changeTimer, self._stepTimer, self._clock = qt.QTimer(), qt.QTimer(), qt.QTimer()
        for timer, interval, slot in (
            (self._changeTimer, 0, self._onChanges),
            (self._stepTimer, 5, self._onStep),
        ):
            timer.setSingleShot(True)
            timer.setInterval(interval)
            self.connections.on(timer.timeout, slot)
        self._clock.setInterval(CLOCK_MS)
        self.connections.on(self._clock.timeout, self._onClock)

    def _makeShortcuts(self) -> None:
        window = slicer.util.mainWindow()
        parent = self.uiWidget if window is None else window
        actions: dict[str, Callable[..., None]] = {
            "N": self.centrePanel.onNext,
            "P": self.centrePanel.onPrevious,
            "J": self.centrePanel.onJump,
            "C": self._onPlaceKey,
            "Ctrl+Shift+Z": self.centrePanel.onUndo,
            "Ctrl+Shift+Y": self.centrePanel.onRedo,
        }
        for key, shift in NUDGES.items():
            actions[key] = lambda *_, shift=shift: self.case.centres.nudge(*shift)
        self._shortcuts, self._nudges = [], []
        for key, action in actions.items():
            shortcut = qt.QShortcut(qt.QKeySequence(key), parent)
            self.connections.on(shortcut.activated, action)
            self._shortcuts.append(shortcut)
            if key in NUDGES:
                self._nudges.append(shortcut)

    def _enableShortcuts(self) -> None:
        unlocked = bool(self.ui.correctButton.checked)
        for shortcut in self._shortcuts:
            shortcut.setEnabled(self._active and (unlocked or shortcut not in self._nudges))

    def _observeScene(self) -> None:
        events = slicer.vtkMRMLScene
        self.addObserver(slicer.mrmlScene, events.StartCloseEvent, self._onSceneStartClose)
        self.addObserver(slicer.mrmlScene, events.EndCloseEvent, self._onSceneReplaced)
        self.addObserver(slicer.mrmlScene, events.EndImportEvent, self._onSceneReplaced)
        self.addObserver(slicer.mrmlScene, events.StartSaveEvent, self._onSceneStartSave)
        self.addObserver(slicer.mrmlScene, events.NodeRemovedEvent, self._onNodeRemoved)

    def _onCase(self, what: str) -> None:
        if what == "leaving":
            self._saveRecord()  # the state is about to be another case's
            return
        self._changes.add(what)
        self._changeTimer.start()

    def _onChanges(self, *_: Any) -> None:
        changes, self._changes = self._changes, set()
        if changes:
            self._dirty += [panel for panel in self.panels if changes & panel.listens and panel not in self._dirty]
            self._showInScene(changes)
            if changes & RECORDED:
                self._saveRecord()
        self._showPanels(time.monotonic() + TURN_S)
        if self.case.task:
            self._clock.start()
        else:
            self._clock.stop()
        self._enableShortcuts()

    def _showPanels(self, end: float) -> None:
        """Show what changed, panel by panel, for as long as the window may be kept busy; the rest comes next."""
        while self._dirty:
            self._dirty.pop(0).showNow()
            if self._dirty and time.monotonic() > end:
                self._changeTimer.start()
                return

    def _showInScene(self, changes: set[str]) -> None:
        adopting, self._adopting = self._adopting, False
        if "study" in changes:
            self._showStudy(adopting)
        if "masks" in changes and not adopting:
            self._showMasks()
        if "layout" in changes and slicer.app.layoutManager() is not None:
            self.scene.applyLayout()
        if changes & {"lesion", "centre", "review"}:
            self._showCentre()
        if "lesion" in changes:
            self._later(self.centrePanel.onJump)

    def _showStudy(self, adopting: bool) -> None:
        self._steps = []
        study = self.case.state.study
        if not study and not adopting:
            return
        if not adopting:
            own = self.case.state.source.kind == "scene"
            self.scene.startCase(keepVolumes=own)
            for item in () if own else study["phases"]:
                self._steps.append(lambda item=item: self._loadPhase(item["phase"], item["file"], study["study_id"]))
        if self.scene.phaseNodes() or self._steps:
            self._steps += [self.scene.applyLayout, self.scene.views.fit, self.centrePanel.onJump]
        self._steps.append(lambda: self.case.tell("nodes"))
        self._stepTimer.start()

    def _loadPhase(self, phase: str, file: str, name: str) -> None:
        if os.path.isfile(file):
            self.scene.loadPhase(phase, file, name)
        else:
            self.case.say(f"The volume of phase {phase} is no longer where the study was.", "warning")

    def _showMasks(self) -> None:
        masks = self.case.state.masks
        if masks.kind == "model" and os.path.isfile(masks.file):
            self._later(self._loadMasks)

    def _loadMasks(self) -> None:
        reference = self.scene.reference()
        if reference is not None and self.case.state.masks.kind == "model":
            name = self.case.state.study.get("study_id", "")
            steps = self.scene.masks.loadSteps(self.case.state.masks.file, reference, name)
            self._steps = [*steps, self.scene.showSurfaces, lambda: self.case.tell("nodes"), *self._steps]

    def _showCentre(self) -> None:
        history, unlocked = self.case.centres.history, bool(self.ui.correctButton.checked)
        if history is None:
            self.scene.marks.hide()
        else:
            self.scene.marks.show(history.current.lps_mm, self.case.state.lesion, not unlocked)

    def _later(self, action: Callable[[], None]) -> None:
        self._steps.append(action)
        self._stepTimer.start()

    def _onStep(self, *_: Any) -> None:
        if self._steps:
            self._steps.pop(0)()
        if self._steps:
            self._stepTimer.start()

    def _onClock(self, *_: Any) -> None:
        self.panels[0].showTask()

    def _onMoved(self, lps: Any) -> None:
        self.case.centres.move(lps, str(self.ui.reasonEdit.text).strip())

    def _onPlaceKey(self, *_: Any) -> None:
        if self.ui.placeButton.enabled:
            self.centrePanel.onPlace()

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
            self.scene.writeRecord(state.toJson(), state.study.get("study_id", ""))
            self._showRecord()

    def _showRecord(self) -> None:
        selector = self.ui.caseSelector
        if selector.currentNode() is not self.scene.parameters.record:
            wasBlocked = selector.blockSignals(True)
            selector.setCurrentNode(self.scene.parameters.record)
            selector.blockSignals(wasBlocked)

    def _onSceneStartClose(self, *_: Any) -> None:
        self._steps, self._dirty, self._changes = [], [], set()
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
