"""Time and memory of measured nephrometry on one core: a phantom mask of 512 x 512 x 600 voxels, or given masks.

    python -m Testing.Benchmarks.nephrometry_speed [--masks FILE ...]

CPU seconds are those of a process of its own that is held to one core; memory is its peak. Reading and finding the
lesions are counted apart from measuring.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from RenalCLIPCore.imaging.lesions import find_lesions
from RenalCLIPCore.imaging.nephrometry import PERTURBATIONS, measure
from RenalCLIPCore.imaging.volume import Geometry, Volume, read_volume, write_volume

SIZE = (512, 512, 600)
SPACING_MM = (0.8, 0.8, 0.8)


def phantom_mask(seed: int) -> Volume:
    """Both kidneys and all lesions of a phantom on the large grid."""
    from RenalCLIPCore.phantom.anatomy import draw_patient
    from RenalCLIPCore.phantom.render import render_labels

    patient = draw_patient(seed)
    middle = np.mean([kidney.outline.centre_lps_mm for kidney in patient.kidneys], axis=0)
    origin = middle - np.multiply(SPACING_MM, np.subtract(SIZE, 1)) / 2
    return render_labels(patient, Geometry.from_components(SIZE, SPACING_MM, origin, np.eye(3)))


def measure_here(path: Path, perturbations: int) -> dict[str, float]:
    """Measure the primary lesion of a mask in this process."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[0]})
    start = time.process_time()
    labels = read_volume(path)
    read = time.process_time()
    findings = find_lesions(labels)
    found = time.process_time()
    assert findings.primary is not None
    measure(labels, findings, findings.primary, perturbations=perturbations)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 / (1024 if sys.platform == "darwin" else 1)
    return {"read": read - start, "find": found - read, "measure": time.process_time() - found, "peak MB": peak}


def in_own_process(path: Path, perturbations: int) -> dict[str, float]:
    """The same in a process of one thread."""
    command = [sys.executable, "-m", "Testing.Benchmarks.nephrometry_speed", "--own", str(path), str(perturbations)]
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"), "1")
    done = subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ, **threads})
    return dict(json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--masks", type=Path, nargs="*", default=[], help="measure these instead of the phantom")
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--own", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.own:
        print(json.dumps(measure_here(Path(arguments.own[0]), int(arguments.own[1]))))
        return
    with tempfile.TemporaryDirectory() as name:
        masks = arguments.masks
        if not masks:
            masks = [Path(name) / "mask.nii.gz"]
            write_volume(phantom_mask(arguments.seed), masks[0])
        for path in masks:
            size = " x ".join(str(n) for n in read_volume(path).geometry.size)
            for perturbations in (0, PERTURBATIONS):
                row = in_own_process(path, perturbations)
                total = row["read"] + row["find"] + row["measure"]
                parts = ", ".join(f"{name} {row[name]:.1f} s" for name in ("read", "find", "measure"))
                print(f"{size}, {perturbations} perturbations: {parts}, together {total:.1f} s CPU; "
                      f"peak {row['peak MB'] / 1000:.2f} GB", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
