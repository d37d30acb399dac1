"""The course of a case: study, masks, reading, corrected centres, report, verdicts, saving. No Qt, no MRML.

One piece of long work runs at a time; what arrives meanwhile is refused (a second click) or waits (a moved centre).
Nothing of the case changes before the worker has answered, so a failure or a cancel leaves it as it was.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from RenalCLIPCore.review import CaseReview, LesionReview, decode
from RenalCLIPCore.review_reading import present

from .CaseState import CaseState, MaskSource, StudySource
from .CentreMover import CentreMover
from .LaterParts import LaterParts
from .LongWork import LongWork, WorkerPort
from .ReaderNotes import ReaderNotes
from .WorkerPlan import STUDY_FILE, Files, Level, Step, WorkerPlan, importParams, pointParams
from .WorkerProtocol import withoutEvidence


class CaseLogic(LongWork):
    """Drives one case through the worker.

    Listeners are told what changed: ``busy``, ``study``, ``masks``, ``review`` (all lesions), ``lesion`` (another one
    is shown), ``reading`` (the shown lesion's), ``maps``, ``centre``, ``report``, ``verdicts``,
    ``message``, ``worklist``, ``leaving`` just before another study takes the case's place, or ``dropped`` just before
    a worklist's case is closed.

    Args:
        worker: The worker's process.
        files: Files that stand for the scene's nodes.
    """

    def __init__(self, worker: WorkerPort, files: Files) -> None:
        super().__init__(worker, WorkerPlan(lambda: self.state, files, lambda: self.bundle, self.lesionRead))
        self.files = files
        self.state = CaseState()
        self.reader = ""
        self.bundle = ""
        self.latest: dict[str, int] = {}
        self.savedFiles: list[str] = []
        self.centres = CentreMover(self)
        self.notes = ReaderNotes(self)
        self.later = LaterParts(self)
        worker.notified, worker.ended = self._notified, self._ended

    @property
    def busy(self) -> bool:
        """Whether long work or a refresh is under way."""
        return self.task is not None or self.centres.moving

    def rested(self) -> None:
        """Waiting centres are read now, and what the shown lesion lacks is asked for."""
        self.centres.flush()
        if not self.busy:
            self.later.askForRest()

    def asked(self, step: Step, request: int) -> None:
        """Remember the newest reading of a lesion: what follows older ones is dropped."""
        if step.method == "review.update":
            self.latest[step.params["lesion_id"]] = request

    def openFolder(self, path: str) -> bool:
        """Open a study folder, or import a folder or file of DICOM or volume files."""
        if not os.path.exists(path):
            self.say(f"There is no folder or file {os.path.basename(path) or path}; choose another.", "error")
            return False
        if os.path.isfile(os.path.join(path, STUDY_FILE)):
            source = StudySource("folder", [path])
            return self._open("Opening the study", "study.open", {"path": path}, source)
        source = StudySource("import", [path])
        params = {"sources": [path], "out": self.files.newFolder("study")}
        return self._open("Importing the study", "study.import", params, source)

    def openPhases(self, files: Mapping[str, str], kind: str = "scene") -> bool:
        """Import one volume file per phase, as a person chose them."""
        params = importParams(files, self.files.newFolder("study"))
        source = StudySource(kind, list(files.values()), params["phases"])
        return self._open("Importing the phases", "study.import", params, source)

    def makePhantom(self, seed: int) -> bool:
        """Make a study of the digital phantom and import it."""

        def made(result: Any) -> None:
            self.task = None
            self.openFolder(result["folder"])

        params = {"out": self.files.newFolder("phantom"), "seed": seed}
        return self.run("Making a phantom study", Level.GREETED, "phantom.study", params, made)

    def segment(self) -> bool:
        """Segment with the bundle's model, then read the lesions."""
        return self._segment("Segmenting", {}, "model")

    def useMasks(self) -> bool:
        """Take the segmentation that the scene offers, then read the lesions."""
        try:
            file = self.files.masksFile()
        except ValueError as error:
            self.say(str(error), "error")
            return False
        return self._segment("Taking the segmentation", {"file": file}, "scene")

    def takeMasks(self, file: str) -> bool:
        """Take a label map file, then read the lesions."""
        return self._segment("Taking the segmentation", {"file": file}, "file")

    def read(self) -> bool:
        """Read all lesions anew; centres that a person chose are kept."""
        return self.run("Reading", Level.MASKS, "review", {}, self._reviewed)

    def readAt(self, point: Any) -> bool:
        """Read around a point where no lesion is known."""
        return self.run("Reading at the point", Level.MASKS, "review", pointParams(point), self._reviewed)

    def selectLesion(self, lesion: str) -> None:
        """Show another lesion; what its reading still lacks is asked for."""
        if lesion != self.state.lesion and self.state.lesionReview(lesion):
            self.state.lesion = lesion
            self.tell("lesion")
            self.later.askForRest()

    def stepLesion(self, step: int) -> None:
        """Show the next (1) or previous (-1) lesion, around the end."""
        names = [item.lesion_id for item in self.state.review.lesions] if self.state.review else []
        if len(names) > 1 and self.state.lesion in names:
            self.selectLesion(names[(names.index(self.state.lesion) + step) % len(names)])

    def save(self, folder: str) -> bool:
        """Write review.json, review.html and what they name, with the reader's edits and verdicts."""
        if self.state.review is None:
            self.say("There is no reading to save yet.", "warning")
            return False

        def saved(result: Any) -> None:
            self.savedFiles = list(result["files"])
            rest = " What still comes is not in it; save again once it is there." if self.later.underWay else ""
            self.finish(f"Saved {', '.join(os.path.basename(name) for name in self.savedFiles)} in {folder}.{rest}")

        params = {"out": folder, "edits": self.state.edits(), "sign_off": self.state.signOff()}
        return self.run("Saving", Level.COMPLETE, "review.save", params, saved)

    def adopt(self, state: CaseState) -> None:
        """Take a case from the scene; whatever ran for another one is dropped."""
        if self.task:
            self.cancel()
            self.task = None
        self.centres.forget()
        self.later.forget()
        self.state, self.latest, self.savedFiles = state, {}, []
        self.plan.dropCase()
        self.tell("busy", "study", "masks", "review", "lesion", "centre", "report", "verdicts")

    def lesionRead(self, data: Any) -> None:
        """Put the worker's reading of one lesion into the review."""
        lesion = decode(LesionReview, withoutEvidence(data))
        if self.state.review is None:
            return
        self.replaceLesion(lesion)
        self.later.expect(lesion)
        self.notes.withdrawOutdated(lesion.lesion_id)
        self.tell("reading", "report", "verdicts")

    def _open(self, title: str, method: str, params: Mapping[str, Any], source: StudySource) -> bool:
        def opened(result: Any) -> None:
            self.tell("leaving")
            source.folder = result["folder"]
            self.centres.forget()
            self.later.forget()
            self.state = CaseState(source=source, study=dict(result))
            self.latest = {}
            self.plan.reached(Level.STUDY)
            self.tell("study", "masks", "review", "lesion", "centre", "report", "verdicts")
            self.finish("")

        return self.run(title, Level.BUNDLE, method, params, opened)

    def _segment(self, title: str, params: Mapping[str, Any], kind: str) -> bool:
        if not self.state.study:
            self.say("Open a study first.", "warning")
            return False

        def segmented(result: Any) -> None:
            origin = dict(result.get("origin", {}))
            masks = MaskSource(kind, result["file"], result["model"], list(result["notes"]), origin)
            self.plan.reached(Level.STUDY)  # until they are read, the case keeps the masks that it had

            def read(answer: Any) -> None:
                self.state.masks = masks
                self.tell("masks")
                self._reviewed(answer)

            self.send("review", {}, read)

        return self.run(title, Level.STUDY, "segment", params, segmented)

    def _reviewed(self, result: Any) -> None:
        review = decode(CaseReview, withoutEvidence(result))
        state = self.state
        gone = state.keepOnly(review)
        if gone:
            self.say(f"{', '.join(gone)}: another lesion now, so what was noted on it was dropped.", "warning")
        state.review = review
        state.mapsFolder = ""
        names = [item.lesion_id for item in review.lesions]
        if state.lesion not in names:
            state.lesion = review.primary.lesion_id if review.primary else (names[0] if names else "")
        if review.primary and self.task:
            self.latest = {review.primary.lesion_id: self.task.request}
            self.later.expect(review.primary)
        self.centres.learn(review)
        self.plan.reached(Level.READING)
        self.notes.withdrawOutdated(*names)
        self.reach(Level.READING, self._readingComplete)

    def _readingComplete(self) -> None:
        self.tell("review", "lesion", "centre", "report", "verdicts")
        kind, text = self.message  # what the reading had to say stays
        self.finish(text, kind)

    def replaceLesion(self, lesion: LesionReview) -> None:
        """Put a lesion's review in the place of the one with its id."""
        review = self.state.review
        if review:
            lesions = tuple(lesion if item.lesion_id == lesion.lesion_id else item for item in review.lesions)
            self.state.review = replace(review, lesions=lesions)

    def amend(self, lesion: str, **parts: Any) -> None:
        """Replace parts of a lesion's review."""
        review = self.state.lesionReview(lesion)
        if review:
            self.replaceLesion(replace(review, **parts))

    def amendReading(self, lesion: str, **parts: Any) -> None:
        """Replace parts of a lesion's reading by the network."""
        review = self.state.lesionReview(lesion)
        reading = present(review.predicted) if review else None
        if reading:
            self.amend(lesion, predicted=replace(reading, **parts))

    def _ended(self, text: str) -> None:
        self.plan.forget()
        self.latest = {}
        self.later.forget()
        self.tell("reading")
        if self.task is None and text:
            self.say(text, "error")

    def _notified(self, method: str, params: Mapping[str, Any]) -> None:
        self.later.take(method, params)
