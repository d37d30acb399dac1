"""A reader's way through a worklist: its cases one after another, each with a reading that saves itself. Plain Python.

The worker holds the worklist and says what a case may show; a worker that was started anew is told of the worklist and
the open case before anything else of the case, so that nothing withheld can come through.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from RenalCLIPCore.review import Centre

from .Autosave import Autosave, Draft, Memory
from .CaseState import CaseState, now
from .CentreHistory import SAME_MM
from .WorkerPlan import WORKLIST, Level, Step

if TYPE_CHECKING:
    from .CaseLogic import CaseLogic

LONGEST_TICK_S = 2.0
OTHER_CASE = "This case was opened from a worklist; connect to the worklist and open it there."


class WorklistReading:
    """Opens a worklist's cases and keeps their readings.

    Args:
        case: The case that the window shows.
        memory: Makes the memory of what is unsaved of a worklist, by its identity and reader.
    """

    def __init__(self, case: CaseLogic, memory: Callable[[str, str], Memory]) -> None:
        self._case = case
        self._memory = memory
        self.address = ""
        self.reader = ""
        self.questions: dict[str, list[str]] = {}
        self.blinded = False
        self.rows: list[dict[str, Any]] = []
        self.total = self.finished = 0
        self.filter: dict[str, Any] = {}
        self.current: dict[str, Any] | None = None
        self.moved = False
        self.saving: Autosave | None = None
        self._openedIn = 0
        self._enteredIn = 0
        self._stage = ""
        self._placing = False
        self._place = 0
        self._wanted: dict[str, Any] = {}
        case.plan.prelude = self._prelude
        case.listeners.append(self._onCase)

    @property
    def connected(self) -> bool:
        """Whether a worklist is open."""
        return bool(self.address)

    @property
    def draft(self) -> Draft | None:
        """The reading of the open case."""
        return self.saving.open if self.saving else None

    @property
    def withheld(self) -> list[str]:
        """What the open case does not show: ``predictions``, ``masks``, ``nephrometry``."""
        return list(self.current["withheld"]) if self.current else []

    @property
    def loading(self) -> bool:
        """Whether the open case is still being loaded."""
        return self._stage not in ("", "open")

    def connect(self, address: str, reader: str) -> bool:
        """Open a worklist for a reader."""
        case = self._case
        if not address or not reader:
            case.say("Name the worklist (a file or postgresql://USER@HOST/NAME) and who reads.", "warning")
            return False

        def opened(result: Any) -> None:
            self.address, self.reader, case.reader = address, reader, reader
            self.questions, self.blinded = result["questions"], result["blinded"]
            self._openedIn = case.plan.greetings
            self._clear()
            self.saving = Autosave(case.worker.request, self._told, self._memory(str(result["worklist"]), reader))
            self.saving.recall()
            self._list(result)
            self._sessionClosed()
            case.finish(_found(self.total, self.finished))
            self.saving.resend()

        return case.run(
            "Opening the worklist", Level.GREETED, "worklist.open", {"db": address, "reader": reader}, opened
        )

    def close(self) -> bool:
        """Save what is left, and let go of the worklist."""
        if not self.connected or self._case.task:
            return False
        if self.saving:
            self.saving.leave()
        waiting = len(self.saving.unsaved) if self.saving else 0
        if self._ready:
            self._case.worker.request("worklist.close", {}, lambda answer: None, lambda error: None)
        if self.saving:
            self.saving.forget()
        self.address, self.saving, self.rows, self._place = "", None, [], 0
        self.total = self.finished = 0
        self._clear()
        self._sessionClosed()
        rest = f" {waiting} unsaved readings are kept here until it is opened again." if waiting else ""
        self._case.say(f"The worklist is closed.{rest}", "warning" if waiting else "info")
        return True

    def step(self, step: int) -> bool:
        """Open the next (1) or previous (-1) case; without an open one, the first that is not finished."""
        return self._go({"after": self._place, "step": step} if self._place else {})

    def open(self, number: int) -> bool:
        """Open the case of a row of the list."""
        return self._go({"number": number})

    def show(self, wanted: Mapping[str, Any]) -> None:
        """List the cases that a filter wants; next and previous go through these."""
        self.filter = dict(wanted)
        self.refresh()

    def refresh(self) -> None:
        """List the cases anew."""
        if self._ready:
            self._case.worker.request("worklist.list", {"filter": self.filter}, self._listed, lambda error: None)

    def change(self, **fields: Any) -> None:
        """Change the open case's reading; it saves itself."""
        draft = self.draft
        if draft is not None and draft.conflict is None and self.saving:
            self.saving.change(draft, fields)
            self._tell()

    def choose(self, reading: Mapping[str, Any]) -> None:
        """End the open case's conflict with one of its versions."""
        if self.draft is not None and self.saving:
            self.saving.choose(self.draft, reading, self._showPoint)

    def versions(self) -> list[dict[str, Any]]:
        """The versions between which a person chooses, what stands first: each with ``by``, ``at`` and ``reading``."""
        draft = self.draft
        if draft is None or draft.conflict is None or self.current is None:
            return []
        stands = {"by": draft.conflict["by"], "at": "", "reading": draft.conflict["reading"]}
        waiting = [{**item, "mine": False} for item in draft.conflict.get("waiting", [])]
        mine = [] if waiting else [{"by": self.reader, "at": "", "reading": draft.reading, "mine": True}]
        return [{**stands, "mine": False}, *waiting, *mine]

    def relocate(self, folder: str) -> bool:
        """Say in which folder the worklist's files lie now, and open the case again."""

        def noted(result: Any) -> None:
            self.moved = False
            self._case.finish("The new folder is noted.")
            self._go(self._wanted)

        return self._case.run("Looking into the folder", Level.GREETED, "worklist.relocate", {"folder": folder}, noted)

    def spend(self, seconds: float) -> None:
        """Time went by with the case open and the window active."""
        if self.draft is not None and self.saving and self._stage == "open":
            self.saving.spend(self.draft, min(max(seconds, 0.0), LONGEST_TICK_S))

    def spent(self) -> float:
        """Seconds on the open case so far, those of earlier sittings included."""
        earlier = float(self.current["seconds"]) if self.current else 0.0
        return earlier + (self.draft.spent if self.draft else 0.0)

    def retry(self) -> None:
        """Try again what could not be saved; a worker that is gone is started again."""
        if not self.saving or not (self.saving.unsaved or self.saving.problem):
            return
        if self._ready:
            self.saving.resend()
        elif self._case.task is None:
            saving = self.saving
            self._case.ensure("Opening the worklist again", Level.GREETED, lambda: self._again(saving))

    @property
    def _ready(self) -> bool:
        plan = self._case.plan
        return self.connected and plan.level > Level.COLD and self._openedIn == plan.greetings

    def _again(self, saving: Autosave) -> None:
        self._case.finish("")
        saving.resend()

    def _go(self, where: Mapping[str, Any]) -> bool:
        if not self.connected:
            return False
        case = self._case
        if case.task:
            case.say(f"{case.task.title} is still under way; wait for it or cancel it first.", "warning")
            return False
        self._wanted = dict(where)
        if self.saving and self.draft:
            self.saving.send(self.draft)
        return case.run(
            "Opening the case", Level.GREETED, "worklist.step", {**where, "filter": self.filter}, self._came
        )

    def _came(self, result: Any) -> None:
        case = self._case
        self._list(result)
        found = result["case"]
        if found is None:
            case.finish("There is no further case in this list." if self.rows else "No case fits this filter.")
            return
        saving = self.saving
        if saving is None:
            return
        saving.leave()
        self._clear()
        self._sessionClosed()
        self.current, self._place = dict(found), found["number"]
        self._enteredIn = case.plan.greetings
        draft = saving.begin(found["number"], found["version"], found["reading"])
        if found["waiting"] and draft.conflict is None:
            draft.conflict = {name: found[name] for name in ("version", "by", "reading", "waiting")}
        self._stage = "study"
        case.task = None
        case.openPhases(found["files"], kind=WORKLIST)
        self._tell()

    def _clear(self) -> None:
        self.current, self._stage, self.moved = None, "", False
        if self.saving:
            self.saving.open = None

    def _sessionClosed(self) -> None:
        """The worker has closed its case, so the window does; the nodes of a worklist's case leave the scene."""
        case = self._case
        case.tell("dropped")
        task, case.task = case.task, None
        case.adopt(CaseState())
        case.task = task
        case.plan.reached(min(case.plan.level, Level.BUNDLE))
        self._tell()

    def _onCase(self, what: str) -> None:
        if what == "busy" and self._case.task is None and self.loading:
            self._advance()
        elif what == "busy" and self._case.task is None and self._case.failure == "files_moved":
            self._missed()
        elif what == "centre" and self._stage == "open" and not self._placing:
            self._takeCentre()

    def _missed(self) -> None:
        """The files of a case are gone: say so, and let the next step go on beyond it."""
        self.moved, self._case.failure = True, ""
        where, numbers = self._wanted, [row["number"] for row in self.rows]
        if "number" in where:
            self._place = where["number"]
        elif where.get("after") in numbers:
            place = numbers.index(where["after"]) + where["step"]
            self._place = numbers[place] if 0 <= place < len(numbers) else self._place
        else:
            self._place = next((row["number"] for row in self.rows if row["status"] != "finished"), 0)
        self._tell()

    def _advance(self) -> None:
        """The next part of loading a case; a part that failed ends it, and its message stays."""
        case, current = self._case, self.current
        stage, self._stage = self._stage, "open"
        if current is None or case.message[0] == "error":
            self._tell()
            return
        if stage == "study" and case.state.study:
            if current["label_map"]:
                self._stage = "masks"
                case.takeMasks(current["label_map"])
                return
            if current["centre_lps_mm"] is not None:
                self._stage = "masks"
                x, y, z = (float(value) for value in current["centre_lps_mm"])
                case.readAt(Centre((x, y, z), "manual", "", now(), "the cohort table's centre"))
                return
        self._showPoint()
        self._tell()

    def _showPoint(self) -> None:
        """Put the centre where the reading has it: at its point, else at the proposal."""
        draft, centres = self.draft, self._case.centres
        if draft is None or not self._case.state.study:
            return
        point, history = draft.reading["point_lps_mm"], centres.history
        self._placing = True
        try:
            if point is None:
                while history is not None and history.canUndo:
                    centres.undo()
            elif history is None or math.dist(history.current.lps_mm, point) >= SAME_MM:
                x, y, z = (float(value) for value in point)
                centres.move((x, y, z), "as the worklist has it")
            else:
                history.accepted = True
                self._case.tell("centre")
        finally:
            self._placing = False

    def _takeCentre(self) -> None:
        """A centre that a person moved or accepted is the reading's; undone, it is not."""
        history, draft = self._case.centres.history, self.draft
        if history is None or draft is None:
            return
        point = draft.reading["point_lps_mm"]
        if history.accepted or history.index > 0 or self._placed(history.current):
            lps = [float(value) for value in history.current.lps_mm]
            if point is None or math.dist(lps, point) >= SAME_MM:
                self.change(point_lps_mm=lps)
        elif point is not None and any(math.dist(one.lps_mm, point) < SAME_MM for one in history.centres):
            self.change(point_lps_mm=None)

    def _placed(self, centre: Centre) -> bool:
        """Whether a person placed a first point, where neither masks nor the cohort table propose one."""
        proposed = self.current["centre_lps_mm"] if self.current else None
        return centre.source == "manual" and (proposed is None or math.dist(centre.lps_mm, proposed) >= SAME_MM)

    def _list(self, result: Mapping[str, Any]) -> None:
        self.rows, self.total, self.finished = list(result["cases"]), result["total"], result["finished"]

    def _listed(self, result: Any) -> None:
        self._list(result)
        self._tell()

    def _told(self) -> None:
        """The state of saving changed: the open case's row follows its reading."""
        draft = self.draft
        if draft is not None and self.current is not None:
            for row in self.rows:
                if row["number"] == draft.number:
                    reading, begun = draft.reading, draft.version or not draft.clean
                    row["status"] = "finished" if reading["finished"] else "started" if begun else row["status"]
                    row["quality"], row["flagged"] = reading["quality"], reading["flagged"]
        self._tell()

    def _tell(self) -> None:
        self._case.tell("worklist")

    def _prelude(self) -> Step | None:
        """What a worker that was started anew must be told of the worklist before anything of the case."""
        greetings = self._case.plan.greetings
        if not self.connected:
            if self._case.state.source.kind == WORKLIST:
                raise ValueError(OTHER_CASE)
            return None
        if self._openedIn != greetings:
            params = {"db": self.address, "reader": self.reader}
            return Step("worklist.open", params, lambda result: self._reopened(greetings))
        if self.current is not None and self._enteredIn != greetings:
            return Step("worklist.step", self._backTo(self.current["number"]), self._reentered)
        return None

    def _reopened(self, greetings: int) -> None:
        self._openedIn = greetings

    def _backTo(self, number: int) -> dict[str, Any]:
        """How to come to a case again: after the one before it, since an unread case cannot be named out of turn."""
        numbers = [row["number"] for row in self.rows]
        place = numbers.index(number) if number in numbers else 0
        return {"after": numbers[place - 1], "filter": self.filter} if place else {"number": number}

    def _reentered(self, result: Any) -> str | None:
        found = result["case"]
        if self.current is None or found is None or found["number"] != self.current["number"]:
            return "The worklist has changed meanwhile; open the case again from the list."
        self._enteredIn = self._case.plan.greetings
        return None


def _found(total: int, finished: int) -> str:
    return f"{total} cases, {finished} finished." if total else "The worklist holds no case for this reader."
