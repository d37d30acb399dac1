"""Samples and batches of the multi-phase 2-D network: the slices of all phases of a case at once.

As in :mod:`RenalCLIPCore.cohort.dataset` a sample depends on its row and seed alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ..errors import CohortError
from ..imaging.study import Phase
from .augmentation import Augmentation, augment, draw_parameters
from .dataset import Draw, EpochPlan, stack_targets
from .phase_store import LEVELS
from .slice_store import SliceStore
from .table import CohortRow

REMEMBERED_BYTES: Final = 1 << 29
Present = npt.NDArray[np.bool_]
Sample = tuple[Tensor, Present, Draw]


@dataclass(frozen=True, eq=False)
class SliceBatch:
    """B samples.

    Attributes:
        images: (B, P, x, y) float32 in [0, 1]; 0 where a phase is absent.
        present: (B, P) whether a phase is there; each row has at least one.
        targets: Per name a (B,) tensor, as of :class:`RenalCLIPCore.cohort.dataset.Batch`.
        case_ids: Case of each sample.
        seeds: Seed of each sample.
    """

    images: Tensor
    present: Tensor
    targets: Mapping[str, Tensor]
    case_ids: tuple[str, ...]
    seeds: tuple[int, ...]

    def to(self, device: torch.device) -> SliceBatch:
        """The same batch on another device."""
        targets = {name: values.to(device) for name, values in self.targets.items()}
        return SliceBatch(self.images.to(device), self.present.to(device), targets, self.case_ids, self.seeds)


class SliceDataset(Dataset[Sample]):
    """Slices of the given rows.

    Args:
        rows: Rows of one split.
        store: Holds every row's slices.
        phases: Letters of the phases that are read, in the order of the network's.

    Raises:
        CohortError: The store lacks a row, or a row has none of the phases.
    """

    def __init__(self, rows: Sequence[CohortRow], store: SliceStore, phases: str) -> None:
        self.rows = tuple(rows)
        self.store = store
        self.phases = tuple(Phase(letter) for letter in phases)
        self.present = present_phases(rows, store, phases)
        lacking = int((~self.present.any(axis=1)).sum())
        if lacking:
            raise CohortError(f"{lacking} of {len(rows)} rows have none of the phases {', '.join(phases)}.")
        self.targets = stack_targets(self.rows)
        size = 2 * len(self.rows) * len(self.phases) * store.spec.size**2
        self._remembered: dict[int, npt.NDArray[np.uint16]] | None = {} if size <= REMEMBERED_BYTES else None

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, draw: Draw) -> Sample:
        images = torch.from_numpy(self._levels(draw.row).astype(np.float32) * np.float32(1 / LEVELS))
        return images, self.present[draw.row], draw

    def _levels(self, row: int) -> npt.NDArray[np.uint16]:
        """(P, x, y) as stored. Unpacking them takes as long as the network, so cohorts that fit are remembered."""
        if self._remembered is None:
            return self.store.read_levels(self.rows[row].case_id, self.phases)
        if row not in self._remembered:
            self._remembered[row] = self.store.read_levels(self.rows[row].case_id, self.phases)
        return self._remembered[row]

    def collate(self, samples: Sequence[Sample]) -> SliceBatch:
        """Samples as one batch."""
        images, present, draws = zip(*samples, strict=True)
        index = torch.tensor([draw.row for draw in draws])
        return SliceBatch(
            torch.stack(images),
            torch.from_numpy(np.stack(present)),
            {name: values[index] for name, values in self.targets.items()},
            tuple(self.rows[draw.row].case_id for draw in draws),
            tuple(draw.seed for draw in draws),
        )


def present_phases(rows: Sequence[CohortRow], store: SliceStore, phases: str) -> Present:
    """(rows, phases) which of the phases each row has.

    Raises:
        CohortError: The store lacks a row.
    """
    absent = sum(row.case_id not in store for row in rows)
    if absent:
        raise CohortError(
            f"{absent} of {len(rows)} rows are not in the slice store {store.folder.name}; build it again."
        )
    there = [store.phases(row.case_id) for row in rows]
    return np.array([[Phase(letter) in found for letter in phases] for found in there], dtype=bool)


def kept_phases(present: Present, seed: int, keep_all: float) -> Present:
    """Which of a case's phases a training step sees: all of them, or a random part of them (at least one).

    Args:
        present: (P,) phases that the case has.
        seed: Of the draw.
        keep_all: Probability that none is hidden; else every other part that is not empty is as likely.
    """
    places = np.flatnonzero(present)
    generator = np.random.default_rng((seed, 7))
    whole, drawn = generator.random(), int(generator.integers(1, max(2, 2 ** len(places) - 1)))
    if whole < keep_all or len(places) < 2:
        return present
    kept = np.zeros_like(present)
    kept[[place for bit, place in enumerate(places) if drawn >> bit & 1]] = True
    return kept


class SliceData:
    """The training and validation batches of a run (see :class:`RenalCLIPCore.training.loop.TrainingData`).

    Args:
        training: Rows to learn from.
        validation: Rows to choose the checkpoint on.
        plan: Order of the training samples.
        augmentation: Applied to the training samples, alike to all phases of a case.
        workers: Loading processes; 0 loads in the own process.
        keep_all: Probability that a training sample keeps all its phases; 1 hides none.
    """

    def __init__(
        self,
        training: SliceDataset,
        validation: SliceDataset,
        plan: EpochPlan,
        augmentation: Augmentation,
        workers: int = 0,
        keep_all: float = 1.0,
    ) -> None:
        self.training_set = training
        self.validation_set = validation
        self.plan = plan
        self.augmentation = augmentation
        self.workers = workers
        self.keep_all = keep_all

    @property
    def batches_per_epoch(self) -> int:
        """Number of training batches in every epoch."""
        return len(self.plan)

    def training(self, epoch: int, start: int, device: torch.device) -> Iterator[SliceBatch]:
        """The augmented batches of an epoch from the ``start``-th on."""
        for batch in _load(self.training_set, self.plan.batches(epoch)[start:], self.workers):
            there = batch.to(device)
            drawn = draw_parameters(self.augmentation, batch.seeds, 0)
            shape = (there.images.shape[1], there.images.shape[2], there.images.shape[3])
            images = augment(there.images[:, None], drawn, shape)[:, 0]
            rows = zip(batch.present.numpy(), batch.seeds, strict=True)
            kept = torch.from_numpy(np.stack([kept_phases(row, seed, self.keep_all) for row, seed in rows])).to(device)
            # a shift of the intensity would show in what is not there
            yield SliceBatch(images * kept[:, :, None, None], kept, there.targets, batch.case_ids, batch.seeds)

    def validation(self, device: torch.device) -> Iterator[SliceBatch]:
        """Every validation row once, with all its phases, unaugmented."""
        return every_row(self.validation_set, self.plan.batch_size, device, self.workers)


def every_row(dataset: SliceDataset, batch_size: int, device: torch.device, workers: int = 0) -> Iterator[SliceBatch]:
    """Batches of every row with all its phases, in order."""
    draws = [Draw(row, 0) for row in range(len(dataset))]
    plan = [draws[i : i + batch_size] for i in range(0, len(draws), batch_size)]
    for batch in _load(dataset, plan, workers):
        yield batch.to(device)


def _load(dataset: SliceDataset, plan: list[list[Draw]], workers: int) -> Iterator[SliceBatch]:
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
