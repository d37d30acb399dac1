"""Segmentation: run a model, train one, evaluate masks."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from ..errors import ConfigurationError

if TYPE_CHECKING:
    from ..imaging.nnunet_options import TrainingCase, TrainingOptions
    from ..imaging.volume import Volume


@dataclass(frozen=True)
class SegmentRun:
    """Segment kidneys, tumours and cysts of a CT with a trained nnU-Net model.

    The source is a volume file, or a study folder made by 'renalclip import' (its arterial phase, else the venous one,
    unless --phase names another).
    """

    source: Path
    model: Path
    out: Path
    phase: str | None
    exact: bool
    mirroring: bool
    device: str
    name: ClassVar[str] = "segment run"

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument("source", type=Path, help="volume file (NIfTI, NRRD, MHA) or study folder")
        parser.add_argument(
            "--model", type=Path, required=True, help="trained nnU-Net v2 model: folder or exported zip"
        )
        parser.add_argument("--out", type=Path, required=True, help="label map to write, such as labels.nii.gz")
        parser.add_argument("--phase", choices=("N", "A", "V", "D"), help="phase of the study to segment")
        parser.add_argument("--exact", action="store_true", help="whole volume at once instead of kidneys first (slow)")
        parser.add_argument("--mirroring", action="store_true", help="average over mirrored tiles (slow)")
        parser.add_argument("--device", default="cpu", help="cpu, cuda or mps (default: cpu)")

    def run(self) -> None:
        """Segment, write, and say what was found."""
        from ..imaging.segmentation import SegmentationModel, SegmentOptions, segment
        from ..imaging.volume import is_volume_file, write_volume

        if not is_volume_file(self.out):
            raise ConfigurationError(f"{self.out.name} is no name of a volume file; end it in .nii.gz, .nrrd or .mha.")
        volume = self._volume()
        model = SegmentationModel.load(self.model, self.device)
        options = SegmentOptions(exact=self.exact, mirroring=self.mirroring)
        result = segment(volume, model, options=options, progress=progress_line())
        self.out.parent.mkdir(parents=True, exist_ok=True)
        write_volume(result.labels, self.out)
        for line in (f"model {result.model}, sha256 {result.sha256}", *result.notes, *_summary(result.labels)):
            print(line)
        print(self.out)

    def _volume(self) -> Volume:
        from ..imaging.study import Phase, read_study
        from ..imaging.volume import read_volume

        if not self.source.is_dir():
            return read_volume(self.source)
        study = read_study(self.source)
        if self.phase is None:
            return study.reference.read()
        if Phase(self.phase) not in study.phases:
            raise ConfigurationError(f"The study has no phase {self.phase}; it has {', '.join(sorted(study.phases))}.")
        return study.phases[Phase(self.phase)].read()


@dataclass(frozen=True)
class SegmentTrain:
    """Train a segmentation model through nnU-Net's planning and trainer.

    An interrupted training continues when the same command is given again. The work folder (OUT-work) may be removed
    when the model is there.
    """

    cohort: Path
    out: Path
    start_from: Path | None
    work: Path | None
    options: dict[str, Any]
    name: ClassVar[str] = "segment train"

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument(
            "--cohort", type=Path, required=True, help="cohort table with label_map, or a folder of images and labels"
        )
        parser.add_argument("--out", type=Path, required=True, help="model folder to write")
        parser.add_argument("--from", dest="start_from", type=Path, help="trained model to start from (its plans too)")
        parser.add_argument("--work", type=Path, help="folder for nnU-Net's intermediate files (default: OUT-work)")
        parser.set_defaults(options={})
        for flags, settings in _TRAINING_ARGUMENTS:
            parser.add_argument(flags, action=_Option, default=argparse.SUPPRESS, **settings)

    def run(self) -> None:
        """Train and write the model folder."""
        from ..imaging.nnunet_options import TrainingOptions
        from ..imaging.nnunet_training import train_segmentation

        options: TrainingOptions = TrainingOptions(**self.options)
        cases = read_cases(self.cohort)
        train_segmentation(
            cases, self.out, options, work=self.work, start_from=self.start_from, progress=progress_line()
        )
        print(f"{self.out}: trained on {len(cases)} images of {len({case.group for case in cases})} patients")


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
        parser.add_argument("--cohort", type=Path, help="cohort table or folder of images and labels to run it on")
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
            yield from _predicted_masks(self.model, read_cases(self.cohort), self.device)
        else:
            raise ConfigurationError("Give either --predictions and --labels, or --model and --cohort.")


@dataclass(frozen=True)
class SegmentPhantoms:
    """Write digital phantoms with label maps, to train or test a segmentation on."""

    out: Path
    patients: int
    seed: int
    phases: int
    name: ClassVar[str] = "segment phantoms"

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument("--out", type=Path, required=True, help="folder to write images and labels into")
        parser.add_argument("--patients", type=int, default=90, help="number of patients (default: 90)")
        parser.add_argument("--seed", type=int, default=101, help="of the patients (default: 101)")
        parser.add_argument("--phases", type=int, default=2, help="phases per patient (default: 2)")

    def run(self) -> None:
        """Write the phantoms."""
        from ..phantom.segmentation_cases import write_segmentation_cases

        print(
            write_segmentation_cases(self.out, self.patients, self.seed, phases=self.phases, progress=progress_line())
        )


COMMANDS: list[Any] = [SegmentRun, SegmentTrain, SegmentEvaluate, SegmentPhantoms]


def read_cases(source: Path) -> tuple[TrainingCase, ...]:
    """Training cases of a cohort table (each phase one case) or of a folder of images and labels."""
    from ..imaging.training_cases import cases_in_folder

    return cases_in_folder(source) if source.is_dir() else _table_cases(source)


def progress_line() -> Callable[[float, str], None]:
    """Progress on one line of a terminal's stderr; a line per twentieth elsewhere."""
    last = [-1]

    def report(fraction: float, words: str) -> None:
        if sys.stderr.isatty():
            print(f"\r{100 * fraction:5.1f} % {words:<60}", end="\n" if fraction >= 1 else "", file=sys.stderr)
        elif int(20 * fraction) != last[0]:
            print(f"{100 * fraction:5.1f} % {words}", file=sys.stderr, flush=True)
        last[0] = int(20 * fraction)

    return report


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


class _Option(argparse.Action):
    """Collects the training options that were given into one dict, so that defaults stay in one place."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        content = True if self.nargs == 0 else tuple(values) if isinstance(values, list) else values
        namespace.options = {**namespace.options, self.dest: content}


_AXES = ("L", "P", "S")
_TRAINING_ARGUMENTS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("--configuration", {"help": "3d_fullres (default), 3d_lowres or 2d"}),
    ("--epochs", {"type": int, "help": "number of epochs (default: nnU-Net's 1000)"}),
    ("--iterations", {"type": int, "help": "steps per epoch (default: 250)"}),
    ("--validation-iterations", {"type": int, "help": "validation steps per epoch (default: 50)"}),
    ("--base-features", {"type": int, "help": "width of the first stage (default: nnU-Net's 32)"}),
    ("--max-features", {"type": int, "help": "largest width (default: nnU-Net's 320)"}),
    ("--spacing", {"dest": "spacing_mm", "type": float, "nargs": 3, "metavar": _AXES, "help": "target spacing in mm"}),
    ("--patch", {"type": int, "nargs": 3, "metavar": _AXES, "help": "patch in voxels (default: planned)"}),
    ("--batch-size", {"type": int, "help": "patches per step (default: planned)"}),
    ("--optimizer", {"help": "sgd (nnU-Net's, default) or adamw (better for short trainings)"}),
    ("--learning-rate", {"type": float, "help": "at the start (default: 0.01)"}),
    ("--foreground", {"type": float, "help": "share of patches that hold foreground (default: 0.33)"}),
    ("--zoom-out", {"type": float, "help": "largest shrinkage in augmentation (default: 2)"}),
    ("--device", {"help": "cpu (default), cuda or mps"}),
    ("--threads", {"type": int, "help": "threads of torch on CPU (default: torch's choice)"}),
    ("--workers", {"type": int, "help": "processes that prepare and augment (default: 0, in this process)"}),
    ("--seed", {"type": int, "help": "of split, weights and augmentation (default: 0)"}),
    ("--low-precision", {"nargs": 0, "help": "bf16 on CPU"}),
    ("--half-weights", {"nargs": 0, "help": "store the weights as 16-bit floats"}),
)


def _table_cases(table: Path) -> tuple[TrainingCase, ...]:
    from ..cohort.table import read_cohort
    from ..errors import CohortError
    from ..imaging.nnunet_options import TrainingCase

    cases: dict[str, TrainingCase] = {}
    for row in read_cohort(table):
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
    report = progress_line()
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


def _summary(labels: Volume) -> list[str]:
    from ..errors import NoKidneyError
    from ..imaging.lesions import find_lesions

    try:
        findings = find_lesions(labels)
    except NoKidneyError as error:
        return [str(error)]
    lines = [f"{side} kidney {volume:.0f} ml" for side, volume in findings.kidney_volumes_ml.items()]
    for lesion in findings.lesions:
        centre = ", ".join(f"{value:.1f}" for value in lesion.centre_lps_mm)
        lines.append(
            f"{lesion.lesion_id} {lesion.side} {lesion.label} {lesion.volume_ml:.1f} ml, centre {centre} LPS mm"
        )
    return lines or ["no lesion"]
