"""Found against true lesion centre on phantom studies that no training saw.

``python -m Testing.Benchmarks.centres``: for each seed, the arterial phase is rendered as the demo study is, segmented
by the demo bundle's nnU-Net, and the primary lesion's centre compared with the truth of the continuous shapes.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from RenalCLIPCore.imaging.lesions import find_lesions
from RenalCLIPCore.imaging.segmentation import SegmentationModel, segment
from RenalCLIPCore.imaging.study import Phase
from RenalCLIPCore.phantom.anatomy import draw_patient
from RenalCLIPCore.phantom.grids import study_geometry
from RenalCLIPCore.phantom.render import render_labels, render_phase
from RenalCLIPCore.phantom.truth import truth
from RenalCLIPCore.session import demo_bundle

FIRST_SEED = 900_001
NEAR_MM = 5.0


def dice(found: np.ndarray, wanted: np.ndarray) -> float:
    """Dice coefficient of two masks; NaN when both are empty."""
    total = int(found.sum()) + int(wanted.sum())
    return float("nan") if total == 0 else 2.0 * int((found & wanted).sum()) / total


def main() -> None:
    """Print one row per study and the count."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=20)
    parser.add_argument("--phase", default="A", choices=list("NAVD"))
    parser.add_argument("--model", default=None, help="segmentation model (default: the demo bundle's)")
    arguments = parser.parse_args()
    model = SegmentationModel.load(Path(arguments.model) if arguments.model else demo_bundle() / "segmentation")
    print("| seed | true side, label, mm | found side, label, mm | distance mm | Dice kidney, tumour, cyst |")
    print("| --- | --- | --- | --- | --- |")
    near = 0
    for seed in range(FIRST_SEED, FIRST_SEED + arguments.studies):
        patient = draw_patient(seed)
        grid = study_geometry(patient)
        volume = render_phase(patient, Phase(arguments.phase), grid, seed=seed)
        labels = segment(volume, model).labels
        wanted = render_labels(patient, grid).array
        scores = ", ".join(f"{dice(labels.array == value, wanted == value):.2f}" for value in (1, 2, 3))
        true = truth(patient).primary
        lesions = find_lesions(labels).lesions
        if not lesions:
            print(
                f"| {seed} | {true.side}, {true.label}, {true.largest_diameter_mm:.0f} | none | | {scores} |",
                flush=True,
            )
            continue
        found = lesions[0]
        distance = float(np.linalg.norm(np.subtract(found.centre_lps_mm, true.centre_lps_mm)))
        near += distance <= NEAR_MM
        print(
            f"| {seed} | {true.side}, {true.label}, {true.largest_diameter_mm:.0f} "
            f"| {found.side}, {found.label}, {found.largest_diameter_mm:.0f} | {distance:.1f} | {scores} |",
            flush=True,
        )
    print(f"\n{near} of {arguments.studies} within {NEAR_MM:g} mm")


if __name__ == "__main__":
    main()
