"""Running text of the page as paragraph markup for paper: classes to fonts and colours, Chinese in a Chinese font."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from .page_tree import Node, is_shown

if TYPE_CHECKING:
    from reportlab.lib.styles import ParagraphStyle
    from reportlab.platypus import Paragraph

INK, QUIET, ACCENT, WARN, GOOD, LINE = "#1c2733", "#5b6875", "#123f6d", "#8a4200", "#0b6b4f", "#c9d2da"
SIZE, SMALL = 8.4, 7.4
STANDARD_CHINESE = "STSong-Light"  # no PDF holds it; those who read the PDF may have one for it
_chinese: ContextVar[str] = ContextVar("font for Chinese", default=STANDARD_CHINESE)
INLINE = {"span", "strong", "b", "em", "a", "br"}
_SIZES = {"big": 14.0, "value": 13.0, "letter": 10.0, "small": SMALL, "quiet": 0.0}
_COLOURS = {"quiet": QUIET, "tag": WARN, "agree": GOOD, "letter": ACCENT, "big": ACCENT, "value": ACCENT}
_BOLD = {"big", "value", "letter", "chosen", "tag"}
_EAST_ASIAN = re.compile("[\u2e80-\u9fff\uf900-\ufaff\ufe30-\ufe4f\uff00-\uffef]+")
_SPACE = re.compile(r"[ \t\r\n\f]+")


@cache
def style(name: str) -> ParagraphStyle:
    """A paragraph style: ``text``, ``small``, ``cell``, ``number``, ``head``, ``caption``, ``h1`` to ``h4``."""
    from reportlab.lib.colors import HexColor
    from reportlab.lib.styles import ParagraphStyle

    base = {
        "fontName": "DejaVuSans",
        "fontSize": SIZE,
        "leading": 1.34 * SIZE,
        "textColor": HexColor(INK),
        "splitLongWords": 1,
        "spaceAfter": 2.5,
    }
    bold = {"fontName": "DejaVuSans-Bold"}
    quiet = {"textColor": HexColor(QUIET)}
    small = {"fontSize": SMALL, "leading": 1.32 * SMALL}
    headings = {
        "h1": {**bold, "fontSize": 13.5, "leading": 17, "spaceBefore": 4, "spaceAfter": 5},
        "h2": {**bold, "fontSize": 11, "leading": 14, "spaceBefore": 12, "spaceAfter": 4, "keepWithNext": 1},
        "h3": {**bold, "fontSize": 9.4, "leading": 12, "spaceBefore": 8, "spaceAfter": 3, "keepWithNext": 1},
        "h4": {**bold, "fontSize": 8.4, "leading": 11, "spaceBefore": 3, "spaceAfter": 1, "keepWithNext": 1},
    }
    others = {
        "text": {},
        "small": small,
        "quiet": {**small, **quiet},
        "cell": {**small, "spaceAfter": 0},
        "number": {**small, "alignment": 2, "spaceAfter": 0},
        "head": {**small, **quiet, **bold, "spaceAfter": 0},
        "headnumber": {**small, **quiet, **bold, "alignment": 2, "spaceAfter": 0},
        "caption": {**small, **quiet, "spaceBefore": 2, "keepWithNext": 1},
        "banner": {**bold, "spaceAfter": 0},
    }
    return ParagraphStyle(name, **{**base, **(headings | others)[name]})


def paragraph(node: Node | str, name: str, *, keep_lines: bool = False) -> Paragraph | None:
    """A paragraph of an element's running text, None where it holds none.

    Args:
        node: The element, or a text.
        name: Of the style.
        keep_lines: Whether line breaks of the text are kept.
    """
    from reportlab.platypus import Paragraph

    text = markup(node, keep_lines=keep_lines)
    return Paragraph(text, style(name)) if text else None


def markup(node: Node | str, *, keep_lines: bool = False) -> str:
    """Paragraph markup of an element's running text."""
    text = _marked(node, keep_lines)
    text = re.sub(r"\s*(<br/>)\s*", r"\1", _SPACE.sub(" ", text)) if not keep_lines else text
    return text.strip()


def plain(text: str) -> str:
    """A text as paragraph markup: escaped, Chinese in its font, no control characters."""
    text = "".join(letter if letter.isprintable() or letter.isspace() else "\ufffd" for letter in text)
    text = text.replace("\u202f", "\u00a0")
    return _EAST_ASIAN.sub(lambda found: f'<font name="{_chinese.get()}">{found[0]}</font>', escape(text))


@contextmanager
def chinese_set_in(font: str) -> Iterator[None]:
    """Set Chinese in a font that is registered by this name."""
    token = _chinese.set(font)
    try:
        yield
    finally:
        _chinese.reset(token)


def chinese_letters(text: str) -> set[str]:
    """The characters of a text that :func:`plain` sets in the font for Chinese."""
    return set("".join(_EAST_ASIAN.findall(text)))


def _marked(node: Node | str, keep_lines: bool) -> str:
    if isinstance(node, str):
        text = plain(node)
        return text.strip("\n ").replace("\n", "<br/>") if keep_lines else text
    if node.tag == "br":
        return "<br/>"
    if not is_shown(node) or node.tag in ("svg", "img"):
        return ""
    inner = "".join(_marked(child, keep_lines) for child in node.children)
    if "mono" in node.classes:
        inner = f'<font name="DejaVuSansMono" size="{SMALL - 0.6}">{inner}</font>'
    return _styled(node, inner) if inner.strip() else inner


def _styled(node: Node, inner: str) -> str:
    classes = node.classes
    colour = next(
        (_COLOURS[name] for name in ("tag", "agree", "letter", "big", "value", "quiet") if name in classes), ""
    )
    size = next((_SIZES[name] for name in ("big", "value", "letter", "small") if name in classes), 0.0)
    if node.tag in ("strong", "b") or classes & _BOLD:
        inner = f"<b>{inner}</b>"
    if "letter" in classes:
        inner += "\u00a0"
    attributes = (f' color="{colour}"' if colour else "") + (f' size="{size}"' if size else "")
    return f"<font{attributes}>{inner}</font>" if attributes else inner
