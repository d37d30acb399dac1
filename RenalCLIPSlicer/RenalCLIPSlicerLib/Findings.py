"""The findings of a lesion that a reader accepts or rejects, each with its value in words. Plain Python."""

from __future__ import annotations

import zlib

from RenalCLIPCore.review import LesionReview
from RenalCLIPCore.review_reading import percent, position_words, present

from .Words import signed


def findings(lesion: LesionReview, report: tuple[str, str] | None) -> dict[str, str]:
    """Values by finding, in reading order; only what the review holds."""
    found = {}
    volume, centre = present(lesion.volume_ml), present(lesion.centre_used)
    if volume is not None:
        found["segmentation"] = f"{lesion.label}, {lesion.side}, {volume:.1f} ml"
    if centre is not None:
        found["centre"] = position_words(centre.lps_mm)
    reading, masks = present(lesion.predicted), present(lesion.measured)
    predicted = present(reading.total) if reading else None
    measured = present(masks.total) if masks else None
    if predicted:
        found["R.E.N.A.L. predicted"] = f"{predicted.text}, {predicted.complexity} complexity"
    if measured:
        found["R.E.N.A.L. measured"] = f"{measured.text}, {measured.complexity} complexity"
    if reading:
        for name in ("malignancy", "aggressiveness"):
            binary = present(getattr(reading, name))
            if binary:
                found[name] = percent(binary.probability)
        risk = present(reading.recurrence)
        if risk:
            found["recurrence risk"] = f"{risk.group} (score {signed(risk.score)})"
    if report is not None:
        found["report"] = f"{len(' '.join(report).split())} words, {zlib.crc32(repr(report).encode()):08x}"
    return found
