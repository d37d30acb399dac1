"""Commands of the report generator: training in two steps, generation, and a baseline."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from .learning import add_cohort, add_run, configuration_of, joined_run, progress_bar

if TYPE_CHECKING:
    from ..cohort.roi_store import RoiStore
    from ..cohort.table import CohortRow
    from ..protocol.prediction_table import GeneratedReport

KEY_VARIABLE = "RENALCLIP_API_KEY"
STEPS = ("projector", "adapters")


@dataclass(frozen=True)
class TrainReport:
    """Train the report generator: step 1 the projector, step 2 projector and adapters of the language model.

    The image encoder of --encoder (bundle or run) is frozen in both. Step 1 starts from a causal language model's
    checkpoint folder (--language-model) or from the configuration's small new one; step 2 from the run of step 1.
    The result is the folder RUN/generator.
    """

    name: ClassVar[str] = "train report"
    step: str
    config: Path | None
    preset: str | None
    encoder: Path
    language_model: Path | None
    initial: Path | None
    cohort: Path
    rois: Path
    out: Path
    resume: bool

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument("--step", choices=STEPS, required=True, help="which of the two")
        add_cohort(parser)
        parser.add_argument("--encoder", type=Path, required=True, metavar="PATH", help="bundle or run of the encoder")
        parser.add_argument("--language-model", type=Path, metavar="FOLDER", help="step 1: checkpoint folder")
        parser.add_argument("--initial", type=Path, metavar="RUN", help="step 2: run of step 1")
        add_run(parser)

    def run(self) -> None:
        """Train, or go on."""
        from ..cohort.roi_store import RoiStore
        from ..cohort.splits import learning_cohort
        from ..cohort.table import read_cohort
        from ..training.learnt_from import learnt_from
        from ..training.report_stage import train_report
        from ..training.starting_weights import image_encoder

        settings = configuration_of(f"report-{self.step}", self.config, self.preset)
        cohort, store = learning_cohort(read_cohort(self.cohort)), RoiStore(self.rois)
        with joined_run(settings) as (ranks, progress):
            result = train_report(
                settings,
                cohort,
                store,
                image_encoder(self.encoder),
                self.out,
                before=learnt_from(self.encoder),
                language_model=self.language_model,
                initial=self.initial,
                resume=self.resume,
                ranks=ranks,
                progress=progress,
            )
            if ranks.first:
                loss, epoch = -result.best_score, result.best_epoch + 1
                print(f"{result.steps} steps; lowest validation loss {loss:.4f} in epoch {epoch}")


@dataclass(frozen=True)
class _WriteReports:
    """What both commands share that fill a table of generated reports."""

    cohort: list[Path]
    rois: list[Path]
    split: str
    out: Path
    overwrite: bool

    @staticmethod
    def add_table(parser: argparse.ArgumentParser) -> None:
        """Declare the arguments of cohorts and table."""
        parser.add_argument("--cohort", type=Path, nargs="+", required=True, metavar="CSV", help="cohort tables")
        parser.add_argument("--rois", type=Path, nargs="+", required=True, metavar="STORE", help="their ROI stores")
        parser.add_argument("--split", default="test", choices=("training", "validation", "test"), help="default test")
        parser.add_argument("--out", type=Path, required=True, metavar="CSV", help="table of generated reports")
        parser.add_argument("--overwrite", action="store_true", help="replace an older table")

    def fill(self, read: Callable[[list[CohortRow], RoiStore, str], list[GeneratedReport]]) -> None:
        """Read every cohort and write the table."""
        from ..cohort.roi_store import RoiStore
        from ..cohort.table import read_cohort
        from ..errors import CohortError, OutputError
        from ..protocol.generated_reports import write_generated_reports

        if self.out.exists() and not self.overwrite:
            raise OutputError(f"{self.out.name} exists already; choose another name or give --overwrite.")
        if len(self.cohort) != len(self.rois):
            raise CohortError(
                f"Every cohort needs its ROI store, but {len(self.cohort)} and {len(self.rois)} are given."
            )
        found: list[GeneratedReport] = []
        for table, rois in zip(self.cohort, self.rois, strict=True):
            rows = [row for row in read_cohort(table) if row.split == self.split]
            found += read(rows, RoiStore(rois), table.parent.name) if rows else []
        if not found:
            raise CohortError(f"None of the tables has a row of the split {self.split!r}.")
        self.out.parent.mkdir(parents=True, exist_ok=True)
        write_generated_reports(found, self.out)
        print(f"{len(found)} reports in {self.out}")


@dataclass(frozen=True)
class ReportGenerate(_WriteReports):
    """Write the reports of a generator for every kidney of a cohort's split, as a table.

    The generator is that of a bundle, or of a run of train report together with the encoder it was trained on.
    """

    name: ClassVar[str] = "report generate"
    bundle: Path | None
    run_folder: Path | None
    encoder: Path | None
    model: str | None
    device: str

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        source = parser.add_mutually_exclusive_group(required=True)
        source.add_argument("--bundle", type=Path, metavar="BUNDLE", help="bundle with a report generator")
        source.add_argument("--run", dest="run_folder", type=Path, metavar="RUN", help="run of train report")
        parser.add_argument("--encoder", type=Path, metavar="PATH", help="with --run: bundle or run of the encoder")
        parser.add_argument("--model", help="name in the table (default that of the bundle or run)")
        parser.add_argument("--device", default="cpu", help="of the language model: cpu (default), cuda or cuda:N")
        _WriteReports.add_table(parser)

    def run(self) -> None:
        """Generate."""
        import numpy as np
        import torch

        from ..models.report_generator import check_generator, load_report_generator
        from ..protocol.generated_reports import written_reports
        from ..training.configuration import load_configuration
        from ..training.distribution import ALONE
        from ..training.report_data import image_features, plain_features
        from ..training.starting_weights import image_encoder

        folder, source, model = self._source()
        encoder = image_encoder(source)
        check_generator(folder, encoder)
        generator = load_report_generator(folder, ALONE.device(self.device))
        settings = load_configuration("report-projector")

        def read(rows: list[CohortRow], store: RoiStore, cohort: str) -> list[GeneratedReport]:
            views = image_features(encoder, rows, store, settings, 0)
            features = np.stack([plain_features(views[row.case_id], generator.settings.fusion) for row in rows])
            with progress_bar("writing reports") as progress:
                return written_reports(
                    lambda part: generator.write(torch.from_numpy(part)), features, rows, cohort, model, progress
                )

        self.fill(read)

    def _source(self) -> tuple[Path, Path, str]:
        """Folder of the generator, where its encoder is, and the model's name."""
        from ..errors import BundleError, ConfigurationError
        from ..models.bundle import REPORT_FOLDER
        from ..models.manifest import read_manifest
        from ..training.report_stage import GENERATOR_FOLDER

        if self.bundle is not None:
            manifest = read_manifest(self.bundle)
            if not manifest.report:
                raise BundleError("The bundle has no report generator; add one with 'renalclip bundle assemble'.")
            return self.bundle / REPORT_FOLDER, self.bundle, self.model or f"{manifest.name} {manifest.version}"
        if self.run_folder is None or self.encoder is None:
            raise ConfigurationError("With --run the encoder is needed that it was trained on (--encoder).")
        return self.run_folder / GENERATOR_FOLDER, self.encoder, self.model or self.run_folder.name


@dataclass(frozen=True)
class ReportNearest(_WriteReports):
    """Write, as a baseline, the report of the most similar training kidney for every kidney of a cohort's split."""

    name: ClassVar[str] = "report nearest"
    bundle: Path
    training: Path
    training_rois: Path

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument("--bundle", type=Path, required=True, metavar="BUNDLE", help="its encoder compares")
        parser.add_argument("--training", type=Path, required=True, metavar="CSV", help="cohort table to take from")
        parser.add_argument("--training-rois", type=Path, required=True, metavar="STORE", help="its ROI store")
        _WriteReports.add_table(parser)

    def run(self) -> None:
        """Compare and take over."""
        from ..cohort.roi_store import RoiStore
        from ..cohort.table import read_cohort
        from ..models.bundle import Bundle
        from ..protocol.generated_reports import nearest_reports

        encoder = Bundle.load(self.bundle).encoder
        taught = [row for row in read_cohort(self.training) if row.split == "training"]

        def read(rows: list[CohortRow], store: RoiStore, cohort: str) -> list[GeneratedReport]:
            with progress_bar("comparing images") as progress:
                return nearest_reports(encoder, (taught, RoiStore(self.training_rois)), rows, store, cohort, progress)

        self.fill(read)


@dataclass(frozen=True)
class ReportAsk(_WriteReports):
    """Ask a model elsewhere for the report of every kidney of a cohort's split, showing it the centre slice.

    The model is behind an OpenAI-compatible address (--endpoint; its key from RENALCLIP_API_KEY). The instruction and
    one picture of the region per kidney leave the machine, no pseudonym.
    """

    name: ClassVar[str] = "report ask"
    endpoint: str
    model: str
    cache: Path | None
    timeout: float
    allow_http: bool

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument("--endpoint", required=True, metavar="URL", help="OpenAI-compatible address")
        parser.add_argument("--model", required=True, metavar="NAME", help="model there, also its name in the table")
        parser.add_argument("--cache", type=Path, metavar="DIR", help="keep answers here for later runs")
        parser.add_argument("--timeout", type=float, default=120.0, help="seconds for one answer (default 120)")
        parser.add_argument("--allow-http", action="store_true", help="send pictures unencrypted to another machine")
        _WriteReports.add_table(parser)

    def run(self) -> None:
        """Ask for every kidney."""
        import os

        from ..models.report_generator import INSTRUCTION
        from ..protocol.generated_reports import asked_reports
        from ..text.answer_cache import AnswerCache
        from ..text.completion import Questioner
        from ..text.endpoint import Endpoint, Pictured

        key = os.environ.get(KEY_VARIABLE)
        endpoint = Endpoint(self.endpoint, self.model, key=key, timeout_s=self.timeout, allow_http=self.allow_http)
        cache = AnswerCache(self.cache) if self.cache else None

        def ask(png: bytes) -> str:
            return Questioner(Pictured(endpoint, png), cache).ask("report of a picture", INSTRUCTION, _written)

        def read(rows: list[CohortRow], store: RoiStore, cohort: str) -> list[GeneratedReport]:
            with progress_bar("asking for reports") as progress:
                return asked_reports(ask, rows, store, cohort, self.model, progress)

        try:
            self.fill(read)
        finally:
            endpoint.close()


def _written(answer: str) -> str:
    """A report as it came; an empty one is asked for again."""
    from ..text.completion import BrokenAnswerError

    if not answer.strip():
        raise BrokenAnswerError("the answer is empty.")
    return answer


COMMANDS: list[Any] = [TrainReport, ReportGenerate, ReportNearest, ReportAsk]
