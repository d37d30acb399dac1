"""The whole evaluation: sections in the papers' order, their files, and one page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import CohortError
from ..output import staged
from ..progress import Progress, silent
from .ablations import ablation_sections
from .alignment_scores import AlignmentScore
from .baseline import baseline_section
from .diagnosis import BY_CONSTRUCTION, SCORE_COLUMNS, CellScore, diagnosis_sections, measured
from .evaluation_page import PAGE, PageHead, render_page
from .evidence import Cell, EvidenceTable, Section, interval_words, range_words, write_section
from .predecessor import clinical_section, comparator_section
from .predecessor_prognosis import prognosis_section
from .prognosis import aggressiveness_section, endpoint_section
from .published import PREDECESSOR, published_section
from .reader_study import reader_sections
from .report_quality import report_section
from .study_data import ORACLE, StudyData, task_words
from .subgroups import subgroup_section
from .task_measures import main_measure

Step = Callable[[], list[Section]]


@dataclass(frozen=True)
class StudyResult:
    """What was found.

    Attributes:
        sections: In order; none empty.
        cells: Every measure of every model and task, for a summary.
    """

    sections: tuple[Section, ...]
    cells: tuple[CellScore, ...]


def evaluate_study(data: StudyData, *, progress: Progress = silent) -> StudyResult:
    """Compute everything that the tables given allow.

    Args:
        data: Cohorts, scores, reports, readings.
        progress: Told of every step; may raise ``Cancelled``.

    Raises:
        CohortError: There is nothing to evaluate.
    """
    if not data.evaluated_cohorts() and not data.reports and not data.alignment:
        raise CohortError(f"Nothing is of the split {data.settings.split!r}; give --split, or other predictions.")
    cells = _cells(data, progress)
    sections: list[Section] = []
    steps = _steps(data, cells)
    for number, (words, step) in enumerate(steps):
        progress(0.35 + 0.6 * number / len(steps), words)
        sections += [section for section in step() if not section.empty]
    progress(1.0, "")
    return StudyResult(tuple(sections), tuple(cells))


def write_study(result: StudyResult, head: PageHead, folder: Path) -> Path:
    """Write tables (CSV, Markdown), figures (SVG, PNG) and the page, all or nothing; the result is the page's path.

    Raises:
        OutputError: The folder cannot be written.
    """
    with staged(folder, last=PAGE) as stage:
        for section in result.sections:
            write_section(section, stage)
        (stage / PAGE).write_text(render_page(result.sections, head), encoding="utf-8")
    return folder / PAGE


def alignment_section(scores: Sequence[AlignmentScore]) -> Section:
    """Retrieval and zero-shot reading, as :mod:`.alignment_scores` finds them."""
    parts = {
        "retrieval": ("Cross-modal retrieval", [s for s in scores if s.what == "retrieval"], "Chance"),
        "zero-shot": ("Zero-shot reading", [s for s in scores if s.what != "retrieval"], "Oracle"),
    }
    tables = [_alignment_table(name, *part) for name, part in parts.items() if part[1]]
    words = (
        "Retrieval: share of the queries whose own report (or CT) is among the first one, three or five of the "
        "gallery; ties count against the model. Zero-shot: AUROC of the largest similarity over each class's prompts, "
        "with a bootstrap interval; and the mean over 1000 draws of one prompt per class, with their spread.",
    )
    return Section("alignment", "Retrieval and zero-shot reading", words, (), tuple(tables))


def _cells(data: StudyData, progress: Progress) -> list[CellScore]:
    places = [(task, cohort) for task in (*data.tasks(), *data.endpoints()) for cohort in data.evaluated_cohorts()]
    cells: list[CellScore] = []
    for number, (task, cohort) in enumerate(places):
        progress(0.35 * number / len(places), f"{task_words(task)}, {cohort}")
        cells += measured(data, task, cohort)
    return cells


def _steps(data: StudyData, cells: Sequence[CellScore]) -> list[tuple[str, Step]]:
    survival: list[tuple[str, Step]] = [
        (task_words(name).lower(), lambda name=name: [endpoint_section(data, cells, name)])  # type: ignore[misc]
        for name in data.endpoints()
    ]
    second: list[tuple[str, Step]] = [
        ("comparators", lambda: [comparator_section(data)]),
        ("clinical subgroups", lambda: [clinical_section(data)]),
        ("aggressiveness score", lambda: [prognosis_section(data)]),
    ]
    return [
        ("summary", lambda: [_summary(data, cells)]),
        ("cohorts", lambda: [baseline_section(data)]),
        *(second if data.settings.paper == PREDECESSOR else ()),
        ("curves", lambda: diagnosis_sections(data, cells)),
        *survival,
        ("predicted aggressiveness", lambda: [aggressiveness_section(data)]),
        ("retrieval", lambda: [alignment_section(data.alignment)]),
        ("reports", lambda: [report_section(data)]),
        ("phases and labels", lambda: ablation_sections(data)),
        ("subgroups", lambda: [subgroup_section(data)] if data.scores else []),
        ("readers", lambda: reader_sections(data)),
        ("the paper's figures", lambda: [published_section(data, cells)] if data.scores else []),
    ]


def _summary(data: StudyData, cells: Sequence[CellScore]) -> Section:
    """Main measure of every task for the reference model, cohorts side by side."""
    cohorts = data.evaluated_cohorts()
    rows: list[tuple[str, ...]] = []
    records: list[tuple[Cell, ...]] = []
    for task in (*data.tasks(), *data.endpoints()):
        here = {(c.cohort, c.scores.key.model): c for c in cells if (c.task, c.measure) == (task, main_measure(task))}
        row, oracles = [task_words(task), main_measure(task)], []
        for cohort in cohorts:
            mine, best = here.get((cohort, data.models[0])), here.get((cohort, ORACLE))
            row.append(interval_words(mine.value) if mine else "-")
            exact = BY_CONSTRUCTION if data.of_phantoms and task.startswith("renal_") else "-"
            oracles.append(f"{best.value.value:.3f}" if best and best.value else exact)
            records += [cell.record() for cell in (mine, best) if cell]
        rows.append(tuple(row))
        if set(oracles) != {"-"}:
            rows.append((" Oracle", "", *oracles))
    if not rows:
        return Section("summary", "Summary")
    table = EvidenceTable("summary", f"{data.models[0]}: main measure of every task", ("Task", "Measure", *cohorts),
                          tuple(rows), SCORE_COLUMNS, tuple(records))  # fmt: skip
    return Section("summary", "Summary", (), (), (table,))


def _alignment_table(name: str, title: str, scores: Sequence[AlignmentScore], reference: str) -> EvidenceTable:
    orders = [list(dict.fromkeys(getattr(s, part) for s in scores)) for part in ("cohort", "what", "measure")]
    # the models of one figure below one another
    scores = sorted(
        scores, key=lambda s: [o.index(v) for o, v in zip(orders, (s.cohort, s.what, s.measure), strict=True)]
    )
    rows = [
        (s.cohort, "-" if s.what == "retrieval" else task_words(s.what), s.measure, s.model or "-", str(s.cases),
         range_words(s.value, s.low, s.high), "-" if s.reference != s.reference else f"{s.reference:.3f}")
        for s in scores
    ]  # fmt: skip
    columns = ("cohort", "what", "measure", "model", "cases", "value", "low", "high", reference.lower())
    records = [(s.cohort, s.what, s.measure, s.model, s.cases, s.value, s.low, s.high, s.reference) for s in scores]
    head = ("Cohort", "Task", "Measure", "Model", "Cases", "Value (95 % interval)", reference)
    return EvidenceTable(name, title, head, tuple(rows), columns, tuple(records))
