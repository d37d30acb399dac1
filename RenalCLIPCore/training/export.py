"""A finished run becomes a model bundle: weights, calibration, thresholds, risk, statistics and an index of cases."""

from __future__ import annotations

import copy
import datetime
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ..cohort.dataset import MISSING, RoiDataset, every_phase
from ..cohort.roi_store import RoiStore
from ..cohort.splits import LearningCohort
from ..cohort.table import TASK_CLASSES, CohortRow
from ..errors import TrainingError, UndefinedMeasureError
from ..evaluation.classification import youden_threshold
from ..evaluation.survival import baseline_cumulative_hazard, kaplan_meier
from ..models.bundle import Bundle, BundleContents, write_bundle
from ..models.bundle_parts import CaseIndex
from ..models.encoder import RenalEncoder
from ..models.feature_statistics import FeatureStatistics, fit_feature_statistics
from ..models.manifest import Architecture, BundleManifest, OutOfDistributionRule, Preprocessing, Risk, Task
from ..models.tasks import TASKS
from . import checkpoints
from .calibration import fit_temperature
from .configuration import SURVIVAL_TASK, MultitaskConfiguration, load_configuration
from .loop import BEST_FILE, CONFIGURATION_FILE
from .prediction import Array, Predictions, predict, softmax
from .tasks import MultitaskModel, survival_rows

Progress = Callable[[float, str], None]

MONTHS = tuple(float(month) for month in range(0, 121, 3))
OUTLIER_PERCENTILE = 99.0


@dataclass(frozen=True)
class BundleWords:
    """What a person says about a bundle.

    Attributes:
        name: Of the bundle.
        version: Of the bundle.
        training_data: One sentence.
        intended_use: One or two sentences.
        licence: SPDX identifier.
        phantom: Whether the training data are digital phantoms.
    """

    name: str
    version: str
    training_data: str
    intended_use: str = "Research only. Not for clinical use."
    licence: str = "Apache-2.0"
    phantom: bool = False


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

    Temperatures (of the fused logits) and Youden thresholds come from the validation split, the threshold of the
    out-of-distribution distance too; median risk, baseline hazard, group curves, feature statistics and the index come
    from the training split. Weights are stored in half precision; everything here is computed with the rounded ones.

    Args:
        run: Folder of a multi-task run.
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
    configuration = load_configuration("multitask", run / CONFIGURATION_FILE)
    model = _best_model(run, configuration, cohort)
    training, validation = (
        _predict(model, rows, store, configuration.batch_size, part, progress)
        for part, rows in enumerate((cohort.training, cohort.validation))
    )
    learnt = _Learnt(training, cohort.training, validation, cohort.validation)
    statistics, rule = learnt.outliers()
    encoder = _with_projection(model.encoder, learnt)
    manifest = BundleManifest(
        name=words.name,
        version=words.version,
        created=datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        architecture=Architecture(width=configuration.encoder.width, embedding_dim=encoder.embedding_dim),
        preprocessing=Preprocessing(**vars(store.spec)),
        fusion="random-phase",
        tasks=tuple(learnt.task(name, configuration.heads.hidden) for name in configuration.tasks),
        risk=learnt.risk() if SURVIVAL_TASK in configuration.tasks else None,
        out_of_distribution=rule,
        index=True,
        phantom_trained=words.phantom,
        intended_use=words.intended_use,
        licence=words.licence,
        training_data=f"{words.training_data} {_numbers(cohort)}",
    )
    index = CaseIndex(
        _embeddings(encoder, learnt.training),
        learnt.training.cases,
        tuple(_facts(row) for row in learnt.training_rows),
    )
    heads = {name: _stored(model.heads[name]) for name in configuration.tasks}
    contents = BundleContents(manifest, _stored(encoder), heads, index=index, statistics=statistics)
    return write_bundle(out, contents, overwrite=overwrite)


def assemble_bundle(bundle: Path, segmentation: Path, out: Path, *, overwrite: bool = False) -> BundleManifest:
    """A bundle with an nnU-Net model's folder added (or exchanged).

    Raises:
        BundleError: The bundle is damaged, or cannot be written.
    """
    loaded = Bundle.load(bundle)
    contents = BundleContents(
        loaded.manifest.model_copy(update={"segmentation": True, "files": {}}),
        _stored(loaded.encoder),
        {name: _stored(head) for name, head in loaded.heads.items()},
        {name: _stored(encoder) for name, encoder in loaded.task_encoders.items()},
        loaded.prompts,
        loaded.index,
        loaded.statistics,
        segmentation,
    )
    return write_bundle(out, contents, overwrite=overwrite)


@dataclass(frozen=True, eq=False)
class _Learnt:
    """Predictions of both splits with the rows in their order."""

    training: Predictions
    training_rows: Sequence[CohortRow]
    validation: Predictions
    validation_rows: Sequence[CohortRow]

    def task(self, name: str, hidden: int) -> Task:
        """The manifest's entry of a task."""
        definition = TASKS[name]
        if name == SURVIVAL_TASK:
            return Task(name=name, kind="survival", hidden=hidden)
        labels = np.array([row.labels.get(name, MISSING) for row in self.validation_rows])
        known = labels != MISSING
        logits = self.validation.fused()[1][name][known]
        temperature = fit_temperature(logits, labels[known])
        entry = Task(
            name=name,
            classes=TASK_CLASSES[name],
            points=definition.points,
            hidden=hidden,
            temperature=temperature,
            temperature_source=f"fitted to the fused logits of {int(known.sum())} validation cases",
        )
        return _with_threshold(entry, labels[known], softmax(logits, temperature)) if len(entry.classes) == 2 else entry

    def risk(self) -> Risk:
        """Median, baseline hazard and group curves of the malignant training cases."""
        chosen = survival_rows(self.training_rows)
        follow_up = [self.training_rows[i].follow_up[SURVIVAL_TASK] for i in chosen]
        months, event = [f.months for f in follow_up], [f.event for f in follow_up]
        score = self.training.fused()[1][SURVIVAL_TASK][chosen, 0]
        high = score > np.median(score)
        last = max(month for month in MONTHS if month <= max(months))
        at = np.array([month for month in MONTHS if month <= last])
        curves = {
            group: kaplan_meier(np.array(months)[members], np.array(event)[members], at)
            for group, members in (("low", ~high), ("high", high))
        }
        return Risk(
            cohort=f"{len(chosen)} malignant training cases, {sum(event)} recurrences",
            median=float(np.median(score)),
            months=tuple(at.tolist()),
            baseline_cumulative_hazard=tuple(baseline_cumulative_hazard(months, event, score, at).tolist()),
            survival_low=tuple(curves["low"].tolist()),
            survival_high=tuple(curves["high"].tolist()),
        )

    def outliers(self) -> tuple[FeatureStatistics, OutOfDistributionRule]:
        """Statistics of the training features, and the distance that few validation cases exceed."""
        statistics = fit_feature_statistics(self.training.fused()[0])
        distances = statistics.distance(self.validation.fused()[0])
        rule = OutOfDistributionRule(
            threshold=float(np.percentile(distances, OUTLIER_PERCENTILE)),
            percentile=OUTLIER_PERCENTILE,
            source=f"{len(distances)} validation cases, features averaged over phases",
        )
        return statistics, rule


def _best_model(run: Path, configuration: MultitaskConfiguration, cohort: LearningCohort) -> MultitaskModel:
    content = checkpoints.load(run / BEST_FILE)
    for part, value in (("configuration", configuration.digest), ("data", cohort.split_sha256)):
        if content[part] != value:
            raise TrainingError(f"The run {run.name} was trained with another {part}; give the one that it began with.")
    model = MultitaskModel(configuration)
    model.load_state_dict(content["model"])
    for tensor in model.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(tensor.half())
    return model.eval()


def _predict(
    model: MultitaskModel,
    rows: Sequence[CohortRow],
    store: RoiStore,
    batch_size: int,
    part: int,
    progress: Progress | None,
) -> Predictions:
    dataset = RoiDataset(rows, store)
    total = sum(len(dataset.phases(row)) for row in range(len(dataset)))

    def told() -> Any:
        done = 0
        for batch in every_phase(dataset, batch_size, torch.device("cpu")):
            yield batch
            done += len(batch.case_ids)
            if progress:
                progress((part + done / total) / 2, "reading the training and validation cases")

    return predict(model.encoder, dict(model.heads.items()), told())


def _with_threshold(task: Task, labels: Any, probabilities: Array) -> Task:
    try:
        threshold = youden_threshold(labels, probabilities[:, 1])
    except UndefinedMeasureError:
        return task
    source = f"Youden's index on {len(labels)} validation cases, calibrated probabilities"
    return task.model_copy(update={"threshold": threshold, "threshold_source": source})


def _with_projection(encoder: RenalEncoder, learnt: _Learnt) -> RenalEncoder:
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


def _embeddings(encoder: RenalEncoder, predictions: Predictions) -> Any:
    """Per case the mean of its phases' unit embeddings, brought back to unit length (as at inference)."""
    with torch.no_grad():
        units = encoder.project(torch.from_numpy(predictions.features).float()).double().numpy()
    mean, _ = replace(predictions, features=units, outputs={}).fused()
    return (mean / np.linalg.norm(mean, axis=1, keepdims=True)).astype(np.float32)


def _stored(module: Any) -> Any:
    """A copy in half precision, as it goes to the file."""
    duplicate: nn.Module = copy.deepcopy(module)
    return duplicate.half()


def _facts(row: CohortRow) -> dict[str, str]:
    words: Mapping[str, str] = {
        "histology": row.histology,
        "grade": str(row.grade) if row.grade is not None else "",
        "largest diameter": f"{row.diameter_mm:.0f} mm" if row.diameter_mm is not None else "",
        **{
            task: TASK_CLASSES[task][row.labels[task]]
            for task in ("malignancy", "aggressiveness")
            if task in row.labels
        },
    }
    return {name: text for name, text in words.items() if text}


def _numbers(cohort: LearningCohort) -> str:
    return (
        f"{len(cohort.training)} training and {len(cohort.validation)} validation cases; split SHA-256 "
        f"{cohort.split_sha256[:12]}. Neighbours: cosine of whitened backbone features (no image-text space)."
    )
