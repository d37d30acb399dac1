"""What the classification heads say: nephrometry components, their total, and the tasks of two classes."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..review import Absent, BinaryPrediction, ClassProbability, ComponentPrediction, NephrometryTotal
from .network_output import NetworkOutput

if TYPE_CHECKING:
    from ..models.bundle import Bundle
    from ..models.manifest import Task

Array = npt.NDArray[np.floating[Any]]

NEPHROMETRY = {"renal_r": "R", "renal_e": "E", "renal_n": "N", "renal_a": "A", "renal_l": "L", "renal_h": "h"}
SUFFIXES = {"anterior": "a", "posterior": "p", "neither": "x"}
_SCORED = ("R", "E", "N", "L")


def probabilities(logits: npt.ArrayLike, temperature: float) -> Array:
    """Calibrated class probabilities: softmax of logits (..., classes) over a temperature (Guo et al. 2017)."""
    scaled = np.asarray(logits, dtype=np.float64) / temperature
    raised = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=-1, keepdims=True))


def components(bundle: Bundle, output: NetworkOutput) -> tuple[ComponentPrediction, ...] | Absent:
    """The nephrometry components that the bundle predicts."""
    tasks = [task for task in bundle.manifest.tasks if task.name in NEPHROMETRY and task.kind == "classification"]
    if not tasks:
        return Absent("The model bundle predicts no nephrometry components.")
    order = list(NEPHROMETRY)
    return tuple(_component(task, output) for task in sorted(tasks, key=lambda task: order.index(task.name)))


def total(found: tuple[ComponentPrediction, ...] | Absent) -> NephrometryTotal | Absent:
    """Sum of the points of the most probable classes of R, E, N and L, with the suffixes of A and h.

    The probabilities of low (4 to 6), moderate (7 to 9) and high (10 to 12) complexity are those of the sum of
    independent components.
    """
    if isinstance(found, Absent):
        return found
    by_letter = {item.component: item for item in found}
    missing = [letter for letter in _SCORED if letter not in by_letter or not _has_points(by_letter[letter])]
    if missing:
        return Absent(f"The model bundle gives no points for {', '.join(missing)}.")
    scored = [by_letter[letter] for letter in _SCORED]
    score = sum(item.classes[item.predicted].points for item in scored)
    face = by_letter.get("A")
    suffix = SUFFIXES.get(face.classes[face.predicted].name, "") if face else ""
    hilum = by_letter.get("h")
    suffix += "h" if hilum and hilum.classes[hilum.predicted].name == "hilar" else ""
    return NephrometryTotal(score, f"{score}{suffix}", complexity(score), complexity_probabilities(scored))


def complexity(score: int) -> str:
    """``low`` (4 to 6), ``moderate`` (7 to 9) or ``high`` (10 to 12) (Kutikov and Uzzo 2009)."""
    return "low" if score <= 6 else "moderate" if score <= 9 else "high"


def complexity_probabilities(scored: list[ComponentPrediction]) -> dict[str, float]:
    """Probability of each complexity group when the components are independent."""
    sums = {0: 1.0}
    for item in scored:
        following: dict[int, float] = {}
        for (points, weight), one in itertools.product(sums.items(), item.classes):
            following[points + one.points] = following.get(points + one.points, 0.0) + weight * one.probability
        sums = following
    groups = {"low": 0.0, "moderate": 0.0, "high": 0.0}
    for points, weight in sums.items():
        groups[complexity(points)] += weight
    return groups


def binary(bundle: Bundle, output: NetworkOutput, task_name: str) -> BinaryPrediction | Absent:
    """A task of two classes; the second class is the positive one."""
    task = bundle.manifest.task(task_name)
    if task is None or task.kind != "classification" or len(task.classes) != 2:
        return Absent(f"The model bundle does not predict {task_name}.")
    fused = probabilities(output.fused_logits(task.name), task.temperature)
    per_phase = probabilities(output.logits[task.name], task.temperature)
    return BinaryPrediction(
        task=task.name,
        positive=task.classes[1],
        negative=task.classes[0],
        probability=float(fused[1]),
        threshold=task.threshold,
        calibration=(
            f"temperature {task.temperature:.3g}: {task.temperature_source}; "
            f"threshold {task.threshold:.3g}: {task.threshold_source}"
        ),
        per_phase={phase: float(row[1]) for phase, row in zip(output.fused, per_phase, strict=True)},
    )


def _component(task: Task, output: NetworkOutput) -> ComponentPrediction:
    fused = probabilities(output.fused_logits(task.name), task.temperature)
    per_phase = probabilities(output.logits[task.name], task.temperature)
    points = task.points or (0,) * len(task.classes)
    classes = zip(task.classes, points, fused, strict=True)
    return ComponentPrediction(
        component=NEPHROMETRY[task.name],
        classes=tuple(ClassProbability(name, point, float(value)) for name, point, value in classes),
        predicted=int(fused.argmax()),
        per_phase={phase: tuple(map(float, row)) for phase, row in zip(output.fused, per_phase, strict=True)},
    )


def _has_points(item: ComponentPrediction) -> bool:
    return all(one.points > 0 for one in item.classes)
