"""Progress of long work on the terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping

QUIET_S = 5.0
Progress = Callable[[float, str], None]


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


def spans(tell: Progress, shares: Mapping[str, float]) -> dict[str, Progress]:
    """A progress of its own for each of several pieces of work after one another; the whole never goes back.

    Args:
        tell: Hears of the whole, 0 to 1.
        shares: Expected time of each piece in order, in any unit.
    """
    whole = sum(shares.values())
    found: dict[str, Progress] = {}
    start = 0.0
    for name, share in shares.items():
        found[name] = span(tell, start, share / whole)
        start += share / whole
    return found


def span(tell: Progress | None, start: float, share: float) -> Progress:
    """The progress of a piece of work that begins at ``start`` of the whole and is ``share`` of it."""

    def told(fraction: float, words: str) -> None:
        if tell is not None:
            tell(start + share * min(max(fraction, 0.0), 1.0), words)

    return told


def silent(fraction: float, words: str) -> None:
    """Show nothing."""
