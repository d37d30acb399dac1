"""The module's self test, run inside Slicer (or in the window of its own) with the worker that is set up there."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from typing import Any

import slicer

from RenalCLIPCore.review import Absent

from . import Requirements

SEED = 2026
LONG_S = 900.0


class SelfTest:
    """A phantom study is made, segmented, corrected, signed off, saved, closed and reopened.

    Args:
        test: The scripted module's test case, which has the assertions.
    """

    def __init__(self, test: Any) -> None:
        self.test = test

    def run(self) -> None:
        """Run it; without a Python that has the core, only the opening of the module is tested."""
        slicer.util.selectModule("RenalCLIPSlicer")
        parts = slicer.modules.RenalCLIPSlicerWidget.parts
        self.parts, self.case = parts, parts.case
        self.test.assertFalse(parts.ui.segmentButton.enabled, "Segment needs a study")
        if not Requirements.chosenPython():
            self.test.delayDisplay("No Python with RenalCLIP is set up: only the opening of the module was tested.")
            return
        self.test.delayDisplay("Making and reading a phantom study")
        self.case.makePhantom(SEED)
        self.wait(lambda: bool(self.case.state.study) and not self.case.busy, "the study")
        self.test.assertEqual(set(parts.scene.phaseNodes()), set("NAVD"))
        self.case.segment()
        self.wait(lambda: not self.case.busy, "the reading")
        self.test.assertIsNotNone(self.case.state.review, self.case.message[1])
        self.correct()
        with tempfile.TemporaryDirectory() as folder:
            self.signAndSave(folder)
            self.reopen(os.path.join(folder, "case.mrb"))
        self.test.delayDisplay("RenalCLIP's self test passed")

    def correct(self) -> None:
        """A moved centre is read, and undone."""
        before = self.case.state.lesionReview().centre_used.lps_mm
        self.case.centres.nudge(3.0, 0.0, 0.0)
        self.wait(lambda: not self.case.busy, "the reading around the moved centre")
        after = self.case.state.lesionReview().centre_used.lps_mm
        self.test.assertAlmostEqual(after[0] - before[0], 3.0, 3)
        self.case.centres.undo()
        self.wait(lambda: not self.case.busy, "the reading around the first centre")
        self.test.assertFalse(self.case.centres.stale(self.case.state.lesion))
        self.test.assertFalse(isinstance(self.case.state.lesionReview().predicted, Absent))

    def signAndSave(self, folder: str) -> None:
        """A verdict and an edit are saved with the review."""
        self.case.notes.decide("malignancy", "accepted", "self test")
        self.case.notes.editReport("impression", "Self test.")
        self.case.save(os.path.join(folder, "review"))
        self.wait(lambda: not self.case.busy, "the saved review")
        with open(os.path.join(folder, "review", "review.json"), encoding="utf-8") as file:
            text = file.read()
        self.test.assertIn("self test", text)
        self.test.assertIn("Self test.", text)

    def reopen(self, path: str) -> None:
        """The scene comes back with the same case."""
        expected = self.case.state.toJson()
        self.parts.settle()
        self.test.assertTrue(slicer.util.saveScene(path))
        slicer.mrmlScene.Clear(0)
        self.parts.settle()
        self.test.assertIsNone(self.case.state.review)
        slicer.util.loadScene(path)
        self.parts.settle()
        self.test.assertEqual(self.case.state.toJson(), expected)

    def wait(self, condition: Callable[[], bool], what: str) -> None:
        """Let the window work until the condition holds."""
        end = time.monotonic() + LONG_S
        while not condition():
            self.test.assertLess(time.monotonic(), end, f"waited too long for {what}: {self.case.message[1]}")
            slicer.app.processEvents()
            time.sleep(0.01)
        self.parts.settle()
