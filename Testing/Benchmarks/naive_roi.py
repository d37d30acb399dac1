"""The reference's way to a region of interest, written plainly: resample whole volumes, crop, average, window.

Only for comparison: the tests hold ``RenalCLIPCore.imaging.roi`` to its values, the benchmark to its time.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from RenalCLIPCore.imaging.roi import RoiSpec
from RenalCLIPCore.imaging.study import Phase
from RenalCLIPCore.imaging.volume import Geometry, Volume


def naive_rois(
    volumes: Mapping[Phase, Volume], reference: Geometry, centre_lps_mm: np.ndarray, spec: RoiSpec
) -> dict[Phase, np.ndarray]:
    """Cubes (x, y, z) in [0, 1] by resampling each whole phase onto the patient-aligned reference grid."""
    grid = reference.patient_aligned()
    voxel = np.floor(grid.index(centre_lps_mm) + 0.5 + 1e-6).astype(int)
    half = np.array([int(int(spec.size_mm[a] / 2) / grid.spacing_mm[a]) for a in range(3)])
    cubes = {}
    for phase, volume in volumes.items():
        whole = volume.resample_to(grid, fill=spec.pad_hu).array.astype(np.float32)
        crop = np.full(tuple(2 * half), spec.pad_hu, np.float32)
        first = voxel - half
        source = tuple(slice(max(f, 0), min(f + 2 * h, n)) for f, h, n in zip(first, half, grid.size, strict=True))
        target = tuple(slice(s.start - f, s.stop - f) for s, f in zip(source, first, strict=True))
        crop[target] = whole[source]
        area = torch.nn.functional.interpolate(torch.from_numpy(crop)[None, None], spec.shape, mode="area")[
            0, 0
        ].numpy()
        low, high = spec.window_hu
        cubes[phase] = np.clip((area - low) / (high - low), 0, 1)
    return cubes
