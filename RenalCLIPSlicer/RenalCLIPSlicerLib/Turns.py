"""What waits for the event loop: changes for the panels to show, and steps of work in the scene, little at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import qt

if TYPE_CHECKING:
    from .Panels.Connections import Connections
    from .Panels.Panel import Panel

Step = Callable[[], None]
STEP_MS, TURN_S = 5, 0.03


class Turns:
    """Gives back to the event loop after each step, and after each panel once a turn has taken long enough.

    Args:
        panels: What shows the changes; may be filled later.
        changed: Told first what changed, to bring the scene up to it.
        shown: Told after each turn.
        connections: Hold the timers' signals.
    """

    def __init__(
        self,
        panels: Sequence[Panel],
        changed: Callable[[set[str]], None],
        shown: Callable[[], None],
        connections: Connections,
    ) -> None:
        self._panels, self._changed, self._shown = panels, changed, shown
        self._changes: set[str] = set()
        self._dirty: list[Panel] = []
        self._steps: list[Step] = []
        self._changeTimer, self._stepTimer = qt.QTimer(), qt.QTimer()
        for timer, interval, slot in (
            (self._changeTimer, 0, self._onChanges),
            (self._stepTimer, STEP_MS, self._onStep),
        ):
            timer.setSingleShot(True)
            timer.setInterval(interval)
            connections.on(timer.timeout, slot)

    @property
    def settled(self) -> bool:
        """Whether nothing waits."""
        return not (self._changes or self._dirty or self._steps)

    def tell(self, what: str) -> None:
        """Something changed."""
        self._changes.add(what)
        self._changeTimer.start()

    def later(self, *steps: Step) -> None:
        """Steps behind those that wait."""
        self._steps += steps
        self._stepTimer.start()

    def next(self, steps: Sequence[Step]) -> None:
        """Steps before those that wait."""
        self._steps[:0] = steps
        self._stepTimer.start()

    def dropSteps(self) -> None:
        """Forget the steps that wait."""
        self._steps = []

    def drop(self) -> None:
        """Forget everything that waits."""
        self._changes, self._dirty, self._steps = set(), [], []

    def stop(self) -> None:
        """Let nothing happen any more."""
        self._changeTimer.stop()
        self._stepTimer.stop()

    def settle(self) -> None:
        """Do at once what waits."""
        while not self.settled:
            self._onChanges()
            self._onStep()

    def _onChanges(self, *_: Any) -> None:
        end = time.monotonic() + TURN_S
        changes, self._changes = self._changes, set()
        if changes:
            self._dirty += [panel for panel in self._panels if changes & panel.listens and panel not in self._dirty]
            self._changed(changes)
        while self._dirty and time.monotonic() < end:
            self._dirty.pop(0).showNow()
        if self._dirty:
            self._changeTimer.start()
        self._shown()

    def _onStep(self, *_: Any) -> None:
        if self._steps:
            self._steps.pop(0)()
        if self._steps:
            self._stepTimer.start()
