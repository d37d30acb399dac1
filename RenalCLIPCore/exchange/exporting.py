"""Exports of one record: which files, made of what; de-identified by a checked step unless identifiers are kept."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ConfigurationError
from ..imaging.volume import Geometry
from ..review import CaseReview, to_json
from .ct_copies import CtCopies
from .deidentification import Identity, UidMap, check_text, deidentified_review, texts_of
from .dicom_objects import DicomCase, dicom_case, encoded
from .dicom_source import DicomSource, find_source, needed
from .export_case import ExportCase, PartMap, part_map
from .fhir_bundle import fhir_bundle, fhir_json
from .html import ReportChecks
from .lesion_table import lesion_table
from .reader_statements import Statement, Writers, reader_statements

if TYPE_CHECKING:
    from highdicom.seg import Segmentation

FILES = {
    "dicom-seg": ("segmentation.dcm",),
    "dicom-sr": ("report.dcm",),
    "fhir": ("bundle-r5.json", "bundle-r4b.json"),
    "pdf": ("review.pdf",),
    "csv": ("lesions.csv",),
}
BURNED_IN = "look at the pictures before you pass them on"


@dataclass(frozen=True)
class ExportOptions:
    """What decides an export.

    Attributes:
        keep_identifiers: Whether patient, dates, readers and UIDs stay as they are.
        dicom: Folder with the DICOM study that the review was made from.
        series: Number of the reference phase's series, where several fit.
        uid_key: Secret for the replacement of UIDs; empty: the study's pseudonym.
    """

    keep_identifiers: bool = False
    dicom: Path | None = None
    series: str = ""
    uid_key: str = field(default="", repr=False)


@dataclass
class Exporter:
    """Makes the files of one review; what several of them need is made once.

    Args:
        case: The opened review.
        options: As in :class:`ExportOptions`.
        remarks: What a check of the reports has to say of a review, for the PDF; nothing is said when None.
        writers: Who wrote which sentence of a review's reports, for the reader's statements; none are told when None.
    """

    case: ExportCase
    options: ExportOptions
    remarks: Callable[[CaseReview], ReportChecks] | None = None
    writers: Writers | None = None
    warnings: list[str] = field(default_factory=list)

    def files(self, kind: str) -> dict[str, bytes]:
        """The files of one kind of export, by name.

        Raises:
            ConfigurationError: There is no such kind.
            InputError: What it needs is missing (a DICOM source, masks).
            OutputError: De-identification did not remove everything; nothing is returned then.
        """
        makers: dict[str, Callable[[], list[bytes]]] = {
            "dicom-seg": lambda: [encoded(self.segmentation)],
            "dicom-sr": lambda: [self._report()],
            "fhir": lambda: [self._fhir(release) for release in ("R5", "R4B")],
            "pdf": lambda: [self._pdf()],
            "csv": lambda: [self._text(lesion_table([self.review]))],
        }
        if kind not in makers:
            raise ConfigurationError(f"The export {kind!r} is not known; choose among {', '.join(FILES)}.")
        return dict(zip(FILES[kind], makers[kind](), strict=True))

    @cached_property
    def identity(self) -> Identity:
        """What may not get out."""
        found = Identity.of_review(self.case.review)
        return found | self.source.identity if self.source is not None else found

    @cached_property
    def review(self) -> CaseReview:
        """The record as it is exported."""
        if self.options.keep_identifiers:
            return self.case.review
        cleaned, count = deidentified_review(self.case.review, self.identity)
        if count:
            self.warnings.append(f"{count} text(s) of the review held identifying values, which were removed.")
        return cleaned

    @cached_property
    def source(self) -> DicomSource | None:
        """The series that the review was made from, None where no DICOM was given."""
        if self.options.dicom is None:
            return None
        reference = self.case.reference()
        grid = reference.geometry if reference is not None else self._grid()
        found = find_source(self.options.dicom, grid, reference, self.options.series)
        if found.burned_in:
            self.warnings.append(f"{found.burned_in}: {BURNED_IN}.")
        return found

    @cached_property
    def parts(self) -> PartMap | None:
        """The label map taken apart, None where nothing was segmented."""
        labels = self.case.labels()
        return None if labels is None else part_map(labels, self.case.review)

    @cached_property
    def dicom(self) -> DicomCase:
        """Everything that DICOM objects are made of."""
        if self.source is None:
            raise needed()
        version = hashlib.sha256(to_json(self.case.review).encode("utf-8", "backslashreplace")).hexdigest()
        options = self.options
        return dicom_case(
            self.case.review, self.parts, self.source, version, options.uid_key, keep=options.keep_identifiers
        )

    @cached_property
    def segmentation(self) -> Segmentation:
        """The DICOM segmentation; InputError where nothing was segmented."""
        from .dicom_segmentation import segmentation_object

        return segmentation_object(self.dicom)

    @cached_property
    def statements(self) -> tuple[Statement, ...]:
        """What readers said, as it is exported."""
        return reader_statements(self.review, self.writers(self.review) if self.writers else ())

    @property
    def masks(self) -> Segmentation | None:
        """The DICOM segmentation, None where nothing was segmented."""
        return None if self.dicom.parts is None else self.segmentation

    def ct_files(self) -> Iterator[tuple[str, bytes]]:
        """De-identified copies of the study's CT images, one by one; the UIDs are those that the other exports name.

        Raises:
            ConfigurationError: Identifiers shall be kept.
            InputError: There is no DICOM source.
            OutputError: De-identification did not remove everything.
        """
        options = self.options
        if options.keep_identifiers:
            raise ConfigurationError("Copies of CT images are de-identified; leave out --keep-identifiers.")
        if self.source is None or options.dicom is None:
            raise needed()
        study = self.case.review.study.study_id
        copies = CtCopies(options.dicom, self.source, study, UidMap(options.uid_key or study), self.warnings)
        yield from copies.files()

    def _report(self) -> bytes:
        from .dicom_report import report_object

        return encoded(report_object(self.dicom, self.masks, self.statements))

    def _fhir(self, release: str) -> bytes:
        if self.source is None:
            return self._text(fhir_json(fhir_bundle(self.review, release, statements=self.statements)))
        masks, segments = self.masks, {}
        if masks is not None and self.parts is not None:
            for number, part in enumerate(self.parts.parts, 1):
                if part.lesion is not None:
                    segments[part.lesion.lesion_id] = (str(masks.SOPClassUID), str(masks.SOPInstanceUID), number)
        return self._text(fhir_json(fhir_bundle(self.review, release, self.dicom.source, segments, self.statements)))

    def _pdf(self) -> bytes:
        from .pdf import review_pdf

        if not self.options.keep_identifiers:
            check_text("\n".join(texts_of(self.review)), self.identity)
            if self.source is None:
                self.warnings.append(f"Text that is burned into the scan would show in the pictures: {BURNED_IN}.")
        checks = self.remarks(self.review) if self.remarks else None
        return review_pdf(self.review, self.case.folder, checks, self.warnings.append)

    def _text(self, text: str) -> bytes:
        if not self.options.keep_identifiers:
            check_text(text, self.identity)
        return text.encode("utf-8", "backslashreplace")

    def _grid(self) -> Geometry:
        labels = self.case.labels()
        if labels is None:
            raise needed()
        return labels.geometry


def cohort_table(cases: Sequence[ExportCase], *, keep_identifiers: bool) -> bytes:
    """One table of several reviews."""
    reviews = []
    for case in cases:
        identity = Identity.of_review(case.review)
        review = case.review if keep_identifiers else deidentified_review(case.review, identity)[0]
        text = lesion_table([review])
        if not keep_identifiers:
            check_text(text, identity)
        reviews.append(review)
    return lesion_table(reviews).encode("utf-8", "backslashreplace")
