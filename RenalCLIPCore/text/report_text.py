"""Wording of the structured report: numbers in, plain radiology English out. Deterministic.

A probability is given in per cent with words that claim no more than it says. What is measured on the masks and what
the model predicts are told apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

_EXOPHYTIC = ("at least 50 % exophytic", "less than 50 % exophytic", "entirely endophytic")
_NEARNESS = (
    "7 mm or more from the renal sinus or collecting system",
    "between 4 and 7 mm from the renal sinus or collecting system",
    "within 4 mm of the renal sinus or collecting system",
)
_FACE = ("on the anterior face of the kidney", "on the posterior face of the kidney", "neither anterior nor posterior")
_POLAR = (
    "entirely above the upper or below the lower polar line",
    "crossing a polar line",
    "more than half across a polar line, between the polar lines or across the axial midline",
)
_SIZE = ("at most 4 cm", "between 4 and 7 cm", "at least 7 cm")
COMPONENT_PHRASES: dict[str, tuple[str, ...]] = {
    "R": tuple(f"{words} in largest diameter" for words in _SIZE),
    "E": _EXOPHYTIC,
    "N": _NEARNESS,
    "A": _FACE,
    "L": _POLAR,
}
_NOUNS = {"tumour": "mass", "cyst": "cystic lesion", "point": "lesion at the marked point"}
_LIKELIHOOD = (
    (0.10, "very unlikely"),
    (0.35, "unlikely"),
    (0.65, "indeterminate"),
    (0.90, "likely"),
    (1.01, "very likely"),
)


@dataclass(frozen=True)
class ComponentFact:
    """One nephrometry component.

    Attributes:
        component: ``R``, ``E``, ``N``, ``A`` or ``L``.
        class_index: Class, in the order of the task.
        probability: Of that class when predicted; None when measured.
    """

    component: str
    class_index: int
    probability: float | None


@dataclass(frozen=True)
class LikelihoodFact:
    """A predicted probability.

    Attributes:
        finding: In words (``malignancy``, no capital).
        probability: Of the finding.
        calibrated: Whether the probability was calibrated.
        threshold: From which on the model reads the finding as present.
    """

    finding: str
    probability: float
    calibrated: bool
    threshold: float = 0.5


@dataclass(frozen=True)
class RiskFact:
    """Recurrence risk: group, cohort, and the recurrence-free probability at a time in months."""

    group: str
    cohort: str
    months: float
    survival: float


@dataclass(frozen=True)
class OtherLesion:
    """A further lesion: side, label and size."""

    side: str
    label: str
    largest_diameter_mm: float | None


@dataclass(frozen=True)
class LesionFacts:
    """What the report of one lesion says.

    Attributes:
        side: ``left`` or ``right``.
        label: ``tumour``, ``cyst`` or ``point``.
        largest_diameter_mm: Or None.
        axial_diameter_mm: Or None.
        volume_ml: Or None.
        components: Those known, any order.
        score: Nephrometry score with suffix, or empty; ``complexity`` goes with it.
        complexity: ``low``, ``moderate`` or ``high``, or empty.
        score_source: ``predicted`` or ``measured``.
        attenuation_hu: Mean attenuation by phase in words, the unenhanced phase as ``non-contrast``.
        likelihoods: Probabilities of malignancy and the like.
        risk: Or None.
        outside_training: Whether the case lies outside the range of the training data.
        others: Further lesions.
        empty_sides: Segmented kidneys without a lesion.
        phantom_trained: Whether the model has only seen a digital phantom.
        intended_use: Closing line.
    """

    side: str
    label: str
    largest_diameter_mm: float | None = None
    axial_diameter_mm: float | None = None
    volume_ml: float | None = None
    components: tuple[ComponentFact, ...] = ()
    score: str = ""
    complexity: str = ""
    score_source: str = "predicted"
    attenuation_hu: Mapping[str, float] = field(default_factory=dict)
    likelihoods: tuple[LikelihoodFact, ...] = ()
    risk: RiskFact | None = None
    outside_training: bool = False
    others: tuple[OtherLesion, ...] = ()
    empty_sides: tuple[str, ...] = ()
    phantom_trained: bool = False
    intended_use: str = "Research only. Not for clinical use."


def findings_text(facts: LesionFacts) -> str:
    """The section Findings: one paragraph per kidney, the lesion's first."""
    same = [other for other in facts.others if other.side == facts.side]
    sentences = [_lesion_sentence(facts), *_component_sentences(facts), *_attenuation_sentences(facts)]
    sentences += [_other_sentence(other) for other in same]
    paragraphs = [f"{facts.side.capitalize()} kidney: {' '.join(sentences)}"]
    opposite = [other for other in facts.others if other.side != facts.side]
    if opposite:
        words = " ".join(_other_sentence(other) for other in opposite)
        paragraphs.append(f"{opposite[0].side.capitalize()} kidney: {words}")
    paragraphs += [negative_phrase(side) for side in facts.empty_sides]
    return "\n".join(paragraphs)


def impression_text(facts: LesionFacts) -> str:
    """The section Impression: numbered statements, then what limits them."""
    statements = [_headline(facts), *(likelihood_sentence(item) for item in facts.likelihoods)]
    if facts.risk is not None:
        statements.append(risk_sentence(facts.risk))
    if facts.outside_training:
        statements.append(
            "The case lies outside the range of the model's training data; its predictions should not be relied on."
        )
    lines = [f"{number}. {statement}" for number, statement in enumerate(statements, start=1)]
    return "\n".join([*lines, closing_line(facts.intended_use, phantom_trained=facts.phantom_trained)])


def negative_phrase(side: str) -> str:
    """What is said of a kidney without a lesion."""
    return f"{side.capitalize()} kidney: No focal lesion was segmented."


def likelihood_sentence(item: LikelihoodFact) -> str:
    """A probability in per cent and in words; no certainty is claimed at either end.

    Where the model's threshold says the other of what the words suggest, the sentence says so.
    """
    words = next(words for bound, words in _LIKELIHOOD if item.probability < bound)
    note = "" if item.calibrated else ", uncalibrated model output"
    above = item.probability >= item.threshold
    if above != (item.probability >= 0.5):
        note += f", {'above' if above else 'below'} the model's threshold of {per_cent(item.threshold)}"
    finding = f"{item.finding[0].upper()}{item.finding[1:]}"
    return f"{finding} is {words} (predicted probability {per_cent(item.probability)}{note})."


def risk_sentence(risk: RiskFact) -> str:
    """Risk group and recurrence-free probability."""
    side = "above" if risk.group == "high" else "at or below"
    return (
        f"Predicted recurrence risk: {risk.group} group (score {side} the median of {risk.cohort}); estimated "
        f"recurrence-free probability {per_cent(risk.survival)} at {risk.months:.0f} months."
    )


def closing_line(intended_use: str, *, phantom_trained: bool) -> str:
    """Intended use; with a phantom-trained model, that its numbers say nothing about patients."""
    if not phantom_trained:
        return intended_use
    warning = "The model was trained on a digital phantom; its predictions have no meaning for patients."
    use = intended_use if "not for clinical use" in intended_use.lower() else f"{intended_use} Not for clinical use."
    return f"{warning} {use}"


def per_cent(probability: float) -> str:
    """Whole per cent; below 1 % and above 99 % only as a bound."""
    if probability < 0.01:
        return "<1 %"
    return ">99 %" if probability > 0.99 else f"{100 * probability:.0f} %"


def _lesion_sentence(facts: LesionFacts) -> str:
    details = []
    if facts.axial_diameter_mm is not None:
        details.append(f"{facts.axial_diameter_mm:.0f} mm in the axial plane")
    if facts.volume_ml is not None:
        details.append(f"volume {_volume(facts.volume_ml)}")
    brackets = f" ({', '.join(details)})" if details else ""
    noun = _NOUNS.get(facts.label, "lesion")
    if facts.largest_diameter_mm is None:
        return f"A {noun}{brackets}."
    size = f"{facts.largest_diameter_mm:.0f}"
    return f"{_article(size)} {size} mm {noun}{brackets}."


def _article(number: str) -> str:
    return "An" if number.startswith("8") or number in ("11", "18") else "A"


def _volume(volume_ml: float) -> str:
    return f"{volume_ml:.0f} ml" if volume_ml >= 10 else f"{volume_ml:.1f} ml"


def _component_sentences(facts: LesionFacts) -> list[str]:
    known = {item.component: item for item in facts.components}
    letters: list[str] = [letter for letter in ("E", "L", "A", "N") if letter in known]
    if "R" in known and facts.largest_diameter_mm is None:
        letters.insert(0, "R")
    sentences = []
    for source in ("measured", "predicted"):
        chosen = [known[letter] for letter in letters if (known[letter].probability is None) == (source == "measured")]
        if chosen:
            words = _joined([_component_words(item) for item in chosen])
            by = "On the masks" if source == "measured" else "By the model's reading"
            sentences.append(f"{by} it is {words}.")
    return sentences


def _component_words(item: ComponentFact) -> str:
    phrase = COMPONENT_PHRASES[item.component][item.class_index]
    return phrase if item.probability is None else f"{phrase} ({per_cent(item.probability)})"


def _attenuation_sentences(facts: LesionFacts) -> list[str]:
    if not facts.attenuation_hu:
        return []
    parts = [f"{value:.0f} HU in the {phase} phase" for phase, value in facts.attenuation_hu.items()]
    plain = facts.attenuation_hu.get("non-contrast")
    enhanced = [value for phase, value in facts.attenuation_hu.items() if phase != "non-contrast"]
    change = f", a rise of up to {max(enhanced) - plain:.0f} HU" if plain is not None and enhanced else ""
    return [f"Its mean attenuation is {_joined(parts)}{change}."]


def _other_sentence(other: OtherLesion) -> str:
    size = "" if other.largest_diameter_mm is None else f" of {other.largest_diameter_mm:.0f} mm"
    return f"A further {_NOUNS.get(other.label, 'lesion')}{size}."


def _headline(facts: LesionFacts) -> str:
    size = "" if facts.largest_diameter_mm is None else f", {facts.largest_diameter_mm:.0f} mm"
    score = ""
    if facts.score:
        score = f", R.E.N.A.L. nephrometry score {facts.score} ({facts.complexity} complexity, {facts.score_source})"
    noun = _NOUNS.get(facts.label, "lesion")
    return f"{facts.side.capitalize()} renal {noun}{size}{score}."


def _joined(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
