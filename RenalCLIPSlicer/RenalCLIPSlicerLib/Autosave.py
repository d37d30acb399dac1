"""Readings on their way into a worklist's database: every change is sent, and kept until it has arrived. Plain Python.

One change of a reading is on its way at a time; what was changed meanwhile follows in one piece. A change that the
database refused is made anew when it is tried again; one whose answer was lost is sent again as it was, which has no
effect where it had arrived.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from .WorkerProtocol import CANCELLED, ENDED, WorkerError

LEAST_S = 1.0
EMPTY: dict[str, Any] = {
    "point_lps_mm": None,
    "quality": "",
    "answers": {},
    "comment": "",
    "flagged": False,
    "finished": False,
}


class Memory(Protocol):
    """Keeps what is unsaved over the end of the application."""

    def read(self) -> str:
        """What was kept, empty when nothing was."""

    def write(self, text: str) -> None:
        """Keep a text, nothing when it is empty."""


@dataclass
class Draft:
    """A reading as it shall be, and how far the database has it.

    Attributes:
        number: Of the assignment.
        version: That the database has answered last; the next change is made on it.
        saved: The reading of that version.
        reading: As it shall be.
        seconds: Time spent since the last change that was taken.
        spent: Time spent since the case was opened.
        sent: The change under way, or None.
        lost: A change whose answer never came.
        problem: Why the last try failed; empty after a success.
        conflict: What stands in the database where another change came before, with ``version`` and ``by``.
    """

    number: int
    version: int
    saved: dict[str, Any]
    reading: dict[str, Any]
    seconds: float = 0.0
    spent: float = 0.0
    sent: dict[str, Any] | None = field(default=None, repr=False)
    lost: dict[str, Any] | None = field(default=None, repr=False)
    problem: str = ""
    conflict: dict[str, Any] | None = None

    @property
    def clean(self) -> bool:
        """Whether the database has everything."""
        return self.sent is None and self.lost is None and self.conflict is None and self.reading == self.saved


class Autosave:
    """Sends changes through the worker.

    Args:
        request: Sends a request to the worker.
        told: Called whenever the state of saving has changed.
        memory: Keeps what is unsaved.

    Attributes:
        drafts: By number of their assignment.
        open: The draft of the case that is open.
    """

    def __init__(self, request: Callable[..., int], told: Callable[[], None], memory: Memory) -> None:
        self._request = request
        self._told = told
        self._memory = memory
        self.drafts: dict[int, Draft] = {}
        self.open: Draft | None = None
        self._closed = False

    @property
    def unsaved(self) -> list[Draft]:
        """Readings that the database does not have whole; conflicts, which it keeps, are not among them."""
        return [draft for draft in self.drafts.values() if not draft.clean and draft.conflict is None]

    @property
    def problem(self) -> str:
        """Why something could not be saved, empty when nothing failed."""
        return next((draft.problem for draft in self.drafts.values() if draft.problem), "")

    def begin(self, number: int, version: int, reading: Mapping[str, Any]) -> Draft:
        """A case is opened: its draft, which is the unsaved one where there is one."""
        known = self.drafts.get(number)
        if known is None or known.clean:
            known = Draft(number, version, {**EMPTY, **reading}, {**EMPTY, **reading})
            self.drafts[number] = known
        self.open = known
        return known

    def change(self, draft: Draft, fields: Mapping[str, Any]) -> None:
        """Change fields of a reading, and send it."""
        reading = {**draft.reading, **fields}
        if reading != draft.reading:
            draft.reading = reading
            self._keep()
            self.send(draft)

    def send(self, draft: Draft) -> None:
        """Send what the database lacks, unless something is on its way or waits for a person's choice."""
        if draft.sent is not None or draft.conflict is not None or draft.clean:
            return
        change = draft.lost or {
            "number": draft.number,
            "change_id": uuid.uuid4().hex,
            "base_version": draft.version,
            "reading": draft.reading,
            "seconds": draft.seconds,
        }
        draft.sent, draft.lost = change, None
        self._keep()
        self._request(
            "worklist.save",
            change,
            lambda answer: self._saved(draft, change, answer),
            lambda error: self._failed(draft, change, error),
        )
        self._told()

    def spend(self, draft: Draft, seconds: float) -> None:
        """Time was spent on a case."""
        draft.seconds += seconds
        draft.spent += seconds

    def leave(self) -> None:
        """The open case is left: its rest is sent; time without a change is added, once and as it comes."""
        draft, self.open = self.open, None
        if draft is None:
            return
        self.send(draft)
        if draft.clean and draft.seconds >= LEAST_S:
            params = {"number": draft.number, "seconds": draft.seconds}
            draft.seconds = 0.0
            self._request("worklist.time", params, _nothing, _nothing)
        self._tidy(draft)

    def resend(self) -> None:
        """Try again what could not be saved."""
        for draft in list(self.drafts.values()):
            self.send(draft)

    def choose(self, draft: Draft, reading: Mapping[str, Any], then: Callable[[], None]) -> None:
        """End a conflict with the reading that a person chose; ``then`` is called once it stands."""
        conflict = draft.conflict
        if conflict is None:
            return
        change = {
            "number": draft.number,
            "change_id": uuid.uuid4().hex,
            "base_version": conflict["version"],
            "reading": {**EMPTY, **reading},
            "seconds": draft.seconds,
        }

        def resolved(answer: Any) -> None:
            draft.conflict = None
            draft.reading = change["reading"]
            self._take(draft, change, answer)
            then()

        def failed(error: WorkerError) -> None:
            draft.problem = error.message
            self._told()

        self._request("worklist.resolve", change, resolved, failed)

    def recall(self) -> None:
        """Take up what an earlier run could not save."""
        for item in _parsed(self._memory.read()):
            draft = Draft(item["number"], item["version"], {}, {**EMPTY, **item["reading"]}, item["seconds"])
            draft.lost = item["change"]
            self.drafts.setdefault(draft.number, draft)

    def forget(self) -> None:
        """The worklist is closed; what is unsaved stays in memory for the next time."""
        self._keep()
        self._closed, self.drafts = True, {}

    def _saved(self, draft: Draft, change: Mapping[str, Any], answer: Any) -> None:
        if answer["conflict"] is not None:
            draft.sent, draft.problem = None, ""
            draft.conflict = {name: answer[name] for name in ("version", "reading", "by")}
            self._keep()
            self._told()
            return
        self._take(draft, change, answer)
        self.send(draft)

    def _take(self, draft: Draft, change: Mapping[str, Any], answer: Any) -> None:
        draft.sent, draft.problem = None, ""
        draft.version, draft.saved = answer["version"], dict(change["reading"])
        draft.seconds = max(0.0, draft.seconds - change["seconds"])
        self._tidy(draft)
        self._keep()
        self._told()

    def _failed(self, draft: Draft, change: dict[str, Any], error: WorkerError) -> None:
        draft.sent, draft.problem = None, error.message
        if error.code in (ENDED, CANCELLED):
            draft.lost = change
        self._keep()
        self._told()

    def _tidy(self, draft: Draft) -> None:
        """Forget the draft of a case that is not open any more once nothing of it is missing."""
        if draft.clean and draft.number in self.drafts and draft is not self.open:
            del self.drafts[draft.number]

    def _keep(self) -> None:
        if self._closed:
            return  # an answer that comes now must not empty what was kept for the next time
        items = [
            {
                "number": draft.number,
                "version": draft.version,
                "reading": draft.reading,
                "seconds": draft.seconds,
                "change": draft.sent or draft.lost,
            }
            for draft in self.unsaved
        ]
        self._memory.write(json.dumps(items, ensure_ascii=False) if items else "")


def _nothing(*_: Any) -> None:
    """What follows the answer about time."""


def _parsed(text: str) -> list[dict[str, Any]]:
    """Kept changes; none where the text is not of this form."""
    try:
        items = json.loads(text) if text else []
        return [
            {
                "number": int(item["number"]),
                "version": int(item["version"]),
                "reading": {name: item["reading"][name] for name in EMPTY},
                "seconds": float(item["seconds"]),
                "change": item["change"] if isinstance(item["change"], dict) else None,
            }
            for item in items
        ]
    except (ValueError, TypeError, KeyError):
        return []
