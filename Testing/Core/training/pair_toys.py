"""Image-text pairs of a few voxels, made from seeds, with and without a share of every batch."""

import torch

from RenalCLIPCore.training.alignment import AlignmentTask, PairBatch
from RenalCLIPCore.training.pretraining_stages import ClipConfiguration

DIMENSIONS = 6
BATCH = 8


def toy_clip(**values):
    defaults = {
        "epochs": 2,
        "batch_size": BATCH,
        "precision": "fp32",
        "image_start": "random",
        "encoder": {"width": 2},
        "optimiser": {"learning_rate": 1e-4, "clip_norm": 0.2},
    }
    return ClipConfiguration(**{**defaults, **values})


def toy_batch(seed, count=BATCH):
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(count, 1, 16, 32, 32, generator=generator)
    texts = torch.nn.functional.normalize(torch.randn(count, DIMENSIONS, generator=generator), dim=-1)
    return PairBatch(images, texts, tuple(f"{seed}-{i}" for i in range(count)), ("A",) * count)


class ToyPairs:
    """Three batches per epoch."""

    batches_per_epoch = 3

    def __init__(self, share=list):
        self.share = share

    def training(self, epoch, start, device):
        for number in range(start, self.batches_per_epoch):
            batch = toy_batch(10 * epoch + number)
            own = list(self.share(range(BATCH)))
            yield PairBatch(
                batch.images[own], batch.texts[own], tuple(batch.case_ids[i] for i in own), ("A",) * len(own)
            )

    def validation(self, device):
        return iter([toy_batch(1000)])


def toy_task(configuration):
    return AlignmentTask(configuration, DIMENSIONS)
