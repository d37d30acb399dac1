"""Values of a review in words, as the panels write them. Plain Python."""

from __future__ import annotations

from RenalCLIPCore.review import LesionReview, MeasuredComponent
from RenalCLIPCore.review_reading import present, readable

HARD_SPACE = "\u00a0"


def lesionWords(lesion: LesionReview) -> str:
    """A lesion in a line: ``L1  right tumour, 64 mm``."""
    diameter = present(lesion.largest_diameter_mm)
    kind = "point" if lesion.label == "point" else lesion.label
    size = "" if diameter is None else f", {diameter:.0f} mm"
    return f"{lesion.lesion_id}  {lesion.side} {kind}{size}{' (primary)' if lesion.primary else ''}"


def signed(value: float) -> str:
    """A score with two decimals and a minus sign, not a hyphen."""
    return f"{value:.2f}".replace("-", "\u2212")


def measuredWords(item: MeasuredComponent) -> str:
    """A measured component: its class, and the value as precisely as masks give it."""
    if not item.unit:
        return readable(item.label)
    value, unit, digits = item.value, item.unit, 1
    if item.component == "R" and unit == "mm":
        value, unit = value / 10, "cm"  # the unit of its classes
    elif unit == "%":
        digits = 0
    return f"{readable(item.label)} ({value:.{digits}f}{HARD_SPACE}{unit})"
