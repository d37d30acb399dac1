"""Evaluation of segmentations, and the cases that training and evaluation read."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from ..errors import ConfigurationError
from ..progress import ProgressLine

if TYPE_CHECKING:
    from ..cohort.table import CohortRow
    from ..imaging.nnunet_options import TrainingCase


@dataclass(frozen=True)
class SegmentEvaluate:
    """Dice per label with bootstrap 95 % intervals over patients, and the error of the lesion centre.

    Either --predictions and --labels (folders with files of the same names), or --model and --cohort.
    """

    predictions: Path | None
    labels: Path | None
    model: Path | None
    cohort: Path | None
    out: Path | None
    device: str
    seed: int
    name: ClassVar[str] = "segment evaluate"

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument("--predictions", type=Path, help="folder of predicted label maps")
        parser.add_argument("--labels", type=Path, help="folder of reference label maps")
        parser.add_argument("--model", type=Path, help="trained nnU-Net v2 model to run")
        parser.add_argument(
            "--cohort", type=Path, help="cohort table (its test split) or folder of images and labels to run it on"
        )
        parser.add_argument("--out", type=Path, help="CSV of the scores per case")
        parser.add_argument("--device", default="cpu", help="cpu, cuda or mps (default: cpu)")
        parser.add_argument("--seed", type=int, default=0, help="of the bootstrap (default: 0)")

    def run(self) -> None:
        """Score, print the table, write the CSV."""
        from ..imaging.mask_scores import score_masks

        rows = [(case, group, score_masks(*masks)) for case, group, masks in self._masks()]
        if self.out is not None:
            _write_scores(self.out, rows)
            print(self.out)
        for line in summary_table(rows, self.seed):
            print(line)

    def _masks(self) -> Any:
        """Yield (case, group, (reference, predicted)), read or made one at a time."""
        if self.predictions is not None and self.labels is not None:
            yield from _stored_masks(self.predictions, self.labels)
        elif self.model is not None and self.cohort is not None:
            cases = read_cases(self.cohort, rows_of(self.cohort, held_out=True))
            yield from _predicted_masks(self.model, cases, self.device)
        else:
            raise ConfigurationError("Give either --predictions and --labels, or --model and --cohort.")


def read_cases(source: Path, rows: Sequence[CohortRow]) -> tuple[TrainingCase, ...]:
    """Cases of a folder of images and labels, or of ``rows`` of a cohort table (each phase one case)."""
    from ..imaging.training_cases import cases_in_folder

    return cases_in_folder(source) if source.is_dir() else _table_cases(source, rows)


def rows_of(source: Path, *, held_out: bool) -> tuple[CohortRow, ...]:
    """Rows of a cohort table: of its test split, or the others; all where no row is assigned. A folder has none.

    Raises:
        CohortError: The table cannot be read, or has no such row.
    """
    from ..cohort.table import read_cohort
    from ..errors import CohortError

    if source.is_dir():
        return ()
    rows = read_cohort(source)
    found = tuple(row for row in rows if (row.split == "test") == held_out)
    if not any(row.split for row in rows):
        return tuple(rows)
    if not found:
        raise CohortError(f"{source.name} has no row {'in' if held_out else 'outside'} the test split.")
    return found


def summary_table(rows: Sequence[tuple[str, str, Any]], seed: int) -> list[str]:
    """Lines of the printed summary: mean Dice per label with its interval, and the centre error."""
    import numpy as np

    from ..errors import UndefinedMeasureError
    from ..evaluation.bootstrap import interval, patient_resamples

    if not rows:
        raise ConfigurationError("There are no cases to evaluate.")
    weights = patient_resamples([group for _, group, _ in rows], seed=seed)
    lines = [f"{len(rows)} images of {len({group for _, group, _ in rows})} patients", "label    images  Dice (95 %)"]
    for label in rows[0][2].dice:
        values = np.array([scores.dice[label] for _, _, scores in rows])
        known = ~np.isnan(values)
        try:
            found = interval(_weighted_mean(values), weights)
            text = f"{found.value:.3f} ({found.low:.3f} to {found.high:.3f})"
        except UndefinedMeasureError:
            text = "not defined"
        lines.append(f"{label:<8} {int(known.sum()):>6}  {text}")
    errors = np.array([scores.centre_error_mm for _, _, scores in rows])
    near = int((errors <= 5).sum())
    agreed = sum(scores.lesion_found for _, _, scores in rows)
    lines.append(f"lesion or no lesion, as in the reference: {agreed} of {len(rows)}")
    if (~np.isnan(errors)).any():
        lines.append(
            f"centre of the primary lesion: median error {np.nanmedian(errors):.1f} mm, "
            f"within 5 mm in {near} of {int((~np.isnan(errors)).sum())}"
        )
    return lines


def _table_cases(table: Path, rows: Sequence[CohortRow]) -> tuple[TrainingCase, ...]:
    from ..errors import CohortError
    from ..imaging.nnunet_options import TrainingCase

    cases: dict[str, TrainingCase] = {}
    for row in rows:
        for phase, path in row.volumes.items():
            if row.label_map is not None:
                case_id = f"{row.patient.replace('.', '-')}_{phase.value}"
                cases.setdefault(case_id, TrainingCase(case_id, path, row.label_map, row.patient))
    if not cases:
        raise CohortError(f"{table.name} names no label maps; fill the column label_map.")
    return tuple(cases.values())


def _stored_masks(predictions: Path, labels: Path) -> Any:
    from ..errors import CohortError
    from ..imaging.training_cases import volume_files
    from ..imaging.volume import read_volume

    known = volume_files(labels)
    found = volume_files(predictions)
    if not set(found) & set(known):
        raise CohortError(f"No file in {predictions.name} has the name of one in {labels.name}.")
    for key in sorted(set(found) & set(known)):
        group = key[:-2] if key[-2:] in ("_N", "_A", "_V", "_D") else key
        yield key, group, (read_volume(known[key]), read_volume(found[key]))


def _predicted_masks(model: Path, cases: Sequence[TrainingCase], device: str) -> Any:
    from ..imaging.segmentation import SegmentationModel, segment
    from ..imaging.volume import read_volume

    loaded = SegmentationModel.load(model, device)
    report = ProgressLine()
    for number, case in enumerate(cases):
        report(number / len(cases), f"case {number + 1} of {len(cases)}")
        yield case.case_id, case.group, (read_volume(case.labels), segment(read_volume(case.image), loaded).labels)


def _write_scores(path: Path, rows: Sequence[tuple[str, str, Any]]) -> None:
    from ..output import write_text

    names = list(rows[0][2].dice) if rows else []
    lines = [",".join(["case", "patient", *(f"dice_{name}" for name in names), "centre_error_mm", "lesion_agrees"])]
    for case, group, scores in rows:
        cells = [f"{value:.4f}" if value == value else "" for value in (*scores.dice.values(), scores.centre_error_mm)]
        lines.append(",".join([case, group, *cells, str(int(scores.lesion_found))]))
    write_text(path, "\n".join(lines) + "\n")


def _weighted_mean(values: Any) -> Callable[[Any], Any]:
    import numpy as np

    known = ~np.isnan(values)

    def measure(weights: Any) -> Any:
        total = weights[..., known].sum(axis=-1)
        with np.errstate(invalid="ignore", divide="ignore"):
            return (weights[..., known] @ values[known]) / total

    return measure
