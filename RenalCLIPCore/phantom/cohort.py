"""A cohort of phantoms on disk: phases, labels, truth and report per patient; one table; whole reports.

Patients are drawn whole, or painted onto label maps of real kidneys. Those of one map share a group of the table, so
that no split parts them, and carry the licence of the maps.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from ..cohort.table import SPLITS, CohortRow, FollowUp, write_cohort_table
from ..cohort.workers import Workers
from ..errors import ConfigurationError, OutputError
from ..imaging.study import Phase
from ..imaging.volume import Volume, write_volume
from ..output import write_text
from ..progress import Progress, silent
from .anatomy import draw_patient
from .grids import crop_geometry, lesion_geometry
from .histology import Histology
from .masks import LICENCE, MaskFile, read_mask
from .painting import moved, paint_patient, possible_prior
from .pathology import clinical, grade, t_category
from .patient import PhantomPatient
from .render import Acquisition, TissueMap, render_labels, render_phase
from .report_files import REPORT_FILE, PatientReport, other_kidney, read_report, write_report_file, write_report_tables
from .sites import SITES
from .streams import stream
from .truth import PhantomTruth, read_truth, truth, write_truth

TABLE = "cohort.csv"
ALONE = Workers()
LABELS_FILE = "labels.nii.gz"
TRUTH_FILE = "truth.json"
NOTE = "LICENCE-OF-MASKS.txt"
# Share of patients with each phase in a surgical cohort where nearly all have the portal phases.
PHASE_SHARES: Mapping[Phase, float] = {Phase.N: 0.90, Phase.A: 0.93, Phase.V: 0.95, Phase.D: 0.60}


# Attribute and class edges of each descriptor of the cohort table.
DESCRIPTOR_EDGES: Mapping[str, tuple[str, tuple[float, ...]]] = {
    "density": ("native", (25.0, 40.0)),
    "arterial_enhancement": ("arterial", (20.0, 50.0, 90.0)),
    "venous_enhancement": ("venous", (20.0, 50.0, 90.0)),
    "delayed_enhancement": ("delayed", (30.0, 55.0)),
    "texture": ("texture_hu", (8.0, 13.0, 20.0)),
    "necrosis": ("necrosis_fraction", (0.03, 0.12)),
    "fat": ("fat_fraction", (0.1,)),
    "margin": ("margin_irregularity", (0.025, 0.045)),
    "calcification": ("calcification_mm", (1.0,)),
}


@dataclass(frozen=True)
class CohortPlan:
    """What to make.

    Attributes:
        patients: Number of patients.
        seed: Patients of different seeds differ.
        site: A key of ``SITES``.
        split: Written into the table (``training``, ``validation``, ``test``).
        phases: The same phases for everyone, or None to draw them in realistic proportions (at least A or V).
        in_plane_mm: In-plane voxel spacing.
        prior: Weights of the histologies instead of the site's.
        breathing_mm: Standard deviation of the patient's shift along z between the phases.
        lesion_only: Volumes hold the primary lesion's region of interest only (else both kidneys).
        both_kidneys: The table also has the row of the other kidney: volumes, report and answers, no labels.
        masks: Label maps of real kidneys that the patients are painted onto in turn, on the maps' own grids (then
            ``in_plane_mm`` and the site's slices do not count); empty for drawn anatomy.
    """

    patients: int
    seed: int
    site: str = "internal"
    split: str = "training"
    phases: tuple[Phase, ...] | None = tuple(Phase)
    in_plane_mm: float = 1.0
    prior: Mapping[Histology, float] | None = None
    breathing_mm: float = 0.0
    lesion_only: bool = False
    both_kidneys: bool = False
    masks: tuple[MaskFile, ...] = ()

    def __post_init__(self) -> None:
        if self.patients < 1:
            raise ConfigurationError(f"At least one patient is needed, not {self.patients}.")
        if self.site not in SITES:
            raise ConfigurationError(f"There is no site {self.site!r}; choose one of: {', '.join(SITES)}.")
        if self.split not in SPLITS:
            raise ConfigurationError(f"There is no split {self.split!r}; choose one of: {', '.join(SPLITS)}.")
        if self.phases is not None and not {Phase.A, Phase.V} & set(self.phases):
            raise ConfigurationError("An arterial or a venous phase is needed among the phases (A or V).")
        if self.lesion_only and self.both_kidneys:
            raise ConfigurationError(
                "Volumes of the lesion's region alone do not hold the other kidney; choose one of both."
            )
        if not 0.3 <= self.in_plane_mm <= 5:
            raise ConfigurationError(f"An in-plane spacing of 0.3 to 5 mm is needed, not {self.in_plane_mm}.")

    @property
    def case_mix(self) -> Mapping[Histology, float] | None:
        """Weights of the histologies that patients are drawn with; None for the paper's."""
        return SITES[self.site].case_mix if self.prior is None else self.prior


def patient_id(plan: CohortPlan, index: int) -> str:
    """Pseudonym of the patient at a position of the plan; it tells nothing of a mask's file."""
    return f"{plan.site}-{'painted-' if plan.masks else ''}{plan.seed}-{index:05d}"


def patient_seed(plan: CohortPlan, index: int) -> int:
    """Seed of the patient at a position; it does not depend on the number of patients."""
    return int(stream(plan.seed, f"{plan.site}.patient.{index}").integers(1 << 62))


def write_cohort(out: Path, plan: CohortPlan, *, workers: Workers = ALONE, progress: Progress | None = None) -> Path:
    """Write a cohort and return the path of its table.

    Patients that are already there are kept; a broken-off run continues. The files do not depend on ``workers``.

    Args:
        out: Folder, made when absent.
        plan: What to make.
        workers: Who makes the patients; all of them see the folder under the same path.
        progress: Called with the fraction done; may raise ``Cancelled``.

    Raises:
        OutputError: The folder cannot be written.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"The folder {out.name} cannot be made: {error.strerror}.") from error
    missing = [i for i in range(plan.patients) if not (out / patient_id(plan, i)).is_dir()]
    report = progress or silent
    done = plan.patients - len(missing)
    with closing(workers.each(partial(write_patient, out.resolve(), plan), missing)) as finished:
        for count, _ in enumerate(finished, done + 1):
            report(count / plan.patients, f"patient {count} of {plan.patients}")
    return _write_table(out, plan)


def describe(attributes: Mapping[str, float]) -> dict[str, int]:
    """Classes of the descriptors (``cohort.table.DESCRIPTOR_CLASSES``) from the visible attributes of a truth file."""
    return {
        name: int(np.searchsorted(edges, attributes[attribute], side="right"))
        for name, (attribute, edges) in DESCRIPTOR_EDGES.items()
        if attribute in attributes
    }


def write_patient(out: Path, plan: CohortPlan, index: int) -> Path:
    """Write one patient's folder by atomic rename and return its path."""
    folder = out / patient_id(plan, index)
    partial = out / f".partial-{folder.name}"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        _fill(partial, plan, index)
        os.replace(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder


def planned_patient(plan: CohortPlan, index: int) -> PhantomPatient:
    """The patient at a position of the plan.

    Raises:
        OutputError: The mask that the patient is painted onto has changed.
    """
    return _scene(plan, index).patient


def planned_prior(plan: CohortPlan, patient: PhantomPatient) -> Mapping[Histology, float] | None:
    """Weights of the histologies that a patient of the plan was drawn with."""
    return possible_prior(patient.painted.found, plan.case_mix) if patient.painted else plan.case_mix


def planned_phases(plan: CohortPlan, index: int) -> tuple[Phase, ...]:
    """The phases of the patient at a position of the plan."""
    if plan.phases is not None:
        return plan.phases
    g = stream(patient_seed(plan, index), "phases")
    while True:
        drawn = tuple(phase for phase in Phase if g.uniform() < PHASE_SHARES[phase])
        if {Phase.A, Phase.V} & set(drawn):
            return drawn


@dataclass(frozen=True, eq=False)
class _Scene:
    """A patient and the label map, or None where the patient's shapes give it on any grid."""

    patient: PhantomPatient
    labels: Volume | None = None


def _scene(plan: CohortPlan, index: int) -> _Scene:
    seed, timing_sd = patient_seed(plan, index), SITES[plan.site].timing_sd
    if not plan.masks:
        return _Scene(draw_patient(seed, prior=plan.case_mix, timing_sd=timing_sd))
    file = plan.masks[index % len(plan.masks)]
    mask = read_mask(file.path)
    if mask.sha256 != file.sha256:
        raise OutputError("A mask has changed since the run began; run the command again.")
    labels = mask.around_lesion() if plan.lesion_only else mask.labels
    return _Scene(paint_patient(seed, mask, prior=plan.case_mix, timing_sd=timing_sd), labels)


def _fill(folder: Path, plan: CohortPlan, index: int) -> None:
    scene = _scene(plan, index)
    patient = scene.patient
    site, g = SITES[plan.site], stream(patient.seed, "acquisition")
    acquisition = Acquisition(g.uniform(*site.kernel_mm), g.uniform(*site.noise_hu), g.uniform(*site.grain_mm))
    if scene.labels is not None and patient.painted is not None:
        written = scene.labels.geometry
        geometry = moved(written, -np.asarray(patient.painted.origin_lps_mm))
    else:
        grid = lesion_geometry if plan.lesion_only else crop_geometry
        geometry = grid(patient, in_plane_mm=plan.in_plane_mm, slice_mm=float(g.choice(site.slice_mm)))
        written = geometry
    tissues = TissueMap(patient, geometry)
    for phase in planned_phases(plan, index):
        shift = plan.breathing_mm * float(stream(patient.seed, f"breathing.{phase.value}").normal())
        volume = render_phase(
            patient, phase, geometry, patient.seed,
            tissues=tissues, acquisition=acquisition, shift_mm=(0.0, 0.0, shift),
        )  # fmt: skip
        write_volume(Volume(volume.array, written), folder / f"{phase.value}.nii.gz")
    write_volume(scene.labels or render_labels(patient, geometry), folder / LABELS_FILE)
    write_truth(truth(patient), folder / TRUTH_FILE)
    write_report_file(patient, planned_phases(plan, index), planned_prior(plan, patient), folder / REPORT_FILE)


def _write_table(out: Path, plan: CohortPlan) -> Path:
    rows: list[CohortRow] = []
    reports: dict[str, PatientReport] = {}
    for index in range(plan.patients):
        folder = out.resolve() / patient_id(plan, index)
        reports[folder.name] = _report(folder, plan, index)
        row = _row(folder, plan, index, reports[folder.name])
        rows += [row, *(other_kidney(row, reports[row.patient]) if plan.both_kidneys else ())]
    write_report_tables(reports, out)
    if plan.masks:
        write_text(out / NOTE, f"{LICENCE}\n")
    write_cohort_table(rows, out / TABLE)
    return out / TABLE


def _report(folder: Path, plan: CohortPlan, index: int) -> PatientReport:
    """The patient's report; folders of earlier versions lack it, and get it."""
    if not (folder / REPORT_FILE).is_file():
        patient = planned_patient(plan, index)
        write_report_file(patient, planned_phases(plan, index), planned_prior(plan, patient), folder / REPORT_FILE)
    return read_report(folder / REPORT_FILE)


def _row(folder: Path, plan: CohortPlan, index: int, report: PatientReport) -> CohortRow:
    value: PhantomTruth = read_truth(folder / TRUTH_FILE)
    primary, renal, tumour, painted = value.primary, value.renal, value.tumour, value.painted
    if primary is None or tumour is None or (renal is None and painted is None):
        raise OutputError(f"{folder.name} has no lesion; remove the folder and run again.")
    if painted and painted.mask_sha256 != plan.masks[index % len(plan.masks)].sha256:
        raise OutputError(f"{folder.name} was painted onto another mask; give another folder, or the masks of before.")
    volumes = {phase: folder / f"{phase.value}.nii.gz" for phase in Phase}
    oracle = {"malignancy": tumour.oracle_malignancy, "aggressiveness": tumour.oracle_aggressiveness}
    recurrence = {}
    if tumour.rfs_months is not None and tumour.rfs_event is not None and tumour.oracle_log_hazard is not None:
        recurrence["rfs"] = FollowUp(tumour.rfs_months, bool(tumour.rfs_event))
        oracle["rfs"] = tumour.oracle_log_hazard
    said = report.kidney(primary.side)
    return CohortRow(
        patient=folder.name,
        side=primary.side,
        site=plan.site,
        split=plan.split,
        centre_lps_mm=primary.centre_lps_mm,
        volumes={phase: path for phase, path in volumes.items() if path.is_file()},
        label_map=folder / LABELS_FILE,
        labels={
            **({f"renal_{c}": getattr(renal, c) for c in "renal"} if renal else {}),
            "malignancy": tumour.malignancy,
            "aggressiveness": tumour.aggressiveness,
            **describe(tumour.attributes),
        },
        histology=tumour.histology,
        stage=t_category(value, said.true),
        grade=grade(value),
        clinical=clinical(value, said.true),
        diameter_mm=primary.largest_diameter_mm,
        follow_up=recurrence,
        oracle=oracle,
        findings=said.findings,
        impression=said.impression,
        attributes=said.read,
        true_attributes=said.true,
        group=f"mask-{painted.mask_sha256[:16]}" if painted else "",
        licence=painted.licence if painted else "",
    )
