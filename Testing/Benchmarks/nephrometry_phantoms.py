"""Agreement of measured nephrometry with a known truth: tilted phantoms and real kidneys with inserted lesions.

    python -m Testing.Benchmarks.nephrometry_phantoms --phantoms 300 [--masks FOLDER --inserted 3] [--out FILE]

Prints the share of correct points outside the band of one in-plane voxel around the cut-offs and including it.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from pathlib import Path

import numpy as np

from RenalCLIPCore.imaging.lesions import find_lesions
from RenalCLIPCore.imaging.nephrometry import measure_context
from RenalCLIPCore.imaging.nephrometry_components import points_of
from RenalCLIPCore.imaging.nephrometry_perturbation import values_of
from RenalCLIPCore.imaging.nephrometry_scores import NephrometryOptions, a_label
from Testing.Benchmarks.nephrometry_cases import (
    Truth,
    find,
    healthy_kidneys,
    inserted,
    phantom,
    phantom_labels,
    phantom_truth,
)

OPTIONS = NephrometryOptions()


class Score:
    """Counts of correct points per component and the errors of the values."""

    def __init__(self) -> None:
        self.correct: dict[str, list[tuple[bool, bool]]] = defaultdict(list)
        self.errors: dict[str, list[float]] = defaultdict(list)
        self.wrong: list[str] = []
        self.seconds: list[float] = []

    def add(self, name: str, truth: Truth, context) -> None:
        """Compare one measurement with its truth."""
        value = values_of(context.readings)
        points: dict[str, str] = {key: str(number) for key, number in points_of(value, OPTIONS).items()}
        points["A"] = a_label(value.front_mm, OPTIONS.band_mm)
        plane = max(length for key, length in value.diameters_mm.items() if key != "space")
        found = {"R": plane, "E": value.outside, "N": value.near_mm, "A": value.front_mm}
        for letter, wanted in truth.points.items():
            self.correct[letter].append((points[letter] == wanted, letter in truth.band))
            if points[letter] != wanted:
                near = " (in band)" if letter in truth.band else ""
                had = f" {found[letter]:.2f} for {truth.values[letter]:.2f}" if letter in truth.values else ""
                self.wrong.append(f"{name} {letter}: {points[letter]} for {wanted}{had}{near}")
        for letter, wanted_value in truth.values.items():
            self.errors[letter].append(found[letter] - wanted_value)

    def table(self) -> dict[str, dict[str, float]]:
        """Per component: cases, share correct with and without the band, error of the value."""
        rows = {}
        for letter in "RENAL":
            marks = self.correct.get(letter, [])
            if not marks:
                continue
            clear = [right for right, band in marks if not band]
            error = np.abs(self.errors[letter]) if letter in self.errors else np.array([np.nan])
            rows[letter] = {
                "cases": len(marks),
                "in band": len(marks) - len(clear),
                "correct outside the band": float(np.mean(clear)),
                "correct in all": float(np.mean([right for right, _ in marks])),
                "median absolute error": float(np.median(error)),
                "95 % absolute error": float(np.percentile(error, 95)),
            }
        return rows


def run_phantoms(count: int, first: int) -> Score:
    """Phantoms with slices of 1 to 3 mm."""
    score = Score()
    for seed in range(first, first + count):
        patient, kidney, primary = phantom(seed)
        slice_mm = float(np.random.default_rng(seed).uniform(1, 3))
        labels = phantom_labels(patient, kidney, slice_mm, seed)
        findings, lesion = find(labels, primary)
        start = time.process_time()
        context = measure_context(labels, findings, lesion, perturbations=0)
        score.seconds.append(time.process_time() - start)
        score.add(f"phantom {seed} ({slice_mm:.1f} mm)", phantom_truth(kidney, primary), context)
    return score


def run_inserted(folder: Path, each: int, first: int, continuous: bool) -> Score:
    """Real kidneys with inserted lesions, on the stored slices or on slices of 1 to 3 mm of their continuous shapes."""
    score = Score()
    for kidney in healthy_kidneys(folder, continuous):
        for seed in range(first, first + each):
            labels, _, truth = inserted(kidney, seed)
            if not (labels.array == 1).any():
                continue
            findings = find_lesions(labels, midline_x_mm=kidney.midline_x_mm)
            context = measure_context(labels, findings, findings.lesions[0], perturbations=0)
            score.add(f"{kidney.case} {kidney.side} {seed}", truth, context)
    return score


def show(title: str, score: Score) -> dict[str, object]:
    """Print a table and return it."""
    print(f"\n{title}")
    for letter, row in score.table().items():
        print(
            f"  {letter}  n {row['cases']}, outside the band {100 * row['correct outside the band']:.1f} %, all "
            f"{100 * row['correct in all']:.1f} % ({row['in band']} in the band); error median "
            f"{row['median absolute error']:.2f}, 95 % {row['95 % absolute error']:.2f}"
        )
    if score.seconds:
        print(f"  CPU seconds per measurement: median {np.median(score.seconds):.2f}, most {max(score.seconds):.2f}")
    for line in score.wrong:
        print(f"    {line}")
    return {"table": score.table(), "wrong": score.wrong}


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--phantoms", type=int, default=300)
    parser.add_argument("--first", type=int, default=1000, help="first seed")
    parser.add_argument("--masks", type=Path, help="folder of KiTS masks, for real kidneys with inserted lesions")
    parser.add_argument("--inserted", type=int, default=3, help="lesions per real kidney")
    parser.add_argument("--first-inserted", type=int, default=0, help="first seed of the inserted lesions")
    words = "draw the real kidneys anew on slices of 1 to 3 mm, not on their stored slices"
    parser.add_argument("--continuous", action="store_true", help=words)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    results = {}
    if arguments.phantoms:
        results["phantoms"] = show("Phantoms", run_phantoms(arguments.phantoms, arguments.first))
    if arguments.masks:
        results["inserted"] = show(
            "Real kidneys, inserted lesions",
            run_inserted(arguments.masks, arguments.inserted, arguments.first_inserted, arguments.continuous),
        )
    if arguments.out:
        arguments.out.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
