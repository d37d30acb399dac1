"""The log of every change: append-only, each entry bound to the one before by a hash.

Entry n holds SHA-256 over the hash of entry n - 1 and over all of its own fields. A changed, missing, added or moved
entry breaks the chain there. Somebody who may rewrite the whole database can also compute a whole new chain: note the
head's hash elsewhere from time to time, and verify against it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, insert, select, update
from sqlalchemy.exc import DBAPIError

from .. import __version__
from ..errors import AuditError
from .database import GENESIS, Database
from .records import Entry
from .schema import AUDIT, AUDIT_HEAD, READINGS

READING = "reading"  # action of a reading that was saved; its entry holds the whole reading before and after
_PAGE = 1000


@dataclass(frozen=True)
class Head:
    """End of the log: number of entries and hash of the last one."""

    sequence: int
    hash: str


@dataclass(frozen=True)
class Logged:
    """An entry as it stands in the log; ``at`` is ISO 8601 in UTC."""

    sequence: int
    at: str
    core_version: str
    entry: Entry


def append(connection: Connection, entries: Iterable[Entry], now: datetime) -> Head:
    """Put entries at the end of the log, within a transaction of :meth:`Database.writing`."""
    row = connection.execute(select(AUDIT_HEAD.c.sequence, AUDIT_HEAD.c.hash)).one()
    head, rows = Head(row.sequence, row.hash), []
    for entry in entries:
        fields = {"sequence": head.sequence + 1, "at": iso(now), **asdict(entry), "core_version": __version__}
        fields["previous"] = head.hash
        head = Head(head.sequence + 1, _hash(fields))
        rows.append({**fields, "hash": head.hash})
    if rows:
        connection.execute(insert(AUDIT), rows)
        connection.execute(update(AUDIT_HEAD).values(sequence=head.sequence, hash=head.hash))
    return head


def record(database: Database, entries: Iterable[Entry], now: datetime | None = None) -> Head:
    """Put entries at the end of the log in a transaction of their own."""
    with database.writing() as connection:
        return append(connection, entries, now or datetime.now(UTC))


def entries(database: Database, case: str = "") -> tuple[Logged, ...]:
    """The log, or what it says of one case."""
    wanted = select(AUDIT).order_by(AUDIT.c.sequence)
    with database.reading() as connection:
        found = connection.execute(wanted.where(AUDIT.c.case == case) if case else wanted).mappings().all()
    return tuple(
        Logged(row["sequence"], row["at"], row["core_version"], Entry(**{name: row[name] for name in _FIELDS}))
        for row in found
    )


def identity(database: Database) -> str:
    """What tells a worklist from any other, wherever it lies: the hash of the log's first entry."""
    with database.reading() as connection:
        found = connection.scalar(select(AUDIT.c.hash).order_by(AUDIT.c.sequence).limit(1))
    return str(found or GENESIS)


def verify(database: Database, noted: str = "") -> Head:
    """Check the whole log, and that the readings are those that it ends with.

    Args:
        database: Of the worklist.
        noted: Hash of a head that was noted before; it must still be part of the chain.

    Raises:
        AuditError: It is not what was written; the message names the first broken entry.
    """
    head, seen = Head(0, GENESIS), not noted or noted == GENESIS
    with database.reading() as connection:
        while rows := _page(connection, head.sequence):
            for row in rows:
                _check(row, head)
                head = Head(row["sequence"], row["hash"])
                seen = seen or head.hash == noted
        stored = connection.execute(select(AUDIT_HEAD.c.sequence, AUDIT_HEAD.c.hash)).one()
        if (stored.sequence, stored.hash) != (head.sequence, head.hash):
            raise AuditError(f"The log ends with entry {head.sequence}, but {stored.sequence} were written.")
        if not seen:
            raise AuditError("The noted hash is not part of the log: the log was rewritten.")
        _check_readings(connection)
    return head


def subject_of(assignment: int) -> str:
    """How the log names the reading of an assignment."""
    return f"assignments/{assignment}"


def iso(moment: datetime) -> str:
    """A time as ISO 8601 in UTC with microseconds; texts sort as the times do."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


_FIELDS = tuple(Entry.__dataclass_fields__)


def _page(connection: Connection, after: int) -> Sequence[Mapping[str, Any]]:
    wanted = select(AUDIT).where(AUDIT.c.sequence > after).order_by(AUDIT.c.sequence).limit(_PAGE)
    try:
        return [dict(row) for row in connection.execute(wanted).mappings()]
    except (DBAPIError, UnicodeDecodeError) as error:
        raise AuditError(f"The log cannot be read after entry {after}: it was changed.") from error


def _check(row: Mapping[str, Any], before: Head) -> None:
    wanted = before.sequence + 1
    if row["sequence"] != wanted:
        raise AuditError(f"Entry {wanted} of the log is missing.")
    fields = {name: value for name, value in row.items() if name != "hash"}
    if row["previous"] != before.hash or row["hash"] != _hash(fields):
        raise AuditError(f"Entry {wanted} of the log is not what was written.")


def _check_readings(connection: Connection) -> None:
    """Every reading that stands is the one that the log's last entry about it says."""
    logged = select(AUDIT.c.subject, AUDIT.c.after).where(AUDIT.c.action == READING).order_by(AUDIT.c.sequence)
    last = {row.subject: row.after for row in connection.execute(logged)}
    for row in connection.execute(select(READINGS.c.assignment_id, READINGS.c.content).where(READINGS.c.version > 0)):
        if last.get(subject_of(row.assignment_id)) != row.content:
            raise AuditError(f"The reading of assignment {row.assignment_id} is not the one that the log ends with.")


def _hash(fields: Mapping[str, Any]) -> str:
    text = json.dumps(fields, sort_keys=True, ensure_ascii=True, separators=(",", ":"), default=repr)
    return hashlib.sha256(text.encode("ascii")).hexdigest()
