"""``make bench``: speed, as ratios taken in one run. Both sides must give the same values before they are timed."""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch

from RenalCLIPCore.imaging.roi import RoiSpec, extract_rois
from RenalCLIPCore.imaging.study import Phase, read_study
from RenalCLIPCore.imaging.volume import Geometry, Volume
from RenalCLIPCore.models.bundle import BundleContents, write_bundle
from RenalCLIPCore.models.encoder import Precision, RenalEncoder, accelerated
from RenalCLIPCore.phantom.anatomy import draw_patient
from RenalCLIPCore.phantom.grids import study_geometry
from RenalCLIPCore.phantom.render import TissueMap, render_labels, render_phase
from RenalCLIPCore.phantom.truth import truth
from Testing.Benchmarks.evaluation import bench_bootstrap
from Testing.Benchmarks.full_size import full_size_contents
from Testing.Benchmarks.naive_roi import naive_rois
from Testing.Benchmarks.reference_encoder import reference_features
from Testing.Benchmarks.rows import Row
from Testing.Benchmarks.segmentation_speed import bench_agreement, bench_segmentation
from Testing.Core.phantom_case import write_phantom_study
from Testing.Core.test_worker_methods import Host


def median_s(function: Callable[[], object], runs: int) -> float:
    """Median wall time of a call after one warm-up, in seconds."""
    function()
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def four_phases(columns: int, slice_mm: float) -> tuple[dict[Phase, Volume], Volume, tuple[float, float, float]]:
    """Phases (each on a grid of its own but the arterial), arterial labels and true centre of a phantom."""
    patient = draw_patient(11)
    grid = study_geometry(patient, columns=columns, slice_mm=slice_mm)
    volumes = {}
    for number, phase in enumerate((Phase.A, Phase.N, Phase.V, Phase.D)):
        shifted = Geometry.from_components(
            grid.size, grid.spacing_mm, np.add(grid.origin_lps_mm, 0.37 * number), grid.direction_matrix
        )
        volumes[phase] = render_phase(patient, phase, shifted, seed=11, tissues=TissueMap(patient, shifted))
    return volumes, render_labels(patient, grid), truth(patient).primary.centre_lps_mm


def bench_roi(volumes: dict[Phase, Volume], centre: tuple[float, float, float]) -> Row:
    """Regions of interest against whole-volume resampling."""
    reference = volumes[Phase.A].geometry
    naive, ours = naive_rois(volumes, reference, centre, RoiSpec()), extract_rois(volumes, reference, centre)
    worst = max(float(np.abs(naive[phase] - ours[phase].array).max()) for phase in volumes)
    assert worst < 1e-4, worst
    slow = median_s(lambda: naive_rois(volumes, reference, centre, RoiSpec()), 3)
    fast = median_s(lambda: extract_rois(volumes, reference, centre), 15)
    words = f"{slow / fast:.0f} times ({1e3 * fast:.0f} ms against {1e3 * slow:.0f} ms; largest difference {worst:.0e})"
    return Row("ROI of four phases in memory, against whole-volume resampling then cropping", words, ">= 20 times")


def bench_files(study_folder: Path, centre: tuple[float, float, float]) -> Row:
    """Regions of interest from compressed files against reading the files."""
    study = read_study(study_folder)

    def read() -> dict[Phase, Volume]:
        return {phase: item.read() for phase, item in study.phases.items()}

    alone = median_s(read, 3)
    both = median_s(lambda: extract_rois(read(), study.reference.geometry, centre), 3)
    return Row(
        "ROI of four phases from compressed files, against reading the files alone",
        f"{both / alone:.2f} times",
        "<= 1.2 times",
    )


def bench_encoder() -> Row:
    """The full-size encoder, four phases, against the reference's way."""
    encoder = RenalEncoder(generator=torch.Generator().manual_seed(0)).eval()
    x = torch.rand(4, 1, 32, 128, 128, generator=torch.Generator().manual_seed(1))
    last = x.contiguous(memory_format=torch.channels_last_3d)
    with torch.no_grad():
        wanted = reference_features(encoder, x)
    slow = median_s(lambda: reference_features(encoder, x), 3)
    encoder = encoder.to(memory_format=torch.channels_last_3d)
    networks = {Precision.EXACT: encoder, Precision.FAST: accelerated(encoder)}
    times, errors = {}, {}
    with torch.no_grad():
        for precision, network in networks.items():
            errors[precision] = float((network(last) - wanted).norm() / wanted.norm())
            times[precision] = median_s(partial(network, last), 5)
    assert errors[Precision.EXACT] < 1e-5, errors
    assert errors[Precision.FAST] < 1e-2, errors
    words = "; ".join(
        f"{p}: {slow / times[p]:.1f} times ({times[p]:.2f} s against {slow:.2f} s, features differ by {errors[p]:.0e})"
        for p in Precision
    )
    return Row(
        "full-size encoder, four phases, against unfold pooling in float32", words, ">= 2 times; 1e-5 exact, 1e-2 fast"
    )


def bench_worker(folder: Path, study: Path, masks: Path, centre: tuple[float, float, float]) -> list[Row]:
    """A moved centre in a warm worker with the full-size encoder."""
    contents: BundleContents = full_size_contents()
    write_bundle(folder / "full", contents)
    host = Host("--work", str(folder / "work"), "--precision", "fast")
    host.call("bundle.load", path=str(folder / "full"))
    host.call("study.open", path=str(study))
    host.call("segment", file=str(masks))
    host.call("review")
    generator = np.random.default_rng(0)
    times = []
    for _ in range(12):
        point = [float(v) for v in np.add(centre, generator.normal(0, 4, 3))]
        start = time.perf_counter()
        answer = host.call("review.update", lesion_id="L1", centre_lps_mm=point)
        times.append(time.perf_counter() - start)
        assert "result" in answer, answer
    host.notifications.clear()
    start = time.perf_counter()
    host.wait_for("review.uncertainty")
    follow = time.perf_counter() - start
    host.close()
    median = statistics.median(times[2:])
    return [
        Row(
            "worker: moved centre to new review, four phases, full-size encoder",
            f"{median:.2f} s median",
            "<= 0.6 s (<= 0.3 s)",
        ),
        Row("worker: explanation and uncertainty after it", f"{follow:.1f} s", "<= 3 s"),
    ]


def bench_help() -> Row:
    """Start-up of the command line."""
    command = [sys.executable, "-m", "RenalCLIPCore.cli", "--help"]
    seconds = median_s(lambda: subprocess.run(command, capture_output=True, check=True), 7)
    return Row("renalclip --help", f"{seconds:.2f} s", "<= 0.3 s")


def bench_workstation() -> list[Row]:
    """The workstation's window, in a process of its own."""
    command = [sys.executable, "-m", "Testing.Benchmarks.workstation"]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    found = json.loads(done.stdout.decode().splitlines()[-1])
    opening = f"{found['opening_s']:.2f} s ({found['opening_work_s']:.2f} s of processor time)"
    rows = [
        Row("workstation: point released to refreshed panels", f"{found['drag_s']:.2f} s median", "<= 1 s"),
        Row("workstation: opening the module", opening, "<= 1 s"),
    ]
    for name in ("segmenting", "reviewing"):
        words = f"{found[f'{name}_block_ms']:.0f} ms ({found[f'{name}_work_ms']:.0f} ms of the window's processor time)"
        rows.append(Row(f"workstation: longest block of the event loop while {name}", words, "<= 100 ms"))
    return rows


def main() -> None:
    """Run all benchmarks and print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="also write the rows here")
    arguments = parser.parse_args()
    print(f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}", flush=True)
    rows = [bench_help(), bench_encoder()]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        volumes, labels, centre = four_phases(512, 2.0)
        rows.append(bench_roi(volumes, centre))
        study, masks = write_phantom_study(folder / "study", volumes, labels)
        rows.append(bench_files(study.folder, centre))
        rows += bench_worker(folder, study.folder, masks, centre)
    rows += [bench_agreement(), bench_segmentation()]
    rows.append(bench_bootstrap())
    rows += bench_workstation()
    print("| what | measured | reach |\n| --- | --- | --- |")
    for row in rows:
        print(f"| {row.what} | {row.measured} | {row.reach} |")
    if arguments.json:
        arguments.json.write_text(json.dumps([vars(row) for row in rows], indent=2) + "\n")


if __name__ == "__main__":
    main()
