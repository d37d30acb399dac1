"""What passes in and out of a worklist: cases, assignments, readings, changes and entries of the log."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from ..errors import WorklistError
from ..review import Point

QUALITIES: Final = ("", "accurate", "poor")
STATUSES: Final = ("open", "started", "finished")
ANYONE: Final = ""  # reader of a reading that annotators share
LONGEST_COMMENT = 4000
LONGEST_NAME = 80
FARTHEST_MM = 1e5


@dataclass(frozen=True)
class NewCase:
    """A case to be read.

    Attributes:
        name: Unique in a worklist, a pseudonym.
        patient: Pseudonym of the patient.
        side: ``left`` or ``right`` (the patient's).
        files: Volume file by phase (``N``, ``A``, ``V``, ``D``), relative to the worklist's folder where it lies below.
        label_map: Segmentation, in the same way, or empty.
        centre_lps_mm: Centre that is proposed, or None.
    """

    name: str
    patient: str
    side: str
    files: Mapping[str, str] = field(default_factory=dict)
    label_map: str = ""
    centre_lps_mm: Point | None = None


@dataclass(frozen=True)
class Reading:
    """What one reader says of one case.

    Attributes:
        point_lps_mm: Centre of the lesion, or None.
        quality: Of the segmentation: ``accurate``, ``poor`` or empty.
        answers: Class by question, from 0.
        comment: Free words.
        flagged: Marked for another look.
        finished: Whether the reader is done with the case.
    """

    point_lps_mm: Point | None = None
    quality: str = ""
    answers: Mapping[str, int] = field(default_factory=dict)
    comment: str = ""
    flagged: bool = False
    finished: bool = False


@dataclass(frozen=True)
class Change:
    """A reading as it shall be from now on.

    Attributes:
        change_id: Unique, drawn by whoever makes the change; sending it again has no effect.
        assignment: Whose reading.
        base_version: Version that the change was made on; another one in the database is a conflict.
        reading: All of it.
        by: Author.
        seconds: Time spent on the case since the author's previous change.
    """

    change_id: str
    assignment: int
    base_version: int
    reading: Reading
    by: str
    seconds: float = 0.0


@dataclass(frozen=True)
class Version:
    """A reading as somebody wrote it: its author, time and the version that it was made on."""

    change_id: str
    base_version: int
    reading: Reading
    by: str
    at: str


@dataclass(frozen=True)
class Saved:
    """What became of a change.

    Attributes:
        version: Version of the reading that stands.
        reading: The reading that stands.
        by: Its author.
        conflict: The change, where another one had come before it; it is kept beside the reading that stands.
    """

    version: int
    reading: Reading
    by: str
    conflict: Version | None = None


@dataclass(frozen=True)
class Assignment:
    """A case in a reader's worklist.

    Attributes:
        number: Key.
        case: Name of the case.
        code: Name that a blinded reader sees.
        reader: Or empty where annotators share the reading.
        with_ai: Whether predictions are shown.
        session: 1, or 2 after the wash-out.
        position: Place in the reader's order, from 1.
        status: ``open``, ``started`` or ``finished``.
        version: Of the reading.
        reading: As it stands.
        by: Author of the reading that stands, or empty.
        seconds: Time spent.
        opens: ISO time before which a wash-out keeps it closed, or empty.
        conflicts: Versions that wait for somebody to choose.
    """

    number: int
    case: str
    code: str
    reader: str
    with_ai: bool
    session: int
    position: int
    status: str
    version: int
    reading: Reading
    by: str
    seconds: float
    opens: str
    conflicts: int


@dataclass(frozen=True)
class Entry:
    """One line of the log.

    Attributes:
        action: For instance ``reading``, ``conflict``, ``centre``, ``masks``, ``prediction``, ``report``, ``verdict``.
        case: Name of the case, or empty.
        subject: What was changed, for instance ``reader-1/without/point_lps_mm`` or a JSON pointer of the review.
        before: JSON text.
        after: JSON text.
        by: Who.
        model: Name and version of the model behind it, or empty.
        model_sha256: Its hash, or empty.
    """

    action: str
    case: str
    subject: str
    before: str
    after: str
    by: str
    model: str = ""
    model_sha256: str = ""


def encode_reading(reading: Reading) -> str:
    """A reading as JSON text; equal readings have equal texts."""
    return json.dumps(asdict(reading), sort_keys=True, ensure_ascii=False, allow_nan=False)


def decode_reading(text: str) -> Reading:
    """A reading from its JSON text."""
    data = json.loads(text)
    point = data["point_lps_mm"]
    return Reading(
        None if point is None else (point[0], point[1], point[2]),
        data["quality"],
        data["answers"],
        data["comment"],
        data["flagged"],
        data["finished"],
    )


def read_json(data: Mapping[str, Any], questions: Mapping[str, int]) -> Reading:
    """A reading from outside, checked.

    Args:
        data: Fields by name; those left out are empty.
        questions: Number of classes by question.

    Raises:
        WorklistError: A field is unknown or impossible.
    """
    unknown = sorted(set(data) - set(Reading.__dataclass_fields__))
    if unknown:
        raise WorklistError(f"A reading has no field {unknown[0]!r}.")
    values = dict(data)
    point = values.pop("point_lps_mm", None)
    if point is not None and not (isinstance(point, (list, tuple)) and len(point) == 3):
        raise WorklistError("A point has three LPS coordinates in millimetres.")
    reading = Reading(None if point is None else (float(point[0]), float(point[1]), float(point[2])), **values)
    check_reading(reading, questions)
    return reading


def check_reading(reading: Reading, questions: Mapping[str, int]) -> None:
    """Refuse what no reading says.

    Raises:
        WorklistError: A coordinate is not finite, the quality or an answer is unknown, or the comment is too long.
    """
    if reading.point_lps_mm and not all(math.isfinite(x) and abs(x) < FARTHEST_MM for x in reading.point_lps_mm):
        raise WorklistError("A point has three finite LPS coordinates in millimetres.")
    if reading.quality not in QUALITIES:
        raise WorklistError(f"The quality is accurate, poor or empty; {reading.quality!r} was given.")
    if len(reading.comment) > LONGEST_COMMENT:
        raise WorklistError(f"A comment has at most {LONGEST_COMMENT} characters; this one has {len(reading.comment)}.")
    for question, answer in reading.answers.items():
        if question not in questions:
            raise WorklistError(f"This worklist asks {', '.join(questions) or 'nothing'}; not {question!r}.")
        if type(answer) is not int or not 0 <= answer < questions[question]:
            raise WorklistError(f"{question} has the answers 0 to {questions[question] - 1}; {answer!r} was given.")


def check_name(name: str, what: str) -> str:
    """A name without the white space around it.

    Raises:
        WorklistError: It is empty, too long or no plain text.
    """
    plain = name.strip()
    if not plain or len(plain) > LONGEST_NAME or not plain.isprintable():
        raise WorklistError(f"A {what} has a name of 1 to {LONGEST_NAME} printable characters.")
    return plain
