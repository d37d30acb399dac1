"""``renalclip``: one command per capability.

Exit codes: 0 done; 2 a person's mistake or an unusable input, told in one message on stderr; 130 interrupted.
"""

from __future__ import annotations

import argparse
import importlib
import io
import os
import signal
import sys
import threading
from collections.abc import Sequence
from importlib.metadata import entry_points
from typing import Any, ClassVar, Protocol

from . import __version__
from .errors import RenalCLIPError, refusal

_GROUPS = (
    "review",
    "export",
    "nephrometry",
    "study",
    "phantom",
    "segment",
    "cohort",
    "train",
    "fine_tuning",
    "multiphase",
    "comparators",
    "report_generation",
    "report",
    "report_check",
    "bundle",
    "evaluate",
    "evaluation",
    "worklist",
    "worklist_results",
    "serve",
)
ENTRY_POINTS = "renalclip.commands"  # modules with COMMANDS that other packages bring


class Command(Protocol):
    """A command: a frozen dataclass whose fields are its arguments, by name.

    ``name`` is what is typed (``"phantom study"`` nests); the docstring's first line is the help.
    """

    name: ClassVar[str]

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Declare the arguments; each ``dest`` is a field of the dataclass."""

    def run(self) -> None:
        """Do it; raise a RenalCLIPError for a person's mistake."""


def commands() -> list[Any]:
    """All command classes, in the order of the help: the core's, then those of other packages."""
    found: list[Any] = []
    for group in _GROUPS:
        found.extend(importlib.import_module(f"{__package__}.commands.{group}").COMMANDS)
    for entry in entry_points(group=ENTRY_POINTS):
        found.extend(entry.load().COMMANDS)
    return found


def build_parser() -> argparse.ArgumentParser:
    """The argument parser over all commands."""
    parser = argparse.ArgumentParser(prog="renalclip", description="RenalCLIP: kidney tumours on multi-phase CT.")
    parser.add_argument("--version", action="version", version=f"renalclip {__version__}")
    nests = {"": parser.add_subparsers(title="commands", metavar="COMMAND", required=True)}
    for command in commands():
        outer, _, last = command.name.rpartition(" ")
        if outer not in nests:
            nest = nests[""].add_parser(outer, help=f"{outer} commands (renalclip {outer} --help)")
            nests[outer] = nest.add_subparsers(title="commands", metavar="COMMAND", required=True)
        summary = (command.__doc__ or "").strip().split("\n")[0]
        sub = nests[outer].add_parser(last, help=summary.replace("%", "%%"), description=command.__doc__)
        command.add_arguments(sub)
        sub.set_defaults(command_class=command)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the return value is the exit code."""
    values = vars(build_parser().parse_args(arguments))
    command = values.pop("command_class")
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _terminate)  # so that outputs under way are removed
    _print_any_name()
    try:
        command(**values).run()
        sys.stdout.flush()
    except RenalCLIPError as error:
        print(f"renalclip: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # whoever read the output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (OSError, MemoryError) as error:
        message = refusal(error)
        if message is None:
            raise
        print(f"renalclip: {message}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(
            "renalclip: interrupted; nothing was left half written (a training run goes on with --resume).",
            file=sys.stderr,
        )
        return 130
    return 0


def _print_any_name() -> None:
    """Let names that the terminal's encoding lacks be printed with escapes."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _terminate(signum: int, frame: Any) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
