"""What the window needs beside the core: Python packages and, on Linux, system libraries. Standard library only."""

from __future__ import annotations

import argparse
import ctypes
import importlib.util
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from RenalCLIPCore.errors import RenalCLIPError

_PACKAGES = ("PySide6", "slicer_core", "slicer_layer_dm", "trame_slicer")
_INSTALL = "pip install 'renalclip[workstation]'"
# the library that is loaded, and the Debian package that brings it
_LIBRARIES = {
    "libEGL.so.1": "libegl1",
    "libGL.so.1": "libgl1",
    "libXcursor.so.1": "libxcursor1",
    "libfontconfig.so.1": "libfontconfig1",
    "libdbus-1.so.3": "libdbus-1-3",
    "libxkbcommon.so.0": "libxkbcommon0",
    "libglib-2.0.so.0": "libglib2.0-0",
}
_X11_LIBRARIES = {
    "libxcb-cursor.so.0": "libxcb-cursor0",
    "libxcb-icccm.so.4": "libxcb-icccm4",
    "libxcb-keysyms.so.1": "libxcb-keysyms1",
    "libxkbcommon-x11.so.0": "libxkbcommon-x11-0",
    "libxcb-xkb.so.1": "libxcb-xkb1",
    "libxcb-shape.so.0": "libxcb-shape0",
}
_TEST_PROGRAMS = {"Xvfb": "xvfb", "xdotool": "xdotool"}
_FONT_FOLDERS = ("/usr/share/fonts", "/usr/local/share/fonts", "~/.local/share/fonts", "~/.fonts")
_DRIVER_FOLDERS = ("/usr/lib", "/usr/lib64", "/usr/local/lib")
_DRIVER_PATTERNS = ("*/dri/*_dri.so", "dri/*_dri.so", "*/libgallium*.so", "libgallium*.so", "*/libnvidia-egl*.so*")


class WorkstationUnavailableError(RenalCLIPError):
    """The window cannot open here; the message says what to install."""

    code = "workstation_unavailable"


def missing_packages() -> list[str]:
    """Python packages of the extra that are not installed."""
    return [name for name in _PACKAGES if importlib.util.find_spec(name) is None]


def missing_libraries(on_screen: bool) -> list[str]:
    """Debian packages of the libraries that are missing; without them the first view would end the process.

    Args:
        on_screen: Whether windows go to an X11 display.
    """
    if sys.platform != "linux":
        return []
    wanted = _LIBRARIES | (_X11_LIBRARIES if on_screen else {})
    missing = [package for library, package in wanted.items() if not _loads(library)]
    if not any(any(Path(folder).glob(pattern)) for folder in _DRIVER_FOLDERS for pattern in _DRIVER_PATTERNS):
        missing.append("libgl1-mesa-dri")
    if not any(any(Path(folder).expanduser().rglob("*.[to]tf")) for folder in _FONT_FOLDERS):
        missing.append("fonts-dejavu-core")
    return missing


def require(on_screen: bool) -> None:
    """Refuse with directions where something is missing.

    Raises:
        WorkstationUnavailableError: Something is missing.
    """
    if missing_packages():
        raise WorkstationUnavailableError(
            f"The workstation needs {', '.join(missing_packages())}, not installed here. Install them with: {_INSTALL}"
        )
    libraries = missing_libraries(on_screen)
    if libraries:
        raise WorkstationUnavailableError(
            "The workstation needs system libraries that are missing here. "
            f"On Debian or Ubuntu install them with: sudo apt-get install {' '.join(libraries)}"
        )


def render_off_screen() -> None:
    """Let VTK draw without a display; to be called before VTK is imported."""
    if sys.platform == "linux":
        os.environ.setdefault("VTK_DEFAULT_OPENGL_WINDOW", "vtkEGLRenderWindow")


def choose_platform(show: bool) -> bool:
    """Set what Qt draws to: the display, or memory where nothing is shown.

    Args:
        show: Whether a person is to see the window.

    Returns:
        Whether windows go to an X11 display.

    Raises:
        WorkstationUnavailableError: There is no display to show the window on.
    """
    display = bool(os.environ.get("DISPLAY"))
    if sys.platform == "linux":
        if not show:
            os.environ["QT_QPA_PLATFORM"] = "offscreen"
        elif not display and not os.environ.get("WAYLAND_DISPLAY") and not os.environ.get("QT_QPA_PLATFORM"):
            raise WorkstationUnavailableError(
                "There is no display to open the window on (DISPLAY is not set). "
                "A picture of it can be had with: renalclip workstation STUDY --screenshot FILE.png"
            )
    return show and display and os.environ.get("QT_QPA_PLATFORM", "xcb") == "xcb"


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the Debian packages that are missing, on one line; for the Makefile."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--for-tests", action="store_true", help="those of the tests with a real window too")
    for_tests = parser.parse_args(arguments).for_tests
    missing = missing_libraries(on_screen=for_tests)
    if for_tests and sys.platform == "linux":
        missing += [package for program, package in _TEST_PROGRAMS.items() if shutil.which(program) is None]
    print(" ".join(missing))


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


if __name__ == "__main__":
    main()
