"""Commands of fine-tuning: one task, survival, and predictions of what was trained.

Training runs on one process or, under ``torchrun``, on several.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from .evaluation import tell
from .learning import (
    add_cohort,
    add_models,
    add_predictions,
    add_run,
    configuration_of,
    joined_run,
    progress_bar,
    tell_result,
)

if TYPE_CHECKING:
    from ..training.fine_tuning_stages import FineTuningStage

NETWORKS = ("renalclip", "ct-fm", "merlin", "ct-clip")
PHASES = ("A", "AV", "NAV", "NAVD", "all", "one")


def _add_fine_tuning(parser: argparse.ArgumentParser) -> None:
    add_cohort(parser)
    parser.add_argument(
        "--initial",
        type=Path,
        metavar="PATH",
        help="bundle or run whose encoder training starts from, or the weights file of a comparison model; "
        "without it from scratch",
    )
    parser.add_argument(
        "--network", choices=NETWORKS, help="RenalCLIP's own (default), or a comparison model (its weights: --initial)"
    )
    parser.add_argument("--freeze-encoder", action="store_true", help="train the head alone")
    parser.add_argument("--fraction", type=float, metavar="F", help="share of the training patients, for instance 0.1")
    parser.add_argument("--seed", type=int, metavar="N", help="of weights, order, and which patients a fraction takes")
    parser.add_argument("--grid", action="store_true", help="search learning rate and batch size on validation")
    add_run(parser)


@dataclass(frozen=True)
class _FineTune:
    """What both commands share."""

    stage: ClassVar[str]
    config: Path | None
    preset: str | None
    cohort: Path
    rois: Path
    out: Path
    initial: Path | None
    network: str | None
    freeze_encoder: bool
    fraction: float | None
    seed: int | None
    grid: bool
    resume: bool

    def changes(self) -> dict[str, Any]:
        """Configuration values that arguments give."""
        given = {"fraction": self.fraction, "seed": self.seed, "freeze_encoder": self.freeze_encoder or None}
        return {name: value for name, value in given.items() if value is not None}

    def task_name(self) -> str:
        """The task that is trained."""
        return "rfs"

    def run(self) -> None:
        """Train, search, or go on."""
        from ..cohort.roi_store import RoiStore
        from ..cohort.splits import learning_cohort
        from ..cohort.table import read_cohort
        from ..training.fine_tuning import fine_tune
        from ..training.grid_search import search

        settings = self._settings()
        cohort, store = learning_cohort(read_cohort(self.cohort)), RoiStore(self.rois)
        with joined_run(settings, "fine-tuning") as (ranks, progress):
            options: Any = {"initial": self.initial, "resume": self.resume, "ranks": ranks, "progress": progress}
            if not self.grid:
                tell_result(ranks, fine_tune(settings, cohort, store, self.out, **options))
                return
            best = search(settings, cohort, store, self.out, **options)[0]
            if ranks.first:
                print(
                    f"learning rate {best.learning_rate:g}, batch {best.batch_size}: best validation score "
                    f"{best.score:.4f} in epoch {best.epoch + 1}"
                )

    def _settings(self) -> FineTuningStage:
        from pydantic import ValidationError

        from ..errors import ConfigurationError

        settings: FineTuningStage = configuration_of(self.stage, self.config, self.preset)
        try:
            of_network = settings.changed(network=self.network) if self.network else settings
            return of_network.for_task(self.task_name()).changed(**self.changes())
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(str(part) for part in first["loc"]) or "configuration"
            raise ConfigurationError(f"{place}: {first['msg'].removeprefix('Value error, ')}.") from error


@dataclass(frozen=True)
class TrainTask(_FineTune):
    """Fine-tune on one task: from a pre-trained encoder, from scratch, or the head alone.

    Rows of the splits training and validation that have a label of the task are used; the checkpoint with the best
    validation score is kept and calibrated on validation.
    """

    name: ClassVar[str] = "train task"
    stage: ClassVar[str] = "task"
    task: str

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument("--task", required=True, help="for instance renal_r, malignancy, aggressiveness")
        _add_fine_tuning(parser)

    def task_name(self) -> str:
        """The task that is trained."""
        return self.task


@dataclass(frozen=True)
class TrainSurvival(_FineTune):
    """Fine-tune on recurrence-free survival of the malignant cases (Cox partial likelihood).

    The one score serves for recurrence-free, disease-specific and overall survival. Tied times are handled by Efron's
    method unless the configuration or --ties says Breslow's.
    """

    name: ClassVar[str] = "train survival"
    stage: ClassVar[str] = "survival"
    ties: str | None

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        _add_fine_tuning(parser)
        parser.add_argument("--ties", choices=("efron", "breslow"), help="handling of tied times (default efron)")

    def changes(self) -> dict[str, Any]:
        """Configuration values that arguments give."""
        return {**super().changes(), **({"survival_ties": self.ties} if self.ties else {})}


@dataclass(frozen=True)
class EvaluatePredict:
    """Write the predictions table of fine-tuned runs or a bundle on one or more cohorts.

    --phases chooses what is fused: A, AV, NAV, NAVD (of these, what a case has), all phases, or one (arterial, else
    venous). Cases that have none of the phases get no prediction.
    """

    name: ClassVar[str] = "evaluate predict"
    run_folder: list[Path] | None
    bundle: Path | None
    cohort: list[Path]
    rois: list[Path]
    split: list[str]
    phases: list[str] | None
    model: str | None
    out: Path
    overwrite: bool

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        add_models(parser, "model bundle")
        parser.add_argument("--rois", type=Path, nargs="+", required=True, metavar="STORE", help="their ROI stores")
        parser.add_argument(
            "--phases",
            nargs="+",
            choices=PHASES,
            help="what is fused; several give rows for each (default all, or one for models trained on one phase)",
        )
        add_predictions(parser)

    def run(self) -> None:
        """Read every cohort with every model."""
        from ..cohort.roi_store import RoiStore
        from ..cohort.table import read_cohort
        from ..errors import CohortError, OutputError
        from ..protocol.held_out import met_again
        from ..protocol.phase_sets import PhaseOutputs, fused_predictions
        from ..protocol.predictions import Prediction, write_predictions
        from ..training.finished_run import open_bundle, open_run

        if self.out.exists() and not self.overwrite:
            raise OutputError(f"{self.out.name} exists already; choose another name or give --overwrite.")
        if len(self.cohort) != len(self.rois):
            raise CohortError(
                f"Every cohort needs its ROI store, but {len(self.cohort)} and {len(self.rois)} are given."
            )
        readers = open_bundle(self.bundle) if self.bundle else [open_run(run) for run in self.run_folder or ()]
        found: list[Prediction] = []
        cases = 0
        for table, rois in zip(self.cohort, self.rois, strict=True):
            rows = [row for row in read_cohort(table) if row.split in self.split]
            cases += len(rows)
            for split in self.split:
                tell(met_again({reader.name: reader.groups for reader in readers}, {table.parent.name: rows}, split))
            for reader in readers if rows else ():
                with progress_bar("reading cases") as progress:
                    read = reader.read(rows, RoiStore(rois), progress)
                outputs = PhaseOutputs(
                    read.case_ids,
                    read.phases,
                    read.outputs,
                    self.model or reader.name,
                    reader.fraction,
                    reader.seed,
                )
                sets = self.phases or ["one" if reader.one_phase else "all"]
                found += fused_predictions(outputs, reader.tasks, rows, table.parent.name, sets)
        if not found:
            raise CohortError(f"None of the tables has a row of the split {' or '.join(self.split)} that can be read.")
        self.out.parent.mkdir(parents=True, exist_ok=True)
        write_predictions(found, self.out)
        print(f"{len(found)} predictions for {cases} cases in {self.out}")


COMMANDS: list[Any] = [TrainTask, TrainSurvival, EvaluatePredict]
