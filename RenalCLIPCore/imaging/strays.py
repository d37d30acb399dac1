"""False findings of a network away from the kidneys: foreground that belongs to neither kidney is removed."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .kidney_boxes import bounding_box
from .mask_labels import KIDNEY
from .volume import Geometry

NEAR_MM = 10.0
MINIMUM_ML = 2.0
ALONE_ML = 10.0
WORTH_TELLING_ML = 0.1
_COARSE_MM = 3.0
Labels = npt.NDArray[np.uint8]


def without_strays(labels: Labels, geometry: Geometry, middle: float) -> tuple[Labels, tuple[str, ...]]:
    """Labels with both kidneys, what is attached to them or lies within 10 mm, and nothing else.

    A connected component (26-neighbourhood) belongs to the side of its centroid. The component with most parenchyma
    is that side's kidney, if it measures 2 ml; on a side without parenchyma the largest component of 10 ml or more
    stays (a tumour that replaced its kidney). Components under 2 ml apart from them go.

    Args:
        labels: Canonical label map.
        geometry: Its grid.
        middle: Index of the body's middle along the first axis.

    Returns:
        The labels (the same array when there is nothing to remove) and a note on what was removed (from 0.1 ml).
    """
    from scipy import ndimage

    box = bounding_box(labels > 0)
    if box is None:
        return labels, ()
    part = labels[box]
    components, count = ndimage.label(part > 0, structure=np.ones((3, 3, 3)))
    voxel = geometry.voxel_volume_ml
    sizes = np.bincount(components.ravel(), minlength=count + 1)[1:] * voxel
    parenchyma = np.bincount(components[part == KIDNEY], minlength=count + 1)[1:] * voxel
    left = _centres(components, count) + box[0].start > middle
    kept = _kidneys(sizes, parenchyma, left)
    if not kept.any():
        return labels, ()
    kept |= (sizes >= MINIMUM_ML) & _near(components, kept, geometry)
    if kept.all():
        return labels, ()
    cleaned = labels.copy()
    cleaned[box][~np.concatenate([[True], kept])[components]] = 0
    removed = float(sizes[~kept].sum())
    if removed < WORTH_TELLING_ML:
        return cleaned, ()
    return cleaned, (f"{int((~kept).sum())} findings apart from the kidneys ({removed:.1f} ml) were dropped.",)


def _kidneys(sizes: Any, parenchyma: Any, left: Any) -> npt.NDArray[np.bool_]:
    kept = np.zeros(len(sizes), bool)
    for side in (left, ~left):
        own = np.flatnonzero(side & (parenchyma >= MINIMUM_ML))
        alone = np.flatnonzero(side & (sizes >= ALONE_ML))
        if len(own):
            kept[own[parenchyma[own].argmax()]] = True
        elif len(alone):
            kept[alone[sizes[alone].argmax()]] = True
    return kept


def _centres(components: npt.NDArray[Any], count: int) -> npt.NDArray[np.floating[Any]]:
    """Mean first index of each component."""
    rows = np.broadcast_to(np.arange(components.shape[0])[:, None, None], components.shape)
    weights = np.bincount(components.ravel(), weights=rows.ravel(), minlength=count + 1)
    return np.asarray(weights[1:] / np.bincount(components.ravel(), minlength=count + 1)[1:])


def _near(components: npt.NDArray[Any], kept: npt.NDArray[np.bool_], geometry: Geometry) -> npt.NDArray[np.bool_]:
    """Which components come within ``NEAR_MM`` of a kept one, measured on a thinned copy."""
    from scipy import ndimage

    steps = [max(1, int(_COARSE_MM / spacing)) for spacing in geometry.spacing_mm]
    thin = components[tuple(slice(None, None, step) for step in steps)]
    anchors = np.concatenate([[False], kept])[thin]
    near = np.zeros(len(kept) + 1, bool)
    if anchors.any():
        spacing = np.asarray(geometry.spacing_mm) * steps
        near[np.unique(thin[ndimage.distance_transform_edt(~anchors, sampling=spacing) <= NEAR_MM])] = True
    return near[1:]
