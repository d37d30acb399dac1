"""Centres that a person chooses: history, and the worker's reading around them, one at a time and the newest only."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from RenalCLIPCore.review import CaseReview, Centre, Point
from RenalCLIPCore.review_reading import present

from .CaseState import now
from .CentreHistory import SAME_MM, CentreHistory
from .WorkerPlan import Level, pointParams
from .WorkerProtocol import ENDED, WorkerError

if TYPE_CHECKING:
    from .CaseLogic import CaseLogic


class CentreMover:
    """Moves centres and keeps the readings in step.

    While one centre is read, later ones wait; of those only the newest is read. A centre that the worker refuses is
    forgotten, and the one before it stands again.

    Args:
        case: The case.
    """

    def __init__(self, case: CaseLogic) -> None:
        self._case = case
        self._sent: tuple[str, Centre] | None = None
        self._wanted: set[str] = set()

    @property
    def moving(self) -> bool:
        """Whether a reading around another centre is under way."""
        return self._sent is not None

    @property
    def history(self) -> CentreHistory | None:
        """Of the shown lesion."""
        return self._case.state.centres.get(self._case.state.lesion)

    def stale(self, lesion: str) -> bool:
        """Whether the reading of a lesion belongs to another centre than the one in use."""
        history, review = self._case.state.centres.get(lesion), self._case.state.lesionReview(lesion)
        used = present(review.centre_used) if review else None
        return bool(history and used and math.dist(history.current.lps_mm, used.lps_mm) >= SAME_MM)

    def learn(self, review: CaseReview) -> None:
        """Start the histories of new lesions; those of lesions that are gone are forgotten."""
        known, self._case.state.centres = self._case.state.centres, {}
        for lesion in review.lesions:
            first = present(lesion.centre_proposed) or present(lesion.centre_used)
            if first is None:
                continue
            history = known.get(lesion.lesion_id, CentreHistory([first]))
            history.centres[0] = first
            self._case.state.centres[lesion.lesion_id] = history

    def move(self, lps: Point, why: str = "") -> None:
        """Choose another centre for the shown lesion, or a first point where no lesion is known."""
        case = self._case
        x, y, z = (float(value) for value in lps)
        centre = Centre((x, y, z), "manual", case.reader, now(), why)
        history = self.history
        if history is None:
            if case.state.study:
                case.readAt(centre)
            return
        if history.push(centre):
            self._changed()

    def nudge(self, dx: float, dy: float, dz: float) -> None:
        """Shift the centre by millimetres towards left, posterior and superior."""
        if self.history:
            x, y, z = self.history.current.lps_mm
            self.move((x + dx, y + dy, z + dz))

    def undo(self) -> None:
        """Go back to the centre before."""
        if self.history and self.history.canUndo:
            self.history.undo()
            self._changed()

    def redo(self) -> None:
        """Take the undone centre again."""
        if self.history and self.history.canRedo:
            self.history.redo()
            self._changed()

    def backToProposal(self) -> None:
        """Take the proposed centre again; this too can be undone."""
        if self.history and self.history.push(self.history.centres[0]):
            self._changed()

    def accept(self) -> None:
        """A person accepts the centre in use."""
        if self.history:
            self.history.accepted = True
            self._case.tell("centre")

    def refresh(self) -> None:
        """Read the shown lesion around the centre in use, where its reading is stale."""
        if self.stale(self._case.state.lesion):
            self._wanted.add(self._case.state.lesion)
            self.flush()

    def forget(self) -> None:
        """Another case: nothing of the earlier one is read any more."""
        self._sent, self._wanted = None, set()

    def flush(self) -> None:
        """Read the next waiting centre unless something else is under way."""
        case = self._case
        if self._sent or case.task:
            return
        while self._wanted:
            lesion = self._wanted.pop()
            if lesion in case.state.centres and self.stale(lesion):
                if case.plan.level < Level.READING:
                    case.ensure("Preparing the reading", Level.READING, lambda: case.finish(""))
                else:
                    self._send(lesion, case.state.centres[lesion].current)
                return

    def _changed(self) -> None:
        self._wanted.add(self._case.state.lesion)
        self.flush()
        self._case.tell("centre")

    def _send(self, lesion: str, centre: Centre) -> None:
        case = self._case
        sent = self._sent = (lesion, centre)

        def done(result: Any) -> None:
            if self._sent is sent:
                self._sent = None
                case.lesionRead(result)
                self._settled()

        def failed(error: WorkerError) -> None:
            if self._sent is sent:
                self._sent = None
                self._refused(lesion, centre, error)

        params = {"lesion_id": lesion, **pointParams(centre)}
        case.latest[lesion] = case.worker.request("review.update", params, done, failed)
        case.plan.movedByHand(lesion)
        case.tell("busy")

    def _refused(self, lesion: str, centre: Centre, error: WorkerError) -> None:
        case = self._case
        if error.code == ENDED:
            case.say(f"{error.message} The reading shown belongs to the centre before; press Refresh.", "error")
            case.tell("busy", "centre")
            return
        history = case.state.centres.get(lesion)
        if history:
            history.drop(centre)
            if self.stale(lesion):
                self._wanted.add(lesion)
        case.say(f"The centre was put back. {error.message}", "warning")
        case.latest.pop(lesion, None)
        self._settled()
        if not self._sent:
            case.later.askForRest()  # the refused request stopped what was still to come

    def _settled(self) -> None:
        self.flush()
        self._case.tell("busy", "centre")
