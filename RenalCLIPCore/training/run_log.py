"""The log of a run: one JSON object per line, and TensorBoard's files beside it where TensorBoard is installed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

LOG_FILE = "log.jsonl"
TENSORBOARD_FOLDER = "tensorboard"


class RunLog:
    """Writes what happens in a run.

    Args:
        folder: Of the run.
        active: Whether this process writes at all.
    """

    def __init__(self, folder: Path, active: bool = True) -> None:
        self.folder = folder
        self.active = active
        self._board: Any = None
        self._tried = False

    def write(self, line: dict[str, Any]) -> None:
        """Add an event; its numbers go to TensorBoard under the event's name."""
        if not self.active:
            return
        with (self.folder / LOG_FILE).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        board = self._open_board()
        if board is not None and line["event"] in ("step", "validation"):
            for name, value in line.items():
                if name not in ("event", "step", "time") and isinstance(value, int | float):
                    board.add_scalar(f"{line['event']}/{name}", value, line["step"])

    def close(self) -> None:
        """Write out what TensorBoard still holds."""
        if self._board is not None:
            self._board.close()

    def _open_board(self) -> Any:
        if not self._tried:
            self._tried = True
            try:
                from torch.utils.tensorboard import SummaryWriter
            except ImportError:  # it is not installed; the lines say the same
                return None
            self._board = SummaryWriter(str(self.folder / TENSORBOARD_FOLDER))
        return self._board
