"""How much faster kidneys-first in low precision is than nnU-Net's default predictor, full size, 512 x 512 x 119.

The network has nnU-Net's full size (31 M parameters, patch 128 x 128 x 128 at 0.78 mm) and random weights, so the
kidney finder's answer is replaced by two boxes' worth of labels; the work is that of a real model. The default
predictor's time is one tile's time by the number of its tiles and mirrors. Processor seconds, so that a busy machine
does not count.

Usage: python -m Testing.Benchmarks.segmentation_speed
"""

from __future__ import annotations

import copy
import time

import numpy as np
import torch

from RenalCLIPCore.imaging.kidney_boxes import find_boxes
from RenalCLIPCore.imaging.nnunet_model import SegmentationModel, TrainedConfiguration
from RenalCLIPCore.imaging.segmentation import SegmentOptions, _crop, _Run
from RenalCLIPCore.imaging.volume import Geometry, Volume
from Testing.Core.imaging.nnunet_toys import LABELS, checkpoint, dataset, plans

GRID = Geometry.from_components((512, 512, 119), (0.743, 0.743, 1.6), (-190.0, -190.0, -95.0), np.eye(3))
STAGES = 6


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


def main() -> None:
    """Measure and print."""
    volume = Volume(np.random.default_rng(0).normal(0, 100, GRID.size).astype(np.int16), GRID)
    loaded = model()
    runner = loaded.runner(loaded.fine)
    tiles: list[float] = []
    run = _Run(volume, loaded, SegmentOptions(low_precision=True), lambda share, _words: tiles.append(share))
    start = time.process_time()
    run._find()
    finding, coarse_tiles = time.process_time() - start, len(tiles)
    labels = kidneys(GRID)
    boxes = find_boxes(volume, Volume(labels, GRID), 20.0, run._patch_mm())
    start = time.process_time()
    for box in boxes:
        run._predict(runner, _crop(volume, box), (0.0, 1.0), "box")
    boxing, box_tiles = time.process_time() - start, len(tiles) - coarse_tiles
    network = runner._network
    with torch.inference_mode():
        tile = torch.zeros(1, 1, 128, 128, 128)
        start = time.process_time()
        network(tile)
        plain = time.process_time() - start
    size = np.asarray(GRID.size) * np.asarray(GRID.spacing_mm) / 0.78125
    count = int(np.prod([np.ceil((max(n, 128) - 128) / 64) + 1 for n in np.round(size)]))
    ours, default = finding + boxing, plain * count * 8
    print(f"finder {coarse_tiles} tiles {finding:.1f} s, {len(boxes)} boxes {box_tiles} tiles {boxing:.1f} s")
    print(f"default: {count} tiles x 8 mirrors x {plain:.1f} s = {default / 60:.0f} minutes")
    print(f"kidneys first in bf16: {ours:.0f} s, {default / ours:.0f} times faster")


if __name__ == "__main__":
    main()
