"""Which sentences of one kidney's report speak of its main mass, and how many masses there are."""

from __future__ import annotations

import re
from dataclasses import dataclass

from .captions import sentences
from .clauses import clauses, negated

_MASS = re.compile(
    r"\b(?:mass(?:es)?(?![- ]like)|mass[- ]like(?: \w+){0,2} (?:shadow|area)s?|"
    r"nodul(?:e|es|ar)|tumou?rs?|neoplasms?|lesions?|cysts?|cystic|angiomyolipomas?|amls?|"
    r"oncocytomas?|carcinomas?|rccs?|cancers?|occupying|occupancy|malignanc(?:y|ies)|"
    r"(?:low|high|mixed|iso)[- ]density (?:focus|foci|shadows?|areas?)|(?:hypo|hyper|iso)(?:dense|attenuating) "
    r"(?:focus|foci|shadows?|areas?)|(?:soft[- ]tissue|round|oval|nodular)[\w -]{0,25}(?:shadows?|focus|foci|"
    r"density))\b",
    re.IGNORECASE,
)
_NOT_A_MASS = re.compile(
    r"\b(?:stones?|calcul\w+|lymph nodes?|lymphaden\w+|thromb\w+|hydroneph\w+|metasta\w+|adrenal\w*|polyps?|hemangioma|"
    r"ureter\w*|punctate|aneurysm\w*|scars?)\b",
    re.IGNORECASE,
)
_WITHIN = re.compile(
    r"\b(?:central|internal|intralesional|within (?:it|the)|inside|its|the (?:mass|lesion|tumou?r|nodule)|"
    r"enhancing)\b",
    re.IGNORECASE,
)
_CYST = re.compile(r"\bcyst(?:s|ic)?\b", re.IGNORECASE)
_NOT_SIMPLE = re.compile(
    r"\b(?:solid|soft[- ]tissue|mass(?:es)?|tumou?rs?|neoplasms?|complex|complicated|bosniak (?:iii|iv|iif|3|4|2f)|"
    r"sept\w+|malignan\w*|carcinomas?|thick\w*|angiomyolipomas?|oncocytomas?|rcc)\b",
    re.IGNORECASE,
)
_FURTHER = re.compile(
    r"\b(?:another|further|additional(?:ly)?|also|second|other|besides?|in addition|separate|elsewhere|remaining|"
    r"incidental)\b",
    re.IGNORECASE,
)
_MANY = re.compile(
    r"\b(?:multiple|several|numerous|many|two|three|four|five|scattered|few|both|masses|tumou?rs|nodules|lesions|cysts|"
    r"foci|shadows|disseminated|multifocal)\b",
    re.IGNORECASE,
)
_SPOT = re.compile(r"high[- ]density (?:focus|foci|shadows?|areas?)|hyperdense (?:focus|foci)", re.IGNORECASE)
_DIAGNOSIS = re.compile(
    r"angiomyolipoma|aml|oncocytoma|carcinoma|rcc|cancer|malignanc|neoplasm|tumou?r$", re.IGNORECASE
)
_GOES_ON = re.compile(r"\s*(?:its?|this|these|the (?:mass|lesion|tumou?r|nodule|cyst))\b", re.IGNORECASE)
_KIDNEYS = re.compile(r"\b(?:kidneys|either side|both sides|bilateral(?:ly)?)\b", re.IGNORECASE)
_TURNS_OUT = re.compile(
    r"\s*(?:considered|considering|suggest\w*|consistent with)\b[^,;]*\b(?:stones?|calcul\w+)\b", re.IGNORECASE
)
_REFERS = re.compile(r"\b(?:the|this|its?|these|said)\s+(?:\w+\s+){0,2}?$", re.IGNORECASE)


@dataclass(frozen=True)
class MassSentences:
    """What is said of a kidney's masses.

    Attributes:
        main: Sentences of the findings about the main mass.
        impression: Sentences of the impression about it.
        several: Whether more than one mass is described.
    """

    main: tuple[str, ...]
    impression: tuple[str, ...]
    several: bool

    @property
    def all(self) -> tuple[str, ...]:
        """Findings, then impression."""
        return (*self.main, *self.impression)


@dataclass
class _Group:
    """A mass and its sentences while they are gathered."""

    sentences: list[str]
    simple_cyst: bool
    several: bool


def names_mass(sentence: str) -> bool:
    """Whether an English sentence names a mass, affirmed or not."""
    return bool(_MASS.search(sentence))


def mass_sentences(findings: str, impression: str) -> MassSentences | None:
    """The sentences about the main mass (no simple cyst, if there is another); None without a mass."""
    seen = _groups(sentences(findings))
    judged = _groups(sentences(impression))
    if not seen and not judged:
        return None
    main, verdict = _main(seen), _main(judged)
    if main and verdict and main.simple_cyst and not verdict.simple_cyst and len(seen) == 1:
        main.simple_cyst = False
    several = any(group.several for group in (*seen, *judged)) or len(seen) > 1 or len(judged) > 1
    return MassSentences(tuple(main.sentences) if main else (), tuple(verdict.sentences) if verdict else (), several)


def _main(groups: list[_Group]) -> _Group | None:
    return next((group for group in groups if not group.simple_cyst), groups[0] if groups else None)


def _groups(parts: tuple[str, ...]) -> list[_Group]:
    groups: list[_Group] = []
    for sentence in parts:
        if groups and _TURNS_OUT.match(sentence):
            groups.pop()
        elif _introduces(sentence, bool(groups)):
            groups.append(_Group([sentence], _is_simple_cyst(sentence), bool(_MANY.search(_mass_words(sentence)))))
        elif groups and not _NOT_A_MASS.search(sentence.split(",")[0]) and not _KIDNEYS.search(sentence):
            groups[-1].sentences.append(sentence)
            groups[-1].simple_cyst &= not _NOT_SIMPLE.search(_affirmed_words(sentence))
    return groups


def _introduces(sentence: str, known: bool) -> bool:
    """Whether a sentence brings in a mass, rather than going on about one or saying that there is none."""
    if known and _GOES_ON.match(sentence) and not _FURTHER.search(sentence):
        return False
    for clause in clauses(sentence):
        for match in _MASS.finditer(clause):
            stone = _NOT_A_MASS.search(sentence if _SPOT.search(match[0]) else clause)
            if stone or negated(clause, match.start(), match.end()):
                continue
            refers = _REFERS.search(clause[: match.start()]) or _WITHIN.search(clause[: match.end()])
            same = refers or match[0].lower() == "cystic" or _DIAGNOSIS.match(match[0])
            if not known or _FURTHER.search(sentence) or not same:
                return True
    return False


def _is_simple_cyst(sentence: str) -> bool:
    words = _affirmed_words(sentence)
    fluid = re.search(r"\b(?:water|fluid)[- ](?:density|attenuation)\b", words, re.IGNORECASE)
    return bool((_CYST.search(words) or fluid) and not _NOT_SIMPLE.search(words))


def _affirmed_words(sentence: str) -> str:
    """The sentence without what it denies."""
    return re.sub(r"\b(?:no|without|not)\b[^,;.]*", " ", sentence, flags=re.IGNORECASE)


def _mass_words(sentence: str) -> str:
    """The words around the first mass, where its number is told."""
    match = _MASS.search(sentence)
    return " ".join([sentence[: match.end()], *sentence[match.end() :].split()[:2]]) if match else sentence
