"""What the predecessor adds to a case: slices cut, two full-size networks read, two maps. Random weights.

    python -m Testing.Benchmarks.predecessor [fast|exact] [threads]

Seconds of one case beside the 3-D model, the best of six: elapsed, and of the processor (whatever else runs).
"""

from __future__ import annotations

import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from RenalCLIPCore.imaging.lesion_slice import SliceSpec, extract_slices
from RenalCLIPCore.imaging.study import Phase
from RenalCLIPCore.imaging.volume import Geometry, Volume
from RenalCLIPCore.inference.predecessor import explain_predecessor, read_predecessor, slice_spec
from RenalCLIPCore.models.bundle import Bundle, write_bundle
from RenalCLIPCore.models.manifest import MultiphaseEntry
from RenalCLIPCore.models.multiphase import MultiphaseNetwork
from RenalCLIPCore.review import Absent
from Testing.Core.models.bundle_toys import task, toy_contents

TASKS = ("malignancy", "aggressiveness")


def bundle_with_full_networks(folder: Path, precision: str) -> Bundle:
    """The toy bundle with two networks of the published size."""
    entries = tuple(MultiphaseEntry(task=task(name), any_subset=True) for name in TASKS)
    networks = {
        name: MultiphaseNetwork("NAV", "cross-attention", seed=number).half() for number, name in enumerate(TASKS)
    }
    contents = toy_contents()
    manifest = contents.manifest.model_copy(update={"multiphase": entries})
    write_bundle(folder, replace(contents, manifest=manifest, multiphase=networks))
    return Bundle.load(folder, precision=precision)


def study() -> dict[Phase, Volume]:
    """Three phases of 512 x 512 x 119 voxels."""
    grid = Geometry.from_components((512, 512, 119), (0.78, 0.78, 2.5), (-200, -200, -150), np.eye(3))
    values = np.random.default_rng(0).normal(40, 30, grid.size).astype(np.int16)
    return {phase: Volume(values, grid) for phase in (Phase.N, Phase.A, Phase.V)}


def main(precision: str = "fast", threads: str = "2") -> None:
    """Measure and print."""
    torch.set_num_threads(int(threads))
    volumes = study()
    with tempfile.TemporaryDirectory() as folder:
        bundle = bundle_with_full_networks(Path(folder) / "bundle", precision)
    spec: SliceSpec = slice_spec(bundle.manifest.multiphase[0].slices)
    best = {"read": (1e9, 1e9), "maps": (1e9, 1e9)}
    for _ in range(6):
        wall, processor = time.perf_counter(), time.process_time()
        slices = extract_slices(volumes, volumes[Phase.A].geometry, (10.0, 20.0, 5.0), spec)
        _, outputs = read_predecessor(bundle, {spec: slices}, Absent("not read"))
        middle_wall, middle = time.perf_counter(), time.process_time()
        for output in outputs.values():
            explain_predecessor(bundle, output)
        now_wall, now = time.perf_counter(), time.process_time()
        best["read"] = min(best["read"], (middle_wall - wall, middle - processor))
        best["maps"] = min(best["maps"], (now_wall - middle_wall, now - middle))
    for what, (elapsed, cpu) in best.items():
        print(f"{what}: {elapsed:.3f} s elapsed, {cpu:.3f} s of the processor ({precision}, {threads} threads)")


if __name__ == "__main__":
    main(*sys.argv[1:])
