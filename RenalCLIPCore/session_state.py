"""What a session holds, and how it becomes a review and its files. The steps that fill it are in ``session``."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import ConfigurationError
from .imaging.study import Phase
from .imaging.volume import Volume, write_volume
from .inference import case as cases
from .inference.records import conclusion, provenance, segmentation_record, study_record
from .output import staged, write_text
from .review import (
    SCHEMA_VERSION,
    Absent,
    CaseReview,
    LesionReview,
    Measured,
    ReportDraft,
    to_json,
)
from .withheld import NOTHING

if TYPE_CHECKING:
    from .imaging.alignment import RegistrationResult
    from .imaging.segmentation import Segmentation, SegmentationModel
    from .models.bundle import Bundle
    from .models.report_generator import ReportGenerator

Amend = Callable[[CaseReview], CaseReview]

SEGMENTATION_FILE = "segmentation.nrrd"
PREDECESSOR_MAP = "predecessor-"
REVIEW_FILE = "review.json"
PAGE_FILE = "review.html"


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


class SessionState:
    """A bundle, segmentation models and one opened case with what was found in it.

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

    @property
    def reader_bundle(self) -> Bundle | None:
        """The bundle that reads lesions: the loaded one, none where predictions are withheld."""
        return None if self.withheld.predictions else self.bundle

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
