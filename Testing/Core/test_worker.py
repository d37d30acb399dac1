"""The worker's protocol: answers, errors, cancelling, stale follow-ups, and clients that misbehave or vanish."""

import contextlib
import io
import json
import os
import threading

import pytest

from RenalCLIPCore.errors import NoKidneyError
from RenalCLIPCore.worker import Answer, FollowUp, InvalidParams, Worker


class Bench:
    """Methods made for the tests: some wait until the test lets them go on."""

    def __init__(self):
        self.gate = threading.Event()
        self.started = threading.Event()

    def names(self):
        return ("echo", "fail", "defect", "refuse", "wait", "review")

    def makes_stale(self, method):
        return method == "review"

    def call(self, method, params, progress):
        return getattr(self, method)(params, progress)

    def echo(self, params, progress):
        return Answer(params)

    def fail(self, params, progress):
        raise NoKidneyError("The segmentation holds no kidney.")

    def defect(self, params, progress):
        raise ZeroDivisionError("secret patient name")

    def refuse(self, params, progress):
        raise InvalidParams("x must be a number")

    def wait(self, params, progress):
        self.started.set()
        for step in range(1000):
            progress(step / 1000, "waiting")
            if self.gate.wait(0.01):
                return Answer("went on")
        return Answer("never")

    def review(self, params, progress):
        def slow(progress):
            self.started.set()
            for _ in range(1000):
                progress(0.5, "explaining")
                if self.gate.wait(0.01):
                    break
            return {"lesion": params["lesion"]}

        return Answer({"lesion": params["lesion"]}, (FollowUp("review.explanation", slow),))


class Client:
    """Talks to a worker over real pipes."""

    def __init__(self, methods):
        request_read, self.request_write = os.pipe()
        reply_read, reply_write = os.pipe()
        self.replies = os.fdopen(reply_read, "rb")
        self.source, self.sink = os.fdopen(request_read, "rb"), os.fdopen(reply_write, "wb")
        self.worker = Worker(self.source, self.sink, methods)
        self.thread = threading.Thread(target=self.worker.serve, daemon=True)
        self.thread.start()

    def send(self, **message):
        self.raw((json.dumps({"jsonrpc": "2.0", **message}) + "\n").encode())

    def raw(self, data):
        os.write(self.request_write, data)

    def next(self, *, progress=False):
        while line := self.replies.readline():
            message = json.loads(line)
            if progress or message.get("method") != "$/progress":
                return message
        return None

    def close(self):
        if self.request_write is not None:
            os.close(self.request_write)
            self.request_write = None
        self.thread.join(10)
        assert not self.thread.is_alive()
        self.replies.close()
        self.source.close()
        with contextlib.suppress(BrokenPipeError):
            self.sink.close()


@pytest.fixture
def methods():
    return Bench()


@pytest.fixture
def client(methods):
    client = Client(methods)
    yield client
    methods.gate.set()
    client.close()


def test_a_request_is_answered_under_its_id(client):
    client.send(id="a", method="echo", params={"x": "肾"})
    assert client.next() == {"jsonrpc": "2.0", "id": "a", "result": {"x": "肾"}}


@pytest.mark.parametrize(("method", "code", "name"), [("fail", -32000, "no_kidney"), ("refuse", -32602, None)])
def test_errors_carry_stable_codes(client, method, code, name):
    client.send(id=1, method=method)
    error = client.next()["error"]
    assert error["code"] == code
    assert error.get("data", {}).get("code") == name


def test_a_defect_answers_without_its_text_and_the_worker_lives_on(client, capfd):
    client.send(id=1, method="defect")
    error = client.next()["error"]
    assert error["code"] == -32603
    assert "secret" not in error["message"]
    client.send(id=2, method="echo", params={})
    assert client.next()["id"] == 2


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"{not json\n", -32700),
        (b"[]\n", -32600),
        (b'{"jsonrpc": "1.0", "method": "echo", "id": 1}\n', -32600),
        (b'{"jsonrpc": "2.0", "id": 1, "method": 5}\n', -32600),
        (b'{"jsonrpc": "2.0", "id": {"a": 1}, "method": "echo"}\n', -32600),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "echo", "params": [1]}\n', -32600),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "nothing"}\n', -32601),
        (b"[" * 100_000 + b"\n", -32700),
        (b'"' + b"x" * (1 << 21) + b'"\n', -32600),
        (b"\xff\xfe\n", -32700),
    ],
)
def test_a_malformed_message_is_answered_and_the_next_one_served(client, data, code):
    threading.Thread(target=client.raw, args=(data,)).start()
    assert client.next()["error"]["code"] == code
    client.send(id=9, method="echo", params={"fine": True})
    assert client.next()["result"] == {"fine": True}


def test_a_running_request_reports_progress_and_can_be_cancelled(client, methods):
    client.send(id=1, method="wait")
    assert client.next(progress=True)["params"]["message"] == "waiting"
    client.send(method="$/cancelRequest", params={"id": 1})
    assert client.next()["error"]["code"] == -32800


def test_a_waiting_request_can_be_cancelled_before_it_starts(client, methods):
    client.send(id=1, method="wait")
    methods.started.wait(5)
    client.send(id=2, method="echo", params={})
    client.send(method="$/cancelRequest", params={"id": 2})
    client.send(id=3, method="echo", params={})
    client.send(method="$/cancelRequest", params={"id": 1})
    assert [client.next()["id"] for _ in range(3)] == [1, 2, 3]


def test_an_id_in_use_is_refused(client, methods):
    client.send(id=1, method="wait")
    methods.started.wait(5)
    client.send(id=1, method="echo", params={})
    assert client.next()["error"]["code"] == -32600


def test_slow_parts_follow_as_notifications(client, methods):
    methods.gate.set()
    client.send(id=1, method="review", params={"lesion": "L1"})
    assert client.next()["result"] == {"lesion": "L1"}
    assert client.next() == {"jsonrpc": "2.0", "method": "review.explanation", "params": {"id": 1, "lesion": "L1"}}


def test_a_newer_review_drops_the_older_ones_slow_parts(client, methods):
    client.send(id=1, method="review", params={"lesion": "old"})
    assert client.next()["result"] == {"lesion": "old"}
    methods.started.wait(5)
    client.send(id=2, method="review", params={"lesion": "new"})
    assert client.next()["result"] == {"lesion": "new"}
    methods.gate.set()
    assert client.next()["params"] == {"id": 2, "lesion": "new"}


def test_shutdown_answers_and_ends(client):
    client.send(id=1, method="shutdown")
    assert client.next()["result"] is None
    client.thread.join(5)
    assert not client.thread.is_alive()


def test_a_client_that_vanishes_ends_the_worker_and_its_work(methods):
    client = Client(methods)
    client.send(id=1, method="wait")
    methods.started.wait(5)
    client.replies.close()
    client.thread.join(0.2)
    client.close()
    assert not client.thread.is_alive()


def test_an_ended_stream_cancels_what_runs(methods):
    sink = io.BytesIO()
    worker = Worker(io.BytesIO(b'{"jsonrpc": "2.0", "id": 1, "method": "wait"}\n'), sink, methods)
    worker.serve()
    assert json.loads(sink.getvalue().splitlines()[-1])["error"]["code"] == -32800
