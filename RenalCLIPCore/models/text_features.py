"""Features of a frozen text encoder, computed once: every report, and its versions with shuffled sentences.

A store is a folder: ``features.safetensors`` ((cases, versions, D), half precision, L2-normalised), ``texts.json``
(what was embedded, by case) and ``features.json`` (encoder, its hash, how it was made). Version 0 is the original.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from ..errors import InputError, OutputError
from ..progress import Progress
from .text_encoder import TextEncoder
from .weights import read_tensors, save_tensors

FEATURES_FILE = "features.safetensors"
TEXTS_FILE = "texts.json"
DESCRIPTION_FILE = "features.json"
VERSION = 1
_CASES_AT_ONCE = 32


@dataclass(frozen=True, eq=False)
class TextFeatures:
    """An opened store.

    Attributes:
        features: By case (versions, D) float32, L2-normalised.
        texts: By case the versions' texts.
        encoder_sha256: Hash of the encoder's checkpoint folder.
        max_tokens: Where texts were cut.
    """

    features: Mapping[str, npt.NDArray[np.float32]]
    texts: Mapping[str, tuple[str, ...]]
    encoder_sha256: str
    max_tokens: int

    @property
    def embedding_dim(self) -> int:
        """Size of the features."""
        return int(next(iter(self.features.values())).shape[1])

    @property
    def versions(self) -> int:
        """Versions per case, the original included."""
        return int(next(iter(self.features.values())).shape[0])


def write_text_features(
    encoder: TextEncoder,
    encoder_sha256: str,
    texts: Mapping[str, Sequence[str]],
    out: Path,
    *,
    progress: Progress | None = None,
) -> TextFeatures:
    """Embed the versions of every case's text and leave a store in ``out``, by atomic rename.

    Args:
        encoder: To embed with.
        encoder_sha256: Hash of where it came from.
        texts: By case the same number of versions, the original first.
        out: Folder of the new store.
        progress: Told of every few cases.

    Raises:
        OutputError: ``out`` exists.
        InputError: There is no text.
    """
    if out.exists():
        raise OutputError(f"{out.name} exists already; choose another name or remove it.")
    if not texts:
        raise InputError("There is no report to compute features of.")
    cases = list(texts)
    parts = []
    for first in range(0, len(cases), _CASES_AT_ONCE):
        some = cases[first : first + _CASES_AT_ONCE]
        flat = [version for case in some for version in texts[case]]
        parts.append(torch.from_numpy(encoder.embed(flat)).half().view(len(some), -1, encoder.embedding_dim))
        if progress:
            progress((first + len(some)) / len(cases), "reading reports")
    description = {
        "version": VERSION,
        "cases": cases,
        "encoder_sha256": encoder_sha256,
        "max_tokens": encoder.max_tokens,
    }
    partial = out.with_name(f".partial-{out.name}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    save_tensors({"features": torch.cat(parts)}, partial / FEATURES_FILE)
    _write_json({case: list(versions) for case, versions in texts.items()}, partial / TEXTS_FILE)
    _write_json(description, partial / DESCRIPTION_FILE)
    os.replace(partial, out)
    return read_text_features(out)


def read_text_features(folder: Path) -> TextFeatures:
    """Open a store.

    Raises:
        InputError: It is missing, damaged or of another version.
    """
    try:
        description = json.loads((folder / DESCRIPTION_FILE).read_text(encoding="utf-8"))
        texts = json.loads((folder / TEXTS_FILE).read_text(encoding="utf-8"))
        version, cases = description["version"], description["cases"]
        digest, max_tokens = str(description["encoder_sha256"]), int(description["max_tokens"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{folder.name} is no store of text features; make one with 'renalclip train text-features'."
        ) from error
    if version != VERSION:
        raise InputError(f"{folder.name} holds text features of version {version}; this program reads {VERSION}.")
    values = read_tensors(folder / FEATURES_FILE).get("features")
    if values is None or values.ndim != 3 or len(values) != len(cases) or set(texts) != set(cases):
        raise InputError(f"{folder.name}: features and cases do not belong together; make the store again.")
    units = torch.nn.functional.normalize(values.float(), dim=-1).numpy()
    found = dict(zip(cases, units, strict=True))
    return TextFeatures(found, {case: tuple(texts[case]) for case in cases}, digest, max_tokens)


def _write_json(content: object, path: Path) -> None:
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8")
