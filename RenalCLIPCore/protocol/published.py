"""The paper's own figures for a cell, beside ours (``Resources/published``); another population, so no comparison."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from ..errors import CohortError
from ..evaluation.bootstrap import Interval
from ..resources import resources
from .diagnosis import OWN, CellScore
from .evidence import Cell, EvidenceTable, Section, interval_words, slug
from .report_quality import language_scores
from .study_data import ORACLE, StudyData, task_words

RENALCLIP, PREDECESSOR = "renalclip", "predecessor"
# the model that each paper is about, as its file names it
PAPER_MODELS = {RENALCLIP: "RenalCLIP", PREDECESSOR: "Deep learning model"}


@dataclass(frozen=True)
class PublishedFigure:
    """One figure of the paper.

    Attributes:
        cohort: As the paper names it.
        task: A task, ``report``, ``retrieval`` or ``zero-shot <task>``.
        measure: As our tables name it.
        model: As the paper names it.
        words: Value with its interval where the paper states one.
        value: The value.
        source: Table or section of the paper.
    """

    cohort: str
    task: str
    measure: str
    model: str
    words: str
    value: float
    source: str


@lru_cache(maxsize=2)
def published_figures(paper: str = RENALCLIP) -> tuple[PublishedFigure, ...]:
    """All figures of a paper's shipped file."""
    with (resources() / "published" / f"{paper}.csv").open(newline="", encoding="utf-8") as file:
        return tuple(
            PublishedFigure(
                line["cohort"], line["task"], line["measure"], line["model"],
                f"{line['value']} ({line['low']} to {line['high']})" if line["low"] else line["value"],
                float(line["value"]), line["source"],
            )
            for line in csv.DictReader(file)
        )  # fmt: skip


def check_paper_cohorts(names: Mapping[str, str], paper: str = RENALCLIP) -> None:
    """Refuse cohorts that the paper does not have.

    Raises:
        CohortError: A name is unknown.
    """
    known = list(dict.fromkeys(figure.cohort for figure in published_figures(paper)))
    unknown = [name for name in names.values() if name not in known]
    if unknown:
        raise CohortError(f"The paper has no cohort {unknown[0]!r}; it has {', '.join(known)}.")


def published_section(data: StudyData, cells: Sequence[CellScore]) -> Section:
    """Our reference model beside the paper's and the best other model there, cell by cell."""
    rows, records = [], []
    figures, theirs = published_figures(data.settings.paper), PAPER_MODELS[data.settings.paper]
    for cohort, task, measure, words, value in _ours(data, cells):
        paper = data.settings.paper_cohorts.get(cohort)
        there = [f for f in figures if (f.cohort, f.task, f.measure) == (paper, task, measure)]
        first = next((f for f in there if f.model == theirs), None)
        if first is None:
            continue
        other = max((f for f in there if f.model != theirs), key=lambda f: f.value, default=None)
        shown = f"{other.words} ({other.model})" if other else "-"
        rows.append((cohort, str(paper), _task(task), measure, words, first.words, shown, first.source))
        records.append((cohort, paper, task, measure, value, first.value, other.model if other else None,
                        other.value if other else None, first.source))  # fmt: skip
    words_above = (
        "The paper's cohorts are other patients: a difference says nothing about either model. Shown so that the "
        "layout can be read against the paper's.",
    )
    table = EvidenceTable(
        "published",
        "Ours beside the paper's",
        ("Cohort", "Paper's cohort", "Task", "Measure", data.models[0], f"Paper: {theirs}", "Paper: best other model",
         "Source"),
        tuple(rows),
        ("cohort", "paper_cohort", "task", "measure", "value", f"paper_{slug(theirs)}", "paper_best_other_model",
         "paper_best_other", "source"),
        tuple(records),
    )  # fmt: skip
    return Section("published", "The paper's figures", words_above, (), (table,) if rows else ())


def _ours(data: StudyData, cells: Sequence[CellScore]) -> list[tuple[str, str, str, str, Cell]]:
    """Cohort, task, measure, words and value of the reference model, thresholds being each cohort's as in the paper."""
    model = data.models[0]
    found: list[tuple[str, str, str, str, Cell]] = [
        (cell.cohort, cell.task, cell.measure, interval_words(cell.value), cell.value.value if cell.value else None)
        for cell in cells
        if cell.scores.key.model == model != ORACLE and cell.source in ("", OWN)
    ]
    for (cohort, name), pairs in data.reports.items():
        for score in language_scores(data, cohort, name, pairs) if name == model else []:
            value: Interval | None = score.value
            found.append((cohort, "report", score.measure, interval_words(value), value.value if value else None))
    for item in (item for item in data.alignment if item.model in ("", model)):
        task = item.what if item.what == "retrieval" else f"zero-shot {item.what}"
        words = f"{item.value:.3f} ({item.low:.3f} to {item.high:.3f})"
        found.append((item.cohort, task, item.measure, words, item.value))
    return found


def _task(task: str) -> str:
    kind, _, name = task.partition(" ")
    return f"{task_words(name)}, zero-shot" if kind == "zero-shot" else task_words(task)
