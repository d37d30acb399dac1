"""The one locator of shipped data (``Resources/``): a checkout's folder or the installed package's."""

from __future__ import annotations

from pathlib import Path

from .errors import InputError


def resources() -> Path:
    """Folder of the shipped data.

    Raises:
        InputError: The installation lacks it.
    """
    package = Path(__file__).resolve().parent
    for folder in (package.parent / "Resources", package.parent / "RenalCLIPResources"):
        if (folder / "schemas").is_dir():
            return folder
    raise InputError("The program's Resources folder was not found; install RenalCLIP again.")
