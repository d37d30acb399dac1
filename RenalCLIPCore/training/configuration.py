"""One configuration per training stage, loaded from YAML. Unknown keys are refused; defaults are the paper's recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import Field, ValidationError, model_validator

from ..cohort.augmentation import Augmentation
from ..cohort.table import DESCRIPTOR_CLASSES, TASK_CLASSES
from ..errors import ConfigurationError
from ..resources import resources
from .pretraining_stages import ClipConfiguration, ImageConfiguration, MntpConfiguration, SimcseConfiguration
from .stage import CONFIGURATION_FILE, Encoder, Heads, Positive, Stage

SURVIVAL_TASK = "rfs"
CENTRE_DENSITY = "centre_density"
_MAX_BYTES = 1 << 20


class MultitaskConfiguration(Stage):
    """Supervised training of one encoder with a head per task, one random available phase per patient and step.

    Attributes:
        descriptors: What is seen of the lesion, learnt beside the tasks by linear heads; they shape the features and
            are not exported.
        tasks: Classification tasks, and ``rfs`` for recurrence-free survival (malignant cases only).
        centre_density: Whether a linear head also learns the density around the centre of the very region that is seen
            (no label is needed, not exported); its weight is named ``centre_density``.
        weights: Weight of a task's loss, 1 where not given.
        class_weights: Whether the cross-entropy weighs classes by the inverse of their frequency in the training split.
        balance: Tasks whose classes the sampler balances; empty samples every row once per epoch.
        survival_ties: How the Cox partial likelihood treats tied event times.
        freeze_encoder: Whether only the heads are trained, on the encoder that the run starts from.
        encoder: See there.
        heads: See there.
        augmentation: See ``cohort.augmentation``.
    """

    stage: Literal["multitask"] = "multitask"
    tasks: tuple[str, ...] = (*TASK_CLASSES, SURVIVAL_TASK)
    descriptors: tuple[str, ...] = ()
    centre_density: bool = False
    weights: dict[str, Positive] = Field(default_factory=dict)
    class_weights: bool = False
    balance: tuple[str, ...] = ("malignancy", "aggressiveness")
    survival_ties: Literal["efron", "breslow"] = "efron"
    freeze_encoder: bool = False
    encoder: Encoder = Encoder()
    heads: Heads = Heads()
    augmentation: Augmentation = Augmentation()

    @model_validator(mode="after")
    def _known_tasks(self) -> Self:
        known = (*TASK_CLASSES, SURVIVAL_TASK)
        if not self.tasks or len(set(self.tasks)) != len(self.tasks):
            raise ValueError("tasks must name at least one task, each once")
        for name in (*self.tasks, *self.balance):
            if name not in known:
                raise ValueError(f"unknown task {name!r}; known are {', '.join(known)}")
        for name in self.descriptors:
            if name not in DESCRIPTOR_CLASSES or self.descriptors.count(name) > 1:
                raise ValueError(f"unknown or repeated descriptor {name!r}; known are {', '.join(DESCRIPTOR_CLASSES)}")
        trained = (*self.tasks, *self.descriptors, *([CENTRE_DENSITY] if self.centre_density else []))
        for name in self.weights:
            if name not in trained:
                raise ValueError(f"a weight is given for {name!r}, which is not trained")
        return self


STAGES: dict[str, type[Stage]] = {
    "image": ImageConfiguration,
    "mntp": MntpConfiguration,
    "simcse": SimcseConfiguration,
    "clip": ClipConfiguration,
    "multitask": MultitaskConfiguration,
}


def load_configuration(stage: str, path: Path | None = None) -> Any:
    """The effective configuration of a stage: a YAML file's values, the paper's recipe for everything else.

    Raises:
        ConfigurationError: Unknown stage or key, or an impossible value; the message names the first.
    """
    if stage not in STAGES:
        raise ConfigurationError(f"There is no stage {stage!r}; stages are {', '.join(STAGES)}.")
    try:
        return STAGES[stage].model_validate(_read(path) if path else {})
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "top level"
        where = path.name if path else "the defaults"
        message = first["msg"].removeprefix("Value error, ")
        raise ConfigurationError(f"{where}, {place}: {message}.") from error


def stage_of(run: Path) -> str:
    """The stage of a run's folder.

    Raises:
        ConfigurationError: It holds no configuration.
    """
    content = _read(run / CONFIGURATION_FILE)
    return str(content.get("stage", "")) if isinstance(content, dict) else ""


def preset_path(name: str) -> Path:
    """File of a shipped preset.

    Raises:
        ConfigurationError: There is none of that name.
    """
    folder = resources() / "presets"
    found = sorted(path.stem for path in folder.glob("*.yaml"))
    if name not in found:
        raise ConfigurationError(f"There is no preset {name!r}; presets are {', '.join(found) or 'none'}.")
    return folder / f"{name}.yaml"


def _read(path: Path) -> Any:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise ConfigurationError(f"{path.name} is larger than {_MAX_BYTES >> 20} MB and is not read.")
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"The configuration {path.name} cannot be read: {error.strerror}.") from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigurationError(f"{path.name} is not valid YAML.") from error
    return {} if content is None else content
