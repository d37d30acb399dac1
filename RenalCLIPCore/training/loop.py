"""The one training loop. It never asks which task it trains: a task is a model, a loss and two methods.

A run's folder holds ``configuration.yaml``, ``learnt-from.json`` where there are terms or groups to hand on,
``log.jsonl``, ``checkpoints/step-*.pt`` (everything that is needed to go on bit for bit) and ``best.pt`` (the weights
with the best validation score). Parameters that are not trained are in neither: they come from where the run started.
Of several processes (``training.distribution``) the first writes.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor, nn

from ..errors import ConfigurationError, TrainingError
from ..output import write_text
from ..progress import Progress
from . import checkpoints, distribution
from .distribution import ALONE, Ranks
from .learnt_from import NOTHING, LearntFrom
from .normalisation import fix_statistics, synchronise
from .run_log import LOG_FILE, RunLog
from .stage import CONFIGURATION_FILE, Optimiser, Schedule, Stage

BEST_FILE = "best.pt"
CHECKPOINT_FOLDER = "checkpoints"


class HasCases(Protocol):
    """A batch: anything that can name its cases."""

    @property
    def case_ids(self) -> tuple[str, ...]:
        """Case of each sample."""


In = TypeVar("In", bound=HasCases, contravariant=True)
Out = TypeVar("Out", bound=HasCases, covariant=True)


@dataclass(frozen=True, eq=False)
class Step:
    """What a task returns for a training batch: the loss to minimise, and figures for the log.

    With several processes the loss is this one's share: the shares add up to the loss of the global batch.
    """

    loss: Tensor
    figures: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Validation:
    """What a task returns for the validation split: one score (higher is better), and figures for the log."""

    score: float
    figures: Mapping[str, float] = field(default_factory=dict)


class TrainingTask(Protocol[In]):
    """What is trained."""

    @property
    def model(self) -> nn.Module:
        """All parameters and buffers of the task."""

    def training_step(self, batch: In) -> Step:
        """Forward pass and loss of one batch; the model is in training mode."""

    def validate(self, batches: Iterable[In]) -> Validation:
        """Score of the validation split; the model is in evaluation mode and gradients are off."""


class TrainingData(Protocol[Out]):
    """What it is trained on. The batches of an epoch depend on the epoch's number and the configuration alone.

    With several processes the batches are this one's part of the global ones.
    """

    @property
    def batches_per_epoch(self) -> int:
        """Number of training batches in every epoch."""

    def training(self, epoch: int, start: int, device: torch.device) -> Iterator[Out]:
        """Training batches of an epoch from the ``start``-th on."""

    def validation(self, device: torch.device) -> Iterator[Out]:
        """Batches of the validation split."""


@dataclass
class _Position:
    """Where the run stands: the next batch of the epoch, and the steps done."""

    epoch: int = 0
    batch: int = 0
    step: int = 0
    best_score: float = -math.inf
    best_epoch: int = -1


@dataclass(frozen=True)
class RunResult:
    """A finished run: its folder, steps done, and the best validation score with its epoch (counted from 0)."""

    folder: Path
    steps: int
    best_score: float
    best_epoch: int


class Trainer:
    """Trains a task and keeps its run folder.

    Args:
        task: What is trained.
        data: What it is trained on.
        configuration: Of the stage.
        folder: Of the run; made when it is not there.
        data_digest: Hash of the data's split; a run is only resumed on the same data.
        origin_digest: Hash of the weights that the model starts from, where they are not drawn.
        ranks: This process among those of the run.
        sources: What the data, and the weights that the model starts from, were learnt from.

    Raises:
        ConfigurationError: A global batch cannot be shared out evenly.
    """

    def __init__(
        self,
        task: TrainingTask[Any],
        data: TrainingData[Any],
        configuration: Stage,
        folder: Path,
        data_digest: str = "",
        origin_digest: str = "",
        ranks: Ranks = ALONE,
        sources: LearntFrom = NOTHING,
    ) -> None:
        self.task = task
        self.data = data
        self.configuration = configuration
        self.folder = folder
        self.identity = {"configuration": configuration.digest, "data": data_digest, "origin": origin_digest}
        self.ranks = ranks
        self.sources = sources
        self.device = ranks.device(configuration.device)
        self.log = RunLog(folder, ranks.first)
        if configuration.batch_norm == "synchronised":
            synchronise(task.model, ranks, self.device)
        task.model.to(self.device)
        self.total_steps = configuration.epochs * data.batches_per_epoch
        self.optimiser = make_optimiser(task.model, configuration.optimiser)
        self.schedule = make_schedule(self.optimiser, configuration.schedule, self.total_steps)
        self.position = _Position()

    def fit(self, *, resume: bool = False, progress: Progress | None = None) -> RunResult:
        """Train to the end, from the beginning or from the newest checkpoint.

        Raises:
            TrainingError: The folder holds a run and ``resume`` is off, the checkpoint is of another configuration,
                cohort or number of processes, a loss or gradient is not finite (the log names the batch), or another
                process of the run has ended.
            Cancelled: From ``progress``; the checkpoints stay.
        """
        self._enter(resume)
        while self.position.epoch < self.configuration.epochs:
            self._epoch(progress)
            self._end_epoch()
        self.log.close()
        done = self.position
        return RunResult(self.folder, done.step, done.best_score, done.best_epoch)

    def _enter(self, resume: bool) -> None:
        newest = distribution.told_to_all(checkpoints.newest(self.folder / CHECKPOINT_FOLDER))
        if newest and not resume:
            raise TrainingError(f"{self.folder.name} already holds a run; go on with --resume or take another folder.")
        if newest:
            self._restore(checkpoints.load(newest), newest.name)
            self._log("resumed", checkpoint=newest.name)
            return
        if self.ranks.first:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_text(self.folder / CONFIGURATION_FILE, self.configuration.to_yaml())
            self.sources.keep(self.folder)
        # what the processes draw differs (dropout); what they start from does not
        torch.manual_seed(self.configuration.seed + self.ranks.rank)
        distribution.equalise(self.task.model)
        self._log("started", steps=self.total_steps, processes=self.ranks.count, **self.identity)

    def _epoch(self, progress: Progress | None) -> None:
        self.task.model.train()
        at, settings = self.position, self.configuration
        if settings.batch_norm == "fixed":
            fix_statistics(self.task.model)
        for batch in self.data.training(at.epoch, at.batch, self.device):
            started = time.perf_counter()
            step, loss = self._forward(batch)
            self._expect_finite("loss", loss, batch)
            norm = self._backward(step.loss)
            self._expect_finite("gradient", norm, batch)
            self.optimiser.step()
            self.schedule.step()
            at.step, at.batch = at.step + 1, at.batch + 1
            rate = self.schedule.get_last_lr()[0]
            seconds = round(time.perf_counter() - started, 4)
            figures = {name: round(value, 6) for name, value in step.figures.items()}
            self._log("step", loss=loss, gradient_norm=norm, learning_rate=rate, seconds=seconds, **figures)
            if settings.checkpoints.every_steps and at.step % settings.checkpoints.every_steps == 0:
                self._checkpoint()
            if progress:
                progress(at.step / self.total_steps, f"epoch {at.epoch + 1} of {settings.epochs}")

    def _forward(self, batch: Any) -> tuple[Step, float]:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.configuration.precision == "bf16"):
            step = self.task.training_step(batch)
        return step, distribution.total_number(float(step.loss.detach()))

    def _backward(self, loss: Tensor) -> float:
        """Gradients of the global batch, clipped; the result is their norm before."""
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        distribution.add_gradients(self.task.model.parameters())
        found = [p for p in self.task.model.parameters() if p.grad is not None]
        norm = nn.utils.get_total_norm([p.grad for p in found if p.grad is not None])
        if self.configuration.optimiser.clip_norm is not None:
            nn.utils.clip_grads_with_norm_(found, self.configuration.optimiser.clip_norm, norm)
        return float(norm)

    def _expect_finite(self, what: str, value: float, batch: Any) -> None:
        if math.isfinite(value):
            return
        cases = [case for own in distribution.everyones(list(batch.case_ids)) for case in own]
        self._log(f"{what} not finite", loss=str(value), cases=cases)
        raise TrainingError(
            f"The {what} is not finite in epoch {self.position.epoch + 1}, batch {self.position.batch + 1}; "
            f"the cases of that batch are named in the last line of {self.folder.name}/{LOG_FILE}."
        )

    def _end_epoch(self) -> None:
        at = self.position
        last = at.epoch + 1 == self.configuration.epochs
        if last or (at.epoch + 1) % self.configuration.validate_every == 0:
            self._validate()
        at.epoch, at.batch = at.epoch + 1, 0
        self._checkpoint()

    def _validate(self) -> None:
        # the first process validates, the others wait for its answer
        result = distribution.told_to_all(self._scored() if self.ranks.first else None)
        if result is None:
            raise ValueError("the first process sends its validation")
        at = self.position
        best = result.score > at.best_score
        self._log("validation", score=result.score, best=best, **result.figures)
        if best:
            at.best_score, at.best_epoch = result.score, at.epoch
            if self.ranks.first:
                self._keep_best(result.score)

    def _scored(self) -> Validation:
        self.task.model.eval()
        with (
            torch.no_grad(),
            torch.autocast(self.device.type, torch.bfloat16, enabled=self.configuration.precision == "bf16"),
        ):
            return self.task.validate(self.data.validation(self.device))

    def _keep_best(self, score: float) -> None:
        model = checkpoints.trained_state(self.task.model)
        content = {"model": model, "score": score, "epoch": self.position.epoch, **self.identity}
        checkpoints.save(content, self.folder / BEST_FILE)

    def _checkpoint(self) -> None:
        # every process has random states of its own
        states = distribution.everyones(checkpoints.random_states())
        if not self.ranks.first:
            return
        content = {
            "model": checkpoints.trained_state(self.task.model),
            "optimiser": self.optimiser.state_dict(),
            "schedule": self.schedule.state_dict(),
            "position": vars(self.position),
            "random": states,
            **self.identity,
        }
        folder = self.folder / CHECKPOINT_FOLDER
        checkpoints.save_step(content, folder, self.position.step, self.configuration.checkpoints.keep)

    def _restore(self, content: dict[str, Any], name: str) -> None:
        for part, value in self.identity.items():
            if content[part] != value:
                raise TrainingError(f"{name} belongs to another {part}; resume with what the run began with.")
        if len(content["random"]) != self.ranks.count:
            raise TrainingError(f"{name} is of {len(content['random'])} processes; resume with as many.")
        checkpoints.load_trained_state(self.task.model, content["model"])
        self.optimiser.load_state_dict(content["optimiser"])
        self.schedule.load_state_dict(content["schedule"])
        self.position = _Position(**content["position"])
        checkpoints.restore_random_states(content["random"][self.ranks.rank])

    def _log(self, event: str, **values: Any) -> None:
        at = self.position
        self.log.write({"event": event, "epoch": at.epoch, "step": at.step, "time": round(time.time(), 3), **values})


def make_optimiser(model: nn.Module, settings: Optimiser) -> torch.optim.AdamW:
    """AdamW over the parameters that are trained, in one group per learning rate.

    Raises:
        ConfigurationError: A learning rate is given for names that no parameter begins with.
    """
    names = [name for name, _ in model.named_parameters()]
    for prefix in settings.learning_rates:
        if not any(name.startswith(prefix) for name in names):
            there = ", ".join(dict.fromkeys(name.split(".")[0] for name in names))
            raise ConfigurationError(
                f"optimiser.learning_rates names {prefix!r}, but the parameters begin with {there}; correct the name."
            )
    groups: dict[str, list[Tensor]] = {"": []}
    prefixes = sorted(settings.learning_rates, key=len, reverse=True)
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            prefix = next((p for p in prefixes if name.startswith(p)), "")
            groups.setdefault(prefix, []).append(parameter)
    arguments: list[dict[str, Any]] = [
        {"params": parameters, "lr": settings.learning_rates.get(prefix, settings.learning_rate)}
        for prefix, parameters in groups.items()
        if parameters
    ]
    return torch.optim.AdamW(arguments, betas=settings.betas, weight_decay=settings.weight_decay)


def make_schedule(
    optimiser: torch.optim.Optimizer, settings: Schedule, steps: int
) -> torch.optim.lr_scheduler.LambdaLR:
    """Factor of the learning rate per step: linear warm-up, then cosine or linear to zero, or constant."""
    warm_up = round(settings.warm_up * steps)

    def factor(step: int) -> float:
        if step < warm_up:
            return (step + 1) / warm_up
        done = min((step - warm_up) / max(steps - warm_up, 1), 1.0)
        return {"cosine": 0.5 * (1 + math.cos(math.pi * done)), "linear": 1 - done, "constant": 1.0}[settings.shape]

    return torch.optim.lr_scheduler.LambdaLR(optimiser, factor)
