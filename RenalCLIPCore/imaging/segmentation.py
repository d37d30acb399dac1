"""Kidney, tumour and cyst masks of a CT: by a trained nnU-Net model, kidneys first, or from a given file.

torch and nnunetv2 are imported inside the functions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..errors import ConfigurationError, InputError
from ..progress import Progress
from .kidney_boxes import Box, body_middle, disjoint_parts, find_boxes, grown, one_patch
from .mask_labels import CYST, KIDNEY, TUMOUR
from .nnunet_model import SegmentationModel
from .orientation import from_canonical, to_canonical, to_storage
from .segmentation_file import Segmentation, load_segmentation
from .strays import without_strays
from .volume import Float3, Geometry, Volume

if TYPE_CHECKING:
    from .nnunet_predictor import Runner

__all__ = [
    "CYST",
    "KIDNEY",
    "TUMOUR",
    "SegmentOptions",
    "Segmentation",
    "SegmentationModel",
    "load_segmentation",
    "segment",
]

COARSENING = 2.0
FINDER_STEP = 0.75
_GROWTHS = 2


@dataclass(frozen=True)
class SegmentOptions:
    """How to segment.

    Attributes:
        exact: nnU-Net's default on the whole volume (with mirroring as ``mirroring`` says): slow, for comparison.
        mirroring: Average over mirrored tiles, up to eight times slower.
        low_precision: bf16 on CPU; ``None`` uses it where it is faster.
        margin_mm: Around what the kidney finder found.
        tile_step: Step of the sliding window as a share of the patch.
    """

    exact: bool = False
    mirroring: bool = False
    low_precision: bool | None = None
    margin_mm: float = 20.0
    tile_step: float = 0.5

    def __post_init__(self) -> None:
        if not 0.1 <= self.tile_step <= 1.0 or not 0.0 <= self.margin_mm <= 100.0:
            raise ConfigurationError("The tile step must lie between 0.1 and 1, the margin between 0 and 100 mm.")


def segment(
    volume: Volume,
    model: SegmentationModel,
    *,
    options: SegmentOptions | None = None,
    progress: Progress | None = None,
) -> Segmentation:
    """Segment kidneys, tumours and cysts.

    The kidneys are found first, by the model's low-resolution configuration or, without one, by the same model on a
    grid twice as coarse; the fine model then sees only a box around each kidney, and only the boxes are resampled. A
    box whose kidney reaches its border grows. When one kidney is found, the mirrored place is looked at too; when none
    is, the whole volume. What was found away from the kidneys is dropped (:func:`strays.without_strays`).

    Args:
        volume: CT in Hounsfield units, stored in any orientation.
        model: A loaded model.
        options: Speed against exactness.
        progress: Called before each tile with fraction and words; raising cancels.

    Returns:
        Labels on the volume's own grid. They may be all background.

    Raises:
        InputError: The volume holds no finite values.
    """
    options = options or SegmentOptions()
    report = progress or (lambda _fraction, _words: None)
    report(0.0, "preparing the segmentation model")
    run = _Run(_finite(volume).canonical(), model, options, report)
    labels, notes = run.whole() if options.exact or not run.fine.fixed_normalisation else run.kidneys_first()
    report(1.0, "segmented")
    stored = np.ascontiguousarray(to_storage(labels, volume.geometry))
    return Segmentation(Volume(stored, volume.geometry), "model", model.name, model.sha256, (*model.notes, *notes))


class _Run:
    """One segmentation: the canonical volume, the model's networks, and the two ways to use them."""

    def __init__(self, volume: Volume, model: SegmentationModel, options: SegmentOptions, report: Progress) -> None:
        from .nnunet_predictor import prefers_low_precision

        self.volume, self.options, self.report = volume, options, report
        self.fine = model.runner(model.fine)
        self.finder = None if model.finder is None else model.runner(model.finder)
        wanted = options.low_precision
        self.low_precision = prefers_low_precision(self.fine.parameters) if wanted is None else wanted

    def whole(self) -> tuple[npt.NDArray[np.uint8], tuple[str, ...]]:
        """nnU-Net's way: the whole volume at once."""
        labels = self._predict(self.fine, self.volume, (0.0, 0.99), "segmenting the whole volume")
        return labels, ("The whole volume was segmented at once.",)

    def kidneys_first(self) -> tuple[npt.NDArray[np.uint8], tuple[str, ...]]:
        """Find the kidneys on a coarse grid, then segment their boxes."""
        patch_mm = self._patch_mm()
        if one_patch(self.volume.geometry, patch_mm):
            return self.whole()
        boxes = find_boxes(self.volume, self._find(), self.options.margin_mm, patch_mm)
        labels, notes = self._boxes(boxes) if boxes else (np.zeros(self.volume.array.shape, np.uint8), ())
        if not (labels == KIDNEY).any():
            labels, _ = self.whole()
            return labels, ("The kidney finder found no kidney; the whole volume was segmented.",)
        labels, dropped = without_strays(labels, self.volume.geometry, body_middle(self.volume))
        return labels, (*notes, *dropped)

    def _find(self) -> Volume:
        """Labels on a coarse grid over the whole volume."""
        runner = self.finder or self.fine
        factor = 1.0 if self.finder is not None else COARSENING
        spacing = np.array([value or 5.0 / factor for value in _canonical_axes(runner, runner.spacing_mm)]) * factor
        grid = coarse_grid(self.volume.geometry, spacing)
        coarse = self.volume.resample_to(grid)
        found = self._predict(runner, coarse, (0.02, 0.3), "finding the kidneys", coarse_mm=grid.spacing_mm)
        return Volume(found, grid)

    def _boxes(self, boxes: list[Box]) -> tuple[npt.NDArray[np.uint8], tuple[str, ...]]:
        """Labels from the fine model inside the boxes; each voxel is written by one box."""
        final, pieces = [], []
        for number, box in enumerate(boxes):
            span = 0.3 + 0.65 * number / len(boxes), 0.3 + 0.65 * (number + 1) / len(boxes)
            words = f"segmenting kidney region {number + 1} of {len(boxes)}"
            for round_ in range(_GROWTHS + 1):
                piece = self._predict(self.fine, _crop(self.volume, box), span, words)
                larger = grown(box, piece, self.volume.geometry, self.options.margin_mm)
                if larger == box or round_ == _GROWTHS:
                    break
                box = larger
            final.append(box)
            pieces.append(piece)
        labels = np.zeros(self.volume.array.shape, np.uint8)
        for box, piece, part in zip(final, pieces, disjoint_parts(final), strict=True):
            inner = tuple(slice(p.start - b.start, p.stop - b.start) for p, b in zip(part, box, strict=True))
            labels[part] = piece[inner]
        return labels, ()

    def _predict(
        self,
        runner: Runner,
        volume: Volume,
        span: tuple[float, float],
        words: str,
        coarse_mm: Float3 | None = None,
    ) -> npt.NDArray[np.uint8]:
        """Labels of a canonical volume in its own order; the network sees it as its training files were stored."""
        code = runner.configuration.orientation
        spacing = _oriented_axes(volume.geometry.spacing_mm, code)
        array = from_canonical(volume.array, code).transpose(2, 1, 0)
        low, high = span
        labels = runner.predict(
            np.ascontiguousarray(array),
            spacing[::-1],
            lambda share: self.report(low + (high - low) * share, words),
            coarse_mm=None if coarse_mm is None else _oriented_axes(coarse_mm, code)[::-1],
            mirroring=self.options.mirroring,
            low_precision=self.low_precision,
            tile_step=max(FINDER_STEP, self.options.tile_step) if coarse_mm is not None else self.options.tile_step,
        )
        return to_canonical(labels.transpose(2, 1, 0), code)

    def _patch_mm(self) -> Float3:
        spacing, patch = (_canonical_axes(self.fine, values) for values in (self.fine.spacing_mm, self.fine.patch))
        own = self.volume.geometry.spacing_mm
        mm = [p * (s or o) for p, s, o in zip(patch, spacing, own, strict=True)]
        return mm[0], mm[1], mm[2]


def coarse_grid(geometry: Geometry, spacing_mm: npt.ArrayLike) -> Geometry:
    """Grid over the same block of space with about the given spacing (exact spacing, centred)."""
    extent = np.asarray(geometry.size) * np.asarray(geometry.spacing_mm)
    spacing = np.asarray(spacing_mm, dtype=float)
    size = np.maximum(1, np.ceil(extent / spacing - 1e-6)).astype(int)
    middle = geometry.lps((np.asarray(geometry.size) - 1) / 2)
    origin = middle - geometry.direction_matrix @ (spacing * (size - 1) / 2)
    return Geometry.from_components(size, spacing, origin, geometry.direction)


def _finite(volume: Volume) -> Volume:
    if not np.issubdtype(volume.array.dtype, np.floating):
        return volume
    finite = np.isfinite(volume.array)
    if not finite.any():
        raise InputError("The volume holds no finite Hounsfield values; check the file.")
    return volume if finite.all() else Volume(np.where(finite, volume.array, -1000.0), volume.geometry)


def _crop(volume: Volume, box: Box) -> Volume:
    start = (box[0].start, box[1].start, box[2].start)
    array = volume.array[box]
    return Volume(array, volume.geometry.crop(start, (array.shape[0], array.shape[1], array.shape[2])))


def _canonical_axes(runner: Runner, values: Any) -> list[Any]:
    """Values along the array axes (k, j, i) of the training files, reordered to (L, P, S)."""
    code = runner.configuration.orientation
    return [values[2 - next(a for a, letter in enumerate(code) if letter in pair)] for pair in ("LR", "PA", "SI")]


def _oriented_axes(values: Any, code: str) -> list[Any]:
    """Values along (L, P, S), reordered to the index axes of ``code``."""
    return [values[next(a for a, pair in enumerate(("LR", "PA", "SI")) if letter in pair)] for letter in code]
