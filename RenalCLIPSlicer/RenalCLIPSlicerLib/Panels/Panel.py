"""What all panels share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..CaseLogic import CaseLogic
from .Connections import Connections
from .Theme import Theme

if TYPE_CHECKING:
    from ..Scene import Scene


class Panel:
    """Shows a part of the case.

    Args:
        ui: The widgets of the module's .ui file, by name.
        case: The case.
        scene: Its nodes.
    """

    listens: frozenset[str] = frozenset()

    def __init__(self, ui: Any, case: CaseLogic, scene: Scene) -> None:
        self.ui = ui
        self.case = case
        self.scene = scene
        self.theme = Theme(ui.bannerLabel)
        self.connections = Connections()
        self.updating = False
        self.build()

    def build(self) -> None:
        """Make what the .ui file does not hold, and connect."""

    def show(self) -> None:
        """Show the case as it stands."""

    def showNow(self) -> None:
        """Show the case; what the widgets signal meanwhile is no person's doing."""
        self.updating = True
        try:
            self.show()
        finally:
            self.updating = False

    def cleanup(self) -> None:
        """Let go of the window."""
        self.connections.release()
