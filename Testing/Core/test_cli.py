"""The command line: quick help, exit codes, and an interrupted command that leaves nothing."""

import argparse
import signal
import subprocess
import sys
import time

import pytest

from RenalCLIPCore.cli import build_parser, commands, main


@pytest.mark.parametrize("arguments", [["--help"], ["review", "--help"], ["phantom", "cohort", "-h"], ["--version"]])
def test_help_ends_well(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 0
    assert "renalclip" in capsys.readouterr().out


def test_the_help_of_every_group_and_command_can_be_printed():
    def printed(parser):
        nests = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
        own = [(parser.prog, parser.format_help())]
        return own + [item for nest in nests for sub in nest.choices.values() for item in printed(sub)]

    pages = dict(printed(build_parser()))
    assert {f"renalclip {command.name}" for command in commands()} <= pages.keys()
    assert "95 % intervals" in pages["renalclip evaluate"]
    assert not any("%%" in page for page in pages.values())


def test_every_command_has_help_and_the_main_ones_are_there():
    names = {command.name for command in commands()}
    assert {"review", "import", "worker", "segment train", "segment evaluate", "bundle import"} <= names
    assert all((command.__doc__ or "").strip() for command in commands())


def test_a_command_that_is_missing_exits_with_2(capsys):
    with pytest.raises(SystemExit) as ended:
        main([])
    assert ended.value.code == 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_command_leaves_nothing_half_written(tmp_path, number):
    out = tmp_path / "phantom"
    command = [sys.executable, "-m", "RenalCLIPCore.cli", "phantom", "study", "--seed", "1", "--out", str(out)]
    # a test run in the background ignores interrupts, and children inherit that
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)
    )
    deadline = time.monotonic() + 60
    while not list(tmp_path.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(number)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in error
    assert list(tmp_path.iterdir()) == []
