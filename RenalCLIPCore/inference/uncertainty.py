"""How much a reading moves when phases, small augmentations and the centre do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..errors import CentreError
from ..progress import Progress
from ..review import Absent, Point, TaskSpread, Uncertainty
from .head_readings import probabilities
from .network_output import NetworkOutput, run_networks
from .prediction import Reading
from .risk import survival_curve

if TYPE_CHECKING:
    from ..models.bundle import Bundle

Rois = Mapping[str, npt.NDArray[np.float32]]
Array = npt.NDArray[np.floating[Any]]

SHIFT_VOXELS = 4
INTENSITY_SCALE = 0.05
INTENSITY_SHIFT = 0.02
_ATTEMPTS_PER_CENTRE = 4


def uncertainty(
    bundle: Bundle,
    reading: Reading,
    rois: Rois,
    cut: Callable[[Point], Rois],
    centre_lps_mm: Point,
    *,
    augmentations: int = 8,
    centres: int = 8,
    jitter_mm: float = 3.0,
    seed: int = 0,
    progress: Progress | None = None,
) -> Uncertainty | Absent:
    """Standard deviations of every task's probability.

    The probability is that of the class that ``reading`` finds most probable; for recurrence it is the recurrence-free
    probability at the end of the stored curve. Augmentations shift by up to 4 voxels in the axial plane and change
    the intensities a little, alike in all phases; they never mirror, as left and right must not swap.

    Args:
        bundle: The bundle that made ``reading``.
        reading: At the centre used.
        rois: What it was made from.
        cut: Regions of interest around another centre (LPS mm); may raise CentreError.
        centre_lps_mm: The centre used.
        augmentations: Number of augmented readings, at least 2.
        centres: Number of jittered centres, at least 2; those outside the volume are drawn again.
        jitter_mm: Standard deviation of the jitter along each axis.
        seed: Of all draws.
        progress: Told before every reading; raises Cancelled to stop.

    Raises:
        CentreError: Hardly any jittered centre lies in the volume.
    """
    generator = np.random.default_rng(seed)
    watched = _watched(bundle, reading.output)
    if not watched:
        return Absent("The model bundle has no task with probabilities.")
    steps = augmentations + centres
    augmented = []
    for number in range(augmentations):
        _tell(progress, number / steps, "augmentations")
        augmented.append(_watch(bundle, run_networks(bundle, augment(rois, generator)), watched))
    moved = []
    for number, shifted in enumerate(_jittered(cut, centre_lps_mm, centres, jitter_mm, generator)):
        _tell(progress, (augmentations + number) / steps, "jittered centres")
        moved.append(_watch(bundle, run_networks(bundle, shifted), watched))
    over_augmentations, over_centres = np.std(augmented, axis=0), np.std(moved, axis=0)
    tasks = tuple(
        TaskSpread(task, spread_over_phases(bundle, reading.output, task), float(first), float(second))
        for task, first, second in zip(watched, over_augmentations, over_centres, strict=True)
    )
    return Uncertainty(tasks, augmentations, len(moved), jitter_mm)


def augment(rois: Rois, generator: np.random.Generator) -> dict[str, npt.NDArray[np.float32]]:
    """Shift all phases alike by whole voxels in the axial plane (edges repeated) and change their intensities alike."""
    dx, dy = generator.integers(-SHIFT_VOXELS, SHIFT_VOXELS + 1, size=2)
    scale = 1.0 + generator.uniform(-INTENSITY_SCALE, INTENSITY_SCALE)
    offset = generator.uniform(-INTENSITY_SHIFT, INTENSITY_SHIFT)
    result = {}
    for phase, roi in rois.items():
        x = np.clip(np.arange(roi.shape[0]) + dx, 0, roi.shape[0] - 1)
        y = np.clip(np.arange(roi.shape[1]) + dy, 0, roi.shape[1] - 1)
        result[phase] = np.clip(roi[x][:, y] * scale + offset, 0.0, 1.0).astype(np.float32)
    return result


def spread_over_phases(bundle: Bundle, output: NetworkOutput, task: str) -> float | Absent:
    """Standard deviation over the phases of the probability of the fused most probable class."""
    if len(output.fused) < 2:
        return Absent("Only one phase is used.")
    values = [_probability(bundle, task, row, output.fused_logits(task)) for row in output.logits[task]]
    return float(np.std(values))


def _watched(bundle: Bundle, output: NetworkOutput) -> dict[str, Array]:
    """The tasks whose probability can be watched, with the logits that fix the class."""
    manifest = bundle.manifest
    curve = manifest.risk.task if manifest.risk else ""
    tasks = [task.name for task in manifest.tasks if task.kind == "classification" or task.name == curve]
    return {task: output.fused_logits(task) for task in tasks}


def _watch(bundle: Bundle, output: NetworkOutput, watched: Mapping[str, Array]) -> list[float]:
    return [_probability(bundle, task, output.fused_logits(task), fixed) for task, fixed in watched.items()]


def _probability(bundle: Bundle, name: str, logits: Array, fixed: Array) -> float:
    task, risk = bundle.manifest.task(name), bundle.manifest.risk
    if task is None:
        raise ValueError(f"no task {name!r}")
    if task.kind == "survival" and risk is not None:
        return float(survival_curve(risk.baseline_cumulative_hazard[-1:], float(logits[0]))[0])
    return float(probabilities(logits, task.temperature)[int(np.argmax(fixed))])


def _jittered(
    cut: Callable[[Point], Rois], centre: Point, count: int, jitter_mm: float, generator: np.random.Generator
) -> Iterator[Rois]:
    found = 0
    for _ in range(_ATTEMPTS_PER_CENTRE * count):
        if found == count:
            return
        x, y, z = np.asarray(centre) + generator.normal(0.0, jitter_mm, size=3)
        try:
            rois = cut((float(x), float(y), float(z)))
        except CentreError:
            continue
        found += 1
        yield rois
    if found < 2:
        raise CentreError("The centre lies so near the edge of the volume that it cannot be moved; choose another one.")


def _tell(progress: Progress | None, fraction: float, words: str) -> None:
    if progress is not None:
        progress(fraction, words)
