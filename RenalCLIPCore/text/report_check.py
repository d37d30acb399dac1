"""Reports that check themselves: each sentence tied to the facts of a case, and what contradicts them.

A sentence is *contradicted* where one of its statements disagrees with a measurement or prediction, *supported* where
at least one agrees and none disagrees, *unsupported* where no fact speaks of what it says. Facts are given as the
options that they allow: what a fact leaves open is no contradiction.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from .captions import sentences
from .claims import Claims, claims
from .language import check_length

SECTIONS: Final = ("findings", "impression")
SIZE_TOLERANCE_MM = 3.0
SIZE_TOLERANCE_SHARE = 0.1
VOLUME_TOLERANCE_SHARE = 0.2
ATTENUATION_TOLERANCE_HU = 10.0
PROBABILITY_TOLERANCE = 0.011
SMALLEST_LESION_MM = 10.0  # what a report may pass over
_NOTICE = re.compile(
    r"not for clinical use|research only|digital phantom|no meaning for patients|range of the model's training data|"
    r"仅供研究",
    re.IGNORECASE,
)
_OPTIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "pole": ("upper pole", "middle third", "lower pole"),
    "composition": ("cystic", "cystic and solid", "solid"),
    "enhancement": ("none", "mild", "moderate", "marked", "heterogeneous", "of wall or septa"),
    "arterial enhancement": ("none", "mild", "marked"),
    "margin": ("clear", "blurred"),
    "malignancy": ("benign", "malignant", "probably benign", "probably malignant"),
    "invasion": ("invasion of sinus or collecting system", "no invasion"),
    "exophytic": ("endophytic", "exophytic"),
}


@dataclass(frozen=True)
class Fact:
    """What is known of one finding.

    Attributes:
        words: For the reader, for instance ``53 mm largest diameter``.
        source: ``measured``, ``predicted`` or ``segmented``.
        allows: Options of the finding that do not contradict it; where all are allowed, the fact supports nothing.
    """

    words: str
    source: str
    allows: frozenset[int] = frozenset()


@dataclass(frozen=True)
class CheckedLesion:
    """What is known of one lesion.

    Attributes:
        lesion_id: Its id.
        side: ``left`` or ``right``.
        diameters_mm: What counts as its size (largest, axial), or none.
        facts: By finding: ``pole``, ``composition``, ``enhancement``, ``arterial enhancement``, ``margin``,
            ``malignancy``, ``invasion``, ``exophytic``, and R.E.N.A.L. components by letter.
        cyst: Whether it is segmented as a cyst.
        volume_ml: Or None.
        attenuation_hu: Mean attenuations and their rise over the unenhanced phase.
        probabilities: By finding: ``malignancy``, ``aggressive histology``.
        scores: Nephrometry scores, measured and predicted, with suffix.
        risk: Recurrence risk group, or empty.
        survival: Recurrence-free probabilities of the predicted curve.
    """

    lesion_id: str
    side: str
    diameters_mm: tuple[float, ...] = ()
    facts: Mapping[str, Fact] = field(default_factory=dict)
    cyst: bool = False
    volume_ml: float | None = None
    attenuation_hu: tuple[float, ...] = ()
    probabilities: Mapping[str, float] = field(default_factory=dict)
    scores: tuple[str, ...] = ()
    risk: str = ""
    survival: tuple[float, ...] = ()


@dataclass(frozen=True)
class Tie:
    """A statement of a sentence beside the fact about it.

    Attributes:
        finding: What it is about, for instance ``size``.
        said: What the sentence says.
        fact: What is known; empty where nothing is.
        source: ``measured``, ``predicted`` or ``segmented``; empty without a fact.
        agrees: None without a fact.
    """

    finding: str
    said: str
    fact: str
    source: str
    agrees: bool | None


@dataclass(frozen=True)
class SentenceCheck:
    """A sentence and what it is tied to.

    Attributes:
        section: ``findings`` or ``impression``.
        text: The sentence.
        verdict: ``supported``, ``contradicted``, ``unsupported``, or ``notice`` for what speaks of the program.
        lesion_id: Lesion that it was compared with, or empty.
        ties: Its statements.
    """

    section: str
    text: str
    verdict: str
    lesion_id: str
    ties: tuple[Tie, ...]


def check_report(findings: str, impression: str, lesions: Sequence[CheckedLesion]) -> tuple[SentenceCheck, ...]:
    """Check every sentence of a report (English or Chinese).

    Args:
        findings: Text; may be empty.
        impression: The same.
        lesions: What is known, the primary lesion first; none where none was found.

    Raises:
        ReportTooLongError: The text is no single report.
    """
    check_length(findings + impression)
    return tuple(
        check
        for section, text in zip(SECTIONS, (findings, impression), strict=True)
        for check in _check_section(section, text, lesions)
    )


def _check_section(section: str, text: str, lesions: Sequence[CheckedLesion]) -> Iterator[SentenceCheck]:
    sides: tuple[str, ...] = ()
    current: CheckedLesion | None = lesions[0] if lesions else None
    elsewhere = False
    for sentence in sentences(text):
        said = claims(sentence)
        if _NOTICE.search(sentence):
            yield SentenceCheck(section, sentence, "notice", "", ())
            continue
        elsewhere = said.other_organ or (elsewhere and said.sides is None and not said.of_a_lesion)
        if said.sides:
            sides = said.sides
        if elsewhere:
            yield SentenceCheck(section, sentence, "unsupported", "", ())
        elif said.no_lesion:
            ties = tuple(_absence(side, lesions) for side in said.sides or sides)
            yield _checked(section, sentence, "", ties)
        elif said.several:
            yield _checked(section, sentence, "", ())
        else:
            current, ties = _lesion_ties(said, sides, current, lesions)
            yield _checked(section, sentence, current.lesion_id if current and ties else "", ties)


def _checked(section: str, sentence: str, lesion_id: str, ties: tuple[Tie, ...]) -> SentenceCheck:
    verdicts = {tie.agrees for tie in ties}
    verdict = "contradicted" if False in verdicts else "supported" if True in verdicts else "unsupported"
    return SentenceCheck(section, sentence, verdict, lesion_id, ties)


def _absence(side: str, lesions: Sequence[CheckedLesion]) -> Tie:
    """A kidney that is said to have no lesion."""
    here = [one for one in lesions if one.side == side and max(one.diameters_mm, default=99.0) >= SMALLEST_LESION_MM]
    words = f"{here[0].lesion_id} lies in the {side} kidney" if here else f"no lesion was found in the {side} kidney"
    return Tie("lesion", f"none in the {side} kidney", words, "segmented", not here)


def _lesion_ties(
    said: Claims, sides: tuple[str, ...], current: CheckedLesion | None, lesions: Sequence[CheckedLesion]
) -> tuple[CheckedLesion | None, tuple[Tie, ...]]:
    """The lesion that a sentence is about, and its statements."""
    if not said.of_a_lesion:
        return current, ()
    side = sides[0] if len(sides) == 1 else ""
    chosen = _chosen(said, side, current, lesions)
    if chosen is None:
        return current, tuple(Tie(name, words, "", "", None) for name, words in _unknown(said))
    ties = [_side_tie(said, chosen)] if said.sides and len(said.sides) == 1 else []
    ties += [*_number_ties(said, chosen), *_option_ties(said, chosen), *_model_ties(said, chosen)]
    return chosen, tuple(ties)


def _chosen(
    said: Claims, side: str, current: CheckedLesion | None, lesions: Sequence[CheckedLesion]
) -> CheckedLesion | None:
    here = [one for one in lesions if one.side == side] or list(lesions)
    if not here:
        return None
    if said.sides or said.further or said.simple_cyst:
        # a cyst may be the main lesion or another one; nothing but its size tells which
        candidates = here[1:] if said.further else here if said.simple_cyst else here[:1]
        return min(candidates, key=lambda one: (_misfit(said, one), said.simple_cyst and not one.cyst), default=None)
    return current if current in here or current is None else here[0]


def _misfit(said: Claims, lesion: CheckedLesion) -> float:
    """How far a lesion is from the size that is told."""
    if not said.sizes_mm or not lesion.diameters_mm:
        return 0.0
    return min(abs(size - known) for size in said.sizes_mm for known in lesion.diameters_mm)


def _unknown(said: Claims) -> Iterator[tuple[str, str]]:
    for size in said.sizes_mm:
        yield "size", f"{size:g} mm"
    for finding, option in said.options.items():
        yield finding, _OPTIONS[finding][option]


def _side_tie(said: Claims, lesion: CheckedLesion) -> Tie:
    told = (said.sides or ("",))[0]
    return Tie("side", told, f"{lesion.lesion_id} lies in the {lesion.side} kidney", "segmented", told == lesion.side)


def _number_ties(said: Claims, lesion: CheckedLesion) -> Iterator[Tie]:
    for size in said.sizes_mm:
        if not lesion.diameters_mm:
            yield Tie("size", f"{size:g} mm", "", "", None)
            continue
        low, high = min(lesion.diameters_mm), max(lesion.diameters_mm)
        slack = max(SIZE_TOLERANCE_MM, SIZE_TOLERANCE_SHARE * high)
        words = f"{high:.0f} mm" if high - low < 0.5 else f"{high:.0f} mm, {low:.0f} mm in the axial plane"
        yield Tie("size", f"{size:g} mm", words, "measured", low - slack <= size <= high + slack)
    for volume in said.volume_ml:
        if lesion.volume_ml is not None:
            slack = max(0.1, VOLUME_TOLERANCE_SHARE * lesion.volume_ml)
            agrees = abs(volume - lesion.volume_ml) <= slack
            yield Tie("volume", f"{volume:g} ml", f"{lesion.volume_ml:.1f} ml", "measured", agrees)
    if said.attenuation_hu and lesion.attenuation_hu:
        for value in said.attenuation_hu:
            near = min(lesion.attenuation_hu, key=lambda known: abs(known - value))
            agrees = abs(near - value) <= ATTENUATION_TOLERANCE_HU
            yield Tie("attenuation", f"{value:g} HU", f"{near:.0f} HU", "measured", agrees)


def _option_ties(said: Claims, lesion: CheckedLesion) -> Iterator[Tie]:
    for finding, option in said.options.items():
        yield _tie(finding, _OPTIONS[finding][option], option, lesion.facts.get(finding), len(_OPTIONS[finding]))
    for component, option in said.phrases.items():
        yield _tie(f"R.E.N.A.L. {component}", f"class {option + 1}", option, lesion.facts.get(component), 99)


def _tie(finding: str, words: str, option: int, fact: Fact | None, options: int) -> Tie:
    if fact is None or len(fact.allows) >= options:
        return Tie(finding, words, "", "", None)
    return Tie(finding, words, fact.words, fact.source, option in fact.allows)


def _model_ties(said: Claims, lesion: CheckedLesion) -> Iterator[Tie]:
    """What the sentence repeats of the network's output and of the score."""
    if said.probability is not None:
        finding, told = said.probability
        known = lesion.probabilities.get(finding)
        words = "" if known is None else f"probability {100 * known:.0f} %"
        agrees = known is not None and abs(known - told) <= PROBABILITY_TOLERANCE
        yield _known(finding, f"probability {100 * told:.0f} %", words, "predicted", agrees)
    if said.score:
        plain = {score.rstrip("apxh") for score in lesion.scores}
        agrees = said.score in lesion.scores or said.score in plain
        yield _known("R.E.N.A.L. score", said.score, " or ".join(lesion.scores), "measured", agrees)
    if said.risk:
        yield _known("recurrence risk", said.risk, lesion.risk, "predicted", said.risk == lesion.risk)
    if said.survival is not None:
        told = said.survival
        near = min(lesion.survival, key=lambda value: abs(value - told), default=None)
        words = "" if near is None else f"{100 * near:.0f} %"
        agrees = near is not None and abs(near - told) <= PROBABILITY_TOLERANCE
        yield _known("recurrence-free probability", f"{100 * told:.0f} %", words, "predicted", agrees)


def _known(finding: str, said: str, fact: str, source: str, agrees: bool) -> Tie:
    """A tie, to nothing where there is no fact."""
    return Tie(finding, said, fact, source, agrees) if fact else Tie(finding, said, "", "", None)
