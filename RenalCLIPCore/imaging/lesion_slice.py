"""The axial slice through a lesion where it is largest, of every phase: what the multi-phase 2-D network sees.

Xiong et al. 2025, Methods: 140 x 140 mm around the lesion at 0.625 x 0.625 mm, 224 x 224 pixels. The window is that of
the authors' public code.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..errors import ConfigurationError, InputError, NoLesionError
from .kidney_boxes import bounding_box
from .lesions import NEIGHBOURHOOD, axial_centre_lps_mm, patient_aligned_mask
from .mask_labels import CYST, TUMOUR
from .roi import nearest_voxel, resampled_on
from .study import Phase
from .volume import Float3, Geometry, Volume

SIDE_MM = 140.0


@dataclass(frozen=True)
class SliceSpec:
    """What is cut.

    Attributes:
        spacing_mm: Distance of the pixels.
        size: Pixels along each side.
        window_hu: Attenuation that becomes 0 and 1.
        pad_hu: Value outside the scan.
    """

    spacing_mm: float = 0.625
    size: int = 224
    window_hu: tuple[float, float] = (-500.0, 500.0)
    pad_hu: float = -1000.0

    @classmethod
    def of_spacing(cls, spacing_mm: float, window_hu: tuple[float, float] = (-500.0, 500.0)) -> SliceSpec:
        """The paper's 140 x 140 mm at another distance of the pixels.

        Raises:
            ConfigurationError: 140 mm are no whole number of pixels from 32 to 1024, or the window does not rise.
        """
        size = SIDE_MM / spacing_mm if math.isfinite(spacing_mm) and spacing_mm > 0 else 0.0
        if not 32 <= size <= 1024 or abs(size - round(size)) > 1e-6:
            raise ConfigurationError(
                f"A slice of {SIDE_MM:g} mm must be 32 to 1024 whole pixels wide, which {spacing_mm:g} mm do not make."
            )
        low, high = window_hu
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise ConfigurationError(f"The window must rise between finite values, not {low:g} to {high:g} HU.")
        return cls(spacing_mm, round(size), (low, high))


PAPER_SLICE = SliceSpec()


@dataclass(frozen=True, eq=False)
class LesionSlice:
    """One phase's slice.

    Attributes:
        phase: Contrast phase.
        array: (x, y) float32 in [0, 1], x towards Left, y towards Posterior.
        geometry: Grid of the pixels in patient space, one voxel along z.
        inside_fraction: Share of the slice that the phase covers.
    """

    phase: Phase
    array: npt.NDArray[np.float32]
    geometry: Geometry
    inside_fraction: float


def largest_slice_centre(labels: Volume, near_lps_mm: npt.ArrayLike | None = None) -> Float3:
    """Centre of the axial slice on which a lesion of a label map is largest, LPS mm.

    The slice and its centre follow the rule of :func:`imaging.lesions.axial_centre_lps_mm`. A lesion of one voxel has
    its slice through that voxel.

    Args:
        labels: Label map in any storage orientation.
        near_lps_mm: A point in or near the lesion that is meant.

    Raises:
        NoLesionError: As for :func:`meant_lesion`.
    """
    return axial_centre_lps_mm(patient_aligned_mask(meant_lesion(labels, near_lps_mm)))


def meant_lesion(labels: Volume, near_lps_mm: npt.ArrayLike | None = None) -> Volume:
    """Mask (bool, canonical axes, cropped) of one lesion of a label map.

    A tumour (2) is taken before a cyst (3). Of several the one nearest to a point is taken, else the largest one.

    Args:
        labels: Label map in any storage orientation.
        near_lps_mm: A point in or near the lesion that is meant.

    Raises:
        NoLesionError: There is no tumour or cyst on any slice.
        InputError: It is no label map.
    """
    from scipy import ndimage

    canonical = labels.canonical()
    if canonical.array.min() < 0 or canonical.array.max() > CYST:
        raise InputError(
            "The label map holds values other than 0 to 3 (1 kidney, 2 tumour, 3 cyst); give a mask, not a volume."
        )
    wanted = next((label for label in (TUMOUR, CYST) if (canonical.array == label).any()), None)
    box = None if wanted is None else bounding_box(canonical.array == wanted)
    if box is None:
        raise NoLesionError(
            "The label map shows no tumour (2) or cyst (3) on any slice, so there is none to cut; give its "
            "mask or its centre."
        )
    array = canonical.array[box] == wanted
    start = (box[0].start, box[1].start, box[2].start)
    grid = canonical.geometry.crop(start, (array.shape[0], array.shape[1], array.shape[2]))
    components, count = ndimage.label(array, structure=NEIGHBOURHOOD)
    number = 1 if count == 1 else _chosen(components, grid, near_lps_mm)
    return Volume(components == number, grid)


def _chosen(components: npt.NDArray[np.int32], grid: Geometry, near_lps_mm: npt.ArrayLike | None) -> int:
    """Number of the component nearest to a point (its nearest voxel counts), else of the largest."""
    if near_lps_mm is None:
        return int(np.bincount(components.ravel())[1:].argmax()) + 1
    voxels = np.argwhere(components)
    away = np.linalg.norm(grid.lps(voxels) - np.asarray(near_lps_mm, dtype=float), axis=1)
    return int(components[tuple(voxels[int(away.argmin())])])


def slice_geometry(reference: Geometry, centre_lps_mm: npt.ArrayLike, spec: SliceSpec = PAPER_SLICE) -> Geometry:
    """Grid (size, size, 1) of the axial slice around a centre, on the slice of the reference that the centre lies on.

    Raises:
        CentreError: The centre is outside the reference volume.
    """
    grid = reference.patient_aligned()
    k = int(nearest_voxel(grid, centre_lps_mm)[2])
    x, y, _ = (float(value) for value in np.asarray(centre_lps_mm, dtype=float))
    half = spec.spacing_mm * (spec.size - 1) / 2
    z = float(grid.lps((0, 0, k))[2])
    spacing = (spec.spacing_mm, spec.spacing_mm, grid.spacing_mm[2])
    return Geometry.from_components((spec.size, spec.size, 1), spacing, (x - half, y - half, z), np.eye(3))


def extract_slices(
    volumes: Mapping[Phase, Volume],
    reference: Geometry,
    centre_lps_mm: npt.ArrayLike,
    spec: SliceSpec = PAPER_SLICE,
) -> dict[Phase, LesionSlice]:
    """Cut the slice of every phase around a centre, by linear interpolation.

    Args:
        volumes: Phases in Hounsfield units in one frame, each on its own grid, stored in any orientation.
        reference: Grid of the reference phase, as stored.
        centre_lps_mm: Lesion centre on the slice that is meant, LPS mm.
        spec: What is cut.

    Returns:
        One slice per phase; all share one geometry.

    Raises:
        CentreError: The centre is outside the reference volume.
    """
    target = slice_geometry(reference, centre_lps_mm, spec)
    low, high = spec.window_hu
    found = {}
    for phase, volume in volumes.items():
        hu, covered = resampled_on(volume, target, spec.pad_hu)
        array = np.clip((hu[:, :, 0] - low) / (high - low), 0.0, 1.0).astype(np.float32)
        found[phase] = LesionSlice(phase, array, target, covered)
    return found
