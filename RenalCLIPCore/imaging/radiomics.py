"""Radiomic features of a lesion, per phase, on its largest axial slice and in space.

Features, their tags and the order of the steps are those of the image biomarker standardisation initiative (IBSI:
Zwanenburg et al., Radiology 2020; arXiv:1612.07003): linear resampling of image and mask, attenuation rounded to whole
HU, re-segmentation to a range, bins of fixed width from the range's lower end, neighbours at distance 1, features of
directions averaged. Settings that the papers leave open are a choice of :class:`RadiomicsSpec`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from ..errors import ConfigurationError
from .lesion_slice import meant_lesion
from .lesions import axial_centre_lps_mm, patient_aligned_mask
from .radiomic_matrices import Features, Levels, texture_features
from .radiomic_shape import (
    histogram_features,
    intensity_features,
    located_intensities,
    shape_features,
    slice_shape_features,
)
from .roi import nearest_voxel, resampled_on
from .study import Phase
from .volume import Geometry, Volume

SLICE, SPACE = "slice", "space"
SHAPE = "shape"
_OUTSIDE_HU = -1024.0  # below every range, so that voxels that a phase does not cover are left out
_MOST_LEVELS = 256


@dataclass(frozen=True)
class RadiomicsSpec:
    """How features are extracted.

    Attributes:
        slice_mm: Pixels of the largest slice.
        space_mm: Voxels in space (cubes).
        range_hu: Attenuation that belongs to the lesion; other voxels count for its shape alone.
        bin_hu: Width of the bins that texture is computed on.

    Raises:
        ConfigurationError: A value is impossible, or there are more than 256 bins.
    """

    slice_mm: float = 1.0
    space_mm: float = 2.0
    range_hu: tuple[float, float] = (-500.0, 500.0)
    bin_hu: float = 25.0

    def __post_init__(self) -> None:
        low, high = self.range_hu
        values = (self.slice_mm, self.space_mm, low, high, self.bin_hu)
        if not all(math.isfinite(value) for value in values) or low >= high or low <= _OUTSIDE_HU or self.bin_hu <= 0:
            raise ConfigurationError(
                f"Radiomics needs a range that rises from above {_OUTSIDE_HU:g} HU and bins wider than 0 HU, not "
                f"{low:g} to {high:g} and {self.bin_hu:g}."
            )
        if not (0.25 <= self.slice_mm <= 5 and 0.5 <= self.space_mm <= 10):
            raise ConfigurationError(
                f"Radiomics needs pixels of 0.25 to 5 mm and voxels of 0.5 to 10 mm, not {self.slice_mm:g} and "
                f"{self.space_mm:g}."
            )
        if (high - low) / self.bin_hu > _MOST_LEVELS:
            raise ConfigurationError(f"{(high - low) / self.bin_hu:.0f} bins are too many; at most {_MOST_LEVELS}.")

    @property
    def words(self) -> str:
        """The settings in one line, which tables and models of features carry."""
        low, high = self.range_hu
        return f"slice {self.slice_mm:g} mm; space {self.space_mm:g} mm; {low:g} to {high:g} HU; bin {self.bin_hu:g} HU"

    def levels(self, values: npt.NDArray[np.float64]) -> Levels:
        """Bins of attenuation from 1; 0 outside the range."""
        low, high = self.range_hu
        last = math.ceil((high - low) / self.bin_hu)
        binned = np.minimum(np.floor((values - low) / self.bin_hu) + 1, last)
        return np.where((values >= low) & (values <= high), binned, 0).astype(np.int64)


@dataclass(frozen=True, eq=False)
class LesionRegions:
    """A lesion's mask on the two grids that features are computed on.

    Attributes:
        flat: (i, j, 1) mask on its largest axial slice.
        space: (i, j, k) mask on cubic voxels.
    """

    flat: Volume
    space: Volume

    @cached_property
    def shape(self) -> Features:
        """Shape of both, by column name."""
        flat = slice_shape_features(self.flat.array, self.flat.geometry.spacing_mm)
        space = shape_features(self.space.array, self.space.geometry.spacing_mm)
        named = {f"{SHAPE}.{SLICE}.{name}": value for name, value in flat.items()}
        return named | {f"{SHAPE}.{SPACE}.{name}": value for name, value in space.items()}


def lesion_features(
    labels: Volume,
    volumes: Mapping[Phase, Volume],
    near_lps_mm: npt.ArrayLike | None = None,
    spec: RadiomicsSpec | None = None,
) -> Features:
    """Every feature of a lesion, by column name: ``A.space.cm_contrast``, ``shape.slice.slice_area``.

    Args:
        labels: Label map in any storage orientation (tumour 2, cyst 3).
        volumes: Phases in Hounsfield units in the frame of the label map, each on its own grid.
        near_lps_mm: A point in or near the lesion that is meant.
        spec: Settings; the defaults when None.

    Returns:
        NaN where a feature is undefined, for instance texture of a lesion of one voxel.

    Raises:
        NoLesionError: There is no tumour or cyst on any slice.
    """
    spec = spec or RadiomicsSpec()
    regions = lesion_regions(meant_lesion(labels, near_lps_mm), spec)
    found = dict(regions.shape)
    volume_mm3 = found[f"{SHAPE}.{SPACE}.morph_volume"]
    for phase, volume in volumes.items():
        for place, region in ((SLICE, regions.flat), (SPACE, regions.space)):
            values = np.rint(resampled_on(volume, region.geometry, _OUTSIDE_HU)[0]).astype(float)
            levels = np.where(region.array, spec.levels(values), 0)
            features = _of_region(values, levels)
            if place == SPACE:
                features |= _located(values, levels > 0, region, volume_mm3)
            found |= {f"{phase.value}.{place}.{name}": value for name, value in features.items()}
    return found


def lesion_regions(mask: Volume, spec: RadiomicsSpec) -> LesionRegions:
    """A lesion's mask on its largest slice and on cubes, by linear interpolation; half and more counts.

    A lesion so small that no voxel is half filled keeps the one that is filled most.
    """
    aligned = patient_aligned_mask(mask)
    grid, middle = aligned.geometry, axial_centre_lps_mm(aligned)
    k = int(nearest_voxel(grid, middle)[2])
    cut = Volume(aligned.array[:, :, k : k + 1], grid.crop((0, 0, k), (*grid.size[:2], 1)))
    return LesionRegions(
        _on_grid(cut, (spec.slice_mm, spec.slice_mm, grid.spacing_mm[2])), _on_grid(aligned, (spec.space_mm,) * 3)
    )


def _on_grid(mask: Volume, spacing_mm: tuple[float, float, float]) -> Volume:
    """The mask on a grid of another spacing with the same middle, cropped."""
    flat = mask.geometry.size[2] == 1 and spacing_mm[2] == mask.geometry.spacing_mm[2]
    low, high = mask.geometry.bounds_lps_mm
    spacing = np.asarray(spacing_mm)
    size = np.ceil((high - low) / spacing - 1e-6).astype(int) + np.array((2, 2, 0 if flat else 2))
    target = Geometry.from_components(size, spacing, (low + high) / 2 - spacing * (size - 1) / 2, np.eye(3))
    # beyond the mask's outer voxels there is none of the lesion
    margin = (1, 1, 0 if flat else 1)
    padded = np.pad(mask.array.astype(np.float32), [(m, m) for m in margin])
    start = (-1, -1, -margin[2])
    share = resampled_on(Volume(padded, mask.geometry.crop(start, padded.shape)), target, 0.0)[0]
    inside = share >= 0.5
    if not inside.any():
        inside = np.arange(share.size).reshape(share.shape) == int(share.argmax())
    return Volume(inside, target)


def _of_region(values: npt.NDArray[np.float64], levels: Levels) -> Features:
    inside = levels > 0
    if not inside.any():  # the phase does not cover the lesion
        one = np.ones((1, 1, 1), dtype=np.int64)
        names = (*intensity_features(np.ones(1)), *histogram_features(one.ravel()), *texture_features(one))
        return dict.fromkeys(names, float("nan"))
    return intensity_features(values[inside]) | histogram_features(levels[inside]) | texture_features(levels)


def _located(values: npt.NDArray[np.float64], inside: npt.NDArray[np.bool_], region: Volume, mm3: float) -> Features:
    if not inside.any():
        return dict.fromkeys(("morph_com", "morph_integ_int"), float("nan"))
    return located_intensities(values, inside, region.geometry.spacing_mm, mm3)
