"""How quick the workstation's window is: the module's opening, a moved point, and what blocks the event loop.

Run alone with ``python -m Testing.Benchmarks.workstation``; ``make bench`` runs it in a process of its own. The window
is off screen and real Qt mouse events drag the point. A block is a stretch without a turn of the event loop, as the
clock has it, and as the processor time that the window's process (with the threads that draw for it) spent in it: on a
machine that works on other things too, only the latter is the window's own.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DEMO = Path("demo/study")
DRAGS = 7
BEAT_MS = 5


@dataclass(frozen=True)
class Block:
    """A stretch between two turns of the event loop, by the clock and in processor time, in milliseconds."""

    wall_ms: float
    work_ms: float


class Pulse:
    """Measures the longest stretch between two turns of the event loop."""

    def __init__(self) -> None:
        from PySide6 import QtCore

        self._timer = QtCore.QTimer()
        self._timer.setTimerType(QtCore.Qt.TimerType.PreciseTimer)
        self._timer.setInterval(BEAT_MS)
        self._timer.timeout.connect(self._beat)
        self.gaps: list[Block] = []
        self._last = (0.0, 0.0)

    def start(self) -> None:
        """Forget what was measured and begin."""
        self.gaps, self._last = [], (time.perf_counter(), time.process_time())
        self._timer.start()

    def stop(self) -> Block:
        """The longest stretch by the clock, and the one with most work."""
        self._timer.stop()
        return Block(
            max((gap.wall_ms for gap in self.gaps), default=0.0), max((gap.work_ms for gap in self.gaps), default=0.0)
        )

    def _beat(self) -> None:
        wall, work = time.perf_counter(), time.process_time()
        self.gaps.append(Block(1e3 * (wall - self._last[0]), 1e3 * (work - self._last[1])))
        self._last = (wall, work)


class Loop:
    """Runs the event loop itself, so that what blocks it shows."""

    def __init__(self, host: Any) -> None:
        self._host = host

    def until(self, condition: Callable[[], bool], seconds: float = 300.0) -> None:
        """Run until the condition holds.

        Raises:
            TimeoutError: It does not in time.
        """
        from PySide6 import QtCore

        end = time.monotonic() + seconds
        loop, timer, met = QtCore.QEventLoop(), QtCore.QTimer(), []

        def look() -> None:
            if condition():
                met.append(True)
            if met or time.monotonic() > end:
                loop.quit()

        timer.setInterval(BEAT_MS)
        timer.timeout.connect(look)
        timer.start()
        loop.exec()
        timer.stop()
        if not met:
            raise TimeoutError

    def rest(self, seconds: float) -> None:
        """Run for a while."""
        end = time.monotonic() + seconds
        self.until(lambda: time.monotonic() > end)


def drag_seconds(host: Any, loop: Loop, widget: Any, step: int) -> float:
    """Drag the point in the axial view; seconds from the release until the panels show the new reading."""
    import slicer
    from PySide6 import QtCore, QtTest

    case = widget.logic.case
    view = slicer.app.layoutManager().sliceWidget("Red").sliceView()
    ras = [0.0, 0.0, 0.0]
    widget.parts.scene.parameters.centre.GetNthControlPointPositionWorld(0, ras)
    x, y, _ = view.convertRASToXYZ(ras)
    start = QtCore.QPoint(round(x), round(view.height - 1 - y))
    end = start + QtCore.QPoint(10 if step % 2 else -10, 4 if step % 2 else -4)
    before = case.state.lesionReview(case.state.lesion).centre_used.lps_mm
    left, none = QtCore.Qt.MouseButton.LeftButton, QtCore.Qt.KeyboardModifier.NoModifier
    for near in (8, 4, 0):
        QtTest.QTest.mouseMove(view, start + QtCore.QPoint(near, near))
        loop.rest(0.05)
    QtTest.QTest.mousePress(view, left, none, start)
    for part in range(1, 6):
        QtTest.QTest.mouseMove(view, start + (end - start) * (part / 5))
        loop.rest(0.03)
    released = time.perf_counter()
    QtTest.QTest.mouseRelease(view, left, none, end)

    def shown() -> bool:
        used = case.state.lesionReview(case.state.lesion).centre_used.lps_mm
        return used != before and not case.busy and widget.parts.settled

    loop.until(shown, 60.0)
    return time.perf_counter() - released


def measure(study: Path) -> dict[str, float]:
    """Seconds and milliseconds, by what they are."""
    from RenalCLIPDesktop.host import Host

    host = Host(testing=True)
    host.show()
    loop, pulse = Loop(host), Pulse()
    loop.rest(1.0)
    began, worked = time.perf_counter(), time.process_time()
    widget = host.open_module()
    host.settle()
    opening, opened = time.perf_counter() - began, time.process_time() - worked
    case = widget.logic.case

    def idle() -> bool:
        return not case.busy and widget.parts.settled

    if not widget.openStudy(str(study)):
        raise RuntimeError(case.message[1])
    loop.until(idle)
    loop.rest(1.0)
    pulse.start()
    widget.parts.ui.segmentButton.click()
    loop.until(lambda: idle() and case.state.review is not None)
    loop.rest(1.0)
    segmenting = pulse.stop()
    widget.parts.ui.layoutPlanesButton.click()
    widget.parts.ui.jumpButton.click()
    widget.parts.ui.correctButton.click()
    loop.rest(2.0)
    pulse.start()
    drags = [drag_seconds(host, loop, widget, step) for step in range(DRAGS)]
    reviewing = pulse.stop()
    host.close()
    if "--gaps" in sys.argv:
        print(sorted(gap.wall_ms for gap in pulse.gaps)[-12:], drags, file=sys.stderr)
    return {
        "opening_s": opening,
        "opening_work_s": opened,
        "drag_s": statistics.median(drags),
        "segmenting_block_ms": segmenting.wall_ms,
        "segmenting_work_ms": segmenting.work_ms,
        "reviewing_block_ms": reviewing.wall_ms,
        "reviewing_work_ms": reviewing.work_ms,
    }


def main() -> None:
    """Measure on the demo study, or on a phantom made here where there is none; print JSON."""
    from RenalCLIPDesktop.requirements import choose_platform, require

    require(on_screen=choose_platform(show=False))
    if DEMO.is_dir():
        found = measure(DEMO)
    else:
        from Testing.Core.phantom_case import make_phantom, write_phantom_study

        with tempfile.TemporaryDirectory() as name:
            volumes, labels, _ = make_phantom()
            found = measure(write_phantom_study(Path(name) / "study", volumes, labels)[0].folder)
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
