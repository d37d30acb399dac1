"""Start the core's command line in any Python: run as a script by CoreProcess, which takes only names from here.

Exit codes: 81 the core is not installed there, 82 it is there but lacks what it needs or is too old.
"""

import contextlib
import importlib.util
import os
import sys

MISSING, BROKEN = 81, 82
LEADER_VARIABLE = "RENALCLIP_LEADER_FILE"
NICENESS = 5
NEEDED = ("numpy", "SimpleITK", "torch", "monai", "jsonschema")


def leaveLightCopies() -> None:
    """Forget paths that hold the extension's light copy of the core, which would hide the installed one."""
    here = os.path.dirname(os.path.abspath(__file__))

    def isLight(path: str) -> bool:
        core = os.path.join(path, "RenalCLIPCore")
        return os.path.isfile(os.path.join(core, "review.py")) and not os.path.isfile(os.path.join(core, "cli.py"))

    sys.path[:] = [path for path in sys.path if os.path.abspath(path or ".") != here and not isLight(path or ".")]


def stepAside() -> None:
    """Lead a group of our own, which can be ended as one, and let the window's drawing come before the calculations."""
    if hasattr(os, "nice"):
        os.nice(NICENESS)
    if hasattr(os, "setsid"):
        with contextlib.suppress(PermissionError):  # already the leader of a group
            os.setsid()
    # PythonSlicer is a launcher, so that whoever started this knows another process's number
    file = os.environ.pop(LEADER_VARIABLE, "")
    if file:
        with contextlib.suppress(OSError), open(file, "w", encoding="ascii") as stream:
            stream.write(str(os.getpid()))


def main() -> None:
    """Run ``renalclip`` with the script's arguments in a process group of its own."""
    leaveLightCopies()
    stepAside()
    if sys.version_info < (3, 11):
        print(f"Python {sys.version.split()[0]} is too old; RenalCLIP needs Python 3.11 or later.", file=sys.stderr)
        sys.exit(BROKEN)
    if importlib.util.find_spec("RenalCLIPCore") is None:
        print("RenalCLIP is not installed in this Python.", file=sys.stderr)
        sys.exit(MISSING)
    lacking = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if lacking:
        print(f"RenalCLIP is installed in this Python, but it lacks {', '.join(lacking)}.", file=sys.stderr)
        sys.exit(BROKEN)
    try:
        from RenalCLIPCore.cli import main as renalclip
    except ImportError as error:
        print(f"RenalCLIP cannot be started in this Python: {error}.", file=sys.stderr)
        sys.exit(BROKEN)
    sys.exit(renalclip(sys.argv[1:]))


if __name__ == "__main__":
    main()
