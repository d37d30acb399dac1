"""Which Python runs the core, which bundle it loads, and the phantom study."""

from __future__ import annotations

from html import escape
from typing import Any

import ctk

from .. import Requirements
from .Panel import Panel

SAMPLE_SEED = 2026


class SetupPanel(Panel):
    """Chooses the environment; nothing is installed without asking."""

    listens = frozenset({"setup", "study"})

    def build(self) -> None:
        """Connect."""
        self.ui.pythonPathEdit.filters = ctk.ctkPathLineEdit.Files
        self.ui.bundlePathEdit.filters = ctk.ctkPathLineEdit.Dirs
        self._bundle = ""
        on = self.connections.on
        on(self.ui.sourceEdit.textChanged, self.onSource)
        on(self.ui.usePythonButton.clicked, self.onUsePython)
        on(self.ui.useBundleButton.clicked, self.onUseBundle)
        on(self.ui.ownPythonButton.clicked, self.onOwnPython)
        on(self.ui.sampleButton.clicked, self.onSample)

    def show(self) -> None:
        """Show what is chosen."""
        python = Requirements.chosenPython()
        self._showSource()
        self._showBundle()
        if not str(self.ui.pythonPathEdit.currentPath):
            self.ui.pythonPathEdit.currentPath = python
        if not python:
            self.ui.setupSection.collapsed = False
            text = self.theme.warn(f"No Python with RenalCLIP is known. {Requirements.advice('')}")
        else:
            text = self.theme.soft(escape(f"Calculations run in {python}; model: {self._bundleWords()}."))
        self.ui.setupLabel.setText(text)

    def onSource(self, *_: Any) -> None:
        """Install from elsewhere."""
        if not self.updating:
            Requirements.nameSource(str(self.ui.sourceEdit.text))
            self.case.tell("setup")

    def onUsePython(self, *_: Any) -> None:
        """Run the core in another Python."""
        Requirements.choosePython(str(self.ui.pythonPathEdit.currentPath).strip())
        self._restart("The calculations will start in the chosen Python with the next step.")

    def onUseBundle(self, *_: Any) -> None:
        """Load another bundle."""
        self.case.bundle = str(self.ui.bundlePathEdit.currentPath).strip()
        self.scene.parameters.bundle = self.case.bundle
        self._restart("The bundle will be loaded with the next step.")

    def onOwnPython(self, *_: Any) -> None:
        """Install the core into Slicer's Python."""
        problem = Requirements.installIntoOwnPython()
        if problem:
            self.case.say(problem, "warning")
            return
        self.ui.pythonPathEdit.currentPath = Requirements.ownPython()
        self.onUsePython()

    def onSample(self, *_: Any) -> None:
        """Make and open a phantom study."""
        self.case.makePhantom(SAMPLE_SEED)

    def _showBundle(self) -> None:
        """Name the case's bundle where it is another than before; what a person types meanwhile stays."""
        if self.case.bundle != self._bundle:
            self._bundle = self.case.bundle
            self.ui.bundlePathEdit.currentPath = self._bundle

    def _bundleWords(self) -> str:
        loaded = self.case.plan.provenance if self.case.plan.hasBundle else {}
        if loaded:
            return f"{loaded['name']} {loaded['version']}"
        return f"{self.case.bundle or 'the bundle that ships'}, loaded with the next step"

    def _showSource(self) -> None:
        known = Requirements.knownSource()
        if known:
            self.ui.sourceEdit.setPlaceholderText(known)
        if not self.ui.sourceEdit.hasFocus() and str(self.ui.sourceEdit.text) != Requirements.namedSource():
            self.ui.sourceEdit.setText(Requirements.namedSource())

    def _restart(self, text: str) -> None:
        if self.case.task:
            self.case.say(f"{self.case.task.title} is still under way; cancel it first.", "warning")
            return
        self.case.worker.stop()
        self.case.plan.forget()
        self.case.say(escape(text))
        self.case.tell("setup")
