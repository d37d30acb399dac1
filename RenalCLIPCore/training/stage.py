"""What every training stage's configuration has. Unknown keys are refused; defaults are the paper's recipe."""

from __future__ import annotations

import hashlib
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field

Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


CONFIGURATION_FILE = "configuration.yaml"
_LATER = {"batch_norm": "synchronised", "freeze_encoder": False, "density_weight": 0.0}


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
        for name, value in _LATER.items():  # as in runs from before there was a choice
            if content.get(name, value) == value:
                content.pop(name, None)
        return hashlib.sha256(yaml.safe_dump(content, sort_keys=True).encode()).hexdigest()


class Encoder(Part):
    """Size of the image encoder (``models.encoder.RenalEncoder``)."""

    width: int = Field(default=64, ge=1)


class Heads(Part):
    """Size of the heads. Dropout is not used in the survival head."""

    hidden: int = Field(default=128, ge=1)
    dropout: float = Field(default=0.1, ge=0, lt=1)
