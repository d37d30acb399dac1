"""Measured nephrometry of one phantom stored in many ways: axis codes (flips and permutations) and oblique grids.

    python -m Testing.Benchmarks.nephrometry_storage --phantoms 20

A flip or permutation holds the same voxels and must give the same values but for rounding. An oblique grid samples the
same continuous shapes anew, so its values may differ by a part of a voxel; where points change, the margin to the
cut-off is told.
"""

from __future__ import annotations

import argparse
import itertools
from dataclasses import astuple

import numpy as np
from scipy.spatial.transform import Rotation

from RenalCLIPCore.imaging.nephrometry import measure_context
from RenalCLIPCore.imaging.nephrometry_components import extent_of, scored_mm
from RenalCLIPCore.imaging.nephrometry_perturbation import Draw, values_of
from RenalCLIPCore.imaging.nephrometry_scores import E_CUT, N_CUTS_MM, R_CUTS_MM, nearest
from RenalCLIPCore.imaging.orientation import reorient
from RenalCLIPCore.imaging.volume import Geometry, Volume
from RenalCLIPCore.phantom.render import render_labels
from Testing.Benchmarks.nephrometry_cases import find, phantom, phantom_labels
from Testing.Benchmarks.nephrometry_slices import OPTIONS, outcome

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


def numbers(value: Draw) -> np.ndarray:
    """All values, in mm (shares in %)."""
    scalars = [100 * value.outside, value.near_mm, value.front_mm, value.hilar_mm]
    extents = [number for extent in (value.patient, value.kidney) for number in astuple(extent)[:4]]
    return np.array([*scalars, *value.diameters_mm.values(), *extents])


def margins(value: Draw) -> dict[str, float]:
    """Distance of each component from the nearest change of points, in mm (E in %)."""
    return {
        "R": nearest(scored_mm(value, OPTIONS), R_CUTS_MM),
        "E": 100 * nearest(value.outside, (E_CUT, OPTIONS.endophytic_tolerance)),
        "N": nearest(value.near_mm, N_CUTS_MM),
        "A": abs(abs(value.front_mm) - OPTIONS.band_mm),
        "L": extent_of(value, OPTIONS).margin,
    }


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
            exact.append(float(np.abs(numbers(found) - numbers(straight)).max()))
            points.append(outcome(found) == outcome(straight))
        found = values(oblique(labels, patient, np.random.default_rng(seed)), primary)
        for letter, value in outcome(found).items():
            tilted.append(value == outcome(straight)[letter])
            if not tilted[-1]:
                print(f"  phantom {seed} oblique {letter}: {value} for {outcome(straight)[letter]}, margins "
                      f"{margins(found)[letter]:.2f} and {margins(straight)[letter]:.2f}", flush=True)  # fmt: skip
        near.append(abs(found.near_mm - straight.near_mm))
    forms = f"{len(exact)} stored forms ({min(len(exact), len(CODES))} of the 48 axis codes)"
    print(f"flips and permutations: {forms}, same points in {100 * np.mean(points):.1f} %, values differ by "
          f"at most {max(exact):.1e} mm")  # fmt: skip
    print(f"oblique grids: {arguments.phantoms}, same points in {100 * np.mean(tilted):.1f} % of {len(tilted)} "
          f"components; N differs by a median of {np.median(near):.2f} mm")  # fmt: skip


if __name__ == "__main__":
    main()
