"""The page of an evaluation: self-contained HTML, no script, no request leaves it."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from markupsafe import Markup, escape

from .. import __version__
from ..resources import resources
from .evidence import FIGURES, TABLES, EvidenceFigure, Section

if TYPE_CHECKING:
    from jinja2 import Environment

PAGE = "index.html"
USE = "Research only. Not for clinical use."
_BOLD = re.compile(r"\*\*(.+?)\*\*")


@dataclass(frozen=True)
class PageHead:
    """What stands above and below the sections.

    Attributes:
        title: Of the page.
        facts: Name and value: models, cohorts, options.
        phantoms: Whether the cases are digital phantoms.
        files: Names of the tables that were read.
        warnings: What a reader must know before any figure.
    """

    title: str
    facts: tuple[tuple[str, str], ...]
    phantoms: bool
    files: tuple[str, ...]
    warnings: tuple[str, ...] = ()


def render_page(sections: Sequence[Section], head: PageHead) -> str:
    """The page."""
    template = _environment().get_template("evaluation.html.j2")
    return template.render(sections=sections, head=head, use=USE, version=__version__, TABLES=TABLES, FIGURES=FIGURES)


def cell_markup(text: str) -> Markup:
    """A cell with ``**best**`` values in bold; everything else is escaped."""
    return Markup(_BOLD.sub(r"<strong>\1</strong>", str(escape(text))))


def svg_uri(figure: EvidenceFigure) -> str:
    """The figure's SVG as a data URI."""
    data = base64.b64encode(figure.picture.svg.encode("utf-8")).decode("ascii")
    return f"data:image/svg+xml;base64,{data}"


@lru_cache(maxsize=1)
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(resources() / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(cell=cell_markup, svg_uri=svg_uri)
    return environment
