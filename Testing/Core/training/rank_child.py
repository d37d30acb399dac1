"""One of several training processes: ``rank_child.py MODE FOLDER``, with torchrun's environment."""

import os
import sys
from pathlib import Path

import torch

from RenalCLIPCore.errors import RenalCLIPError
from RenalCLIPCore.training.distribution import gather, joined
from RenalCLIPCore.training.loop import Trainer
from Testing.Core.training.pair_toys import ToyPairs, toy_clip, toy_task


def curve(folder, batch_norm, ranks, **fit):
    configuration = toy_clip(batch_norm=batch_norm, checkpoints={"every_steps": 1})
    Trainer(toy_task(configuration), ToyPairs(ranks.share), configuration, folder, ranks=ranks).fit(**fit)


def gathered(ranks):
    own = torch.full((1, 2), float(ranks.rank + 1), requires_grad=True)
    every = gather(own)
    (every * torch.tensor([[1.0], [10.0]])).sum().backward()
    assert every.detach().tolist() == [[1.0, 1.0], [2.0, 2.0]]
    # both processes' losses hold it
    assert own.grad.tolist() == [[2.0 * 10**ranks.rank] * 2]


def dying(folder, ranks):
    def leave(fraction, words):
        if ranks.rank == 1 and fraction > 0.3:
            os._exit(9)

    curve(folder / "dying", "fixed", ranks, progress=leave)


def main(mode, folder):
    torch.set_num_threads(1)
    with joined(timeout_minutes=1) as ranks:
        if mode == "dying":
            dying(folder, ranks)
        elif mode == "resumed":
            curve(folder / "dying", "fixed", ranks, resume=True)
        else:
            gathered(ranks)
            curve(folder / "fixed", "fixed", ranks)
            curve(folder / "synchronised", "synchronised", ranks)


if __name__ == "__main__":
    try:
        main(sys.argv[1], Path(sys.argv[2]))
    except RenalCLIPError as error:
        print(error, file=sys.stderr)
        # as a process of its own would end: without waiting for the dead one
        sys.stderr.flush()
        os._exit(2)
