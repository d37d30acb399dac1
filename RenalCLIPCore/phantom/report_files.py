"""The phantom's reports on disk: one JSON file per patient, tables of whole reports, the other kidney's table row."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..cohort.table import CohortRow
from ..errors import InputError
from ..imaging.study import Phase
from ..output import write_text
from ..text.extraction import read_answers
from ..text.partition import SideText
from ..text.report_table import REPORT_COLUMNS
from .histology import Histology
from .patient import LEFT, RIGHT, PhantomPatient
from .report_words import LANGUAGES
from .reports import KidneyReport, write_report

REPORT_FILE = "report.json"
REPORT_VERSION = "1.0"
Answers = tuple[int | None, ...]


@dataclass(frozen=True)
class KidneyRecord:
    """What the table says of one kidney.

    Attributes:
        findings, impression: English text.
        true: The fourteen true answers.
        stated: What the writer of the report put into it.
        read: What the rules read from it.
        centre_lps_mm: Centre of its outline; None where there is no kidney.
        text: Findings and impression by language.
    """

    findings: str
    impression: str
    true: Answers
    stated: Answers
    read: Answers
    centre_lps_mm: tuple[float, float, float] | None
    text: Mapping[str, SideText]


@dataclass(frozen=True)
class PatientReport:
    """A patient's kidneys by side, and the whole report by language."""

    kidneys: Mapping[str, KidneyRecord]
    whole: Mapping[str, SideText]

    def kidney(self, side: str) -> KidneyRecord:
        """The record of ``left`` or ``right``."""
        return self.kidneys[side]


def write_report_file(
    patient: PhantomPatient, phases: Sequence[Phase], prior: Mapping[Histology, float] | None, path: Path
) -> None:
    """Write a patient's report, what it says and what is true, by atomic rename."""
    report = write_report(patient, phases, prior)
    document = {
        "version": REPORT_VERSION,
        "kidneys": {side: _kidney(patient, report.kidney(side)) for side in (LEFT, RIGHT)},
        "whole": {language: asdict(report.whole[language]) for language in LANGUAGES},
    }
    write_text(path, json.dumps(document, indent=1, ensure_ascii=False) + "\n")


def read_report(path: Path) -> PatientReport:
    """Read what :func:`write_report_file` wrote; the rules read the English text afresh.

    Raises:
        InputError: The file is missing, or no report of this version.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if document["version"] != REPORT_VERSION:
            raise InputError(f"{path.name} has version {document['version']!r}; this program reads {REPORT_VERSION}.")
        kidneys = {side: _record(document["kidneys"][side]) for side in (LEFT, RIGHT)}
        return PatientReport(kidneys, {name: SideText(**text) for name, text in document["whole"].items()})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path.name} is no readable phantom report.") from error


def write_report_tables(reports: Mapping[str, PatientReport], folder: Path) -> None:
    """Write the tables of whole reports, ``reports.en.csv`` and ``reports.zh.csv``."""
    for language in LANGUAGES:
        file = io.StringIO()
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(REPORT_COLUMNS)
        for patient, report in reports.items():
            writer.writerow([patient, report.whole[language].findings, report.whole[language].impression])
        write_text(folder / f"reports.{language}.csv", file.getvalue())


def other_kidney(row: CohortRow, report: PatientReport) -> tuple[CohortRow, ...]:
    """The row of the kidney without the primary lesion: the same volumes, its own report, no labels or follow-up.

    None where there is no other kidney.
    """
    side = LEFT if row.side == RIGHT else RIGHT
    kidney = report.kidney(side)
    if kidney.centre_lps_mm is None:
        return ()
    other = CohortRow(
        patient=row.patient,
        side=side,
        site=row.site,
        split=row.split,
        centre_lps_mm=kidney.centre_lps_mm,
        volumes=row.volumes,
        label_map=row.label_map,
        findings=kidney.findings,
        impression=kidney.impression,
        attributes=kidney.read,
        true_attributes=kidney.true,
        group=row.group,
        licence=row.licence,
    )
    return (other,)


def _kidney(patient: PhantomPatient, report: KidneyReport) -> dict[str, Any]:
    return {
        "centre_lps_mm": _centre(patient, report.side),
        "true": list(report.true),
        "stated": list(report.stated),
        "text": {language: asdict(text) for language, text in report.text.items()},
    }


def _centre(patient: PhantomPatient, side: str) -> list[float] | None:
    """Centre of a kidney's outline in the frame of the volumes."""
    if not patient.has_kidney(side):
        return None
    centre = patient.kidney(side).outline.centre_lps_mm
    if patient.painted is None:
        return list(centre)
    return [a + b for a, b in zip(centre, patient.painted.origin_lps_mm, strict=True)]


def _record(item: dict[str, Any]) -> KidneyRecord:
    text = {language: SideText(**words) for language, words in item["text"].items()}
    english = text["en"]
    centre = item["centre_lps_mm"]
    if centre is not None:
        x, y, z = (float(value) for value in centre)
        centre = x, y, z
    return KidneyRecord(
        findings=english.findings,
        impression=english.impression,
        true=tuple(item["true"]),
        stated=tuple(item["stated"]),
        read=read_answers(english.findings, english.impression),
        centre_lps_mm=centre,
        text=text,
    )
