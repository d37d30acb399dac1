"""Supervised multi-task training on a cohort table's labels, from rows and regions to a run folder."""

from __future__ import annotations

from pathlib import Path

import torch

from ..cohort.dataset import EpochPlan, RoiData, RoiDataset, balanced_weights
from ..cohort.roi_store import RoiStore
from ..cohort.splits import LearningCohort
from ..errors import TrainingError
from ..models.bundle import file_hash
from ..progress import Progress
from .checkpoints import load
from .distribution import ALONE, Ranks, check_shares
from .fine_tuning_stages import MultitaskConfiguration, SupervisedStage
from .learnt_from import LearntFrom, learnt_from
from .loop import BEST_FILE, RunResult, Trainer
from .tasks import MultitaskTask


def train_multitask(
    configuration: MultitaskConfiguration,
    cohort: LearningCohort,
    store: RoiStore,
    out: Path,
    *,
    initial: Path | None = None,
    resume: bool = False,
    ranks: Ranks = ALONE,
    progress: Progress | None = None,
) -> RunResult:
    """Train and leave the run in ``out``.

    Args:
        configuration: Of the stage.
        cohort: Training and validation rows.
        store: Regions of all of them.
        out: Folder of the run.
        initial: A finished multi-task, image or clip run whose best encoder, and heads of the same tasks, training
            starts from.
        resume: Go on from the newest checkpoint there.
        ranks: This process among those of the run.
        progress: Told of every step.

    Raises:
        CohortError: The store lacks a row, or a task lacks labels.
        ConfigurationError: The processes cannot share a batch evenly.
        TrainingError: As for :meth:`Trainer.fit`; ``initial`` has another encoder or other heads; or the encoder is to
            be frozen and there is no run to take it from.
    """
    if configuration.freeze_encoder and initial is None:
        raise TrainingError("With freeze_encoder a finished run is needed whose encoder is used (--initial).")
    if configuration.threads is not None:
        torch.set_num_threads(configuration.threads)
    data = supervised_data(configuration, cohort, store, ranks)
    task = MultitaskTask(configuration, cohort.training, cohort.validation)
    origin = _start_from(task, initial) if initial else ""
    sources = LearntFrom.of((*cohort.training, *cohort.validation)).joined(learnt_from(initial))
    trainer = Trainer(task, data, configuration, out, cohort.split_sha256, origin, ranks, sources)
    return trainer.fit(resume=resume, progress=progress)


def supervised_data(
    configuration: SupervisedStage, cohort: LearningCohort, store: RoiStore, ranks: Ranks, *, one_phase: bool = False
) -> RoiData:
    """Batches of labelled rows, sampled with the classes that the configuration balances in equal shares.

    Args:
        configuration: Of the stage.
        cohort: Training and validation rows.
        store: Regions of all of them.
        ranks: This process among those of the run.
        one_phase: Whether every case is seen in its arterial, else its venous phase alone.

    Raises:
        CohortError: The store lacks a row.
        ConfigurationError: The processes cannot share a batch evenly.
    """
    training = RoiDataset(cohort.training, store, one_phase=one_phase)
    validation = RoiDataset(cohort.validation, store, one_phase=one_phase)
    weights = balanced_weights(cohort.training, configuration.balance) if configuration.balance else None
    plan = EpochPlan(len(training), configuration.batch_size, configuration.seed, weights)
    check_shares(plan.batch_size, ranks)
    return RoiData(training, validation, plan, configuration.augmentation, configuration.workers, ranks.share)


def _start_from(task: MultitaskTask, run: Path) -> str:
    """Take over the best weights of another run; the result is their file's hash."""
    path = run / BEST_FILE
    found = load(path)["model"]
    tasks = {name.split(".")[1] for name in found if name.startswith("heads.")}
    wanted = task.model.state_dict()
    shared = [name for name in wanted if name.startswith("encoder.") or name.split(".")[1] in tasks]
    if any(name not in found or found[name].shape != wanted[name].shape for name in shared):
        raise TrainingError(f"The run {run.name} has another architecture; start from one of the same sizes.")
    task.model.load_state_dict({**wanted, **{name: found[name] for name in shared}})
    return file_hash(path)
