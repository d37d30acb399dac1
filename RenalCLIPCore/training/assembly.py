"""Bundles put together from parts: a bundle, fine-tuned tasks, a report generator, an nnU-Net model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..errors import BundleError
from ..models.bundle import Bundle, BundleContents, write_bundle
from ..models.encoder import RenalEncoder
from ..models.manifest import BundleManifest, Risk, Task
from .configuration import load_configuration, stage_of
from .fine_tuning import best_task_model, read_result
from .learnt import stored
from .learnt_from import joined_terms, learnt_from
from .multiphase import with_multiphase
from .report_stage import GENERATOR_FOLDER
from .stage import CONFIGURATION_FILE


@dataclass(frozen=True, eq=False)
class _Added:
    """A fine-tuned task: its entry, head, own encoder unless it is the bundle's, risk groups, and words."""

    task: Task
    head: nn.Module
    encoder: RenalEncoder | None
    risk: Risk | None
    fusion: str
    words: str
    licence: str


def assemble_bundle(
    bundle: Path,
    segmentation: Path | None,
    out: Path,
    *,
    tasks: Sequence[Path] = (),
    report: Path | None = None,
    multiphase: Sequence[Path] = (),
    overwrite: bool = False,
) -> BundleManifest:
    """A bundle with parts added (or exchanged).

    Args:
        bundle: Everything else is taken from it.
        segmentation: Folder of an nnU-Net model, or None.
        out: Folder of the new bundle.
        tasks: Finished runs of ``train task`` and ``train survival``. Those on the bundle's own encoder share it.
        report: Finished run of ``train report``, or None.
        multiphase: Finished runs of ``train multiphase``, one per task.
        overwrite: Whether an older bundle there is replaced.

    Raises:
        BundleError: The bundle is damaged or cannot be written, or a run does not fit it.
        TrainingError: A run is not finished.
    """
    loaded = Bundle.load(bundle)
    manifest = loaded.manifest
    added = [_added(run, loaded) for run in tasks]
    kept = _kept(manifest, added)
    sources = learnt_from(bundle, *tasks, report, segmentation, *multiphase)
    earlier = with_multiphase(loaded, multiphase)
    entries = {task.name: task for task in [*manifest.tasks, *(item.task for item in added)]}
    changes: dict[str, Any] = {
        "tasks": tuple(entries.values()),
        "risk": next((item.risk for item in added if item.risk is not None), manifest.risk),
        "fusion": added[0].fusion if added else manifest.fusion,
        "segmentation": manifest.segmentation or segmentation is not None,
        "report": manifest.report or report is not None,
        "multiphase": earlier.entries,
        "training_data": " ".join([manifest.training_data, *(item.words for item in added), *earlier.words]),
        "licence": joined_terms(manifest.licence, *(item.licence for item in added), sources.licence),
        "training_groups": tuple(sorted(sources.groups)),
        "files": {},
    }
    contents = BundleContents(
        BundleManifest.model_validate({**manifest.model_dump(), **changes}),
        stored(loaded.encoder),
        {**{t.name: stored(loaded.heads[t.name]) for t in kept}, **{i.task.name: i.head for i in added}},
        {
            **{t.name: stored(loaded.task_encoders[t.name]) for t in kept if t.own_encoder},
            **{item.task.name: item.encoder for item in added if item.encoder is not None},
        },
        loaded.prompts,
        loaded.index,
        loaded.statistics,
        segmentation or loaded.segmentation_folder,
        report / GENERATOR_FOLDER if report is not None else loaded.report_folder,
        earlier.networks,
    )
    return write_bundle(out, contents, overwrite=overwrite)


def _kept(manifest: BundleManifest, added: Sequence[_Added]) -> list[Task]:
    """The bundle's own tasks that no run replaces; all tasks must be read from phases in one way."""
    names = [item.task.name for item in added]
    if len(set(names)) < len(names):
        raise BundleError("Two of the runs are of one task; give each task once.")
    kept = [task for task in manifest.tasks if task.name not in names]
    fusions = {item.fusion for item in added} | ({manifest.fusion} if kept else set())
    if len(fusions) > 1:
        raise BundleError("All tasks of a bundle are fine-tuned on random phases or all on A, else V; the runs differ.")
    return kept


def _added(run: Path, bundle: Bundle) -> _Added:
    stage = stage_of(run)
    if stage not in ("task", "survival"):
        raise BundleError(f"{run.name} is no run of one task; give runs of 'train task' and 'train survival'.")
    configuration = load_configuration(stage, run / CONFIGURATION_FILE)
    if configuration.network != "renalclip":
        raise BundleError(f"{run.name} has the network {configuration.network}; bundles hold RenalCLIP's own alone.")
    if configuration.encoder.width != bundle.encoder.width:
        raise BundleError(
            f"{run.name} has an encoder of width {configuration.encoder.width}, the bundle {bundle.encoder.width}."
        )
    result = read_result(run)
    if result.preprocessing != bundle.manifest.preprocessing:
        raise BundleError(f"{run.name} was trained on regions that are cut otherwise than the bundle's.")
    model, _ = best_task_model(run, configuration)
    shared = _same(model.encoder, bundle.encoder)
    name = configuration.task
    share = "" if configuration.fraction == 1 else f" ({100 * configuration.fraction:g} % of the patients)"
    return _Added(
        result.task.model_copy(update={"own_encoder": not shared}),
        stored(model.heads[name]),
        None if shared else stored(model.encoder),
        result.risk,
        configuration.phases,
        f"Task {name}: {result.cases} training cases{share}.",
        result.licence,
    )


def _same(first: nn.Module, second: nn.Module) -> bool:
    others = second.state_dict()
    return all(torch.equal(value.float(), others[name].float()) for name, value in first.state_dict().items())
