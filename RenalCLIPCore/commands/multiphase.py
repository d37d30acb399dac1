"""Commands of the multi-phase 2-D network (Xiong et al. 2025): the slices of a cohort, and training."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from .evaluation import tell
from .learning import add_configuration, add_models, add_predictions, add_workers, configuration_of, progress_bar

if TYPE_CHECKING:
    from ..protocol.predictions import Prediction
    from ..training.multiphase_reading import PartRead
    from ..training.multiphase_stage import MultiphaseConfiguration


@dataclass(frozen=True)
class CohortSlices:
    """Cut the axial slice with the largest tumour area of every case of a cohort into one store.

    Each row is cut where the tumour (else the cyst) of its label map is largest, a row without a label map through the
    centre in the table; 140 x 140 mm, every phase on the arterial grid (else the venous one). An interrupted build goes
    on where it stopped when the same command is run again.
    """

    name: ClassVar[str] = "cohort slices"
    cohort: Path
    out: Path
    spacing_mm: float
    window_hu: list[float]
    processes: int
    dask: str

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument("--cohort", type=Path, required=True, metavar="CSV", help="cohort table")
        parser.add_argument("--out", type=Path, required=True, metavar="STORE", help="folder of the new store")
        parser.add_argument(
            "--spacing-mm",
            type=float,
            default=0.625,
            metavar="MM",
            help="distance of the pixels (default 0.625, the paper's: 224 x 224 of them)",
        )
        parser.add_argument(
            "--window-hu",
            type=float,
            nargs=2,
            default=[-500.0, 500.0],
            metavar=("LOW", "HIGH"),
            help="attenuation that becomes 0 and 1 (default -500 500)",
        )
        add_workers(parser)

    def run(self) -> None:
        """Cut, or go on."""
        from ..cohort.slice_store import build_slice_store
        from ..cohort.table import read_cohort
        from ..cohort.workers import Workers
        from ..imaging.lesion_slice import SliceSpec

        low, high = self.window_hu
        spec = SliceSpec.of_spacing(self.spacing_mm, (low, high))
        rows = read_cohort(self.cohort)
        with progress_bar("cutting slices") as progress:
            workers = Workers(self.processes, self.dask)
            store = build_slice_store(rows, self.out, spec, workers=workers, progress=progress)
        print(f"{len(store.case_ids)} cases in {store.folder}")


@dataclass(frozen=True)
class TrainMultiphase:
    """Train the multi-phase 2-D network on one task: a ResNet-18 per phase, fused (Xiong et al. 2025).

    Rows of the splits training and validation that have a label of the task and the phases are used; the checkpoint
    with the best validation score is kept and calibrated on validation. With --any-subset phases are hidden at random
    in training, and the network reads whichever of them a study has; else it needs all of them.
    """

    name: ClassVar[str] = "train multiphase"
    task: str
    phases: str | None
    any_subset: bool
    fusion: str | None
    imagenet: Path | None
    seed: int | None
    config: Path | None
    preset: str | None
    cohort: Path
    slices: Path
    out: Path
    resume: bool

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument("--task", required=True, help="malignancy or aggressiveness")
        parser.add_argument("--phases", metavar="LETTERS", help="phases of the network: N, A, V, NA, NV, AV, NAV ...")
        parser.add_argument("--any-subset", action="store_true", help="learn to read any of the phases that are there")
        parser.add_argument(
            "--fusion",
            choices=("cross-attention", "concatenation"),
            help="cross-attention over the phases (the paper's text) or concatenation and a perceptron (its code)",
        )
        parser.add_argument(
            "--imagenet", type=Path, metavar="FILE", help="ResNet-18 weights of ImageNet as torchvision publishes them"
        )
        parser.add_argument("--seed", type=int, metavar="N", help="of weights, order and augmentation")
        add_configuration(parser)
        parser.add_argument("--cohort", type=Path, required=True, metavar="CSV", help="cohort table")
        parser.add_argument("--slices", type=Path, required=True, metavar="STORE", help="slice store of the cohort")
        parser.add_argument("--out", type=Path, required=True, metavar="RUN", help="folder of the run")
        parser.add_argument("--resume", action="store_true", help="go on from the run's newest checkpoint")

    def run(self) -> None:
        """Train, or go on."""
        from ..cohort.slice_store import SliceStore
        from ..cohort.splits import learning_cohort
        from ..cohort.table import read_cohort
        from ..training.multiphase import train_multiphase

        settings = self._settings()
        cohort, store = learning_cohort(read_cohort(self.cohort)), SliceStore(self.slices)
        with progress_bar("training") as progress:
            result = train_multiphase(
                settings, cohort, store, self.out, imagenet=self.imagenet, resume=self.resume, progress=progress
            )
        print(f"{result.steps} steps; best validation score {result.best_score:.4f} in epoch {result.best_epoch + 1}")

    def _settings(self) -> MultiphaseConfiguration:
        from ..training.multiphase_stage import phase_letters

        settings: MultiphaseConfiguration = configuration_of("multiphase", self.config, self.preset)
        given = {
            "task": self.task,
            "phases": phase_letters(self.phases) if self.phases else None,
            "any_subset": self.any_subset or None,
            "fusion": self.fusion,
            "seed": self.seed,
        }
        return settings.changed(**{name: value for name, value in given.items() if value is not None})


@dataclass(frozen=True)
class EvaluateMultiphase:
    """Write the predictions table of multi-phase runs, or of a bundle's multi-phase networks, on one or more cohorts.

    A network that reads any subset is asked for each of --phases, over the cases that have all of them; 'all' is
    whatever each case has. A network of fixed phases reads the cases that have all of its own. 'evaluate predictions'
    turns the table into figures.
    """

    name: ClassVar[str] = "evaluate multiphase"
    run_folder: list[Path] | None
    bundle: Path | None
    cohort: list[Path]
    slices: list[Path]
    split: list[str]
    phases: list[str] | None
    model: str | None
    out: Path
    overwrite: bool

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        add_models(parser, "model bundle with multi-phase networks")
        parser.add_argument("--slices", type=Path, nargs="+", required=True, metavar="STORE", help="their slice stores")
        parser.add_argument(
            "--phases",
            nargs="+",
            metavar="LETTERS",
            help="what a network that reads any subset is given: N A V NA NV AV NAV, or all (default all)",
        )
        add_predictions(parser)

    def run(self) -> None:
        """Read every cohort with every network."""
        from ..cohort.slice_store import SliceStore
        from ..cohort.table import read_cohort
        from ..errors import CohortError, OutputError
        from ..protocol.held_out import met_again
        from ..protocol.predictions import write_predictions
        from ..training.multiphase_reading import ALL, bundle_readers, run_reader
        from ..training.multiphase_stage import phase_letters

        if self.out.exists() and not self.overwrite:
            raise OutputError(f"{self.out.name} exists already; choose another name or give --overwrite.")
        if len(self.cohort) != len(self.slices):
            raise CohortError(
                f"Every cohort needs its slice store, but {len(self.cohort)} and {len(self.slices)} are given."
            )
        sets = [ALL if name == ALL else phase_letters(name) for name in self.phases or [ALL]]
        readers = bundle_readers(self.bundle) if self.bundle else [run_reader(run) for run in self.run_folder or ()]
        found: list[Prediction] = []
        for table, slices in zip(self.cohort, self.slices, strict=True):
            rows = [row for row in read_cohort(table) if row.split in self.split]
            for split in self.split:
                tell(met_again({reader.name: reader.groups for reader in readers}, {table.parent.name: rows}, split))
            for reader in readers if rows else ():
                with progress_bar("reading cases") as progress:
                    read = reader.read(rows, SliceStore(slices), sets, progress)
                for item in read:
                    found += self._rows(item, table.parent.name)
        if not found:
            raise CohortError(
                f"None of the tables has a row of the split {' or '.join(self.split)} with the phases that are needed."
            )
        self.out.parent.mkdir(parents=True, exist_ok=True)
        write_predictions(found, self.out)
        print(f"{len(found)} predictions in {self.out}")

    def _rows(self, item: PartRead, cohort: str) -> list[Prediction]:
        """The table's rows of what one network read from one part of the phases."""
        from ..protocol.multiphase_predictions import multiphase_predictions
        from ..protocol.predictions import ALL_PHASES
        from ..training.multiphase_reading import ALL

        return list(
            multiphase_predictions(
                item.rows,
                item.logits,
                item.task,
                cohort=cohort,
                model=self.model or item.model,
                phases=ALL_PHASES if item.phases == ALL else item.phases,
                seed=item.seed,
            )
        )


COMMANDS: list[Any] = [CohortSlices, TrainMultiphase, EvaluateMultiphase]
