"""The two text stages, from reports and a checkpoint folder to a run whose ``encoder`` is a checkpoint folder again."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ..cohort.dataset import MISSING
from ..errors import CohortError, TrainingError
from ..models.bundle import file_hash
from ..models.text_building import add_adapters, merge_adapters, new_text_encoder, train_tokenizer
from ..models.text_encoder import TextEncoder, load_text_encoder
from ..progress import Progress
from ..text.questionnaire import questionnaire
from . import distribution
from .checkpoints import load, load_trained_state, newest
from .distribution import ALONE, Ranks, check_shares
from .image_stage import check_options
from .learnt_from import NOTHING, LearntFrom, learnt_from
from .loop import BEST_FILE, CHECKPOINT_FOLDER, RunResult, Trainer, TrainingTask
from .pretraining_stages import MntpConfiguration, NewTextModel, SimcseConfiguration, TextStage
from .text_data import Reports, TextData
from .text_tasks import MntpTask, SimcseTask

ENCODER_FOLDER = "encoder"
TOKENIZER_FOLDER = "tokenizer"
_DROPOUT_FIELDS = ("attention_dropout", "attention_probs_dropout_prob", "hidden_dropout_prob")


def train_text(
    configuration: MntpConfiguration | SimcseConfiguration,
    reports: Reports,
    out: Path,
    *,
    base: Path | None = None,
    sources: LearntFrom = NOTHING,
    resume: bool = False,
    ranks: Ranks = ALONE,
    progress: Progress | None = None,
) -> RunResult:
    """Train a text encoder and leave it in ``out/encoder``, adapters merged, as transformers reads it.

    Args:
        configuration: Of the stage.
        reports: To learn from and to validate on.
        out: Folder of the run.
        base: Checkpoint folder to start from; None builds the configuration's ``new_model``.
        sources: What the reports bring along.
        resume: Go on from the newest checkpoint there.
        ranks: This process among those of the run.
        progress: Told of every step.

    Raises:
        CohortError: The reports lack the answers that are to be learnt.
        TrainingError: Neither ``base`` nor ``new_model`` is given; or as for :meth:`Trainer.fit`.
        InputError: ``base`` is no usable checkpoint folder.
        ConfigurationError: The processes cannot share a batch evenly.
    """
    check_shares(min(configuration.batch_size, len(reports.training)), ranks)
    _check_answers(configuration, reports)
    if configuration.threads is not None:
        torch.set_num_threads(configuration.threads)
    encoder, dropout = _start(configuration, reports, out, base, ranks)
    if configuration.lora is not None:
        add_adapters(encoder, **configuration.lora.model_dump(), seed=configuration.seed)
    if configuration.gradient_checkpointing:
        encoder.network.activation_checkpointing_enable({"use_reentrant": False})
    task: TrainingTask[Any]
    if isinstance(configuration, MntpConfiguration):
        task = MntpTask(configuration, encoder)
    else:
        task = SimcseTask(configuration, encoder)
    per_epoch = configuration.iterations // configuration.epochs
    data = TextData(reports, configuration.batch_size, per_epoch, configuration.seed, ranks.share)
    origin = folder_hash(base) if base else ""
    learnt = reports.answered_sha256 if _learns_answers(configuration) else reports.sha256
    sources = sources.joined(learnt_from(base))
    trainer = Trainer(task, data, configuration, out, learnt, origin, ranks, sources)
    result = trainer.fit(resume=resume, progress=progress)
    if ranks.first and _is_older(out / ENCODER_FOLDER, out / BEST_FILE):
        _keep_encoder(task.model, encoder, dropout, out, sources)
    distribution.told_to_all(None)
    return result


def _learns_answers(configuration: TextStage) -> bool:
    return isinstance(configuration, SimcseConfiguration) and configuration.answers_weight > 0


def _check_answers(configuration: TextStage, reports: Reports) -> None:
    if not _learns_answers(configuration):
        return
    for name, part in (("training", reports.training), ("validation", reports.validation)):
        if not all(report.answers for report in part):
            raise CohortError("answers_weight needs reports with answers: give a cohort table instead of plain texts.")
        answers = np.array([report.answers[:-1] for report in part])  # the last one, the side, is always known
        check_options(answers, questionnaire().class_counts)
        if not (answers != MISSING).any():
            raise CohortError(
                f"answers_weight needs answers, and no {name} row has any; fill in attribute_01 to attribute_14."
            )


def folder_hash(folder: Path) -> str:
    """Hash over the names and contents of a checkpoint folder's files."""
    lines = [f"{path.name} {file_hash(path)}\n" for path in sorted(folder.iterdir()) if path.is_file()]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _start(
    configuration: TextStage, reports: Reports, out: Path, base: Path | None, ranks: Ranks
) -> tuple[TextEncoder, dict[str, float]]:
    """The encoder to train, and the dropout that its configuration has outside of this stage."""
    dropout = configuration.dropout if isinstance(configuration, SimcseConfiguration) else 0.0
    if base is not None:
        plain = _dropout(base)
        changes = dict.fromkeys(plain, dropout) if dropout else {}
        encoder = load_text_encoder(base, configuration.max_tokens, **changes)
        if configuration.lora is None:
            encoder.float()  # steps as small as these would be lost in half precision
        return encoder, plain
    if configuration.new_model is None:
        raise TrainingError(
            "The stage starts from a language model: give its checkpoint folder with --base, or describe a small one "
            "under new_model."
        )
    encoder = _new_encoder(configuration, configuration.new_model, reports, out, dropout, ranks)
    return encoder, dict.fromkeys(_fields(encoder.configuration.to_dict()), 0.0)


def _dropout(folder: Path) -> dict[str, float]:
    from transformers import AutoConfig

    return _fields(AutoConfig.from_pretrained(str(folder), local_files_only=True).to_dict()) if folder.is_dir() else {}


def _fields(values: dict[str, Any]) -> dict[str, float]:
    return {name: float(values[name]) for name in _DROPOUT_FIELDS if name in values}


def _new_encoder(
    configuration: TextStage, model: NewTextModel, reports: Reports, out: Path, dropout: float, ranks: Ranks
) -> TextEncoder:
    from transformers import PreTrainedTokenizerFast

    folder = out / TOKENIZER_FOLDER
    if ranks.first and newest(out / CHECKPOINT_FOLDER) is None:
        tokenizer = train_tokenizer([report.text for report in reports.training], model.vocabulary)
        replace_folder(folder, lambda partial: tokenizer.save_pretrained(str(partial)))
    distribution.told_to_all(None)
    return new_text_encoder(
        PreTrainedTokenizerFast.from_pretrained(str(folder)),
        model.architecture,
        width=model.width,
        hidden=model.hidden,
        layers=model.layers,
        heads=model.heads,
        seed=configuration.seed,
        max_tokens=configuration.max_tokens,
        attention_dropout=dropout,
    )


def _is_older(folder: Path, file: Path) -> bool:
    return not folder.exists() or folder.stat().st_mtime < file.stat().st_mtime


def _keep_encoder(
    model: nn.Module, encoder: TextEncoder, dropout: dict[str, float], out: Path, sources: LearntFrom
) -> None:
    """Write the best weights of a finished run as a checkpoint folder, by atomic rename; heads stay behind."""
    load_trained_state(model, load(out / BEST_FILE)["model"])
    merge_adapters(encoder)
    for name, value in dropout.items():
        setattr(encoder.configuration, name, value)

    def write(folder: Path) -> None:
        encoder.cpu().save(folder)
        sources.keep(folder)

    replace_folder(out / ENCODER_FOLDER, write)


def replace_folder(folder: Path, write: Callable[[Path], object]) -> None:
    """Write a folder beside its place and rename it, in the place of an older one."""
    partial = folder.with_name(f".partial-{folder.name}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    write(partial)
    if folder.exists():
        shutil.rmtree(folder)
    os.replace(partial, folder)
