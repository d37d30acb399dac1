"""What the page of a review says beyond ``review_reading``: headlines, grouped absences, order."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from ..imaging.study import Phase
from ..review import Absent, CaseReview, Centre, Explanation, LesionReview, MeasuredComponent, Neighbour, PhaseRecord
from ..review_reading import percent, position_words, present, verdict

PARTS = {
    "components": "R.E.N.A.L. components",
    "total": "R.E.N.A.L. total",
    "malignancy": "malignancy",
    "aggressiveness": "aggressiveness",
    "recurrence": "recurrence risk",
    "zero_shot": "zero-shot reading",
    "neighbours": "similar cases",
    "out_of_distribution": "comparison with the training data",
    "explanation": "explanation map",
    "uncertainty": "uncertainty",
}


@dataclass(frozen=True)
class Headline:
    """A finding in a few words: its name, its value and a remark."""

    name: str
    value: str
    remark: str


def headlines(lesion: LesionReview) -> list[Headline]:
    """The few findings that stand at the head of the page."""
    reading, masks = present(lesion.predicted), present(lesion.measured)
    found = []
    total = present(reading.total) if reading else None
    by_mask = present(masks.total) if masks else None
    if total or by_mask:
        shown = total or by_mask
        assert shown is not None
        remark = f"{shown.complexity} complexity" + ("" if total else ", measured")
        found.append(
            Headline("R.E.N.A.L.", shown.text, remark + (f"; measured {by_mask.text}" if total and by_mask else ""))
        )
    if reading is None:
        return found
    for name, part in (("Malignancy", reading.malignancy), ("Aggressiveness", reading.aggressiveness)):
        if binary := present(part):
            remark = f"read as {verdict(binary)}, threshold {percent(binary.threshold)}"
            found.append(Headline(name, percent(binary.probability), remark))
    if risk := present(reading.recurrence):
        found.append(Headline("Recurrence", f"{risk.group} risk", f"against the median of {risk.cohort}"))
    return found


def point_words(component: MeasuredComponent) -> str:
    """Probability of each class of a measured component when the masks vary, for instance ``1 point 93 %, ...``."""
    shares = component.point_probabilities
    said = [f"{name} point{'s' if name != '1' else ''}" if name.isdigit() else name for name in shares]
    return ", ".join(f"{name} {percent(share)}" for name, share in zip(said, shares.values(), strict=True))


def missing_parts(lesion: LesionReview) -> list[tuple[str, str]]:
    """Absent parts of a lesion, those with one reason together: (names, reason)."""
    gone: list[tuple[str, Absent]] = []
    if isinstance(lesion.predicted, Absent):
        gone.append(("network reading", lesion.predicted))
    else:
        parts = [(name, getattr(lesion.predicted, attribute)) for attribute, name in PARTS.items()]
        gone += [(name, part) for name, part in parts if isinstance(part, Absent)]
    own = {
        "volume": lesion.volume_ml,
        "largest diameter": lesion.largest_diameter_mm,
        "axial diameter": lesion.axial_diameter_mm,
        "proposed centre": lesion.centre_proposed,
        "centre": lesion.centre_used,
        "region of interest": lesion.roi_inside,
        "measured nephrometry": lesion.measured,
        "report": lesion.report,
        "the predecessor's reading": lesion.predecessor,
    }
    gone += [(name, part) for name, part in own.items() if isinstance(part, Absent)]
    if not isinstance(lesion.measured, Absent) and isinstance(lesion.measured.total, Absent):
        gone.append(("measured total", lesion.measured.total))
    return grouped(gone)


def grouped(gone: Iterable[tuple[str, Absent]]) -> list[tuple[str, str]]:
    """Names of absent parts joined by reason, in the order of their first mention."""
    reasons: dict[str, list[str]] = {}
    for name, part in gone:
        reasons.setdefault(part.absent, []).append(name)
    return [(", ".join(names), reason) for reason, names in reasons.items()]


def fact_names(neighbours: Iterable[Neighbour]) -> list[str]:
    """The facts that any of the neighbours shows, in the order of their first mention."""
    return list(dict.fromkeys(name for neighbour in neighbours for name in neighbour.facts))


def moved_mm(lesion: LesionReview) -> float | None:
    """Distance between the centre used and the one proposed, where both are known."""
    proposed, used = present(lesion.centre_proposed), present(lesion.centre_used)
    return math.dist(proposed.lps_mm, used.lps_mm) if proposed and used else None


def centre_words(centre: Centre) -> str:
    """A centre as a viewer writes it: ``R 96.3, P 76.7, I 120.8 mm``."""
    return position_words(centre.lps_mm)


def peak_words(explanation: Explanation) -> str:
    """The position of an explanation's maximum, written as a centre is."""
    return position_words(explanation.peak_lps_mm)


def ordered_phases(review: CaseReview) -> list[PhaseRecord]:
    """The phases in the order of the examination: N, A, V, D, then any other."""
    order = {phase.value: number for number, phase in enumerate(Phase)}
    return sorted(review.study.phases, key=lambda record: order.get(record.phase, len(order)))


def trained_on_phantoms(review: CaseReview) -> bool:
    """Whether the bundle says that it was trained on digital phantoms."""
    trained_on = present(review.provenance.trained_on)
    return trained_on is not None and "phantom" in trained_on.lower()
