"""One mutant in one forked child: bounded in time and memory, its folder compared before and after."""

from __future__ import annotations

import hashlib
import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

WATCHDOG_S = 30.0  # without a word of progress; long work that tells how far it is does not hang
LONGEST_S = 300.0
MEMORY_BYTES = 8 << 30
FILE_BYTES = 4 << 30

Snapshot = dict[str, str]


@dataclass(frozen=True)
class Ending:
    """How a child ended.

    Attributes:
        code: Exit code; negative for a signal, None when the watchdog ended it.
        seconds: Wall time.
        peak_bytes: Largest resident size.
        out: What it printed.
        error: What it printed on stderr.
        changed: Paths in the box (relative) that appeared, changed or went.
    """

    code: int | None
    seconds: float
    peak_bytes: int
    out: str
    error: str
    changed: tuple[str, ...]


def run(box: Path, call: Callable[[], int]) -> Ending:
    """Run a call in a fork with ``box/nest`` as working folder and ``box/tmp`` for temporary files."""
    before = snapshot(box)
    logs = box.with_name(f"{box.name}.logs")
    logs.mkdir(exist_ok=True)
    started = time.monotonic()
    pid = os.fork()
    if pid == 0:
        _child(box, logs, call)
    code, usage = _wait(pid, started, logs / "error")
    out, error = ((logs / name).read_text(encoding="utf-8", errors="replace") for name in ("out", "error"))
    after = snapshot(box)
    changed = tuple(sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path)))
    return Ending(code, time.monotonic() - started, usage.ru_maxrss << 10, out, error, changed)


def snapshot(box: Path) -> Snapshot:
    """What each file, folder and link in a box is."""
    found: Snapshot = {}
    for folder, names, files in os.walk(box, followlinks=False):
        for name in (*names, *files):
            path = os.path.join(folder, name)
            found[os.path.relpath(path, box)] = _mark(path)
    return found


def _mark(path: str) -> str:
    if os.path.islink(path):
        return f"link to {os.readlink(path)}"
    if os.path.isdir(path):
        return "folder"
    if not os.path.isfile(path):
        return "special"
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _wait(pid: int, started: float, progress: Path) -> tuple[int | None, resource.struct_rusage]:
    late, told, heard = False, 0, started
    while True:
        done, status, usage = os.wait4(pid, os.WNOHANG)
        if done:
            return (None if late else os.waitstatus_to_exitcode(status)), usage
        now = time.monotonic()
        if progress.exists() and (size := progress.stat().st_size) > told:
            told, heard = size, now
        if (now - heard > WATCHDOG_S * _crowding() or now - started > LONGEST_S * _crowding()) and not late:
            late = True
            os.killpg(pid, signal.SIGKILL)
        time.sleep(0.004)


def _crowding() -> float:
    """How many times longer work takes on this machine than on a quiet one, by its load."""
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


def _child(box: Path, logs: Path, call: Callable[[], int]) -> None:
    code = 99
    try:
        os.setsid()
        for name, number in (("out", 1), ("error", 2)):
            file = os.open(logs / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(file, number)
        # library thread pools do not survive a fork, so the parent never starts one
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))
        resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_BYTES, FILE_BYTES))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os.chdir(box / "nest")
        os.environ.update(TMPDIR=str(box / "tmp"), HOME=str(box / "home"))
        import tempfile

        tempfile.tempdir = None
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
        try:
            code = call()
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else 1
    except BaseException:
        traceback.print_exc()
        code = 1
    finally:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(code)
