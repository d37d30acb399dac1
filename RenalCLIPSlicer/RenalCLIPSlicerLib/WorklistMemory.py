"""What the application remembers of worklists: the last one, and changes that no database has taken yet."""

from __future__ import annotations

import hashlib
import re

import slicer

LAST, UNSAVED = "RenalCLIP/Worklist", "RenalCLIP/Unsaved"


class WorklistMemory:
    """Unsaved changes of one reader in one worklist, in the user's settings.

    Args:
        worklist: Its identity.
        reader: Who reads.
    """

    def __init__(self, worklist: str, reader: str) -> None:
        digest = hashlib.sha256(f"{worklist}\0{reader}".encode("utf-8", "replace")).hexdigest()
        self._key = f"{UNSAVED}/{digest[:32]}"

    def read(self) -> str:
        """What was kept, empty when nothing was."""
        return str(slicer.app.userSettings().value(self._key, "") or "")

    def write(self, text: str) -> None:
        """Keep a text, nothing when it is empty."""
        settings = slicer.app.userSettings()
        if text:
            settings.setValue(self._key, text)
        else:
            settings.remove(self._key)


def lastWorklist() -> str:
    """Address of the worklist that was open last, without a password; empty when there was none."""
    return str(slicer.app.userSettings().value(LAST, "") or "")


def rememberWorklist(address: str) -> None:
    """Offer this address the next time; a password in it is left out."""
    slicer.app.userSettings().setValue(LAST, re.sub(r"(://[^:@/]*):[^@]*@", r"\1@", address))
