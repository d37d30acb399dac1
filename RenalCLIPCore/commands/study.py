"""Commands on studies: import."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from ..imaging.study import Study


@dataclass(frozen=True)
class ImportStudy:
    """Import DICOM, NIfTI, NRRD or MetaImage files as a study: one volume per contrast phase, and study.json.

    Phases are recognised from tags, times and enhancement, each with a confidence and a reason. A series with missing
    slices is refused unless --allow-gaps is given. No patient data is written unless --keep-identifiers is given.
    """

    name: ClassVar[str] = "import"
    source: list[Path]
    out: Path
    phase: list[str]
    allow_gaps: bool
    keep_identifiers: bool
    json: bool

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument("source", type=Path, nargs="+", metavar="SRC", help="folder or files, in any order")
        parser.add_argument("--out", type=Path, required=True, metavar="STUDY", help="study folder to write")
        parser.add_argument(
            "--phase",
            action="append",
            default=[],
            metavar="A=PATH_OR_SERIES",
            help="name the series of a phase (N, A, V, D): a path, series number, UID or fragment of the description; "
            "'none' leaves the phase out; repeatable",
        )
        parser.add_argument("--allow-gaps", action="store_true", help="fill missing slices by interpolation")
        parser.add_argument(
            "--keep-identifiers", action="store_true", help="write patient name, id, date into the study"
        )
        parser.add_argument("--json", action="store_true", help="print the study as JSON instead of a table")

    def run(self) -> None:
        """Import, and say what was found."""
        from ..imaging.importing import ImportOptions, import_study, parse_phase_overrides
        from ..imaging.study import STUDY_FILE
        from ..progress import ProgressLine

        options = ImportOptions(parse_phase_overrides(self.phase), self.allow_gaps, self.keep_identifiers)
        tell = ProgressLine()
        study = import_study(self.source, self.out, options, progress=tell)
        tell(1.0, "")
        if self.json:
            print((study.folder / STUDY_FILE).read_text(encoding="utf-8"), end="")
        else:
            print(study_table(study))


def study_table(study: Study) -> str:
    """The study's phases as a text table, with reasons and notes."""
    rows = [("phase", "series", "voxels", "spacing mm", "confidence", "reason")]
    for item in study.phases.values():
        size, spacing = item.geometry.size, item.geometry.spacing_mm
        rows.append(
            (
                item.phase.value,
                item.series,
                " x ".join(str(n) for n in size),
                " x ".join(f"{mm:.3g}" for mm in spacing),
                f"{item.confidence:.2f}",
                item.reason,
            )
        )
    widths = [max(len(row[k]) for row in rows) for k in range(5)]
    lines = [
        "  ".join([*(text.ljust(width) for text, width in zip(row, widths, strict=False)), row[5]]) for row in rows
    ]
    notes = [f"{item.phase.value}: {note}" for item in study.phases.values() for note in item.notes]
    lines += [f"note  {note}" for note in (*notes, *study.notes)]
    return "\n".join([*lines, f"{study.study_id} written to {study.folder}"])


COMMANDS: list[Any] = [ImportStudy]
