"""Training tasks: each is a model, a loss and two methods (see ``training.loop.TrainingTask``)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ..cohort.dataset import MISSING, Batch, balanced_weights
from ..cohort.table import DESCRIPTOR_CLASSES, EVERY_TASK_CLASSES, LABEL_CLASSES, CohortRow
from ..errors import CohortError, UndefinedMeasureError
from ..evaluation.classification import macro_auroc
from ..evaluation.survival import concordance
from ..models.comparison import ComparisonEncoder
from ..models.encoder import RenalEncoder
from ..models.heads import AttributeHead, ClassificationHead, SurvivalHead
from .calibration import prior_shift
from .distribution import gather, share_of
from .fine_tuning_stages import CENTRE_DENSITY, SURVIVAL_TASK, FineTuningStage, SupervisedStage
from .loop import Step, Validation
from .losses import class_weights, classification_loss, cox_loss
from .prediction import Predictions, predict, softmax


class MultitaskModel(nn.Module):
    """One encoder and a head per task.

    Args:
        configuration: Sizes, tasks, and the seed of the initial weights.
    """

    def __init__(self, configuration: SupervisedStage) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(configuration.seed)
        self.encoder = _new_encoder(configuration, generator)
        # convolutions are about twice as fast with channels last
        self.encoder.to(memory_format=torch.channels_last_3d)
        features, sizes = self.encoder.feature_dim, configuration.heads
        self.heads = nn.ModuleDict()
        for task in configuration.tasks:
            if task == SURVIVAL_TASK:
                self.heads[task] = SurvivalHead(features, sizes.hidden, generator)
            else:
                classes = len(EVERY_TASK_CLASSES[task])
                self.heads[task] = ClassificationHead(features, classes, sizes.hidden, sizes.dropout, generator)
        for name in configuration.descriptors:
            self.heads[name] = AttributeHead(features, len(DESCRIPTOR_CLASSES[name]), generator)
        if configuration.centre_density:
            self.heads[CENTRE_DENSITY] = AttributeHead(features, 3, generator)
        self.frozen = configuration.freeze_encoder
        self.encoder.requires_grad_(not self.frozen)

    def train(self, mode: bool = True) -> MultitaskModel:
        """Training mode; a frozen encoder stays as it is, its batch-norm statistics too."""
        super().train(mode)
        if self.frozen:
            self.encoder.eval()
        return self

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """(B, 1, z, x, y) -> per task logits (B, K), or log relative hazard (B, 1)."""
        features = self.encoder(images.contiguous(memory_format=torch.channels_last_3d))
        return {task: head(features) for task, head in self.heads.items()}


def _new_encoder(configuration: SupervisedStage, generator: torch.Generator) -> Any:
    """RenalCLIP's encoder, or one that has the same ``feature_dim`` and call."""
    network = configuration.network if isinstance(configuration, FineTuningStage) else "renalclip"
    if network == "renalclip":
        return RenalEncoder(configuration.encoder.width, 0, generator)
    return ComparisonEncoder(network, generator)


def prior_shifts(configuration: SupervisedStage, training: Sequence[CohortRow]) -> dict[str, tuple[float, ...]]:
    """Per task, what sampling and loss weights took from the logits (see ``prior_shift``); empty without either."""
    tasks = [task for task in configuration.tasks if task != SURVIVAL_TASK]
    found = {
        task: shift_of(task, training, configuration.balance, weighed=configuration.class_weights) for task in tasks
    }
    return {task: shift for task, shift in found.items() if shift}


def shift_of(task: str, training: Sequence[CohortRow], balanced: Sequence[str], *, weighed: bool) -> tuple[float, ...]:
    """What sampling that balances the classes of tasks, and weights in the loss, took from one task's logits."""
    if not (balanced or weighed):
        return ()
    labels = np.array([row.labels.get(task, MISSING) for row in training])
    sampled = np.array(balanced_weights(training, balanced) if balanced else 1.0)
    in_loss = _weights(task, training).double().numpy() if weighed else np.ones(len(EVERY_TASK_CLASSES[task]))
    return prior_shift(labels, sampled * in_loss[np.maximum(labels, 0)], len(EVERY_TASK_CLASSES[task]))


class MultitaskTask:
    """Supervised training of all tasks at once. The score is the mean of the tasks' macro AUROC and C-index.

    Args:
        configuration: Of the stage.
        training: Training rows, for the class weights.
        validation: Validation rows, for their labels.

    Raises:
        CohortError: A task has no label, or only one class, in the training rows.
    """

    def __init__(
        self, configuration: SupervisedStage, training: Sequence[CohortRow], validation: Sequence[CohortRow]
    ) -> None:
        self.configuration = configuration
        self.model = MultitaskModel(configuration)
        self.validation_rows = {row.case_id: row for row in validation}
        labelled = (*configuration.tasks, *configuration.descriptors)
        self.class_weights = {task: _weights(task, training) for task in labelled if task != SURVIVAL_TASK}

    def training_step(self, batch: Batch) -> Step:
        """Weighted mean of the losses of the tasks that have labels in the batch."""
        # the loss is of the global batch: its means run over all processes' samples
        outputs = {task: gather(values) for task, values in self.model(batch.images).items()}
        targets = {name: gather(values) for name, values in batch.targets.items()}
        losses = {
            task: loss for task, values in outputs.items() if (loss := self._loss(task, values, targets)) is not None
        }
        weights = {task: self.configuration.weights.get(task, 1.0) for task in losses}
        # a batch without any label still needs a loss that can be differentiated
        anchor = sum((values.sum() * 0 for values in outputs.values()), batch.images.new_zeros(()))
        total = sum((weights[task] * loss for task, loss in losses.items()), anchor)
        figures = {task: float(loss.detach()) for task, loss in losses.items()}
        return Step(share_of(total / max(sum(weights.values()), 1e-12)), figures)

    def validate(self, batches: Iterable[Batch]) -> Validation:
        """Late fusion over every phase of every case."""
        predictions = predict(self.model.encoder, dict(self.model.heads.items()), batches)
        rows = [self.validation_rows[case] for case in predictions.cases]
        figures = score_tasks(predictions, rows)
        if not figures:
            raise CohortError("No task can be scored on the validation split; it needs at least two classes of one.")
        # descriptors are a means; the checkpoint is chosen on what it is trained for
        chosen = [value for name, value in figures.items() if name in self.configuration.tasks]
        return Validation(float(np.mean(chosen or list(figures.values()))), figures)

    def _loss(self, task: str, outputs: Tensor, targets: Mapping[str, Tensor]) -> Tensor | None:
        if task == CENTRE_DENSITY:
            return functional.smooth_l1_loss(outputs.float(), targets[task])
        if task == SURVIVAL_TASK:
            event = targets["rfs_event"]
            chosen = (event != MISSING) & (targets["malignancy"] == 1)
            ties = self.configuration.survival_ties
            return cox_loss(outputs[chosen, 0], targets["rfs_months"][chosen], event[chosen], ties)
        weights = self.class_weights[task].to(outputs.device) if self.configuration.class_weights else None
        return classification_loss(outputs, targets[task], weights)


def score_tasks(predictions: Predictions, rows: Sequence[CohortRow]) -> dict[str, float]:
    """Macro AUROC per classification task and C-index of survival, after late fusion, where defined.

    Args:
        predictions: Of every phase of every case.
        rows: The cases' rows, in the order of ``predictions.cases``.
    """
    _, outputs = predictions.fused()
    scores = {}
    for task, values in outputs.items():
        if task == CENTRE_DENSITY:
            continue
        try:
            scores[task] = score_rows(task, values, rows)
        except UndefinedMeasureError:
            continue
    return scores


def survival_rows(rows: Sequence[CohortRow]) -> list[int]:
    """Places of the rows that survival is learnt and scored on: malignant, with follow-up of recurrence."""
    return [i for i, row in enumerate(rows) if row.labels.get("malignancy") == 1 and SURVIVAL_TASK in row.follow_up]


def score_rows(task: str, values: np.ndarray, rows: Sequence[CohortRow]) -> float:
    """Macro AUROC of a classification task, C-index of survival.

    Args:
        task: Name.
        values: (rows, K) logits, or (rows, 1) log relative hazard.
        rows: Cases; those without a label are left out.

    Raises:
        UndefinedMeasureError: The measure is not defined for them.
    """
    if task == SURVIVAL_TASK:
        chosen = survival_rows(rows)
        follow_up = [rows[i].follow_up[SURVIVAL_TASK] for i in chosen]
        return concordance([f.months for f in follow_up], [f.event for f in follow_up], values[chosen, 0])
    labels = np.array([row.labels.get(task, MISSING) for row in rows])
    known = labels != MISSING
    return macro_auroc(labels[known], softmax(values[known]))


def _weights(task: str, rows: Sequence[CohortRow]) -> Tensor:
    weights = class_weights([row.labels.get(task, MISSING) for row in rows], len(LABEL_CLASSES[task]))
    if int((weights > 0).sum()) < 2:
        raise CohortError(
            f"The training split needs labels of at least two classes of {task!r}; drop the task or add them."
        )
    return weights
