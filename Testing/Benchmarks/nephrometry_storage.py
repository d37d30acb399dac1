"""Measured nephrometry of one phantom stored in many ways: axis codes (flips and permutations) and oblique grids.

    python -m Testing.Benchmarks.nephrometry_storage --phantoms 20

A flip or permutation holds the same voxels and must give the same values to the last digit. An oblique grid samples the
same continuous shapes anew, so its values may differ by a part of a voxel.
"""

from __future__ import annotations

import argparse
import itertools
from dataclasses import astuple

import numpy as np
from scipy.spatial.transform import Rotation

from RenalCLIPCore.imaging.nephrometry import measure_context
from RenalCLIPCore.imaging.nephrometry_perturbation import Draw, values_of
from RenalCLIPCore.imaging.orientation import reorient
from RenalCLIPCore.imaging.volume import Geometry, Volume
from RenalCLIPCore.phantom.render import render_labels
from Testing.Benchmarks.nephrometry_cases import find, phantom, phantom_labels
from Testing.Benchmarks.nephrometry_slices import outcome

PAIRS = ("RL", "AP", "IS")
CODES = ["".join(code) for order in itertools.permutations(PAIRS) for code in itertools.product(*order)]
TURN_DEG = 20.0


def oblique(labels: Volume, patient: object, generator: np.random.Generator) -> Volume:
    """The patient rendered on a grid turned by up to 20 degrees about each axis, over the same region."""
    grid = labels.geometry
    turn = Rotation.from_euler("xyz", generator.uniform(-TURN_DEG, TURN_DEG, 3), degrees=True).as_matrix()
    centre = grid.lps((np.asarray(grid.size) - 1) / 2)
    reach = np.abs(turn.T) @ (np.asarray(grid.size) * grid.spacing_mm) / 2
    size = np.ceil(2 * reach / grid.spacing_mm).astype(int)
    origin = centre - turn @ (np.asarray(grid.spacing_mm) * (size - 1) / 2)
    return render_labels(patient, Geometry.from_components(size, grid.spacing_mm, origin, turn))  # type: ignore[arg-type]


def values(labels: Volume, lesion: object) -> Draw:
    """Measured values of the phantom's lesion."""
    return values_of(measure_context(labels, *find(labels, lesion), perturbations=0).readings)  # type: ignore[arg-type]


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--phantoms", type=int, default=20)
    parser.add_argument("--first", type=int, default=9000, help="first seed")
    parser.add_argument("--codes", type=int, default=4, help="axis codes per phantom, of the 48, all in turn")
    arguments = parser.parse_args()
    exact, points, tilted, near = [], [], [], []
    turn = itertools.cycle(CODES)
    for seed in range(arguments.first, arguments.first + arguments.phantoms):
        patient, kidney, primary = phantom(seed)
        labels = phantom_labels(patient, kidney, float(np.random.default_rng(seed).uniform(1, 3)), seed)
        straight = values(labels, primary)
        for code in itertools.islice(turn, arguments.codes):
            stored = reorient(labels, code)
            found = values(Volume(np.ascontiguousarray(stored.array), stored.geometry), primary)
            exact.append(astuple(found) == astuple(straight))
            points.append(outcome(found) == outcome(straight))
        found = values(oblique(labels, patient, np.random.default_rng(seed)), primary)
        for letter, value in outcome(found).items():
            tilted.append(value == outcome(straight)[letter])
            if not tilted[-1]:
                print(f"  phantom {seed} oblique {letter}: {value} for {outcome(straight)[letter]}", flush=True)
        near.append(abs(found.near_mm - straight.near_mm))
    forms = f"{len(exact)} stored forms ({min(len(exact), len(CODES))} of the 48 axis codes)"
    print(f"flips and permutations: {forms}, same points in {100 * np.mean(points):.1f} %, same values to the last "
          f"digit in {100 * np.mean(exact):.1f} %")  # fmt: skip
    print(f"oblique grids: {arguments.phantoms}, same points in {100 * np.mean(tilted):.1f} % of {len(tilted)} "
          f"components; N differs by a median of {np.median(near):.2f} mm")  # fmt: skip


if __name__ == "__main__":
    main()
