"""Configuration of the multi-phase 2-D network. Defaults: Xiong et al. 2025; what it leaves open, the public code."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Final, Literal, Self

from pydantic import Field, ValidationError, model_validator

from ..cohort.augmentation import Augmentation
from ..cohort.table import EVERY_TASK_CLASSES
from ..errors import ConfigurationError
from .stage import Fraction, Optimiser, Schedule, Stage

LETTERS: Final = "NAVD"
# the paper's: three of one phase, three of two, and all
FIXED_SUBSETS: Final = ("N", "A", "V", "NA", "NV", "AV", "NAV")
TWO_CLASS_TASKS: Final = tuple(name for name, classes in EVERY_TASK_CLASSES.items() if len(classes) == 2)


class MultiphaseConfiguration(Stage):
    """One ResNet-18 per phase, fused; one task of two classes.

    Attributes:
        task: For instance ``malignancy``.
        phases: Letters of the phases in the order N, A, V, D.
        any_subset: Whether training hides phases at random, so that the network reads any that are there. Else it is
            trained on the cases that have all its phases, and reads only those.
        keep_all: With ``any_subset``: share of the training samples that keep all the phases of their case.
        fusion: ``cross-attention`` as the paper's text has it, or ``concatenation`` as the public code has it.
        width: Channels of the first stage of each branch.
        dropout: In the fusion.
        class_weights: Whether the cross-entropy weighs classes by the inverse of their frequency.
        balance: Whether the sampler balances the classes.
        augmentation: In the plane of the slice, in pixels; alike for all phases.
    """

    stage: Literal["multiphase"] = "multiphase"
    epochs: int = Field(default=200, ge=1)
    batch_size: int = Field(default=64, ge=2)
    optimiser: Optimiser = Optimiser(learning_rate=1e-5, weight_decay=0.0)
    schedule: Schedule = Schedule(shape="constant", warm_up=0.0)
    task: str = "malignancy"
    phases: str = "NAV"
    any_subset: bool = False
    keep_all: Fraction = 0.25
    fusion: Literal["cross-attention", "concatenation"] = "cross-attention"
    width: int = Field(default=64, ge=1)
    dropout: float = Field(default=0.5, ge=0, lt=1)
    class_weights: bool = False
    balance: bool = True
    augmentation: Augmentation = Augmentation(
        crop=False,
        translation_px=22.0,
        rotation_rad=(0.0, 0.0, 0.1745),
        scaling=0.0,
        flip_probability=0.5,
        intensity_scaling=0.0,
        intensity_shift=0.0,
        gamma=1.0,
        gamma_probability=0.0,
    )

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.task not in TWO_CLASS_TASKS:
            raise ValueError(f"task must have two classes, so be one of {', '.join(TWO_CLASS_TASKS)}")
        if not self.phases or self.phases != in_order(self.phases):
            raise ValueError(f"phases must be letters of {LETTERS} in this order, each once")
        change = self.augmentation
        if change.crop or change.jitter_mm or change.slices_lost or any(change.rotation_rad[:2]):
            raise ValueError("augmentation stays in the plane: no crop, jitter_mm, slices_lost, turn about x or y")
        return self

    def changed(self, **values: object) -> Self:
        """A copy with other values, validated.

        Raises:
            ConfigurationError: A value is impossible.
        """
        given = {name: getattr(self, name) for name in self.model_fields_set}
        try:
            return type(self).model_validate({**given, **values})
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            raise ConfigurationError(f"{first['msg'].removeprefix('Value error, ')}.") from error

    @property
    def subsets(self) -> tuple[str, ...]:
        """The parts of the phases that the network reads: all that are not empty, or the whole alone."""
        return tuple(parts(self.phases)) if self.any_subset else (self.phases,)


def in_order(letters: str) -> str:
    """The phases' letters, each once, in the order N, A, V, D; other letters are left out."""
    return "".join(letter for letter in LETTERS if letter in letters)


def phase_letters(text: str) -> str:
    """Phases as typed, in any order and case: ``nav``, ``VA`` or ``N,A,V``.

    Raises:
        ConfigurationError: A letter is none of N, A, V, D, or stands twice.
    """
    typed = text.upper().replace(",", "").replace("+", "").replace(" ", "")
    found = in_order(typed)
    if not typed or len(found) != len(typed):
        raise ConfigurationError(f"Phases are letters of {LETTERS}, each once, for instance NAV, not {text!r}.")
    return found


def parts(letters: str) -> Iterator[str]:
    """Every part of the phases that is not empty, the smaller first."""
    for count in range(1, len(letters) + 1):
        yield from ("".join(chosen) for chosen in combinations(letters, count))
