"""Answers of language models on disk, by a hash of everything that was asked: a run that broke off asks nothing twice.

File names are hashes and tell nothing. The files hold answers, which may quote reports: the folder is readable by its
owner alone and deserves the care that reports do.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from ..errors import OutputError
from ..output import write_text


@dataclass(frozen=True)
class AnswerCache:
    """A folder of answers."""

    folder: Path

    def get(self, key: str) -> str | None:
        """The answer of a key, None where there is none or it cannot be read."""
        try:
            document = json.loads(self._path(key).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        answer = document.get("answer") if isinstance(document, dict) else None
        return answer if isinstance(answer, str) else None

    def put(self, key: str, answer: str) -> None:
        """Keep an answer, by atomic rename.

        Raises:
            OutputError: The folder cannot be written.
        """
        path = self._path(key)
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.parent.mkdir(mode=0o700, exist_ok=True)
            write_text(path, json.dumps({"answer": answer}, ensure_ascii=False))
        except OSError as error:
            raise OutputError(f"The folder of answers cannot be written ({error.strerror}).") from error

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.json"


def answer_key(*parts: str) -> str:
    """Hash of what an answer depends on."""
    return hashlib.sha256(json.dumps(parts, ensure_ascii=False).encode("utf-8", "backslashreplace")).hexdigest()
