"""Grid search: fine-tuning with every learning rate and batch size; the validation split alone chooses."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..cohort.roi_store import RoiStore
from ..cohort.splits import LearningCohort
from ..errors import TrainingError
from ..progress import Progress
from . import distribution
from .distribution import ALONE, Ranks
from .fine_tuning import ENCODER_FILE, RESULT_FILE, fine_tune, read_result
from .fine_tuning_stages import FineTuningStage
from .learnt_from import LEARNT_FROM_FILE
from .loop import BEST_FILE, CHECKPOINT_FOLDER
from .run_log import LOG_FILE
from .stage import CONFIGURATION_FILE

GRID_FOLDER = "grid"
GRID_FILE = "grid.csv"
_KEPT = (BEST_FILE, CONFIGURATION_FILE, LEARNT_FROM_FILE, LOG_FILE, ENCODER_FILE, RESULT_FILE)


@dataclass(frozen=True)
class Member:
    """One combination and what came of it."""

    learning_rate: float
    batch_size: int
    score: float
    epoch: int
    run: str


def search(
    configuration: FineTuningStage,
    cohort: LearningCohort,
    store: RoiStore,
    out: Path,
    *,
    initial: Path | None = None,
    resume: bool = False,
    ranks: Ranks = ALONE,
    progress: Progress | None = None,
) -> list[Member]:
    """Fine-tune with every combination. ``out`` becomes the run of the best; ``out/grid.csv`` lists all.

    Combinations that a search before has finished are not trained again.

    Args:
        configuration: Of the stage; its ``searched`` is tried.
        cohort: Training and validation rows.
        store: Regions of all of them.
        out: Folder of the run.
        initial: As for ``fine_tune``.
        resume: Go on where a search stopped.
        ranks: This process among those of the search.
        progress: Told of every step.

    Returns:
        What came of every combination, the best first.

    Raises:
        TrainingError: ``out`` holds a search or run and ``resume`` is off; or as for ``fine_tune``.
    """
    # what the first process finds, before it begins to write
    if distribution.told_to_all((out / GRID_FOLDER).exists() or (out / BEST_FILE).exists()) and not resume:
        raise TrainingError(f"{out.name} already holds a run; go on with --resume or take another folder.")
    tried = _combinations(configuration)
    members: list[Member] = []
    for number, one in enumerate(tried):
        run = out / GRID_FOLDER / f"lr-{one.optimiser.learning_rate:g}-batch-{one.batch_size}"

        def told(share: float, words: str, number: int = number) -> None:
            if progress:
                progress((number + share) / len(tried), f"{number + 1} of {len(tried)}, {words}")

        if not _finished(run, one, cohort):
            fine_tune(one, cohort, store, run, initial=initial, resume=resume, ranks=ranks, progress=told)
            if ranks.first:
                shutil.rmtree(run / CHECKPOINT_FOLDER)
        result = read_result(run)
        members.append(
            Member(one.optimiser.learning_rate, one.batch_size, result.score, result.epoch, f"{GRID_FOLDER}/{run.name}")
        )
    ranked = sorted(members, key=lambda member: -member.score)
    if ranks.first:
        _publish(out, ranked)
    return ranked


def _combinations(configuration: FineTuningStage) -> list[FineTuningStage]:
    grid = configuration.searched
    return [
        configuration.changed(
            batch_size=size,
            optimiser=configuration.optimiser.model_copy(update={"learning_rate": rate}),
            grid=None,
        )
        for size in grid.batch_size
        for rate in grid.learning_rate
    ]


def _finished(run: Path, configuration: FineTuningStage, cohort: LearningCohort) -> bool:
    if not (run / RESULT_FILE).is_file():
        return False
    result = read_result(run)
    if (result.configuration, result.data) != (configuration.digest, cohort.split_sha256):
        raise TrainingError(f"{run.name} was trained with another configuration or cohort; choose another folder.")
    return True


def _publish(out: Path, ranked: Sequence[Member]) -> None:
    """Copy the best run's files to ``out``, and write the table last."""
    for name in _KEPT:
        source = out / ranked[0].run / name
        if source.is_file():
            partial = out / f".partial-{name}"
            shutil.copyfile(source, partial)
            partial.replace(out / name)
    partial = out / f".partial-{GRID_FILE}"
    with partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["learning_rate", "batch_size", "validation_score", "epoch", "run"])
        writer.writerows([m.learning_rate, m.batch_size, m.score, m.epoch + 1, m.run] for m in ranked)
    partial.replace(out / GRID_FILE)
