"""What a bundle carries beside its networks: prompts, an index of cases, statistics of the training features."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
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


@dataclass(frozen=True, eq=False)
class TaskPrompts:
    """Prompts of one task.

    Attributes:
        texts: Per class, in the order of the task's classes: its prompts.
        embeddings: Per class, (prompts, embedding_dim) float32, L2-normalised.
    """

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


def load_prompts(folder: Path, manifest: BundleManifest) -> dict[str, TaskPrompts] | None:
    if not manifest.prompts:
        return None
    texts = _json(folder / PROMPT_TEXTS_FILE)
    arrays = read_tensors(folder / PROMPTS_FILE)
    if not _is_prompt_texts(texts):
        raise BundleError(f"{PROMPT_TEXTS_FILE} must hold, per task, a list of prompts for each class.")
    expected = {
        f"{task}/{number}": len(prompts) for task, classes in texts.items() for number, prompts in enumerate(classes)
    }
    _check_embeddings(arrays, expected, manifest, PROMPTS_FILE)
    return {
        task: TaskPrompts(
            tuple(tuple(prompts) for prompts in classes),
            tuple(arrays[f"{task}/{number}"].float().numpy() for number in range(len(classes))),
        )
        for task, classes in texts.items()
    }


def _is_prompt_texts(texts: Any) -> bool:
    return isinstance(texts, dict) and all(
        isinstance(classes, list)
        and len(classes) >= 2
        and all(
            isinstance(prompts, list) and prompts and all(isinstance(p, str) for p in prompts) for prompts in classes
        )
        for classes in texts.values()
    )


def load_index(folder: Path, manifest: BundleManifest) -> CaseIndex | None:
    if not manifest.index:
        return None
    cases = _json(folder / INDEX_CASES_FILE)
    if not isinstance(cases, list) or not cases or not all(_is_case(case) for case in cases):
        raise BundleError(f"{INDEX_CASES_FILE} must be a list of cases, each with case_id and facts (text by name).")
    arrays = read_tensors(folder / INDEX_FILE)
    _check_embeddings(arrays, {"embeddings": len(cases)}, manifest, INDEX_FILE)
    ids = tuple(case["case_id"] for case in cases)
    return CaseIndex(arrays["embeddings"].float().numpy(), ids, tuple(dict(case["facts"]) for case in cases))


def _is_case(case: Any) -> bool:
    return (
        isinstance(case, dict)
        and set(case) == {"case_id", "facts"}
        and isinstance(case["case_id"], str)
        and isinstance(case["facts"], dict)
        and all(isinstance(value, str) for value in case["facts"].values())
    )


def load_statistics(folder: Path, manifest: BundleManifest) -> FeatureStatistics | None:
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
    texts = {task: [list(class_texts) for class_texts in item.texts] for task, item in prompts.items()}
    arrays = {
        f"{task}/{number}": torch.from_numpy(np.asarray(embeddings, dtype=np.float32))
        for task, item in prompts.items()
        for number, embeddings in enumerate(item.embeddings)
    }
    save_tensors(arrays, folder / PROMPTS_FILE)
    (folder / PROMPT_TEXTS_FILE).write_text(json.dumps(texts, indent=1, ensure_ascii=False), encoding="utf-8")


def write_index(folder: Path, index: CaseIndex) -> None:
    save_tensors({"embeddings": torch.from_numpy(np.asarray(index.embeddings, dtype=np.float32))}, folder / INDEX_FILE)
    pairs = zip(index.case_ids, index.facts, strict=True)
    cases = [{"case_id": case_id, "facts": facts} for case_id, facts in pairs]
    (folder / INDEX_CASES_FILE).write_text(json.dumps(cases, indent=1, ensure_ascii=False), encoding="utf-8")


def write_statistics(folder: Path, statistics: FeatureStatistics) -> None:
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


def _json(path: Path) -> Any:
    try:
        if path.stat().st_size > _MAX_JSON_BYTES:
            raise BundleError(f"{path.name} is larger than {_MAX_JSON_BYTES >> 20} MB and is not read.")
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise BundleError(f"{path.name} is no readable JSON file.") from error
