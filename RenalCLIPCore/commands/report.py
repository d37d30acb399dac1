"""``renalclip report``: reports parted into kidneys, translated, read, and put into a cohort.

Rules read on this machine by default. A report leaves the machine only where --endpoint names an address.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from .report_evaluation import ReportEvaluate

if TYPE_CHECKING:
    from ..cohort.table import CohortRow
    from ..text.completion import Questioner
    from ..text.processing import Outcome

KEY_VARIABLE = "RENALCLIP_API_KEY"


@dataclass(frozen=True)
class _Model:
    """Which language model to ask, if any."""

    endpoint: str | None
    model: str | None
    local_model: Path | None
    cache: Path | None
    workers: int
    timeout: float
    allow_http: bool

    @staticmethod
    def add_model_arguments(parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        group = parser.add_argument_group("language model (default: rules on this machine)")
        group.add_argument("--endpoint", metavar="URL", help=f"OpenAI-compatible address; its key from {KEY_VARIABLE}")
        group.add_argument("--model", metavar="NAME", help="name of the model at the endpoint")
        group.add_argument("--local-model", type=Path, metavar="DIR", help="folder of a model to run here")
        group.add_argument("--cache", type=Path, metavar="DIR", help="keep answers here for later runs")
        group.add_argument("--workers", type=int, default=4, help="questions to the endpoint at once (default: 4)")
        group.add_argument("--timeout", type=float, default=120.0, help="seconds for one answer (default: 120)")
        group.add_argument("--allow-http", action="store_true", help="send reports unencrypted to another machine")

    def questioner(self) -> Questioner | None:
        """What asks the model, None for the rules."""
        import os

        from ..errors import ConfigurationError
        from ..text.answer_cache import AnswerCache
        from ..text.completion import Completer, Questioner
        from ..text.endpoint import Endpoint
        from ..text.local_model import LocalModel

        if self.workers < 1 or not self.timeout > 0:
            raise ConfigurationError("At least one worker and a timeout above 0 s are wanted.")
        if self.endpoint and self.local_model:
            raise ConfigurationError("Give either --endpoint or --local-model.")
        if bool(self.endpoint) != bool(self.model):
            raise ConfigurationError("--endpoint and --model belong together.")
        completer: Completer
        if self.endpoint and self.model:
            key = os.environ.get(KEY_VARIABLE)
            completer = Endpoint(self.endpoint, self.model, key=key, timeout_s=self.timeout, allow_http=self.allow_http)
        elif self.local_model:
            completer = LocalModel(self.local_model)
        else:
            return None
        return Questioner(completer, AnswerCache(self.cache) if self.cache else None)

    def process(self, items: Sequence[Any], step: Callable[[Any], Outcome[Any]]) -> list[Outcome[Any]]:
        """Outcomes of the items, with a line of progress."""
        from ..progress import ProgressLine
        from ..text.processing import process

        line = ProgressLine()
        outcomes = process(items, step, workers=self.workers if self.endpoint else 1, progress=line)
        line(1.0, "")
        return outcomes


@dataclass(frozen=True)
class ReportPartition(_Model):
    """Part whole reports into the left and the right kidney.

    Reads a CSV with the columns patient, findings and impression; writes a table with a row per patient and side.
    """

    name: ClassVar[str] = "report partition"
    reports: Path
    out: Path

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument("--reports", type=Path, required=True, metavar="CSV", help="whole reports")
        parser.add_argument("--out", type=Path, required=True, metavar="CSV", help="table of kidneys to write")
        _Model.add_model_arguments(parser)

    def run(self) -> None:
        """Part, write, say how it went."""
        from ..cohort.reports import kidney_rows
        from ..text.partition import SIDES, SideText
        from ..text.processing import partition
        from ..text.report_table import read_report_table

        reports = read_report_table(self.reports)
        asker = self.questioner()
        texts = [SideText(report.findings, report.impression) for report in reports]
        outcomes = self.process(texts, lambda text: partition(text, asker))
        rows: list[CohortRow] = []
        for report, outcome in zip(reports, outcomes, strict=True):
            if outcome.value is not None:
                rows += kidney_rows(report.patient, {side: outcome.value.side(side) for side in SIDES})
        _write(
            self.out, rows, [(report.patient, "", outcome) for report, outcome in zip(reports, outcomes, strict=True)]
        )


@dataclass(frozen=True)
class _OfTable(_Model):
    """What commands share that read the reports of a table and write a table."""

    table: Path
    out: Path

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument("--table", type=Path, required=True, metavar="CSV", help="cohort table or parted reports")
        parser.add_argument("--out", type=Path, required=True, metavar="CSV", help="table to write")
        _Model.add_model_arguments(parser)


@dataclass(frozen=True)
class ReportTranslate(_OfTable):
    """Translate the reports of a table into English, by an endpoint or a local model."""

    name: ClassVar[str] = "report translate"

    def run(self) -> None:
        """Translate, write, say how it went; a row that was not translated loses its text rather than keep another."""
        from ..cohort.reports import side_text
        from ..cohort.table import read_cohort
        from ..errors import ConfigurationError
        from ..text.partition import SideText
        from ..text.processing import translate

        asker = self.questioner()
        if asker is None:
            raise ConfigurationError("Translation needs a language model: --endpoint and --model, or --local-model.")
        rows = read_cohort(self.table)
        outcomes = self.process([side_text(row) for row in rows], lambda text: translate(text, asker))
        done: list[CohortRow] = []
        for row, outcome in zip(rows, outcomes, strict=True):
            text = outcome.value or SideText()
            done.append(replace(row, findings=text.findings, impression=text.impression))
        _write(self.out, done, _named(rows, outcomes))


@dataclass(frozen=True)
class ReportExtract(_OfTable):
    """Answer the fourteen questions about the renal mass from the reports of a table."""

    name: ClassVar[str] = "report extract"

    def run(self) -> None:
        """Read, write, say how it went; a report that could not be read leaves its answers empty."""
        from ..cohort.reports import side_text
        from ..cohort.table import ATTRIBUTES, read_cohort
        from ..text.processing import extract

        rows = read_cohort(self.table)
        asker = self.questioner()
        outcomes = self.process(rows, lambda row: extract(side_text(row), row.side, asker))
        answered = [
            replace(row, attributes=outcome.value or (None,) * ATTRIBUTES)
            for row, outcome in zip(rows, outcomes, strict=True)
        ]
        _write(self.out, answered, _named(rows, outcomes))


@dataclass(frozen=True)
class ReportAttach:
    """Put the reports and answers of one table into a cohort, by patient and side."""

    name: ClassVar[str] = "report attach"
    reports: Path
    cohort: Path
    out: Path

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument("--reports", type=Path, required=True, metavar="CSV", help="parted, read reports")
        parser.add_argument("--cohort", type=Path, required=True, metavar="CSV", help="cohort to complete")
        parser.add_argument("--out", type=Path, required=True, metavar="CSV", help="cohort to write")

    def run(self) -> None:
        """Attach and write."""
        from ..cohort.reports import attach_reports
        from ..cohort.table import read_cohort, write_cohort_table

        cohort = read_cohort(self.cohort)
        rows, count = attach_reports(cohort, read_cohort(self.reports))
        _check_folder(self.out)
        write_cohort_table(rows, self.out)
        print(f"{self.out}: {count} of {len(rows)} rows have a report")


def _named(rows: Sequence[CohortRow], outcomes: Sequence[Outcome[Any]]) -> list[tuple[str, str, Outcome[Any]]]:
    return [(row.patient, row.side, outcome) for row, outcome in zip(rows, outcomes, strict=True)]


def _write(out: Path, rows: Sequence[CohortRow], outcomes: list[tuple[str, str, Outcome[Any]]]) -> None:
    """Write the table, and what became of each report beside it."""
    from ..cohort.reports import summary, write_outcomes
    from ..cohort.table import write_cohort_table
    from ..errors import CohortError

    words = summary(outcome for _, _, outcome in outcomes)
    if not rows:
        raise CohortError(f"None of the reports could be used ({words}); nothing was written.")
    _check_folder(out)
    write_outcomes(out.with_suffix(".outcomes.csv"), outcomes)
    write_cohort_table(rows, out)
    print(f"{out}: {words}")


def _check_folder(out: Path) -> None:
    from ..errors import OutputError

    if not out.parent.is_dir():
        raise OutputError(f"The folder of {out.name} does not exist; make it first.")


COMMANDS: list[type] = [ReportPartition, ReportTranslate, ReportExtract, ReportAttach, ReportEvaluate]
