"""Commands that turn predictions into the papers' tables and figures."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from ..progress import ProgressLine

if TYPE_CHECKING:
    from ..cohort.table import CohortRow
    from ..protocol.alignment_scores import AlignmentScore
    from ..protocol.predictions import Prediction
    from ..training.finished_run import Reader

Cohorts = dict[str, "tuple[CohortRow, ...]"]
PHASES = ("A", "AV", "NAV", "NAVD", "one", "all")


@dataclass(frozen=True)
class _Evaluate:
    """What both commands share: tables in, one page with its tables and figures out."""

    predictions: list[Path]
    cohort: list[str]
    reports: list[Path]
    readers: Path | None
    alignment: list[Path]
    split: str
    phases: str | None
    reference: str
    pool: list[str]
    paper_cohort: list[str]
    paper: str
    resamples: int
    seed: int
    title: str
    out: Path
    overwrite: bool

    def check(self) -> None:
        """Refuse what cannot end well before anything long begins."""
        from ..errors import ConfigurationError, OutputError

        if self.out.exists() and any(self.out.iterdir()) and not self.overwrite:
            raise OutputError(f"{self.out.name} is not empty; choose another folder or give --overwrite.")
        if self.resamples < 20:
            raise ConfigurationError(f"At least 20 resamples are needed for an interval, not {self.resamples}.")

    def evaluate(
        self,
        cohorts: Cohorts,
        predictions: Sequence[Prediction],
        alignment: Sequence[AlignmentScore],
        uses: Sequence[tuple[str, str]] = (),
        warnings: Sequence[str] = (),
    ) -> None:
        """Compute and write everything; say where it is and what was found. ``uses``: what bundles say of their use."""
        from ..protocol.alignment_scores import read_alignment
        from ..protocol.evaluation_page import PageHead
        from ..protocol.held_out import shared_between
        from ..protocol.joining import join_predictions, join_readings, join_reports
        from ..protocol.prediction_table import read_generated_reports, read_predictions, read_readings
        from ..protocol.published import PREDECESSOR, check_paper_cohorts
        from ..protocol.study import evaluate_study, write_study
        from ..protocol.study_data import StudyData, StudySettings

        pools = {name: tuple(parts.split(",")) for name, parts in map(_pair, self.pool)}
        paper = dict(map(_pair, self.paper_cohort))
        check_paper_cohorts(paper, self.paper)
        phases = _phase_words(self.phases) or ("NAV" if self.paper == PREDECESSOR else None)
        settings = StudySettings(
            self.split, self.resamples, self.seed, phases, self.reference, pools, paper, self.paper
        )
        found = [*predictions, *(item for path in self.predictions for item in read_predictions(path))]
        reports = [item for path in self.reports for item in read_generated_reports(path)]
        readings = read_readings(self.readers) if self.readers else []
        scores = [*alignment, *(item for path in self.alignment for item in read_alignment(path))]
        data = StudyData(
            cohorts,
            tuple(join_predictions(found, cohorts)),
            settings,
            join_reports(reports, cohorts),
            tuple(join_readings(readings, cohorts)),
            tuple(scores),
        )
        line = ProgressLine()
        warnings = tell([*warnings, *shared_between(cohorts, self.split)])
        result = evaluate_study(data, progress=line)
        others = (*(model for _, model in data.reports), *(item.model for item in data.alignment if item.model))
        names = list(dict.fromkeys([*data.models, *others]))
        title = self.title or f"{', '.join(names[:4]) or 'Retrieval and zero-shot reading'} on {', '.join(cohorts)}"
        facts = (
            ("Split", self.split),
            ("Models", ", ".join(names) or "none"),
            ("Cohorts", ", ".join(f"{name} ({len(rows)} kidneys)" for name, rows in cohorts.items())),
            ("Resamples", f"{self.resamples} (seed {self.seed})"),
            *uses,
        )
        head = PageHead(title, facts, data.of_phantoms, tuple(self._files()), warnings)
        page = write_study(result, head, self.out)
        tables = [table for section in result.sections for table in section.tables]
        print(next((table.markdown() for table in tables if table.name == "summary"), ""), end="")
        print(f"{len(tables)} tables and the page: {page}")

    def _files(self) -> list[str]:
        tables = [Path(text.rpartition("=")[2]) for text in self.cohort]
        paths = [*tables, *self.predictions, *self.reports, *([self.readers] if self.readers else []), *self.alignment]
        return [f"{path.parent.name}/{path.name}" for path in paths]


@dataclass(frozen=True)
class EvaluatePredictions(_Evaluate):
    """Evaluate predictions tables of any models: every table and figure of the papers on one page.

    Rows are joined to the cohort tables by cohort, patient and side. Writes index.html, tables/ (CSV, Markdown) and
    figures/ (SVG, PNG).
    """

    name: ClassVar[str] = "evaluate predictions"

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        _add_shared(parser)

    def run(self) -> None:
        """Read the tables and evaluate them."""
        from ..errors import ConfigurationError

        self.check()
        if not (self.predictions or self.reports or self.alignment):
            raise ConfigurationError("Give --predictions, --reports or --alignment; there is nothing to evaluate.")
        self.evaluate(read_cohorts(self.cohort), [], [])


@dataclass(frozen=True)
class EvaluatePaper(_Evaluate):
    """Run the paper's protocol on cohorts: read every case with bundles or runs, then all tables and figures.

    Reads the evaluated split and the validation split (for thresholds) with late fusion over A, AV, NAV, NAVD, all
    phases, and one phase; models that were trained on one phase read one. Every bundle with an image-text space is read
    zero-shot, and retrieves where --texts are given. Other models' predictions and reports can be added as tables.
    """

    name: ClassVar[str] = "evaluate paper"
    bundle: list[Path]
    run_folder: list[Path]
    rois: list[Path]
    texts: list[Path]
    gallery: int

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument("--bundle", type=Path, nargs="+", default=[], metavar="BUNDLE", help="model bundles")
        parser.add_argument(
            "--run", dest="run_folder", type=Path, nargs="+", default=[], metavar="RUN", help="finished training runs"
        )
        parser.add_argument("--rois", type=Path, nargs="+", required=True, metavar="STORE", help="ROI store per cohort")
        parser.add_argument(
            "--texts",
            type=Path,
            nargs="+",
            default=[],
            metavar="STORE",
            help="text features per cohort, for retrieval; bundles that were aligned with different text encoders need "
            "a set each: those of all cohorts for the first bundle with an image-text space, then for the next",
        )
        parser.add_argument("--gallery", type=int, default=200, metavar="N", help="kidneys to retrieve (default 200)")
        _add_shared(parser)

    def run(self) -> None:
        """Read every case, then evaluate."""
        from ..errors import ConfigurationError
        from ..protocol.held_out import met_again

        self.check()
        if len(self.cohort) != len(self.rois) or len(self.texts) % len(self.cohort):
            raise ConfigurationError(
                f"Every cohort needs its ROI store and, for retrieval, its text features; given are {len(self.cohort)} "
                f"cohorts, {len(self.rois)} stores and {len(self.texts)} text features."
            )
        if not (self.bundle or self.run_folder):
            raise ConfigurationError("Give --bundle or --run; tables alone are evaluated by evaluate predictions.")
        self._check_texts()
        cohorts = read_cohorts(self.cohort)
        readers = self._readers()
        warnings = met_again({reader.name: reader.groups for reader in readers}, cohorts, self.split)
        predictions = self._predictions(cohorts, readers)
        self.evaluate(cohorts, predictions, self._alignment(cohorts), self._uses(), warnings)

    def _check_texts(self) -> None:
        from ..errors import ConfigurationError
        from ..models.manifest import read_manifest

        aligned = sum(read_manifest(path).prompts for path in self.bundle)
        sets = len(self.texts) // len(self.cohort)
        if sets not in (0, 1, aligned):
            raise ConfigurationError(
                f"Text features are given for {sets} bundles, but {aligned} have an image-text space; give one set for "
                "all of them, or one each."
            )

    def _uses(self) -> list[tuple[str, str]]:
        from ..models.bundle import Bundle

        manifests = [Bundle.load(path).manifest for path in self.bundle]
        return [(f"{manifest.name} {manifest.version}", manifest.intended_use) for manifest in manifests]

    def _readers(self) -> list[Reader]:
        from ..training.finished_run import open_bundle, open_run

        readers = [reader for path in self.bundle for reader in open_bundle(path)]
        return [*readers, *map(open_run, self.run_folder)]

    def _predictions(self, cohorts: Cohorts, readers: Sequence[Reader]) -> list[Prediction]:
        from ..cohort.roi_store import RoiStore
        from ..protocol.phase_sets import PhaseOutputs, fused_predictions

        found: list[Prediction] = []
        line = ProgressLine()
        for (name, rows), store in zip(cohorts.items(), self.rois, strict=True):
            chosen = [row for row in rows if row.split in (self.split, "validation")]
            for reader in readers if chosen else ():
                read = reader.read(chosen, RoiStore(store), lambda f, w, n=name: line(f, f"{n}: {w}"))  # type: ignore[misc]
                outputs = PhaseOutputs(
                    read.case_ids, read.phases, read.outputs, reader.name, reader.fraction, reader.seed
                )
                sets = ("one",) if reader.one_phase else PHASES
                found += fused_predictions(outputs, reader.tasks, chosen, name, sets)
        line(1.0, "")
        return found

    def _alignment(self, cohorts: Cohorts) -> list[AlignmentScore]:
        from ..cohort.roi_store import RoiStore
        from ..models.bundle import Bundle
        from ..models.text_features import read_text_features
        from ..protocol.alignment_scores import score_alignment

        bundles = [bundle for bundle in map(Bundle.load, self.bundle) if bundle.prompts is not None]
        sets = len(self.texts) // len(cohorts)
        found: list[AlignmentScore] = []
        line = ProgressLine()
        for number, bundle in enumerate(bundles):
            first = number * len(cohorts) if sets > 1 else 0
            for place, (name, rows) in enumerate(cohorts.items()):
                chosen = [row for row in rows if row.split == self.split]
                if chosen:
                    texts = read_text_features(self.texts[first + place]) if sets else None
                    found += score_alignment(
                        bundle, name, chosen, RoiStore(self.rois[place]), texts,
                        gallery=self.gallery, seed=self.seed, progress=line,
                    )  # fmt: skip
        line(1.0, "")
        return found


def read_cohorts(texts: Sequence[str]) -> Cohorts:
    """Cohort tables by name: ``NAME=CSV``, or a path whose folder names the cohort."""
    from ..cohort.table import read_cohort
    from ..errors import ConfigurationError

    found: Cohorts = {}
    for text in texts:
        name, _, path = text.rpartition("=")
        table = Path(path)
        name = name or table.resolve().parent.name
        if name in found:
            raise ConfigurationError(f"Two cohorts are named {name!r}; name them as NAME=CSV.")
        found[name] = read_cohort(table)
    return found


def tell(warnings: Sequence[str]) -> tuple[str, ...]:
    """Say on stderr what must not go unnoticed; the same warnings, each once."""
    once = tuple(dict.fromkeys(warnings))
    for text in once:
        print(f"renalclip: {text}", file=sys.stderr)
    return once


def _add_shared(parser: argparse.ArgumentParser) -> None:
    tables = {
        "--predictions": "predictions tables (evaluate predict, evaluate bundle, or other software)",
        "--reports": "tables of generated reports",
        "--alignment": "tables of evaluate alignment",
    }
    for name, words in tables.items():
        parser.add_argument(name, type=Path, nargs="+", default=[], metavar="CSV", help=words)
    parser.add_argument(
        "--cohort", nargs="+", required=True, metavar="CSV", help="cohort tables; NAME=CSV names one (else its folder)"
    )
    parser.add_argument("--readers", type=Path, metavar="CSV", help="readings of a reader study")
    parser.add_argument("--split", default="test", choices=("validation", "test"), help="rows to use (default test)")
    parser.add_argument("--phases", choices=PHASES, help="phases of the main tables (default one, else all)")
    parser.add_argument("--reference", default="", metavar="MODEL", help="model to compare with (default the first)")
    parser.add_argument(
        "--pool", nargs="+", default=[], metavar="NAME=A,B", help="cohorts to evaluate together as well"
    )
    parser.add_argument(
        "--paper-cohort", nargs="+", default=[], metavar="OURS=THEIRS", help="cohort of the paper to show beside ours"
    )
    parser.add_argument(
        "--paper",
        default="renalclip",
        choices=("renalclip", "predecessor"),
        help="whose tables to make; predecessor adds those of Xiong et al. 2025: comparators, clinical subgroups, the "
        "aggressiveness score and survival (main tables from NAV unless --phases says otherwise)",
    )
    parser.add_argument("--resamples", type=int, default=1000, metavar="N", help="bootstrap resamples (default 1000)")
    parser.add_argument("--seed", type=int, default=0, help="of the bootstrap")
    parser.add_argument("--title", default="", help="of the page")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of page, tables and figures")
    parser.add_argument("--overwrite", action="store_true", help="replace older results")


def _pair(text: str) -> tuple[str, str]:
    from ..errors import ConfigurationError

    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise ConfigurationError(f"NAME=VALUE is needed, not {text!r}.")
    return name, value


def _phase_words(choice: str | None) -> str | None:
    from ..protocol.predictions import ALL_PHASES, ONE_PHASE

    return {"one": ONE_PHASE, "all": ALL_PHASES}.get(choice, choice) if choice else None


COMMANDS: list[Any] = [EvaluatePredictions, EvaluatePaper]
