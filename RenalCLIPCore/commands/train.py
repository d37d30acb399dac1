"""Commands of learning: configuration, training, and the bundle of a run."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from .learning import add_cohort, add_configuration, add_run, configuration_of, joined_run, progress_bar, tell_result
from .pretraining import COMMANDS as PRETRAINING


@dataclass(frozen=True)
class ConfigShow:
    """Print the effective configuration of a training stage as YAML.

    Without a file or preset: the paper's recipe.
    """

    name: ClassVar[str] = "config show"
    stage: str
    config: Path | None
    preset: str | None

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument("stage", help="for instance multitask")
        add_configuration(parser)

    def run(self) -> None:
        """Print it."""
        print(configuration_of(self.stage, self.config, self.preset).to_yaml(), end="")


@dataclass(frozen=True)
class TrainMultitask:
    """Train one encoder with a head per task on the labels of a cohort table.

    Only rows of the splits training and validation are used; the best checkpoint is chosen on validation.
    """

    name: ClassVar[str] = "train multitask"
    config: Path | None
    preset: str | None
    cohort: Path
    rois: Path
    out: Path
    initial: Path | None
    resume: bool

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        add_cohort(parser)
        parser.add_argument("--initial", type=Path, metavar="RUN", help="start from the best weights of another run")
        add_run(parser)

    def run(self) -> None:
        """Train, or go on."""
        from ..cohort.roi_store import RoiStore
        from ..cohort.splits import learning_cohort
        from ..cohort.table import read_cohort
        from ..training.multitask import train_multitask

        configuration = configuration_of("multitask", self.config, self.preset)
        cohort, store = learning_cohort(read_cohort(self.cohort)), RoiStore(self.rois)
        with joined_run(configuration) as (ranks, progress):
            result = train_multitask(
                configuration,
                cohort,
                store,
                self.out,
                initial=self.initial,
                resume=self.resume,
                ranks=ranks,
                progress=progress,
            )
            tell_result(ranks, result)


@dataclass(frozen=True)
class BundleExport:
    """Write the model bundle of a multi-task or clip run, calibrated on its validation split.

    A clip run gives zero-shot readings and similar cases; it needs the text features it was trained on and the text
    encoder that made them, and takes tasks from a multi-task run (--heads).
    """

    name: ClassVar[str] = "bundle export"
    run_folder: Path
    cohort: Path
    rois: Path
    texts: Path | None
    text_encoder: Path | None
    heads: Path | None
    out: Path
    bundle_name: str
    bundle_version: str
    training_data: str
    phantom: bool
    overwrite: bool

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument("--run", dest="run_folder", type=Path, required=True, metavar="RUN", help="training run")
        add_cohort(parser)
        parser.add_argument("--texts", type=Path, metavar="STORE", help="clip: its store of text features")
        parser.add_argument(
            "--text-encoder", type=Path, metavar="FOLDER", help="clip: the text encoder of the features"
        )
        parser.add_argument(
            "--heads", type=Path, metavar="RUN", help="clip: multi-task run, or bundle, whose tasks are added"
        )
        parser.add_argument("--out", type=Path, required=True, metavar="BUNDLE", help="folder of the bundle")
        parser.add_argument("--name", dest="bundle_name", required=True, help="name of the bundle")
        parser.add_argument("--version", dest="bundle_version", required=True, help="version of the bundle")
        parser.add_argument("--training-data", required=True, metavar="TEXT", help="the training data in one sentence")
        parser.add_argument("--phantom", action="store_true", help="the training data are digital phantoms")
        parser.add_argument("--overwrite", action="store_true", help="replace an older bundle")

    def run(self) -> None:
        """Calibrate and write."""
        from ..cohort.roi_store import RoiStore
        from ..cohort.splits import learning_cohort
        from ..cohort.table import read_cohort
        from ..training.export import BundleWords, export_bundle
        from ..training.export_alignment import export_alignment

        use = "Research only. Trained on digital phantoms. Not for clinical use."
        words = BundleWords(self.bundle_name, self.bundle_version, self.training_data, phantom=self.phantom)
        if self.phantom:
            words = BundleWords(self.bundle_name, self.bundle_version, self.training_data, use, phantom=True)
        texts = self._texts()
        cohort, store = learning_cohort(read_cohort(self.cohort)), RoiStore(self.rois)
        with progress_bar("reading the cohort") as progress:
            if texts is None:
                manifest = export_bundle(
                    self.run_folder, cohort, store, self.out, words, overwrite=self.overwrite, progress=progress
                )
            else:
                manifest = export_alignment(
                    self.run_folder,
                    cohort,
                    store,
                    *texts,
                    self.out,
                    words,
                    heads=self.heads,
                    overwrite=self.overwrite,
                    progress=progress,
                )
        print(f"{self.out}: {', '.join(manifest.capabilities)}")

    def _texts(self) -> tuple[Path, Path] | None:
        """Text features and encoder of a clip run; None for a multi-task run, which has neither."""
        from ..errors import ConfigurationError
        from ..training.configuration import stage_of

        given = [value for value in (self.texts, self.text_encoder) if value is not None]
        if stage_of(self.run_folder) != "clip":
            if given or self.heads is not None:
                raise ConfigurationError("--texts, --text-encoder and --heads belong to a clip run.")
            return None
        if self.texts is None or self.text_encoder is None:
            raise ConfigurationError("A clip run needs --texts and --text-encoder.")
        return self.texts, self.text_encoder


@dataclass(frozen=True)
class BundleAssemble:
    """Add fine-tuned tasks, a report generator, multi-phase networks or an nnU-Net model to a bundle."""

    name: ClassVar[str] = "bundle assemble"
    bundle: Path
    segmentation: Path | None
    task: list[Path]
    report: Path | None
    multiphase: list[Path]
    out: Path
    overwrite: bool

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument(
            "--bundle", type=Path, required=True, metavar="BUNDLE", help="bundle to take everything else from"
        )
        parser.add_argument("--segmentation", type=Path, metavar="DIR", help="nnU-Net model folder")
        parser.add_argument(
            "--task", type=Path, nargs="+", default=[], metavar="RUN", help="runs of train task and train survival"
        )
        parser.add_argument("--report", type=Path, metavar="RUN", help="run of train report")
        parser.add_argument(
            "--multiphase", type=Path, nargs="+", default=[], metavar="RUN", help="runs of train multiphase"
        )
        parser.add_argument("--out", type=Path, required=True, metavar="BUNDLE", help="folder of the new bundle")
        parser.add_argument("--overwrite", action="store_true", help="replace an older bundle")

    def run(self) -> None:
        """Put the parts together."""
        from ..errors import ConfigurationError
        from ..training.assembly import assemble_bundle

        if not (self.segmentation or self.task or self.report or self.multiphase):
            raise ConfigurationError("There is nothing to add; give --segmentation, --task, --report or --multiphase.")
        manifest = assemble_bundle(
            self.bundle,
            self.segmentation,
            self.out,
            tasks=self.task,
            report=self.report,
            multiphase=self.multiphase,
            overwrite=self.overwrite,
        )
        print(f"{self.out}: {', '.join(manifest.capabilities)}")


COMMANDS: list[Any] = [ConfigShow, *PRETRAINING, TrainMultitask, BundleExport, BundleAssemble]
