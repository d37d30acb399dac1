"""What a report holds a mass to be, and how firmly: questions 12 and 13."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from .clauses import negated
from .masses import MassSentences

MALIGNANT, AML, CYST, OTHER_BENIGN = range(4)
_KINDS: Final = (
    (AML, re.compile(r"\b(?:angiomyolipomas?|amls?|hamartomas?)\b", re.IGNORECASE)),
    (OTHER_BENIGN, re.compile(r"\b(?:oncocytomas?|adenomas?)\b", re.IGNORECASE)),
    (
        MALIGNANT,
        re.compile(
            r"\b(?:malignan\w*|carcinomas?|rccs?|cancers?|cancerous|sarcomas?|"
            r"bosniak(?: type| category| class)? (?:iv|iii|3|4))\b",
            re.IGNORECASE,
        ),
    ),
    (
        CYST,
        re.compile(
            r"\b(?:cysts?|cystic (?:lesions?|foc[iu]s?|changes?)|bosniak(?: type| category| class)? (?:ii?f?|1|2f?))\b",
            re.IGNORECASE,
        ),
    ),
    (OTHER_BENIGN, re.compile(r"\bbenign\b", re.IGNORECASE)),
)
_FIRM: Final = re.compile(
    r"\b(?:highly|most likely|very likely|most probabl[ey]|strongly|consistent with|compatible with|diagnostic|typical|"
    r"characteristic|definite(?:ly)?|in keeping with|pathognomonic|classic|certain(?:ly)?|simple)\b",
    re.IGNORECASE,
)
_HEDGED: Final = re.compile(
    r"\b(?:likely|probabl[ey]|possib\w+|suspect\w*|suspicious|suspicion|suggest\w*|consider\w*|favou?r\w*|may|might|could|"
    r"perhaps|presumabl\w+|cannot|can not|query|concern\w*|indicat\w*|rather|tend\w*|lean\w*|appear\w*)\b|\?",
    re.IGNORECASE,
)
_NOT_EXCLUDED: Final = re.compile(
    r"(?:cannot|can ?not|could not|not) be (?:\w+ )?(?:excluded|ruled out)|to be excluded|not excluded|to exclude|"
    r"rule out|(?:differential|versus|vs\b|less likely)",
    re.IGNORECASE,
)
_UNDECIDED: Final = re.compile(
    r"\b(?:indeterminate|benign or malignant|malignant or benign|undetermined|uncertain|unclear nature)\b",
    re.IGNORECASE,
)

_PARTS: Final = re.compile(
    r"\s*;\s*|,\s+(?=(?:but|although|while|however|with|the|a|an)\b)|\s+(?:but|although|while)\s+", re.IGNORECASE
)


@dataclass(frozen=True)
class _Opinion:
    """A named kind of lesion, and how firmly it is held."""

    kind: int
    firm: bool
    open_only: bool


def malignancy(mass: MassSentences) -> int | None:
    """Question 12."""
    opinion = _opinion(mass)
    if opinion is None:
        undecided = any(_UNDECIDED.search(sentence) for sentence in mass.all)
        return None if undecided else 4
    if opinion.kind == MALIGNANT:
        return 1 if opinion.firm else 3
    return 0 if opinion.firm else 2


def nature(mass: MassSentences) -> int | None:
    """Question 13."""
    opinion = _opinion(mass)
    if opinion is None:
        undecided = any(_UNDECIDED.search(sentence) for sentence in mass.all)
        return None if undecided else 4
    return opinion.kind


def _opinion(mass: MassSentences) -> _Opinion | None:
    """The impression's leading opinion, else that of the findings."""
    for part in (mass.impression, mass.main):
        found = [opinion for sentence in part for opinion in _opinions(sentence)]
        if any(_UNDECIDED.search(sentence) for sentence in part):
            return None
        leading = [opinion for opinion in found if not opinion.open_only] or found
        if leading:
            return leading[0]
    return None


def _opinions(sentence: str) -> list[_Opinion]:
    found: list[tuple[int, _Opinion]] = []
    for part in _PARTS.split(sentence):
        offset = sentence.find(part)
        is_open = bool(_NOT_EXCLUDED.search(part))
        for kind, pattern in _KINDS:
            match = pattern.search(part)
            if match is None or (negated(part, match.start(), match.end()) and not is_open):
                continue
            firm = bool(_FIRM.search(part)) or not _HEDGED.search(part)
            found.append((offset + match.start(), _Opinion(kind, firm and not is_open, is_open)))
    opinions = [opinion for _, opinion in sorted(found, key=lambda item: item[0])]
    # "benign cyst", "malignant tumour, clear cell carcinoma": a general word before a kind says nothing of its own.
    specific = [opinion for opinion in opinions if opinion.kind != OTHER_BENIGN]
    if opinions and opinions[0].kind == OTHER_BENIGN and specific and not re.search(r"oncocyt|adenoma", sentence, re.I):
        return specific if specific[0].kind != MALIGNANT else opinions
    return opinions
