"""``renalclip worklist`` and ``renalclip audit``: cases for readers, what they read, and the log of every change."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from ..reading.database import Database
    from ..reading.records import Assignment


def _add_database(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--db", required=True, metavar="URL", help="database: a path (SQLite) or postgresql://USER@HOST/NAME"
    )


def _add_by(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--by", default="", help="who does it, for the log")


def _opened(url: str) -> closing[Database]:
    from ..reading.database import Database

    return closing(Database(url))


@dataclass(frozen=True)
class _Plan:
    """How cases are given to readers."""

    db: str
    reader: Sequence[str]
    ai: str
    seed: int
    by: str

    @staticmethod
    def add_plan_arguments(parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        add = parser.add_argument
        add("--reader", action="append", default=[], metavar="NAME", help="a reader; none: annotators share the cases")
        add("--ai", choices=("without", "with", "both"), default="without", help="show predictions (default: without)")
        add("--seed", type=int, default=1, help="of the readers' random orders (default: 1)")
        _add_database(parser)
        _add_by(parser)

    def assign(self, database: Database, cases: Sequence[str] | None) -> int:
        """Give the cases out; the number of new assignments."""
        from ..errors import ConfigurationError
        from ..reading.worklist import Plan, assign

        if self.seed < 0:
            raise ConfigurationError(f"The seed is 0 or more; {self.seed} was given.")
        return assign(database, Plan(tuple(self.reader), self.ai, self.seed), cases, by=self.by)


@dataclass(frozen=True)
class WorklistCreate(_Plan):
    """Make a worklist of a cohort's cases and give them to readers.

    Without --reader the annotators share one reading per case; each named reader gets readings of their own in a
    random order. Readings without predictions show none, whatever the host asks for. --ai both crosses over: half of
    the cases with predictions first, the other half after the wash-out.
    """

    name: ClassVar[str] = "worklist create"
    cohort: Path
    blinded: bool
    washout_days: float
    withhold: Sequence[str]

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument("cohort", type=Path, help="cohort table")
        parser.add_argument("--blinded", action="store_true", help="readers see codes in place of case names")
        parser.add_argument(
            "--washout-days", type=float, default=28.0, help="between the two readings of a case (default: 28)"
        )
        parser.add_argument(
            "--withhold",
            action="append",
            default=[],
            choices=("masks", "nephrometry"),
            help="withhold this too in readings without predictions (masks take nephrometry along); repeatable",
        )
        _Plan.add_plan_arguments(parser)

    def run(self) -> None:
        """Read, create, assign."""
        from ..cohort.table import EVERY_TASK_CLASSES, read_cohort
        from ..reading.records import NewCase
        from ..reading.worklist import create

        cases = [
            NewCase(
                row.case_id,
                row.patient,
                row.side,
                {phase.value: str(path) for phase, path in row.volumes.items()},
                str(row.label_map) if row.label_map else "",
                row.centre_lps_mm,
            )
            for row in read_cohort(self.cohort)
        ]
        with _opened(self.db) as database:
            create(
                database,
                cases,
                folder=self.cohort.parent,
                questions=EVERY_TASK_CLASSES,
                blinded=self.blinded,
                washout_days=self.washout_days,
                withheld=self.withhold,
                by=self.by,
            )
            print(f"{len(cases)} cases, {self.assign(database, None)} readings to make")


@dataclass(frozen=True)
class WorklistAssign(_Plan):
    """Give cases of a worklist to further readers; what they have already stays as it is."""

    name: ClassVar[str] = "worklist assign"
    case: Sequence[str]

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument("--case", action="append", default=[], metavar="NAME", help="only this case; repeatable")
        _Plan.add_plan_arguments(parser)

    def run(self) -> None:
        """Assign."""
        with _opened(self.db) as database:
            print(f"{self.assign(database, self.case or None)} new readings to make")


@dataclass(frozen=True)
class WorklistList:
    """List the readings of a worklist: their order, state, quality, time and conflicts."""

    name: ClassVar[str] = "worklist list"
    db: str
    reader: str | None
    status: str
    quality: str
    flagged: bool
    conflicts: bool

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        add = parser.add_argument
        _add_database(parser)
        add("--reader", help="of this reader only")
        add("--status", choices=("open", "started", "finished"), default="", help="only these")
        add("--quality", choices=("accurate", "poor"), default="", help="only these")
        add("--flagged", action="store_true", help="only those that are flagged")
        add("--conflicts", action="store_true", help="only those with versions that wait for a choice")

    def run(self) -> None:
        """List."""
        from ..reading.worklist import Filter, assignments

        wanted = Filter(self.status, self.quality, self.flagged or None, self.conflicts or None)
        with _opened(self.db) as database:
            blinded = database.facts()["blinded"] and self.reader is not None
            items = assignments(database, self._known_reader(database), wanted)
        print("number\treader\tplace\tcase\tpredictions\tstate\tquality\tseconds\tnotes")
        for item in items:
            print(
                item.number, item.reader or "(shared)", item.position, item.code if blinded else item.case,
                "with" if item.with_ai else "without", item.status, item.reading.quality or "-", f"{item.seconds:.0f}",
                _notes(item), sep="\t",
            )  # fmt: skip
        print(f"{len(items)} readings, {sum(item.status == 'finished' for item in items)} finished")

    def _known_reader(self, database: Database) -> str | None:
        from ..errors import ConfigurationError
        from ..reading.worklist import assignments

        known = sorted({item.reader for item in assignments(database)} - {""})
        if self.reader is not None and self.reader not in known:
            there = ", ".join(known) or "only readings that are shared"
            raise ConfigurationError(f"The worklist has no reader {self.reader!r}; it has {there}.")
        return self.reader


@dataclass(frozen=True)
class WorklistAdjudicate:
    """Decide a case whose readers disagree; their readings stay as they are.

    Takes a reader's reading (--take), and what is named beside it in its place.
    """

    name: ClassVar[str] = "worklist adjudicate"
    db: str
    case: str
    by: str
    take: int | None
    point_lps_mm: Sequence[float] | None
    quality: str | None
    answer: Sequence[str]
    comment: str | None

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        add = parser.add_argument
        _add_database(parser)
        add("case", help="name of the case")
        add("--by", required=True, help="who decides")
        add("--take", type=int, metavar="NUMBER", help="number of the reading to take (worklist list)")
        add("--point-lps-mm", type=float, nargs=3, metavar=("X", "Y", "Z"), help="centre of the lesion")
        add("--quality", choices=("accurate", "poor"), help="of the segmentation")
        add(
            "--answer", action="append", default=[], metavar="QUESTION=CLASS", help="for instance renal_r=1; repeatable"
        )
        add("--comment", help="why")

    def run(self) -> None:
        """Decide."""
        from dataclasses import replace

        from ..reading.records import Reading
        from ..reading.saving import adjudicate
        from ..reading.worklist import Filter, assignments

        with _opened(self.db) as database:
            items = {item.number: item for item in assignments(database, None, Filter(case=self.case))}
            reading = items[self.take].reading if self.take in items else Reading()
            self._check_taken(set(items))
            if self.point_lps_mm:
                x, y, z = self.point_lps_mm
                reading = replace(reading, point_lps_mm=(x, y, z))
            given = {"quality": self.quality, "comment": self.comment}
            for name, value in given.items():
                reading = replace(reading, **{name: value}) if value is not None else reading  # type: ignore[arg-type]
            answers = {**reading.answers, **dict(_answer(text) for text in self.answer)}
            adjudicate(database, self.case, replace(reading, answers=answers, finished=True), self.by)
        print("decided")

    def _check_taken(self, numbers: set[int]) -> None:
        from ..errors import WorklistError

        if self.take is not None and self.take not in numbers:
            raise WorklistError(f"Reading {self.take} is not one of this case's.")


@dataclass(frozen=True)
class WorklistResolve:
    """End a conflict between two versions of one reading: keep what stands, or take the version that waits."""

    name: ClassVar[str] = "worklist resolve"
    db: str
    number: int
    by: str
    take: str

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        _add_database(parser)
        parser.add_argument("number", type=int, help="number of the reading (worklist list --conflicts)")
        parser.add_argument("--by", required=True, help="who chooses")
        parser.add_argument("--take", default="", metavar="ID", help="id of a waiting version; without it: list them")

    def run(self) -> None:
        """Show, or choose."""
        import uuid

        from ..errors import WorklistError
        from ..reading.records import Change, encode_reading
        from ..reading.saving import conflicts, resolve
        from ..reading.worklist import assignments

        with _opened(self.db) as database:
            standing = next((item for item in assignments(database) if item.number == self.number), None)
            if standing is None:
                raise WorklistError(f"This worklist has no assignment {self.number}.")
            versions = {item.change_id: item.reading for item in conflicts(database, self.number)}
            if not self.take:
                print(f"stands\t{standing.by}\t{encode_reading(standing.reading)}")
                for item in conflicts(database, self.number):
                    print(f"{item.change_id}\t{item.by}\t{encode_reading(item.reading)}")
                return
            if self.take not in ("stands", *versions):
                raise WorklistError("Take one of the ids that are listed, or 'stands'.")
            reading = versions.get(self.take, standing.reading)
            resolve(database, Change(uuid.uuid4().hex, self.number, standing.version, reading, self.by))
        print("resolved; both versions stay in the history")


@dataclass(frozen=True)
class WorklistRelocate:
    """Say in which folder the cases' files lie now."""

    name: ClassVar[str] = "worklist relocate"
    db: str
    folder: Path
    by: str

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument("folder", type=Path, help="folder that the cohort table lay in, at its new place")
        _add_database(parser)
        _add_by(parser)

    def run(self) -> None:
        """Note the folder."""
        from ..reading.worklist import relocate

        with _opened(self.db) as database:
            relocate(database, self.folder, by=self.by)
        print("noted")


def _notes(item: Assignment) -> str:
    from ..reading.worklist import NEVER

    notes = ["flagged"] if item.reading.flagged else []
    notes += [f"{item.conflicts} versions wait for a choice"] if item.conflicts else []
    if item.opens:
        notes.append("opens after its first reading" if item.opens == NEVER else f"opens {item.opens[:10]}")
    return ", ".join(notes) or "-"


def _answer(text: str) -> tuple[str, int]:
    from ..errors import ConfigurationError

    question, _, number = text.partition("=")
    if not number.isdecimal():
        raise ConfigurationError(f"An answer is written QUESTION=CLASS with the class's number; {text!r} was given.")
    return question, int(number)


COMMANDS = [WorklistCreate, WorklistAssign, WorklistList, WorklistAdjudicate, WorklistResolve, WorklistRelocate]
