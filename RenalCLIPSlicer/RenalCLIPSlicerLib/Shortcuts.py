"""Keys of the module: while it is shown, and for nudging while the centre is unlocked and no input has the keys."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import qt
import slicer

if TYPE_CHECKING:
    from .CentreMover import CentreMover
    from .Panels.CentrePanel import CentrePanel
    from .Panels.Connections import Connections
    from .Panels.WorklistPanel import WorklistPanel

# millimetres towards the patient's left, posterior and superior; the arrows as they point in an axial view
NUDGES = {
    "Left": (-1.0, 0.0, 0.0),
    "Right": (1.0, 0.0, 0.0),
    "Up": (0.0, -1.0, 0.0),
    "Down": (0.0, 1.0, 0.0),
    "PgUp": (0.0, 0.0, 1.0),
    "PgDown": (0.0, 0.0, -1.0),
}
# what arrow keys mean something to while it has the focus
INPUTS = (
    "QAbstractItemView",
    "QAbstractSlider",
    "QAbstractSpinBox",
    "QComboBox",
    "QLineEdit",
    "QPlainTextEdit",
    "QTextEdit",
)


class Shortcuts:
    """The keys, each for what a button does too.

    Args:
        parent: The window that listens.
        panel: Its buttons.
        worklist: The same.
        centres: Take the nudges.
        connections: Hold the keys' signals.
    """

    def __init__(
        self,
        parent: Any,
        panel: CentrePanel,
        worklist: WorklistPanel,
        centres: CentreMover,
        connections: Connections,
    ) -> None:
        self._panel = panel
        self._shown, self._inInput = False, False
        actions: dict[str, Callable[..., None]] = {
            "N": panel.onNext,
            "P": panel.onPrevious,
            "J": panel.onJump,
            "C": panel.onPlaceKey,
            "Ctrl+N": worklist.onNext,
            "Ctrl+P": worklist.onPrevious,
            "Ctrl+Return": worklist.onFinish,
            "Ctrl+Shift+Z": panel.onUndo,
            "Ctrl+Shift+Y": panel.onRedo,
        }
        for key, shift in NUDGES.items():
            actions[key] = lambda *_, shift=shift: centres.nudge(*shift)
        self._all: list[Any] = []
        self._nudges: list[Any] = []
        for key, action in actions.items():
            shortcut = qt.QShortcut(qt.QKeySequence(key), parent)
            connections.on(shortcut.activated, action)
            self._all.append(shortcut)
            if key in NUDGES:
                self._nudges.append(shortcut)
        connections.on(slicer.app.focusChanged, self.onFocus)
        self.enable(False)

    def enable(self, shown: bool) -> None:
        """Listen while the module is shown; to nudges while the centre is unlocked and no input has the focus too."""
        self._shown = shown
        nudged = bool(self._panel.ui.correctButton.checked) and not self._inInput
        for shortcut in self._all:
            shortcut.setEnabled(shown and (nudged or shortcut not in self._nudges))

    def onFocus(self, before: Any = None, now: Any = None, *_: Any) -> None:
        """The keys go to another widget: a shortcut would be heard before it."""
        self._inInput = now is not None and any(bool(now.inherits(name)) for name in INPUTS)
        self.enable(self._shown)

    def release(self) -> None:
        """Listen no longer."""
        for shortcut in self._all:
            shortcut.setEnabled(False)
            shortcut.setParent(None)
