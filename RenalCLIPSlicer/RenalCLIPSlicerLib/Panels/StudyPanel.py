"""Step 1: which study, which phases, how they are shown."""

from __future__ import annotations

from html import escape
from typing import Any

import ctk

from RenalCLIPCore.review_reading import PHASES, SURE_PHASE, percent

from .Panel import Panel


class StudyPanel(Panel):
    """Opens a study, shows its phases to confirm or change, and sets the layout."""

    listens = frozenset({"study", "busy", "review", "nodes"})

    def build(self) -> None:
        """Connect."""
        ui, on = self.ui, self.connections.on
        ui.studyPathEdit.filters = ctk.ctkPathLineEdit.Dirs
        ui.caseSelector.addAttribute("vtkMRMLTextNode", "RenalCLIP.Case", "1")
        on(ui.openButton.clicked, self.onOpen)
        on(ui.usePhasesButton.clicked, self.onUsePhases)
        on(ui.layoutPhasesButton.clicked, self.onPhasesLayout)
        on(ui.layoutPlanesButton.clicked, self.onPlanesLayout)
        on(ui.windowButton.clicked, self.onWindow)
        for phase in PHASES:
            self.connections.onNamed(self.selector(phase), "currentNodeChanged(vtkMRMLNode*)", self.onPhaseChosen)

    def selector(self, phase: str) -> Any:
        """The node box of a phase."""
        return getattr(self.ui, f"phase{phase}Selector")

    def show(self) -> None:
        """Show how each phase was recognised, and what can be done."""
        study = self.case.state.study
        known = {item["phase"]: item for item in study.get("phases", ())}
        for phase in PHASES:
            if self.selector(phase).currentNode() is not self.scene.phaseNode(phase):
                self.selector(phase).setCurrentNode(self.scene.phaseNode(phase))
            self._showRecognition(phase, known.get(phase), study.get("reference") == phase)
        idle = self.case.task is None
        ui = self.ui
        ui.openButton.setEnabled(idle)
        ui.usePhasesButton.setEnabled(idle and bool(self.scene.phaseNodes()))
        notes = list(study.get("notes", ()))
        ui.studyLabel.setText(escape(f"Study {study['study_id']}. {' '.join(notes)}") if study else "No study is open.")
        ui.studyLabel.setStyleSheet(f"color:{self.theme.quiet}")

    def onOpen(self, *_: Any) -> None:
        """Open what the path names."""
        path = str(self.ui.studyPathEdit.currentPath).strip()
        if path:
            self.case.openFolder(path)
        else:
            self.case.say("Name a study folder, a DICOM folder or a volume file first.", "warning")

    def onUsePhases(self, *_: Any) -> None:
        """Take the chosen volumes as one study."""
        if self.case.task:
            return
        try:
            files = self.scene.phaseFiles()
        except ValueError as error:
            self.case.say(str(error), "error")
            return
        self.case.openPhases(files)

    def onPhaseChosen(self, *_: Any) -> None:
        """A person chose a volume for a phase."""
        if self.updating:
            return
        for phase in PHASES:
            self.scene.setPhaseNode(phase, self.selector(phase).currentNode())
        if self.case.state.study:
            self.case.say("The phases were changed; press Use these phases to read them.", "warning")
        self.case.tell("nodes")

    def onPhasesLayout(self, *_: Any) -> None:
        """Four phases side by side."""
        self.scene.parameters.layout = "phases"
        self.case.tell("layout")

    def onPlanesLayout(self, *_: Any) -> None:
        """Three planes and 3-D."""
        self.scene.parameters.layout = "planes"
        self.case.tell("layout")

    def onWindow(self, *_: Any) -> None:
        """Level 50, width 500 for every phase."""
        for node in self.scene.phaseNodes().values():
            self.scene.applyWindow(node)

    def _showRecognition(self, phase: str, item: Any, reference: bool) -> None:
        label = getattr(self.ui, f"phase{phase}Label")
        if item is None:
            label.setText("")
            label.toolTip = "This phase is not in the study."
            return
        unsure = item["confidence"] < SURE_PHASE
        words = percent(item["confidence"]) + (", reference" if reference else "")
        label.setText(self.theme.warn(words) if unsure else self.theme.soft(words))
        label.toolTip = f"Recognised with {percent(item['confidence'])} confidence: {item['reason']}"
