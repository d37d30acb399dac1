"""Readers as numbers: one name, one number, in the order of their first mention."""

from __future__ import annotations

from dataclasses import dataclass, field

PROGRAM = "RenalCLIP"


@dataclass
class ReaderNames:
    """Gives ``Reader 1``, ``Reader 2`` ... for names; the program and nobody stay as they are."""

    known: dict[str, str] = field(default_factory=dict, repr=False)

    def of(self, name: str) -> str:
        """The reader's number in words."""
        if name in ("", PROGRAM):
            return name
        return self.known.setdefault(name, f"Reader {len(self.known) + 1}")
