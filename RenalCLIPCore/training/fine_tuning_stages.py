"""Configurations of supervised training: many tasks at once, one task, survival. Defaults: paper, 4.4.3."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, Self

from pydantic import Field, model_validator

from ..cohort.augmentation import Augmentation
from ..cohort.table import DESCRIPTOR_CLASSES, EVERY_TASK_CLASSES, TASK_CLASSES
from ..errors import ConfigurationError
from .stage import Encoder, Heads, Optimiser, Part, Positive, Stage

SURVIVAL_TASK: Final = "rfs"
CENTRE_DENSITY: Final = "centre_density"
KNOWN_TASKS: Final = (*EVERY_TASK_CLASSES, SURVIVAL_TASK)

Network = Literal["renalclip", "ct-fm", "merlin", "ct-clip"]
Fusion = Literal["random-phase", "arterial-else-venous"]

_FAST, _SLOW = (5e-4, 1e-4, 5e-5, 1e-5), (1e-4, 5e-5, 1e-5)
# learning rates and batch sizes that the paper searched, by network
_SEARCHED: Final[Mapping[str, tuple[tuple[float, ...], tuple[int, ...]]]] = {
    "renalclip": (_FAST, (50, 100, 150)),
    "ct-fm": (_FAST, (50, 100)),
    "merlin": (_SLOW, (16,)),
    "ct-clip": (_SLOW, (8,)),
}
# what the search chose for RenalCLIP (public training code)
_CHOSEN: Final[Mapping[str, tuple[float, int]]] = {
    "renal_r": (5e-5, 150),
    "renal_e": (1e-5, 50),
    "renal_n": (5e-5, 100),
    "renal_a": (1e-5, 50),
    "renal_l": (1e-5, 100),
    "renal_h": (5e-4, 50),
    "malignancy": (1e-5, 150),
    "aggressiveness": (1e-5, 100),
    "rfs": (1e-5, 150),
}


class SupervisedStage(Stage):
    """Supervised training of one encoder with a head per task.

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
        if not self.tasks or len(set(self.tasks)) != len(self.tasks):
            raise ValueError("tasks must name at least one task, each once")
        for name in (*self.tasks, *self.balance):
            if name not in KNOWN_TASKS:
                raise ValueError(f"unknown task {name!r}; known are {', '.join(KNOWN_TASKS)}")
        if SURVIVAL_TASK in self.balance:
            raise ValueError(f"{SURVIVAL_TASK} has no classes to balance")
        for name in self.descriptors:
            if name not in DESCRIPTOR_CLASSES or self.descriptors.count(name) > 1:
                raise ValueError(f"unknown or repeated descriptor {name!r}; known are {', '.join(DESCRIPTOR_CLASSES)}")
        trained = (*self.tasks, *self.descriptors, *([CENTRE_DENSITY] if self.centre_density else []))
        for name in self.weights:
            if name not in trained:
                raise ValueError(f"a weight is given for {name!r}, which is not trained")
        return self


class MultitaskConfiguration(SupervisedStage):
    """All tasks at once, one random available phase per patient and step."""

    stage: Literal["multitask"] = "multitask"


class Grid(Part):
    """What a grid search tries: every learning rate with every batch size."""

    learning_rate: tuple[Positive, ...] = Field(min_length=1)
    batch_size: tuple[int, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _batches(self) -> Self:
        if min(self.batch_size) < 2:
            raise ValueError("batch_size must be at least 2")
        return self


class FineTuningStage(SupervisedStage):
    """Fine-tuning on one task, from a pre-trained encoder, from scratch, or with a frozen encoder.

    Attributes:
        network: ``renalclip``, also for a network from scratch; or a comparison model with weights from elsewhere.
        phases: ``arterial-else-venous``: each case in its arterial phase, else its venous one; ``random-phase``: one
            random available phase per patient and step, and late fusion over all of them.
        fraction: Share of the labelled training patients; smaller ones are parts of larger ones of the same seed.
        grid: What a grid search tries; None is what the paper searched for the network.
    """

    epochs: int = Field(default=100, ge=1)
    batch_size: int = Field(default=150, ge=2)
    optimiser: Optimiser = Optimiser(learning_rate=5e-5)
    network: Network = "renalclip"
    phases: Fusion = "arterial-else-venous"
    fraction: float = Field(default=1.0, gt=0, le=1)
    grid: Grid | None = None
    augmentation: Augmentation = Augmentation(flip_probability=0.5)

    @model_validator(mode="after")
    def _one_task(self) -> Self:
        if len(self.tasks) != 1:
            raise ValueError("tasks must name one task; several at once are the stage multitask")
        if set(self.balance) - set(self.tasks) or SURVIVAL_TASK in self.balance:
            raise ValueError("balance can only name the classification task that is trained")
        return self

    @property
    def task(self) -> str:
        """The task that is trained."""
        return self.tasks[0]

    @property
    def searched(self) -> Grid:
        """What a grid search tries."""
        rates, sizes = _SEARCHED[self.network]
        return self.grid or Grid(learning_rate=rates, batch_size=sizes)

    def changed(self, **values: object) -> Self:
        """A copy with other values, validated."""
        given = {name: getattr(self, name) for name in type(self).model_fields if name in self.model_fields_set}
        return type(self).model_validate({**given, **values})

    def for_task(self, name: str) -> Self:
        """The configuration of a task: with class-balanced sampling unless ``balance`` is given as empty.

        Where learning rate and batch size are not given they are those that the paper's search chose for the task; for
        a comparison model, of which they are not known, the first that it tried.

        Raises:
            ConfigurationError: There is no such task.
        """
        if name not in KNOWN_TASKS:
            raise ConfigurationError(f"There is no task {name!r}; tasks are {', '.join(KNOWN_TASKS)}.")
        unbalanced = name == SURVIVAL_TASK or ("balance" in self.model_fields_set and not self.balance)
        changes: dict[str, object] = {"tasks": (name,), "balance": () if unbalanced else (name,)}
        tried = self.searched
        rate, size = _CHOSEN[name] if self.network == "renalclip" else (tried.learning_rate[0], tried.batch_size[0])
        if "batch_size" not in self.model_fields_set:
            changes["batch_size"] = size
        if "optimiser" not in self.model_fields_set:
            changes["optimiser"] = self.optimiser.model_copy(update={"learning_rate": rate})
        own = {task: weight for task, weight in self.weights.items() if task == name or task not in KNOWN_TASKS}
        return self.changed(**changes, weights=own)


class TaskConfiguration(FineTuningStage):
    """Fine-tuning on one classification task."""

    stage: Literal["task"] = "task"
    tasks: tuple[str, ...] = ("malignancy",)
    balance: tuple[str, ...] = ("malignancy",)


class SurvivalConfiguration(FineTuningStage):
    """Fine-tuning on recurrence-free survival: Cox partial likelihood over the malignant cases of a batch."""

    stage: Literal["survival"] = "survival"
    batch_size: int = Field(default=150, ge=2)
    optimiser: Optimiser = Optimiser(learning_rate=1e-5)
    tasks: tuple[str, ...] = (SURVIVAL_TASK,)
    balance: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _survival(self) -> Self:
        if self.task != SURVIVAL_TASK:
            raise ValueError("the survival stage trains rfs alone; other tasks are the stage task")
        return self
