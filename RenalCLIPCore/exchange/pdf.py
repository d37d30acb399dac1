"""A review as a PDF (A4): the page's own content, laid out for paper. What the page says, the PDF says."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..review import CaseReview
from .html import Pictures, ReportChecks, read_pictures, render_html
from .page_tree import Node, page_tree
from .paper import Paper

if TYPE_CHECKING:
    from reportlab.pdfgen.canvas import Canvas

MARGIN_MM = (12.0, 13.0, 12.0, 15.0)  # left, top, right, bottom
REGULAR, BOLD, MONO, CHINESE = "DejaVuSans", "DejaVuSans-Bold", "DejaVuSansMono", "STSong-Light"
_MILLIMETRE = 72 / 25.4


def render_pdf(review: CaseReview, pictures: Pictures, report_checks: ReportChecks | None = None) -> bytes:
    """The PDF of a review; arguments as for :func:`.html.render_html`. The same review gives the same bytes."""
    from reportlab.lib.pagesizes import A4
    from reportlab.platypus import BaseDocTemplate, Frame, PageTemplate

    register_fonts()
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
    body: Node = page_tree(render_html(review, pictures, report_checks))
    document.build(Paper(width, height).flowables(body), canvasmaker=_numbered())
    return target.getvalue()


def review_pdf(review: CaseReview, folder: Path, report_checks: ReportChecks | None = None) -> bytes:
    """The PDF of a review with the pictures that it names, read from its folder."""
    return render_pdf(review, read_pictures(review, folder), report_checks)


@cache
def register_fonts() -> None:
    """Make the fonts known: DejaVu Sans, which is embedded, and the standard Chinese one, which every reader brings."""
    from matplotlib import get_data_path
    from reportlab.pdfbase import pdfmetrics
    from reportlab.pdfbase.cidfonts import UnicodeCIDFont
    from reportlab.pdfbase.ttfonts import TTFont

    fonts = Path(get_data_path()) / "fonts" / "ttf"
    for name in (REGULAR, BOLD, MONO):
        pdfmetrics.registerFont(TTFont(name, str(fonts / f"{name}.ttf")))
    pdfmetrics.registerFontFamily(REGULAR, REGULAR, BOLD, REGULAR, BOLD)
    pdfmetrics.registerFont(UnicodeCIDFont(CHINESE))


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
            for page in self._pages:
                self.__dict__.update(page)
                self.setFont(REGULAR, 7)
                self.setFillGray(0.35)
                right = self._pagesize[0] - MARGIN_MM[2] * _MILLIMETRE
                self.drawRightString(right, 8 * _MILLIMETRE, f"{self._pageNumber} / {len(self._pages)}")
                super().showPage()
            super().save()

    return Numbered
