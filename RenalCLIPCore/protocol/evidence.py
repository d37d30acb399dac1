"""What a study shows: tables and figures in sections, each as files of its own and all on one page."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..evaluation.bootstrap import Interval
from ..evaluation.figure_style import Picture

Cell = str | int | float | None
TABLES, FIGURES = "tables", "figures"


@dataclass(frozen=True)
class EvidenceTable:
    """One table.

    Attributes:
        name: Stem of its files.
        title: Above it.
        header: Column heads as shown.
        rows: Cells as shown (first column: row heads; a row of one cell is a heading within the table).
        columns: Column names of the CSV file.
        records: Its lines: full numbers, one figure each.
        notes: Below it.
    """

    name: str
    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    columns: tuple[str, ...]
    records: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...] = ()

    def csv_text(self) -> str:
        """The CSV file."""
        file = io.StringIO()
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(self.columns)
        writer.writerows([_csv_cell(cell) for cell in record] for record in self.records)
        return file.getvalue()

    def markdown(self) -> str:
        """The Markdown file."""
        width = len(self.header)
        lines = [f"# {self.title}", "", _line(self.header), "|" + " --- |" * width]
        for row in self.rows:
            cells = (f"**{row[0]}**", *("",) * (width - 1)) if len(row) == 1 else row
            lines.append(_line(cells))
        lines += [text for note in self.notes for text in ("", note)]
        return "\n".join(lines) + "\n"


@dataclass(frozen=True)
class EvidenceFigure:
    """One figure.

    Attributes:
        name: Stem of its files.
        caption: What it shows, in sentences.
        picture: SVG and PNG.
    """

    name: str
    caption: str
    picture: Picture


@dataclass(frozen=True)
class Section:
    """A part of the page.

    Attributes:
        name: Anchor.
        title: Head.
        words: Paragraphs: what is shown and how it was computed.
        tables: Shown in order.
        figures: Shown before the tables.
        folded: Tables that only open on request.
    """

    name: str
    title: str
    words: tuple[str, ...] = ()
    figures: tuple[EvidenceFigure, ...] = ()
    tables: tuple[EvidenceTable, ...] = ()
    folded: tuple[EvidenceTable, ...] = field(default=())

    @property
    def empty(self) -> bool:
        """Whether there is nothing to show but words."""
        return not (self.tables or self.figures or self.folded)


def write_section(section: Section, folder: Path) -> None:
    """Write a section's tables (CSV, Markdown) and figures (SVG, PNG) below a folder."""
    for kind in (TABLES, FIGURES):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    for table in (*section.tables, *section.folded):
        (folder / TABLES / f"{table.name}.csv").write_text(table.csv_text(), encoding="utf-8")
        (folder / TABLES / f"{table.name}.md").write_text(table.markdown(), encoding="utf-8")
    for figure in section.figures:
        (folder / FIGURES / f"{figure.name}.svg").write_text(figure.picture.svg, encoding="utf-8")
        (folder / FIGURES / f"{figure.name}.png").write_bytes(figure.picture.png)


def interval_words(value: Interval | None, digits: int = 3) -> str:
    """``0.841 (0.808 to 0.873)``."""
    return "undefined" if value is None else range_words(value.value, value.low, value.high, digits)


def range_words(value: float, low: float, high: float, digits: int = 3) -> str:
    """A value with its interval; ``undefined`` where it is not a number."""
    if math.isnan(value):
        return "undefined"
    return f"{value:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def ratio_words(value: float, low: float, high: float) -> str:
    """A hazard ratio with its interval."""
    return "not estimable" if math.isnan(value) else f"{_short(value)} ({_short(low)} to {_short(high)})"


def p_words(p: float) -> str:
    """A p value as journals print it."""
    if math.isnan(p):
        return "-"
    if p < 0.001:
        return "< 0.001"
    return f"{p:.3f}" if p < 0.0995 else f"{p:.2f}"


def p_clause(p: float) -> str:
    """``p = 0.031`` or ``p < 0.001``."""
    words = p_words(p)
    return f"p {words}" if words.startswith("<") else f"p = {words}"


def count_words(count: int, total: int) -> str:
    """``62 (62.0)``: number and per cent."""
    return f"{count} ({100 * count / total:.1f})" if total else "0"


def slug(text: str) -> str:
    """A name for files."""
    return "-".join("".join(c if c.isalnum() else " " for c in text.lower()).split())


def _short(value: float) -> str:
    return f"{value:.2f}" if value < 100 else f"{value:.0f}"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def _csv_cell(cell: Cell) -> str | int | float:
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return ""
    return cell
