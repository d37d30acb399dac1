"""Finished runs and bundles as what reads cases: encoders with their heads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from ..cohort.dataset import Batch, RoiDataset, every_phase
from ..cohort.roi_store import RoiStore
from ..cohort.table import EVERY_TASK_CLASSES, CohortRow
from ..errors import CohortError, ConfigurationError, TrainingError
from ..models.bundle import Bundle
from ..models.manifest import Preprocessing, Task
from ..models.tasks import TASKS
from ..progress import Progress
from .configuration import load_configuration, stage_of
from .fine_tuning import best_task_model, read_result
from .fine_tuning_stages import SURVIVAL_TASK, FineTuningStage, SupervisedStage
from .learnt_from import learnt_from
from .prediction import Predictions, predict
from .stage import CONFIGURATION_FILE

_BATCH = 16


@dataclass(frozen=True, eq=False)
class Reader:
    """One encoder and the heads on it.

    Attributes:
        name: Of the run or bundle.
        encoder: In evaluation mode.
        heads: By task.
        tasks: With calibration.
        one_phase: Whether it was trained on the arterial, else the venous phase alone.
        fraction: Share of the training patients that it saw.
        seed: Of its training; 0 for a bundle.
        preprocessing: How its regions were cut; None where a run does not say.
        groups: Digests of the groups of patients that it was learnt from, see ``cohort.groups``.
    """

    name: str
    encoder: nn.Module
    heads: Mapping[str, nn.Module]
    tasks: Sequence[Task]
    one_phase: bool
    fraction: float
    seed: int
    preprocessing: Preprocessing | None = None
    groups: frozenset[str] = frozenset()

    def read(self, rows: Sequence[CohortRow], store: RoiStore, progress: Progress | None = None) -> Predictions:
        """Outputs for every phase of every row.

        Raises:
            CohortError: The store lacks a row, or was not cut as the model needs it.
        """
        if self.preprocessing is not None and self.preprocessing != Preprocessing(**vars(store.spec)):
            raise CohortError(f"The regions in {store.folder.name} were not cut as {self.name} needs them.")
        dataset = RoiDataset(rows, store)
        total, done = sum(len(dataset.phases(row)) for row in range(len(dataset))), 0

        def told() -> Iterator[Batch]:
            nonlocal done
            for batch in every_phase(dataset, _BATCH, torch.device("cpu")):
                yield batch
                done += len(batch.case_ids)
                if progress:
                    progress(done / total, f"reading cases with {self.name}")

        return predict(self.encoder, self.heads, told())


def open_run(run: Path) -> Reader:
    """A finished run of one or several tasks.

    Raises:
        ConfigurationError: The folder is no run of such a stage.
        TrainingError: The run is not finished, or has only heads.
    """
    stage = stage_of(run)
    if stage not in ("task", "survival", "multitask"):
        raise ConfigurationError(f"{run.name} is a run of the stage {stage!r}, which has no task to predict.")
    configuration = load_configuration(stage, run / CONFIGURATION_FILE)
    if not isinstance(configuration, FineTuningStage) and (configuration.balance or configuration.class_weights):
        raise TrainingError(
            f"{run.name} balanced its classes in training, and does not know how often they occur; export it with "
            "'renalclip bundle export' and read the bundle."
        )
    model, _ = best_task_model(run, configuration)
    heads = {name: model.heads[name] for name in configuration.tasks}
    groups = learnt_from(run).groups
    if isinstance(configuration, FineTuningStage):
        result = read_result(run)
        return Reader(
            run.name,
            model.encoder,
            heads,
            (result.task,),
            configuration.phases == "arterial-else-venous",
            configuration.fraction,
            configuration.seed,
            result.preprocessing,
            groups,
        )
    tasks = _uncalibrated(configuration)
    return Reader(run.name, model.encoder, heads, tasks, False, 1.0, configuration.seed, groups=groups)


def open_bundle(folder: Path) -> list[Reader]:
    """The encoders of a bundle, each with the heads on it.

    Raises:
        BundleError: It is damaged.
    """
    bundle = Bundle.load(folder)
    manifest = bundle.manifest
    shared = [task for task in manifest.tasks if not task.own_encoder]
    groups = [(bundle.encoder, shared)] if shared else []
    groups += [(bundle.task_encoders[task.name], [task]) for task in manifest.tasks if task.own_encoder]
    return [
        Reader(
            f"{manifest.name} {manifest.version}",
            encoder,
            {task.name: bundle.heads[task.name] for task in tasks},
            tasks,
            manifest.fusion == "arterial-else-venous",
            1.0,
            0,
            manifest.preprocessing,
            frozenset(manifest.training_groups),
        )
        for encoder, tasks in groups
    ]


def _uncalibrated(configuration: SupervisedStage) -> tuple[Task, ...]:
    hidden = configuration.heads.hidden
    return tuple(
        Task(name=name, kind="survival", hidden=hidden)
        if name == SURVIVAL_TASK
        else Task(name=name, classes=EVERY_TASK_CLASSES[name], points=TASKS[name].points, hidden=hidden)
        for name in configuration.tasks
    )
