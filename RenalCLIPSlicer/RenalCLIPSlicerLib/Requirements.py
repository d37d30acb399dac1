"""Which Python runs the core, and how the core gets into it. Nothing is installed without asking; torch is never
imported here."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

SETTING, SOURCE_SETTING = "RenalCLIP/Python", "RenalCLIP/Source"
VARIABLE = "RENALCLIP_PYTHON"
SHIPPED = "RenalCLIPSource"
PLACE = "FOLDER_OR_WHEEL_OF_RENALCLIP"
CORE_NEEDS_PYTHON = (3, 11)
DISTRIBUTION = "renalclip"
SLICERS_OWN = ("SimpleITK", "numpy", "scipy", "torch", "torchvision")  # of what the core needs; pip must replace none


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
    """Whether the whole core is installed in this application's Python; nothing is imported.

    Its distribution is looked for, not its package: the extension's light copy of that stands before the installed one.
    """
    importlib.invalidate_caches()  # it may have been installed a moment ago
    installed = _version(DISTRIBUTION) and all(importlib.util.find_spec(name) for name in ("torch", "monai"))
    return bool(installed)


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
        return f"This Slicer has Python {sys.version.split()[0]}; RenalCLIP needs 3.11 or later. {_elsewhere()}"
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
    problem = _pipInstall(source)
    if problem:
        return problem
    return "" if ownPythonHasCore() else "The installation ended, but RenalCLIP is still not found; restart Slicer."


def _pipInstall(source: str) -> str:
    """Install the core so that nothing of Slicer's own is replaced; a problem in words, or an empty text."""
    import slicer

    if importlib.util.find_spec("slicer.packaging") is not None:
        from slicer.packaging import pip_install

        if "skip_packages" in pip_install.__code__.co_varnames:
            pip_install([source], skip_packages=["SimpleITK", "torch", "torchvision"], requester="RenalCLIP")
            return ""
    versions = {name: _version(name) for name in SLICERS_OWN if importlib.util.find_spec(name) is not None}
    if not all(versions.values()):
        unknown = ", ".join(name for name, version in versions.items() if not version)
        return f"pip cannot see the version of this Slicer's {unknown} and might replace it. {_elsewhere()}"
    with tempfile.TemporaryDirectory(prefix="RenalCLIP-") as folder:
        constraints = Path(folder) / "constraints.txt"
        constraints.write_text("".join(f"{name}=={version}\n" for name, version in versions.items()), encoding="utf-8")
        try:
            slicer.util.pip_install(["-c", str(constraints), source])
        except subprocess.CalledProcessError:
            return (
                f"pip could not install RenalCLIP beside what this Slicer has (see the Python console). {_elsewhere()}"
            )
    return ""


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _elsewhere() -> str:
    return (
        f"Make an environment with another Python, install RenalCLIP there ({installCommand('')}) and choose it here."
    )
