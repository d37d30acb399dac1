"""A review to the formats that hospitals and studies read."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from ..exchange.export_case import ExportCase
    from ..exchange.exporting import Exporter

CT = "dicom-ct"
KINDS = ("dicom-seg", "dicom-sr", CT, "fhir", "pdf", "csv")


@dataclass(frozen=True)
class Export:
    """Export a review: DICOM segmentation, DICOM report, copies of the CT, FHIR bundles, PDF, table.

    REVIEW is review.json or the folder that holds it; several only for csv, as one table. Identifiers are removed and
    the removal is checked, unless --keep-identifiers is given. DICOM exports need the DICOM study that the review was
    made from (--dicom). dicom-ct copies the study's CT images, de-identified, into a folder of their own, under the
    UIDs that segmentation and report name.
    """

    review: Sequence[Path]
    to: Sequence[str]
    out: Path
    dicom: Path | None
    series: str
    uid_key: Path | None
    keep_identifiers: bool
    name: ClassVar[str] = "export"

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        add = parser.add_argument
        add("review", type=Path, nargs="+", help="review.json or its folder")
        add("--to", action="append", required=True, choices=KINDS, help="what to export; may be given several times")
        add(
            "--out",
            type=Path,
            required=True,
            help="folder; or the file, where one file is exported and it has a suffix",
        )
        add("--dicom", type=Path, help="folder with the DICOM study that the review was made from")
        add("--series", default="", help="number of the reference phase's series, where several fit")
        add("--uid-key", type=Path, help="file with a secret for the replacement of UIDs (default: the pseudonym)")
        add("--keep-identifiers", action="store_true", help="keep patient, dates, readers and UIDs")

    def run(self) -> None:
        """Make everything, then write it."""
        from ..errors import ConfigurationError
        from ..exchange.export_case import open_review
        from ..exchange.exporting import Exporter, ExportOptions
        from ..report_remarks import report_remarks, written_sentences

        kinds = list(dict.fromkeys(self.to))
        if len(self.review) > 1 and kinds != ["csv"]:
            raise ConfigurationError("Several reviews make one table: give them with --to csv alone, or one by one.")
        cases = [open_review(path) for path in self.review]
        if len(cases) > 1:
            self._write(self._table(cases))
            return
        options = ExportOptions(self.keep_identifiers, self.dicom, self.series, self._secret())
        exporter = Exporter(cases[0], options, report_remarks, written_sentences)
        files: dict[str, bytes] = {}
        for kind in kinds:
            files |= exporter.files(kind) if kind != CT else {}
        if CT in kinds:
            self._copy_ct(exporter)
        self._write(files)
        self._tell(exporter)

    def _copy_ct(self, exporter: Exporter) -> None:
        """Write the copies of the CT images into a folder of their own, all of them or none."""
        from ..errors import OutputError
        from ..output import staged

        folder = self.out / CT
        if folder.exists() and any(folder.iterdir()):
            raise OutputError(f"The folder {CT} is there already and not empty; choose another with --out.")
        with staged(folder) as stage:
            names = [name for name, data in exporter.ct_files() if (stage / name).write_bytes(data)]
        print(f"wrote {len(names)} images to {folder}")

    def _table(self, cases: Sequence[ExportCase]) -> dict[str, bytes]:
        from ..errors import ConfigurationError
        from ..exchange.exporting import FILES, cohort_table

        if self.dicom is not None:
            raise ConfigurationError("--dicom belongs to one review; several reviews make one table without it.")
        return {FILES["csv"][0]: cohort_table(cases, keep_identifiers=self.keep_identifiers)}

    def _secret(self) -> str:
        from ..errors import InputError

        if self.uid_key is None:
            return ""
        try:
            text = self.uid_key.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError("The file given with --uid-key cannot be read as text.") from error
        if len(text) < 16:
            raise InputError("The secret in the file given with --uid-key needs at least 16 characters.")
        return text

    def _write(self, files: Mapping[str, bytes]) -> None:
        from ..errors import OutputError
        from ..exchange.dicom_objects import write_bytes

        single = len(files) == 1 and CT not in self.to and self.out.suffix != "" and not self.out.is_dir()
        targets = {self.out if single else self.out / name: data for name, data in files.items()}
        try:
            for path, data in targets.items():
                path.parent.mkdir(parents=True, exist_ok=True)
                write_bytes(path, data)
                print(f"wrote {path}")
        except OSError as error:
            raise OutputError(
                f"The export cannot be written ({error.strerror}); check the folder given with --out."
            ) from error

    def _tell(self, exporter: Exporter) -> None:
        if self.keep_identifiers:
            print("Identifiers were kept; treat the files as patient data.", file=sys.stderr)
        for warning in dict.fromkeys(exporter.warnings):
            print(warning, file=sys.stderr)


COMMANDS = [Export]
