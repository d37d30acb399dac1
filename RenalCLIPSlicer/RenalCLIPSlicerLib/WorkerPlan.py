"""What a worker must be told so that it knows the case as it stands: after a start, and after a crash. Plain Python."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Protocol

from RenalCLIPCore.review import Absent, Centre, LesionReview
from RenalCLIPCore.review_reading import present

from .CaseState import CaseState
from .WorkerProtocol import PROTOCOL_VERSION, handshakeProblem

STUDY_FILE = "study.json"
WORKLIST = "worklist"  # where a study comes from; it is read through its worklist alone
PARTS = {"explanation": "explain", "uncertainty": "uncertainty", "measured": "measure"}


class Level(IntEnum):
    """What the worker knows; ``COMPLETE`` is a reading with every part that the case holds of it."""

    COLD = 0
    GREETED = 1
    BUNDLE = 2
    STUDY = 3
    MASKS = 4
    READING = 5
    COMPLETE = 6


class Files(Protocol):
    """Files that stand for the scene's nodes."""

    def phaseFiles(self) -> dict[str, str]:
        """A volume file per phase, written anew."""

    def masksFile(self) -> str:
        """A label map file (kidney 1, tumour 2, cyst 3) of the case's segmentation, written anew where needed."""

    def newFolder(self, name: str) -> str:
        """A folder that does not exist yet, for a study or a phantom."""


@dataclass(frozen=True)
class Step:
    """One request, and what its answer means: ``taken`` may return a problem in words."""

    method: str
    params: Mapping[str, Any]
    taken: Callable[[Any], object]


class WorkerPlan:
    """Knows how far a worker has been told about the case.

    Args:
        state: The case as it stands.
        files: Of the scene.
        bundle: Folder of the model bundle; empty for the one that ships.
        moved: Takes the worker's reading of a lesion around a centre that a person chose.

    Attributes:
        level: How far the worker has been told.
        greetings: How many workers were greeted so far.
        prelude: What a greeted worker must be told before anything of the case; None when it knows.
    """

    def __init__(
        self, state: Callable[[], CaseState], files: Files, bundle: Callable[[], str], moved: Callable[[Any], None]
    ) -> None:
        self._state = state
        self._lesionRead = moved
        self._files = files
        self._bundle = bundle
        self.level = Level.COLD
        self.provenance: dict[str, Any] = {}
        self._loaded: str | None = None
        self.greetings = 0
        self.prelude: Callable[[], Step | None] = lambda: None
        self._moved: set[str] = set()
        self._brought: set[tuple[str, str]] = set()

    def forget(self) -> None:
        """The worker is gone."""
        self.reached(Level.COLD)

    @property
    def hasBundle(self) -> bool:
        """Whether the bundle that was loaded last is the one that is wanted; ``provenance`` tells of it."""
        return self._loaded == self._bundle()

    def dropCase(self) -> None:
        """Another case: the worker knows its bundle at most."""
        self.reached(min(self.level, Level.BUNDLE if self.hasBundle else Level.GREETED))

    def reached(self, level: Level) -> None:
        """The worker was told by other means."""
        self.level, self._moved, self._brought = level, set(), set()

    def next(self, wanted: Level) -> Step | None:
        """The next request on the way to a level; None when it is reached.

        Raises:
            ValueError: The case cannot be told to the worker; the message says why.
        """
        if self.level is not Level.COLD:
            first = self.prelude()
            if first:
                return first
        while self.level < min(wanted, Level.READING):
            step = {
                Level.COLD: self._greet,
                Level.GREETED: self._load,
                Level.BUNDLE: self._open,
                Level.STUDY: self._mask,
                Level.MASKS: self._read,
            }[self.level]()
            if step:
                return step
        if wanted < Level.READING:
            return None
        return self._move() or (self._bring() if wanted is Level.COMPLETE else None)

    def _greet(self) -> Step:
        def taken(result: Any) -> str | None:
            self.level = Level.GREETED
            self.greetings += 1
            return handshakeProblem(result)

        return Step("initialize", {"protocol": PROTOCOL_VERSION, "client": "RenalCLIPSlicer"}, taken)

    def _load(self) -> Step:
        path = self._bundle()

        def taken(result: Any) -> None:
            self.provenance, self._loaded = dict(result), path
            self.level = Level.BUNDLE

        return Step("bundle.load", {"path": path} if path else {}, taken)

    def _open(self) -> Step:
        state = self._state()

        def taken(result: Any) -> None:
            state.source.folder = result["folder"]
            self.level = Level.STUDY

        if state.source.kind == WORKLIST:
            phases = dict(entry.split("=", 1) for entry in state.source.phases)
            return Step("study.import", importParams(phases, self._files.newFolder("study")), taken)
        if os.path.isfile(os.path.join(state.source.folder, STUDY_FILE)):
            return Step("study.open", {"path": state.source.folder}, taken)
        return Step("study.import", importParams(self._files.phaseFiles(), self._files.newFolder("study")), taken)

    def _mask(self) -> Step | None:
        def taken(result: Any) -> None:
            self.level = Level.MASKS

        masks = self._state().masks
        if not masks.kind:
            self.level = Level.MASKS
            return None
        origin = {"origin": masks.origin} if masks.origin else {}
        return Step("segment", {"file": self._files.masksFile(), **origin}, taken)

    def _read(self) -> Step:
        def taken(result: Any) -> None:
            self.reached(Level.READING)

        state = self._state()
        primary = state.review.primary if state.review else None
        params = {}
        if primary and primary.label == "point" and not isinstance(primary.centre_used, Absent):
            params = pointParams(primary.centre_used)
        return Step("review", params, taken)

    def _move(self) -> Step | None:
        state = self._state()
        for lesion in state.review.lesions if state.review else ():
            history = state.centres.get(lesion.lesion_id)
            known = lesion.lesion_id in self._moved or lesion.label == "point"
            if history and history.current.source == "manual" and not known:
                self._moved.add(lesion.lesion_id)
                params = {"lesion_id": lesion.lesion_id, **pointParams(history.current)}
                return Step("review.update", params, self._lesionRead)
        return None

    def _bring(self) -> Step | None:
        review = self._state().review
        for lesion in review.lesions if review else ():
            for part in held(lesion):
                if (lesion.lesion_id, part) not in self._brought:
                    self._brought.add((lesion.lesion_id, part))
                    return Step(PARTS[part], {"lesion_id": lesion.lesion_id}, lambda result: None)
        return None

    def movedByHand(self, lesion: str) -> None:
        """The worker knows this lesion's centre, and no more than that of its reading."""
        self._moved.add(lesion)
        self._brought -= {(lesion, part) for part in PARTS}

    def broughtPart(self, lesion: str, part: str) -> None:
        """The worker has computed a part of a lesion's reading."""
        self._brought.add((lesion, part))


def held(lesion: LesionReview) -> list[str]:
    """The parts of :data:`PARTS` that a lesion's review holds."""
    reading = present(lesion.predicted)
    parts = {
        "explanation": reading.explanation if reading else Absent(""),
        "uncertainty": reading.uncertainty if reading else Absent(""),
        "measured": lesion.measured,
    }
    return [name for name in PARTS if not isinstance(parts[name], Absent)]


def pointParams(centre: Centre) -> dict[str, Any]:
    """A centre as the worker's methods take it."""
    why = centre.why if centre.source == "manual" else "the proposed centre again"
    return {"centre_lps_mm": [float(v) for v in centre.lps_mm], "by": centre.by[:200], "why": why[:2000]}


def importParams(files: Mapping[str, str], out: str) -> dict[str, Any]:
    """An import of one volume file per phase."""
    return {"sources": list(files.values()), "out": out, "phases": [f"{name}={path}" for name, path in files.items()]}
