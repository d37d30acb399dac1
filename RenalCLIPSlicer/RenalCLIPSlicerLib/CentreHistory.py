"""The centres that a lesion has had, with undo and redo. Plain Python; positions are LPS millimetres."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from RenalCLIPCore.review import Centre, decode, encode

DEPTH = 200
SAME_MM = 0.01


@dataclass
class CentreHistory:
    """Centres in the order they were chosen; ``index`` is the one in use, those behind it can be redone.

    Attributes:
        centres: At least one; the first is the proposal.
        index: Of the centre in use.
        accepted: Whether a person accepted the centre in use.
    """

    centres: list[Centre] = field(default_factory=list)
    index: int = 0
    accepted: bool = False

    @property
    def current(self) -> Centre:
        """The centre in use."""
        return self.centres[self.index]

    @property
    def canUndo(self) -> bool:
        """Whether an earlier centre is there."""
        return self.index > 0

    @property
    def canRedo(self) -> bool:
        """Whether an undone centre is there."""
        return self.index + 1 < len(self.centres)

    def push(self, centre: Centre) -> bool:
        """Choose another centre; undone ones are forgotten. False when it is where the present one is."""
        if math.dist(centre.lps_mm, self.current.lps_mm) < SAME_MM:
            return False
        del self.centres[self.index + 1 :]
        self.centres.append(centre)
        if len(self.centres) > DEPTH:
            del self.centres[1]  # the proposal stays
        self.index = len(self.centres) - 1
        self.accepted = False
        return True

    def undo(self) -> Centre:
        """Go back to the centre before."""
        self.index = max(0, self.index - 1)
        self.accepted = False
        return self.current

    def redo(self) -> Centre:
        """Take an undone centre again."""
        self.index = min(len(self.centres) - 1, self.index + 1)
        self.accepted = False
        return self.current

    def drop(self, centre: Centre) -> None:
        """Forget a centre that could not be used, and go back to the one before it."""
        if centre in self.centres[1:]:
            place = self.centres.index(centre, 1)
            del self.centres[place]
            if self.index >= place:
                self.index -= 1

    def asJson(self) -> dict[str, Any]:
        """For the scene."""
        return {"centres": [encode(item) for item in self.centres], "index": self.index, "accepted": self.accepted}

    @classmethod
    def fromJson(cls, data: dict[str, Any]) -> CentreHistory:
        """From the scene; raises ReviewFormatError, KeyError, TypeError or ValueError for anything else."""
        centres = [decode(Centre, item) for item in data["centres"]]
        index = int(data["index"])
        if not 0 <= index < len(centres):
            raise ValueError("The index of the centre in use lies outside the list.")
        return cls(centres, index, bool(data["accepted"]))
