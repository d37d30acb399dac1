"""The image-text stage: the image encoder and its projection against the stored features of a frozen text encoder."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from ..cohort.dataset import Batch, RoiData
from ..cohort.roi_store import RoiStore
from ..cohort.splits import LearningCohort
from ..errors import CohortError, TrainingError
from ..evaluation.retrieval import recalls
from ..models.bundle import file_hash
from ..models.encoder import RenalEncoder
from ..models.text_features import FEATURES_FILE, TextFeatures, read_text_features
from ..progress import Progress
from .distribution import ALONE, Ranks, gather, share_of
from .gradient_caching import cached
from .image_stage import pretraining_data
from .learnt_from import LearntFrom, learnt_from
from .loop import RunResult, Step, Trainer, Validation
from .losses import contrastive_loss
from .prediction import Predictions
from .pretraining_stages import ClipConfiguration
from .starting_weights import starting_encoder


@dataclass(frozen=True, eq=False)
class PairBatch:
    """B images with the features of their reports.

    Attributes:
        images: (B, 1, z, x, y) float32 in [0, 1].
        texts: (B, D) L2-normalised.
        case_ids: Case of each pair.
        phases: Phase of each image.
    """

    images: Tensor
    texts: Tensor
    case_ids: tuple[str, ...]
    phases: tuple[str, ...]


class PairData:
    """Batches of regions with the stored features of their reports.

    In training each sample takes one of the stored versions, by its own seed; in validation the original.

    Args:
        images: The regions.
        texts: The features.
        shuffled: Whether the shuffled versions are used at all.
    """

    def __init__(self, images: RoiData, texts: TextFeatures, shuffled: bool) -> None:
        self.images = images
        self.texts = texts
        self.versions = texts.versions if shuffled else 1

    @property
    def batches_per_epoch(self) -> int:
        """Number of training batches in every epoch."""
        return self.images.batches_per_epoch

    def training(self, epoch: int, start: int, device: torch.device) -> Iterator[PairBatch]:
        """Training pairs of an epoch from the ``start``-th batch on."""
        for batch in self.images.training(epoch, start, device):
            versions = [int(np.random.default_rng((seed, 1)).integers(self.versions)) for seed in batch.seeds]
            yield self._paired(batch, versions)

    def validation(self, device: torch.device) -> Iterator[PairBatch]:
        """Every phase of every validation row with the original text."""
        for batch in self.images.validation(device):
            yield self._paired(batch, [0] * len(batch.case_ids))

    def _paired(self, batch: Batch, versions: Sequence[int]) -> PairBatch:
        rows = [self.texts.features[case][version] for case, version in zip(batch.case_ids, versions, strict=True)]
        texts = torch.from_numpy(np.stack(rows)).to(batch.images.device)
        return PairBatch(batch.images, texts, batch.case_ids, tuple(phase.value for phase in batch.phases))


class AlignmentModel(nn.Module):
    """The image encoder with its projection, and the learnt temperature.

    Args:
        configuration: Sizes, and the seed of the initial weights.
        embedding_dim: Size of the text features.
    """

    def __init__(self, configuration: ClipConfiguration, embedding_dim: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(configuration.seed)
        self.encoder = RenalEncoder(configuration.encoder.width, embedding_dim, generator)
        self.encoder.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        self.log_scale = nn.Parameter(torch.tensor(-math.log(configuration.temperature)))
        self.frozen = configuration.freeze_encoder
        if self.frozen:
            self.encoder.requires_grad_(False)
            self.encoder.get_submodule("projection").requires_grad_(True)

    def train(self, mode: bool = True) -> AlignmentModel:
        """Training mode; a frozen encoder stays as it is, its batch-norm statistics too."""
        super().train(mode)
        if self.frozen:
            self.encoder.eval()
        return self

    def forward(self, images: Tensor) -> Tensor:
        """(B, 1, z, x, y) -> unit embeddings (B, D)."""
        return self.encoder.embed(images.contiguous(memory_format=torch.channels_last_3d))


class AlignmentTask:
    """Symmetric InfoNCE on the global batch. The score is the mean Recall@5 of both directions on the validation split.

    Args:
        configuration: Of the stage.
        embedding_dim: Size of the text features.
    """

    def __init__(self, configuration: ClipConfiguration, embedding_dim: int) -> None:
        self.configuration = configuration
        self.model = AlignmentModel(configuration, embedding_dim)
        self.largest = math.log(configuration.largest_scale)

    def training_step(self, batch: PairBatch) -> Step:
        """The loss over all processes' pairs; gradients flow to all processes' images."""
        images = gather(cached(self.model, self.model, batch.images, chunk=self.configuration.chunk))
        # the parameter itself is kept in range, so that it can always come back
        self.model.log_scale.data.clamp_(0.0, self.largest)
        scale = self.model.log_scale.exp()
        loss = contrastive_loss(images, gather(batch.texts), scale)
        return Step(share_of(loss), {"scale": float(scale.detach())})

    def validate(self, batches: Iterable[PairBatch]) -> Validation:
        """Retrieval among the validation kidneys; an image is the mean of its phases' embeddings."""
        images, texts = _embedded(self.model, batches)
        figures = recalls(images, texts)
        figures["gallery"] = float(len(images))
        score = (figures["image to text R@5"] + figures["text to image R@5"]) / 2
        return Validation(score, figures)


def train_alignment(
    configuration: ClipConfiguration,
    cohort: LearningCohort,
    store: RoiStore,
    texts: Path,
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
        texts: Store of text features of all of them.
        out: Folder of the run.
        initial: A finished image or multi-task run, or a bundle, whose encoder training starts from.
        resume: Go on from the newest checkpoint there.
        ranks: This process among those of the run.
        progress: Told of every step.

    Raises:
        CohortError: A store lacks a row.
        TrainingError: ``initial`` and ``image_start`` do not fit, ``initial`` has another encoder, or as for
            :meth:`Trainer.fit`.
    """
    if configuration.threads is not None:
        torch.set_num_threads(configuration.threads)
    if (initial is not None) != (configuration.image_start == "pretrained"):
        raise TrainingError(
            "With image_start 'pretrained' a finished image run is needed (--initial); with 'random' none may be given."
        )
    features = read_text_features(texts)
    absent = sum(row.case_id not in features.features for row in (*cohort.training, *cohort.validation))
    if absent:
        raise CohortError(f"{absent} rows have no text features in {texts.name}; make the store again.")
    task = AlignmentTask(configuration, features.embedding_dim)
    data = PairData(pretraining_data(configuration, cohort, store, ranks), features, configuration.shuffled_texts)
    origin = file_hash(texts / FEATURES_FILE) + (start_from(task.model.encoder, initial) if initial else "")
    sources = LearntFrom.of((*cohort.training, *cohort.validation)).joined(learnt_from(initial, texts))
    trainer = Trainer(task, data, configuration, out, cohort.split_sha256, origin, ranks, sources)
    return trainer.fit(resume=resume, progress=progress)


def start_from(encoder: RenalEncoder, source: Path) -> str:
    """Take over the encoder of a finished image or multi-task run, or of a bundle, without its projection.

    Returns:
        Hash of the source.

    Raises:
        InputError: The source is neither.
        BundleError: A bundle is damaged.
        TrainingError: It has another encoder, or heads alone.
    """
    own = encoder.state_dict()
    body = {name: value for name, value in own.items() if not name.startswith("projection.")}
    found, origin = starting_encoder("renalclip", source, body)
    encoder.load_state_dict({**own, **found})
    return origin


def _embedded(
    model: AlignmentModel, batches: Iterable[PairBatch]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """(cases, D) unit embeddings of images, averaged over phases, and of their texts."""
    case_ids: list[str] = []
    phases: list[str] = []
    images: list[npt.NDArray[np.float64]] = []
    texts: dict[str, npt.NDArray[np.float64]] = {}
    for batch in batches:
        images.append(model(batch.images).double().cpu().numpy())
        texts |= dict(zip(batch.case_ids, batch.texts.double().cpu().numpy(), strict=True))
        case_ids += batch.case_ids
        phases += batch.phases
    mean, _ = Predictions(tuple(case_ids), tuple(phases), np.concatenate(images), {}).fused()
    return mean / np.linalg.norm(mean, axis=1, keepdims=True), np.stack(list(texts.values()))
