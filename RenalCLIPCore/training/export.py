"""A finished run becomes a model bundle: weights, calibration, thresholds, risk, statistics and an index of cases."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ..cohort.roi_store import RoiStore
from ..cohort.splits import LearningCohort
from ..errors import TrainingError
from ..models.bundle import BundleContents, write_bundle
from ..models.bundle_parts import CaseIndex
from ..models.encoder import RenalEncoder
from ..models.feature_statistics import fit_feature_statistics
from ..models.manifest import Architecture, BundleManifest, Preprocessing, Task
from ..progress import Progress
from . import checkpoints
from .calibration import add_to_logits, before_temperature
from .configuration import load_configuration, stage_of
from .fine_tuning import labelled_part
from .fine_tuning_stages import SURVIVAL_TASK, FineTuningStage, Fusion, SupervisedStage
from .learnt import Learnt, embeddings, facts, predict_rows, round_to_half, stored
from .learnt_from import LearntFrom, learnt_from
from .loop import BEST_FILE
from .stage import CONFIGURATION_FILE
from .tasks import MultitaskModel, prior_shifts

_AT_ONCE = 64  # alignment learns from batches that are too large to be read at once

FEATURE_NEIGHBOURS = "Neighbours: cosine of whitened backbone features (no image-text space)."


@dataclass(frozen=True)
class BundleWords:
    """What a person says about a bundle.

    Attributes:
        name: Of the bundle.
        version: Of the bundle.
        training_data: One sentence.
        intended_use: One or two sentences.
        licence: SPDX identifier; of a bundle learnt from images under others' terms, those terms instead.
        phantom: Whether the training data are digital phantoms.
    """

    name: str
    version: str
    training_data: str
    intended_use: str = "Research only. Not for clinical use."
    licence: str = "Apache-2.0"
    phantom: bool = False

    def under_terms_of(self, sources: LearntFrom) -> BundleWords:
        """The words with the terms of what was learnt from, where there are any, as the licence."""
        return replace(self, licence=sources.licence) if sources.licence else self


def export_bundle(
    run: Path,
    cohort: LearningCohort,
    store: RoiStore,
    out: Path,
    words: BundleWords,
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> BundleManifest:
    """Write the bundle of a run's best checkpoint.

    A bundle learnt from images under others' terms (column ``licence`` of the cohort table), in this run or in one that
    it started from, has them as its licence.

    Temperatures (of the fused logits) and Youden thresholds come from the validation split, the threshold of the
    out-of-distribution distance too; median risk, baseline hazard, group curves, feature statistics and the index come
    from the training split. Weights are stored in half precision; everything here is computed with the rounded ones.

    Args:
        run: Folder of a multi-task run, or of a run of one task whose encoder was trained.
        cohort: The one that the run was trained on.
        store: Its regions.
        out: Folder of the bundle.
        words: Name, version and what else a person says.
        overwrite: Whether an older bundle there is replaced.
        progress: Told of every batch.

    Raises:
        TrainingError: The run is of another cohort or configuration, or has no finished checkpoint.
        BundleError: The bundle cannot be written.
    """
    configuration, fusion = _supervised(run)
    if isinstance(configuration, FineTuningStage):
        cohort = labelled_part(configuration, cohort)
    model = best_model(run, configuration, cohort)
    heads = dict(model.heads.items())
    one_phase = fusion == "arterial-else-venous"
    learnt = learnt_by(model.encoder, heads, cohort, store, configuration.batch_size, progress, one_phase=one_phase)
    statistics, rule = learnt.outliers()
    encoder = _with_projection(model.encoder, learnt)
    manifest = manifest_of(
        words,
        LearntFrom.of((*cohort.training, *cohort.validation)).joined(learnt_from(run)),
        encoder,
        store,
        fusion=fusion,
        tasks=calibrated(learnt, heads, configuration),
        risk=learnt.risk() if SURVIVAL_TASK in configuration.tasks else None,
        out_of_distribution=rule,
        training_data=(f"{words.training_data} {numbers(cohort)} {FEATURE_NEIGHBOURS}"),
    )
    index = CaseIndex(
        embeddings(encoder, learnt.training),
        learnt.training.cases,
        tuple(facts(row) for row in learnt.training_rows),
    )
    kept = {name: stored(model.heads[name]) for name in configuration.tasks}
    contents = BundleContents(manifest, stored(encoder), kept, index=index, statistics=statistics)
    return write_bundle(out, contents, overwrite=overwrite)


def calibrated(learnt: Learnt, heads: Mapping[str, nn.Module], configuration: SupervisedStage) -> tuple[Task, ...]:
    """Entries of the configuration's tasks; heads that were trained on balanced classes are brought back from there."""
    shifts = prior_shifts(configuration, learnt.training_rows)
    entries = []
    for name in configuration.tasks:
        entries.append(learnt.task(name, configuration.heads.hidden, shifts.get(name, ())))
        if name in shifts:
            add_to_logits(heads[name], before_temperature(shifts[name], entries[-1].temperature))
    return tuple(entries)


def manifest_of(
    words: BundleWords, sources: LearntFrom, encoder: RenalEncoder, store: RoiStore, **parts: Any
) -> BundleManifest:
    """The manifest of an exported bundle, which has an index.

    Args:
        words: What a person says.
        sources: What was learnt from: its terms and groups.
        encoder: With its projection.
        store: Whose regions it was trained on.
        **parts: Fields of the manifest that the kinds of bundles differ in.
    """
    words = words.under_terms_of(sources)
    return BundleManifest(
        name=words.name,
        version=words.version,
        created=now(),
        architecture=Architecture(width=encoder.width, embedding_dim=encoder.embedding_dim),
        preprocessing=Preprocessing(**vars(store.spec)),
        index=True,
        phantom_trained=words.phantom,
        intended_use=words.intended_use,
        licence=words.licence,
        training_groups=tuple(sorted(sources.groups)),
        **parts,
    )


def learnt_by(
    encoder: nn.Module,
    heads: Mapping[str, nn.Module],
    cohort: LearningCohort,
    store: RoiStore,
    batch_size: int,
    progress: Progress | None = None,
    *,
    one_phase: bool = False,
) -> Learnt:
    """What a finished model says of the training and validation rows, for calibration, risk, statistics and index."""
    at_once = min(batch_size, _AT_ONCE)
    training, validation = (
        predict_rows(encoder, heads, rows, store, at_once, part, progress, one_phase=one_phase)
        for part, rows in enumerate((cohort.training, cohort.validation))
    )
    return Learnt(training, cohort.training, validation, cohort.validation)


def _supervised(run: Path) -> tuple[SupervisedStage, Fusion]:
    """The configuration of a run that has tasks, and how its phases are fused."""
    stage = stage_of(run)
    if stage not in ("multitask", "task", "survival"):
        raise TrainingError(f"{run.name} is a run of the stage {stage!r}, which has no tasks to export.")
    configuration = load_configuration(stage, run / CONFIGURATION_FILE)
    if not isinstance(configuration, FineTuningStage):
        return configuration, "random-phase"
    if configuration.network != "renalclip":
        raise TrainingError(f"{run.name} has the network {configuration.network}; bundles hold RenalCLIP's own alone.")
    return configuration, configuration.phases


def best_model(run: Path, configuration: SupervisedStage, cohort: LearningCohort) -> MultitaskModel:
    """The best model of a run whose encoder was trained, rounded to half precision, in evaluation mode.

    Raises:
        TrainingError: The run is of another cohort or configuration, or its encoder was frozen.
    """
    if configuration.freeze_encoder:
        raise TrainingError(
            f"The run {run.name} has only heads; export the run that its encoder comes from and give this one with "
            "--heads."
        )
    model = MultitaskModel(configuration)
    model.load_state_dict(best_content(run, configuration.digest, cohort)["model"])
    round_to_half(model)
    return model.eval()


def best_content(run: Path, digest: str, cohort: LearningCohort) -> dict[str, Any]:
    """The best checkpoint of a run.

    Raises:
        TrainingError: It is of another cohort or configuration.
    """
    content = checkpoints.load(run / BEST_FILE)
    for part, value in (("configuration", digest), ("data", cohort.split_sha256)):
        if content[part] != value:
            raise TrainingError(f"The run {run.name} was trained with another {part}; give the one that it began with.")
    return content


def _with_projection(encoder: RenalEncoder, learnt: Learnt) -> RenalEncoder:
    """The encoder with a projection that centres and whitens the training features.

    No image-text space exists yet, so neighbours are sought by cosine in the space of the backbone's features.
    Whitening along the principal components keeps a few strong features from deciding every similarity.
    """
    statistics = fit_feature_statistics(learnt.training.features)
    weight = statistics.components / np.sqrt(statistics.variances)[:, None]
    # a common factor changes no cosine; this one keeps half precision in its range
    weight /= np.abs(weight).max()
    projected = RenalEncoder(encoder.width, len(weight))
    projection = projected.projection
    if projection is None:
        raise ValueError("at least one principal component is needed")
    tensors = dict(encoder.state_dict())
    tensors["projection.weight"] = torch.from_numpy(weight).half().float()
    tensors["projection.bias"] = torch.from_numpy(-weight @ statistics.mean).half().float()
    projected.load_state_dict(tensors)
    return projected.eval()


def numbers(cohort: LearningCohort) -> str:
    """Sizes of the splits, and their hash."""
    return (
        f"{len(cohort.training)} training and {len(cohort.validation)} validation cases; split SHA-256 "
        f"{cohort.split_sha256[:12]}."
    )


def now() -> str:
    """The time of day for a manifest."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
