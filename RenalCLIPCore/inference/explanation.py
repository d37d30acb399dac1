"""3-D Grad-CAM in patient space (Selvaraju et al. 2017).

A cell i of a stage's activation has its receptive field centred on voxel ``stride * i`` of the network's input, and the
map is placed accordingly (not as if the cells tiled the input).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..imaging.volume import Float3, Geometry, Volume
from ..review import Absent
from .network_output import KEPT_STAGE, NetworkOutput
from .prediction import Reading

if TYPE_CHECKING:
    import torch

    from ..models.bundle import Bundle
    from ..models.encoder import RenalEncoder

Array = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True, eq=False)
class ExplanationMap:
    """A Grad-CAM of one task.

    Attributes:
        task: Task and class in words.
        method: In words.
        volume: On the grid of the region of interest, float32 in 0 to 1; all 0 where nothing speaks for the class.
        peak_lps_mm: Position of the maximum.
    """

    task: str
    method: str
    volume: Volume
    peak_lps_mm: Float3


def explain(
    bundle: Bundle,
    reading: Reading,
    task_name: str,
    geometry: Geometry,
    *,
    class_index: int | None = None,
    stage: int = 4,
) -> ExplanationMap:
    """Where the evidence for a class lies, averaged over the fused phases.

    Args:
        bundle: The bundle that made ``reading``.
        reading: Of the region of interest.
        task_name: A task of the bundle.
        geometry: Grid of the region of interest, axes (x, y, z) as read.
        class_index: Class to explain; the most probable one when None. For survival the score is explained.
        stage: 4, the last (cells of 32 voxels), or 3 (cells of 16 voxels).

    Raises:
        ValueError: The stage is neither, or the bundle has no such task.
    """
    task = bundle.manifest.task(task_name)
    if task is None or stage not in (KEPT_STAGE, KEPT_STAGE + 1):
        raise ValueError(f"no task {task_name!r} or no stage {stage}")
    if class_index is None:
        class_index = int(reading.output.fused_logits(task_name).argmax())
    cells = _class_activation(bundle, reading.output, task_name, class_index, stage)
    values = place(cells, 2 ** (stage + 1), bundle.manifest.preprocessing.input_shape, geometry.size)
    peak = geometry.lps(np.unravel_index(int(values.argmax()), values.shape))
    what = task.classes[class_index] if task.classes else "risk of recurrence"
    layer = "last stage" if stage == KEPT_STAGE + 1 else f"stage {stage}"
    return ExplanationMap(
        f"{task_name}: {what}",
        f"Grad-CAM, {layer}, mean over {', '.join(reading.output.fused)}",
        Volume(values, geometry),
        (float(peak[0]), float(peak[1]), float(peak[2])),
    )


def place(cells: Array, stride: int, input_shape: tuple[int, int, int], size: tuple[int, int, int]) -> Array:
    """Cells (x, y, z) -> (size) voxels of the region of interest, float32 scaled to a maximum of 1.

    Between the centres of the cells the map is linear, beyond the outer ones constant.
    """
    values = np.asarray(cells, dtype=np.float64)
    for axis in range(3):
        margin = (size[axis] - input_shape[axis]) // 2
        position = (np.arange(size[axis]) - margin) / stride
        weights = np.clip(1.0 - np.abs(position[:, None] - np.arange(values.shape[axis])), 0.0, None)
        weights[position <= 0, 0] = 1.0
        weights[position >= values.shape[axis] - 1, -1] = 1.0
        values = np.moveaxis(np.tensordot(weights, values, axes=(1, axis)), 0, axis)
    largest = float(values.max())
    return (values / largest if largest > 0 else values).astype(np.float32)


def share_inside(explanation: ExplanationMap, mask: Volume) -> float | Absent:
    """Share of the map's mass inside a mask (nonzero voxels) on any grid."""
    from scipy.ndimage import map_coordinates

    volume = explanation.volume
    mass = float(volume.array.sum()) * volume.geometry.voxel_volume_ml
    if mass <= 0:
        return Absent("The explanation map is empty.")
    indices = np.argwhere(mask.array)
    if not len(indices):
        return Absent("The lesion has no mask.")
    positions = volume.geometry.index(mask.geometry.lps(indices))
    inside = np.all((positions > -0.5) & (positions < np.asarray(volume.geometry.size) - 0.5), axis=1)
    values = map_coordinates(volume.array, positions[inside].T, order=1, mode="nearest")
    return min(1.0, float(values.sum()) * mask.geometry.voxel_volume_ml / mass)


def _class_activation(bundle: Bundle, output: NetworkOutput, task: str, class_index: int, stage: int) -> Array:
    """(x, y, z) cells: mean over the fused phases of the rectified, gradient-weighted activation."""
    import torch

    own = task in bundle.task_encoders
    encoder = bundle.task_encoders[task] if own else bundle.encoder
    kept = output.activations[task if own else ""]
    if not own:
        kept = kept[[output.phases.index(phase) for phase in output.fused]]
    with torch.enable_grad():
        activation = _at_stage(encoder, kept, stage).detach().requires_grad_(True)
        logits = bundle.heads[task](encoder.features_after(activation, stage))
        (gradient,) = torch.autograd.grad(logits[:, class_index].sum(), activation)
    weights = gradient.mean(dim=(2, 3, 4), keepdim=True)
    cells = torch.relu((weights * activation.detach()).sum(dim=1)).mean(dim=0)
    return np.asarray(cells.permute(1, 2, 0).cpu().numpy(), dtype=np.float64)


def _at_stage(encoder: RenalEncoder, kept: torch.Tensor, stage: int) -> torch.Tensor:
    import torch

    with torch.no_grad():
        return encoder.layer4(kept) if stage == KEPT_STAGE + 1 else kept
