"""Lines, requests and the handshake; and the script that starts the core in any Python."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from RenalCLIPSlicerLib import StartWorker
from RenalCLIPSlicerLib.WorkerProtocol import (
    CANCELLED,
    ENDED,
    NEEDED_METHODS,
    WorkerClient,
    WorkerError,
    coreVersion,
    handshakeProblem,
)

from RenalCLIPCore.worker import PROTOCOL_VERSION
from RenalCLIPCore.worker_methods import worker_schema

SCRIPT = Path(StartWorker.__file__)


class Talk:
    """A client with what it wrote and what it was told."""

    def __init__(self):
        self.written, self.told = [], []
        self.client = WorkerClient(self.written.append, lambda method, params: self.told.append((method, params)))
        self.done, self.failed, self.progress = [], [], []

    def request(self, method="review", **params):
        return self.client.request(
            method, params, self.done.append, self.failed.append, lambda *told: self.progress.append(told)
        )

    def say(self, **message):
        self.client.feed((json.dumps({"jsonrpc": "2.0", **message}) + "\n").encode())


@pytest.fixture
def talk():
    return Talk()


def test_a_request_is_one_line_and_its_answer_ends_it(talk):
    number = talk.request(why="größer ≥ 7 cm")
    (line,) = talk.written
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert json.loads(line) == {
        "jsonrpc": "2.0",
        "id": number,
        "method": "review",
        "params": {"why": "größer ≥ 7 cm"},
    }
    talk.say(id=number, result={"a": 1})
    talk.say(id=number, result={"a": 2})
    assert talk.done == [{"a": 1}]
    assert talk.client.openRequests == ()


def test_answers_arrive_in_pieces_of_any_size(talk):
    number = talk.request()
    data = json.dumps({"jsonrpc": "2.0", "id": number, "result": "é" * 50}, ensure_ascii=False).encode() + b"\n"
    for place in range(len(data)):
        talk.client.feed(data[place : place + 1])
    assert talk.done == ["é" * 50]


def test_progress_goes_to_its_request_and_notifications_to_the_listener(talk):
    number = talk.request()
    talk.say(method="$/progress", params={"id": number, "fraction": 0.5, "message": "half"})
    talk.say(method="$/progress", params={"id": 99, "fraction": 0.5, "message": "other"})
    talk.say(method="review.measured", params={"id": number})
    assert talk.progress == [(0.5, "half")]
    assert talk.told == [("review.measured", {"id": number})]


def test_an_error_carries_the_cores_stable_name(talk):
    number = talk.request()
    talk.say(id=number, error={"code": -32000, "message": "No kidney.", "data": {"code": "no_kidney"}})
    assert talk.failed == [WorkerError(-32000, "No kidney.", "no_kidney")]
    assert not talk.failed[0].cancelled


def test_lines_that_are_no_message_are_passed_over(talk):
    number = talk.request()
    talk.client.feed(b"warning: something\n[1]\n\n")
    talk.say(id=number, result=1)
    assert talk.done == [1]


def test_a_worker_that_is_gone_fails_every_open_request_once(talk):
    talk.request()
    talk.request()
    talk.client.close(WorkerError(ENDED, "gone"))
    talk.client.close(WorkerError(ENDED, "gone"))
    assert [error.code for error in talk.failed] == [ENDED, ENDED]


def test_a_cancel_names_the_request(talk):
    number = talk.request()
    talk.client.cancel(number)
    assert json.loads(talk.written[-1])["params"] == {"id": number}
    talk.say(id=number, error={"code": CANCELLED, "message": "cancelled"})
    assert talk.failed[0].cancelled


def test_every_method_that_the_module_needs_is_in_the_protocols_schema():
    assert set(NEEDED_METHODS) <= set(worker_schema()["methods"])


def test_the_shipped_core_passes_the_handshake_and_others_are_named():
    good = {"protocol": PROTOCOL_VERSION, "core": "0.1.0", "methods": list(NEEDED_METHODS)}
    assert handshakeProblem(good) is None
    assert "0.0.9" in handshakeProblem({**good, "core": "0.0.9"})
    assert "protocol 7" in handshakeProblem({**good, "protocol": 7})
    assert "review.save" in handshakeProblem({**good, "methods": list(set(NEEDED_METHODS) - {"review.save"})})


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("0.1.0", (0, 1, 0)), ("1.2rc1", (1, 2)), ("2", (2,)), ("dev", ()), ("0.10.1+cpu", (0, 10, 1))],
)
def test_versions_compare_by_their_leading_numbers(text, numbers):
    assert coreVersion(text) == numbers


def start(folder, *arguments):
    """Run StartWorker.py isolated from this environment's packages, with a folder of fakes on the path."""
    return subprocess.run(
        [sys.executable, "-S", str(SCRIPT), *arguments],
        env={"PYTHONPATH": str(folder), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def fakeCore(folder, cli):
    core = folder / "RenalCLIPCore"
    core.mkdir(parents=True)
    (core / "__init__.py").write_text("")
    (core / "review.py").write_text("")
    if cli is not None:
        (core / "cli.py").write_text(cli)
    return folder


def test_a_python_without_the_core_says_so(tmp_path):
    result = start(tmp_path, "worker")
    assert result.returncode == StartWorker.MISSING
    assert "not installed" in result.stderr


def test_the_extensions_light_copy_is_not_taken_for_the_core(tmp_path):
    assert start(fakeCore(tmp_path, None), "worker").returncode == StartWorker.MISSING


def test_a_core_without_its_libraries_names_them(tmp_path):
    result = start(fakeCore(tmp_path, "def main(arguments): return 0"), "worker")
    assert result.returncode == StartWorker.BROKEN
    assert "torch" in result.stderr


def test_the_core_gets_the_arguments_and_a_process_group_of_its_own(tmp_path):
    cli = "import os\ndef main(arguments):\n    print(arguments, os.getpgid(0) == os.getpid())\n    return 3\n"
    fakeCore(tmp_path, cli)
    for name in StartWorker.NEEDED:
        (tmp_path / f"{name}.py").write_text("")
    result = start(tmp_path, "worker", "--work", "x")
    assert result.returncode == 3
    assert result.stdout.strip() == "['worker', '--work', 'x'] True"
