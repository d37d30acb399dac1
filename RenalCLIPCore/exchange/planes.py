"""Planes through a volume, sampled in patient space: what a picture shows does not depend on how a file is stored."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from ..imaging.volume import Float3, FloatArray, Volume

BODY_HU = -300.0
BODY_MARGIN_MM = 8.0
SEARCH_PIXEL_MM = 3.0


class View(StrEnum):
    """Radiological views: the patient's right (sagittal: anterior) is on the left of the picture, superior is up."""

    AXIAL = "axial"
    CORONAL = "coronal"
    SAGITTAL = "sagittal"

    @property
    def right(self) -> Float3:
        """Unit vector (LPS) towards the right of the picture."""
        return (0.0, 1.0, 0.0) if self is View.SAGITTAL else (1.0, 0.0, 0.0)

    @property
    def down(self) -> Float3:
        """Unit vector (LPS) towards the bottom of the picture."""
        return (0.0, 1.0, 0.0) if self is View.AXIAL else (0.0, 0.0, -1.0)

    @property
    def letters(self) -> tuple[str, str, str, str]:
        """Patient directions at the left, right, top and bottom edge of the picture."""
        return {"axial": ("R", "L", "A", "P"), "coronal": ("R", "L", "S", "I"), "sagittal": ("A", "P", "S", "I")}[self]


@dataclass(frozen=True)
class Plane:
    """A grid of square pixels in patient space.

    Attributes:
        view: Orientation.
        corner_lps_mm: Patient position of the outer corner of the top left pixel.
        shape: Rows and columns.
        pixel_mm: Edge of a pixel.
    """

    view: View
    corner_lps_mm: Float3
    shape: tuple[int, int]
    pixel_mm: float

    @staticmethod
    def around(view: View, centre_lps_mm: npt.ArrayLike, width_mm: float, height_mm: float, pixel_mm: float) -> Plane:
        """The plane of about ``width_mm`` x ``height_mm`` whose middle is ``centre_lps_mm``."""
        shape = (max(1, round(height_mm / pixel_mm)), max(1, round(width_mm / pixel_mm)))
        half = np.asarray(view.right) * shape[1] / 2 + np.asarray(view.down) * shape[0] / 2
        corner = np.asarray(centre_lps_mm, dtype=float) - half * pixel_mm
        return Plane(view, (float(corner[0]), float(corner[1]), float(corner[2])), shape, pixel_mm)

    @property
    def centre_lps_mm(self) -> FloatArray:
        """Patient position (3,) of the middle of the plane."""
        half = np.asarray(self.view.right) * self.shape[1] / 2 + np.asarray(self.view.down) * self.shape[0] / 2
        return np.asarray(self.corner_lps_mm) + half * self.pixel_mm

    def coarser(self, factor: int) -> Plane:
        """The same field of view (up to a pixel) with pixels ``factor`` times as large."""
        shape = (-(-self.shape[0] // factor), -(-self.shape[1] // factor))
        return Plane(self.view, self.corner_lps_mm, shape, self.pixel_mm * factor)

    def pixel(self, lps_mm: npt.ArrayLike) -> tuple[float, float]:
        """Column and row (continuous, 0 = outer edge of the picture) of patient positions projected onto the plane."""
        offset = np.asarray(lps_mm, dtype=float) - np.asarray(self.corner_lps_mm)
        return float(offset @ np.asarray(self.view.right)) / self.pixel_mm, float(
            offset @ np.asarray(self.view.down)
        ) / self.pixel_mm

    def indices(self, volume: Volume) -> FloatArray:
        """Continuous voxel indices (3, rows, columns) of the pixel centres in a volume."""
        matrix = volume.geometry.lps_to_index[:3, :3] * self.pixel_mm
        start = volume.geometry.index(self.corner_lps_mm)
        columns = (np.arange(self.shape[1]) + 0.5) * (matrix @ np.asarray(self.view.right))[:, None]
        rows = (np.arange(self.shape[0]) + 0.5) * (matrix @ np.asarray(self.view.down))[:, None]
        return np.asarray(start[:, None, None] + rows[:, :, None] + columns[:, None, :])


def sample(volume: Volume, plane: Plane) -> npt.NDArray[np.float32]:
    """Linear samples (rows, columns) of a volume on a plane, float32; NaN outside the volume's voxels."""
    from scipy import ndimage

    indices = plane.indices(volume)
    values: npt.NDArray[np.float32] = ndimage.map_coordinates(
        volume.array, indices, order=1, mode="nearest", output=np.float32
    )
    for axis, count in enumerate(volume.array.shape):
        values[(indices[axis] < -0.5) | (indices[axis] > count - 0.5)] = np.nan
    return values


def sample_label(labels: Volume, plane: Plane, value: int) -> npt.NDArray[np.float32] | None:
    """Linear samples (rows, columns) of the mask ``labels == value``, 0 to 1; None where the plane misses it.

    Only the block of voxels around the plane is touched.
    """
    from scipy import ndimage

    indices = plane.indices(labels)
    size = np.asarray(labels.array.shape)
    low = np.clip(np.floor(indices.min(axis=(1, 2))).astype(int) - 1, 0, size)
    high = np.clip(np.ceil(indices.max(axis=(1, 2))).astype(int) + 2, 0, size)
    block = labels.array[low[0] : high[0], low[1] : high[1], low[2] : high[2]] == value
    if not block.any():
        return None
    shifted = indices - low[:, None, None]
    return np.asarray(ndimage.map_coordinates(block.astype(np.float32), shifted, order=1, mode="constant"))


def body_box(volume: Volume, centre_lps_mm: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Smallest and largest (x, y) in LPS mm, (2,) each, around the body in the axial slice at a point.

    The body is the largest connected region above -300 HU with a small margin; the whole slice if there is none.
    """
    from scipy import ndimage

    low, high = volume.geometry.bounds_lps_mm
    middle = np.array([*(low + high)[:2] / 2, np.asarray(centre_lps_mm, dtype=float)[2]])
    plane = Plane.around(View.AXIAL, middle, high[0] - low[0], high[1] - low[1], SEARCH_PIXEL_MM)
    mask = ndimage.binary_opening(np.nan_to_num(sample(volume, plane), nan=-1000.0) > BODY_HU, iterations=2)
    components, count = ndimage.label(mask)
    if count == 0:
        return low[:2], high[:2]
    sizes: npt.NDArray[Any] = np.bincount(components.ravel())[1:]
    rows, columns = np.nonzero(components == 1 + int(sizes.argmax()))
    corner = np.asarray(plane.corner_lps_mm)[:2]
    first = corner + np.array([columns.min(), rows.min()]) * SEARCH_PIXEL_MM - BODY_MARGIN_MM
    last = corner + np.array([columns.max() + 1, rows.max() + 1]) * SEARCH_PIXEL_MM + BODY_MARGIN_MM
    return np.maximum(first, low[:2]), np.minimum(last, high[:2])
