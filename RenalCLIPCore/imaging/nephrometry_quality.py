"""How far a measurement can be trusted beyond its variation: what the kidney, the scan and the masks lack."""

from __future__ import annotations

from dataclasses import dataclass

from .kidney_frame import KidneyFrame
from .lesions import Lesion, LesionFindings

LETTERS = ("R", "E", "N", "A", "L", "h")
FEW_COVERED = 0.6
GIANT = 0.8
THICK_MM = 2.5
APART_MM = 3.0


@dataclass(frozen=True)
class Quality:
    """Confidence factors (0 to 1) per component and their reasons, and notes on the whole measurement."""

    factors: dict[str, float]
    reasons: dict[str, tuple[str, ...]]
    notes: tuple[str, ...]

    def of(self, letter: str) -> tuple[float, tuple[str, ...]]:
        """Factor and reasons of a component."""
        return round(self.factors.get(letter, 1.0), 3), self.reasons.get(letter, ())


@dataclass(frozen=True)
class _Concern:
    """A reason to trust some components less."""

    words: str
    factors: dict[str, float]


def quality(frame: KidneyFrame, lesion: Lesion, findings: LesionFindings) -> Quality:
    """Confidence in a measurement."""
    concerns = [*_of_scan(frame), *_of_kidney(frame, lesion), *_of_sinus(frame)]
    factors: dict[str, float] = dict.fromkeys(LETTERS, 1.0)
    reasons: dict[str, tuple[str, ...]] = dict.fromkeys(LETTERS, ())
    for concern in concerns:
        for letter, factor in concern.factors.items():
            factors[letter] *= factor
            reasons[letter] = (*reasons[letter], concern.words)
    notes = tuple(dict.fromkeys((*(concern.words for concern in concerns), *findings.notes)))
    return Quality(factors, reasons, notes)


def _of_scan(frame: KidneyFrame) -> list[_Concern]:
    fields, found = frame.fields, []
    if "kidney" in fields.cut:
        words = f"The scan cuts the kidney off at its {fields.cut['kidney']} border; its outline is continued."
        found.append(_Concern(words, {"E": 0.8, "N": 0.8, "A": 0.8, "L": 0.6}))
    if "lesion" in fields.cut:
        words = f"The scan cuts the lesion off at its {fields.cut['lesion']} border; its size is a lower bound."
        found.append(_Concern(words, {"R": 0.5, "E": 0.5, "N": 0.7, "A": 0.7, "L": 0.6}))
    if fields.slice_mm > THICK_MM:
        factor = max(0.7, 1.0 - 0.04 * (fields.slice_mm - THICK_MM))
        words = f"The slices are {fields.slice_mm:.3g} mm thick."
        found.append(_Concern(words, dict.fromkeys(("E", "N", "L"), factor) | {"R": (1 + factor) / 2}))
    return found


def _of_kidney(frame: KidneyFrame, lesion: Lesion) -> list[_Concern]:
    fields, outline, found = frame.fields, frame.outline, []
    geometric = ("E", "N", "A", "L")
    if fields.horseshoe:
        words = "Parenchyma goes on across the midline (horseshoe kidney?); the frame is that of one half."
        found.append(_Concern(words, dict.fromkeys(geometric, 0.5)))
    if fields.gap_mm > APART_MM:
        words = f"The lesion touches no kidney; the nearest parenchyma is {fields.gap_mm:.0f} mm away."
        found.append(_Concern(words, dict.fromkeys(geometric, 0.6)))
    if outline.coverage < FEW_COVERED:
        words = (
            f"Only {100 * outline.coverage:.0f} % of the kidney's outer surface is left to see; the rest is assumed."
        )
        found.append(_Concern(words, dict.fromkeys(geometric, max(0.3, outline.coverage / FEW_COVERED))))
    if lesion.volume_ml > GIANT * outline.volume_ml:
        words = "The lesion is about as large as the kidney and deforms it; the native outline is uncertain."
        found.append(_Concern(words, dict.fromkeys(geometric, 0.6)))
    return found


def _of_sinus(frame: KidneyFrame) -> list[_Concern]:
    found = []
    if not frame.sinus.visible:
        words = "The masks do not show the sinus: it was placed by the kidney's axes, within about 5 mm."
        found.append(_Concern(words, {"N": 0.6, "L": 0.7}))
    for end in frame.hidden:
        words = f"A lesion covers the {end} lip of the sinus; that polar line is assumed."
        found.append(_Concern(words, {"L": 0.8}))
    return found
