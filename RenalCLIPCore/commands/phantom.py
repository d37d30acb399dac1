"""``renalclip phantom``: studies and cohorts of the digital renal phantom, with known truth."""

from __future__ import annotations

import argparse
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from ..progress import Progress
from .learning import add_workers

if TYPE_CHECKING:
    from ..imaging.study import Phase
    from ..phantom.anatomy import PhantomPatient
    from ..phantom.masks import MaskFile


@dataclass(frozen=True)
class PhantomStudy:
    """Make one phantom study (DICOM or NIfTI) with its truth."""

    name: ClassVar[str] = "phantom study"

    seed: int
    out: Path
    phases: str
    truth: Path | None
    labels: Path | None
    format: str
    columns: int
    slice_mm: float
    no_lesion: bool

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument("--seed", type=int, required=True, help="seed of the patient")
        parser.add_argument("--out", type=Path, required=True, help="folder to make")
        parser.add_argument("--phases", default="NAVD", help="contrast phases, some of N A V D (default: NAVD)")
        parser.add_argument("--truth", type=Path, help="also write the truth to this JSON file")
        parser.add_argument("--labels", type=Path, help="also write the true label map to this volume file")
        parser.add_argument("--format", choices=("dicom", "nifti"), default="dicom", help="default: dicom")
        parser.add_argument("--columns", type=int, default=320, help="rows and columns of a slice (default: 320)")
        parser.add_argument("--slice-mm", type=float, default=3.0, help="slice spacing in mm (default: 3)")
        parser.add_argument("--no-lesion", action="store_true", help="a patient without any lesion")

    def run(self) -> None:
        """Draw, render and write."""
        from ..errors import ConfigurationError
        from ..imaging.volume import write_volume
        from ..phantom.anatomy import draw_patient
        from ..phantom.grids import study_geometry
        from ..phantom.render import render_labels
        from ..phantom.truth import truth, write_truth

        if not 32 <= self.columns <= 1024 or not 0.5 <= self.slice_mm <= 10:
            raise ConfigurationError("Wanted: 32 to 1024 columns and slices of 0.5 to 10 mm.")
        phases = _phases(self.phases)
        patient = draw_patient(self.seed, lesion=not self.no_lesion)
        self._write(patient, phases)
        if self.truth:
            write_truth(truth(patient), self.truth)
        if self.labels:
            grid = study_geometry(patient, columns=self.columns, slice_mm=self.slice_mm)
            write_volume(render_labels(patient, grid), self.labels)
        print(self.out)

    def _write(self, patient: PhantomPatient, phases: tuple[Phase, ...]) -> None:
        from ..errors import OutputError
        from ..imaging.volume import write_volume
        from ..phantom.dicom import write_phantom_study
        from ..phantom.grids import study_geometry
        from ..phantom.render import TissueMap, render_phase

        grid = study_geometry(patient, columns=self.columns, slice_mm=self.slice_mm)
        if self.format == "dicom":
            write_phantom_study(patient, self.out, phases, geometry=grid)
            return
        if self.out.exists():
            raise OutputError(f"{self.out.name} exists already; choose another folder.")
        partial = self.out.with_name(f".partial-{self.out.name}")
        shutil.rmtree(partial, ignore_errors=True)
        try:
            partial.mkdir(parents=True)
            tissues = TissueMap(patient, grid)
            for phase in phases:
                volume = render_phase(patient, phase, grid, self.seed, tissues=tissues)
                write_volume(volume, partial / f"{phase.value}.nii.gz")
            partial.rename(self.out)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


@dataclass(frozen=True)
class PhantomCohort:
    """Make a cohort of phantom patients: phases, labels, truth, reports, one table (a broken-off run continues)."""

    name: ClassVar[str] = "phantom cohort"

    patients: int
    centre: str
    seed: int
    split: str
    out: Path
    phases: str
    processes: int
    dask: str
    in_plane_mm: float | None
    lesion_only: bool
    both_kidneys: bool
    masks: Path | None
    per_mask: int | None

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument("--patients", type=int, required=True, help="number of patients")
        parser.add_argument(
            "--centre",
            default="internal",
            help="internal (default), external or other: habits of scanner and timing; other has its own case mix too",
        )
        parser.add_argument("--seed", type=int, required=True, help="seed of the cohort")
        parser.add_argument("--split", default="training", help="training, validation or test (default: training)")
        parser.add_argument("--out", type=Path, required=True, help="folder of the cohort")
        parser.add_argument(
            "--phases", default="NAVD", help="phases of every patient, or 'mixed' for realistic gaps (default: NAVD)"
        )
        add_workers(parser)
        parser.add_argument("--in-plane-mm", type=float, help="in-plane voxel spacing (default: 1)")
        parser.add_argument(
            "--lesion-only", action="store_true", help="volumes of the lesion's region of interest, not both kidneys"
        )
        parser.add_argument(
            "--both-kidneys", action="store_true", help="a row of the table for the other kidney too (no labels)"
        )
        parser.add_argument(
            "--masks",
            type=Path,
            metavar="DIR",
            help="paint the patients onto these label maps of real kidneys, on their own grids: 0 background, "
            "1 kidney, 2 tumour, 3 cyst (KiTS). Their licence holds for the cohort and for what is learnt from it; "
            "split such a cohort with 'cohort split', which keeps the patients of one map together",
        )
        parser.add_argument("--per-mask", type=int, metavar="N", help="at most N patients on one map (default: 1)")

    def run(self) -> None:
        """Draw, render and write."""
        from ..cohort.workers import Workers
        from ..phantom.cohort import CohortPlan, write_cohort
        from ..progress import ProgressLine

        progress = ProgressLine()
        plan = CohortPlan(
            patients=self.patients,
            seed=self.seed,
            site=self.centre,
            split=self.split,
            phases=None if self.phases == "mixed" else _phases(self.phases),
            in_plane_mm=1.0 if self.in_plane_mm is None else self.in_plane_mm,
            lesion_only=self.lesion_only,
            both_kidneys=self.both_kidneys,
        )
        plan = replace(plan, masks=self._masks(plan.patients, progress))
        workers = Workers(self.processes, self.dask)
        print(write_cohort(self.out, plan, workers=workers, progress=progress))

    def _masks(self, patients: int, progress: Progress) -> tuple[MaskFile, ...]:
        from ..errors import ConfigurationError
        from ..phantom.masks import choose_masks

        if self.masks is None:
            if self.per_mask is not None:
                raise ConfigurationError("--per-mask belongs to --masks.")
            return ()
        if self.in_plane_mm is not None:
            raise ConfigurationError("Painted patients have the voxels of their masks; leave out --in-plane-mm.")
        return choose_masks(self.masks, patients, 1 if self.per_mask is None else self.per_mask, self.seed, progress)


def _phases(letters: str) -> tuple[Phase, ...]:
    from ..errors import ConfigurationError
    from ..imaging.study import Phase

    wanted = letters.upper()
    if not wanted or set(wanted) - set("NAVD"):
        raise ConfigurationError(f"Phases are letters among N, A, V and D, not {letters!r}.")
    return tuple(phase for phase in Phase if phase.value in wanted)


COMMANDS: list[type] = [PhantomStudy, PhantomCohort]
