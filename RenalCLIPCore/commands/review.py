"""The main job: a study in, a case review out."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from ..imaging.study import Study
    from ..progress import Progress
    from ..session import Session


@dataclass(frozen=True)
class Review:
    """Review a study: phases, masks, lesions and what a model bundle says about them.

    SOURCE is a study folder, a DICOM folder or file, or NIfTI, NRRD or MetaImage files (imported first). Writes
    review.json, review.html and the volumes that they name into --out.
    """

    source: Sequence[Path]
    out: Path
    bundle: Path | None
    centre_lps_mm: Sequence[float] | None
    by: str
    why: str
    segmentation: Path | None
    segmentation_model: Path | None
    phase: Sequence[str]
    allow_gaps: bool
    keep_identifiers: bool
    register: bool
    precision: str
    device: str
    no_explanation: bool
    no_uncertainty: bool
    no_nephrometry: bool
    generated_report: bool
    quiet: bool
    name: ClassVar[str] = "review"

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        add = parser.add_argument
        add("source", type=Path, nargs="+", help="study folder, DICOM folder or file, or volume files")
        add("--out", type=Path, default=Path("review"), help="folder for the results (default: review)")
        add("--bundle", type=Path, help="model bundle (default: the phantom-trained one that ships with the program)")
        add("--centre-lps-mm", type=float, nargs=3, metavar=("X", "Y", "Z"), help="centre of the lesion, LPS mm")
        add("--by", default="", help="who gives the centre")
        add("--why", default="", help="why the centre is given")
        add("--segmentation", type=Path, help="masks: kidney 1, tumour 2, cyst 3")
        add("--segmentation-model", type=Path, help="nnU-Net model folder or exported zip")
        add("--phase", action="append", default=[], metavar="P=SERIES", help="name a phase, e.g. A=art.nii.gz")
        add("--allow-gaps", action="store_true", help="accept missing slices (resampled and recorded)")
        add("--keep-identifiers", action="store_true", help="keep patient name, id and dates")
        add("--register", action="store_true", help="register the phases to the reference (breathing)")
        add("--precision", choices=("exact", "fast"), default="exact", help="float32, or bfloat16 for the encoder")
        add("--device", default="cpu", help="cpu or cuda")
        add("--no-explanation", action="store_true", help="leave the explanation maps out")
        add("--no-uncertainty", action="store_true", help="leave the uncertainty out")
        add("--no-nephrometry", action="store_true", help="leave the measurement of the masks out")
        add("--generated-report", action="store_true", help="reports as the bundle's report generator writes them")
        add("--quiet", action="store_true", help="no progress on stderr")

    def run(self) -> None:
        """Import where needed, segment, read, write."""
        from ..errors import ConfigurationError
        from ..output import staged
        from ..progress import ProgressLine, silent, spans
        from ..session import PAGE_FILE, REVIEW_FILE, Session, SessionOptions, demo_bundle

        if self.segmentation and self.segmentation_model:
            raise ConfigurationError("Give either --segmentation or --segmentation-model, not both.")
        if any(source.resolve() == self.out.resolve() for source in self.source):
            raise ConfigurationError("The review cannot be written into its source; give another folder with --out.")
        self._check_replaced()
        out = self.out.absolute()  # as the imported study's folder is: only then does it lie below
        tell = silent if self.quiet else ProgressLine()
        session = Session(SessionOptions(self.device, self.precision, self.keep_identifiers))
        bundle = session.load_bundle(self.bundle or demo_bundle())
        if self.generated_report and bundle.report_folder is None:
            raise ConfigurationError("The bundle carries no report generator; leave --generated-report out.")
        steps = spans(tell, self._shares())
        with staged(out, last=REVIEW_FILE) as stage:
            session.open(self._study(stage / "study", steps["import"]))
            self._read(session, steps)
            tell(1.0, "writing")
            review = session.write(stage, out)
        tell(1.0, "")
        for line in (
            review.conclusion,
            *_cautions(session),
            f"wrote {self.out / REVIEW_FILE}",
            f"wrote {self.out / PAGE_FILE}",
        ):
            print(line)

    def _check_replaced(self) -> None:
        """Refuse an output whose folders would be replaced although a source lies in them, or they are not ours."""
        from ..errors import ConfigurationError, OutputError
        from ..imaging.study import is_study
        from ..session import REPLACED_FOLDERS, REVIEW_FILE

        imported = len(self.source) == 1 and is_study(self.source[0])
        for folder in (self.out / name for name in REPLACED_FOLDERS):
            inside = any(source.resolve().is_relative_to(folder.resolve()) for source in self.source)
            if inside and not imported:
                raise ConfigurationError(
                    f"The source lies in the output's folder {folder.name!r}, which would be replaced."
                )
            if folder.is_dir() and not (inside or _is_review_folder(self.out, REVIEW_FILE)):
                raise OutputError(
                    f"The output folder holds a folder {folder.name!r} of another origin; choose another."
                )

    def _shares(self) -> dict[str, float]:
        """Steps of the review in order, with their usual times in seconds."""
        wanted = {
            "import": 5.0,
            "segment": 8.0,
            "register": 15.0 * self.register,
            "read": 1.0,
            "measure": 6.0 * (not self.no_nephrometry),
            "explain": 1.0 * (not self.no_explanation),
            "uncertainty": 6.0 * (not self.no_uncertainty),
            "report": 5.0 * self.generated_report,
        }
        return {name: seconds for name, seconds in wanted.items() if seconds}

    def _read(self, session: Session, steps: Mapping[str, Progress]) -> None:
        from ..progress import spans

        self._segment(session, steps["segment"])
        if "register" in steps:
            session.register(steps["register"])
        review = session.review(self._point(), steps["read"])
        primary = review.primary
        if "measure" in steps:
            each = spans(
                steps["measure"], {lesion.lesion_id: 5.0 if lesion.primary else 1.0 for lesion in review.lesions}
            )
            for lesion in review.lesions:
                session.measure(lesion.lesion_id, each[lesion.lesion_id], perturbations=None if lesion.primary else 0)
        if primary is not None and "explain" in steps:
            steps["explain"](0.0, "explaining")
            session.explain(primary.lesion_id)
        if primary is not None and "uncertainty" in steps:
            session.estimate_uncertainty(primary.lesion_id, steps["uncertainty"])
        for place, lesion in enumerate(review.lesions) if "report" in steps else ():
            steps["report"](place / len(review.lesions), "writing the report")
            session.report(lesion.lesion_id, generated=True)

    def _study(self, folder: Path, tell: Progress) -> Study:
        from ..errors import ConfigurationError
        from ..imaging.importing import ImportOptions, import_study, parse_phase_overrides
        from ..imaging.study import is_study, read_study

        if len(self.source) == 1 and is_study(self.source[0]):
            if self.phase:
                raise ConfigurationError("--phase names phases at import; this study is imported already.")
            return read_study(self.source[0])
        options = ImportOptions(parse_phase_overrides(self.phase), self.allow_gaps, self.keep_identifiers)
        return import_study(self.source, folder, options, progress=tell)

    def _segment(self, session: Session, tell: Progress) -> None:
        from ..errors import NoKidneyError

        if self.segmentation:
            session.segment_from_file(self.segmentation)
            return
        bundled = session.bundle.segmentation_folder if session.bundle else None
        if self.centre_lps_mm and not self.segmentation_model and bundled is None:
            return
        try:
            session.segment_with_model(self.segmentation_model, tell)
        except NoKidneyError:
            if not self.centre_lps_mm:
                raise
            print("No kidney was segmented; the given centre is used.", file=sys.stderr)

    def _point(self) -> Any:
        if self.centre_lps_mm is None:
            return None
        from ..inference.case import now
        from ..review import Centre

        x, y, z = self.centre_lps_mm
        return Centre((x, y, z), "manual", self.by or "command line", now(), self.why or "given with --centre-lps-mm")


def _is_review_folder(folder: Path, review_file: str) -> bool:
    """Whether a folder holds a review, or what a killed run left of one."""
    from ..output import PARTIAL

    return (folder / review_file).is_file() or any(folder.glob(f"{PARTIAL}*"))


def _cautions(session: Session) -> list[str]:
    manifest = session.bundle.manifest if session.bundle else None
    if manifest is None:
        return []
    source = "learned from digital phantoms, not from patients. " if manifest.phantom_trained else ""
    return [f"Bundle {manifest.name} {manifest.version}: {source}{manifest.intended_use}"]


COMMANDS = [Review]
