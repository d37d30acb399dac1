"""Tiny cohorts on disk: a few voxels per volume, regions of 20 x 20 x 8."""

import numpy as np

from RenalCLIPCore.cohort.table import CohortRow, FollowUp
from RenalCLIPCore.imaging.roi import RoiSpec
from RenalCLIPCore.imaging.study import Phase
from RenalCLIPCore.imaging.volume import Geometry, Volume, write_volume

SPEC = RoiSpec(size_mm=(20.0, 20.0, 40.0), shape=(20, 20, 8), input_shape=(16, 16, 8))


def toy_volume(generator, brightness=0.0):
    geometry = Geometry.from_components((32, 32, 12), (1, 1, 5), (-16, -16, -30), np.eye(3))
    return Volume((generator.normal(50 + brightness, 30, (32, 32, 12))).astype(np.int16), geometry)


def toy_rows(folder, count, seed=0, split=None):
    """Cases whose brightness tells their malignancy; every third lacks the arterial phase."""
    generator = np.random.default_rng(seed)
    rows = []
    for number in range(count):
        label = number % 2
        phases = (Phase.V, Phase.D) if number % 3 == 2 else (Phase.A, Phase.V)
        volumes = {}
        for phase in phases:
            path = folder / f"{number}-{phase.value}.nii.gz"
            write_volume(toy_volume(generator, 100.0 * label), path)
            volumes[phase] = path
        rows.append(
            CohortRow(
                patient=f"p{number:03d}",
                side="left",
                split=split or ("validation" if number >= 2 * count // 3 else "training"),
                centre_lps_mm=(0.0, 0.0, 0.0),
                volumes=volumes,
                labels={"malignancy": label, "renal_r": number % 3},
                diameter_mm=10.0 + number,
                histology="toy",
                follow_up={"rfs": FollowUp(5.0 + number, number % 4 != 1)} if label else {},
            )
        )
    return rows
