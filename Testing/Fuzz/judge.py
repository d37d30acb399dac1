"""Whether a mutant was met as it should be: accepted or refused with one message, and nothing else happened."""

from __future__ import annotations

import json
import re

from .child import MEMORY_BYTES, Ending

ACCEPTED, REFUSED = "accepted", "refused"
_MESSAGE = 1500
_PROGRESS = re.compile(r"(\[ *[0-9.]+ s\])? *[0-9.]+ % ")


def verdict(ending: Ending, writable: tuple[str, ...] = ("nest/out",)) -> str:
    """``accepted``, ``refused``, or what was wrong."""
    wrong = _ended_badly(ending) or _wrote_elsewhere(ending, writable)
    if wrong:
        return wrong
    if ending.code == 0:
        return ACCEPTED if not _said(ending.error) else f"noise on stderr: {_said(ending.error)[-1][:200]}"
    if any(path.startswith(writable) for path in ending.changed):
        return f"left behind: {ending.changed[0]}"
    lines = _said(ending.error)
    if len(lines) != 1 or not lines[0].startswith("renalclip: ") or len(lines[0]) > _MESSAGE:
        return f"not one message but {len(lines)} lines: {' | '.join(lines)[:300]}"
    return REFUSED


def worker_verdict(ending: Ending, answered: str) -> str:
    """The same for a worker's stream of answers: each line is a message, none says that something broke inside."""
    wrong = _ended_badly(ending) or _wrote_elsewhere(ending, ("nest",))
    if wrong or ending.code != 0:
        return wrong or f"exit code {ending.code}"
    refused = False
    for line in answered.splitlines():
        try:
            message = json.loads(line, parse_constant=_no_constant)
        except ValueError:
            return f"answer is not JSON: {line[:200]}"
        error = message.get("error") or message.get("params", {}).get("error")
        if error and error["code"] == -32603:
            return f"internal error: {error['message']}"
        refused = refused or bool(error)
    if _said(ending.error):
        return f"noise on stderr: {_said(ending.error)[-1][:200]}"
    return REFUSED if refused else ACCEPTED


def _ended_badly(ending: Ending) -> str:
    if ending.code is None:
        return "hang"
    if "Traceback (most recent call last)" in ending.error:
        last = _said(ending.error)[-1]
        return f"traceback: {last[:200]}"
    if ending.code not in (0, 2):
        return f"exit code {ending.code}"
    if ending.peak_bytes > MEMORY_BYTES:
        return f"memory: {ending.peak_bytes >> 20} MB"
    return ""


def _wrote_elsewhere(ending: Ending, writable: tuple[str, ...]) -> str:
    elsewhere = [path for path in ending.changed if not path.startswith(writable)]
    return f"changed outside the output: {', '.join(elsewhere[:3])}" if elsewhere else ""


def _said(text: str) -> list[str]:
    lines = re.split(r"[\r\n]+", text)
    return [line for line in lines if line.strip() and not _PROGRESS.match(line)]  # progress is no message


def _no_constant(name: str) -> float:
    raise ValueError(name)
