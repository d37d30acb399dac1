"""``python -m Testing.Benchmarks.learning``: gradient caching's memory, and augmentation against MONAI's chain.

Memory is measured in processes of their own, as the largest resident size beyond that of the batch's inputs.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

from RenalCLIPCore.cohort.augmentation import Augmentation, augment, draw_parameters
from RenalCLIPCore.training.alignment import AlignmentTask, PairBatch
from RenalCLIPCore.training.pretraining_stages import ClipConfiguration
from Testing.Benchmarks.rows import Row

CHUNK = 4


def peak_mb(batch: int, chunk: int | None, width: int) -> float:
    """Largest resident size of one training step beyond what was there before it, in MB."""
    torch.set_num_threads(1)
    configuration = ClipConfiguration(encoder={"width": width}, image_start="random", chunk=chunk)
    task = AlignmentTask(configuration, 64)
    task.model.train()
    images = torch.rand(batch, 1, 32, 128, 128, generator=torch.Generator().manual_seed(0))
    texts = torch.nn.functional.normalize(torch.randn(batch, 64), dim=-1)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    task.training_step(PairBatch(images, texts, ("a",) * batch, ("A",) * batch)).loss.backward()
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


def bench_memory(width: int, batches: tuple[int, ...]) -> list[Row]:
    """Plain and cached steps of growing batches."""
    rows = []
    for chunk, words in ((None, "plain step"), (CHUNK, f"gradient caching, chunks of {CHUNK}")):
        with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
            found = [pool.apply(peak_mb, (batch, chunk, width)) for batch in batches]
        listed = ", ".join(f"{batch}: {mb:.0f} MB" for batch, mb in zip(batches, found, strict=True))
        reach = "flat in the batch size" if chunk else "for comparison"
        rows.append(Row(f"activation memory by batch size, width {width}, {words}", listed, reach))
    return rows


def monai_chain() -> Callable[[torch.Tensor], Any]:
    """The paper's augmentation from MONAI's transforms, for regions (1, z, x, y)."""
    import math

    from monai.transforms import (
        Compose,
        RandAdjustContrast,
        RandAffine,
        RandScaleIntensity,
        RandShiftIntensity,
        RandSpatialCrop,
    )

    angle = math.pi / 10
    return Compose(
        [
            RandSpatialCrop((32, 128, 128), random_size=False),
            RandAffine(
                prob=1.0,
                rotate_range=(angle, angle, angle),
                translate_range=(0, 10, 10),
                scale_range=(0, 0.1, 0.1),
                padding_mode="zeros",
            ),
            RandScaleIntensity(0.1, prob=1.0),
            RandShiftIntensity(0.1, prob=1.0),
            RandAdjustContrast(prob=0.5, gamma=(0.5, 2.0)),
        ]
    )


def bench_augmentation(samples: int) -> list[Row]:
    """Time per sample on one core, both with the paper's ranges; rotation in the plane alone beside it."""
    torch.set_num_threads(1)
    images = torch.rand(samples, 1, 32, 140, 140, generator=torch.Generator().manual_seed(0))
    chain = monai_chain()
    chain_s = _median_s(lambda: [chain(image) for image in images]) / samples
    rows = []
    for words, rotation in (("all axes", (0.314, 0.314, 0.314)), ("in the plane", (0.0, 0.0, 0.314))):
        drawn = draw_parameters(Augmentation(rotation_rad=rotation), range(samples), 12)
        own_s = _median_s(lambda drawn=drawn: augment(images, drawn)) / samples
        measured = (
            f"{1000 * own_s:.1f} ms against {1000 * chain_s:.1f} ms per sample: {chain_s / own_s:.2f} times as fast"
        )
        rows.append(Row(f"augmentation, rotation {words}, against MONAI's chain", measured, "faster"))
    return rows


def _median_s(function: Callable[[], object], runs: int = 5) -> float:
    function()
    times = []
    for _ in range(runs):
        start = time.process_time()
        function()
        times.append(time.process_time() - start)
    return statistics.median(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--width", type=int, default=16, help="of the encoder (default 16)")
    parser.add_argument("--batches", type=int, nargs="+", default=[8, 16, 32], help="batch sizes (default 8 16 32)")
    parser.add_argument("--samples", type=int, default=8, help="samples to augment (default 8)")
    arguments = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    rows = [*bench_memory(arguments.width, tuple(arguments.batches)), *bench_augmentation(arguments.samples)]
    for row in rows:
        print(f"{row.what}: {row.measured} ({row.reach})")


if __name__ == "__main__":
    main()
