"""Fine-tuning on one task, from a cohort's training and validation rows to a calibrated run folder.

A finished run holds ``result.json`` beside what every run has: the score, the task with its calibration, and for
survival the risk groups. Runs on a frozen encoder keep that encoder as ``encoder.pt``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict

from ..cohort.fractions import fraction_of
from ..cohort.roi_store import RoiStore
from ..cohort.splits import LearningCohort
from ..cohort.table import EVERY_TASK_CLASSES, CohortRow
from ..errors import CohortError, TrainingError, UndefinedMeasureError
from ..models.comparison import WINDOW_HU
from ..models.manifest import Preprocessing, Risk, Task
from ..output import write_text
from ..progress import Progress, span
from . import checkpoints, distribution
from .calibration import add_to_logits, before_temperature
from .distribution import ALONE, Ranks
from .fine_tuning_stages import SURVIVAL_TASK, FineTuningStage, SupervisedStage
from .learnt import predict_rows, risk_of, round_to_half, task_entry
from .learnt_from import LearntFrom, learnt_from
from .loop import BEST_FILE, RunResult, Trainer
from .multitask import supervised_data
from .prediction import Predictions
from .starting_weights import starting_encoder
from .tasks import MultitaskModel, MultitaskTask, prior_shifts, score_rows, survival_rows

RESULT_FILE = "result.json"
ENCODER_FILE = "encoder.pt"
_TRAINED = 0.95  # share of the progress; the rest is calibration


class FineTuned(BaseModel):
    """What a finished run says about itself.

    Attributes:
        configuration: Hash of what decided the weights.
        data: Hash of the cohort's splits.
        origin: Hash of the weights that the run began with, or empty.
        steps: Done.
        score: Best on the validation split.
        epoch: Of the best, counted from 0.
        cases: Training cases.
        preprocessing: How its regions were cut.
        task: With its calibration.
        risk: Risk groups of the training cases (survival).
        licence: Terms of others under which the training images, or the weights that the run began with, are; or empty.
        prior_bias: Added to the head's logits, as the classes were balanced in training; or empty.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    configuration: str
    data: str
    origin: str
    steps: int
    score: float
    epoch: int
    cases: int
    preprocessing: Preprocessing
    task: Task
    risk: Risk | None = None
    licence: str = ""
    prior_bias: tuple[float, ...] = ()


def fine_tune(
    configuration: FineTuningStage,
    cohort: LearningCohort,
    store: RoiStore,
    out: Path,
    *,
    initial: Path | None = None,
    resume: bool = False,
    ranks: Ranks = ALONE,
    progress: Progress | None = None,
) -> RunResult:
    """Train, calibrate on the validation split, and leave the run in ``out``.

    Args:
        configuration: Of the stage.
        cohort: Training and validation rows; those without a label of the task are left out.
        store: Regions of all of them.
        out: Folder of the run.
        initial: What the encoder starts from, see ``starting_weights``; None starts from scratch.
        resume: Go on from the newest checkpoint there.
        ranks: This process among those of the run; the first calibrates.
        progress: Told of every step.

    Raises:
        CohortError: Labels are lacking, or the store lacks a row.
        BundleError: The weights to start from do not fit.
        ConfigurationError: The processes cannot share a batch evenly.
        TrainingError: As for :meth:`Trainer.fit`; or the encoder is to be frozen and there is none to start from.
    """
    if configuration.freeze_encoder and initial is None:
        raise TrainingError("A frozen encoder must come from somewhere; give the bundle or run with --initial.")
    if configuration.network != "renalclip" and store.spec.window_hu != WINDOW_HU:
        raise CohortError(f"The comparison models need regions in the window {WINDOW_HU} HU; cut the regions again.")
    if configuration.threads is not None:
        torch.set_num_threads(configuration.threads)
    part = labelled_part(configuration, cohort)
    one_phase = configuration.phases == "arterial-else-venous"
    data = supervised_data(configuration, part, store, ranks, one_phase=one_phase)
    task = MultitaskTask(configuration, part.training, part.validation)
    origin = _start(task.model, configuration, initial, out, ranks) if initial else ""
    sources = LearntFrom.of((*part.training, *part.validation)).joined(learnt_from(initial))
    trainer = Trainer(task, data, configuration, out, cohort.split_sha256, origin, ranks, sources)
    result = trainer.fit(resume=resume, progress=span(progress, 0.0, _TRAINED))
    if ranks.first:
        _finish(configuration, part, store, result, trainer, span(progress, _TRAINED, 1 - _TRAINED))
    distribution.told_to_all(None)  # nobody leaves, or reads the result, before it is there
    return result


def labelled_part(configuration: FineTuningStage, cohort: LearningCohort) -> LearningCohort:
    """The labelled rows of both splits, and of the training patients the configured fraction.

    Raises:
        CohortError: No row of a split is labelled, one class alone or no event is there to learn from, the fraction
            loses a class, or the task cannot be scored on the validation split.
    """
    task = configuration.task
    training, validation = (_labelled(task, rows) for rows in (cohort.training, cohort.validation))
    for name, rows in (("training", training), ("validation", validation)):
        if not rows:
            wanted = "a malignant case with follow-up" if task == SURVIVAL_TASK else "a label"
            raise CohortError(f"No {name} row has {wanted} for {task!r}; the task cannot be learnt from this cohort.")
    if task == SURVIVAL_TASK and not any(_stratum(task, row) for row in training):
        raise CohortError("No training case had a recurrence; survival cannot be learnt without an event.")
    if task != SURVIVAL_TASK and len({row.labels[task] for row in training}) < 2:
        raise CohortError(f"All training rows have one class of {task!r}; at least two are needed.")
    try:
        score_rows(task, np.zeros((len(validation), max(len(EVERY_TASK_CLASSES.get(task, ())), 1))), validation)
    except UndefinedMeasureError as error:
        raise CohortError(f"The task {task!r} cannot be scored on the validation split. {error}") from error
    kept = fraction_of(training, configuration.fraction, configuration.seed, lambda row: _stratum(task, row))
    return replace(cohort, training=kept, validation=validation)


def _labelled(task: str, rows: Sequence[CohortRow]) -> tuple[CohortRow, ...]:
    if task == SURVIVAL_TASK:
        return tuple(rows[place] for place in survival_rows(rows))
    return tuple(row for row in rows if task in row.labels)


def _stratum(task: str, row: CohortRow) -> int:
    return int(row.follow_up[task].event) if task == SURVIVAL_TASK else row.labels[task]


def _start(model: MultitaskModel, configuration: FineTuningStage, initial: Path, out: Path, ranks: Ranks) -> str:
    state, origin = starting_encoder(configuration.network, initial, model.encoder.state_dict())
    model.encoder.load_state_dict(state)
    if ranks.first and configuration.freeze_encoder and not (out / ENCODER_FILE).exists():
        checkpoints.save({"encoder": state}, out / ENCODER_FILE)
    return origin


def _finish(
    configuration: FineTuningStage,
    part: LearningCohort,
    store: RoiStore,
    result: RunResult,
    trainer: Trainer,
    progress: Progress | None,
) -> None:
    """Calibrate the best weights, rounded as a bundle has them, and write the result."""
    task = configuration.task
    shift = prior_shifts(configuration, part.training).get(task, ())
    model, content = best_task_model(result.folder, configuration, ())

    def predicted(rows: Sequence[CohortRow], half: int) -> Predictions:
        one_phase = configuration.phases == "arterial-else-venous"
        heads, size = {task: model.heads[task]}, configuration.batch_size
        return predict_rows(model.encoder, heads, rows, store, size, half, progress, one_phase=one_phase)

    entry = task_entry(task, configuration.heads.hidden, predicted(part.validation, 0), part.validation, shift)
    found = FineTuned(
        **trainer.identity,
        steps=result.steps,
        score=content["score"],
        epoch=content["epoch"],
        cases=len(part.training),
        licence=trainer.sources.licence,
        preprocessing=Preprocessing(**vars(store.spec)),
        task=entry,
        risk=risk_of(predicted(part.training, 1), part.training) if task == SURVIVAL_TASK else None,
        prior_bias=before_temperature(shift, entry.temperature),
    )
    write_text(result.folder / RESULT_FILE, found.model_dump_json(indent=1))


def best_task_model(
    run: Path, configuration: SupervisedStage, bias: Sequence[float] | None = None
) -> tuple[MultitaskModel, dict[str, Any]]:
    """The best model of a run, rounded to half precision, in evaluation mode; and the content of its checkpoint.

    Args:
        run: Its folder.
        configuration: Its configuration.
        bias: Added to the logits of a fine-tuned task; None for what the finished run says.

    Raises:
        TrainingError: The run has no finished checkpoint, is of another configuration, or its frozen encoder is not
            there.
    """
    content = checkpoints.load(run / BEST_FILE)
    if content["configuration"] != configuration.digest:
        raise TrainingError(f"The weights of the run {run.name} are of another configuration than the one beside them.")
    model = MultitaskModel(configuration)
    if configuration.freeze_encoder:
        if not (run / ENCODER_FILE).is_file():
            raise TrainingError(f"The run {run.name} has only heads; use the bundle that they were exported into.")
        model.encoder.load_state_dict(checkpoints.load(run / ENCODER_FILE)["encoder"])
    checkpoints.load_trained_state(model, content["model"])
    round_to_half(model)
    if isinstance(configuration, FineTuningStage):
        bias = read_result(run).prior_bias if bias is None else bias
        if bias:
            add_to_logits(model.heads[configuration.task], bias)
    return model.eval(), content


def read_result(run: Path) -> FineTuned:
    """What a finished run says about itself.

    Raises:
        TrainingError: The run is not finished, or the file is damaged.
    """
    try:
        return FineTuned.model_validate_json((run / RESULT_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TrainingError(
            f"{run.name} is no finished run of 'renalclip train task' or 'train survival'; finish it with --resume."
        ) from error
