"""Training of the multi-phase 2-D network, from a cohort's rows and slices to a calibrated run folder.

A finished run holds ``result.json`` beside what every run has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from ..cohort.dataset import EpochPlan, balanced_weights
from ..cohort.slice_dataset import SliceBatch, SliceData, SliceDataset, every_row, present_phases
from ..cohort.slice_store import SliceStore
from ..cohort.splits import LearningCohort
from ..cohort.table import LABEL_CLASSES, CohortRow
from ..errors import BundleError, CohortError, TrainingError, UndefinedMeasureError
from ..models.bundle import Bundle, file_hash
from ..models.manifest import MultiphaseEntry, SliceForm
from ..models.multiphase import MultiphaseNetwork, read_imagenet, start_from_imagenet
from ..output import write_text
from ..progress import Progress, span
from . import checkpoints
from .calibration import add_to_logits, before_temperature
from .configuration import load_configuration, stage_of
from .learnt import round_to_half, stored, task_entry
from .learnt_from import LearntFrom
from .loop import BEST_FILE, RunResult, Step, Trainer, Validation
from .losses import class_weights, classification_loss
from .multiphase_stage import MultiphaseConfiguration
from .prediction import Array, Predictions
from .stage import CONFIGURATION_FILE
from .tasks import score_rows, shift_of

RESULT_FILE = "result.json"
_TRAINED = 0.97  # share of the progress; the rest is calibration


class MultiphaseTrained(BaseModel):
    """What a finished run says about itself.

    Attributes:
        configuration: Hash of what decided the weights.
        data: Hash of the cohort's splits.
        origin: Hash of the ImageNet weights that the run began with, or empty.
        steps: Done.
        score: Best on the validation split: mean AUROC over the parts of the phases that the network reads.
        epoch: Of the best, counted from 0.
        cases: Training cases.
        left_out: Labelled training cases that lack a phase.
        entry: For the bundle, with calibration.
        figures: Validation AUROC per part of the phases.
        licence: Terms of others under which the training images are, or empty.
        prior_bias: Added to the logits, as the classes were balanced in training; or empty.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    configuration: str
    data: str
    origin: str
    steps: int
    score: float
    epoch: int
    cases: int
    left_out: int
    entry: MultiphaseEntry
    figures: dict[str, float]
    licence: str = ""
    prior_bias: tuple[float, ...] = ()


@dataclass(frozen=True, eq=False)
class CaseFeatures:
    """What the branches make of cases; the fusion of any part of the phases starts from it.

    Attributes:
        case_ids: The cases.
        features: (cases, P, F).
        present: (cases, P) bool.
    """

    case_ids: tuple[str, ...]
    features: Tensor
    present: Tensor


class MultiphaseTask:
    """Training on one task. The score is the mean AUROC over the parts of the phases that the network reads.

    Args:
        configuration: Of the stage.
        training: Training rows, for the class weights.
        validation: Validation rows, for their labels.
    """

    def __init__(
        self, configuration: MultiphaseConfiguration, training: Sequence[CohortRow], validation: Sequence[CohortRow]
    ) -> None:
        self.configuration = configuration
        self.model = new_network(configuration)
        self.validation_rows = {row.case_id: row for row in validation}
        labels = [row.labels[configuration.task] for row in training]
        weighed = configuration.class_weights
        self.class_weights = class_weights(labels, len(LABEL_CLASSES[configuration.task])) if weighed else None

    def training_step(self, batch: SliceBatch) -> Step:
        """Mean cross-entropy of the batch."""
        logits = self.model(batch.images, batch.present)
        weights = None if self.class_weights is None else self.class_weights.to(logits.device)
        loss = classification_loss(logits, batch.targets[self.configuration.task], weights)
        if loss is None:
            raise ValueError("only labelled rows are trained on")
        return Step(loss)

    def validate(self, batches: Iterable[SliceBatch]) -> Validation:
        """AUROC of every part of the phases over the cases that have it all; their mean is the score."""
        found = read_features(self.model, batches)
        rows = [self.validation_rows[case] for case in found.case_ids]
        figures = score_parts(self.model, found, rows, self.configuration)
        return Validation(float(np.mean(list(figures.values()))), figures)


def new_network(configuration: MultiphaseConfiguration) -> MultiphaseNetwork:
    """The network of a configuration, with initial weights drawn from its seed."""
    return MultiphaseNetwork(
        configuration.phases, configuration.fusion, configuration.width, configuration.dropout, configuration.seed
    )


def train_multiphase(
    configuration: MultiphaseConfiguration,
    cohort: LearningCohort,
    store: SliceStore,
    out: Path,
    *,
    imagenet: Path | None = None,
    resume: bool = False,
    progress: Progress | None = None,
) -> RunResult:
    """Train, calibrate on the validation split, and leave the run in ``out``.

    Args:
        configuration: Of the stage.
        cohort: Training and validation rows; those without a label of the task, or without the phases, are left out.
        store: Slices of all of them.
        out: Folder of the run.
        imagenet: Weights of ResNet-18 that every branch starts from; None starts from scratch.
        resume: Go on from the newest checkpoint there.
        progress: Told of every step.

    Raises:
        CohortError: Labels, a class or phases are lacking in a split, or the store lacks a row.
        BundleError: The weights to start from cannot be used.
        TrainingError: As for :meth:`Trainer.fit`.
    """
    if configuration.threads is not None:
        torch.set_num_threads(configuration.threads)
    part, left_out = usable_part(configuration, cohort, store)
    training, validation = (
        SliceDataset(rows, store, configuration.phases) for rows in (part.training, part.validation)
    )
    weights = balanced_weights(part.training, (configuration.task,)) if configuration.balance else None
    plan = EpochPlan(len(training), configuration.batch_size, configuration.seed, weights)
    keep_all = configuration.keep_all if configuration.any_subset else 1.0
    data = SliceData(training, validation, plan, configuration.augmentation, configuration.workers, keep_all)
    task = MultiphaseTask(configuration, part.training, part.validation)
    if imagenet is not None:
        start_from_imagenet(task.model, read_imagenet(imagenet))
    origin = file_hash(imagenet) if imagenet is not None else ""
    sources = LearntFrom.of((*part.training, *part.validation))
    trainer = Trainer(task, data, configuration, out, cohort.split_sha256, origin, sources=sources)
    result = trainer.fit(resume=resume, progress=span(progress, 0.0, _TRAINED))
    if progress:
        progress(_TRAINED, "calibrating")
    _finish(configuration, part, left_out, validation, result, trainer)
    return result


def usable_part(
    configuration: MultiphaseConfiguration, cohort: LearningCohort, store: SliceStore
) -> tuple[LearningCohort, int]:
    """The rows of both splits that are labelled and have the phases; and how many training rows lack a phase.

    Raises:
        CohortError: A split has no such row, or rows of one class alone.
    """
    task, phases = configuration.task, configuration.phases
    kept: list[tuple[CohortRow, ...]] = []
    lacking = 0
    for name, rows in (("training", cohort.training), ("validation", cohort.validation)):
        labelled = [row for row in rows if task in row.labels]
        there = present_phases(labelled, store, phases) if labelled else np.zeros((0, len(phases)), dtype=bool)
        usable = np.flatnonzero(there.any(axis=1) if configuration.any_subset else there.all(axis=1))
        found = tuple(labelled[place] for place in usable)
        wanted = "one of the phases" if configuration.any_subset else "all of the phases"
        if not found:
            raise CohortError(f"No {name} row has a label for {task!r} and {wanted} {', '.join(phases)}.")
        if len({row.labels[task] for row in found}) < 2:
            raise CohortError(
                f"All {name} rows with {wanted} {', '.join(phases)} have one class of {task!r}; both are needed."
            )
        lacking += len(labelled) - len(found) if name == "training" else 0
        kept.append(found)
    return replace(cohort, training=kept[0], validation=kept[1]), lacking


def read_features(
    network: MultiphaseNetwork, batches: Iterable[SliceBatch], told: Callable[[int], None] | None = None
) -> CaseFeatures:
    """Features of every case of the batches. The network must be in evaluation mode; gradients are off.

    Args:
        network: Reads the batches' phases.
        batches: For instance of :func:`RenalCLIPCore.cohort.slice_dataset.every_row`.
        told: Of the number of cases of every batch, when it is done.
    """
    case_ids: list[str] = []
    features, present = [], []
    with torch.no_grad():
        for batch in batches:
            features.append(network.features(batch.images, batch.present).float().cpu())
            present.append(batch.present.cpu())
            case_ids += batch.case_ids
            if told:
                told(len(batch.case_ids))
    return CaseFeatures(tuple(case_ids), torch.cat(features), torch.cat(present))


def fused_logits(network: MultiphaseNetwork, found: CaseFeatures, letters: str) -> tuple[Array, Array]:
    """Logits from those of the given phases that a case has.

    Returns:
        Places (n,) of the cases that have at least one of them, and their logits (n, 2).
    """
    chosen = torch.tensor([phase in letters for phase in network.phases])
    used = found.present & chosen
    places = torch.nonzero(used.any(dim=1)).flatten()
    if not len(places):
        return np.zeros(0, dtype=int), np.zeros((0, 2))
    device = next(network.parameters()).device
    with torch.no_grad(), torch.autocast(device.type, enabled=False):
        logits = network.fuse(found.features[places].to(device), used[places].to(device))
    return places.numpy(), logits.double().cpu().numpy()


def score_parts(
    network: MultiphaseNetwork,
    found: CaseFeatures,
    rows: Sequence[CohortRow],
    configuration: MultiphaseConfiguration,
) -> dict[str, float]:
    """AUROC of each part of the phases that the network reads, over the cases that have all of the part.

    Parts of which no two classes occur are left out; the whole of what each case has stands in where none is left.
    """
    scores = {}
    for letters in configuration.subsets:
        places, logits = fused_logits(network, found, letters)
        whole = found.present[places][:, [network.phases.index(letter) for letter in letters]].all(dim=1).numpy()
        try:
            chosen = [rows[place] for place in places[whole].tolist()]
            scores[letters] = score_rows(configuration.task, logits[whole], chosen)
        except UndefinedMeasureError:
            continue
    if not scores:
        places, logits = fused_logits(network, found, network.phases)
        scores["available"] = score_rows(configuration.task, logits, [rows[place] for place in places.tolist()])
    return scores


def _finish(
    configuration: MultiphaseConfiguration,
    part: LearningCohort,
    left_out: int,
    validation: SliceDataset,
    result: RunResult,
    trainer: Trainer,
) -> None:
    """Calibrate the best weights, rounded as a bundle has them, and write the result."""
    name = configuration.task
    network, content = best_network(result.folder, configuration, ())
    found = read_features(network, every_row(validation, configuration.batch_size, torch.device("cpu")))
    rows = {row.case_id: row for row in part.validation}
    seen = [rows[case] for case in found.case_ids]
    _, logits = fused_logits(network, found, configuration.phases)
    features = found.features.mean(dim=1).double().numpy()
    whole = (configuration.phases,) * len(found.case_ids)
    balanced = (name,) if configuration.balance else ()
    shift = shift_of(name, part.training, balanced, weighed=configuration.class_weights)
    predictions = Predictions(found.case_ids, whole, features, {name: logits})
    entry = task_entry(name, 0, predictions, seen, shift)
    trained = MultiphaseTrained(
        **trainer.identity,
        steps=result.steps,
        score=content["score"],
        epoch=content["epoch"],
        cases=len(part.training),
        left_out=left_out,
        entry=MultiphaseEntry(
            task=entry,
            phases=configuration.phases,
            any_subset=configuration.any_subset,
            fusion=configuration.fusion,
            width=configuration.width,
            slices=SliceForm(**vars(validation.store.spec)),
        ),
        figures=score_parts(network, found, seen, configuration),
        licence=trainer.sources.licence,
        prior_bias=before_temperature(shift, entry.temperature),
    )
    write_text(result.folder / RESULT_FILE, trained.model_dump_json(indent=1))


def best_network(
    run: Path, configuration: MultiphaseConfiguration, bias: Sequence[float]
) -> tuple[MultiphaseNetwork, dict[str, Any]]:
    """The best network of a run, rounded to half precision, in evaluation mode; and its checkpoint's content.

    Args:
        run: Its folder.
        configuration: Its configuration.
        bias: Added to the logits.

    Raises:
        TrainingError: The run has no finished checkpoint, or is of another configuration.
    """
    content = checkpoints.load(run / BEST_FILE)
    if content["configuration"] != configuration.digest:
        raise TrainingError(f"The weights of the run {run.name} are of another configuration than the one beside them.")
    network = new_network(configuration)
    checkpoints.load_trained_state(network, content["model"])
    round_to_half(network)
    if bias:
        add_to_logits(network.fusion, bias)
    return network.eval(), content


def open_multiphase(run: Path) -> tuple[MultiphaseNetwork, MultiphaseTrained, MultiphaseConfiguration]:
    """A finished run: its network, what it says about itself, and its configuration.

    Raises:
        ConfigurationError: It is a run of another stage.
        TrainingError: It is not finished, or damaged.
    """
    if stage_of(run) != "multiphase":
        raise TrainingError(f"{run.name} is no run of 'renalclip train multiphase'.")
    configuration = load_configuration("multiphase", run / CONFIGURATION_FILE)
    try:
        trained = MultiphaseTrained.model_validate_json((run / RESULT_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TrainingError(
            f"{run.name} is no finished run of 'renalclip train multiphase'; finish it with --resume."
        ) from error
    network, _ = best_network(run, configuration, trained.prior_bias)
    return network, trained, configuration


@dataclass(frozen=True, eq=False)
class MultiphasePart:
    """The multi-phase networks of a bundle: entries of its manifest, networks by task, words about the new ones."""

    entries: tuple[MultiphaseEntry, ...]
    networks: dict[str, MultiphaseNetwork]
    words: tuple[str, ...]


def with_multiphase(bundle: Bundle, runs: Sequence[Path]) -> MultiphasePart:
    """A bundle's multi-phase networks with those of runs added, or put in the place of ones of the same task.

    Raises:
        BundleError: Two runs are of one task.
        TrainingError: A run is not finished, or of another stage.
    """
    entries = {entry.task.name: entry for entry in bundle.manifest.multiphase}
    networks = {name: stored(network) for name, network in bundle.multiphase.items()}
    words: list[str] = []
    seen: set[str] = set()
    for run in runs:
        network, trained, _ = open_multiphase(run)
        name = trained.entry.task.name
        if name in seen:
            raise BundleError("Two of the multi-phase runs are of one task; give each task once.")
        seen.add(name)
        entries[name], networks[name] = trained.entry, stored(network)
        words.append(f"Multi-phase 2-D network, {name}: {trained.cases} training cases.")
    return MultiphasePart(tuple(entries.values()), networks, tuple(words))
