"""A review as a PDF (A4): the page's own content, laid out for paper. What the page says, the PDF says."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..review import CaseReview
from .chinese_font import MISSING, NAME, embeddable
from .html import Pictures, ReportChecks, read_pictures, render_html
from .page_tree import Node, page_tree
from .paper import Paper
from .paper_text import STANDARD_CHINESE, chinese_letters, chinese_set_in

if TYPE_CHECKING:
    from reportlab.pdfgen.canvas import Canvas

MARGIN_MM = (12.0, 13.0, 12.0, 15.0)  # left, top, right, bottom
REGULAR, BOLD, MONO = "DejaVuSans", "DejaVuSans-Bold", "DejaVuSansMono"
_MILLIMETRE = 72 / 25.4


def render_pdf(
    review: CaseReview,
    pictures: Pictures,
    report_checks: ReportChecks | None = None,
    told: Callable[[str], None] | None = None,
) -> bytes:
    """The PDF of a review. The same review gives the same bytes on one computer.

    Args:
        review: As for :func:`.html.render_html`.
        pictures: As there.
        report_checks: As there.
        told: Told in one sentence where a font for Chinese text is missing.
    """
    from reportlab.lib.pagesizes import A4
    from reportlab.platypus import BaseDocTemplate, Frame, PageTemplate

    page = render_html(review, pictures, report_checks)
    register_fonts()
    chinese = _register_chinese(chinese_letters(page), told)
    left, top, right, bottom = (value * _MILLIMETRE for value in MARGIN_MM)
    target = io.BytesIO()
    document = BaseDocTemplate(
        target,
        pagesize=A4,
        leftMargin=left,
        rightMargin=right,
        topMargin=top,
        bottomMargin=bottom,
        title=f"Renal CT review {review.study.study_id}",
        author="RenalCLIP",
        subject=review.provenance.intended_use,
        invariant=1,
    )
    width, height = A4[0] - left - right, A4[1] - top - bottom
    frame = Frame(left, bottom, width, height, leftPadding=0, rightPadding=0, topPadding=0, bottomPadding=0)
    document.addPageTemplates([PageTemplate("page", [frame], onPage=_footer(review))])
    body: Node = page_tree(page)
    with chinese_set_in(chinese):
        document.build(Paper(width, height).flowables(body), canvasmaker=_numbered())
    return target.getvalue()


def review_pdf(
    review: CaseReview,
    folder: Path,
    report_checks: ReportChecks | None = None,
    told: Callable[[str], None] | None = None,
) -> bytes:
    """The PDF of a review with the pictures that it names, read from its folder; see :func:`render_pdf`."""
    return render_pdf(review, read_pictures(review, folder), report_checks, told)


@cache
def register_fonts() -> None:
    """Make DejaVu Sans known, which is embedded."""
    from matplotlib import get_data_path
    from reportlab.pdfbase import pdfmetrics
    from reportlab.pdfbase.ttfonts import TTFont

    fonts = Path(get_data_path()) / "fonts" / "ttf"
    for name in (REGULAR, BOLD, MONO):
        pdfmetrics.registerFont(TTFont(name, str(fonts / f"{name}.ttf")))
    pdfmetrics.registerFontFamily(REGULAR, REGULAR, BOLD, REGULAR, BOLD)


def _register_chinese(letters: set[str], told: Callable[[str], None] | None) -> str:
    """Make a font for Chinese known, one of this computer's that is embedded, else the standard one; its name."""
    from reportlab.pdfbase import pdfmetrics
    from reportlab.pdfbase.cidfonts import UnicodeCIDFont
    from reportlab.pdfbase.ttfonts import TTFont

    data = embeddable(letters) if letters else None
    if data is None:
        if letters and told is not None:
            told(MISSING)
        pdfmetrics.registerFont(UnicodeCIDFont(STANDARD_CHINESE))
        return STANDARD_CHINESE
    # a name of its own: fonts are known by name for as long as the process lives
    name = f"{NAME}-{hashlib.sha256(data).hexdigest()[:12]}"
    if name not in pdfmetrics.getRegisteredFontNames():
        pdfmetrics.registerFont(TTFont(name, io.BytesIO(data)))
        pdfmetrics.registerFontFamily(name, name, name, name, name)
    return name


def _footer(review: CaseReview) -> Callable[[Canvas, Any], None]:
    words = f"Renal CT case review {review.study.study_id}. {review.provenance.intended_use}"

    def draw(canvas: Canvas, document: Any) -> None:
        canvas.setFont(REGULAR, 7)
        canvas.setFillGray(0.35)
        canvas.drawString(document.leftMargin, 8 * _MILLIMETRE, words[:140])

    return draw


def _numbered() -> type[Canvas]:
    """A canvas that writes ``page / pages``, which are known only at the end."""
    from reportlab.pdfgen.canvas import Canvas

    class Numbered(Canvas):  # type: ignore[misc]
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            self._pages: list[dict[str, Any]] = []

        def showPage(self) -> None:
            self._pages.append(dict(self.__dict__))
            self._startPage()

        def save(self) -> None:
            """Write the pages kept, each with its number of how many."""
            for page in self._pages:
                self.__dict__.update(page)
                self.setFont(REGULAR, 7)
                self.setFillGray(0.35)
                right = self._pagesize[0] - MARGIN_MM[2] * _MILLIMETRE
                self.drawRightString(right, 8 * _MILLIMETRE, f"{self._pageNumber} / {len(self._pages)}")
                super().showPage()
            super().save()

    return Numbered
