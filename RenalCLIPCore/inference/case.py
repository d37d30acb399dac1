"""The interactive way, top to bottom: a study, its masks and a bundle in; one review per lesion out."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ..errors import CentreError, NoLesionError
from ..imaging.lesion_slice import extract_slices
from ..imaging.lesions import Lesion, LesionFindings, find_lesions
from ..imaging.roi import Roi, RoiSpec, extract_rois
from ..imaging.segmentation import Segmentation
from ..imaging.study import Phase, Study
from ..imaging.volume import Float3, Volume
from ..review import Absent, Centre, LesionReview, Predecessor

if TYPE_CHECKING:
    from ..models.bundle import Bundle
    from .predecessor import TaskOutput
    from .prediction import Reading

RoiArray = npt.NDArray[np.float32]

MINIMUM_PHASE_COVERAGE = 0.5
NEAR_LESION_MM = 30.0
MAXIMUM_LESIONS = 8
TISSUE_HU = -300
MAXIMUM_SAMPLES = 20_000


@dataclass(frozen=True, eq=False)
class Case:
    """An opened study.

    Attributes:
        study: Phases and files.
        volumes: Voxels of each phase, as stored; a registered phase stands on a grid in the reference's frame.
        segmentation: Masks on the reference grid, or None.
        findings: Lesions of the masks, or None.
    """

    study: Study
    volumes: Mapping[Phase, Volume]
    segmentation: Segmentation | None = None
    findings: LesionFindings | None = None

    @property
    def reference(self) -> Volume:
        """Volume of the reference phase."""
        return self.volumes[self.study.reference.phase]


@dataclass(frozen=True)
class Target:
    """A lesion that is to be read, and where.

    Attributes:
        lesion_id: ``L1`` ...
        lesion: Its mask's findings, or None where only a point was given.
        side: ``left`` or ``right``.
        proposed: Centre by the paper's rule.
        used: The same, or the person's.
    """

    lesion_id: str
    lesion: Lesion | None
    side: str
    proposed: Centre | Absent
    used: Centre


@dataclass(frozen=True, eq=False)
class LesionReading:
    """One lesion as read: its part of the review, and what explanation and uncertainty start from.

    Attributes:
        review: With explanation and uncertainty absent.
        target: What was read.
        rois: The cubes of the phases used.
        reading: The network's answer, or None without a bundle.
        predecessor: The multi-phase networks' answers by task; empty where the bundle carries none.
    """

    review: LesionReview
    target: Target
    rois: Mapping[Phase, Roi]
    reading: Reading | None
    predecessor: Mapping[str, TaskOutput] = field(default_factory=dict)


def open_case(study: Study) -> Case:
    """Read the phases of a study."""
    return Case(study, {phase: item.read() for phase, item in study.phases.items()})


def with_segmentation(case: Case, segmentation: Segmentation) -> Case:
    """The case with masks and the lesions in them.

    Raises:
        NoKidneyError: The masks hold no kidney.
    """
    low, high = case.reference.geometry.bounds_lps_mm
    middle = (float((low[0] + high[0]) / 2), float((low[1] + high[1]) / 2), float((low[2] + high[2]) / 2))
    findings = find_lesions(segmentation.labels, midline_x_mm=midline_x_mm(case, middle))
    return replace(case, segmentation=segmentation, findings=findings)


def targets(case: Case, point: Centre | None = None) -> tuple[Target, ...]:
    """The lesions to read, the primary one first.

    A given point belongs to the lesion whose mask holds it, else to the nearest one within 30 mm of its centre, else to
    a lesion of its own; that lesion becomes the primary one (paper, 4.1.3: a manual point replaces the centre found).

    Raises:
        CentreError: The point is outside the reference volume.
    """
    found = [] if case.findings is None else [_target(lesion) for lesion in case.findings.lesions[:MAXIMUM_LESIONS]]
    if point is None:
        return tuple(found)
    if not case.reference.geometry.contains(point.lps_mm):
        # the region of interest's own message names the bounds
        extract_rois({}, case.reference.geometry, point.lps_mm)
    chosen = _lesion_at(case, found, point.lps_mm)
    if chosen is None:
        taken = {target.lesion_id for target in found}
        free = next(f"P{n}" for n in range(1, len(taken) + 2) if f"P{n}" not in taken)
        why = "no segmented lesion is within 30 mm of the given point" if case.findings else "nothing was segmented"
        return (Target(free, None, side_of(case, point.lps_mm), Absent(why), point), *found)
    moved = replace(chosen, used=point)
    return (moved, *(target for target in found if target is not chosen))


def side_of(case: Case, lps_mm: Float3) -> str:
    """Side of a point: ``left`` when it lies to the patient's left of the body's midline at its height."""
    return "left" if lps_mm[0] > midline_x_mm(case, lps_mm) else "right"


def midline_x_mm(case: Case, lps_mm: Float3) -> float:
    """LPS x of the body's middle at the height of a point: halfway between its outer columns of tissue."""
    body = case.reference.canonical()
    k = int(np.clip(np.rint(body.geometry.index(lps_mm)[2]), 0, body.geometry.size[2] - 1))
    columns = np.flatnonzero((body.array[:, :, k] > TISSUE_HU).mean(axis=1) > 0.1)
    middle = float(columns[0] + columns[-1]) / 2 if len(columns) else (body.geometry.size[0] - 1) / 2
    return float(body.geometry.lps((middle, 0, 0))[0])


def read_lesion(case: Case, bundle: Bundle | None, target: Target, *, primary: bool) -> LesionReading:
    """Cut the regions of interest around a target and read them.

    Raises:
        CentreError: The region of interest lies mostly outside the scan.
    """
    spec = roi_spec(bundle)
    cut = extract_rois(case.volumes, case.study.reference.geometry, target.used.lps_mm, spec)
    rois = {phase: roi for phase, roi in cut.items() if roi.inside_fraction >= MINIMUM_PHASE_COVERAGE}
    if not rois:
        raise CentreError("No phase covers half of the region of interest around the centre; choose another centre.")
    reading = None
    if bundle is not None:
        from .prediction import read

        reading = read(bundle, {phase.value: roi.array for phase, roi in rois.items()})
    inside = cut[case.study.reference.phase].inside_fraction
    review = _review_of(case, target, reading, inside, primary)
    earlier, outputs = _read_predecessor(case, bundle, target, reading)
    return LesionReading(replace(review, predecessor=earlier), target, rois, reading, outputs)


def _read_predecessor(
    case: Case, bundle: Bundle | None, target: Target, reading: Reading | None
) -> tuple[Predecessor | Absent, Mapping[str, TaskOutput]]:
    """What the bundle's multi-phase networks say of the slice through the centre used."""
    if bundle is None or reading is None:
        return Absent("no model bundle was given"), {}
    from .predecessor import read_predecessor, slice_spec

    specs = {slice_spec(entry.slices) for entry in bundle.manifest.multiphase}
    reference, centre = case.study.reference.geometry, target.used.lps_mm
    slices = {spec: extract_slices(case.volumes, reference, centre, spec) for spec in specs}
    return read_predecessor(bundle, slices, reading.predicted)


def roi_spec(bundle: Bundle | None) -> RoiSpec:
    """The bundle's preprocessing; the paper's without one."""
    return RoiSpec() if bundle is None else RoiSpec(**bundle.manifest.preprocessing.model_dump())


def now() -> str:
    """The time, ISO 8601 in UTC, to the second."""
    return datetime.now(UTC).replace(microsecond=0).isoformat()


def attenuation_hu(case: Case, target: Target) -> dict[str, float]:
    """Mean attenuation of a lesion's mask in each phase that covers it, by phase."""
    if target.lesion is None or case.findings is None:
        return {}
    mask = case.findings.mask(target.lesion)
    voxels = np.argwhere(mask.array)
    positions = mask.geometry.lps(voxels[:: max(1, len(voxels) // MAXIMUM_SAMPLES)])
    means = {}
    for phase, volume in case.volumes.items():
        index = np.rint(volume.geometry.index(positions)).astype(int)
        inside = np.all((index >= 0) & (index < volume.geometry.size), axis=1)
        if inside.mean() > MINIMUM_PHASE_COVERAGE:
            means[phase.value] = float(volume.array[tuple(index[inside].T)].mean())
    return means


def seed_of(study_id: str) -> int:
    """A seed that depends on the study alone, so that a second review gives the same numbers."""
    return int.from_bytes(hashlib.sha256(study_id.encode()).digest()[:4], "big")


def require_lesion(case: Case, chosen: tuple[Target, ...], given_file: bool) -> None:
    """Refuse a given segmentation without a lesion when there is no point either.

    Raises:
        NoLesionError: As said.
    """
    if given_file and not chosen:
        raise NoLesionError(
            "The given segmentation holds kidneys but no tumour (2) or cyst (3). Give the lesion's centre with "
            "--centre-lps-mm X Y Z, or a segmentation that holds it."
        )


def _target(lesion: Lesion) -> Target:
    why = "axial slice with the lesion's largest area, centroid on that slice"
    centre = Centre(lesion.centre_lps_mm, "segmentation", "RenalCLIP", now(), why)
    return Target(lesion.lesion_id, lesion, lesion.side, centre, centre)


def _lesion_at(case: Case, found: list[Target], lps_mm: Float3) -> Target | None:
    if case.findings is None or not found:
        return None
    components = case.findings.components
    index = np.rint(components.geometry.index(lps_mm)).astype(int)
    number = int(components.array[tuple(np.clip(index, 0, np.asarray(components.geometry.size) - 1))])
    for target in found:
        if target.lesion is not None and target.lesion.number == number:
            return target
    distances = [float(np.linalg.norm(np.subtract(target.used.lps_mm, lps_mm))) for target in found]
    nearest = int(np.argmin(distances))
    return found[nearest] if distances[nearest] <= NEAR_LESION_MM else None


def _review_of(case: Case, target: Target, reading: Reading | None, inside: float, primary: bool) -> LesionReview:
    lesion = target.lesion
    unmeasured = Absent("only a point was given, no mask")
    return LesionReview(
        lesion_id=target.lesion_id,
        side=target.side,
        label="point" if lesion is None else lesion.label,
        primary=primary,
        volume_ml=unmeasured if lesion is None else lesion.volume_ml,
        largest_diameter_mm=unmeasured if lesion is None else lesion.largest_diameter_mm,
        axial_diameter_mm=unmeasured if lesion is None else lesion.axial_diameter_mm,
        centre_proposed=target.proposed,
        centre_used=target.used,
        roi_inside=inside,
        predicted=Absent("no model bundle was given") if reading is None else reading.predicted,
        measured=Absent("nephrometry has not been measured from the masks"),
        report=Absent("no model bundle was given"),
        attenuation_hu=attenuation_hu(case, target),
    )
