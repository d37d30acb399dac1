"""Segmentation: run a model, train one, evaluate masks."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from ..errors import ConfigurationError
from ..progress import ProgressLine
from .segment_evaluation import SegmentEvaluate, read_cases, rows_of

if TYPE_CHECKING:
    from ..imaging.nnunet_options import TrainingOptions
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
        result = segment(volume, model, options=options, progress=ProgressLine())
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
            "--cohort",
            type=Path,
            required=True,
            help="cohort table with label_map (all but its test split), or a folder of images and labels",
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
        from ..training.learnt_from import LearntFrom, learnt_from

        options: TrainingOptions = TrainingOptions(**self.options)
        rows = rows_of(self.cohort, held_out=False)
        cases = read_cases(self.cohort, rows)
        train_segmentation(
            cases, self.out, options, work=self.work, start_from=self.start_from, progress=ProgressLine()
        )
        learnt_from(self.start_from).joined(LearntFrom.of(rows)).keep(self.out)
        print(f"{self.out}: trained on {len(cases)} images of {len({case.group for case in cases})} patients")


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

        print(write_segmentation_cases(self.out, self.patients, self.seed, phases=self.phases, progress=ProgressLine()))


COMMANDS: list[Any] = [SegmentRun, SegmentTrain, SegmentEvaluate, SegmentPhantoms]


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
    ("--light", {"nargs": 0, "help": "one convolution in the first stage and the decoder: half the work"}),
    ("--spacing", {"dest": "spacing_mm", "type": float, "nargs": 3, "metavar": _AXES, "help": "target spacing in mm"}),
    ("--patch", {"type": int, "nargs": 3, "metavar": _AXES, "help": "patch in voxels (default: planned)"}),
    ("--batch-size", {"type": int, "help": "patches per step (default: planned)"}),
    ("--optimizer", {"help": "sgd (nnU-Net's, default) or adamw (better for short trainings)"}),
    ("--learning-rate", {"type": float, "help": "at the start (default: 0.01)"}),
    ("--foreground", {"type": float, "help": "share of patches that hold foreground (default: 0.33)"}),
    ("--augmentation", {"help": "full (nnU-Net's, default) or light (Hounsfield values keep their meaning)"}),
    ("--zoom-out", {"type": float, "help": "largest shrinkage in augmentation (default: 2)"}),
    ("--device", {"help": "cpu (default), cuda or mps"}),
    ("--threads", {"type": int, "help": "threads of torch on CPU (default: torch's choice)"}),
    ("--workers", {"type": int, "help": "processes that prepare and augment (default: 0, in this process)"}),
    ("--seed", {"type": int, "help": "of split, weights and augmentation (default: 0)"}),
    ("--low-precision", {"nargs": 0, "help": "bf16 on CPU"}),
    ("--half-weights", {"nargs": 0, "help": "store the weights as 16-bit floats"}),
)


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
