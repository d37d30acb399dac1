"""Two bright ellipsoids with a lesion in a box of fat: the smallest thing that looks like kidneys to a network."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from RenalCLIPCore.imaging.nnunet_options import TrainingCase
from RenalCLIPCore.imaging.volume import Geometry, Volume, write_volume

TOY_GRID = Geometry.from_components((48, 32, 24), (4.0, 4.0, 5.0), (-94.0, -62.0, -57.5), np.eye(3))
HU = np.array([-80, 160, 60, 5])


def ellipsoid(grid: Geometry, centre_lps_mm, radii_mm) -> np.ndarray:
    """Mask of the voxels whose centres lie in an axis-aligned ellipsoid."""
    index = np.stack(np.meshgrid(*(np.arange(n) for n in grid.size), indexing="ij"), axis=-1)
    offset = (grid.lps(index) - np.asarray(centre_lps_mm)) / np.asarray(radii_mm)
    return (offset**2).sum(axis=-1) <= 1.0


def toy(seed: int, grid: Geometry = TOY_GRID) -> tuple[Volume, Volume]:
    """CT and labels: kidneys at x = -50 and 50 mm, a tumour on the left one and a cyst on the right one."""
    generator = np.random.default_rng(seed)
    labels = np.zeros(grid.size, np.uint8)
    for side in (-1, 1):
        labels[ellipsoid(grid, (50 * side, 10, 0), (22, 20, 40))] = 1
    labels[ellipsoid(grid, (62 + generator.uniform(-4, 4), 0, generator.uniform(-15, 15)), (14, 14, 14))] = 2
    labels[ellipsoid(grid, (-62, 8, generator.uniform(-15, 15)), (10, 10, 12))] = 3
    array = HU[labels] + generator.normal(0, 8, grid.size)
    return Volume(array.astype(np.int16), grid), Volume(labels, grid)


def toy_cases(folder: Path, count: int) -> list[TrainingCase]:
    """Training cases on disk, one patient each."""
    folder.mkdir(parents=True, exist_ok=True)
    cases = []
    for seed in range(count):
        image, labels = toy(seed)
        paths = folder / f"image_{seed}.nii.gz", folder / f"labels_{seed}.nii.gz"
        write_volume(image, paths[0])
        write_volume(labels, paths[1])
        cases.append(TrainingCase(f"case_{seed:03d}", *paths, group=f"p{seed}"))
    return cases
