"""Centres of phantom cohorts: how their scanners, their timing and their patients differ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .histology import Histology as H


@dataclass(frozen=True)
class Site:
    """A hospital's habits: reconstruction, noise and slice thickness ranges, the spread of contrast timing, patients.

    Attributes:
        kernel_mm: Range of the reconstruction kernel's width.
        noise_hu: Range of the noise's standard deviation.
        grain_mm: Range of the noise's grain.
        slice_mm: Slice thicknesses.
        timing_sd: Spread of the contrast timing, as a multiple of the reference centre's.
        case_mix: Weights of the histologies, None for those of the paper's cohort; the oracle knows them.
    """

    kernel_mm: tuple[float, float]
    noise_hu: tuple[float, float]
    grain_mm: tuple[float, float]
    slice_mm: tuple[float, ...]
    timing_sd: float
    case_mix: Mapping[H, float] | None = None


# As a public collection has them: older scanners, thick slices, loose timing, and mostly cancers.
_COLLECTION_MIX: Mapping[H, float] = {
    H.CLEAR_CELL_LOW: 0.34,
    H.CLEAR_CELL_HIGH: 0.30,
    H.PAPILLARY_LOW: 0.09,
    H.PAPILLARY_HIGH: 0.07,
    H.CHROMOPHOBE: 0.08,
    H.ONCOCYTOMA: 0.04,
    H.ANGIOMYOLIPOMA: 0.02,
    H.FAT_POOR_ANGIOMYOLIPOMA: 0.03,
    H.COMPLEX_CYST: 0.03,
}

SITES: Mapping[str, Site] = {
    "internal": Site((0.45, 0.65), (8.0, 14.0), (0.45, 0.65), (3.0,), 1.0),
    "external": Site((0.5, 1.1), (8.0, 22.0), (0.4, 0.9), (2.5, 3.0, 5.0), 1.6),
    "other": Site((0.6, 1.4), (12.0, 28.0), (0.5, 1.1), (3.0, 5.0), 2.2, _COLLECTION_MIX),
}
