"""JSON-RPC 2.0 over stdin and stdout, one message a line: keeps models and a case warm for an interactive host.

Requests run one after another in a thread of their own, so that ``$/cancelRequest`` is heard while one runs. Some
answers are followed by slower parts as notifications; a newer request for the same case drops them. Domain errors carry
the code -32000 and their stable name in ``data.code``; a cancelled request answers -32800.
"""

from __future__ import annotations

import itertools
import json
import os
import queue
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Protocol

from .errors import Cancelled, RenalCLIPError, refusal
from .progress import Progress

PROTOCOL_VERSION = 1
MAXIMUM_LINE = 1 << 20

PARSE_ERROR, INVALID_REQUEST, UNKNOWN_METHOD, INVALID_PARAMS, INTERNAL_ERROR = -32700, -32600, -32601, -32602, -32603
DOMAIN_ERROR, REQUEST_CANCELLED = -32000, -32800

_NOT_JSON = {"code": INTERNAL_ERROR, "message": "The result holds a value that is not finite; see the log."}


@dataclass(frozen=True)
class FollowUp:
    """Work after an answer; its result goes out as a notification unless a newer request drops it."""

    method: str
    compute: Callable[[Progress], Mapping[str, Any]]


@dataclass(frozen=True)
class Answer:
    """A method's result, the slower parts that follow, and whether it makes earlier ones stale."""

    result: Any
    follow_ups: tuple[FollowUp, ...] = ()


class InvalidParams(Exception):
    """The parameters do not fit the method's schema."""


class Methods(Protocol):
    """What the worker serves."""

    def names(self) -> tuple[str, ...]:
        """Names of the methods."""

    def makes_stale(self, method: str) -> bool:
        """Whether a request of this method drops the follow-ups of earlier ones."""

    def call(self, method: str, params: Mapping[str, Any], progress: Progress) -> Answer:
        """Run one method; raises InvalidParams, RenalCLIPError, or anything for a defect."""


@dataclass
class _Job:
    id: Any
    method: str
    params: Mapping[str, Any]
    follow_up: FollowUp | None = None
    cancelled: threading.Event = field(default_factory=threading.Event)


class Worker:
    """Serves one client until its stream ends or it says ``shutdown``."""

    def __init__(self, source: BinaryIO, sink: BinaryIO, methods: Methods) -> None:
        self._source = source
        self._sink = sink
        self._methods = methods
        self._jobs: queue.PriorityQueue[tuple[int, int, _Job | None]] = queue.PriorityQueue()
        self._order = itertools.count()
        self._open: dict[str, _Job] = {}
        self._follow_ups: list[_Job] = []
        self._lock = threading.Lock()
        self._write_lock = threading.Lock()
        self._gone = False

    def serve(self) -> None:
        """Read messages until the client's stream ends, a shutdown, or a broken pipe."""
        thread = threading.Thread(target=self._work, name="requests", daemon=True)
        thread.start()
        try:
            for line in self._lines():
                if not self._receive(line):
                    break
        finally:
            self._cancel_everything()
            self._jobs.put((2, next(self._order), None))
            thread.join()

    def _lines(self) -> Iterator[bytes]:
        while line := self._source.readline(MAXIMUM_LINE + 1):
            if len(line) > MAXIMUM_LINE:
                while line and not line.endswith(b"\n"):
                    line = self._source.readline(MAXIMUM_LINE)
                self._error(None, INVALID_REQUEST, f"A message may have at most {MAXIMUM_LINE} bytes.")
            elif line.strip():
                yield line

    def _receive(self, line: bytes) -> bool:
        try:
            message = json.loads(line)
        except (ValueError, RecursionError):
            self._error(None, PARSE_ERROR, "The message is not valid JSON.")
            return not self._gone
        problem = _malformed(message)
        if problem:
            request_id = message.get("id") if isinstance(message, dict) else None
            self._error(request_id if _is_id(request_id) else None, INVALID_REQUEST, problem)
            return not self._gone
        method, params = message["method"], message.get("params", {})
        if method == "$/cancelRequest":
            self._cancel(params.get("id"))
        elif method == "shutdown":
            self._respond({"id": message.get("id"), "result": None})
            return False
        elif "id" in message:
            self._enqueue(_Job(message["id"], method, params))
        return not self._gone

    def _enqueue(self, job: _Job) -> None:
        if job.method not in self._methods.names():
            self._error(job.id, UNKNOWN_METHOD, f"There is no method {job.method!r}.")
            return
        key = json.dumps(job.id)
        with self._lock:
            duplicate = key in self._open
            if not duplicate:
                self._open[key] = job
            if self._methods.makes_stale(job.method):
                for follow_up in self._follow_ups:
                    follow_up.cancelled.set()
        if duplicate:
            self._error(job.id, INVALID_REQUEST, "A request with this id is still open.")
        else:
            self._jobs.put((0, next(self._order), job))

    def _cancel(self, request_id: Any) -> None:
        with self._lock:
            job = self._open.get(json.dumps(request_id))
            if job:
                job.cancelled.set()
            for follow_up in self._follow_ups:
                if follow_up.id == request_id:
                    follow_up.cancelled.set()

    def _cancel_everything(self) -> None:
        with self._lock:
            for job in [*self._open.values(), *self._follow_ups]:
                job.cancelled.set()

    def _work(self) -> None:
        while True:
            _, _, job = self._jobs.get()
            if job is None:
                return
            if job.follow_up:
                self._run_follow_up(job, job.follow_up)
            else:
                self._run(job)

    def _run(self, job: _Job) -> None:
        answer, failure = self._attempt(job, lambda progress: self._methods.call(job.method, job.params, progress))
        with self._lock:
            self._open.pop(json.dumps(job.id), None)
        if answer is None:
            self._respond({"id": job.id, "error": failure})
            return
        if not self._respond({"id": job.id, "result": answer.result}):
            self._respond({"id": job.id, "error": _NOT_JSON})
            return
        for item in answer.follow_ups:
            later = _Job(job.id, item.method, {}, item)
            with self._lock:
                self._follow_ups.append(later)
            self._jobs.put((1, next(self._order), later))

    def _run_follow_up(self, job: _Job, follow_up: FollowUp) -> None:
        result, failure = self._attempt(job, follow_up.compute)
        with self._lock:
            self._follow_ups.remove(job)
        if result is not None:
            if not self._respond({"method": follow_up.method, "params": {"id": job.id, **result}}):
                self._respond({"method": follow_up.method, "params": {"id": job.id, "error": _NOT_JSON}})
        elif failure["code"] != REQUEST_CANCELLED:
            self._respond({"method": follow_up.method, "params": {"id": job.id, "error": failure}})

    def _attempt(self, job: _Job, function: Callable[[Progress], Any]) -> tuple[Any, dict[str, Any]]:
        def progress(fraction: float, message: str) -> None:
            if job.cancelled.is_set():
                raise Cancelled("The request was cancelled.")
            self._respond(
                {"method": "$/progress", "params": {"id": job.id, "fraction": round(fraction, 4), "message": message}}
            )

        try:
            if job.cancelled.is_set():
                raise Cancelled("The request was cancelled.")
            return function(progress), {}
        except Cancelled as error:
            return None, {"code": REQUEST_CANCELLED, "message": str(error), "data": {"code": error.code}}
        except RenalCLIPError as error:
            return None, {"code": DOMAIN_ERROR, "message": str(error), "data": {"code": error.code}}
        except InvalidParams as error:
            return None, {"code": INVALID_PARAMS, "message": str(error)}
        except (OSError, MemoryError) as error:
            message = refusal(error)
            if message is not None:
                return None, {"code": DOMAIN_ERROR, "message": str(message), "data": {"code": message.code}}
            log_defect(error)
            return None, {"code": INTERNAL_ERROR, "message": f"Internal error ({type(error).__name__}); see the log."}
        except Exception as error:  # a defect must reach the client as an answer, and the log as a traceback
            log_defect(error)
            return None, {"code": INTERNAL_ERROR, "message": f"Internal error ({type(error).__name__}); see the log."}

    def _error(self, request_id: Any, code: int, message: str) -> None:
        self._respond({"id": request_id, "error": {"code": code, "message": message}})

    def _respond(self, body: Mapping[str, Any]) -> bool:
        """Send a message; whether it could be written as JSON (a lone surrogate can only be escaped)."""
        try:
            text = json.dumps({"jsonrpc": "2.0", **body}, ensure_ascii=False, allow_nan=False)
        except ValueError as error:
            log_defect(error)
            return False
        line = text.encode("utf-8", errors="backslashreplace") + b"\n"
        with self._write_lock:
            if self._gone:
                return True
            try:
                self._sink.write(line)
                self._sink.flush()
            except (OSError, ValueError):
                self._gone = True
        if self._gone:
            self._cancel_everything()
        return True


def log_defect(error: BaseException) -> None:
    """Where a defect arose, on stderr; not its text, which can hold a file's and so a patient's name."""
    seen: BaseException | None = error
    while seen is not None:
        place = "".join(traceback.format_tb(seen.__traceback__))
        print(f"Internal error ({type(seen).__name__}):\n{place}", end="", file=sys.stderr, flush=True)
        seen = seen.__cause__


def serve_standard_streams(methods: Methods) -> None:
    """Serve on stdin and stdout; whatever libraries print to stdout goes to stderr instead."""
    protocol = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    Worker(sys.stdin.buffer, protocol, methods).serve()


def _is_id(value: Any) -> bool:
    return isinstance(value, (str, int)) and not isinstance(value, bool)


def _malformed(message: Any) -> str | None:
    if not isinstance(message, dict):
        return "A message is one JSON object; batches are not supported."
    if message.get("jsonrpc") != "2.0" or not isinstance(message.get("method"), str):
        return "A request needs jsonrpc '2.0' and a method name."
    if not isinstance(message.get("params", {}), dict):
        return "The parameters must be a JSON object."
    if "id" in message and not _is_id(message["id"]):
        return "The id must be a string or an integer."
    return None
