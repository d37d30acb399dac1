"""Worklists: cases given to readers in an order of their own, and what is due next.

A reading study crosses over: half of a reader's cases are read without the predictions first and half with them; after
the wash-out each case is read the other way, in a new order.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath
from typing import Any, Final

import numpy as np
from sqlalchemy import Connection, func, insert, select

from ..errors import BlindedError, FilesMovedError, InputError, WorklistError
from ..review import Point
from . import audit
from .database import Database
from .records import ANYONE, Assignment, Entry, NewCase, Reading, check_name, decode_reading, encode_reading
from .schema import ASSIGNMENTS, CASES, CHANGES, READINGS, RESOLUTIONS

MODES: Final = ("without", "with", "both")
LONGEST_WASHOUT_DAYS = 3650
NEVER: Final = "9999"  # sorts after every time


@dataclass(frozen=True)
class Plan:
    """How cases are given to readers.

    Attributes:
        readers: Their names; none for one reading per case that annotators share.
        mode: ``without`` or ``with`` predictions, or ``both`` (crossed over, with a wash-out between).
        seed: Of the orders.
    """

    readers: tuple[str, ...] = ()
    mode: str = "without"
    seed: int = 0


@dataclass(frozen=True)
class Filter:
    """Which assignments are wanted; an empty or None field wants all.

    Attributes:
        status: ``open``, ``started`` or ``finished``.
        quality: ``accurate`` or ``poor``.
        flagged: Whether flagged.
        conflicts: Whether versions wait for a choice.
        case: Name of the case.
    """

    status: str = ""
    quality: str = ""
    flagged: bool | None = None
    conflicts: bool | None = None
    case: str = ""

    def wants(self, item: Assignment) -> bool:
        """Whether it passes."""
        return (
            self.status in ("", item.status)
            and self.quality in ("", item.reading.quality)
            and self.flagged in (None, item.reading.flagged)
            and self.conflicts in (None, item.conflicts > 0)
            and self.case in ("", item.case)
        )


def create(
    database: Database,
    cases: Sequence[NewCase],
    *,
    folder: Path,
    questions: Mapping[str, Sequence[str]],
    blinded: bool = False,
    washout_days: float = 28.0,
    withheld: Sequence[str] = (),
    by: str = "",
    now: datetime | None = None,
) -> None:
    """Make a worklist.

    Args:
        database: An empty one.
        cases: With unique names.
        folder: What the cases' files are relative to.
        questions: Names of the classes by question.
        blinded: Whether readers see codes in place of the cases' names.
        washout_days: Between the two readings of a case.
        withheld: What readings without predictions withhold beside these.
        by: Who.
        now: The time, for the log.

    Raises:
        WorklistError: There is a worklist already, a name occurs twice, or the wash-out is no time.
    """
    if not cases:
        raise WorklistError("A worklist needs at least one case.")
    if len({case.name for case in cases}) != len(cases):
        raise WorklistError("Every case of a worklist needs a name of its own.")
    if not 0 <= washout_days <= LONGEST_WASHOUT_DAYS:
        raise WorklistError(f"The wash-out is 0 to {LONGEST_WASHOUT_DAYS} days; {washout_days:g} was given.")
    for case in cases:
        check_name(case.name, "case")
    facts = {"folder": str(folder.resolve()), "questions": {name: list(classes) for name, classes in questions.items()}}
    database.create({**facts, "blinded": blinded, "washout_days": washout_days, "withheld": sorted(set(withheld))})
    with database.writing() as connection:
        connection.execute(insert(CASES), [_case_row(case, folder.resolve()) for case in cases])
        entry = Entry("worklist", "", "cases", "0", str(len(cases)), by)
        audit.append(connection, [entry], now or datetime.now(UTC))


def assign(
    database: Database, plan: Plan, cases: Sequence[str] | None = None, *, by: str = "", now: datetime | None = None
) -> int:
    """Give cases to readers; what they have already stays as it is. Returns the number of new assignments.

    Args:
        database: Of the worklist.
        plan: Readers and modes.
        cases: Names; all when None.
        by: Who.
        now: The time, for the log.

    Raises:
        WorklistError: A case is unknown, or a reader has no name.
    """
    if plan.mode not in MODES:
        raise WorklistError(f"Cases are read without or with predictions or both; {plan.mode!r} was given.")
    readers = tuple(dict.fromkeys(check_name(reader, "reader") for reader in plan.readers)) or (ANYONE,)
    with database.writing() as connection:
        numbers = _case_numbers(connection, cases)
        rows = [row for reader in readers for row in _new_rows(connection, reader, numbers, plan)]
        if rows:
            connection.execute(insert(ASSIGNMENTS), rows)
            made = connection.execute(
                select(ASSIGNMENTS.c.id).where(ASSIGNMENTS.c.id.not_in(select(READINGS.c.assignment_id)))
            )
            empty = {"version": 0, "content": encode_reading(Reading()), "by": "", "seconds": 0.0, "finished_at": ""}
            connection.execute(insert(READINGS), [{"assignment_id": number, **empty} for number in made.scalars()])
        logged = [Entry("assignment", "", f"readers/{name}", "", str(_count(rows, name)), by) for name in readers]
        audit.append(connection, logged, now or datetime.now(UTC))
    return len(rows)


def assignments(database: Database, reader: str | None = None, wanted: Filter | None = None) -> tuple[Assignment, ...]:
    """A reader's worklist in its order, those of all when None."""
    washout = timedelta(days=float(database.facts()["washout_days"]))
    with database.reading() as connection:
        found = _assignments(connection, washout)
    chosen = wanted or Filter()
    return tuple(item for item in found if reader in (None, item.reader) and chosen.wants(item))


def next_assignment(
    items: Sequence[Assignment], after: int | None, *, step: int = 1, now: datetime | None = None
) -> Assignment | None:
    """The case after (or before) another one; without one, the first that is not finished.

    Args:
        items: A reader's worklist, filtered or not.
        after: Number of the assignment that is open, or None.
        step: 1 for the next case, -1 for the previous one.
        now: The time; cases whose wash-out is not over are passed over.
    """
    moment = audit.iso(now or datetime.now(UTC))
    due = [item for item in items if item.opens <= moment]
    if after is None:
        return next((item for item in due if item.status != "finished"), None)
    place = next((number for number, item in enumerate(items) if item.number == after), None)
    if place is None:
        return due[0] if due else None
    beyond = items[place + 1 :] if step > 0 else items[:place][::-1]
    return next((item for item in beyond if item in due), None)


def by_number(items: Sequence[Assignment], number: int, *, now: datetime | None = None) -> Assignment | None:
    """The assignment of a number, for a reader who names it; None where the worklist lacks it.

    Raises:
        BlindedError: Its wash-out is not over, or it is an unread case of a reader's own that is not the next one: a
            random order is kept by reading in it.
    """
    moment = audit.iso(now or datetime.now(UTC))
    item = next((one for one in items if one.number == number), None)
    if item is None:
        return None
    if item.opens > moment:
        when = "after its first reading" if item.opens == NEVER else f"on {item.opens[:10]}"
        raise BlindedError(f"This case is closed by the wash-out between its two readings; it opens {when}.")
    unread = [one for one in items if one.reader == item.reader != ANYONE and one.status == "open"]
    first = next((one for one in unread if one.opens <= moment), None)
    if item.status == "open" and first is not None and item.number != first.number:
        raise BlindedError("The cases are read in their order; go on to this one with next case.")
    return item


def files_of(database: Database, case: str) -> tuple[dict[str, Path], Path | None, Point | None]:
    """Volume file by phase, label map and proposed centre of a case.

    Raises:
        WorklistError: There is no such case.
        FilesMovedError: A file is not where the worklist says.
    """
    folder = Path(database.facts()["folder"])
    with database.reading() as connection:
        row = connection.execute(select(CASES).where(CASES.c.name == case)).one_or_none()
    if row is None:
        raise WorklistError("This worklist has no such case.")
    files = {phase: folder / path for phase, path in json.loads(row.files).items()}
    label_map = folder / row.label_map if row.label_map else None
    gone = [path for path in (*files.values(), *([label_map] if label_map else [])) if not path.is_file()]
    if gone:
        raise FilesMovedError(
            f"{len(gone)} of the case's {len(files) + bool(label_map)} files are not where the worklist says. "
            "Bring them back, or name the folder that holds them now (renalclip worklist relocate)."
        )
    centre = json.loads(row.centre_lps_mm)
    return files, label_map, None if centre is None else (centre[0], centre[1], centre[2])


def cases(database: Database) -> tuple[NewCase, ...]:
    """All cases, files relative to the worklist's folder."""
    with database.reading() as connection:
        rows = connection.execute(select(CASES).order_by(CASES.c.id)).all()
    found = []
    for row in rows:
        centre = json.loads(row.centre_lps_mm)
        point = None if centre is None else (centre[0], centre[1], centre[2])
        found.append(NewCase(row.name, row.patient, row.side, json.loads(row.files), row.label_map, point))
    return tuple(found)


def relocate(database: Database, folder: Path, *, by: str = "", now: datetime | None = None) -> None:
    """Say that the files lie in another folder now.

    Raises:
        InputError: No file of the first case lies there.
    """
    first = cases(database)[0]
    if first.files and not any((folder / path).is_file() for path in first.files.values()):
        raise InputError("The folder does not hold the worklist's files: none of the first case's is there.")
    with database.writing() as connection:
        database.set_fact(connection, "folder", str(folder.resolve()))
        # the log must not hold folders, whose names can be a patient's
        audit.append(connection, [Entry("worklist", "", "folder", "", "moved", by)], now or datetime.now(UTC))


def _case_row(case: NewCase, folder: Path) -> dict[str, Any]:
    return {
        "name": case.name,
        "patient": case.patient,
        "side": case.side,
        "files": json.dumps({phase: _relative(path, folder) for phase, path in case.files.items()}),
        "label_map": _relative(case.label_map, folder) if case.label_map else "",
        "centre_lps_mm": json.dumps(case.centre_lps_mm),
    }


def _relative(path: str, folder: Path) -> str:
    file = Path(path)
    return str(PurePosixPath(file.relative_to(folder))) if file.is_relative_to(folder) else str(file)


def _case_numbers(connection: Connection, names: Sequence[str] | None) -> list[int]:
    known = {row.name: row.id for row in connection.execute(select(CASES.c.name, CASES.c.id).order_by(CASES.c.id))}
    unknown = [name for name in names or () if name not in known]
    if unknown:
        raise WorklistError(f"{len(unknown)} of the named cases are not in this worklist.")
    return list(known.values()) if names is None else [known[name] for name in dict.fromkeys(names)]


def _new_rows(connection: Connection, reader: str, numbers: Sequence[int], plan: Plan) -> list[dict[str, Any]]:
    """Assignments that a reader does not have yet, in a random order of the reader's own."""
    mine = select(ASSIGNMENTS).where(ASSIGNMENTS.c.reader == reader)
    taken = {(row.case_id, row.with_ai) for row in connection.execute(mine)}
    codes = {row.case_id: row.code for row in connection.execute(mine)}
    seeds = np.random.SeedSequence([plan.seed, *reader.encode("utf-8")])
    draw = np.random.default_rng(seeds)
    rows: list[dict[str, Any]] = []
    fresh = [number for number in numbers if number not in codes]
    for place, index in enumerate(draw.permutation(len(fresh)), 1):
        codes[fresh[int(index)]] = f"C{len(taken) + place:04d}"
    last = connection.scalar(select(func.max(ASSIGNMENTS.c.position)).where(ASSIGNMENTS.c.reader == reader)) or 0
    for session, order in enumerate(_sessions(draw, numbers, plan.mode), 1):
        for number, with_ai in order:
            if (number, with_ai) in taken:
                continue
            again = 2 if (number, not with_ai) in taken else session
            row = {"case_id": number, "reader": reader, "with_ai": with_ai, "session": again}
            rows.append({**row, "code": codes[number], "position": last + len(rows) + 1})
    return rows


def _sessions(draw: np.random.Generator, numbers: Sequence[int], mode: str) -> Iterable[list[tuple[int, bool]]]:
    """Cases and modes of the first session, and of the second where cases are read both ways."""
    order = [numbers[int(index)] for index in draw.permutation(len(numbers))]
    if mode != "both":
        return [[(number, mode == "with") for number in order]]
    # as many cases start with the predictions as without, one more at most
    first_with = {order[int(index)] for index in draw.permutation(len(order))[: len(order) // 2]}
    again = [numbers[int(index)] for index in draw.permutation(len(numbers))]
    return [
        [(number, number in first_with) for number in order],
        [(number, number not in first_with) for number in again],
    ]


def _assignments(connection: Connection, washout: timedelta) -> list[Assignment]:
    counted = (
        select(CHANGES.c.assignment_id, func.count())
        .where(CHANGES.c.version.is_(None), CHANGES.c.id.not_in(select(RESOLUTIONS.c.change)))
        .group_by(CHANGES.c.assignment_id)
    )
    waiting: dict[int, int] = {row[0]: row[1] for row in connection.execute(counted)}
    rows = connection.execute(
        select(ASSIGNMENTS, READINGS, CASES.c.name)
        .join(READINGS, READINGS.c.assignment_id == ASSIGNMENTS.c.id)
        .join(CASES, CASES.c.id == ASSIGNMENTS.c.case_id)
        .order_by(ASSIGNMENTS.c.reader, ASSIGNMENTS.c.position)
    ).all()
    ended = {(row.case_id, row.reader): row.finished_at for row in rows if row.session == 1}
    return [_assignment(row, waiting.get(row.id, 0), ended, washout) for row in rows]


def _assignment(row: Any, waiting: int, ended: Mapping[tuple[int, str], str], washout: timedelta) -> Assignment:
    reading = decode_reading(row.content)
    status = "finished" if reading.finished else "started" if row.version else "open"
    opens = ""
    if row.session == 2 and (row.case_id, row.reader) in ended:
        opens = _opens(ended[row.case_id, row.reader], washout)
    return Assignment(
        row.id, row.name, row.code, row.reader, row.with_ai, row.session, row.position, status, row.version,
        reading, row.by, row.seconds, opens, waiting,
    )  # fmt: skip


def _opens(end: str, washout: timedelta) -> str:
    """When a second reading opens; never, as long as the first one has no end or one that is no date."""
    try:
        return audit.iso(datetime.fromisoformat(end) + washout)
    except (ValueError, OverflowError):
        return NEVER


def _count(rows: Sequence[Mapping[str, Any]], reader: str) -> int:
    return sum(row["reader"] == reader for row in rows)
