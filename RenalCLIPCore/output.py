"""Outputs appear whole or not at all; what a killed run left half made is cleared by the next one."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from .errors import OutputError

PARTIAL = ".partial-run-"
_ABANDONED_AFTER_S = 86400.0


@contextmanager
def staged(folder: Path, last: str = "") -> Iterator[Path]:
    """A temporary folder whose entries move into ``folder`` when the block ends without an error.

    Each entry replaces one of the same name by rename; ``last`` names the entry that moves after all others and whose
    earlier version goes first, so that its presence says that the rest is complete. On an error nothing of ``folder``
    changes. Folders are replaced only where ``last`` or what a killed run left says that they come from here.

    Raises:
        OutputError: The folder cannot be made or written, or holds a folder of somebody else's in an entry's place.
    """
    check_name(folder)
    made = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        ours = not last or (folder / last).is_file() or bool(clear_abandoned(folder))
        stage, lock = _make_stage(folder)
    except OSError as error:
        _remove_empty(folder, made)
        raise OutputError(f"The output folder cannot be written ({error.strerror}).") from error
    try:
        yield stage
        entries = sorted(stage.iterdir(), key=lambda path: path.name == last)
        for entry in entries:
            if not ours and (folder / entry.name).is_dir():
                raise OutputError(f"The output folder holds a folder {entry.name!r} of another origin; choose another.")
        with undisturbed():
            _publish(entries, folder, last)
            shutil.rmtree(stage, ignore_errors=True)
    except OSError as error:
        raise OutputError(f"Writing to the output folder failed ({error.strerror or error}).") from error
    finally:
        with undisturbed():
            shutil.rmtree(stage, ignore_errors=True)
            release(lock)
            _remove_empty(folder, made)


@contextmanager
def beside(folder: Path, mode: int = 0o777) -> Iterator[Path]:
    """A temporary folder beside ``folder``, gone when the block ends unless it was renamed; cleared like a stage.

    Raises:
        OSError: It cannot be made.
    """
    check_name(folder)
    clear_abandoned(folder.parent)
    stage, lock = _make_stage(folder.parent, mode)
    try:
        yield stage
    finally:
        with undisturbed():
            shutil.rmtree(stage, ignore_errors=True)
            release(lock)


def check_name(path: Path) -> None:
    """Refuse a name that is no text: the image library ends the program over one.

    Raises:
        OutputError: As said.
    """
    try:
        str(path.absolute()).encode()
    except UnicodeEncodeError as error:
        raise OutputError("The name of the output folder is not valid text (UTF-8); choose another.") from error


@contextmanager
def undisturbed() -> Iterator[None]:
    """Hold interrupts back until the block ends (in the main thread; others get none)."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    held: list[tuple[int, FrameType | None]] = []
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, lambda *received: held.append(received))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        for received, _ in held:
            signal.raise_signal(received)


def clear_abandoned(folder: Path) -> list[str]:
    """Remove the temporary folders of runs that were killed; the names removed."""
    found = [path for path in folder.glob(f"{PARTIAL}*") if path.is_dir() and not path.is_symlink()]
    removed = []
    for path in found:
        lock = _try_lock(path)
        if lock is None and not _is_old(path):
            continue
        shutil.rmtree(path, ignore_errors=True)
        removed.append(path.name)
        release(lock)
    return removed


def release(lock: int | None) -> None:
    """Let go of a stage's lock."""
    if lock is not None:
        os.close(lock)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text by atomic rename; a lone surrogate, which has no UTF-8 form, becomes its escape."""
    partial = path.with_name(f"{PARTIAL}{secrets.token_hex(4)}")
    try:
        partial.write_text(text, encoding="utf-8", errors="backslashreplace")
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _make_stage(folder: Path, mode: int = 0o777) -> tuple[Path, int | None]:
    """A new temporary folder and the lock that says that its run lives."""
    while True:
        stage = folder / f"{PARTIAL}{secrets.token_hex(8)}"
        stage.mkdir(mode, parents=True)
        lock = _try_lock(stage)
        if lock is None or stage.exists():  # gone where another run took it for abandoned before it was locked
            return stage, lock
        release(lock)


def _try_lock(folder: Path) -> int | None:
    """A lock on a folder that ends with its process; None where it is held, or where folders cannot be locked."""
    if sys.platform == "win32":
        return None
    import fcntl

    try:
        lock = os.open(folder, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        return None
    return lock


def _is_old(folder: Path) -> bool:
    """Whether a folder that no lock tells anything about has not changed for a day."""
    try:
        return sys.platform == "win32" and time.time() - folder.stat().st_mtime > _ABANDONED_AFTER_S
    except OSError:
        return False


def _remove_empty(folder: Path, made: bool) -> None:
    if made and folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def _publish(entries: Sequence[Path], folder: Path, last: str) -> None:
    """Move the staged entries into place, ``last`` away first and back last; on an error everything moves back."""
    moves = [(folder / last, entries[0].with_name(f".old-{last}"))] if last and entries else []
    for entry in entries:
        target = folder / entry.name
        moves += [(target, entry.with_name(f".old-{entry.name}"))] if entry.name != last and target.is_dir() else []
        moves.append((entry, target))
    done: list[tuple[Path, Path]] = []
    try:
        for source, target in moves:
            if source.exists() or source.is_symlink():
                os.replace(source, target)
                done.append((source, target))
    except OSError:
        for source, target in reversed(done):
            os.replace(target, source)
        raise
