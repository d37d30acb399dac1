"""Supervised multi-task training on a cohort table's labels, from rows and regions to a run folder."""

from __future__ import annotations

from pathlib import Path

import torch

from ..cohort.dataset import EpochPlan, RoiData, RoiDataset, balanced_weights
from ..cohort.roi_store import RoiStore
from ..cohort.splits import LearningCohort
from .configuration import MultitaskConfiguration
from .loop import Progress, RunResult, Trainer
from .tasks import MultitaskTask


def train_multitask(
    configuration: MultitaskConfiguration,
    cohort: LearningCohort,
    store: RoiStore,
    out: Path,
    *,
    resume: bool = False,
    progress: Progress | None = None,
) -> RunResult:
    """Train and leave the run in ``out``.

    Args:
        configuration: Of the stage.
        cohort: Training and validation rows.
        store: Regions of all of them.
        out: Folder of the run.
        resume: Go on from the newest checkpoint there.
        progress: Told of every step.

    Raises:
        CohortError: The store lacks a row, or a task lacks labels.
        TrainingError: As for :meth:`Trainer.fit`.
    """
    if configuration.threads is not None:
        torch.set_num_threads(configuration.threads)
    training = RoiDataset(cohort.training, store)
    weights = balanced_weights(cohort.training, configuration.balance) if configuration.balance else None
    plan = EpochPlan(len(training), configuration.batch_size, configuration.seed, weights)
    validation = RoiDataset(cohort.validation, store)
    data = RoiData(training, validation, plan, configuration.augmentation, configuration.workers)
    task = MultitaskTask(configuration, cohort.training, cohort.validation)
    return Trainer(task, data, configuration, out, cohort.split_sha256).fit(resume=resume, progress=progress)
