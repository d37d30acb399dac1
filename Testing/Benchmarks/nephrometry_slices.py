"""The same phantoms on 1, 3 and 5 mm slices: how values and points agree, and what was said where points differ.

python -m Testing.Benchmarks.nephrometry_slices --phantoms 60 [--out FILE]
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections import defaultdict
from pathlib import Path

import numpy as np

from RenalCLIPCore.imaging.nephrometry import PERTURBATIONS, measure_context
from RenalCLIPCore.imaging.nephrometry_components import measured, points_of, scored_mm
from RenalCLIPCore.imaging.nephrometry_perturbation import values_of
from RenalCLIPCore.imaging.nephrometry_scores import NephrometryOptions, a_label
from RenalCLIPCore.review import Measured
from Testing.Benchmarks.nephrometry_cases import find, phantom, phantom_labels

OPTIONS = NephrometryOptions()
SLICES_MM = (1.0, 3.0, 5.0)
SURE = 0.9


def outcome(value) -> dict[str, str]:
    """Points of R, E, N and L and the label of A."""
    points = {letter: str(number) for letter, number in points_of(value, OPTIONS).items()}
    return {**points, "A": a_label(value.front_mm, OPTIONS.band_mm)}


def stated(measurement: Measured, letter: str) -> float:
    """Probability that a measurement states for its own points."""
    item = next(x for x in measurement.components if x.component == letter)
    return item.point_probabilities[item.label if letter == "A" else str(item.points)]


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--phantoms", type=int, default=60)
    parser.add_argument("--first", type=int, default=5000, help="first seed")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    differences: dict[str, list[float]] = defaultdict(list)
    same: dict[str, list[bool]] = defaultdict(list)
    told: list[tuple[str, float]] = []
    for seed in range(arguments.first, arguments.first + arguments.phantoms):
        patient, kidney, primary = phantom(seed)
        inputs, values = {}, {}
        for slice_mm in SLICES_MM:
            labels = phantom_labels(patient, kidney, slice_mm, seed)
            inputs[slice_mm] = (labels, *find(labels, primary))
            values[slice_mm] = values_of(measure_context(*inputs[slice_mm], perturbations=0).readings)
        for first, second in itertools.combinations(SLICES_MM, 2):
            differences["R"].append(scored_mm(values[first], OPTIONS) - scored_mm(values[second], OPTIONS))
            differences["N"].append(values[first].near_mm - values[second].near_mm)
            one, two = outcome(values[first]), outcome(values[second])
            for letter in "RENAL":
                same[letter].append(one[letter] == two[letter])
                if one[letter] != two[letter]:
                    full = [
                        measured(measure_context(*inputs[mm], perturbations=PERTURBATIONS), OPTIONS)
                        for mm in (first, second)
                    ]
                    least = min(stated(item, letter) for item in full)
                    told.append((f"phantom {seed} {first:g}/{second:g} mm {letter}", least))
    show(differences, same, told)
    if arguments.out:
        text = json.dumps({"differences": differences, "same": same, "told": told}, indent=2)
        arguments.out.write_text(text + "\n", encoding="utf-8")


def show(differences: dict[str, list[float]], same: dict[str, list[bool]], told: list[tuple[str, float]]) -> None:
    """Print the tables."""
    for letter, values in differences.items():
        size = np.abs(values)
        print(
            f"{letter}: absolute difference median {np.median(size):.2f} mm, 95 % {np.percentile(size, 95):.2f} mm, "
            f"within 2.5 mm {100 * np.mean(size <= 2.5):.1f} % (n {len(size)}), mean {np.mean(values):+.2f}"
        )
    for letter, marks in same.items():
        print(f"{letter}: same points in {100 * np.mean(marks):.1f} %")
    print(f"all: same points in {100 * np.mean(np.concatenate(list(same.values()))):.1f} %")
    said = [least < SURE for _, least in told]
    print(f"where points differ, the stated probability is below {SURE:g} in {sum(said)} of {len(said)}:")
    for name, least in told:
        print(f"  {name}: {least:.2f}")


if __name__ == "__main__":
    main()
