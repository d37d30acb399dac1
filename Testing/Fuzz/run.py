"""Mutation fuzzing: ``python -m Testing.Fuzz.run --mutants 1200 --seed 1``.

Each mutant runs in a forked child with 8 GB of memory and a watchdog of 30 s without a word of progress. It must be
accepted (exit code 0) or refused with one message (exit code 2), leave nothing behind, touch nothing outside its output
and execute nothing.
Failing mutants are kept, with what they printed, in a folder per mutant.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

# pools of threads do not survive a fork
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["MKL_NUM_THREADS"] = "1"
os.environ["ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"] = "1"

from . import child, judge
from .kinds import KINDS, Kind, judged


@dataclass(frozen=True)
class Result:
    """What became of one mutant."""

    kind: str
    number: int
    verdict: str
    seconds: float
    peak_bytes: int

    @property
    def failed(self) -> bool:
        """Whether it was neither accepted nor refused in good order."""
        return self.verdict not in (judge.ACCEPTED, judge.REFUSED)


@dataclass(frozen=True)
class Job:
    """One mutant to run."""

    kind: Kind
    seed: int
    number: int
    seeds: Path
    keep: Path


def run_job(job: Job) -> Result:
    """Make a mutant, run it, judge it, and keep it if it failed."""
    root = Path(tempfile.mkdtemp(prefix="renalclip-fuzz-"))
    box = root / "box"
    for name in ("nest", "tmp", "home"):
        (box / name).mkdir(parents=True)
    try:
        call = job.kind.make(job.seeds, box, random.Random(f"{job.kind.name} {job.seed} {job.number}"))
        ending = child.run(box, call)
        result = Result(job.kind.name, job.number, judged(job.kind, ending, box), ending.seconds, ending.peak_bytes)
        if result.failed:
            _keep(job, root, result.verdict)
    except Exception:  # the fuzzer's own mistake must name its mutant
        print(f"{job.kind.name} {job.number}", file=sys.stderr)
        traceback.print_exc()
        raise
    finally:
        shutil.rmtree(root, ignore_errors=True)
    return result


def _keep(job: Job, root: Path, words: str) -> None:
    place = job.keep / f"{job.kind.name.replace(' ', '-').replace(',', '')}-{job.seed}-{job.number}"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    shutil.move(root / "box.logs", place / "logs")
    # special files and loops are kept as they are; large ones are not worth the room
    os.system(f"cp -a --no-dereference '{root / 'box' / 'in'}' '{place}' 2>/dev/null")
    (place / "verdict.txt").write_text(words + "\n", encoding="utf-8", errors="backslashreplace")


def fuzz(mutants: int, seed: int, keep: Path, jobs: int, only: tuple[str, ...] = ()) -> list[Result]:
    """Run mutants of all kinds, shared out by their weights."""
    chosen = [kind for kind in KINDS if not only or kind.name in only]
    total = sum(kind.weight for kind in chosen)
    with tempfile.TemporaryDirectory(prefix="renalclip-fuzz-seeds-") as name:
        seeds = Path(name)
        _prepare(seeds)
        todo = [
            Job(kind, seed, number, seeds, keep)
            for kind in chosen
            for number in range(max(1, round(mutants * kind.weight / total)))
        ]
        random.Random(seed).shuffle(todo)
        if jobs == 1:
            return [run_job(job) for job in todo]
        with multiprocessing.get_context("fork").Pool(jobs) as pool:
            return list(pool.imap_unordered(run_job, todo))


def _prepare(seeds: Path) -> None:
    """Write the seeds in a process of its own, then import what the children will need (imports start no threads)."""
    process = multiprocessing.get_context("fork").Process(target=_write_seeds, args=(seeds,))
    process.start()
    process.join()
    if process.exitcode:
        raise RuntimeError("the seeds could not be written")
    import nnunetv2.inference.predict_from_raw_data  # noqa: F401
    import SimpleITK  # noqa: F401
    import torch

    import RenalCLIPCore.exchange.html
    import RenalCLIPCore.exchange.pictures
    import RenalCLIPCore.imaging.nnunet_predictor
    import RenalCLIPCore.imaging.segmentation
    import RenalCLIPCore.inference.prediction
    import RenalCLIPCore.models.bundle
    import RenalCLIPCore.worker_methods  # noqa: F401

    torch.set_num_threads(1)


def _write_seeds(seeds: Path) -> None:
    from .seeds import write_seeds

    sys.stdout = open(os.devnull, "w")  # noqa: SIM115
    write_seeds(seeds)


def table(results: list[Result]) -> str:
    """Counts per kind."""
    lines = [f"{'kind':<18}{'mutants':>9}{'refused':>9}{'accepted':>10}{'failed':>8}{'slowest':>10}{'peak':>10}"]
    for kind in [kind.name for kind in KINDS if any(item.kind == kind.name for item in results)]:
        own = [item for item in results if item.kind == kind]
        lines.append(_row(kind, own))
    return "\n".join([*lines, _row("all", results)])


def _row(name: str, own: list[Result]) -> str:
    counts = Counter("failed" if item.failed else item.verdict for item in own)
    slowest, peak = max(item.seconds for item in own), max(item.peak_bytes for item in own) >> 20
    return (
        f"{name:<18}{len(own):>9}{counts[judge.REFUSED]:>9}{counts[judge.ACCEPTED]:>10}{counts['failed']:>8}"
        f"{slowest:>8.1f} s{peak:>7} MB"
    )


def main() -> int:
    """Run, print the table, and say what failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mutants", type=int, default=1200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--kind", action="append", default=[], choices=[kind.name for kind in KINDS])
    parser.add_argument("--keep", type=Path, default=Path("runs/fuzz"), help="folder for failing mutants")
    values = parser.parse_args()
    started = time.monotonic()
    results = fuzz(values.mutants, values.seed, values.keep, values.jobs, tuple(values.kind))
    print(table(results))
    failed = [item for item in results if item.failed]
    for words, count in Counter(f"{item.kind}: {item.verdict}" for item in failed).most_common():
        print(f"{count:4}  {words}")
    print(
        f"seed {values.seed}, {time.monotonic() - started:.0f} s"
        + (f"; failing mutants in {values.keep}" if failed else "")
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
