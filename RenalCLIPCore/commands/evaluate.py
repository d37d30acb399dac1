"""Commands of evaluation."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar


@dataclass(frozen=True)
class EvaluateBundle:
    """Evaluate a bundle on a split of one or more cohorts, per task with 95 % intervals.

    Writes scores.csv, scores.md and predictions.csv: late fusion over all phases and the arterial (else
    venous) phase alone; for phantoms beside the score of an observer who knows every hidden attribute.
    """

    name: ClassVar[str] = "evaluate bundle"
    bundle: Path
    cohort: list[Path]
    rois: list[Path]
    split: str
    out: Path
    resamples: int
    seed: int
    overwrite: bool

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--bundle", type=Path, required=True, metavar="BUNDLE", help="bundle to evaluate")
        parser.add_argument("--cohort", type=Path, nargs="+", required=True, metavar="CSV", help="cohort tables")
        parser.add_argument("--rois", type=Path, nargs="+", required=True, metavar="STORE", help="their ROI stores")
        parser.add_argument(
            "--split", default="test", choices=("validation", "test"), help="rows to use (default test)"
        )
        parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the tables")
        parser.add_argument("--resamples", type=int, default=1000, metavar="N", help="bootstrap resamples")
        parser.add_argument("--seed", type=int, default=0, help="of the bootstrap")
        parser.add_argument("--overwrite", action="store_true", help="replace older tables")

    def run(self) -> None:
        from ..cohort.roi_store import RoiStore
        from ..cohort.table import CohortRow, read_cohort
        from ..errors import CohortError, OutputError
        from ..models.bundle import Bundle
        from ..protocol.bundle_scores import score_predictions, to_markdown, write_scores
        from ..protocol.predictions import Prediction, predict_cohort, write_predictions

        if self.out.exists() and any(self.out.iterdir()) and not self.overwrite:
            raise OutputError(f"{self.out.name} is not empty; choose another folder or give --overwrite.")
        if len(self.cohort) != len(self.rois):
            raise CohortError(
                f"Every cohort needs its ROI store, but {len(self.cohort)} and {len(self.rois)} are given."
            )
        bundle = Bundle.load(self.bundle)
        rows: list[CohortRow] = []
        predictions: list[Prediction] = []
        for table, store in zip(self.cohort, self.rois, strict=True):
            part = [row for row in read_cohort(table) if row.split == self.split]
            predictions += predict_cohort(bundle, table.parent.name, part, RoiStore(store))
            rows += part
        if not rows:
            raise CohortError(f"None of the tables has a row of the split {self.split!r}.")
        scores = score_predictions(predictions, rows, resamples=self.resamples, seed=self.seed)
        manifest = bundle.manifest
        title = f"{manifest.name} {manifest.version} on {len(rows)} cases ({self.split}). {manifest.intended_use}"
        write_scores(scores, self.out, title)
        write_predictions(predictions, self.out / "predictions.csv")
        print(to_markdown(scores, title), end="")


COMMANDS: list[Any] = [EvaluateBundle]
