"""The image stage: an encoder and one linear head per question, on the attributes that reports name (paper, 4.3.1)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ..cohort.dataset import ATTRIBUTE_TARGETS, MISSING, Batch, EpochPlan, RoiData, RoiDataset
from ..cohort.roi_store import RoiStore
from ..cohort.splits import LearningCohort
from ..cohort.table import CohortRow
from ..errors import CohortError
from ..evaluation.classification import auroc
from ..models.encoder import RenalEncoder
from ..models.heads import AttributeHead
from ..progress import Progress
from ..text.questionnaire import questionnaire
from .distribution import ALONE, Ranks, check_shares, gather, share_of
from .learnt_from import LearntFrom
from .loop import RunResult, Step, Trainer, Validation
from .losses import class_weights, classification_loss
from .prediction import Predictions, predict, softmax
from .pretraining_stages import ImageConfiguration, RegionStage


class ImageModel(nn.Module):
    """One encoder and a linear head per question, named as in cohort tables (``attribute_01`` ...).

    Args:
        configuration: Sizes, and the seed of the initial weights.
        classes: Options of each question.
    """

    def __init__(self, configuration: ImageConfiguration, classes: Sequence[int]) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(configuration.seed)
        self.encoder = RenalEncoder(configuration.encoder.width, 0, generator)
        self.encoder.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        self.heads = nn.ModuleDict()
        for name, count in zip(ATTRIBUTE_TARGETS, classes, strict=True):
            self.heads[name] = AttributeHead(self.encoder.feature_dim, count, generator)
        # after the others, so that they start from the same weights with and without it
        self.density = AttributeHead(self.encoder.feature_dim, 3, generator) if configuration.density_weight else None

    def forward(self, images: Tensor) -> tuple[dict[str, Tensor], Tensor | None]:
        """(B, 1, z, x, y) -> per question logits (B, K); density around the centre (B, 3) where learnt."""
        features = self.encoder(images.contiguous(memory_format=torch.channels_last_3d))
        density = None if self.density is None else self.density(features)
        return {name: head(features) for name, head in self.heads.items()}, density


class ImageTask:
    """Training on the attributes. The score is the mean over the questions of the macro AUROC.

    Args:
        configuration: Of the stage.
        training: Training rows.
        validation: Validation rows.
        classes: Options of each question; those of the shipped questionnaire when None.

    Raises:
        CohortError: An answer is not among the options, or the training rows answer no question.
    """

    def __init__(
        self,
        configuration: ImageConfiguration,
        training: Sequence[CohortRow],
        validation: Sequence[CohortRow],
        classes: Sequence[int] | None = None,
    ) -> None:
        self.configuration = configuration
        self.classes = tuple(classes or questionnaire().class_counts)
        self.model = ImageModel(configuration, self.classes)
        self.validation_rows = {row.case_id: row for row in validation}
        answers = _answers(training, self.classes)
        _answers(validation, self.classes)
        if not (answers != MISSING).any():
            raise CohortError("No training row answers any of the questions; fill in attribute_01 to attribute_14.")
        self.class_weights = [
            class_weights(column.tolist(), count) for column, count in zip(answers.T, self.classes, strict=True)
        ]

    def training_step(self, batch: Batch) -> Step:
        """Mean over the questions of the cross-entropy over the rows that answer them, and the density's loss."""
        answers, density = self.model(batch.images)
        outputs = {name: gather(values) for name, values in answers.items()}
        losses = {}
        for number, (name, values) in enumerate(outputs.items()):
            weights = self.class_weights[number].to(values.device) if self.configuration.class_weights else None
            loss = classification_loss(values, gather(batch.targets[name]), weights)
            if loss is not None:
                losses[name] = loss
        # a batch without any answer still needs a loss that can be differentiated
        anchor = sum((values.sum() * 0 for values in outputs.values()), batch.images.new_zeros(()))
        total = sum(losses.values(), anchor) / max(len(losses), 1)
        if density is not None:
            targets = gather(batch.targets["centre_density"])
            losses["centre_density"] = functional.smooth_l1_loss(gather(density).float(), targets)
            total = total + self.configuration.density_weight * losses["centre_density"]
        return Step(share_of(total), {name: float(loss.detach()) for name, loss in losses.items()})

    def validate(self, batches: Iterable[Batch]) -> Validation:
        """Late fusion over every phase of every case."""
        predictions = predict(self.model.encoder, dict(self.model.heads.items()), batches)
        figures = score_attributes(predictions, [self.validation_rows[case] for case in predictions.cases])
        if not figures:
            raise CohortError("No question can be scored on the validation split; it needs two answers of one.")
        return Validation(float(np.mean(list(figures.values()))), figures)


def train_image(
    configuration: ImageConfiguration,
    cohort: LearningCohort,
    store: RoiStore,
    out: Path,
    *,
    resume: bool = False,
    ranks: Ranks = ALONE,
    progress: Progress | None = None,
) -> RunResult:
    """Train and leave the run in ``out``.

    Raises:
        CohortError: The store lacks a row, or as for :class:`ImageTask`.
        ConfigurationError: The processes cannot share a batch evenly.
        TrainingError: As for :meth:`Trainer.fit`.
    """
    if configuration.threads is not None:
        torch.set_num_threads(configuration.threads)
    task = ImageTask(configuration, cohort.training, cohort.validation)
    data = pretraining_data(configuration, cohort, store, ranks)
    sources = LearntFrom.of((*cohort.training, *cohort.validation))
    trainer = Trainer(task, data, configuration, out, cohort.split_sha256, ranks=ranks, sources=sources)
    return trainer.fit(resume=resume, progress=progress)


def pretraining_data(configuration: RegionStage, cohort: LearningCohort, store: RoiStore, ranks: Ranks) -> RoiData:
    """Every training row once per epoch, in one random phase per patient and step."""
    training = RoiDataset(cohort.training, store)
    plan = EpochPlan(len(training), configuration.batch_size, configuration.seed)
    check_shares(plan.batch_size, ranks)
    validation = RoiDataset(cohort.validation, store)
    return RoiData(training, validation, plan, configuration.augmentation, configuration.workers, ranks.share)


def score_attributes(predictions: Predictions, rows: Sequence[CohortRow]) -> dict[str, float]:
    """Macro AUROC per question after late fusion: one against the rest, mean over the answers that occur.

    Questions with fewer than two different answers are left out.

    Args:
        predictions: Of every phase of every case.
        rows: The cases' rows, in the order of ``predictions.cases``.
    """
    _, outputs = predictions.fused()
    scores = {}
    for number, name in enumerate(ATTRIBUTE_TARGETS):
        labels = np.array([MISSING if (a := row.attributes[number]) is None else a for row in rows])
        known = labels != MISSING
        occurring = np.unique(labels[known])
        if len(occurring) >= 2:
            shares = softmax(outputs[name][known])
            scores[name] = float(np.mean([auroc(labels[known] == k, shares[:, k]) for k in occurring]))
    return scores


def _answers(rows: Sequence[CohortRow], classes: Sequence[int]) -> np.ndarray:
    found = np.array([[MISSING if answer is None else answer for answer in row.attributes] for row in rows])
    check_options(found, classes)
    return found


def check_options(answers: np.ndarray, classes: Sequence[int]) -> None:
    """Check that answers (rows, questions), ``MISSING`` among them, are options of their questions.

    Raises:
        CohortError: One is not.
    """
    for number, (column, count) in enumerate(zip(answers.T, classes, strict=True), 1):
        if column.max(initial=MISSING) >= count:
            raise CohortError(
                f"attribute_{number:02d} must be an option of its question, 0 to {count - 1}, found {column.max()}."
            )
