"""What a worklist yields: agreement of its readers, the cohort table for training; and the log's commands."""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from .worklist import _add_by, _add_database, _opened

if TYPE_CHECKING:
    from ..cohort.table import CohortRow
    from ..evaluation.bootstrap import Interval
    from ..reading.disagreement import Agreed
    from ..reading.records import Assignment, Reading
    from ..review import Point

_QUALITIES = ("poor", "accurate")


@dataclass(frozen=True)
class WorklistReport:
    """Say how well readers agree: weighted kappa, distances between points, times, and the cases to adjudicate.

    Readers are compared in pairs over the cases that both finished, without and with predictions apart, and each
    reader with herself or himself between the two. Intervals are 95 % bootstrap intervals over patients.
    """

    name: ClassVar[str] = "worklist report"
    db: str
    tolerance_mm: float
    resamples: int
    seed: int
    json: bool

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        add = parser.add_argument
        _add_database(parser)
        add("--tolerance-mm", type=float, default=10.0, help="points farther apart disagree (default: 10)")
        add("--resamples", type=int, default=1000, help="of the bootstrap (default: 1000)")
        add("--seed", type=int, default=0, help="of the bootstrap (default: 0)")
        add("--json", action="store_true", help="print JSON")

    def run(self) -> None:
        """Compare and print."""
        import json

        from ..errors import ConfigurationError
        from ..reading.disagreement import disagreements
        from ..reading.saving import adjudications
        from ..reading.worklist import assignments, cases

        if not (self.resamples > 0 and self.seed >= 0 and self.tolerance_mm > 0):
            raise ConfigurationError("Resamples and tolerance are above 0, the seed is 0 or more.")
        with _opened(self.db) as database:
            items, decided = assignments(database), adjudications(database)
            patients = {case.name: case.patient for case in cases(database)}
            questions = {name: len(classes) for name, classes in database.facts()["questions"].items()}
        agreement = [row for pair in _pairs(items) for row in self._compare(pair, questions, patients)]
        found = {
            "readers": _reader_rows(items),
            "agreement": agreement,
            "times": _time_rows(items),
            "disagreements": [
                {**asdict(one), "predictions": words, "adjudicated": one.case in decided}
                for words, with_ai in (("without", False), ("with", True))
                for one in disagreements(items, self.tolerance_mm, with_ai=with_ai)
            ],
        }
        print(json.dumps(found, indent=1, ensure_ascii=False) if self.json else _text(found))

    def _compare(
        self, pair: _Pair, questions: Mapping[str, int], patients: Mapping[str, str]
    ) -> Iterable[dict[str, Any]]:
        """Rows of a pair of readers: one per question that both answered, the quality and the points."""
        from ..evaluation.observers import point_agreement, weighted_kappa

        options = {"resamples": self.resamples, "seed": self.seed}
        for name, count in {**questions, "quality": len(_QUALITIES)}.items():
            both = [(case, *pair.answers(case, name)) for case in pair.cases]
            known = [(patients[case], one, two) for case, one, two in both if one is not None and two is not None]
            if known:
                owners, firsts, seconds = (list(values) for values in zip(*known, strict=True))
                kappa = _defined(partial(weighted_kappa, firsts, seconds, count, owners, **options))
                equal = sum(one == two for _, one, two in known) / len(known)
                yield {**pair.words, "of": name, "cases": len(known), "equal": equal, "kappa": kappa}
        points = [(patients[case], *pair.points(case)) for case in pair.cases]
        placed = [(owner, one, two) for owner, one, two in points if one and two]
        if placed:
            owners, here, there = (list(values) for values in zip(*placed, strict=True))
            far = point_agreement(here, there, owners, tolerance_mm=self.tolerance_mm, **options)
            yield {**pair.words, "of": "point", **asdict(far)}


@dataclass(frozen=True)
class _Pair:
    """Finished readings of two readers, or of one in two modes, by case."""

    words: Mapping[str, str]
    first: Mapping[str, Assignment]
    second: Mapping[str, Assignment]

    @property
    def cases(self) -> list[str]:
        """Cases that both finished."""
        return [case for case in self.first if case in self.second]

    def answers(self, case: str, name: str) -> tuple[int | None, int | None]:
        """What both answer to a question, or say of the segmentation's quality."""
        one, two = (_class(side[case].reading, name) for side in (self.first, self.second))
        return one, two

    def points(self, case: str) -> tuple[Point | None, Point | None]:
        """The points of both."""
        return self.first[case].reading.point_lps_mm, self.second[case].reading.point_lps_mm


@dataclass(frozen=True)
class WorklistExport:
    """Write what was read as the cohort table that training reads.

    A case's centre and labels are the adjudicated ones, else those that all its readers agree on (points within the
    tolerance: their mean). Where the segmentation was found poor the row names no label map. What is not agreed on
    and not adjudicated is left as it was in the cohort, and counted.
    """

    name: ClassVar[str] = "worklist export"
    db: str
    cohort: Path
    out: Path
    tolerance_mm: float
    agreed_only: bool
    leave_out_flagged: bool

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        add = parser.add_argument
        _add_database(parser)
        add("--cohort", type=Path, required=True, help="cohort table that the worklist was made from")
        add("--out", type=Path, required=True, help="cohort table to write")
        add("--tolerance-mm", type=float, default=10.0, help="points farther apart disagree (default: 10)")
        add("--agreed-only", action="store_true", help="leave out cases that nobody finished or that are not agreed on")
        add("--leave-out-flagged", action="store_true", help="leave out flagged cases")

    def run(self) -> None:
        """Merge and write."""
        from ..cohort.table import read_cohort, write_cohort_table
        from ..errors import WorklistError
        from ..reading.disagreement import agreed
        from ..reading.saving import adjudications
        from ..reading.worklist import assignments

        rows = read_cohort(self.cohort)
        with _opened(self.db) as database:
            found = agreed(assignments(database), adjudications(database), self.tolerance_mm)
        unknown = set(found) - {row.case_id for row in rows}
        if unknown:
            raise WorklistError(
                f"{len(unknown)} cases that were read are not in this cohort; name the one they came from."
            )
        kept = [_merged(row, found.get(row.case_id)) for row in rows if self._wants(found.get(row.case_id))]
        if not kept:
            raise WorklistError("No case is left to write: none is finished and agreed on.")
        write_cohort_table(kept, self.out)
        unsettled = sum(bool(item.open) for item in found.values())
        print(f"{len(kept)} rows, {len(found)} of them read; {unsettled} not agreed on; wrote {self.out}")

    def _wants(self, item: Agreed | None) -> bool:
        if self.agreed_only and (item is None or item.open):
            return False
        return not (self.leave_out_flagged and item is not None and item.reading.flagged)


@dataclass(frozen=True)
class AuditVerify:
    """Check that the log of a worklist is what was written: every entry, their order, their number."""

    name: ClassVar[str] = "audit verify"
    db: str
    noted: str

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        _add_database(parser)
        parser.add_argument("--noted", default="", metavar="HASH", help="hash that an earlier check printed")

    def run(self) -> None:
        """Check; the hash of the last entry is worth noting elsewhere."""
        from ..reading.audit import verify

        with _opened(self.db) as database:
            head = verify(database, self.noted)
        print(f"{head.sequence} entries, unbroken; hash of the last one: {head.hash}")


@dataclass(frozen=True)
class AuditShow:
    """Print the log, or what it says of one case, as tab-separated lines."""

    name: ClassVar[str] = "audit show"
    db: str
    case: str

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        _add_database(parser)
        parser.add_argument("--case", default="", help="only of this case")

    def run(self) -> None:
        """Print."""
        from ..reading.audit import entries
        from ..reading.changed import changed_fields

        with _opened(self.db) as database:
            found = entries(database, self.case)
        for item in found:
            entry = item.entry
            for name, before, after in changed_fields(entry):
                print(
                    item.sequence, item.at, entry.by or "-", entry.action, entry.case or "-", name, before, after,
                    f"{entry.model} {entry.model_sha256[:12]}".strip() or "-", item.core_version, sep="\t",
                )  # fmt: skip


@dataclass(frozen=True)
class AuditRecord:
    """Put what a person changed in a review into the log: centres, report sentences, verdicts.

    With --before, an earlier review of the same study, also masks and predictions that differ, with their models.
    """

    name: ClassVar[str] = "audit record"
    db: str
    review: Path
    before: Path | None
    case: str
    by: str

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        _add_database(parser)
        parser.add_argument("review", type=Path, help="review.json")
        parser.add_argument("--before", type=Path, metavar="REVIEW", help="the review before the changes")
        parser.add_argument("--case", required=True, help="name of the case in the worklist")
        _add_by(parser)

    def run(self) -> None:
        """Compare and record."""
        from ..errors import InputError
        from ..reading.audit import record
        from ..reading.changed import review_entries
        from ..review import ReviewFormatError, read_review

        try:
            after = read_review(self.review)
            before = read_review(self.before) if self.before else None
        except (OSError, ReviewFormatError) as error:
            raise InputError("A review cannot be read; give review.json as renalclip review writes it.") from error
        entries = review_entries(before, after, case=self.case, by=self.by)
        with _opened(self.db) as database:
            head = record(database, entries)
        print(f"{len(entries)} changes recorded; the log has {head.sequence} entries")


def _class(reading: Reading, name: str) -> int | None:
    if name == "quality":
        return _QUALITIES.index(reading.quality) if reading.quality in _QUALITIES else None
    return reading.answers.get(name)


def _pairs(items: Sequence[Assignment]) -> list[_Pair]:
    done: dict[tuple[str, bool], dict[str, Assignment]] = {}
    for item in items:
        if item.reading.finished and item.reader:
            done.setdefault((item.reader, item.with_ai), {})[item.case] = item
    pairs = []
    for (one, first), (two, second) in itertools.combinations(done.items(), 2):
        if one[1] == two[1]:
            mode = "with" if one[1] else "without"
            pairs.append(_Pair({"first": one[0], "second": two[0], "predictions": mode}, first, second))
        elif one[0] == two[0]:
            words = {"first": one[0], "second": two[0], "predictions": "without and with"}
            pairs.append(_Pair(words, *((second, first) if one[1] else (first, second))))
    return [pair for pair in pairs if pair.cases]


def _reader_rows(items: Sequence[Assignment]) -> list[dict[str, Any]]:
    rows = []
    for reader, with_ai in sorted({(item.reader, item.with_ai) for item in items}):
        mine = [item for item in items if (item.reader, item.with_ai) == (reader, with_ai)]
        done = [item for item in mine if item.reading.finished]
        seconds = sorted(item.seconds for item in done)
        rows.append(
            {
                "reader": reader or "(shared)",
                "predictions": "with" if with_ai else "without",
                "cases": len(mine),
                "finished": len(done),
                "poor": sum(item.reading.quality == "poor" for item in done),
                "flagged": sum(item.reading.flagged for item in mine),
                "conflicts": sum(item.conflicts for item in mine),
                "median_seconds": seconds[len(seconds) // 2] if seconds else None,
            }
        )
    return rows


def _time_rows(items: Sequence[Assignment]) -> list[dict[str, Any]]:
    from ..evaluation.readers import reading_times

    rows = []
    for pair in _pairs(items):
        if pair.words["predictions"] == "without and with":
            times = [[side[case].seconds for case in pair.cases] for side in (pair.first, pair.second)]
            rows.append({"reader": pair.words["first"], **asdict(reading_times(*times))})
    return rows


def _defined(measure: Callable[[], Interval]) -> dict[str, float] | None:
    from ..errors import UndefinedMeasureError

    try:
        return asdict(measure())
    except UndefinedMeasureError:
        return None


def _text(found: Mapping[str, Any]) -> str:
    lines = ["reader\tpredictions\tcases\tfinished\tpoor\tflagged\tconflicts\tmedian seconds"]
    lines += ["\t".join("-" if value is None else str(value) for value in row.values()) for row in found["readers"]]
    lines += ["", "first\tsecond\tpredictions\tof\tcases\tagreement"]
    for row in found["agreement"]:
        head = [row["first"], row["second"], row["predictions"], row["of"], str(row["cases"])]
        lines.append("\t".join([*head, _point_words(row) if row["of"] == "point" else _kappa_words(row)]))
    for row in found["times"]:
        lines.append(
            f"{row['reader']}: median {row['without']:.0f} s without, {row['with_model']:.0f} s with predictions "
            f"({row['cases']} cases, Wilcoxon p = {row['p']:.3f})"
        )
    open_cases = [row for row in found["disagreements"] if not row["adjudicated"]]
    lines += ["", f"{len(found['disagreements'])} disagreements, {len(open_cases)} to adjudicate"]
    lines += [
        f"{row['case']}\t{row['predictions']}\t{', '.join(row['about'])}"
        + ("" if row["distance_mm"] is None else f"\t{row['distance_mm']:.1f} mm")
        for row in open_cases
    ]
    return "\n".join(lines)


def _kappa_words(row: Mapping[str, Any]) -> str:
    kappa = row["kappa"]
    words = "undefined" if kappa is None else f"{kappa['value']:.2f} ({kappa['low']:.2f} to {kappa['high']:.2f})"
    return f"weighted kappa {words}, equal {100 * row['equal']:.0f} %"


def _point_words(row: Mapping[str, Any]) -> str:
    mean, within = row["mean_mm"], row["within"]
    return (
        f"mean {mean['value']:.1f} mm ({mean['low']:.1f} to {mean['high']:.1f}), median {row['median_mm']:.1f}, "
        f"largest {row['largest_mm']:.1f}; within the tolerance {100 * within['value']:.0f} %"
    )


def _merged(row: CohortRow, item: Agreed | None) -> CohortRow:
    if item is None:
        return row
    reading = item.reading
    return replace(
        row,
        centre_lps_mm=reading.point_lps_mm or row.centre_lps_mm,
        label_map=None if reading.quality == "poor" else row.label_map,
        labels={**row.labels, **reading.answers},
    )


COMMANDS = [WorklistReport, WorklistExport, AuditVerify, AuditShow, AuditRecord]
