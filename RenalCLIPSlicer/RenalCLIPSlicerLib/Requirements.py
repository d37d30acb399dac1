"""Which Python runs the core, and how the core gets into it. Nothing is installed without asking; torch is never
imported here."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from pathlib import Path

SETTING, SOURCE_SETTING = "RenalCLIP/Python", "RenalCLIP/Source"
VARIABLE = "RENALCLIP_PYTHON"
SHIPPED = "RenalCLIPSource"
PLACE = "FOLDER_OR_WHEEL_OF_RENALCLIP"
CORE_NEEDS_PYTHON = (3, 11)


def chosenPython() -> str:
    """The Python that the environment or the user's settings name, else this one where the core is installed."""
    import slicer

    named = os.environ.get(VARIABLE, "") or str(slicer.app.userSettings().value(SETTING, "") or "")
    if named:
        return named
    return ownPython() if ownPythonHasCore() else ""


def choosePython(path: str) -> None:
    """Remember a person's choice; empty for Slicer's own."""
    import slicer

    slicer.app.userSettings().setValue(SETTING, path)


def ownPython() -> str:
    """The interpreter that belongs to this application (PythonSlicer in Slicer)."""
    return shutil.which("PythonSlicer") or sys.executable


def ownPythonHasCore() -> bool:
    """Whether the whole core can be found in this application's Python; nothing is imported but empty packages."""
    try:
        return all(importlib.util.find_spec(name) is not None for name in ("RenalCLIPCore.cli", "torch", "monai"))
    except ModuleNotFoundError:
        return False


def namedSource() -> str:
    """The folder, wheel or address to install the core from that a person named; empty when none was."""
    import slicer

    return str(slicer.app.userSettings().value(SOURCE_SETTING, "") or "").strip()


def nameSource(text: str) -> None:
    """Remember a person's choice of where to install the core from."""
    import slicer

    slicer.app.userSettings().setValue(SOURCE_SETTING, text.strip())


def knownSource() -> str:
    """The core's source that came with this module: its checkout, or what the extension ships; empty for neither."""
    library = Path(__file__).resolve().parent
    places = (library.parents[1], library.parent / SHIPPED)
    return next((str(place) for place in places if (place / "pyproject.toml").is_file()), "")


def installSource() -> str:
    """What pip installs: what a person named, else what came with the module; empty when nothing is known."""
    return namedSource() or knownSource()


def installCommand(python: str) -> str:
    """The command that installs the core into a Python."""
    source = installSource() or PLACE
    quoted = [f'"{text}"' if " " in text else text for text in (python or "python3", source)]
    return f"{quoted[0]} -m pip install {quoted[1]}"


def advice(python: str) -> str:
    """What to do when the core is missing or too old."""
    blank = "" if installSource() else f"(for {PLACE}, name where RenalCLIP's source or wheel lies)  "
    return f"Install it with:  {installCommand(python)}  {blank}or choose another Python under Setup."


def installIntoOwnPython() -> str:
    """Install torch and the core into Slicer's Python, each after asking.

    Returns:
        A problem in words, or an empty text.
    """
    import slicer

    if sys.version_info < CORE_NEEDS_PYTHON:
        return (
            f"This Slicer has Python {sys.version.split()[0]}; RenalCLIP needs 3.11 or later. Make an environment with "
            f"another Python, install RenalCLIP there ({installCommand('')}) and choose it here."
        )
    source = installSource()
    if not source:
        return "Name the source folder or the wheel of RenalCLIP under Setup (Install from) first."
    try:
        import PyTorchUtils
    except ImportError:
        return "Install the PyTorch extension from the Extensions Manager first; it brings the right build of torch."
    torch = PyTorchUtils.PyTorchUtilsLogic()
    if not torch.torchInstalled() and torch.installTorch(askConfirmation=True) is None:
        return "PyTorch was not installed, so RenalCLIP cannot run in Slicer's Python."
    question = f"Install RenalCLIP and what it needs into Slicer's Python?\n\npip install {source}"
    if not slicer.util.confirmOkCancelDisplay(question):
        return "Nothing was installed."
    _pipInstall(source)
    return "" if ownPythonHasCore() else "The installation ended, but RenalCLIP is still not found; restart Slicer."


def _pipInstall(source: str) -> None:
    import slicer

    packaging = importlib.util.find_spec("slicer.packaging")
    if packaging is not None:
        from slicer.packaging import pip_install

        # Slicer brings SimpleITK, and PyTorchUtils brought torch; pip must not replace either
        if "skip_packages" in pip_install.__code__.co_varnames:
            pip_install([source], skip_packages=["SimpleITK", "torch", "torchvision"], requester="RenalCLIP")
            return
    slicer.util.pip_install([source])
