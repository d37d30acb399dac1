"""One long piece of work as the window shows it. Plain Python."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

ENOUGH = 0.04
ENOUGH_S = 2.0


@dataclass
class Task:
    """Work under way.

    Attributes:
        title: What is done, in a few words.
        fraction: Of the present step, 0 to 1; 0 while nothing is known.
        words: What the worker says it is doing.
        request: Id of the worker's request under way.
        cancelling: Whether a person cancelled it.
        clock: Seconds.
        stepStarted: When the present step began.
    """

    title: str
    fraction: float = 0.0
    words: str = ""
    request: int = 0
    cancelling: bool = False
    clock: Callable[[], float] = time.monotonic
    stepStarted: float = field(default=0.0)

    def beginStep(self) -> None:
        """Another step of the same work begins."""
        self.fraction, self.words, self.stepStarted = 0.0, "", self.clock()

    def secondsLeft(self) -> float | None:
        """Estimate for the present step; None while it would be a guess."""
        spent = self.clock() - self.stepStarted
        if self.fraction < ENOUGH or spent < ENOUGH_S:
            return None
        return spent * (1 - self.fraction) / self.fraction

    def line(self) -> str:
        """The work in one line: ``Segmenting: finding the kidneys, 23 %, about 40 s left``."""
        if self.cancelling:
            return f"{self.title}: cancelling"
        parts = [self.words] if self.words else []
        if self.fraction > 0:
            parts.append(f"{100 * self.fraction:.0f} %")
        left = self.secondsLeft()
        if left is not None:
            parts.append(f"about {durationWords(left)} left")
        return f"{self.title}: {', '.join(parts)}" if parts else f"{self.title}…"


def durationWords(seconds: float) -> str:
    """``40 s`` or ``2 min 10 s``, rounded so that it does not flicker."""
    if seconds < 10:
        return f"{max(1, round(seconds))} s"
    rounded = 5 * round(seconds / 5)
    minutes, rest = divmod(rounded, 60)
    if not minutes:
        return f"{rest} s"
    return f"{minutes} min {rest} s" if rest else f"{minutes} min"
