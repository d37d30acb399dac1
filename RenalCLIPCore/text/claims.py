"""What one sentence of a report claims of a renal lesion, in English or Chinese.

Numbers of options are those of the questionnaire. English sentences are read by the rules of extraction, Chinese ones
by rules of their own (:mod:`.chinese_claims`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from .chinese_claims import chinese_options, chinese_sizes_mm
from .clauses import affirmed, clauses
from .extraction import sentence_answers, sizes_mm
from .language import language
from .masses import names_mass
from .partition import kidneys_named, other_organ
from .report_text import COMPONENT_PHRASES
from .vocabulary import spoken

# Findings that a sentence can speak of, with the question that asks for it and its answers that say nothing.
_QUESTIONS = {
    "pole": (1, 3),
    "composition": (5, 3),
    "enhancement": (8, 6),
    "arterial enhancement": (9, 3),
    "margin": (10, 2),
    "malignancy": (11, 4),
    "invasion": (13, 2),
}
_CYST_NATURE = 2
_NUMBER = r"(\d{1,3}(?:\.\d+)?)"
_PROBABILITY = re.compile(
    r"^\W*(?:\d+\.\s*)?(malignancy|aggressive histology)\b.*?predicted probability\s*[<>]?\s*" + _NUMBER + r"\s*%",
    re.IGNORECASE,
)
_SCORE = re.compile(
    r"nephrometry score\s*(?:of\s*|is\s*|[:：]\s*)?(\d{1,2})([apxh]{0,2})\b|"
    r"R\.?E\.?N\.?A\.?L\.?\s*评分\s*[:：为]?\s*(\d{1,2})([apxh]{0,2})",
    re.IGNORECASE,
)
_RISK = re.compile(r"recurrence risk:?\s*(?:is\s*)?(high|low)\b", re.IGNORECASE)
_SURVIVAL = re.compile(r"recurrence-free probability\s*[<>]?\s*(\d{1,3})\s*%", re.IGNORECASE)
_ATTENUATION = re.compile(r"(-?\d{1,4}(?:\.\d+)?)\s*HU\b", re.IGNORECASE)
_VOLUME = re.compile(_NUMBER + r"\s*(?:ml|cc|cm3|cm³|毫升)\b", re.IGNORECASE)
_NO_LESION = re.compile(
    r"\b(?:no|without)\b[^.,;]{0,30}\b(?:focal lesion|mass|masses|tumou?r|lesion|abnormality)\b|\bunremarkable\b|"
    r"\bnormal in size\b|未见(?:明显|明确)?(?:占位|肿块|异常(?!强化|密度)|结节)",
    re.IGNORECASE,
)
_FURTHER = re.compile(
    r"\b(?:another|further|additional(?:ly)?|also|second|other|in addition|elsewhere|incidental)\b|"
    r"另见|尚见|另可见|其余",
    re.IGNORECASE,
)
_CYST = re.compile(r"\bcysts?\b|\bcystic (?:lesion|foc)|囊肿", re.IGNORECASE)
_NOT_SIMPLE = re.compile(
    r"\b(?:solid|soft[- ]tissue|mass|tumou?r|neoplasm|complex|complicated|sept\w+|bosniak (?:iii|iv|iif|3|4|2f))\b|"
    r"实性|复杂|肿块|囊壁|囊肿样",
    re.IGNORECASE,
)
_CHINESE_MASS = re.compile(r"肿瘤|肿块|占位|病灶|病变|结节|肿物|囊肿|密度影|癌|错构瘤|细胞瘤|脂肪瘤")
_SMALLER = re.compile(r"\b(?:multiple|several|numerous|many)\b|多发|多个", re.IGNORECASE)
_ENDOPHYTIC = re.compile(r"\bendophytic|完全位于肾实质内|内生|局部肾轮廓光整", re.IGNORECASE)
_EXOPHYTIC = re.compile(r"外生|突出于肾|向肾外突出|突向肾外|外突")
_LATER = re.compile(r"\b(?:washes? ?out|washout|later phases|progressive|rises slowly|persists)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Claims:
    """What a sentence says.

    Attributes:
        sides: Kidneys named, by side; None where none is named.
        options: Option of the questionnaire by finding.
        sizes_mm: Sizes, each its largest diameter.
        phrases: Class by R.E.N.A.L. component, where the draft's own phrases stand.
        probability: (finding, probability), or None.
        score: Nephrometry score with its suffix, or empty.
        risk: Recurrence risk group, or empty.
        survival: Recurrence-free probability, or None.
        attenuation_hu: Attenuations.
        volume_ml: Volumes.
        no_lesion: Whether it says that a kidney has no lesion.
        further: Whether it is about a further lesion.
        simple_cyst: Whether it is about a simple cyst.
        several: Whether it is about many lesions.
        other_organ: Whether it is about another organ.
        mass: Whether it names a mass.
    """

    sides: tuple[str, ...] | None = None
    options: dict[str, int] = field(default_factory=dict)
    sizes_mm: tuple[float, ...] = ()
    phrases: dict[str, int] = field(default_factory=dict)
    probability: tuple[str, float] | None = None
    score: str = ""
    risk: str = ""
    survival: float | None = None
    attenuation_hu: tuple[float, ...] = ()
    volume_ml: tuple[float, ...] = ()
    no_lesion: bool = False
    further: bool = False
    simple_cyst: bool = False
    several: bool = False
    other_organ: bool = False
    mass: bool = False

    @property
    def of_a_lesion(self) -> bool:
        """Whether anything of a lesion is claimed; that both kidneys do something is of none."""
        if self.sides is not None and len(self.sides) == 2 and not self.mass:
            return False
        return bool(
            (self.mass and self.sides)
            or self.options
            or self.sizes_mm
            or self.phrases
            or self.probability
            or self.score
            or self.risk
            or self.survival is not None
            or self.attenuation_hu
            or self.volume_ml
        )


def claims(sentence: str) -> Claims:
    """What a sentence claims of a renal lesion."""
    sides = kidneys_named(sentence)
    if other_organ(sentence):
        return Claims(sides, other_organ=True)
    phrases, rest = _phrases(sentence)
    chinese = language(sentence) == "zh"
    probability, score, risk = _PROBABILITY.search(rest), _SCORE.search(rest), _RISK.search(rest)
    no_lesion = bool(_NO_LESION.search(rest)) and sides is not None
    options: dict[str, int] = {}
    if not (no_lesion or probability or risk):
        options = chinese_options(rest) if chinese else _english_options(rest)
    sizes = chinese_sizes_mm(rest) if chinese else [size for part in clauses(rest) for size in sizes_mm(part)]
    return Claims(
        sides,
        options,
        tuple(sizes),
        phrases,
        (probability[1].lower(), float(probability[2]) / 100) if probability else None,
        "".join(part for part in score.groups() if part).lower() if score else "",
        risk[1].lower() if risk else "",
        float(survival[1]) / 100 if (survival := _SURVIVAL.search(rest)) else None,
        tuple(float(number) for number in _ATTENUATION.findall(rest)),
        tuple(float(number) for number in _VOLUME.findall(rest)),
        no_lesion,
        bool(_FURTHER.search(rest)),
        bool(_CYST.search(rest)) and not _NOT_SIMPLE.search(rest),
        bool(_SMALLER.search(rest)),
        mass=bool(_CHINESE_MASS.search(rest)) if chinese else names_mass(rest),
    )


def _phrases(sentence: str) -> tuple[dict[str, int], str]:
    """Classes of the components that the structured draft's phrases tell, and the sentence without them."""
    found = {}
    for component, phrases in COMPONENT_PHRASES.items():
        for number, phrase in enumerate(phrases):
            if phrase in sentence:
                found[component] = number
                sentence = sentence.replace(phrase, " ")
    return found, sentence


def _english_options(sentence: str) -> dict[str, int]:
    answers = sentence_answers(sentence)
    options = {
        finding: answer
        for finding, (number, silent) in _QUESTIONS.items()
        if (answer := answers[number]) is not None and answer != silent
    }
    if answers[12] == _CYST_NATURE:
        options.pop("malignancy", None)  # that it is a cyst is its composition
    if options.get("enhancement") == 0 and spoken("part of a mass").search(sentence):
        del options["enhancement"]  # what does not enhance is a part of it
    if _LATER.search(sentence) and "arterial enhancement" not in options:
        options.pop("enhancement", None)  # its course, which tells no degree
    if "arterial enhancement" in options and spoken("arterial phase").search(sentence):
        options.pop("enhancement", None)
    elif not spoken("arterial phase").search(sentence):
        options.pop("arterial enhancement", None)  # follows from the general statement
    outside = affirmed(spoken("exophytic"), sentence)
    if _ENDOPHYTIC.search(sentence):
        options["exophytic"] = 0 if affirmed(_ENDOPHYTIC, sentence) else 1
    elif outside is not None:
        options["exophytic"] = int(outside)
    return options
