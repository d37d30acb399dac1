"""A finished image-text run becomes a model bundle: projection, prompts, an index of cases, and heads if there are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from torch import nn

from ..cohort.roi_store import RoiStore
from ..cohort.splits import LearningCohort
from ..errors import TrainingError
from ..models.bundle import Bundle, BundleContents, file_hash, write_bundle
from ..models.bundle_parts import CaseIndex, TaskPrompts
from ..models.encoder import RenalEncoder
from ..models.feature_statistics import FeatureStatistics
from ..models.manifest import MANIFEST_FILE, BundleManifest, OutOfDistributionRule, Risk, Task
from ..models.text_encoder import load_text_encoder
from ..models.text_features import FEATURES_FILE, TextFeatures, read_text_features
from ..progress import Progress
from ..text.prompts import zero_shot_prompts
from .alignment import AlignmentModel, start_from
from .checkpoints import load_trained_state
from .configuration import load_configuration
from .export import (
    FEATURE_NEIGHBOURS,
    BundleWords,
    best_content,
    best_model,
    calibrated,
    learnt_by,
    manifest_of,
    numbers,
)
from .fine_tuning_stages import SURVIVAL_TASK, MultitaskConfiguration
from .learnt import Learnt, embeddings, facts, round_to_half, stored
from .learnt_from import LearntFrom, learnt_from
from .loop import BEST_FILE
from .stage import CONFIGURATION_FILE
from .tasks import MultitaskModel
from .text_stages import folder_hash


@dataclass(frozen=True, eq=False)
class _Heads:
    """Heads of a multi-task run or bundle, with their own encoders where they do not share the run's.

    ``words`` and ``outliers``: what a bundle says of its training data, and how it tells cases that are unlike them.
    """

    tasks: tuple[Task, ...] = ()
    risk: Risk | None = None
    heads: Mapping[str, nn.Module] = field(default_factory=dict)
    encoders: Mapping[str, RenalEncoder] = field(default_factory=dict)
    words: str = ""
    outliers: tuple[FeatureStatistics | None, OutOfDistributionRule | None] | None = None


def export_alignment(
    run: Path,
    cohort: LearningCohort,
    store: RoiStore,
    texts: Path,
    text_encoder: Path,
    out: Path,
    words: BundleWords,
    *,
    heads: Path | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> BundleManifest:
    """Write the bundle of an image-text run's best checkpoint; its licence as for ``export_bundle``.

    The text encoder itself does not go into the bundle: the prompts' embeddings do, so that a lesion can be read
    without it. The index holds the training kidneys of which something may be shown. Weights are in half precision.

    Args:
        run: Folder of a clip run.
        cohort: The one that the run was trained on.
        store: Its regions.
        texts: The store of text features that the run was trained on.
        text_encoder: Checkpoint folder that made them.
        out: Folder of the bundle.
        words: Name, version and what else a person says.
        heads: Multi-task run whose tasks are added, or the bundle that this run was trained on with ``freeze_encoder``.
            Where either was trained with ``freeze_encoder`` on the other the tasks share the encoder; else each takes
            that of ``heads`` along.
        overwrite: Whether an older bundle there is replaced.
        progress: Told of every batch.

    Raises:
        TrainingError: Runs, stores and encoder do not belong together.
        BundleError: The bundle cannot be written.
    """
    configuration = load_configuration("clip", run / CONFIGURATION_FILE)
    content = best_content(run, configuration.digest, cohort)
    rows = (*cohort.training, *cohort.validation)
    sources = LearntFrom.of(rows).joined(learnt_from(run, heads, texts, text_encoder))
    features = _features_of(run, content["origin"], texts, text_encoder)
    model = AlignmentModel(configuration, features.embedding_dim)
    if configuration.freeze_encoder:
        _take_frozen(model, heads, run, content["origin"])
    load_trained_state(model, content["model"])
    round_to_half(model)
    encoder = model.encoder.eval()
    added = _heads(heads, run, encoder, configuration.freeze_encoder, cohort, store, progress)
    learnt = learnt_by(encoder, {}, cohort, store, configuration.batch_size, progress)
    statistics, rule = added.outliers or learnt.outliers()
    manifest = manifest_of(
        words,
        sources,
        encoder,
        store,
        fusion="random-phase",
        tasks=added.tasks,
        risk=added.risk,
        out_of_distribution=rule,
        prompts=True,
        training_data=f"{added.words}{words.training_data} {numbers(cohort)} Aligned with their reports.",
    )
    contents = BundleContents(
        manifest,
        stored(encoder),
        added.heads,
        added.encoders,
        embed_prompts(text_encoder, features.max_tokens),
        _index(encoder, learnt),
        statistics,
    )
    return write_bundle(out, contents, overwrite=overwrite)


def _features_of(run: Path, origin: str, texts: Path, text_encoder: Path) -> TextFeatures:
    """The text features of a run, made by this very encoder."""
    if not origin.startswith(file_hash(texts / FEATURES_FILE)):
        raise TrainingError(f"The run {run.name} was trained on other text features than those in {texts.name}.")
    features = read_text_features(texts)
    if folder_hash(text_encoder) != features.encoder_sha256:
        raise TrainingError(f"The features in {texts.name} were made by another text encoder than {text_encoder.name}.")
    return features


def embed_prompts(text_encoder: Path, max_tokens: int) -> dict[str, TaskPrompts]:
    """The shipped zero-shot prompts with their embeddings."""
    encoder = load_text_encoder(text_encoder, max_tokens)
    return {
        task: TaskPrompts(
            prompts.classes, prompts.texts, tuple(encoder.embed(list(of_class)) for of_class in prompts.texts)
        )
        for task, prompts in zero_shot_prompts().items()
    }


def _index(encoder: RenalEncoder, learnt: Learnt) -> CaseIndex:
    every = embeddings(encoder, learnt.training)
    shown = [facts(row) for row in learnt.training_rows]
    chosen = [place for place, words in enumerate(shown) if words] or list(range(len(shown)))
    return CaseIndex(
        np.asarray(every[chosen]),
        tuple(learnt.training.cases[place] for place in chosen),
        tuple(shown[place] for place in chosen),
    )


def _heads(
    heads: Path | None,
    run: Path,
    encoder: RenalEncoder,
    frozen: bool,
    cohort: LearningCohort,
    store: RoiStore,
    progress: Progress | None,
) -> _Heads:
    """The heads of a bundle or of a multi-task run; ``frozen`` says that the run left its encoder as it was."""
    if heads is None:
        return _Heads()
    if (heads / MANIFEST_FILE).is_file():
        return _of_bundle(heads, run, frozen)
    configuration = load_configuration("multitask", heads / CONFIGURATION_FILE)
    if configuration.freeze_encoder:
        model = _on_frozen(heads, configuration, run, encoder, cohort)
    else:
        model = best_model(heads, configuration, cohort)
    named = dict(model.heads.items())
    learnt = learnt_by(model.encoder, named, cohort, store, configuration.batch_size, progress)
    own = not (frozen or configuration.freeze_encoder)
    entries = calibrated(learnt, named, configuration)
    tasks = tuple(entry.model_copy(update={"own_encoder": own}) for entry in entries)
    return _Heads(
        tasks,
        learnt.risk() if SURVIVAL_TASK in configuration.tasks else None,
        {name: stored(named[name]) for name in configuration.tasks},
        {name: stored(model.encoder) for name in configuration.tasks} if own else {},
    )


def _of_bundle(folder: Path, run: Path, frozen: bool) -> _Heads:
    """The tasks of the bundle whose encoder the run left as it was."""
    bundle = Bundle.load(folder)
    if not frozen or bundle.manifest.fusion != "random-phase":
        raise TrainingError(
            f"The heads of {folder.name} are of another encoder than that of {run.name}; align with freeze_encoder on "
            "a bundle that was fine-tuned on random phases."
        )
    told = bundle.manifest.training_data.replace(FEATURE_NEIGHBOURS, "").strip()
    words = f"{told} Image-text space: "
    outliers = (bundle.statistics, bundle.manifest.out_of_distribution)
    return _Heads(bundle.manifest.tasks, bundle.manifest.risk, bundle.heads, bundle.task_encoders, words, outliers)


def _take_frozen(model: AlignmentModel, source: Path | None, run: Path, origin: str) -> None:
    """The encoder that the run did not change, from the run that it started from."""
    if source is None or not origin.endswith(start_from(model.encoder, source)):
        raise TrainingError(
            f"The run {run.name} left the encoder that it started from as it was; give that multi-task run or bundle "
            "with --heads."
        )


def _on_frozen(
    heads: Path, configuration: MultitaskConfiguration, run: Path, encoder: RenalEncoder, cohort: LearningCohort
) -> MultitaskModel:
    """The heads' model with the encoder that they were trained on, which must be the run's."""
    content = best_content(heads, configuration.digest, cohort)
    if content["origin"] != file_hash(run / BEST_FILE):
        raise TrainingError(f"The heads of {heads.name} were trained on another encoder than that of {run.name}.")
    model = MultitaskModel(configuration)
    body = {name: value for name, value in encoder.state_dict().items() if not name.startswith("projection.")}
    model.encoder.load_state_dict(body)
    state = {name: value for name, value in content["model"].items() if not name.startswith("encoder.")}
    buffers = {name: value for name, value in model.state_dict().items() if name in content["model"]}
    load_trained_state(model, {**buffers, **state})
    round_to_half(model)
    return model.eval()
