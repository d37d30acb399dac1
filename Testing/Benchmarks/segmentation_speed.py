"""Kidneys-first segmentation against nnU-Net's default predictor: speed at full size, agreement on phantoms.

Speed: the network has nnU-Net's full size (31 M parameters, patch 128 x 128 x 128 at 0.78 mm) and random weights, so
the kidney finder's answer is replaced by two boxes' worth of labels; the work is that of a real model on a CT of
512 x 512 x 119. The default predictor's time is one tile's time by the number of its tiles and mirrors, with nnU-Net's
eight mirrored copies. Processor seconds, so that a busy machine does not count.

Agreement: the demo bundle's nnU-Net on phantoms, against nnU-Net's own predictor with its default settings.

Usage: python -m Testing.Benchmarks.segmentation_speed
"""

from __future__ import annotations

import contextlib
import copy
import io
import time

import numpy as np
import torch
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from RenalCLIPCore.imaging.kidney_boxes import find_boxes
from RenalCLIPCore.imaging.nnunet_model import SegmentationModel, TrainedConfiguration
from RenalCLIPCore.imaging.segmentation import SegmentOptions, _crop, _Run, segment
from RenalCLIPCore.imaging.study import Phase
from RenalCLIPCore.imaging.volume import Geometry, Volume
from RenalCLIPCore.phantom.anatomy import draw_patient
from RenalCLIPCore.phantom.grids import study_geometry
from RenalCLIPCore.phantom.render import render_labels, render_phase
from RenalCLIPCore.session import demo_bundle
from Testing.Benchmarks.rows import Row
from Testing.Core.imaging.nnunet_toys import LABELS, checkpoint, dataset, plans

GRID = Geometry.from_components((512, 512, 119), (0.743, 0.743, 1.6), (-190.0, -190.0, -95.0), np.eye(3))
STAGES = 6
SEEDS = (700_001, 700_003, 700_008)


def full_size_plans() -> dict:
    """nnU-Net's usual plans for kidney CT."""
    content = plans(spacing=(0.78125, 0.78125, 0.78125), patch=(128, 128, 128))
    content["configurations"]["3d_fullres"]["architecture"]["arch_kwargs"].update(
        n_stages=STAGES,
        features_per_stage=[32, 64, 128, 256, 320, 320],
        kernel_sizes=[[3, 3, 3]] * STAGES,
        strides=[[1, 1, 1]] + [[2, 2, 2]] * (STAGES - 1),
        n_conv_per_stage=[2] * STAGES,
        n_conv_per_stage_decoder=[2] * (STAGES - 1),
    )
    return content


def model() -> SegmentationModel:
    """The full-size model with random weights."""
    content = full_size_plans()
    weights = checkpoint(copy.deepcopy(content), 0, len(LABELS))["network_weights"]
    trained = TrainedConfiguration("3d_fullres", content, dataset(), (weights,), (0, 1, 2), {1: 1, 2: 2, 3: 3}, "LPS")
    return SegmentationModel("full size", "0" * 64, {"3d_fullres": trained})


def kidneys(grid: Geometry) -> np.ndarray:
    """Two ellipsoids, 55 x 50 x 110 mm, where kidneys lie."""
    index = np.stack(np.meshgrid(*(np.arange(n) for n in grid.size), indexing="ij"), axis=-1)
    place = grid.lps(index)
    found = np.zeros(grid.size, np.uint8)
    for x in (-65.0, 65.0):
        found[(((place - (x, 30.0, 0.0)) / (27.5, 25.0, 55.0)) ** 2).sum(axis=-1) <= 1] = 1
    return found


def bench_segmentation() -> Row:
    """Kidneys first in bfloat16 against the default predictor's work, at full size."""
    volume = Volume(np.random.default_rng(0).normal(0, 100, GRID.size).astype(np.int16), GRID)
    loaded = model()
    runner = loaded.runner(loaded.fine)
    tiles: list[float] = []
    run = _Run(volume, loaded, SegmentOptions(low_precision=True), lambda share, _words: tiles.append(share))
    start = time.process_time()
    run._find()
    finding, coarse_tiles = time.process_time() - start, len(tiles)
    boxes = find_boxes(volume, Volume(kidneys(GRID), GRID), 20.0, run._patch_mm())
    start = time.process_time()
    for box in boxes:
        run._predict(runner, _crop(volume, box), (0.0, 1.0), "box")
    boxing, box_tiles = time.process_time() - start, len(tiles) - coarse_tiles
    with torch.inference_mode():
        tile = torch.zeros(1, 1, 128, 128, 128)
        start = time.process_time()
        runner._network(tile)
        plain = time.process_time() - start
    size = np.asarray(GRID.size) * np.asarray(GRID.spacing_mm) / 0.78125
    count = int(np.prod([np.ceil((max(n, 128) - 128) / 64) + 1 for n in np.round(size)]))
    ours, default = finding + boxing, plain * count * 8
    words = (
        f"{default / ours:.0f} times ({coarse_tiles} coarse and {box_tiles} fine tiles in {ours:.0f} s, "
        f"against {count} tiles x 8 mirrors x {plain:.1f} s)"
    )
    return Row(
        "segmentation of 512 x 512 x 119, full-size nnU-Net, against the default predictor", words, ">= 50 times"
    )


def default_labels(volume: Volume, loaded: SegmentationModel) -> np.ndarray:
    """What nnU-Net's own predictor says with its default settings, on the volume's canonical grid."""
    trained = loaded.fine
    plans = PlansManager(trained.plans)
    canonical = volume.canonical()
    network = copy.deepcopy(loaded.runner(trained)._network)
    predictor = nnUNetPredictor(device=torch.device("cpu"), allow_tqdm=False)
    predictor.manual_initialization(
        network,
        plans,
        plans.get_configuration(trained.name),
        [dict(weights) for weights in trained.folds],
        trained.dataset,
        "nnUNetTrainer",
        trained.mirror_axes,
    )
    image = canonical.array.transpose(2, 1, 0)[None].astype(np.float32)
    properties = {"spacing": [float(value) for value in reversed(canonical.geometry.spacing_mm)]}
    with contextlib.redirect_stdout(io.StringIO()):
        found = predictor.predict_single_npy_array(image, properties)
    return np.asarray(found).transpose(2, 1, 0)


def _masks(labels: np.ndarray) -> list[np.ndarray]:
    """Kidneys with lesions, parenchyma, tumour, cyst."""
    return [labels > 0, *(labels == label for label in (1, 2, 3))]


def bench_agreement() -> Row:
    """Kidneys first against the default predictor, same model, phantoms: Dice of each label, also to the truth."""
    loaded = SegmentationModel.load(demo_bundle() / "segmentation")
    assert loaded.fine.orientation == "LPS"
    overlap = {pair: np.zeros((2, 4)) for pair in ("each other", "ours to truth", "default's to truth")}
    seconds = {"ours": 0.0, "default": 0.0}
    for seed in SEEDS:
        patient = draw_patient(seed)
        grid = study_geometry(patient)
        volume = render_phase(patient, Phase.A, grid, seed=seed)
        truth = render_labels(patient, grid).canonical().array
        start = time.process_time()
        ours = segment(volume, loaded).labels.canonical().array
        seconds["ours"] += time.process_time() - start
        start = time.process_time()
        default = default_labels(volume, loaded)
        seconds["default"] += time.process_time() - start
        pairs = ((ours, default), (ours, truth), (default, truth))
        for sums, (first, second) in zip(overlap.values(), pairs, strict=True):
            for place, (a, b) in enumerate(zip(_masks(first), _masks(second), strict=True)):
                sums[:, place] += 2 * int((a & b).sum()), int(a.sum()) + int(b.sum())
    dice = {pair: sums[0] / sums[1] for pair, sums in overlap.items()}
    names = ("kidneys with lesions", "parenchyma", "tumour", "cyst")
    words = "Dice " + ", ".join(f"{name} {value:.3f}" for name, value in zip(names, dice["each other"], strict=True))
    for pair in ("ours to truth", "default's to truth"):
        words += f"; {pair} {' / '.join(f'{value:.3f}' for value in dice[pair])}"
    words += f"; {seconds['default'] / seconds['ours']:.0f} times faster"
    return Row("the phantom's nnU-Net, kidneys first, against the default predictor's labels", words, "Dice >= 0.98")


def main() -> None:
    """Measure and print."""
    for row in (bench_agreement(), bench_segmentation()):
        print(f"| {row.what} | {row.measured} | {row.reach} |", flush=True)


if __name__ == "__main__":
    main()
