"""A session: warm models, one study and its review. The command line and the worker both drive it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import ConfigurationError
from .imaging.study import Phase, Study
from .imaging.volume import Volume
from .inference import case as cases
from .progress import Progress
from .resources import resources
from .review import (
    Absent,
    CaseReview,
    Centre,
    Explanation,
    LesionReview,
    Measured,
    Point,
    ReportDraft,
    Uncertainty,
)
from .session_state import PAGE_FILE, PREDECESSOR_MAP, REVIEW_FILE, SEGMENTATION_FILE, SessionOptions, SessionState
from .withheld import REASON, Withheld

if TYPE_CHECKING:
    from .imaging.segmentation import Segmentation
    from .imaging.segmentation_file import Origin
    from .models.bundle import Bundle
    from .models.report_generator import ReportGenerator

__all__ = [
    "DEMO_BUNDLE",
    "PAGE_FILE",
    "REPLACED_FOLDERS",
    "REVIEW_FILE",
    "SEGMENTATION_FILE",
    "Session",
    "SessionOptions",
    "demo_bundle",
]


DEMO_BUNDLE = "phantom-demo"
REPLACED_FOLDERS = ("study", "pictures")
EXPLAINED = ("malignancy", "aggressiveness")


def demo_bundle() -> Path:
    """Folder of the bundle that ships with the program."""
    return resources() / "bundles" / DEMO_BUNDLE


class Session(SessionState):
    """Drives a case from its files to its review; every step can be repeated.

    Args:
        options: As in :class:`SessionOptions`.
    """

    def load_bundle(self, folder: Path) -> Bundle:
        """Load a bundle, unless it is the one that is loaded."""
        from .models.bundle import Bundle

        if self.bundle is None or self.bundle.folder != folder:
            with self._timed("load bundle"):
                bundle = Bundle.load(folder, self.options.device, self.options.precision)
            self.bundle, self.options = bundle, replace(self.options, precision=bundle.precision.value)
            self._generator = None
        return self.bundle

    def withhold(self, withheld: Withheld) -> None:
        """Say what may not be shown from now on; the case that is open is closed."""
        self._forget()
        self.withheld = withheld

    def open(self, study: Study) -> None:
        """Read a study's phases; everything known of an earlier one is forgotten."""
        self._forget()
        self._seconds = {name: value for name, value in self._seconds.items() if name == "load bundle"}
        with self._timed("read phases"):
            self.case = cases.open_case(study)

    def segment_with_model(self, folder: Path | None, progress: Progress | None = None) -> Segmentation:
        """Segment the reference phase with a model, the bundle's own when none is named.

        Raises:
            ConfigurationError: Neither is there.
            NoKidneyError: No kidney was found.
        """
        from .imaging.segmentation import SegmentationModel, segment

        self.withheld.refuse(self.withheld.masks, "its masks are not shown")
        chosen = folder or (self.bundle.segmentation_folder if self.bundle else None)
        if chosen is None:
            raise ConfigurationError(
                "The bundle carries no segmentation model. Give one (--segmentation-model), a segmentation "
                "(--segmentation), or the lesion's centre (--centre-lps-mm)."
            )
        with self._timed("segment"):
            if chosen not in self._models:
                self._models[chosen] = SegmentationModel.load(chosen, self.options.device)
            segmentation = segment(self._case.reference, self._models[chosen], progress=progress)
        self._take(segmentation, given=False)
        return segmentation

    def segment_from_file(self, file: Path, origin: Origin | None = None) -> Segmentation:
        """Take a given segmentation.

        Args:
            file: Its label map.
            origin: Of masks that a model made before; they stay the model's unless they were changed.

        Raises:
            InputError, GridMismatchError, NoKidneyError: As :func:`imaging.segmentation.load_segmentation` says.
        """
        from .imaging.segmentation import load_segmentation
        from .imaging.segmentation_file import recognised

        self.withheld.refuse(self.withheld.masks, "its masks are not shown")
        segmentation = load_segmentation(file, self._case.reference.geometry)
        if origin is not None:
            segmentation = recognised(segmentation, origin)
        self._take(segmentation, given=segmentation.source == "file")
        return segmentation

    def register(self, progress: Progress | None = None) -> None:
        """Register every other phase to the reference, rigidly, around the segmented kidneys.

        Raises:
            ConfigurationError: Nothing is segmented yet.
            GridMismatchError: A phase hardly shows the kidneys.
        """
        from .imaging.alignment import in_reference_frame, register_rigid

        case = self._case
        if case.segmentation is None:
            raise ConfigurationError("Registration works around the kidneys; segment them first.")
        labels = case.segmentation.labels
        volumes = dict(cases.open_case(case.study).volumes if self.registrations else case.volumes)
        others = [phase for phase in volumes if phase != case.study.reference.phase]
        with self._timed("register"):
            for number, phase in enumerate(others):
                if progress:
                    progress(number / len(others), f"registering the {phase.words} phase")
                result = register_rigid(volumes[phase], case.reference, region=labels)
                self.registrations[phase] = result
                volumes[phase] = in_reference_frame(volumes[phase], result.transform)
        self.case = replace(case, volumes=volumes)
        self.readings, self._maps = {}, {}

    def review(self, point: Centre | None = None, progress: Progress | None = None) -> CaseReview:
        """Read all lesions; a given point becomes the primary lesion's centre.

        Raises:
            CentreError: The point cannot be used.
            NoLesionError: A given segmentation holds no lesion and there is no point.
        """
        chosen = cases.targets(self._case, point)
        cases.require_lesion(self._case, chosen, self._given_file)
        readings: dict[str, cases.LesionReading] = {}
        with self._timed("read lesions"):
            for number, target in enumerate(chosen):
                if progress:
                    progress(number / len(chosen), f"reading lesion {target.lesion_id}")
                readings[target.lesion_id] = self._read(target, primary=number == 0)
        self.readings, self._maps, self._written = readings, {}, {}
        self._complete()
        return self.build()

    def move(self, lesion_id: str, point: Centre) -> LesionReview:
        """Read one lesion again around another centre; its explanation and uncertainty become absent.

        Raises:
            CentreError: The point cannot be used.
            ConfigurationError: There is no such lesion.
        """
        before = self.reading(lesion_id)
        target = replace(before.target, used=point)
        self.readings[lesion_id] = self._read(target, primary=before.review.primary)
        self._written.pop(lesion_id, None)
        stale = (f"explanation-{lesion_id}-", f"{PREDECESSOR_MAP}{lesion_id}-")
        self._maps = {name: item for name, item in self._maps.items() if not name.startswith(stale)}
        self._complete()
        return self.readings[lesion_id].review

    def explain(self, lesion_id: str, tasks: tuple[str, ...] | None = None) -> dict[str, Volume]:
        """Explanation maps of a lesion, by file name; the review names them from now on.

        Raises:
            ConfigurationError: There is no bundle, or it lacks a task.
        """
        from .inference.explanation import explain, share_inside

        self.withheld.refuse(self.withheld.predictions, "there is nothing to explain")
        item, bundle = self.reading(lesion_id), self._bundle
        if item.reading is None:
            raise ConfigurationError("An explanation needs a model bundle.")
        known = [task.name for task in bundle.manifest.tasks]
        wanted = tasks or tuple(task for task in EXPLAINED if task in known)
        if not set(wanted) <= set(known):
            raise ConfigurationError(f"The bundle has the tasks {', '.join(known)}; {', '.join(wanted)} was asked for.")
        mask = self._mask(item.target)
        geometry = next(iter(item.rois.values())).geometry
        found, maps = [], {}
        with self._timed("explain"):
            for task in wanted:
                explanation = explain(bundle, item.reading, task, geometry)
                share = Absent("The lesion has no mask.") if mask is None else share_inside(explanation, mask)
                file = f"explanation-{lesion_id}-{task}.nrrd"
                maps[file] = explanation.volume
                found.append(Explanation(explanation.task, explanation.method, file, explanation.peak_lps_mm, share))
        maps |= self._explain_predecessor(lesion_id, mask)
        self._maps.update(maps)
        part = tuple(found) if found else Absent("The bundle has no task to explain.")
        self._amend(lesion_id, explanation=part)
        return maps

    def _explain_predecessor(self, lesion_id: str, mask: Volume | None) -> dict[str, Volume]:
        """Class activation maps of the multi-phase networks on the lesion's slice, by file name."""
        from .inference.explanation import share_inside
        from .inference.predecessor import explain_predecessor

        item, maps, found = self.reading(lesion_id), {}, []
        earlier = item.review.predecessor
        if isinstance(earlier, Absent):
            return {}
        with self._timed("explain predecessor"):
            for task, output in item.predecessor.items():
                explanation = explain_predecessor(self._bundle, output)
                share = Absent("The lesion has no mask.") if mask is None else share_inside(explanation, mask)
                file = f"{PREDECESSOR_MAP}{lesion_id}-{task}.nrrd"
                maps[file] = explanation.volume
                found.append(Explanation(explanation.task, explanation.method, file, explanation.peak_lps_mm, share))
        self._replace(lesion_id, replace(item.review, predecessor=replace(earlier, explanation=tuple(found))))
        return maps

    def estimate_uncertainty(self, lesion_id: str, progress: Progress | None = None) -> Uncertainty | Absent:
        """How a lesion's reading moves with phases, augmentations and the centre; the review holds it from now on.

        Raises:
            ConfigurationError: There is no bundle.
        """
        from .imaging.roi import extract_rois
        from .inference.uncertainty import uncertainty

        self.withheld.refuse(self.withheld.predictions, "there is no uncertainty to estimate")
        item, bundle, case = self.reading(lesion_id), self._bundle, self._case
        if item.reading is None:
            raise ConfigurationError("Uncertainty needs a model bundle.")
        volumes = {phase: case.volumes[phase] for phase in item.rois}
        spec = cases.roi_spec(bundle)

        def cut(centre: Point) -> dict[str, cases.RoiArray]:
            rois = extract_rois(volumes, case.study.reference.geometry, centre, spec)
            return {phase.value: roi.array for phase, roi in rois.items()}

        with self._timed("uncertainty"):
            found = uncertainty(
                bundle,
                item.reading,
                {phase.value: roi.array for phase, roi in item.rois.items()},
                cut,
                item.target.used.lps_mm,
                seed=cases.seed_of(case.study.study_id),
                progress=progress,
            )
        self._amend(lesion_id, uncertainty=found)
        return found

    def measure(
        self, lesion_id: str, progress: Progress | None = None, *, perturbations: int | None = None
    ) -> Measured | Absent:
        """Nephrometry of a lesion from the masks, once per segmentation; the review holds it from now on.

        Args:
            lesion_id: The lesion.
            progress: Told how far it is; raises Cancelled to stop.
            perturbations: Variants of the masks behind the points' probabilities; the default number when None.
        """
        from .imaging.nephrometry import PERTURBATIONS, measure

        item, case = self.reading(lesion_id), self._case
        if self.withheld.nephrometry:
            return Absent(REASON)
        if item.target.lesion is None or case.segmentation is None or case.findings is None:
            return Absent("only a point was given, no mask")
        if lesion_id not in self._measured:
            with self._timed(f"measure {lesion_id}"):
                self._measured[lesion_id] = measure(
                    case.segmentation.labels,
                    case.findings,
                    item.target.lesion,
                    excretory=case.volumes.get(Phase.D),
                    perturbations=PERTURBATIONS if perturbations is None else perturbations,
                    seed=cases.seed_of(case.study.study_id),
                    progress=progress,
                )
        self._complete()
        return self._measured[lesion_id]

    def report(self, lesion_id: str, *, generated: bool = False) -> ReportDraft | Absent:
        """Draft the report of a lesion anew: from its present findings, or by the bundle's report generator.

        Raises:
            ConfigurationError: The bundle has no report generator.
        """
        self.withheld.refuse(self.withheld.predictions, "no report is drafted")
        item = self.reading(lesion_id)
        self._written.pop(lesion_id, None)
        if generated and item.reading is not None:
            from .inference.report import generated_report

            bundle, generator = self._bundle, self._report_generator()
            with self._timed(f"write report {lesion_id}"):
                self._written[lesion_id] = generated_report(generator, item.reading.output, bundle.manifest)
        self._complete()
        return self.readings[lesion_id].review.report

    def _report_generator(self) -> ReportGenerator:
        from .models.report_generator import load_report_generator

        bundle = self._bundle
        if bundle.report_folder is None:
            raise ConfigurationError("The bundle carries no report generator; its reports are drafted from findings.")
        if self._generator is None:
            with self._timed("load report generator"):
                self._generator = load_report_generator(bundle.report_folder, bundle.device)
        return self._generator
