"""``renalclip workstation``: the Slicer module in a window of its own. Standard library only at the top."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from RenalCLIPCore.errors import InputError


@dataclass(frozen=True)
class Workstation:
    """Open the workstation: the Slicer module RenalCLIPSlicer in a window of its own.

    Needs the packages of the extra ``workstation``; nothing of it is imported before the command runs.
    """

    name: ClassVar[str] = "workstation"
    study: Path | None
    screenshot: Path | None
    size: tuple[int, int]

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument("study", nargs="?", type=Path, help="folder of DICOM files, or of an imported study")
        parser.add_argument(
            "--screenshot",
            type=Path,
            metavar="FILE",
            help="without a display: open the study, segment and read it, write a picture of the window, and quit",
        )
        parser.add_argument("--size", type=_size, default=(1680, 1050), metavar="WxH", help="of the window, in pixels")

    def run(self) -> None:
        """Open the window and stay until it is closed, or write a picture.

        Raises:
            InputError: The study is not there, or a picture of nothing was asked for.
            WorkstationUnavailableError: A package, a library or a display is missing.
        """
        from .requirements import choose_platform, require

        if self.study is not None and not self.study.exists():
            raise InputError(f"There is no study at {self.study}; name a folder of DICOM files or an imported study.")
        if self.screenshot is not None and self.study is None:
            raise InputError("A screenshot needs a study to show: renalclip workstation STUDY --screenshot FILE")
        require(on_screen=choose_platform(show=self.screenshot is None))
        from .session import run_window, write_screenshot

        if self.screenshot is None:
            run_window(self.study, self.size)
        elif self.study is not None:
            write_screenshot(self.study, self.screenshot, self.size)


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.lower().partition("x")
    if not (width.isdigit() and height.isdigit() and int(width) >= 800 and int(height) >= 600):
        raise argparse.ArgumentTypeError(f"{text!r} is no size such as 1680x1050 (at least 800x600)")
    return int(width), int(height)


COMMANDS: list[type] = [Workstation]
