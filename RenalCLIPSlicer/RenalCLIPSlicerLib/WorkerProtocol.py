"""The worker's JSON-RPC protocol as a client speaks it: lines in and out, open requests, handshake. Plain Python."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

PROTOCOL_VERSION = 1
MINIMUM_CORE = (0, 1)
NEEDED_METHODS = (
    "bundle.load",
    "study.import",
    "study.open",
    "segment",
    "review",
    "review.update",
    "explain",
    "uncertainty",
    "measure",
    "report.draft",
    "review.save",
    "phantom.study",
)
CANCELLED = -32800
ENDED = -32001

Done = Callable[[Any], None]
Failed = Callable[["WorkerError"], None]
Progress = Callable[[float, str], None]


@dataclass(frozen=True)
class WorkerError:
    """Why a request has no result. ``name`` is the core's stable name of a domain error, else empty."""

    code: int
    message: str
    name: str = ""

    @property
    def cancelled(self) -> bool:
        """Whether the request was cancelled on purpose."""
        return self.code == CANCELLED


@dataclass
class _Request:
    done: Done
    failed: Failed
    progress: Progress | None


class WorkerClient:
    """Requests to one worker and their answers.

    Args:
        write: Sends bytes to the worker.
        notified: Told the method and parameters of a notification that belongs to no open request.
    """

    def __init__(self, write: Callable[[bytes], None], notified: Callable[[str, Mapping[str, Any]], None]) -> None:
        self._write = write
        self._notified = notified
        self._ids = itertools.count(1)
        self._open: dict[int, _Request] = {}
        self._buffer = bytearray()

    @property
    def openRequests(self) -> tuple[int, ...]:
        """Ids of the requests without an answer."""
        return tuple(self._open)

    def request(
        self, method: str, params: Mapping[str, Any], done: Done, failed: Failed, progress: Progress | None = None
    ) -> int:
        """Send a request; exactly one of ``done`` and ``failed`` is called later."""
        number = next(self._ids)
        self._open[number] = _Request(done, failed, progress)
        self._send({"id": number, "method": method, "params": dict(params)})
        return number

    def cancel(self, number: int) -> None:
        """Ask the worker to stop a request; its answer says that it was cancelled."""
        self._send({"method": "$/cancelRequest", "params": {"id": number}})

    def feed(self, data: bytes) -> None:
        """Take what the worker wrote, whole lines or not."""
        self._buffer.extend(data)
        *lines, rest = bytes(self._buffer).split(b"\n")
        self._buffer = bytearray(rest)
        for line in lines:
            if line.strip():
                self._receive(line)

    def close(self, error: WorkerError) -> None:
        """The worker is gone: every open request fails with this error."""
        gone, self._open, self._buffer = self._open, {}, bytearray()
        for request in gone.values():
            request.failed(error)

    def _send(self, body: Mapping[str, Any]) -> None:
        self._write((json.dumps({"jsonrpc": "2.0", **body}, ensure_ascii=False) + "\n").encode("utf-8", "replace"))

    def _receive(self, line: bytes) -> None:
        try:
            message = json.loads(line)
        except ValueError:
            return  # a library that writes to the protocol's stream cannot be answered; the request's answer follows
        if not isinstance(message, dict):
            return
        if "method" in message:
            self._receiveNotification(message["method"], message.get("params", {}))
            return
        request = self._open.pop(message.get("id"), None)
        if request is None:
            return
        if "error" in message:
            request.failed(errorFrom(message["error"]))
        else:
            request.done(message.get("result"))

    def _receiveNotification(self, method: str, params: Mapping[str, Any]) -> None:
        if method != "$/progress":
            self._notified(method, params)
            return
        request = self._open.get(params.get("id", -1))
        if request and request.progress:
            request.progress(float(params["fraction"]), str(params["message"]))


def errorFrom(data: Mapping[str, Any]) -> WorkerError:
    """The error of an answer."""
    details = data.get("data") or {}
    return WorkerError(int(data.get("code", 0)), str(data.get("message", "")), str(details.get("code", "")))


def handshakeProblem(result: Mapping[str, Any]) -> str | None:
    """Why a worker cannot serve this module, in one sentence; None when it can."""
    core = str(result.get("core", "0"))
    missing = [name for name in NEEDED_METHODS if name not in result.get("methods", ())]
    if result.get("protocol") != PROTOCOL_VERSION or coreVersion(core) < MINIMUM_CORE or missing:
        wanted = ".".join(map(str, MINIMUM_CORE))
        what = f"; it lacks {', '.join(missing)}" if missing else ""
        return (
            f"The chosen Python has RenalCLIP {core} with protocol {result.get('protocol')}{what}. "
            f"This module needs RenalCLIP {wanted} or later with protocol {PROTOCOL_VERSION}."
        )
    return None


def withoutEvidence(data: Any) -> Any:
    """JSON data of a review or a part of it without the geometry behind measurements: large, and no panel shows it."""
    if isinstance(data, dict):
        return {name: withoutEvidence(item) for name, item in data.items() if name != "evidence"}
    return [withoutEvidence(item) for item in data] if isinstance(data, list) else data


def coreVersion(text: str) -> tuple[int, ...]:
    """The leading numbers of a version: ``(0, 1, 0)`` for ``0.1.0rc1``."""
    numbers = []
    for part in text.split("."):
        digits = "".join(itertools.takewhile(str.isdigit, part))
        if not digits:
            break
        numbers.append(int(digits))
        if digits != part:
            break
    return tuple(numbers)
