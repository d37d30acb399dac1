"""Progress of long work on the terminal."""

from __future__ import annotations

import sys
import time

QUIET_S = 5.0


class ProgressLine:
    """One line on stderr that is written over; where stderr is no terminal, plain lines at least five seconds apart."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._start = time.monotonic()
        self._printed = -QUIET_S

    def __call__(self, fraction: float, words: str) -> None:
        """Show a step and how far it is; empty words clear the line."""
        if self._terminal:
            print(
                f"\r\x1b[K{100 * fraction:3.0f} %  {words}" if words else "\r\x1b[K",
                end="",
                file=sys.stderr,
                flush=True,
            )
        elif words and (seconds := time.monotonic() - self._start) - self._printed >= QUIET_S:
            print(f"[{seconds:6.1f} s] {100 * fraction:3.0f} %  {words}", file=sys.stderr, flush=True)
            self._printed = seconds


def silent(fraction: float, words: str) -> None:
    """Show nothing."""
