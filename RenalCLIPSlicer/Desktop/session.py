"""One run of the window: for a person until it is closed, or for a picture of a study that was read."""

from __future__ import annotations

import sys
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from RenalCLIPCore.errors import InputError, RenalCLIPError

if TYPE_CHECKING:
    from .host import Host

_PATIENCE_S = 600.0
_REST_S = 300.0
_QUIET_S = 1.0


class ReadingFailedError(RenalCLIPError):
    """The study could not be read; the message is the one that the window shows."""

    code = "reading_failed"


def run_window(study: Path | None, size: tuple[int, int]) -> None:
    """Open the window, with a study if one is given, and return when it is closed."""
    host = _make_host(testing=False, size=size)
    widget = host.open_module()
    host.show()
    sys.excepthook = _tell(host)
    if study is not None:
        widget.openStudy(str(study))
    try:
        host.qt_app.exec()
    finally:
        host.close()


def write_screenshot(study: Path, file: Path, size: tuple[int, int]) -> None:
    """Open a study, segment and read it, and write a picture of the window.

    Raises:
        ReadingFailedError: The study could not be opened, segmented or read.
    """
    host = _make_host(testing=True, size=size)
    try:
        widget = host.open_module()
        host.show()
        read_study(host, widget, study)
        host.grab(file)
    finally:
        host.close()
    print(f"wrote {file}")


def read_study(host: Host, widget: Any, study: Path) -> None:
    """Have the module open, segment and read a study; returns when its panels and views show all of the reading.

    Raises:
        ReadingFailedError: As :func:`write_screenshot`.
    """
    case = widget.logic.case
    _finish(host, widget, widget.openStudy(str(study)))
    _finish(host, widget, case.segment())
    widget.parts.ui.layoutPlanesButton.click()
    widget.parts.ui.jumpButton.click()
    _pump(host, lambda: not case.busy and not case.later.underWay and widget.parts.settled, _REST_S)
    _pump(host, lambda: False, _QUIET_S)


def _finish(host: Host, widget: Any, begun: bool) -> None:
    case = widget.logic.case
    if begun:
        _pump(host, lambda: not case.busy and widget.parts.settled, _PATIENCE_S)
    kind, words = case.message
    if not begun or case.busy or kind == "error":
        raise ReadingFailedError(words or "The study could not be read in time.")


def _pump(host: Host, condition: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        host.settle()
        time.sleep(0.01)


def _make_host(testing: bool, size: tuple[int, int]) -> Host:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the packages behind the views, at their import
        from .host import MODULE, Host
    if not MODULE.is_file():
        raise InputError(f"The Slicer module is not beside the window's code: {MODULE} is missing.")
    return Host(testing=testing, size=size)


def _tell(host: Host) -> Callable[[type[BaseException], BaseException, TracebackType | None], None]:
    def tell(kind: type[BaseException], value: BaseException, trace: TracebackType | None) -> None:
        traceback.print_exception(kind, value, trace)
        host.window.statusBar().showMessage(f"A defect was met ({kind.__name__}); details are in the terminal.", 0)

    return tell
