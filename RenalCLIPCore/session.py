"""A session: warm models, one study and its review. The command line and the worker both drive it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import ConfigurationError
from .imaging.study import Phase, Study
from .imaging.volume import Volume, write_volume
from .inference import case as cases
from .inference.records import conclusion, provenance, segmentation_record, study_record
from .output import staged, write_text
from .resources import resources
from .review import (
    SCHEMA_VERSION,
    Absent,
    CaseReview,
    Centre,
    Explanation,
    LesionReview,
    Measured,
    Point,
    ReportDraft,
    Uncertainty,
    to_json,
)
from .withheld import NOTHING, REASON, Withheld

if TYPE_CHECKING:
    from .imaging.alignment import RegistrationResult
    from .imaging.segmentation import Segmentation, SegmentationModel
    from .imaging.segmentation_file import Origin
    from .models.bundle import Bundle
    from .models.report_generator import ReportGenerator

Progress = Callable[[float, str], None]
Amend = Callable[[CaseReview], CaseReview]

DEMO_BUNDLE = "phantom-demo"
SEGMENTATION_FILE = "segmentation.nrrd"
PREDECESSOR_MAP = "predecessor-"
REVIEW_FILE = "review.json"
PAGE_FILE = "review.html"
REPLACED_FOLDERS = ("study", "pictures")
EXPLAINED = ("malignancy", "aggressiveness")


@dataclass(frozen=True)
class SessionOptions:
    """What decides a session's results.

    Attributes:
        device: Where networks run (``cpu``, ``cuda``).
        precision: ``exact`` (float32) or ``fast`` (bfloat16) for the encoder; ``auto`` becomes one of them with the
            bundle, as suits the device.
        keep_identifiers: Whether the study's identifiers go into the review.
    """

    device: str = "cpu"
    precision: str = "exact"
    keep_identifiers: bool = False


def demo_bundle() -> Path:
    """Folder of the bundle that ships with the program."""
    return resources() / "bundles" / DEMO_BUNDLE


class Session:
    """Holds a bundle, segmentation models and one opened case; every step can be repeated.

    Args:
        options: As in :class:`SessionOptions`.
    """

    def __init__(self, options: SessionOptions | None = None) -> None:
        self.options = options or SessionOptions()
        self.bundle: Bundle | None = None
        self.case: cases.Case | None = None
        self.readings: dict[str, cases.LesionReading] = {}
        self.registrations: dict[Phase, RegistrationResult] = {}
        self.withheld = NOTHING
        self._models: dict[Path, SegmentationModel] = {}
        self._maps: dict[str, Volume] = {}
        self._measured: dict[str, Measured] = {}
        self._written: dict[str, ReportDraft] = {}
        self._generator: ReportGenerator | None = None
        self._given_file = False
        self._seconds: dict[str, float] = {}

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

    @property
    def reader_bundle(self) -> Bundle | None:
        """The bundle that reads lesions: the loaded one, none where predictions are withheld."""
        return None if self.withheld.predictions else self.bundle

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

    def build(self, folder: Path | None = None) -> CaseReview:
        """The review as it stands.

        Args:
            folder: Where it will be written; files below it are named relative to it.
        """
        case = self._case
        lesions = tuple(item.review for item in self.readings.values())
        options = {
            "precision": self.options.precision,
            "device": self.options.device,
            "registration": "rigid" if self.registrations else "none",
        }
        return CaseReview(
            SCHEMA_VERSION,
            study_record(case, self.registrations, folder, keep_identifiers=self.options.keep_identifiers),
            segmentation_record(case, SEGMENTATION_FILE),
            conclusion(lesions),
            lesions,
            provenance(self.reader_bundle, options, self._seconds),
        )

    def save(self, folder: Path, amend: Amend | None = None) -> dict[str, Path]:
        """Write ``review.json``, ``review.html``, masks, maps and pictures; each appears whole.

        Args:
            folder: Where to.
            amend: Puts into the review what a reader changed.

        Raises:
            OutputError: The folder cannot be written.
        """
        with staged(folder, last=REVIEW_FILE) as stage:
            self.write(stage, folder, amend)
        return {name: folder / name for name in (REVIEW_FILE, PAGE_FILE)}

    def write(self, stage: Path, folder: Path, amend: Amend | None = None) -> CaseReview:
        """Write everything into ``stage``, whose entries will move into ``folder``; returns the review as written."""
        from .exchange.evidence_pictures import evidence_pictures
        from .exchange.html import STUDY, write_html, write_pictures
        from .exchange.pictures import key_pictures
        from .report_remarks import report_remarks

        case, segmentation = self._case, self._case.segmentation
        labels = segmentation.labels if segmentation else None
        if labels is not None:
            write_volume(labels, stage / SEGMENTATION_FILE)
        for name, volume in self._maps.items():
            write_volume(volume, stage / name)
        pictures = {}
        for lesion_id, item in self.readings.items():
            maps, earlier = (
                tuple(v for name, v in self._maps.items() if name.startswith(f"{kind}{lesion_id}-"))
                for kind in ("explanation-", PREDECESSOR_MAP)
            )
            primary = item.review.primary
            drawn = key_pictures(case.volumes, labels, item.target.used.lps_mm, maps, earlier, survey=primary)
            if labels is not None and (primary or item.review.label == "tumour"):
                title = case.study.reference.phase.words.split(" ")[0]
                drawn |= evidence_pictures(item.review.measured, labels, case.reference, title)
            pictures[lesion_id] = drawn
            self._replace(lesion_id, replace(item.review, pictures=write_pictures(drawn, stage, lesion_id)))
        if not self.readings:
            middle = case.reference.geometry.lps([(n - 1) / 2 for n in case.reference.geometry.size])
            pictures[STUDY] = key_pictures(case.volumes, labels, middle, mark_centre=False)
        review = self.build(stage if case.study.folder.is_relative_to(stage) else folder)
        if STUDY in pictures:
            paths = write_pictures(pictures[STUDY], stage, STUDY)
            review = replace(review, study=replace(review.study, pictures=paths))
        if amend:
            review = amend(review)
        write_html(review, stage, stage / PAGE_FILE, pictures, report_remarks(review))
        write_text(stage / REVIEW_FILE, to_json(review))
        return review

    def reading(self, lesion_id: str) -> cases.LesionReading:
        """One lesion as read.

        Raises:
            ConfigurationError: There is no such lesion.
        """
        if lesion_id not in self.readings:
            known = ", ".join(self.readings) or "none yet"
            raise ConfigurationError(f"There is no lesion {lesion_id!r}; the lesions read are: {known}.")
        return self.readings[lesion_id]

    def _read(self, target: cases.Target, *, primary: bool) -> cases.LesionReading:
        found = cases.read_lesion(self._case, self.reader_bundle, target, primary=primary)
        return replace(found, review=self.withheld.shown(found.review))

    @property
    def _case(self) -> cases.Case:
        if self.case is None:
            raise ConfigurationError("No study is open; open one first.")
        return self.case

    @property
    def _bundle(self) -> Bundle:
        if self.bundle is None:
            raise ConfigurationError("No model bundle is loaded; load one first.")
        return self.bundle

    @contextmanager
    def _timed(self, step: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self._seconds[step] = round(time.perf_counter() - start, 3)

    def _forget(self) -> None:
        self.case, self.readings, self._maps, self.registrations, self._given_file = None, {}, {}, {}, False
        self._measured = {}

    def _take(self, segmentation: Segmentation, given: bool) -> None:
        self.case = cases.with_segmentation(self._case, segmentation)
        self.readings, self._maps, self._measured, self._given_file = {}, {}, {}, given

    def _mask(self, target: cases.Target) -> Volume | None:
        findings = self._case.findings
        if findings is None or target.lesion is None:
            return None
        return findings.mask(target.lesion)

    def _replace(self, lesion_id: str, review: LesionReview) -> None:
        self.readings[lesion_id] = replace(self.readings[lesion_id], review=review)

    def _amend(self, lesion_id: str, **parts: object) -> None:
        review = self.readings[lesion_id].review
        if not isinstance(review.predicted, Absent):
            self._replace(lesion_id, replace(review, predicted=replace(review.predicted, **parts)))  # type: ignore[arg-type]

    def _complete(self) -> None:
        """Put what was measured into the lesions' reviews, and draft their reports from all findings."""
        from .inference.report import draft_report

        for lesion_id, measured in self._measured.items():
            if lesion_id in self.readings:
                self._replace(lesion_id, replace(self.readings[lesion_id].review, measured=measured))
        if self.reader_bundle is None:
            return
        manifest = self.reader_bundle.manifest
        findings = self._case.findings
        for lesion_id, item in self.readings.items():
            others = [other.review for name, other in self.readings.items() if name != lesion_id]
            draft = self._written.get(lesion_id) or draft_report(
                item.review,
                others,
                findings.kidney_volumes_ml if findings else (),
                attenuation_hu={Phase(p).words: hu for p, hu in item.review.attenuation_hu.items()},
                phantom_trained=manifest.phantom_trained,
                intended_use=manifest.intended_use,
            )
            self._replace(lesion_id, replace(item.review, report=draft))
