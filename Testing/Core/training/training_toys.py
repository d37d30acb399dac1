"""A task and data of a few numbers, so that the loop can be watched."""

from dataclasses import dataclass

import torch
from torch import nn

from RenalCLIPCore.training.loop import Step, Validation
from RenalCLIPCore.training.stage import Stage


@dataclass(frozen=True, eq=False)
class ToyBatch:
    x: torch.Tensor
    y: torch.Tensor
    case_ids: tuple


class ToyTask:
    """A small network with dropout and batch norm, so that random states and buffers matter."""

    def __init__(self, seed=0):
        torch.manual_seed(seed)
        self.model = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 1))
        self.scores = None

    def training_step(self, batch):
        return Step(((self.model(batch.x)[:, 0] - batch.y) ** 2).mean(), {"toy": 1.0})

    def validate(self, batches):
        if self.scores is not None:
            return Validation(self.scores.pop(0))
        with torch.no_grad():
            errors = [((self.model(b.x)[:, 0] - b.y) ** 2).mean() for b in batches]
        return Validation(-float(torch.stack(errors).mean()))


class ToyData:
    """Three batches per epoch; ``broken`` is the (epoch, batch) whose values are not finite."""

    batches_per_epoch = 3

    def __init__(self, broken=None):
        self.broken = broken

    def batch(self, epoch, number):
        x = torch.randn(4, 3, generator=torch.Generator().manual_seed(100 * epoch + number))
        x = x * float("nan") if (epoch, number) == self.broken else x
        return ToyBatch(x, x.sum(1), tuple(f"case-{epoch}-{number}-{i}" for i in range(4)))

    def training(self, epoch, start, device):
        return (self.batch(epoch, number) for number in range(start, self.batches_per_epoch))

    def validation(self, device):
        return iter([self.batch(1000, 0)])


def toy_stage(**values):
    return Stage(**{"stage": "toy", "epochs": 4, "batch_size": 4, **values})
