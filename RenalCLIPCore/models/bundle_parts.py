"""What a bundle carries beside its networks: prompts, an index of cases, statistics of the training features."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from torch import Tensor

from ..errors import BundleError, WeightsMismatchError
from .feature_statistics import FeatureStatistics
from .manifest import BundleManifest
from .weights import listed, read_tensors, save_tensors

STATISTICS_FILE = "statistics.safetensors"
PROMPTS_FILE = "prompts.safetensors"
PROMPT_TEXTS_FILE = "prompts.json"
INDEX_FILE = "index.safetensors"
INDEX_CASES_FILE = "index.json"
_MAX_JSON_BYTES = 256 << 20
T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class TaskPrompts:
    """Prompts of one task of two classes.

    Attributes:
        classes: Names of the negative and the positive class.
        texts: Per class, in the order of the task's classes: its prompts.
        embeddings: Per class, (prompts, embedding_dim) float32, L2-normalised.
    """

    classes: tuple[str, ...]
    texts: tuple[tuple[str, ...], ...]
    embeddings: tuple[npt.NDArray[np.float32], ...]


@dataclass(frozen=True, eq=False)
class CaseIndex:
    """Cases to compare with: no patient data.

    Attributes:
        embeddings: (cases, embedding_dim) float32, L2-normalised.
        case_ids: One pseudonym per case.
        facts: What may be shown of each case, for instance histology and size.
    """

    embeddings: npt.NDArray[np.float32]
    case_ids: tuple[str, ...]
    facts: tuple[dict[str, str], ...]


class _IndexCase(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    case_id: str
    facts: dict[str, str]


_PROMPT_TEXTS: TypeAdapter[dict[str, dict[str, list[str]]]] = TypeAdapter(dict[str, dict[str, list[str]]])
_INDEX_CASES: TypeAdapter[list[_IndexCase]] = TypeAdapter(list[_IndexCase])


def load_prompts(folder: Path, manifest: BundleManifest) -> dict[str, TaskPrompts] | None:
    """Prompts by task name, or None when the manifest has none."""
    if not manifest.prompts:
        return None
    texts = _json(folder / PROMPT_TEXTS_FILE, _PROMPT_TEXTS)
    if not all(len(classes) == 2 and all(classes.values()) for classes in texts.values()):
        raise BundleError(f"{PROMPT_TEXTS_FILE}: each task needs two classes with at least one prompt each.")
    arrays = read_tensors(folder / PROMPTS_FILE)
    rows = {f"{task}/{n}": len(some) for task, classes in texts.items() for n, some in enumerate(classes.values())}
    _check_embeddings(arrays, rows, manifest, PROMPTS_FILE)
    return {
        task: TaskPrompts(
            tuple(classes),
            tuple(tuple(prompts) for prompts in classes.values()),
            tuple(arrays[f"{task}/{number}"].float().numpy() for number in range(len(classes))),
        )
        for task, classes in texts.items()
    }


def load_index(folder: Path, manifest: BundleManifest) -> CaseIndex | None:
    """Cases to compare with, or None when the manifest has none."""
    if not manifest.index:
        return None
    cases = _json(folder / INDEX_CASES_FILE, _INDEX_CASES)
    arrays = read_tensors(folder / INDEX_FILE)
    _check_embeddings(arrays, {"embeddings": len(cases)}, manifest, INDEX_FILE)
    embeddings = arrays["embeddings"].float().numpy()
    return CaseIndex(embeddings, tuple(case.case_id for case in cases), tuple(case.facts for case in cases))


def load_statistics(folder: Path, manifest: BundleManifest) -> FeatureStatistics | None:
    """Statistics of the training features, or None when the manifest has none."""
    if manifest.out_of_distribution is None:
        return None
    arrays = read_tensors(folder / STATISTICS_FILE)
    features = 8 * manifest.architecture.width
    kept = arrays["variances"].shape[0] if "variances" in arrays and arrays["variances"].ndim == 1 else 0
    shapes = {"mean": (features,), "components": (kept, features), "variances": (kept,), "residual_variance": (1,)}
    if {name: tuple(value.shape) for name, value in arrays.items()} != shapes or not kept:
        raise WeightsMismatchError(f"{STATISTICS_FILE} does not fit features of length {features}.")
    values = {name: value.double().numpy() for name, value in arrays.items()}
    residual = float(values["residual_variance"][0])
    finite = all(bool(np.isfinite(value).all()) for value in values.values())
    if not finite or residual <= 0 or values["variances"].min() <= 0:
        raise BundleError(f"{STATISTICS_FILE} holds variances that are not positive or values that are not finite.")
    return FeatureStatistics(values["mean"], values["components"], values["variances"], residual)


def write_prompts(folder: Path, prompts: Mapping[str, TaskPrompts]) -> None:
    """Write texts and embeddings."""
    texts = {task: dict(zip(item.classes, item.texts, strict=True)) for task, item in prompts.items()}
    arrays = {
        f"{task}/{number}": torch.from_numpy(np.asarray(embeddings, dtype=np.float32))
        for task, item in prompts.items()
        for number, embeddings in enumerate(item.embeddings)
    }
    save_tensors(arrays, folder / PROMPTS_FILE)
    (folder / PROMPT_TEXTS_FILE).write_text(json.dumps(texts, indent=1, ensure_ascii=False), encoding="utf-8")


def write_index(folder: Path, index: CaseIndex) -> None:
    """Write embeddings and facts."""
    save_tensors({"embeddings": torch.from_numpy(np.asarray(index.embeddings, dtype=np.float32))}, folder / INDEX_FILE)
    pairs = zip(index.case_ids, index.facts, strict=True)
    cases = [{"case_id": case_id, "facts": facts} for case_id, facts in pairs]
    (folder / INDEX_CASES_FILE).write_text(json.dumps(cases, indent=1, ensure_ascii=False), encoding="utf-8")


def write_statistics(folder: Path, statistics: FeatureStatistics) -> None:
    """Write the statistics in float64."""
    values = {
        "mean": statistics.mean,
        "components": statistics.components,
        "variances": statistics.variances,
        "residual_variance": [statistics.residual_variance],
    }
    arrays = {name: torch.from_numpy(np.asarray(value, dtype=np.float64)) for name, value in values.items()}
    save_tensors(arrays, folder / STATISTICS_FILE)


def _check_embeddings(
    arrays: Mapping[str, Tensor], rows: Mapping[str, int], manifest: BundleManifest, source: str
) -> None:
    shapes = {name: (count, manifest.architecture.embedding_dim) for name, count in rows.items()}
    found = {name: tuple(value.shape) for name, value in arrays.items()}
    wrong = sorted(name for name in shapes.keys() | found.keys() if shapes.get(name) != found.get(name))
    if wrong:
        raise WeightsMismatchError(
            f"{source}: {listed(wrong)} missing, left over or not of the shape (texts or cases, embedding_dim)."
        )
    for name, value in arrays.items():
        norms = value.float().norm(dim=1)
        if not bool(torch.allclose(norms, torch.ones_like(norms), atol=1e-2)):
            raise BundleError(f"{source}: the embeddings {name} are not L2-normalised.")


def _json(path: Path, kind: TypeAdapter[T]) -> T:
    try:
        if path.stat().st_size > _MAX_JSON_BYTES:
            raise BundleError(f"{path.name} is larger than {_MAX_JSON_BYTES >> 20} MB and is not read.")
        return kind.validate_json(path.read_bytes(), strict=True)
    except (OSError, ValidationError) as error:
        raise BundleError(f"{path.name} is not of the expected form; take an undamaged copy of the bundle.") from error
