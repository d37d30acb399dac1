"""Image features with reports, for the report generator: computed once, in several augmented views."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..cohort.dataset import Batch, Draw, EpochPlan, RoiDataset, augmented_every_phase, every_phase
from ..cohort.roi_store import RoiStore
from ..cohort.table import CohortRow
from ..errors import CohortError
from ..models.encoder import RenalEncoder
from ..progress import Progress
from ..text.captions import caption
from . import distribution
from .distribution import ALONE, Ranks
from .prediction import predict
from .report_stages import ReportStage

_BATCH = 32
Views = Mapping[str, npt.NDArray[np.float32]]


@dataclass(frozen=True, eq=False)
class ReportBatch:
    """B images, as features (B, F), with their reports."""

    features: Tensor
    texts: tuple[str, ...]
    case_ids: tuple[str, ...]


class ReportData:
    """Batches of image features with reports.

    Args:
        training: Rows to learn from.
        validation: Rows to choose the checkpoint on.
        features: By case: by phase (views, F), the plain view first.
        configuration: Of the stage.
        share: This process's part of the draws of a global batch, where several processes train.
    """

    def __init__(
        self,
        training: Sequence[CohortRow],
        validation: Sequence[CohortRow],
        features: Mapping[str, Views],
        configuration: ReportStage,
        share: Callable[[Sequence[Draw]], Sequence[Draw]] = list,
    ) -> None:
        self.rows = {"training": tuple(training), "validation": tuple(validation)}
        self.features = features
        self.configuration = configuration
        self.share = share
        self.plan = EpochPlan(len(training), configuration.batch_size, configuration.seed)

    @property
    def batches_per_epoch(self) -> int:
        """Number of training batches in every epoch."""
        return len(self.plan)

    def training(self, epoch: int, start: int, device: torch.device) -> Iterator[ReportBatch]:
        """Training batches of an epoch from the ``start``-th on, in random views and phases."""
        rows = self.rows["training"]
        for draws in map(self.share, self.plan.batches(epoch)[start:]):
            chosen = [self._drawn(rows[draw.row].case_id, draw.seed) for draw in draws]
            yield _batch([rows[draw.row] for draw in draws], chosen, device)

    def validation(self, device: torch.device) -> Iterator[ReportBatch]:
        """Every validation report once, with the image as it is read afterwards."""
        rows, size = self.rows["validation"], self.configuration.batch_size
        for first in range(0, len(rows), size):
            part = rows[first : first + size]
            plain = [plain_features(self.features[row.case_id], self.configuration.fusion) for row in part]
            yield _batch(part, plain, device)

    def _drawn(self, case: str, seed: int) -> npt.NDArray[np.float32]:
        generator = np.random.default_rng(seed)
        views = self.features[case]
        phases = list(views)
        count = 1 if self.configuration.fusion == "one-phase" else int(generator.integers(1, len(phases) + 1))
        chosen = generator.permutation(len(phases))[:count]
        view = int(generator.integers(len(views[phases[0]])))
        mean: npt.NDArray[np.float32] = np.mean([views[phases[place]][view] for place in chosen], axis=0)
        return mean


def plain_features(views: Views, fusion: str) -> npt.NDArray[np.float32]:
    """A case's features as the generator reads them: of its arterial (else venous) phase, or the mean over all.

    Raises:
        CohortError: It has neither of the two.
    """
    if fusion == "all-phases":
        mean: npt.NDArray[np.float32] = np.mean([value[0] for value in views.values()], axis=0)
        return mean
    for phase in ("A", "V"):
        if phase in views:
            return np.asarray(views[phase][0])
    raise CohortError("A case has neither an arterial nor a venous phase.")


def image_features(
    encoder: RenalEncoder,
    rows: Sequence[CohortRow],
    store: RoiStore,
    configuration: ReportStage,
    views: int,
    ranks: Ranks = ALONE,
    progress: Progress | None = None,
) -> dict[str, Views]:
    """Features of every phase of every row: by case, by phase (1 + views, F), the plain view first.

    The encoder is put into evaluation mode; neither its weights nor its batch-norm statistics change. Several processes
    read every so many batches each and tell one another what they found.
    """
    dataset = RoiDataset(rows, store)
    device = ranks.device(configuration.device)
    encoder = encoder.eval().requires_grad_(False).to(device)
    own = slice(ranks.rank, None, ranks.count)
    found: dict[tuple[str, str], list[npt.NDArray[np.float32]]] = {}
    for view in range(views + 1):
        if view:
            seed = configuration.seed + view
            batches = augmented_every_phase(
                dataset, _BATCH, configuration.augmentation, seed, device, configuration.workers, own
            )
        else:
            batches = every_phase(dataset, _BATCH, device, configuration.workers, own)
        for case, phase, features in _read(encoder, batches):
            found.setdefault((case, phase), []).append(features)
        if progress:
            progress((view + 1) / (views + 1), "reading the images")
    known = {place: features for part in distribution.everyones(found) for place, features in part.items()}
    return {
        row.case_id: {phase.value: np.stack(known[row.case_id, phase.value]) for phase in dataset.phases(number)}
        for number, row in enumerate(rows)
    }


def _read(encoder: RenalEncoder, batches: Iterator[Batch]) -> Iterator[tuple[str, str, npt.NDArray[np.float32]]]:
    """Case, phase and features (F,) of every region of the batches, of which there may be none."""
    for batch in batches:
        read = predict(encoder, {}, [batch])
        yield from zip(read.case_ids, read.phases, read.features.astype(np.float32), strict=True)


def _batch(rows: Sequence[CohortRow], features: Sequence[npt.NDArray[np.float32]], device: torch.device) -> ReportBatch:
    texts = tuple(caption(row.findings, row.impression) for row in rows)
    return ReportBatch(torch.from_numpy(np.stack(features)).to(device), texts, tuple(row.case_id for row in rows))
