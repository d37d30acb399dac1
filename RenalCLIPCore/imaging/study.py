"""A study: its phases as volume files in one folder, described by ``study.json``."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from ..errors import InputError, MissingPhaseError
from .volume import Geometry, Volume, read_geometry, read_volume

STUDY_FILE = "study.json"
STUDY_VERSION = "1.0"
MAX_STUDY_BYTES = 16 << 20


class Phase(StrEnum):
    """Contrast phase of an abdominal CT."""

    N = "N"
    A = "A"
    V = "V"
    D = "D"

    @property
    def words(self) -> str:
        """The phase's name in words."""
        return _TITLES[self]


_TITLES = {
    Phase.N: "non-contrast",
    Phase.A: "arterial (corticomedullary)",
    Phase.V: "venous (nephrographic)",
    Phase.D: "delayed (excretory)",
}


@dataclass(frozen=True)
class StudyPhase:
    """One phase: its volume file and how it was recognised.

    Attributes:
        phase: Contrast phase.
        file: Absolute path of the volume file.
        geometry: Grid as stored.
        confidence: Of the recognition, 0 to 1; 1 when a person named it.
        reason: How it was recognised, in words.
        overridden: Whether a person named the phase.
        notes: Gaps, tilt, resampling and the like.
        series: Which series or file of the source it was, by number; never a name.
    """

    phase: Phase
    file: Path
    geometry: Geometry
    confidence: float
    reason: str
    overridden: bool = False
    notes: tuple[str, ...] = ()
    series: str = ""

    def read(self) -> Volume:
        """The phase's volume in Hounsfield units, as stored."""
        return read_volume(self.file)


@dataclass(frozen=True)
class Study:
    """The phases of one examination in one patient frame.

    Attributes:
        folder: Folder that holds ``study.json``.
        study_id: Pseudonym, made from the content, never the patient's id.
        phases: At least one of A and V.
        notes: What import had to say about the whole study.
        identifiers: ``patient_name``, ``patient_id``, ``study_date``, ``accession_number``; empty unless asked for.
    """

    folder: Path
    study_id: str
    phases: Mapping[Phase, StudyPhase]
    notes: tuple[str, ...] = ()
    identifiers: Mapping[str, str] | None = None

    def __post_init__(self) -> None:
        if Phase.A not in self.phases and Phase.V not in self.phases:
            found = ", ".join(phase.words for phase in self.phases) or "none"
            raise MissingPhaseError(
                f"An arterial or a venous phase is needed, but the phases found are: {found}. "
                "If a series was not recognised, name it with --phase A=SERIES or --phase V=SERIES."
            )

    @property
    def reference(self) -> StudyPhase:
        """The phase whose grid is the common frame: arterial, else venous (paper, 4.1.3)."""
        return self.phases[Phase.A] if Phase.A in self.phases else self.phases[Phase.V]


def is_study(folder: Path) -> bool:
    """Whether a path is the folder of an imported study."""
    return (folder / STUDY_FILE).is_file()


def write_study(study: Study) -> Path:
    """Write ``study.json`` into the study's folder by atomic rename and return its path."""
    document: dict[str, Any] = {
        "version": STUDY_VERSION,
        "study_id": study.study_id,
        "phases": [_encode_phase(item, study.folder) for item in study.phases.values()],
        "notes": list(study.notes),
    }
    if study.identifiers:
        document["identifiers"] = dict(study.identifiers)
    path = study.folder / STUDY_FILE
    partial = path.with_name(f".partial-{STUDY_FILE}")
    partial.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(partial, path)
    return path


def read_study(folder: Path) -> Study:
    """Read a study folder.

    Raises:
        InputError: ``study.json`` is missing or malformed, or names a file outside the folder or one that is gone.
        MissingPhaseError: It has neither an arterial nor a venous phase.
    """
    path = folder / STUDY_FILE
    try:
        if path.stat().st_size > MAX_STUDY_BYTES:
            raise InputError(f"{STUDY_FILE} is larger than {MAX_STUDY_BYTES >> 20} MB; import the images again.")
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{STUDY_FILE} was not found; import the images first with 'renalclip import'.") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{STUDY_FILE} is not valid JSON; import the images again.") from error
    try:
        if document["version"] != STUDY_VERSION:
            raise InputError(f"{STUDY_FILE} has another version; this program reads {STUDY_VERSION}.")
        phases = [_decode_phase(item, folder) for item in document["phases"]]
        notes = tuple(str(note) for note in document.get("notes", ()))
        identifiers = document.get("identifiers")
        study_id = str(document["study_id"])
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise InputError(f"{STUDY_FILE} is malformed ({type(error).__name__}); import the images again.") from error
    if identifiers is not None and not isinstance(identifiers, dict):
        raise InputError(f"{STUDY_FILE} is malformed (identifiers); import the images again.")
    return Study(folder, study_id, {item.phase: item for item in phases}, notes, identifiers)


def _encode_phase(item: StudyPhase, folder: Path) -> dict[str, Any]:
    return {
        "phase": item.phase.value,
        "file": item.file.resolve().relative_to(folder.resolve()).as_posix(),
        "series": item.series,
        "confidence": item.confidence,
        "reason": item.reason,
        "overridden": item.overridden,
        "notes": list(item.notes),
    }


def _decode_phase(item: dict[str, Any], folder: Path) -> StudyPhase:
    file = (folder / str(item["file"])).resolve()
    if not file.is_relative_to(folder.resolve()):
        raise InputError(f"{STUDY_FILE} names a file outside its folder; import the images again.")
    confidence = float(item["confidence"])
    if not 0.0 <= confidence <= 1.0:
        raise ValueError("confidence outside 0 to 1")
    return StudyPhase(
        Phase(item["phase"]),
        file,
        read_geometry(file),
        confidence,
        str(item["reason"]),
        bool(item["overridden"]),
        tuple(str(note) for note in item.get("notes", ())),
        str(item.get("series", "")),
    )
