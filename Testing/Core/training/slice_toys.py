"""Slices of 64 pixels on disk whose brightness tells malignancy, in some phases more than in others."""

from dataclasses import replace

import numpy as np

from RenalCLIPCore.cohort.slice_store import build_slice_store
from RenalCLIPCore.cohort.table import CohortRow
from RenalCLIPCore.imaging.lesion_slice import SliceSpec
from RenalCLIPCore.imaging.study import Phase
from RenalCLIPCore.imaging.volume import Geometry, Volume, write_volume
from RenalCLIPCore.training.multiphase_stage import MultiphaseConfiguration

SLICE = SliceSpec.of_spacing(140 / 64)
PHASES = {0: "NAV", 1: "NAV", 2: "AV", 3: "NAV", 4: "N", 5: "NV"}


def slice_rows(folder, count, split=None):
    """Cases of varying phases; two thirds are training rows."""
    generator = np.random.default_rng(0)
    grid = Geometry.from_components((64, 64, 3), (2.1875, 2.1875, 5), (-70, -70, -5), np.eye(3))
    rows = []
    for number in range(count):
        label = number % 2
        volumes = {}
        for letter in PHASES[number % len(PHASES)]:
            path = folder / f"{number}-{letter}.nii.gz"
            write_volume(Volume(generator.normal(150 * label, 30, grid.size).astype(np.int16), grid), path)
            volumes[Phase(letter)] = path
        rows.append(
            CohortRow(
                patient=f"p{number:03d}",
                side="left",
                split=split or ("validation" if number >= 2 * count // 3 else "training"),
                centre_lps_mm=(0.0, 0.0, 0.0),
                volumes=volumes,
                labels={"malignancy": label, "aggressiveness": label},
            )
        )
    return rows


def slice_store(folder, count=18, **changes):
    rows = [replace(row, **changes) for row in slice_rows(folder, count)]
    return rows, build_slice_store(rows, folder / "slices", SLICE)


def toy_multiphase(**values):
    given = {
        "epochs": 2,
        "batch_size": 4,
        "width": 1,
        "dropout": 0.0,
        "optimiser": {"learning_rate": 0.01},
        "augmentation": {"crop": False, "translation_px": 2, "rotation_rad": (0, 0, 0.1)},
        "threads": 1,
    }
    return MultiphaseConfiguration.model_validate({**given, **values})
