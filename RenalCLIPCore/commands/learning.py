"""What the commands of learning share: arguments of configuration, cohort and run; processes; a progress bar."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..progress import Progress

if TYPE_CHECKING:
    from ..training.distribution import Ranks
    from ..training.loop import RunResult


@contextmanager
def progress_bar(words: str) -> Iterator[Progress]:
    """A bar on stderr that follows a fraction from 0 to 1; silent where stderr is no terminal."""
    from tqdm import tqdm

    form = "{desc} {percentage:5.1f} % |{bar}| {elapsed} < {remaining}"
    with tqdm(total=1.0, desc=words, bar_format=form, disable=None, mininterval=0.5) as bar:

        def follow(fraction: float, text: str) -> None:
            bar.set_description_str(text, refresh=False)
            bar.update(fraction - bar.n)

        yield follow


def add_configuration(parser: argparse.ArgumentParser) -> None:
    """Declare ``--config`` and ``--preset``, of which one may be given."""
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--config", type=Path, metavar="FILE", help="YAML file of the stage's configuration")
    group.add_argument("--preset", metavar="NAME", help="shipped configuration, for instance phantom-demo")


def add_run(parser: argparse.ArgumentParser) -> None:
    """Declare the configuration, ``--out`` and ``--resume`` of a training command."""
    add_configuration(parser)
    parser.add_argument("--out", type=Path, required=True, metavar="RUN", help="folder of the run")
    parser.add_argument("--resume", action="store_true", help="go on from the run's newest checkpoint, if there is one")


def add_cohort(parser: argparse.ArgumentParser) -> None:
    """Declare ``--cohort`` and ``--rois``: one table with its regions."""
    parser.add_argument("--cohort", type=Path, required=True, metavar="CSV", help="cohort table")
    parser.add_argument("--rois", type=Path, required=True, metavar="STORE", help="ROI store of the cohort")


@contextmanager
def joined_run(configuration: Any, words: str = "training") -> Iterator[tuple[Ranks, Progress | None]]:
    """This process among those of the run (``torchrun``), and the progress bar of the first.

    Raises:
        ConfigurationError: The configured device is not there.
    """
    from ..training.distribution import joined

    with joined(configuration.device) as ranks:
        if not ranks.first:
            yield ranks, None
            return
        with progress_bar(words) as progress:
            yield ranks, progress


def tell_result(ranks: Ranks, result: RunResult) -> None:
    """Let the first process say how a run ended."""
    if ranks.first:
        epoch = result.best_epoch + 1
        print(f"{result.steps} steps; best validation score {result.best_score:.4f} in epoch {epoch}")


def add_models(parser: argparse.ArgumentParser, bundle: str) -> None:
    """Declare who predicts, ``--run`` or ``--bundle`` (in the words ``bundle``), and ``--cohort``."""
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--run", dest="run_folder", type=Path, nargs="+", metavar="RUN", help="finished runs")
    source.add_argument("--bundle", type=Path, metavar="BUNDLE", help=bundle)
    parser.add_argument("--cohort", type=Path, nargs="+", required=True, metavar="CSV", help="cohort tables")


def add_predictions(parser: argparse.ArgumentParser, model: str | None = None) -> None:
    """Declare what a command needs that writes a predictions table: rows, name of the model, and the file.

    Args:
        parser: Of the command.
        model: Default name; None for that of the run or bundle.
    """
    parser.add_argument(
        "--split",
        nargs="+",
        default=["test"],
        choices=("training", "validation", "test"),
        help="rows to use (default test; thresholds come from validation rows where they are given too)",
    )
    named = model or "that of the run or bundle"
    parser.add_argument("--model", default=model, help=f"name in the table (default {named})")
    parser.add_argument("--out", type=Path, required=True, metavar="CSV", help="predictions table")
    parser.add_argument("--overwrite", action="store_true", help="replace an older table")


def add_workers(parser: argparse.ArgumentParser) -> None:
    """Declare ``--processes`` and ``--dask``: who does work that is the same for every case."""
    parser.add_argument("--processes", type=int, default=1, metavar="N", help="working processes (default 1)")
    parser.add_argument(
        "--dask",
        default="",
        metavar="ADDRESS",
        help="do the work on a Dask cluster: tcp://host:port of its scheduler, or 'local' for one of --processes "
        "workers on this machine. The workers need RenalCLIP, and must see all files under the same paths as here",
    )


def configuration_of(stage: str, config: Path | None, preset: str | None) -> Any:
    """The effective configuration of a stage.

    Raises:
        ConfigurationError: As for ``load_configuration`` and ``preset_path``.
    """
    from ..training.configuration import load_configuration, preset_path

    return load_configuration(stage, preset_path(preset) if preset else config)
