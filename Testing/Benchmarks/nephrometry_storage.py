"""Measured nephrometry of one phantom stored in many ways: axis codes (flips and permutations) and oblique grids.

    python -m Testing.Benchmarks.nephrometry_storage --phantoms 20

A flip or permutation holds the same voxels and must give the same values but for rounding. An oblique grid samples the
same continuous shapes anew, so its values may differ by a part of a voxel. So does a straight grid that begins
elsewhere: it is measured beside the oblique one to tell what turning adds to sampling. Where points change, the margin
to the cut-off is told and the probability that was stated for them, the lesser of both.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Sequence
from dataclasses import astuple, dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from RenalCLIPCore.imaging.nephrometry import PERTURBATIONS, measure_context
from RenalCLIPCore.imaging.nephrometry_components import extent_of, measured, scored_mm
from RenalCLIPCore.imaging.nephrometry_perturbation import Draw, values_of
from RenalCLIPCore.imaging.nephrometry_scores import E_CUT, N_CUTS_MM, R_CUTS_MM, nearest
from RenalCLIPCore.imaging.orientation import reorient
from RenalCLIPCore.imaging.volume import Geometry, Volume
from RenalCLIPCore.phantom.render import render_labels
from Testing.Benchmarks.nephrometry_cases import find, phantom, phantom_labels
from Testing.Benchmarks.nephrometry_slices import OPTIONS, SURE, outcome, stated

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


@dataclass(frozen=True)
class Difference:
    """A component whose points differ between two samplings, and the lesser of the probabilities stated for them."""

    name: str
    stated: float


def differences(
    name: str, first: Volume, second: Volume, lesion: object, perturbations: int = PERTURBATIONS
) -> tuple[int, list[Difference]]:
    """How many components were compared in two samplings of a phantom, and those whose points differ."""
    forms = [(labels, *find(labels, lesion)) for labels in (first, second)]  # type: ignore[arg-type]
    plain = [values_of(measure_context(*form, perturbations=0).readings) for form in forms]
    points = [outcome(value) for value in plain]
    apart = [letter for letter in points[0] if points[0][letter] != points[1][letter]]
    if not apart:
        return len(points[0]), []
    full = [measured(measure_context(*form, perturbations=perturbations), OPTIONS) for form in forms]
    found = []
    for letter in apart:
        words = (f"{name} {letter}: {points[0][letter]} and {points[1][letter]}, margins "
                 f"{margins(plain[0])[letter]:.2f} and {margins(plain[1])[letter]:.2f}")  # fmt: skip
        found.append(Difference(words, min(stated(item, letter) for item in full)))
    return len(points[0]), found


def summary(title: str, compared: int, found: Sequence[Difference]) -> str:
    """Share of the same points, how many differ, and of how many of them it was said that it is close."""
    close = sum(item.stated < SURE for item in found)
    share = 100 * (1 - len(found) / compared) if compared else 0.0
    lines = [f"{title}: same points in {share:.1f} % of {compared} components; {len(found)} differ, {close} of them "
             f"with a stated probability below {SURE:g}"]  # fmt: skip
    return "\n".join([*lines, *(f"  {item.name}, stated {item.stated:.2f}" for item in found)])


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--phantoms", type=int, default=20)
    parser.add_argument("--first", type=int, default=9000, help="first seed")
    parser.add_argument("--codes", type=int, default=4, help="axis codes per phantom, of the 48, all in turn; 0: none")
    parser.add_argument("--no-shift", action="store_true", help="leave the straight grids that begin elsewhere out")
    arguments = parser.parse_args()
    exact, points = [], []
    kinds = ["oblique"] if arguments.no_shift else ["oblique", "shifted"]
    compared, apart = dict.fromkeys(kinds, 0), {kind: list[Difference]() for kind in kinds}
    turn = itertools.cycle(CODES)
    for seed in range(arguments.first, arguments.first + arguments.phantoms):
        patient, kidney, primary = phantom(seed)
        slice_mm = float(np.random.default_rng(seed).uniform(1, 3))
        labels = phantom_labels(patient, kidney, slice_mm, seed)
        for code in itertools.islice(turn, arguments.codes):
            straight, stored = values(labels, primary), reorient(labels, code)
            found = values(Volume(np.ascontiguousarray(stored.array), stored.geometry), primary)
            exact.append(float(np.abs(numbers(found) - numbers(straight)).max()))
            points.append(outcome(found) == outcome(straight))
        for kind in kinds:
            other = (
                oblique(labels, patient, np.random.default_rng(seed))
                if kind == "oblique"
                else phantom_labels(patient, kidney, slice_mm, seed + 70_000)
            )
            count, differing = differences(f"phantom {seed}", labels, other, primary)
            compared[kind] += count
            apart[kind] += differing
    if exact:
        forms = f"{len(exact)} stored forms ({min(len(exact), len(CODES))} of the 48 axis codes)"
        print(f"flips and permutations: {forms}, same points in {100 * np.mean(points):.1f} %, values differ by "
              f"at most {max(exact):.1e} mm")  # fmt: skip
    for kind in kinds:
        print(summary(f"{kind} grids", compared[kind], apart[kind]), flush=True)


if __name__ == "__main__":
    main()
