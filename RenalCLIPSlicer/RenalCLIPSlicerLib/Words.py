"""Values of a review in words, as the panels write them. Plain Python."""

from __future__ import annotations

from RenalCLIPCore.review import LesionReview, MeasuredComponent
from RenalCLIPCore.review_reading import present, readable


def lesionWords(lesion: LesionReview) -> str:
    """A lesion in a line: ``L1  right tumour, 64 mm``."""
    diameter = present(lesion.largest_diameter_mm)
    kind = "point" if lesion.label == "point" else lesion.label
    size = "" if diameter is None else f", {diameter:.0f} mm"
    return f"{lesion.lesion_id}  {lesion.side} {kind}{size}{' (primary)' if lesion.primary else ''}"


def measuredWords(item: MeasuredComponent) -> str:
    """A measured component: its class, the value and the points."""
    value = f" ({item.value:.3g} {item.unit})" if item.unit else ""
    return f"{readable(item.label)}{value}"
