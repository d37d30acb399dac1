"""Multi-phase networks of runs and bundles as what reads cases, from any part of the phases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch

from ..cohort.slice_dataset import SliceDataset, every_row, present_phases
from ..cohort.slice_store import SliceStore
from ..cohort.table import CohortRow
from ..errors import BundleError, CohortError
from ..models.bundle import Bundle
from ..models.manifest import MultiphaseEntry, SliceForm, Task
from ..models.multiphase import MultiphaseNetwork
from ..progress import Progress
from .learnt_from import learnt_from
from .multiphase import fused_logits, open_multiphase, read_features
from .prediction import Array

ALL: Final = "all"
_BATCH = 16


@dataclass(frozen=True, eq=False)
class PartRead:
    """What one network says of the cases that have a part of the phases.

    Attributes:
        model: Name.
        task: With its calibration.
        phases: Letters, or ``all``: whatever each case has.
        seed: Of the network's training; 0 for a bundle.
        rows: The cases.
        logits: (cases, 2).
    """

    model: str
    task: Task
    phases: str
    seed: int
    rows: tuple[CohortRow, ...]
    logits: Array


@dataclass(frozen=True, eq=False)
class MultiphaseReader:
    """A network in evaluation mode, with what its run or bundle says about it."""

    name: str
    network: MultiphaseNetwork
    entry: MultiphaseEntry
    seed: int
    groups: frozenset[str] = frozenset()

    def read(
        self,
        rows: Sequence[CohortRow],
        store: SliceStore,
        sets: Sequence[str],
        progress: Progress | None = None,
    ) -> list[PartRead]:
        """Logits of the cases from each part of the phases.

        Args:
            rows: Cases; those without any of the network's phases are left out.
            store: Their slices.
            sets: Letters, or ``all``. Parts with a phase that the network does not know are left out; a network of
                fixed phases reads these alone.
            progress: Told of every batch.

        Raises:
            CohortError: The store lacks a row, or was not cut as the network needs it.
        """
        if SliceForm(**vars(store.spec)) != self.entry.slices:
            raise CohortError(f"The slices in {store.folder.name} were not cut as {self.name} needs them.")
        there = present_phases(rows, store, self.entry.phases)
        usable = np.flatnonzero(there.any(axis=1) if self.entry.any_subset else there.all(axis=1))
        if not len(usable):
            return []
        kept = [rows[place] for place in usable.tolist()]
        done = 0

        def told(count: int) -> None:
            nonlocal done
            done += count
            if progress:
                progress(done / len(kept), "reading cases")

        dataset = SliceDataset(kept, store, self.entry.phases)
        found = read_features(self.network, every_row(dataset, _BATCH, torch.device("cpu")), told)
        read = []
        for part in dict.fromkeys(sets) if self.entry.any_subset else (self.entry.phases,):
            letters = self.entry.phases if part == ALL else part
            if not set(letters) <= set(self.entry.phases):
                continue
            places, logits = fused_logits(self.network, found, letters)
            columns = [self.entry.phases.index(letter) for letter in letters]
            whole = found.present[places][:, columns].all(dim=1).numpy() | (part == ALL)
            if whole.any():
                cases = tuple(kept[place] for place in places[whole].tolist())
                read.append(PartRead(self.name, self.entry.task, part, self.seed, cases, logits[whole]))
        return read


def run_reader(run: Path) -> MultiphaseReader:
    """The network of a finished run.

    Raises:
        TrainingError: It is not finished, or of another stage.
    """
    network, trained, configuration = open_multiphase(run)
    return MultiphaseReader(run.name, network, trained.entry, configuration.seed, learnt_from(run).groups)


def bundle_readers(folder: Path) -> list[MultiphaseReader]:
    """The multi-phase networks of a bundle.

    Raises:
        BundleError: It is damaged, or carries none.
    """
    bundle = Bundle.load(folder)
    if not bundle.multiphase:
        raise BundleError(f"The bundle {folder.name} carries no multi-phase network; add one with 'bundle assemble'.")
    name = f"{bundle.manifest.name} {bundle.manifest.version} multi-phase"
    groups = frozenset(bundle.manifest.training_groups)
    return [
        MultiphaseReader(name, bundle.multiphase[entry.task.name], entry, 0, groups)
        for entry in bundle.manifest.multiphase
    ]
