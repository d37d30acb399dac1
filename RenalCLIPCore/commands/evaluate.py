"""Commands of evaluation."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from .evaluation import tell


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
        """Declare the arguments."""
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
        """Read every case, score, write."""
        from ..cohort.roi_store import RoiStore
        from ..cohort.table import CohortRow, read_cohort
        from ..errors import CohortError, OutputError
        from ..models.bundle import Bundle
        from ..protocol.bundle_scores import score_predictions, to_markdown, write_scores
        from ..protocol.held_out import met_again
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
        groups = {bundle.manifest.name: frozenset(bundle.manifest.training_groups)}
        for table, store in zip(self.cohort, self.rois, strict=True):
            part = [row for row in read_cohort(table) if row.split == self.split]
            tell(met_again(groups, {table.parent.name: part}, self.split))
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


def _add_cohorts(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--bundle", type=Path, required=True, metavar="BUNDLE", help="bundle to evaluate")
    parser.add_argument("--cohort", type=Path, nargs="+", required=True, metavar="CSV", help="cohort tables")
    parser.add_argument("--rois", type=Path, nargs="+", required=True, metavar="STORE", help="their ROI stores")
    parser.add_argument("--split", default="test", choices=("validation", "test"), help="rows to use (default test)")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the tables, replaced")


def _check_lists(**lists: list[Path]) -> None:
    from ..errors import ConfigurationError

    if len({len(paths) for paths in lists.values()}) > 1:
        given = ", ".join(f"{len(paths)} for --{name}" for name, paths in lists.items())
        raise ConfigurationError(f"Each cohort needs one of each, but there are {given}.")


@dataclass(frozen=True)
class EvaluateAlignment:
    """Evaluate a bundle's image-text space: retrieval among kidneys with a lesion, and zero-shot reading.

    Writes alignment.csv and alignment.md: Recall@1, 3, 5 in both directions beside chance, and the AUROC of both
    zero-shot strategies beside that of an observer who knows every hidden attribute (phantoms).
    """

    name: ClassVar[str] = "evaluate alignment"
    bundle: Path
    cohort: list[Path]
    rois: list[Path]
    texts: list[Path]
    split: str
    gallery: int
    seed: int
    out: Path

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        _add_cohorts(parser)
        parser.add_argument(
            "--texts", type=Path, nargs="+", required=True, metavar="STORE", help="text features of each"
        )
        parser.add_argument("--gallery", type=int, default=200, metavar="N", help="kidneys to retrieve (default 200)")
        parser.add_argument("--seed", type=int, default=0, help="of gallery, draws and bootstrap")

    def run(self) -> None:
        """Evaluate every cohort on its own."""
        from ..cohort.roi_store import RoiStore
        from ..cohort.table import read_cohort
        from ..models.bundle import Bundle
        from ..models.text_features import read_text_features
        from ..protocol.alignment_scores import score_alignment, write_alignment
        from ..protocol.held_out import met_again

        _check_lists(cohort=self.cohort, rois=self.rois, texts=self.texts)
        bundle = Bundle.load(self.bundle)
        scores = []
        for table, store, texts in zip(self.cohort, self.rois, self.texts, strict=True):
            rows = [row for row in read_cohort(table) if row.split == self.split]
            groups = {bundle.manifest.name: frozenset(bundle.manifest.training_groups)}
            tell(met_again(groups, {table.parent.name: rows}, self.split))
            features = read_text_features(texts)
            scores += score_alignment(
                bundle, table.parent.name, rows, RoiStore(store), features, gallery=self.gallery, seed=self.seed
            )
        manifest = bundle.manifest
        print(write_alignment(scores, self.out, f"{manifest.name} {manifest.version}. {manifest.intended_use}"), end="")


@dataclass(frozen=True)
class EvaluateProbe:
    """Fit linear probes of the report attributes on a bundle's frozen encoder and on an untrained one.

    Writes probe.csv and probe.md: macro AUROC per attribute on the held-out rows. Probes are fitted on the rows of
    the training split of --training.
    """

    name: ClassVar[str] = "evaluate probe"
    bundle: Path
    training: Path
    training_rois: Path
    cohort: list[Path]
    rois: list[Path]
    split: str
    seed: int
    out: Path

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        _add_cohorts(parser)
        parser.add_argument("--training", type=Path, required=True, metavar="CSV", help="cohort table to fit on")
        parser.add_argument("--training-rois", type=Path, required=True, metavar="STORE", help="its ROI store")
        parser.add_argument("--seed", type=int, default=0, help="of the untrained encoder")

    def run(self) -> None:
        """Fit and score."""
        import numpy as np
        import torch

        from ..cohort.roi_store import RoiStore
        from ..cohort.table import read_cohort
        from ..errors import CohortError
        from ..models.bundle import Bundle
        from ..models.encoder import RenalEncoder
        from ..protocol.case_embeddings import read_cases
        from ..protocol.probe import probe_attributes, write_probe
        from ..text.questionnaire import questionnaire

        _check_lists(cohort=self.cohort, rois=self.rois)
        bundle = Bundle.load(self.bundle)
        untrained = RenalEncoder(bundle.encoder.width, 0, torch.Generator().manual_seed(self.seed)).eval()
        sources = [(self.training, self.training_rois, "training")]
        sources += [(table, store, self.split) for table, store in zip(self.cohort, self.rois, strict=True)]
        rows = [[row for row in read_cohort(table) if row.split == split] for table, _, split in sources]
        if not rows[0] or not any(rows[1:]):
            raise CohortError(f"Probes need rows of the split 'training' to fit on and of {self.split!r} to be scored.")
        features = {
            name: [
                read_cases(encoder, part, RoiStore(store))[0] for part, (_, store, _) in zip(rows, sources, strict=True)
            ]
            for name, encoder in (("trained", bundle.encoder), ("untrained", untrained))
        }
        pairs = {name: (parts[0], np.concatenate(parts[1:])) for name, parts in features.items()}
        test = [row for part in rows[1:] for row in part]
        scores = probe_attributes(questionnaire().names, pairs["trained"], pairs["untrained"], (rows[0], test))
        print(write_probe(scores, self.out, f"Linear probes, {bundle.manifest.name} {bundle.manifest.version}"), end="")


COMMANDS: list[Any] = [EvaluateBundle, EvaluateAlignment, EvaluateProbe]
