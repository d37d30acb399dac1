"""Outputs appear whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import OutputError


@contextmanager
def staged(folder: Path, last: str = "") -> Iterator[Path]:
    """A temporary folder whose entries move into ``folder`` when the block ends without an error.

    Each entry replaces one of the same name by rename; ``last`` names the entry that moves after all others, so that
    its presence says that the rest is complete. On an error nothing of ``folder`` changes.

    Raises:
        OutputError: The folder cannot be made or written.
    """
    made = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        stage = Path(tempfile.mkdtemp(prefix=".partial-", dir=folder))
    except OSError as error:
        raise OutputError(f"The output folder {folder.name!r} cannot be written ({error.strerror}).") from error
    try:
        yield stage
        for entry in sorted(stage.iterdir(), key=lambda path: path.name == last):
            _replace(entry, folder / entry.name)
    except OSError as error:
        raise OutputError(f"Writing to {folder.name!r} failed ({error.strerror or error}).") from error
    finally:
        shutil.rmtree(stage, ignore_errors=True)
        if made and not any(folder.iterdir()):
            folder.rmdir()


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text by atomic rename."""
    partial = path.with_name(f".partial-{path.name}")
    try:
        partial.write_text(text, encoding="utf-8")
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _replace(entry: Path, target: Path) -> None:
    if target.is_dir() and not target.is_symlink():
        old = entry.with_name(f".old-{entry.name}")
        target.rename(old)
        entry.rename(target)
        shutil.rmtree(old, ignore_errors=True)
    else:
        os.replace(entry, target)
