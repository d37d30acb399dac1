"""One configuration per training stage, loaded from YAML. Unknown keys are refused; defaults are the paper's recipe."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ..cohort.augmentation import Augmentation
from ..cohort.table import DESCRIPTOR_CLASSES, TASK_CLASSES
from ..errors import ConfigurationError
from ..resources import resources

SURVIVAL_TASK = "rfs"
CENTRE_DENSITY = "centre_density"
_MAX_BYTES = 1 << 20

Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Part(BaseModel):
    """Base of every configuration: frozen, unknown keys refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Optimiser(Part):
    """AdamW.

    Attributes:
        learning_rate: Of every parameter that no prefix names.
        learning_rates: Own rates by the beginning of the parameter's name.
        weight_decay: Decoupled.
        betas: Of the running means.
        clip_norm: Largest norm of the gradient, or None.
    """

    learning_rate: Positive = 5e-4
    learning_rates: dict[str, Positive] = {}
    weight_decay: Annotated[float, Field(ge=0)] = 5e-3
    betas: tuple[Fraction, Fraction] = (0.9, 0.999)
    clip_norm: Positive | None = None


class Schedule(Part):
    """Learning rate over the steps: linear warm-up over the first part, then ``shape`` down to zero."""

    shape: Literal["cosine", "linear", "constant"] = "cosine"
    warm_up: Fraction = 0.1


class Checkpoints(Part):
    """When the state is saved: after every epoch, and within it every so many steps; the newest ``keep`` stay."""

    every_steps: int | None = Field(default=None, ge=1)
    keep: int = Field(default=2, ge=1)


class Stage(Part):
    """What every stage has.

    Attributes:
        seed: Of initial weights, order, samples and dropout.
        epochs: Passes over the training split.
        batch_size: Samples per step, of all processes together.
        validate_every: Epochs between two validations; the last epoch is always validated.
        precision: ``fp32``, or ``bf16`` for autocast to bfloat16.
        batch_norm: Whose statistics batch norm takes in training: those of all processes (``synchronised``), each
            process's own (``own``), or the running ones, which then stay (``fixed``).
        device: ``cpu``, ``cuda`` (with several processes, each its own) or ``cuda:N``.
        workers: Loading processes beside the own one.
        threads: Of the numerical library; None leaves its default.
        optimiser: See there.
        schedule: See there.
        checkpoints: See there.
    """

    stage: str
    seed: int = Field(default=0, ge=0)
    epochs: int = Field(default=200, ge=1)
    batch_size: int = Field(default=300, ge=2)
    validate_every: int = Field(default=1, ge=1)
    precision: Literal["fp32", "bf16"] = "fp32"
    batch_norm: Literal["synchronised", "own", "fixed"] = "synchronised"
    device: str = Field(default="cpu", pattern=r"^(cpu|cuda(:\d+)?)$")
    workers: int = Field(default=0, ge=0)
    threads: int | None = Field(default=None, ge=1)
    optimiser: Optimiser = Optimiser()
    schedule: Schedule = Schedule()
    checkpoints: Checkpoints = Checkpoints()

    def to_yaml(self) -> str:
        """The effective configuration as YAML."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=120)

    @property
    def digest(self) -> str:
        """Hash of what decides the weights (not: loading processes, device and how many checkpoints are kept)."""
        content = self.model_dump(mode="json", exclude={"workers", "device", "threads", "checkpoints"})
        if self.batch_norm == "synchronised":  # as in runs from before there was a choice
            del content["batch_norm"]
        return hashlib.sha256(yaml.safe_dump(content, sort_keys=True).encode()).hexdigest()


class Encoder(Part):
    """Size of the image encoder (``models.encoder.RenalEncoder``)."""

    width: int = Field(default=64, ge=1)


class Heads(Part):
    """Size of the heads. Dropout is not used in the survival head."""

    hidden: int = Field(default=128, ge=1)
    dropout: float = Field(default=0.1, ge=0, lt=1)


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
        encoder: See there.
        heads: See there.
        augmentation: See ``cohort.augmentation``.
    """

    stage: Literal["multitask"] = "multitask"
    tasks: tuple[str, ...] = (*TASK_CLASSES, SURVIVAL_TASK)
    descriptors: tuple[str, ...] = ()
    centre_density: bool = False
    weights: dict[str, Positive] = {}
    class_weights: bool = False
    balance: tuple[str, ...] = ("malignancy", "aggressiveness")
    survival_ties: Literal["efron", "breslow"] = "efron"
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


STAGES: dict[str, type[Stage]] = {"multitask": MultitaskConfiguration}


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
