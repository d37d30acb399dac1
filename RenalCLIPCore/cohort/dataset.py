"""Samples and batches for learning, from a cohort's rows and its ROI store.

A sample is named by a :class:`Draw` (row, seed) and depends on nothing else, so neither the number of loading processes
nor an interruption changes what a run sees.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ..errors import CohortError
from ..imaging.study import Phase
from .augmentation import Augmentation, augment_parts, centre_crop, draw_parameters
from .roi_store import RoiStore
from .table import ATTRIBUTES, LABEL_CLASSES, CohortRow

MISSING = -1
ATTRIBUTE_TARGETS = tuple(f"attribute_{number:02d}" for number in range(1, ATTRIBUTES + 1))
EVERYTHING = slice(None)
_AUGMENTED_AT_ONCE = 64


@dataclass(frozen=True)
class Draw:
    """A sample to be made: index of the row, and the seed of its phase and augmentation.

    ``phase`` fixes the phase; None draws one of those that the patient has.
    """

    row: int
    seed: int
    phase: Phase | None = None


@dataclass(frozen=True, eq=False)
class Batch:
    """B samples.

    Attributes:
        images: (B, 1, z, x, y) float32 in [0, 1].
        targets: Per name a (B,) tensor: class of each task, descriptor and report attribute (int64, -1 where unknown);
            ``rfs_months`` (float32, NaN where there is no follow-up) and ``rfs_event`` (int64, -1); ``centre_density``
            (B, 3), see :func:`centre_density`.
        case_ids: Case of each sample.
        phases: Phase of each sample.
        seeds: Seed of each sample.
    """

    images: Tensor
    targets: Mapping[str, Tensor]
    case_ids: tuple[str, ...]
    phases: tuple[Phase, ...]
    seeds: tuple[int, ...]

    def to(self, device: torch.device) -> Batch:
        """The same batch on another device."""
        targets = {name: values.to(device) for name, values in self.targets.items()}
        return Batch(self.images.to(device), targets, self.case_ids, self.phases, self.seeds)


Sample = tuple[Tensor, Draw, Phase]


class RoiDataset(Dataset[Sample]):
    """Regions of the given rows.

    Args:
        rows: Rows of one split.
        store: Holds every row's regions.
        one_phase: Whether each row has its arterial phase alone, else its venous one (paper, 4.2).

    Raises:
        CohortError: The store lacks a row, or a row has neither of the two phases.
    """

    def __init__(self, rows: Sequence[CohortRow], store: RoiStore, *, one_phase: bool = False) -> None:
        absent = sum(row.case_id not in store for row in rows)
        if absent:
            raise CohortError(
                f"{absent} of {len(rows)} rows are not in the ROI store {store.folder.name}; build it again."
            )
        self.rows = tuple(rows)
        self.store = store
        self.one_phase = one_phase
        lacking = sum(not self.phases(row) for row in range(len(self.rows)))
        if lacking:
            raise CohortError(f"{lacking} of {len(rows)} rows have neither an arterial nor a venous phase.")
        self.targets = stack_targets(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Size (z, x, y) of what the network sees."""
        x, y, z = self.store.spec.input_shape
        return (z, x, y)

    def phases(self, row: int) -> tuple[Phase, ...]:
        """Phases that a row has, or the one of them that is used."""
        there = self.store.phases(self.rows[row].case_id)
        return tuple(phase for phase in (Phase.A, Phase.V) if phase in there)[:1] if self.one_phase else there

    def random_phase(self, row: int, seed: int) -> Phase:
        """One of the phases that a row has; the same for every row with these phases."""
        available = self.phases(row)
        return available[int(np.random.default_rng(seed).integers(len(available)))]

    def one_phase_per_patient(self, draws: Sequence[Draw]) -> list[Draw]:
        """Draws of one batch with their phases: both kidneys of a patient in the same one (paper, 4.2)."""
        seeds: dict[str, int] = {}
        for draw in draws:
            seeds.setdefault(self.rows[draw.row].patient, draw.seed)
        return [replace(draw, phase=self.random_phase(draw.row, seeds[self.rows[draw.row].patient])) for draw in draws]

    def __getitem__(self, draw: Draw) -> Sample:
        phase = draw.phase or self.random_phase(draw.row, draw.seed)
        array = self.store.read(self.rows[draw.row].case_id, phase)
        image = torch.from_numpy(np.ascontiguousarray(array.transpose(2, 0, 1)))
        return image[None], draw, phase

    def collate(self, samples: Sequence[Sample]) -> Batch:
        """Samples as one batch."""
        images, draws, phases = zip(*samples, strict=True)
        index = torch.tensor([draw.row for draw in draws])
        stacked = torch.stack(images)
        targets = {name: values[index] for name, values in self.targets.items()}
        return Batch(
            stacked,
            {**targets, "centre_density": centre_density(stacked)},
            tuple(self.rows[draw.row].case_id for draw in draws),
            tuple(phases),
            tuple(draw.seed for draw in draws),
        )


def centre_density(images: Tensor) -> Tensor:
    """What the region's centre lies on: mean, standard deviation and 5 % quantile of the middle 20 x 20 x 20 mm.

    Args:
        images: (B, 1, z, x, y) whole regions in [0, 1], 1 x 1 x 5 mm.

    Returns:
        (B, 3), brought to about zero mean and unit spread over renal masses.
    """
    middle = centre_crop(images, (min(4, images.shape[2]), min(20, images.shape[3]), min(20, images.shape[4]))).flatten(
        1
    )
    values = torch.stack([middle.mean(1), middle.std(1), middle.quantile(0.05, dim=1)], dim=1)
    return (values - torch.tensor([0.51, 0.047, 0.43])) / torch.tensor([0.07, 0.033, 0.077])


def stack_targets(rows: Sequence[CohortRow]) -> dict[str, Tensor]:
    """The targets of :class:`Batch` for all rows."""
    targets = {task: torch.tensor([row.labels.get(task, MISSING) for row in rows]) for task in LABEL_CLASSES}
    for number, name in enumerate(ATTRIBUTE_TARGETS):
        answers = [row.attributes[number] for row in rows]
        targets[name] = torch.tensor([MISSING if answer is None else answer for answer in answers])
    follow_up = [row.follow_up.get("rfs") for row in rows]
    targets["rfs_months"] = torch.tensor([item.months if item else float("nan") for item in follow_up])
    targets["rfs_event"] = torch.tensor([int(item.event) if item else MISSING for item in follow_up])
    return targets


class EpochPlan:
    """Which samples an epoch consists of, in which order: a function of the seed and the epoch.

    Args:
        count: Number of rows.
        batch_size: Samples per batch; a last, smaller batch is left out unless it is the only one.
        seed: Of order and samples.
        weights: Relative frequency of each row (drawn with replacement), or None for every row once.
    """

    def __init__(self, count: int, batch_size: int, seed: int, weights: Sequence[float] | None = None) -> None:
        self.count = count
        self.batch_size = min(batch_size, count)
        self.seed = seed
        self.shares = None if weights is None else np.asarray(weights, dtype=float) / float(np.sum(weights))

    def __len__(self) -> int:
        return self.count // self.batch_size

    def batches(self, epoch: int) -> list[list[Draw]]:
        """The batches of one epoch."""
        generator = np.random.default_rng((self.seed, epoch))
        if self.shares is None:
            order = generator.permutation(self.count)
        else:
            order = generator.choice(self.count, size=self.count, p=self.shares)
        seeds = generator.integers(2**62, size=self.count)
        draws = [Draw(int(row), int(seed)) for row, seed in zip(order, seeds, strict=True)]
        return [draws[i * self.batch_size : (i + 1) * self.batch_size] for i in range(len(self))]


def balanced_weights(rows: Sequence[CohortRow], tasks: Sequence[str]) -> list[float]:
    """Sampling weights that give the classes of a task equal shares; for several tasks, their mean.

    A row without a label of a task counts there with the mean weight.
    """
    total = np.zeros(len(rows))
    for task in tasks:
        labels = np.array([row.labels.get(task, MISSING) for row in rows])
        known = labels >= 0
        weights = np.ones(len(rows))
        if known.any():
            counts = np.bincount(labels[known])
            weights[known] = known.sum() / (np.count_nonzero(counts) * counts[labels[known]])
        total += weights
    return [float(value) for value in total / max(len(tasks), 1)]


class RoiData:
    """The training and validation batches of a run (see :class:`RenalCLIPCore.training.loop.TrainingData`).

    Args:
        training: Rows to learn from.
        validation: Rows to choose the checkpoint on.
        plan: Order of the training samples.
        augmentation: Applied to the training samples.
        workers: Loading processes; 0 loads in the own process.
        share: This process's part of the draws of a global batch, where several processes train.
    """

    def __init__(
        self,
        training: RoiDataset,
        validation: RoiDataset,
        plan: EpochPlan,
        augmentation: Augmentation,
        workers: int = 0,
        share: Callable[[Sequence[Draw]], Sequence[Draw]] = list,
    ) -> None:
        self.training_set = training
        self.validation_set = validation
        self.plan = plan
        self.augmentation = augmentation
        self.workers = workers
        self.share = share

    @property
    def batches_per_epoch(self) -> int:
        """Number of training batches in every epoch."""
        return len(self.plan)

    def training(self, epoch: int, start: int, device: torch.device) -> Iterator[Batch]:
        """The augmented batches of an epoch from the ``start``-th on."""
        whole = (self.training_set.one_phase_per_patient(draws) for draws in self.plan.batches(epoch)[start:])
        loaded = _load(self.training_set, [list(self.share(draws)) for draws in whole], self.workers)
        yield from _augmented(loaded, self.training_set.input_shape, self.augmentation, device)

    def validation(self, device: torch.device) -> Iterator[Batch]:
        """Every phase of every validation row, centre crops, unaugmented."""
        return every_phase(self.validation_set, self.plan.batch_size, device, self.workers)


def every_phase(
    dataset: RoiDataset, batch_size: int, device: torch.device, workers: int = 0, part: slice = EVERYTHING
) -> Iterator[Batch]:
    """Batches of the centre crops of every phase of every row, row by row; all of them, or the ``part``."""
    draws = [Draw(row, 0, phase) for row in range(len(dataset)) for phase in dataset.phases(row)]
    plan = [draws[i : i + batch_size] for i in range(0, len(draws), batch_size)]
    for batch in _load(dataset, plan[part], workers):
        there = batch.to(device)
        images = centre_crop(there.images, dataset.input_shape)
        yield Batch(images, there.targets, batch.case_ids, batch.phases, batch.seeds)


def augmented_every_phase(
    dataset: RoiDataset,
    batch_size: int,
    augmentation: Augmentation,
    seed: int,
    device: torch.device,
    workers: int = 0,
    part: slice = EVERYTHING,
) -> Iterator[Batch]:
    """The same, each region augmented by a seed of its own."""
    places = [(row, phase) for row in range(len(dataset)) for phase in dataset.phases(row)]
    seeds = np.random.default_rng(seed).integers(2**62, size=len(places))
    draws = [Draw(row, int(one), phase) for (row, phase), one in zip(places, seeds, strict=True)]
    plan = [draws[i : i + batch_size] for i in range(0, len(draws), batch_size)]
    yield from _augmented(_load(dataset, plan[part], workers), dataset.input_shape, augmentation, device)


def _augmented(
    batches: Iterator[Batch], shape: tuple[int, int, int], augmentation: Augmentation, device: torch.device
) -> Iterator[Batch]:
    for batch in batches:
        there = batch.to(device)
        drawn = draw_parameters(augmentation, batch.seeds, there.images.shape[3] - shape[1])
        images = augment_parts(there.images, drawn, shape, _AUGMENTED_AT_ONCE)
        yield Batch(images, there.targets, batch.case_ids, batch.phases, batch.seeds)


def _load(dataset: RoiDataset, plan: list[list[Draw]], workers: int) -> Iterator[Batch]:
    # a forked worker would inherit the dead event loop of zarr
    return iter(
        DataLoader(
            dataset,
            batch_sampler=plan,
            # its own generator: the loader must not draw from the global one, whose state is part of a checkpoint
            generator=torch.Generator(),
            num_workers=workers,
            collate_fn=dataset.collate,
            multiprocessing_context="spawn" if workers else None,
        )
    )
