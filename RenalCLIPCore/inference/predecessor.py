"""The lesion's slices -> what the multi-phase 2-D network of Xiong et al. 2025 says, beside RenalCLIP's reading.

Its map is Grad-CAM on the last stage (cells of 32 pixels), placed as :mod:`.explanation` places its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..imaging.lesion_slice import LesionSlice, SliceSpec
from ..imaging.study import Phase
from ..imaging.volume import Geometry, Volume
from ..review import Absent, BinaryPrediction, Predecessor, Predicted
from ..review_reading import present, verdict
from .explanation import ExplanationMap, place
from .head_readings import probabilities

if TYPE_CHECKING:
    import torch

    from ..models.bundle import Bundle
    from ..models.manifest import MultiphaseEntry, SliceForm
    from ..models.multiphase import MultiphaseNetwork

TASKS = ("malignancy", "aggressiveness")
MINIMUM_COVERAGE = 0.5
STRIDE = 32

Slices = Mapping[Phase, LesionSlice]


@dataclass(frozen=True, eq=False)
class TaskOutput:
    """One network's answer.

    Attributes:
        entry: What the bundle says about it.
        phases: Letters of the phases that were read.
        cells: (1, P, F, x / 32, y / 32) activation after the last stage.
        present: (1, P) phases that were read.
        prediction: The calibrated answer.
        geometry: Grid of the slice.
    """

    entry: MultiphaseEntry
    phases: str
    cells: torch.Tensor
    present: torch.Tensor
    prediction: BinaryPrediction
    geometry: Geometry


def slice_spec(form: SliceForm) -> SliceSpec:
    """How a network wants its slices cut."""
    return SliceSpec(**form.model_dump())


def read_predecessor(
    bundle: Bundle, slices: Mapping[SliceSpec, Slices], predicted: Predicted | Absent
) -> tuple[Predecessor | Absent, dict[str, TaskOutput]]:
    """Read one lesion with the bundle's multi-phase networks.

    Args:
        bundle: Loaded model bundle.
        slices: By how they were cut: the lesion's slice in every phase.
        predicted: RenalCLIP's reading, to compare with.

    Returns:
        The part of the review (its maps absent), and the outputs by task, from which the maps start.
    """
    if not bundle.multiphase:
        return Absent("The model bundle carries no multi-phase network."), {}
    outputs: dict[str, TaskOutput] = {}
    reasons: dict[str, Absent] = {}
    for entry in bundle.manifest.multiphase:
        network = bundle.multiphase[entry.task.name]
        found = _read(bundle, network, entry, slices[slice_spec(entry.slices)])
        if isinstance(found, Absent):
            reasons[entry.task.name] = found
        else:
            outputs[entry.task.name] = found
    if not outputs:
        return next(iter(reasons.values())), {}
    parts = {task: outputs[task].prediction if task in outputs else _reason(reasons, task) for task in TASKS}
    aggressive = parts["aggressiveness"]
    read = "".join(output.phases for output in outputs.values())
    wanted = "".join(output.entry.phases for output in outputs.values())
    geometry = next(iter(outputs.values())).geometry
    middle = geometry.lps([(size - 1) / 2 for size in geometry.size])
    review = Predecessor(
        phases_used=tuple(phase.value for phase in Phase if phase.value in read),
        phases_missing=tuple(phase.value for phase in Phase if phase.value in wanted and phase.value not in read),
        malignancy=parts["malignancy"],
        aggressiveness=aggressive,
        score=aggressive if isinstance(aggressive, Absent) else 10 * aggressive.probability,
        agreement=agreement(parts, predicted),
        slice_centre_lps_mm=(float(middle[0]), float(middle[1]), float(middle[2])),
        explanation=Absent("The maps have not been computed."),
    )
    return review, outputs


def agreement(parts: Mapping[str, BinaryPrediction | Absent], predicted: Predicted | Absent) -> dict[str, str]:
    """Per task that both systems read: whether they lie on the same side of their thresholds."""
    reading = present(predicted)
    found = {}
    for task, part in parts.items():
        mine, other = present(part), present(getattr(reading, task)) if reading else None
        if mine is not None and other is not None:
            found[task] = "agree" if verdict(mine) == verdict(other) else "disagree"
    return found


def explain_predecessor(bundle: Bundle, output: TaskOutput) -> ExplanationMap:
    """Where the evidence for the likelier side of the threshold lies on the slice, averaged over the phases read."""
    import torch

    task, network = output.entry.task, bundle.multiphase[output.entry.task.name]
    chosen = int(verdict(output.prediction) == task.classes[1])
    with torch.enable_grad():
        cells = output.cells.float().detach().requires_grad_(True)
        logits = network.fuse(cells.mean(dim=(3, 4)), output.present)
        (gradient,) = torch.autograd.grad(logits[0, chosen] - logits[0, 1 - chosen], cells)
    weights = gradient.mean(dim=(3, 4), keepdim=True)
    maps = torch.relu((weights * cells.detach()).sum(dim=2))[0]
    mean = maps[output.present[0]].mean(dim=0).double().cpu().numpy()
    size = output.geometry.size
    values = place(mean[:, :, None], STRIDE, size, size)
    peak = output.geometry.lps(np.unravel_index(int(values.argmax()), values.shape))
    return ExplanationMap(
        f"Predecessor, {task.name}: {task.classes[chosen]}",
        f"Grad-CAM on the axial slice, last stage, mean over {', '.join(output.phases)}",
        Volume(values, output.geometry),
        (float(peak[0]), float(peak[1]), float(peak[2])),
    )


def _read(bundle: Bundle, network: MultiphaseNetwork, entry: MultiphaseEntry, slices: Slices) -> TaskOutput | Absent:
    import torch

    covered = {phase.value: item for phase, item in slices.items() if item.inside_fraction >= MINIMUM_COVERAGE}
    there = "".join(letter for letter in entry.phases if letter in covered)
    lacking = "".join(letter for letter in entry.phases if letter not in covered)
    if lacking and not (entry.any_subset and there):
        names = " and ".join(Phase(letter).words for letter in lacking)
        which = "one of the phases" if entry.any_subset else "all of the phases"
        return Absent(
            f"The multi-phase network for {entry.task.name} needs {which} {', '.join(entry.phases)}; this study has no "
            f"{names} phase at the lesion."
        )
    first = covered[there[0]]
    images = torch.zeros(1, len(entry.phases), *first.array.shape)
    for letter in there:
        images[0, entry.phases.index(letter)] = torch.from_numpy(covered[letter].array)
    used = torch.tensor([[letter in there for letter in entry.phases]])
    images, used = images.to(bundle.device), used.to(bundle.device)
    fast = bundle.precision.value == "fast"
    with torch.no_grad():
        with torch.autocast(bundle.device.type, torch.bfloat16, enabled=fast):
            cells = network.cells(images, used)
        cells = cells.float()
        alone = [used, *(_only(entry, letter).to(bundle.device) for letter in there if entry.any_subset)]
        features = cells.mean(dim=(3, 4)).expand(len(alone), -1, -1)
        logits = network.fuse(features, torch.cat(alone)).cpu().numpy()
    found = probabilities(logits, entry.task.temperature)[:, 1]
    own = {letter: float(value) for letter, value in zip(there, found[1:], strict=False)}
    return TaskOutput(entry, there, cells, used, _prediction(entry, float(found[0]), own), first.geometry)


def _prediction(entry: MultiphaseEntry, probability: float, per_phase: dict[str, float]) -> BinaryPrediction:
    task = entry.task
    return BinaryPrediction(
        task=task.name,
        positive=task.classes[1],
        negative=task.classes[0],
        probability=probability,
        threshold=task.threshold,
        calibration=(
            f"temperature {task.temperature:.3g}: {task.temperature_source}; "
            f"threshold {task.threshold:.3g}: {task.threshold_source}"
        ),
        per_phase=per_phase,
    )


def _only(entry: MultiphaseEntry, letter: str) -> Any:
    import torch

    return torch.tensor([[other == letter for other in entry.phases]])


def _reason(reasons: Mapping[str, Absent], task: str) -> Absent:
    return reasons.get(task, Absent(f"The model bundle has no multi-phase network for {task}."))
