"""Tables on paper: the page's data tables, boxes, and two columns of facts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .page_tree import Node
from .paper_text import LINE, SMALL, paragraph, style

if TYPE_CHECKING:
    from .paper import Paper

_PADDING = 6.0
_SHORTEST, _LONGEST, _LONGEST_HEAD, _LONGEST_WORD = 20.0, 190.0, 105.0, 90.0
_CLASSES = (0.44, 0.27, 0.29)


def data_table(node: Node, paper: Paper) -> Any | None:
    """A table of the page; None where it has no rows."""
    from reportlab.platypus import Table

    rows = [row for part in node.all("thead", "tbody") for row in part.all("tr")]
    heads = [row for part in node.all("thead") for row in part.all("tr")]
    if not rows:
        return None
    count = max(sum(_span(cell) for cell in row.all("th", "td")) for row in rows)
    widths = _widths(rows, count, paper.width)
    cells, spans = [], []
    for line, row in enumerate(rows):
        made: list[Any] = []
        for cell in row.all("th", "td"):
            place, span = len(made), _span(cell)
            made.append(_cell(cell, row in heads, paper.narrow(sum(widths[place : place + span]) - _PADDING)))
            made += [""] * (span - 1)
            spans += [("SPAN", (place, line), (place + span - 1, line))] if span > 1 else []
        cells.append(made + [""] * (count - len(made)))
    table = Table(cells, widths, repeatRows=len(heads), splitInRow=1, hAlign="LEFT")
    table.setStyle([
        ("VALIGN", (0, 0), (-1, -1), "TOP"),
        ("LEFTPADDING", (0, 0), (-1, -1), 0),
        ("RIGHTPADDING", (0, 0), (-1, -1), _PADDING),
        ("TOPPADDING", (0, 0), (-1, -1), 1.5),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 2.5),
        ("LINEBELOW", (0, 0), (-1, -1), 0.4, LINE),
        ("LINEBELOW", (0, 0), (-1, len(heads) - 1), 0.9, "#9aa7b3"),
        *spans,
    ])  # fmt: skip
    return table


def boxed(content: Sequence[Any], width: float, background: str, border: str) -> Any:
    """Flowables in a filled frame, a row each, so that it can break over pages."""
    from reportlab.platypus import Table

    table = Table([[item] for item in content] or [[""]], [width], splitInRow=1)
    table.setStyle([
        ("BACKGROUND", (0, 0), (-1, -1), background),
        ("BOX", (0, 0), (-1, -1), 0.6, border),
        ("TOPPADDING", (0, 0), (-1, -1), 1),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 1),
        ("TOPPADDING", (0, 0), (-1, 0), 4),
        ("BOTTOMPADDING", (0, -1), (-1, -1), 5),
    ])  # fmt: skip
    table.spaceBefore, table.spaceAfter = 4, 6
    return table


def side_by_side(rows: Sequence[tuple[str, str]], width: float) -> Any:
    """Names and values (paragraph markup) in two columns."""
    from reportlab.platypus import Paragraph, Table

    first = 0.24 * width
    cells = [[Paragraph(name, style("quiet")), Paragraph(value, style("small"))] for name, value in rows]
    table = Table(cells, [first, width - first], splitInRow=1, hAlign="LEFT")
    table.setStyle([
        ("VALIGN", (0, 0), (-1, -1), "TOP"),
        ("LEFTPADDING", (0, 0), (-1, -1), 0),
        ("TOPPADDING", (0, 0), (-1, -1), 0.5),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 0.5),
    ])  # fmt: skip
    table.spaceAfter = 4
    return table


def _span(cell: Node) -> int:
    return int(cell.attributes.get("colspan", "1"))


def _cell(cell: Node, is_head: bool, paper: Paper) -> Any:
    grid = next((item for item in cell.elements if "classes" in item.classes), None)
    if grid is not None:
        return _class_grid(grid, paper)
    number = "number" in cell.classes
    kind = ("headnumber" if number else "head") if is_head else ("number" if number else "cell")
    item = paragraph(_bold(cell) if cell.tag == "th" and not is_head else cell, kind)
    return item if item is not None else ""


def _bold(cell: Node) -> Node:
    """A row's head in bold, but for what the page sets in its usual weight."""
    usual = [isinstance(child, Node) and "400" in child.attributes.get("style", "") for child in cell.children]
    children = zip(cell.children, usual, strict=True)
    return Node("th", {}, [child if light else Node("b", {}, [child]) for child, light in children])


def _class_grid(grid: Node, paper: Paper) -> Any:
    """The classes of a component: name, bar, probability."""
    from reportlab.platypus import Table

    rows: list[list[Any]] = []
    for child in grid.elements:
        if child.tag == "svg":
            rows[-1].extend(paper.narrow(_CLASSES[1] * paper.width - 4).figure(child))
        elif rows and len(rows[-1]) == 2:
            rows[-1].append(paragraph(child, "cell") or "")
        else:
            rows.append([paragraph(child, "cell") or ""])
    table = Table(rows, [share * paper.width for share in _CLASSES], hAlign="LEFT")
    table.setStyle([
        ("VALIGN", (0, 0), (-1, -1), "MIDDLE"),
        ("LEFTPADDING", (0, 0), (-1, -1), 0),
        ("RIGHTPADDING", (0, 0), (-1, -1), 3),
        ("TOPPADDING", (0, 0), (-1, -1), 0),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 1),
    ])  # fmt: skip
    return table


def _widths(rows: Sequence[Node], count: int, width: float) -> list[float]:
    """Widths by what stands in the columns: no narrower than the longest word, long texts share what is left."""
    wanted, least = [_SHORTEST] * count, [_SHORTEST] * count
    for row in rows:
        place = 0
        for cell in row.all("th", "td"):
            if _span(cell) == 1:
                whole, word = _text_widths(cell)
                wanted[place] = max(
                    wanted[place], min(_LONGEST_HEAD if cell.tag == "th" else _LONGEST, whole + _PADDING)
                )
                least[place] = max(least[place], min(_LONGEST_WORD, word + _PADDING))
            place += _span(cell)
    scale = min(1.0, width / sum(wanted))
    found = [max(want * scale, low) for want, low in zip(wanted, least, strict=True)]
    over = width / sum(found)
    return [value * over for value in found] if over < 1 or sum(wanted) > 0.8 * width else found


def _text_widths(cell: Node) -> tuple[float, float]:
    """Width of a cell's text in one line, and of its longest word, in bold."""
    from reportlab.pdfbase.pdfmetrics import stringWidth

    if any("classes" in item.classes for item in cell.elements):
        return 1.3 * _LONGEST, _LONGEST_WORD
    words = cell.text().split()
    widths = [stringWidth(word, "DejaVuSans-Bold", SMALL) + 1 for word in words]
    return sum(widths) + 2.5 * len(words), max(widths, default=0.0)
