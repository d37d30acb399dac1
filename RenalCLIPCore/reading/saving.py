"""Readings are saved at every change, and never over one another.

A change names the version that it was made on. Where another one has come before it, the reading stands as it is, and
the change is kept beside it until somebody chooses. Every change is a row of its own; sending one again has no effect.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, insert, select, update

from ..errors import WorklistError
from . import audit
from .database import Database
from .records import (
    Change,
    Entry,
    Reading,
    Saved,
    Version,
    check_name,
    check_reading,
    decode_reading,
    encode_reading,
)
from .schema import ADJUDICATIONS, ASSIGNMENTS, CASES, CHANGES, READINGS, RESOLUTIONS, WORKLIST

LONGEST_STEP_S = 86400.0


@dataclass(frozen=True)
class Adjudication:
    """What was decided of a case whose readers disagree: the reading, by whom and when."""

    case: str
    reading: Reading
    by: str
    at: str


def save(database: Database, change: Change, now: datetime | None = None) -> Saved:
    """Save a change; it is either the reading from now on or kept beside it, and in the log in either case.

    Raises:
        WorklistError: The reading is impossible, somebody else's, or the database refuses; nothing is kept then.
    """
    checked = replace(change, by=check_name(change.by, "reader"), change_id=check_name(change.change_id, "change"))
    _check_seconds(change.seconds)
    with database.writing() as connection:
        check_reading(change.reading, _class_counts(connection))
        return _save(connection, checked, now or datetime.now(UTC))


def add_time(database: Database, assignment: int, seconds: float, by: str) -> None:
    """Add time that was spent on a case without changing its reading.

    Raises:
        WorklistError: The reading is somebody else's, or no reader could have spent this time.
    """
    _check_seconds(seconds)
    with database.writing() as connection:
        if _standing(connection, assignment).reader not in ("", check_name(by, "reader")):
            raise WorklistError("This reading is another reader's; it can be adjudicated, not changed.")
        spent = READINGS.c.seconds + seconds
        connection.execute(update(READINGS).where(READINGS.c.assignment_id == assignment).values(seconds=spent))


def conflicts(database: Database, assignment: int) -> tuple[Version, ...]:
    """Versions of a reading that wait for a choice, the oldest first."""
    waiting = (
        select(CHANGES)
        .where(
            CHANGES.c.assignment_id == assignment,
            CHANGES.c.version.is_(None),
            CHANGES.c.id.not_in(select(RESOLUTIONS.c.change)),
        )
        .order_by(CHANGES.c.id)
    )
    with database.reading() as connection:
        return tuple(_version(row) for row in connection.execute(waiting))


def history(database: Database, assignment: int) -> tuple[Version, ...]:
    """Every version of a reading, those that were not applied among them, in the order in which they came."""
    with database.reading() as connection:
        rows = connection.execute(select(CHANGES).where(CHANGES.c.assignment_id == assignment).order_by(CHANGES.c.id))
        return tuple(_version(row) for row in rows)


def resolve(database: Database, choice: Change, now: datetime | None = None) -> Saved:
    """End a conflict: the chosen reading stands, and the versions that waited are settled; all stay in the history.

    Args:
        database: Of the worklist.
        choice: The reading as it shall be: one of the two, or put together from them.
        now: The time.

    Raises:
        WorklistError: As for :func:`save`, or the reading has changed since the choice was shown.
    """
    moment = now or datetime.now(UTC)
    waiting = select(CHANGES.c.id).where(
        CHANGES.c.assignment_id == choice.assignment,
        CHANGES.c.version.is_(None),
        CHANGES.c.id.not_in(select(RESOLUTIONS.c.change)),
    )
    with database.writing() as connection:
        check_reading(choice.reading, _class_counts(connection))
        ids = list(connection.execute(waiting).scalars())
        saved = _save(connection, replace(choice, by=check_name(choice.by, "reader")), moment)
        if saved.conflict is not None:
            raise WorklistError("The reading has changed again since; look at it and choose anew.")
        rows = [{"change": number, "by": choice.by, "at": audit.iso(moment)} for number in ids]
        if rows:
            connection.execute(insert(RESOLUTIONS), rows)
    return saved


def adjudicate(database: Database, case: str, reading: Reading, by: str, now: datetime | None = None) -> None:
    """Decide a case whose readers disagree; their readings stay as they are.

    Raises:
        WorklistError: There is no such case, or the reading is impossible.
    """
    author, moment = check_name(by, "reader"), now or datetime.now(UTC)
    with database.writing() as connection:
        check_reading(reading, _class_counts(connection))
        number = connection.scalar(select(CASES.c.id).where(CASES.c.name == case))
        if number is None:
            raise WorklistError("This worklist has no such case.")
        values = {"content": encode_reading(reading), "by": author, "at": audit.iso(moment)}
        before = connection.scalar(select(ADJUDICATIONS.c.content).where(ADJUDICATIONS.c.case_id == number))
        if before is None:
            connection.execute(insert(ADJUDICATIONS).values(case_id=number, **values))
        else:
            connection.execute(update(ADJUDICATIONS).where(ADJUDICATIONS.c.case_id == number).values(**values))
        entry = Entry("adjudication", case, "adjudication", before or "", values["content"], author)
        audit.append(connection, [entry], moment)


def adjudications(database: Database) -> dict[str, Adjudication]:
    """What was decided, by case."""
    wanted = select(ADJUDICATIONS, CASES.c.name).join(CASES, CASES.c.id == ADJUDICATIONS.c.case_id)
    with database.reading() as connection:
        return {
            row.name: Adjudication(row.name, decode_reading(row.content), row.by, row.at)
            for row in connection.execute(wanted)
        }


def _check_seconds(seconds: float) -> None:
    if not (math.isfinite(seconds) and 0 <= seconds <= LONGEST_STEP_S):
        raise WorklistError("The time since the last change is 0 to 86400 seconds.")


def _save(connection: Connection, change: Change, now: datetime) -> Saved:
    again = connection.execute(select(CHANGES).where(CHANGES.c.change_id == change.change_id)).one_or_none()
    standing = _standing(connection, change.assignment)
    if standing.reader not in ("", change.by):
        raise WorklistError("This reading is another reader's; it can be adjudicated, not changed.")
    if again is not None:
        conflict = _version(again) if again.version is None else None
        return Saved(standing.version, decode_reading(standing.content), standing.by, conflict)
    content, applied = encode_reading(change.reading), change.base_version == standing.version
    row = {
        "change_id": change.change_id,
        "assignment_id": change.assignment,
        "base_version": change.base_version,
        "version": standing.version + 1 if applied else None,
        "content": content,
        "by": change.by,
        "at": audit.iso(now),
    }
    connection.execute(insert(CHANGES).values(**row))
    action = audit.READING if applied else "conflict"
    subject = audit.subject_of(change.assignment)
    audit.append(connection, [Entry(action, standing.name, subject, standing.content, content, change.by)], now)
    if not applied:
        kept = Version(change.change_id, change.base_version, change.reading, change.by, audit.iso(now))
        return Saved(standing.version, decode_reading(standing.content), standing.by, kept)
    finished = standing.finished_at or audit.iso(now) if change.reading.finished else ""
    values = {"version": standing.version + 1, "content": content, "by": change.by, "finished_at": finished}
    connection.execute(
        update(READINGS)
        .where(READINGS.c.assignment_id == change.assignment)
        .values(seconds=READINGS.c.seconds + change.seconds, **values)
    )
    return Saved(standing.version + 1, change.reading, change.by)


def _standing(connection: Connection, assignment: int) -> Any:
    row = connection.execute(
        select(READINGS, ASSIGNMENTS.c.reader, CASES.c.name)
        .join(ASSIGNMENTS, ASSIGNMENTS.c.id == READINGS.c.assignment_id)
        .join(CASES, CASES.c.id == ASSIGNMENTS.c.case_id)
        .where(READINGS.c.assignment_id == assignment)
    ).one_or_none()
    if row is None:
        raise WorklistError(f"This worklist has no assignment {assignment}.")
    return row


def _version(row: Any) -> Version:
    return Version(row.change_id, row.base_version, decode_reading(row.content), row.by, row.at)


def _class_counts(connection: Connection) -> dict[str, int]:
    text = connection.scalar(select(WORKLIST.c.value).where(WORKLIST.c.key == "questions"))
    return {name: len(classes) for name, classes in json.loads(text or "{}").items()}
