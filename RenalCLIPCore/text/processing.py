"""Reports through partition, translation and extraction: one outcome per report, by rules or by a language model.

A report that cannot be used never stops the others; its outcome says why. Only an endpoint that answers nobody stops a
run, and what was answered until then is in the cache.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from typing import Generic, TypeVar

from ..progress import Progress, silent
from .answers import parse_attributes, parse_partition, parse_translation
from .completion import (
    BrokenAnswerError,
    CompletionError,
    CompletionRefusedError,
    CompletionTimeoutError,
    Questioner,
)
from .extraction import Answers, read_answers
from .language import ReportLanguageError, ReportTooLongError, check_length, language
from .partition import PartedReport, SideText, part_report
from .prompts import processing_prompts
from .questionnaire import questionnaire

_Item = TypeVar("_Item")
_Value = TypeVar("_Value")


class Status(StrEnum):
    """How a report fared."""

    DONE = "done"
    NO_KIDNEY = "no kidney"
    EMPTY = "empty"
    TOO_LONG = "too long"
    LANGUAGE = "another language"
    REFUSED = "refused"
    BROKEN = "broken answer"
    TIMED_OUT = "timed out"
    FAILED = "failed"


@dataclass(frozen=True)
class Outcome(Generic[_Value]):
    """What became of a report.

    Attributes:
        status: How it fared.
        value: The result; None unless it is usable (``done``, ``empty``, ``no kidney``).
        message: Why not, without the report's words; empty when done.
    """

    status: Status
    value: _Value | None = None
    message: str = ""


_FAILURES: tuple[tuple[type[Exception], Status], ...] = (
    (ReportTooLongError, Status.TOO_LONG),
    (ReportLanguageError, Status.LANGUAGE),
    (CompletionRefusedError, Status.REFUSED),
    (BrokenAnswerError, Status.BROKEN),
    (CompletionTimeoutError, Status.TIMED_OUT),
    (CompletionError, Status.FAILED),
)


def partition(report: SideText, questioner: Questioner | None = None) -> Outcome[PartedReport]:
    """Part one report of both kidneys, by rules unless a model is given."""
    if report.empty:
        return Outcome(Status.EMPTY, PartedReport(SideText(), SideText()), "The report is empty.")
    return _guarded(lambda: _partition(report, questioner))


def translate(report: SideText, questioner: Questioner) -> Outcome[SideText]:
    """Translate one kidney's text into English; English text stays as it is."""
    if report.empty:
        return Outcome(Status.EMPTY, report, "The report is empty.")
    if language(f"{report.findings} {report.impression}") == "en":
        return Outcome(Status.DONE, report)
    return _guarded(lambda: _translate(report, questioner))


def extract(report: SideText, side: str, questioner: Questioner | None = None) -> Outcome[Answers]:
    """The fourteen answers of one kidney's text, by the English rules unless a model is given.

    Of an empty text nothing is known: its answers are all None.
    """
    if report.empty:
        return Outcome(Status.EMPTY, (None,) * len(questionnaire().questions), "The report is empty.")
    return _guarded(lambda: _extract(report, side, questioner))


def process(
    items: Sequence[_Item],
    step: Callable[[_Item], Outcome[_Value]],
    *,
    workers: int = 1,
    progress: Progress | None = None,
) -> list[Outcome[_Value]]:
    """Outcomes in the order of the items.

    Args:
        items: Reports.
        step: What to do with one.
        workers: Questions under way at once; a rule or a local model has nothing to gain from more than one.
        progress: Called with the fraction done; may raise ``Cancelled``.

    Raises:
        EndpointUnusableError: The endpoint answers nobody.
    """
    report = progress or silent
    outcomes: dict[int, Outcome[_Value]] = {}
    queue = iter(enumerate(items))
    with ThreadPoolExecutor(max(1, workers), thread_name_prefix="report") as pool:
        waiting: dict[Future[Outcome[_Value]], int] = {}
        # No more is handed out than is under way, so that a cancelled run ends soon.
        while True:
            room = max(1, workers) - len(waiting)
            waiting |= {pool.submit(step, item): index for index, item in islice(queue, room)}
            if not waiting:
                return [outcomes[index] for index in range(len(items))]
            done, _ = wait(waiting, return_when=FIRST_COMPLETED)
            for future in done:
                outcomes[waiting.pop(future)] = future.result()
                report(len(outcomes) / len(items), f"report {len(outcomes)} of {len(items)}")


def _guarded(step: Callable[[], Outcome[_Value]]) -> Outcome[_Value]:
    try:
        return step()
    except tuple(kind for kind, _ in _FAILURES) as error:
        status = next(status for kind, status in _FAILURES if isinstance(error, kind))
        return Outcome(status, None, str(error))


def _partition(report: SideText, questioner: Questioner | None) -> Outcome[PartedReport]:
    check_length(report.findings + report.impression)
    if questioner is None:
        parted = part_report(report.findings, report.impression)
    else:
        prompt = processing_prompts().partition.format(findings=report.findings, impression=report.impression)
        parted = questioner.ask(
            "partition", prompt, lambda text: parse_partition(text, report.findings, report.impression)
        )
    if parted.mentions_kidney:
        return Outcome(Status.DONE, parted)
    return Outcome(Status.NO_KIDNEY, parted, "The report speaks of no kidney.")


def _translate(report: SideText, questioner: Questioner) -> Outcome[SideText]:
    check_length(report.findings + report.impression)
    prompt = processing_prompts().translation.format(findings=report.findings, impression=report.impression)
    return Outcome(Status.DONE, questioner.ask("translation", prompt, lambda text: parse_translation(text, report)))


def _extract(report: SideText, side: str, questioner: Questioner | None) -> Outcome[Answers]:
    if questioner is None:
        return Outcome(Status.DONE, read_answers(report.findings, report.impression))
    check_length(report.findings + report.impression)
    prompt = processing_prompts().extraction.format(
        side=side, questions=questionnaire().prompt(), findings=report.findings, impression=report.impression
    )
    return Outcome(Status.DONE, questioner.ask("extraction", prompt, parse_attributes))
