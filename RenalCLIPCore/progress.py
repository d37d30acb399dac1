"""Progress of long work on the terminal."""

from __future__ import annotations

import sys
import time


class ProgressLine:
    """One line on stderr that is written over while a step runs; plain lines, one a step, where it is no terminal."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._last = ""
        self._start = time.monotonic()

    def __call__(self, fraction: float, words: str) -> None:
        """Show a step and how far it is; empty words clear the line."""
        if self._terminal:
            print(
                f"\r\x1b[K{100 * fraction:3.0f} %  {words}" if words else "\r\x1b[K",
                end="",
                file=sys.stderr,
                flush=True,
            )
        elif words and words != self._last:
            print(f"[{time.monotonic() - self._start:5.1f} s] {words}", file=sys.stderr, flush=True)
        self._last = words


def silent(fraction: float, words: str) -> None:
    """Show nothing."""
