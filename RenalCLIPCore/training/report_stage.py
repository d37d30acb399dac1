"""The report generator, from rows with reports and a frozen encoder to a run whose ``generator`` is a folder again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from ..cohort.roi_store import RoiStore
from ..cohort.splits import LearningCohort
from ..cohort.table import CohortRow
from ..errors import CohortError, TrainingError
from ..models.encoder import RenalEncoder
from ..models.report_generator import (
    LANGUAGE_FOLDER,
    GeneratorSettings,
    ReportGenerator,
    encoder_digest,
    load_report_generator,
    read_generator_settings,
)
from ..models.text_building import add_adapters, merge_adapters, new_network, train_tokenizer
from ..models.text_encoder import open_checkpoint
from ..progress import Progress, span
from ..text.captions import caption
from . import distribution
from .checkpoints import load, load_trained_state
from .distribution import ALONE, Ranks, check_shares
from .learnt_from import NOTHING, LearntFrom, learnt_from
from .loop import BEST_FILE, RunResult, Step, Trainer, Validation
from .report_data import ReportBatch, ReportData, Views, image_features
from .report_stages import ReportAdaptersConfiguration, ReportProjectorConfiguration, ReportStage
from .text_stages import folder_hash, replace_folder

GENERATOR_FOLDER = "generator"
_FEATURES = 0.3  # share of the progress


class ReportTask:
    """Cross-entropy of the reports' tokens. The score is its negative mean over the validation split.

    Args:
        generator: To train; what needs no gradient is frozen already.
    """

    def __init__(self, generator: ReportGenerator) -> None:
        self.model = generator

    def training_step(self, batch: ReportBatch) -> Step:
        """This process's share of the mean over the tokens of the global batch."""
        loss, count = self.model(batch.features, batch.texts)
        tokens = distribution.total_number(float(count))
        return Step(loss / tokens, {"tokens": tokens})

    def validate(self, batches: Iterable[ReportBatch]) -> Validation:
        """Mean over the tokens of all reports."""
        found = [self.model(batch.features, batch.texts) for batch in batches]
        loss = sum(float(value) for value, _ in found) / sum(count for _, count in found)
        return Validation(-loss, {"loss": loss, "perplexity": float(np.exp(min(loss, 50.0)))})


def train_report(
    configuration: ReportProjectorConfiguration | ReportAdaptersConfiguration,
    cohort: LearningCohort,
    store: RoiStore,
    encoder: RenalEncoder,
    out: Path,
    *,
    before: LearntFrom = NOTHING,
    language_model: Path | None = None,
    initial: Path | None = None,
    resume: bool = False,
    ranks: Ranks = ALONE,
    progress: Progress | None = None,
) -> RunResult:
    """Train one step and leave the generator in ``out/generator``, adapters merged.

    Args:
        configuration: Of the step.
        cohort: Training and validation rows; those without a report are left out.
        store: Regions of all of them.
        encoder: Of images; frozen.
        out: Folder of the run.
        before: What the encoder was learnt from.
        language_model: Step 1: checkpoint folder of a causal language model; None builds ``new_model``.
        initial: Step 2: the run of step 1.
        resume: Go on from the newest checkpoint there.
        ranks: This process among those of the run.
        progress: Told of every step.

    Raises:
        CohortError: A split has no report, or the store lacks a row.
        ConfigurationError: The processes cannot share a batch evenly.
        InputError: The language model cannot be opened.
        TrainingError: What is started from does not fit the step; or as for :meth:`Trainer.fit`.
    """
    if configuration.threads is not None:
        torch.set_num_threads(configuration.threads)
    splits = {"training": cohort.training, "validation": cohort.validation}
    rows = {name: _reported(name, part) for name, part in splits.items()}
    texts = [caption(row.findings, row.impression) for row in rows["training"]]
    generator = _generator(configuration, encoder, texts, language_model, initial)
    features = _features(encoder, rows, store, configuration, ranks, span(progress, 0.0, _FEATURES))
    if isinstance(configuration, ReportProjectorConfiguration) and configuration.standardise:
        seen = [views[0] for row in rows["training"] for views in features[row.case_id].values()]
        generator.projector.standardise(torch.from_numpy(np.stack(seen)))
    data = ReportData(rows["training"], rows["validation"], features, configuration, ranks.share)
    check_shares(data.plan.batch_size, ranks)
    origin = f"{generator.settings.encoder_sha256} {_origin(language_model, initial)}"
    sources = LearntFrom.of((*rows["training"], *rows["validation"])).joined(
        learnt_from(initial, language_model), before
    )
    trainer = Trainer(ReportTask(generator), data, configuration, out, cohort.split_sha256, origin, ranks, sources)
    result = trainer.fit(resume=resume, progress=span(progress, _FEATURES, 1 - _FEATURES))
    if ranks.first:
        load_trained_state(generator, load(out / BEST_FILE)["model"])
        merge_adapters(generator)
        replace_folder(out / GENERATOR_FOLDER, generator.cpu().save)
    distribution.told_to_all(None)
    return result


def _features(
    encoder: RenalEncoder,
    rows: Mapping[str, Sequence[CohortRow]],
    store: RoiStore,
    configuration: ReportStage,
    ranks: Ranks,
    progress: Progress,
) -> dict[str, Views]:
    """What the frozen encoder sees of every case; of training cases in augmented views, too."""
    found: dict[str, Views] = {}
    for number, (name, part) in enumerate(rows.items()):
        views = configuration.views if name == "training" else 0
        told = span(progress, number / len(rows), 1 / len(rows))
        found |= image_features(encoder, part, store, configuration, views, ranks, told)
    return found


def _reported(name: str, rows: Sequence[CohortRow]) -> tuple[CohortRow, ...]:
    found = tuple(row for row in rows if row.findings or row.impression)
    if not found:
        raise CohortError(f"No {name} row has a report; fill in findings and impression.")
    return found


def _generator(
    configuration: ReportStage,
    encoder: RenalEncoder,
    texts: Sequence[str],
    language_model: Path | None,
    initial: Path | None,
) -> ReportGenerator:
    """The generator of a step with its trained parameters set."""
    seeded = torch.Generator().manual_seed(configuration.seed)
    settings = GeneratorSettings(
        feature_dim=encoder.feature_dim,
        encoder_sha256=encoder_digest(encoder),
        **configuration.model_dump(include={"tokens", "max_tokens", "instruction", "fusion", "writing"}),
    )
    if isinstance(configuration, ReportAdaptersConfiguration):
        generator = _of_step_one(initial, language_model, settings)
        add_adapters(generator, **configuration.lora.model_dump(), seed=configuration.seed)
        generator.projector.requires_grad_(True)
        return generator
    if initial is not None:
        raise TrainingError("The first step starts from a language model (--language-model), not from another run.")
    new = configuration.new_model if isinstance(configuration, ReportProjectorConfiguration) else None
    if language_model is not None:
        network, tokenizer = open_checkpoint(language_model, causal=True)
        network.requires_grad_(False)
    elif new is not None:
        tokenizer = distribution.told_to_all(train_tokenizer([*texts, configuration.instruction], new.vocabulary))
        sizes = new.model_dump(exclude={"vocabulary", "architecture"})
        room = configuration.max_tokens + 256
        network = new_network(tokenizer, "llama", **sizes, seed=configuration.seed, max_tokens=room)
    else:
        raise TrainingError(
            "The first step needs a language model: give its checkpoint folder with --language-model, or describe a "
            "small one under new_model."
        )
    return ReportGenerator(network, tokenizer, settings, seeded)


def _of_step_one(initial: Path | None, language_model: Path | None, settings: GeneratorSettings) -> ReportGenerator:
    if initial is None or language_model is not None:
        raise TrainingError("The second step starts from the run of the first (--initial), and from nothing else.")
    folder = initial / GENERATOR_FOLDER
    before = read_generator_settings(folder)
    if before.encoder_sha256 != settings.encoder_sha256:
        raise TrainingError(f"The generator of {initial.name} was trained on the features of another encoder.")
    if before.tokens != settings.tokens:
        raise TrainingError(f"The generator of {initial.name} has {before.tokens} visual tokens; configure as many.")
    first = load_report_generator(folder)
    generator = ReportGenerator(first.network, first.tokenizer, settings)
    generator.projector.load_state_dict(first.projector.state_dict())
    return generator


def _origin(language_model: Path | None, initial: Path | None) -> str:
    if initial is not None:
        return folder_hash(initial / GENERATOR_FOLDER) + folder_hash(initial / GENERATOR_FOLDER / LANGUAGE_FOLDER)
    return folder_hash(language_model) if language_model is not None else ""
