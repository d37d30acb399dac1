"""The page's elements as flowables on paper: headings, lists, tables, pictures and figures, in the page's order."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from .page_tree import Node, is_shown
from .paper_table import boxed, data_table, side_by_side
from .paper_text import INLINE, markup, paragraph, style
from .svg_drawing import svg_drawing

_GAP = 5.0
_FIGURES_PER_ROW, _MOST_HEIGHT, _MOST_WIDTH = 4, 230.0, 190.0
_SVG_WIDTHS = {"bar": 62.0, "gauge": 235.0, "curve": 330.0, "heat": 130.0}
_LEGEND_WIDTH = 20.0
_JPEG_QUALITY = 88


@dataclass(frozen=True)
class Paper:
    """Lays elements out on a column of ``width`` points on pages of ``height`` points."""

    width: float
    height: float

    def flowables(self, node: Node) -> list[Any]:
        """Flowables of an element's children, in order; running text between blocks becomes paragraphs."""
        found: list[Any] = []
        running: list[Node | str] = []

        def flush() -> None:
            text = paragraph(Node("p", {}, list(running)), "small" if "small" in node.classes else "text")
            running.clear()
            found.extend([text] if text is not None else [])

        for child in node.children:
            if isinstance(child, str) or (child.tag in INLINE and "legend" not in child.classes):
                running.append(child)
                continue
            flush()
            found.extend(self.block(child))
        flush()
        return found

    def block(self, node: Node) -> list[Any]:
        """Flowables of one element."""
        if not is_shown(node):
            return []
        by_class = next((_BY_CLASS[name] for name in _BY_CLASS if name in node.classes), None)
        if by_class is not None:
            return by_class(self, node)
        by_tag = _BY_TAG.get(node.tag)
        return by_tag(self, node) if by_tag is not None else self.flowables(node)

    def narrow(self, width: float) -> Paper:
        """The same on a narrower column."""
        return Paper(width, self.height)

    def banner(self, node: Node) -> list[Any]:
        """The intended use, in a frame."""
        words = [paragraph(child, "banner") for child in node.elements]
        return [boxed([item for item in words if item is not None], self.width, "white", "black")]

    def over(self, node: Node) -> list[Any]:
        """A line of facts, with dots between them."""
        from reportlab.platypus import Paragraph

        parts = [markup(child) for child in node.elements]
        return [Paragraph("  ·  ".join(part for part in parts if part), style("quiet"))]

    def heading(self, node: Node) -> list[Any]:
        """A heading; those of sections have a rule below."""
        from reportlab.lib.colors import HexColor
        from reportlab.platypus import HRFlowable

        text = paragraph(node, node.tag)
        if text is None:
            return []
        rule = HRFlowable("100%", 1.0, color=HexColor("#123f6d"), spaceBefore=0, spaceAfter=4)
        if node.tag == "h2":
            rule.keepWithNext = 1
        return [text, rule] if node.tag == "h2" else [text]

    def text(self, node: Node) -> list[Any]:
        """A paragraph; one with figures in it is taken apart."""
        if node.first("svg") is not None:
            return self.flowables(Node("div", dict(node.attributes), node.children))
        quiet, small = "quiet" in node.classes, "small" in node.classes
        item = paragraph(node, "quiet" if quiet and small else "small" if small else "text")
        return [item] if item is not None else []

    def items(self, node: Node) -> list[Any]:
        """A list, with a dot before each item."""
        from reportlab.platypus import Paragraph

        texts = [markup(item) for item in node.all("li")]
        return [Paragraph(f"•  {text}", style("small")) for text in texts if text]

    def pairs(self, node: Node) -> list[Any]:
        """Definitions: facts in a line each, provenance as two columns."""
        if "headlines" in node.classes:
            return self.headlines(node)
        rows, title = [], ""
        for child in node.all("dt", "dd"):
            if child.tag == "dt":
                title = markup(child)
                continue
            listed = child.first("ul")
            text = "; ".join(markup(item) for item in listed.all("li")) if listed is not None else markup(child)
            rows.append((title, text))
        return [side_by_side(rows, self.width)] if rows else []

    def headlines(self, node: Node) -> list[Any]:
        """The findings at the head of the page, beside one another."""
        from reportlab.platypus import Paragraph, Table

        cells = []
        for item in node.elements:
            name, value, remark = (markup(part) for part in item.elements[:3])
            lines = (name, "quiet"), (f'<font size="13" color="#123f6d"><b>{value}</b></font>', "h3"), (remark, "quiet")
            cells.append([Paragraph(text, style(kind)) for text, kind in lines])
        count = max(len(cells), 1)
        table = Table([cells], [self.width / count] * count)
        table.setStyle([("VALIGN", (0, 0), (-1, -1), "TOP"), ("BOX", (0, 0), (-1, -1), 0.5, "#c9d2da")])
        return [table]

    def checks(self, node: Node) -> list[Any]:
        """What to check first, in a box that can break over pages."""
        return [boxed(self.flowables(node), self.width, "#fdf3e4", "#c98a2b")]

    def report(self, node: Node) -> list[Any]:
        """The report's sections, with their line breaks."""
        found = []
        for child in node.elements:
            item = paragraph(child, child.tag if child.tag == "h4" else "text", keep_lines=child.tag == "p")
            found.extend([item] if item is not None else [])
        return [boxed(found, self.width, "#f3f6f8", "#f3f6f8")]

    def table(self, node: Node) -> list[Any]:
        """A table with its caption; the head is repeated on each page."""
        caption = node.first("caption")
        words = paragraph(caption, "caption") if caption is not None else None
        table = data_table(node, self)
        return [*([words] if words is not None else []), *([table] if table is not None else [])]

    def figure(self, node: Node) -> list[Any]:
        """An inline figure."""
        wide = next((_SVG_WIDTHS[name] for name in _SVG_WIDTHS if name in node.classes), _LEGEND_WIDTH)
        drawing = svg_drawing(node, min(wide, self.width), "DejaVuSans")
        drawing.hAlign = "LEFT"
        return [drawing]

    def legend(self, node: Node) -> list[Any]:
        """Line styles and what they mean, in one row that wraps."""
        from reportlab.platypus import Paragraph, Table

        entries = [(svg_drawing(svg, _LEGEND_WIDTH, "DejaVuSans"), markup(item)) for item, svg in _swatches(node)]
        cells: list[Any] = []
        for drawing, words in entries:
            cells += [drawing, Paragraph(words, style("cell"))]
        if not cells:
            return []
        width = self.width / len(entries)
        table = Table([cells], [_LEGEND_WIDTH + 4, width - _LEGEND_WIDTH - 4] * len(entries))
        table.setStyle([("VALIGN", (0, 0), (-1, -1), "MIDDLE"), ("LEFTPADDING", (0, 0), (-1, -1), 0)])
        return [table]

    def gallery(self, node: Node) -> list[Any]:
        """Pictures in rows of one height, their marks laid over them, captions below."""
        from reportlab.platypus import Table

        figures = [item for item in node.all("figure") if item.first("img") is not None]
        found = []
        per_row = 3 if "evidence" in node.classes else _FIGURES_PER_ROW
        for start in range(0, len(figures), per_row):
            row = figures[start : start + per_row]
            shapes = [_aspect(item) for item in row]
            free = self.width - _GAP * (len(row) - 1)
            high = min(free / sum(shapes), _MOST_HEIGHT, *(_MOST_WIDTH / shape for shape in shapes))
            cells = [_picture(item, shape * high, high) for item, shape in zip(row, shapes, strict=True)]
            table = Table([cells], [shape * high + _GAP for shape in shapes], hAlign="LEFT")
            table.setStyle(_TIGHT)
            found.append(table)
        return found

    def columns(self, node: Node) -> list[Any]:
        """Two panels beside each other where both are short; else one below the other."""
        from reportlab.platypus import Table

        panels = [child for child in node.elements if is_shown(child)]
        if "apart" in node.classes or len(panels) != 2:
            return [item for panel in panels for item in self.block(panel)]
        half = self.narrow((self.width - 4 * _GAP) / 2)
        cells = [half.block(panel) for panel in panels]
        heights = [sum(item.wrap(half.width, self.height)[1] for item in cell) for cell in cells]
        if max(heights) > 0.5 * self.height:
            return [item for panel in panels for item in self.block(panel)]
        table = Table([cells], [half.width + 2 * _GAP] * 2, hAlign="LEFT")
        table.setStyle(_TIGHT)
        return [table]

    def absent(self, node: Node) -> list[Any]:
        """What is not in the review, after a thin rule."""
        from reportlab.lib.colors import HexColor
        from reportlab.platypus import HRFlowable

        return [HRFlowable("100%", 0.5, color=HexColor("#c9d2da"), spaceBefore=4, spaceAfter=3), *self.flowables(node)]


_Maker = Callable[[Paper, Node], list[Any]]
_TIGHT = [
    ("VALIGN", (0, 0), (-1, -1), "TOP"),
    ("LEFTPADDING", (0, 0), (-1, -1), 0),
    ("RIGHTPADDING", (0, 0), (-1, -1), _GAP),
    ("TOPPADDING", (0, 0), (-1, -1), 1),
    ("BOTTOMPADDING", (0, 0), (-1, -1), 3),
]
_BY_CLASS: dict[str, _Maker] = {
    "banner": Paper.banner,
    "over": Paper.over,
    "checks": Paper.checks,
    "report": Paper.report,
    "legend": Paper.legend,
    "gallery": Paper.gallery,
    "columns": Paper.columns,
    "absent": Paper.absent,
}
_BY_TAG: dict[str, _Maker] = {
    **dict.fromkeys(("h1", "h2", "h3", "h4"), Paper.heading),
    "p": Paper.text,
    "ul": Paper.items,
    "dl": Paper.pairs,
    "table": Paper.table,
    "svg": Paper.figure,
}


def _swatches(node: Node) -> Iterable[tuple[Node, Node]]:
    for item in node.elements:
        svg = item.first("svg")
        if svg is not None:
            yield item, svg


def _aspect(figure: Node) -> float:
    image = figure.first("img")
    assert image is not None
    return int(image.attributes["width"]) / max(int(image.attributes["height"]), 1)


def _picture(figure: Node, width: float, height: float) -> list[Any]:
    from reportlab.platypus import Image

    caption = figure.first("figcaption")
    words = paragraph(caption, "quiet") if caption is not None else None
    stacked = [image.attributes["src"] for image in figure.all("img")]
    return [Image(_laid_over(stacked), width, height), *([words] if words is not None else [])]


def _laid_over(sources: list[str]) -> io.BytesIO:
    """A picture with the transparent ones after it laid over it."""
    from PIL import Image

    images: list[Any] = []
    for source in sources:
        with Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))) as image:
            images.append(image.convert("RGBA" if images else "RGB"))
    for marks in images[1:]:
        images[0].paste(marks.resize(images[0].size), (0, 0), marks.resize(images[0].size))
    target = io.BytesIO()
    images[0].save(target, "JPEG", quality=_JPEG_QUALITY)
    target.seek(0)
    return target
