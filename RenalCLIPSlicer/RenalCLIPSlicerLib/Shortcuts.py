"""Keys of the module: while it is shown, and for nudging while the centre is unlocked."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import qt

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

    def enable(self, shown: bool) -> None:
        """Listen while the module is shown; to nudges while the centre is unlocked too."""
        unlocked = bool(self._panel.ui.correctButton.checked)
        for shortcut in self._all:
            shortcut.setEnabled(shown and (unlocked or shortcut not in self._nudges))

    def release(self) -> None:
        """Listen no longer."""
        for shortcut in self._all:
            shortcut.setEnabled(False)
            shortcut.setParent(None)
