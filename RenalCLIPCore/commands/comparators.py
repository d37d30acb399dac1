"""Commands of the comparators of Xiong et al. 2025: radiomics and the nephrometry nomogram."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from .learning import add_predictions, add_workers, progress_bar

if TYPE_CHECKING:
    from ..cohort.table import CohortRow
    from ..protocol.predictions import Prediction

Cohorts = dict[str, "tuple[CohortRow, ...]"]


@dataclass(frozen=True)
class CohortRadiomics:
    """Extract radiomic features of every row's lesion, per phase, on its largest slice and in space.

    Definitions are the IBSI's. A run that was broken off goes on where it stopped. Phases are read in the frame of
    the label map.
    """

    name: ClassVar[str] = "cohort radiomics"
    cohort: Path
    out: Path
    slice_mm: float
    space_mm: float
    range_hu: list[float]
    bin_hu: float
    processes: int
    dask: str

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument("--cohort", type=Path, required=True, metavar="CSV", help="cohort table")
        parser.add_argument("--out", type=Path, required=True, metavar="TABLE", help="features: CSV or *.parquet")
        parser.add_argument("--slice-mm", type=float, default=1.0, metavar="MM", help="pixels of the slice (default 1)")
        parser.add_argument("--space-mm", type=float, default=2.0, metavar="MM", help="voxels in space (default 2)")
        parser.add_argument(
            "--range-hu", type=float, nargs=2, default=[-500.0, 500.0], metavar="HU",
            help="attenuation that belongs to the lesion (default -500 500)",
        )  # fmt: skip
        parser.add_argument("--bin-hu", type=float, default=25.0, metavar="HU", help="width of the bins (default 25)")
        add_workers(parser)

    def run(self) -> None:
        """Extract."""
        from ..cohort.radiomics_table import build_radiomics_table
        from ..cohort.table import read_cohort
        from ..cohort.workers import Workers
        from ..errors import OutputError
        from ..imaging.radiomics import RadiomicsSpec

        if self.out.exists():
            raise OutputError(f"{self.out.name} exists already; choose another name or remove it.")
        spec = RadiomicsSpec(self.slice_mm, self.space_mm, (self.range_hu[0], self.range_hu[1]), self.bin_hu)
        rows = read_cohort(self.cohort)
        self.out.parent.mkdir(parents=True, exist_ok=True)
        with progress_bar("extracting features") as progress:
            workers = Workers(self.processes, self.dask)
            table = build_radiomics_table(rows, self.out, spec, workers=workers, progress=progress)
        print(f"{len(table.names)} features of {len(table.rows)} lesions in {self.out}")


@dataclass(frozen=True)
class TrainRadiomics:
    """Train a radiomics model of one task: scaling, LASSO selection, oversampling, random forest.

    Hyper-parameters are chosen by cross-validation among the training rows; every step is fitted inside the folds.
    Writes model.json, cross-validation.csv and features.csv. A case needs all phases of the model.
    """

    name: ClassVar[str] = "train radiomics"
    task: str
    cohort: Path
    features: Path
    phases: str
    regions: list[str]
    folds: int
    trees: int
    seed: int
    out: Path
    overwrite: bool

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument("--task", required=True, choices=("malignancy", "aggressiveness"), help="what to predict")
        parser.add_argument("--cohort", type=Path, required=True, metavar="CSV", help="cohort table")
        parser.add_argument(
            "--features", type=Path, required=True, metavar="TABLE", help="its features, of cohort radiomics"
        )
        parser.add_argument("--phases", default="NAV", help="phases, some of N A V D in this order (default NAV)")
        parser.add_argument(
            "--regions", nargs="+", default=["slice", "space"], choices=("slice", "space"),
            help="largest slice, space, or both (default)",
        )  # fmt: skip
        parser.add_argument("--folds", type=int, default=5, metavar="N", help="of the cross-validation (default 5)")
        parser.add_argument("--trees", type=int, default=300, metavar="N", help="of the forest (default 300)")
        parser.add_argument("--seed", type=int, default=0, help="of folds, oversampling and forest")
        _add_out(parser, "folder of the model")

    def run(self) -> None:
        """Train and write."""
        from ..cohort.radiomics_table import read_radiomics_table
        from ..cohort.table import read_cohort
        from ..training.radiomics import RadiomicsPlan, train_radiomics, write_radiomics_run

        _check_empty(self.out, self.overwrite)
        plan = RadiomicsPlan(
            self.task, self.phases.upper(), tuple(self.regions), self.folds, self.trees, self.seed,
            self.cohort.resolve().parent.name,
        )  # fmt: skip
        rows, table = read_cohort(self.cohort), read_radiomics_table(self.features)
        with progress_bar("training") as progress:
            trained = train_radiomics(rows, table, plan, progress=progress)
        write_radiomics_run(trained, self.out)
        model, best = trained.model, trained.trials[0]
        left_out = f"; {trained.left_out} rows without label or phases left out" if trained.left_out else ""
        print(
            f"{model.cases} cases, {model.positive} positive{left_out}; {len(model.features)} features; AUROC "
            f"{best.mean:.3f} in cross-validation (LASSO {best.lasso_share:g}, leaves of {best.leaf}); {self.out}"
        )


@dataclass(frozen=True)
class TrainNomogram:
    """Fit nephrometry nomograms on the training rows: R.E.N.A.L. components, age and sex.

    Writes, per target, a JSON file, its points chart (SVG, PNG) and coefficients with 95 % intervals (CSV). Kutikov
    et al. 2011 published no coefficients, so that theirs cannot be shipped. High grade (WHO/ISUP 3 or 4) is fitted
    among graded malignant cases, and read as aggressiveness.
    """

    name: ClassVar[str] = "train nomogram"
    cohort: Path
    target: list[str] | None
    out: Path
    overwrite: bool

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument("--cohort", type=Path, required=True, metavar="CSV", help="cohort table")
        parser.add_argument(
            "--target", nargs="+", choices=("malignancy", "high_grade", "aggressiveness"),
            help="default: malignancy, and high_grade where rows are graded, else aggressiveness",
        )  # fmt: skip
        _add_out(parser, "folder of the nomograms")

    def run(self) -> None:
        """Fit, draw and write."""
        from ..cohort.table import read_cohort
        from ..output import staged
        from ..protocol.nomogram_chart import nomogram_chart
        from ..training.nomogram import coefficients_csv, fit_nomogram

        _check_empty(self.out, self.overwrite)
        rows = read_cohort(self.cohort)
        second = "high_grade" if any(row.grade for row in rows if row.split == "training") else "aggressiveness"
        targets = list(dict.fromkeys(self.target or ["malignancy", second]))
        fitted = [fit_nomogram(rows, target, self.cohort.resolve().parent.name) for target in targets]
        with staged(self.out, last=f"{targets[-1]}.json") as stage:
            for target, item in zip(targets, fitted, strict=True):
                chart = nomogram_chart(item.nomogram)
                (stage / f"{target}-chart.svg").write_text(chart.svg, encoding="utf-8")
                (stage / f"{target}-chart.png").write_bytes(chart.png)
                (stage / f"{target}-coefficients.csv").write_text(coefficients_csv(item), encoding="utf-8")
                text = item.nomogram.model_dump_json(indent=2, exclude_none=True)
                (stage / f"{target}.json").write_text(f"{text}\n", encoding="utf-8")
        for target, item in zip(targets, fitted, strict=True):
            print(f"{target}: {item.nomogram.cases} cases, {item.nomogram.positive} positive. {' '.join(item.notes)}")


@dataclass(frozen=True)
class NomogramChart:
    """Draw the points chart of a nomogram file (SVG and PNG)."""

    name: ClassVar[str] = "nomogram chart"
    nomogram: Path
    out: Path

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument("nomogram", type=Path, metavar="FILE", help="nomogram (JSON)")
        parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the chart")

    def run(self) -> None:
        """Draw."""
        from ..models.nomogram import load_nomogram
        from ..output import staged
        from ..protocol.nomogram_chart import nomogram_chart

        chart = nomogram_chart(load_nomogram(self.nomogram))
        with staged(self.out) as stage:
            (stage / f"{self.nomogram.stem}-chart.svg").write_text(chart.svg, encoding="utf-8")
            (stage / f"{self.nomogram.stem}-chart.png").write_bytes(chart.png)
        print(self.out / f"{self.nomogram.stem}-chart.svg")


@dataclass(frozen=True)
class EvaluateRadiomics:
    """Write the predictions table of radiomics models on one or more cohorts.

    The table is read by evaluate predictions and evaluate paper. Cases that lack a phase of the model get no
    prediction.
    """

    name: ClassVar[str] = "evaluate radiomics"
    run_folder: list[Path]
    cohort: list[str]
    features: list[Path]
    split: list[str]
    model: str
    out: Path
    overwrite: bool

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument(
            "--run", dest="run_folder", type=Path, nargs="+", required=True, metavar="RUN", help="of train radiomics"
        )
        parser.add_argument(
            "--features", type=Path, nargs="+", required=True, metavar="TABLE", help="features of each cohort"
        )
        _add_predicting(parser, "radiomics")

    def run(self) -> None:
        """Predict every case."""
        from ..cohort.radiomics_table import read_radiomics_table
        from ..errors import ConfigurationError
        from ..models.radiomics_model import load_radiomics_model
        from ..protocol.comparator_predictions import radiomics_predictions
        from ..training.radiomics import MODEL_FILE

        if len(self.cohort) != len(self.features):
            raise ConfigurationError(
                f"Every cohort needs its features, but {len(self.cohort)} and {len(self.features)} are given."
            )
        cohorts = _cohorts(self.cohort, self.split)
        models = [load_radiomics_model(run / MODEL_FILE) for run in self.run_folder]
        tables = [read_radiomics_table(path) for path in self.features]
        found = [
            prediction
            for (name, rows), table in zip(cohorts.items(), tables, strict=True)
            for model in models
            for prediction in radiomics_predictions(model, table, rows, name, self.model)
        ]
        _write(found, cohorts, self.out, self.overwrite)


@dataclass(frozen=True)
class EvaluateNomogram:
    """Write the predictions table of nephrometry nomograms on one or more cohorts.

    Cases that lack a component get no prediction. A nomogram of high grade stands for aggressiveness.
    """

    name: ClassVar[str] = "evaluate nomogram"
    nomogram: list[Path]
    cohort: list[str]
    split: list[str]
    model: str
    out: Path
    overwrite: bool

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument(
            "--nomogram", type=Path, nargs="+", required=True, metavar="FILE", help="nomograms (JSON), one per task"
        )
        _add_predicting(parser, "nomogram")

    def run(self) -> None:
        """Predict every case."""
        from ..models.nomogram import load_nomogram
        from ..protocol.comparator_predictions import nomogram_predictions

        cohorts = _cohorts(self.cohort, self.split)
        nomograms = [load_nomogram(path) for path in self.nomogram]
        found = [
            prediction
            for name, rows in cohorts.items()
            for nomogram in nomograms
            for prediction in nomogram_predictions(nomogram, rows, name, self.model)
        ]
        _write(found, cohorts, self.out, self.overwrite)


def _add_out(parser: argparse.ArgumentParser, words: str) -> None:
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help=words)
    parser.add_argument("--overwrite", action="store_true", help="replace older results")


def _add_predicting(parser: argparse.ArgumentParser, model: str) -> None:
    parser.add_argument(
        "--cohort", nargs="+", required=True, metavar="CSV", help="cohort tables; NAME=CSV names one (else its folder)"
    )
    add_predictions(parser, model)


def _check_empty(out: Path, overwrite: bool) -> None:
    from ..errors import OutputError

    if out.exists() and any(out.iterdir()) and not overwrite:
        raise OutputError(f"{out.name} is not empty; choose another folder or give --overwrite.")


def _cohorts(texts: list[str], splits: list[str]) -> Cohorts:
    from .evaluation import read_cohorts

    found = read_cohorts(texts)
    return {name: tuple(row for row in rows if row.split in splits) for name, rows in found.items()}


def _write(found: list[Prediction], cohorts: Cohorts, out: Path, overwrite: bool) -> None:
    from ..errors import CohortError, OutputError
    from ..protocol.predictions import write_predictions

    if out.exists() and not overwrite:
        raise OutputError(f"{out.name} exists already; choose another name or give --overwrite.")
    cases = {(name, row.case_id) for name, rows in cohorts.items() for row in rows}
    predicted = {(item.cohort, f"{item.patient}-{item.side}") for item in found}
    if not found:
        raise CohortError(
            f"None of the {len(cases)} cases of these splits has all that the model needs (phases, components); there "
            f"is nothing to predict."
        )
    out.parent.mkdir(parents=True, exist_ok=True)
    write_predictions(found, out)
    print(f"{len(found)} predictions for {len(predicted)} of {len(cases)} cases in {out}")


COMMANDS: list[Any] = [
    CohortRadiomics,
    TrainRadiomics,
    TrainNomogram,
    NomogramChart,
    EvaluateRadiomics,
    EvaluateNomogram,
]
