"""A report of both kidneys, parted into what is said of the left and of the right one, by rules (English or Chinese).

A sentence without an organ goes on about the organ of the sentence before it. What names both sides belongs to both,
unless its clauses name one side each.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .captions import stretches
from .language import ReportLanguageError, check_length, language

SIDES = ("left", "right")

_KIDNEY = re.compile(
    r"\b(?:kidneys?|renal|nephr\w+|pelvi\w*calyceal|pyelo\w*|calyx|calyces|caliectasis|hydronephrosis|ureters?|ureteral|"
    r"perirenal|perinephric|peripelvic|parapelvic|collecting systems?)\b|肾(?!上腺)|输尿管|肾盂|肾盏",
    re.IGNORECASE,
)
_NOT_KIDNEY = re.compile(r"\b(?:adrenals?|suprarenal)(?:\s+glands?)?\b|\brenal adrenals?\b|肾上腺", re.IGNORECASE)
_OTHER = re.compile(
    r"\b(?:liver|hepatic|gall\s?bladder|bile|biliary|spleen|splenic|pancrea\w*|adrenals?|suprarenal|stomach|gastric|"
    r"bowel|colon\w*|duoden\w*|append\w*|mesent\w*|periton\w*|asci\w+|retroperitone\w*|lymph\w*|aort\w*|lungs?|"
    r"pulmonary|pleura\w*|heart|cardiac|pericard\w*|thora\w+|bones?|vertebra\w*|spine|spinal|osseous|ribs?|uter\w+s?|"
    r"ovar\w+|adnex\w*|prostate|bladder|abdominal wall|hernia\w*|breast|thyroid|trachea|mediastin\w*|free fluid|"
    r"pelvic cavity)\b|肝|胆|脾|胰|肾上腺|胃|肠|腹腔|腹水|腹膜|淋巴|主动脉|肺|胸|骨|椎|子宫|前列腺|膀胱",
    re.IGNORECASE,
)
_LEFT = re.compile(r"\bleft(?:-sided)?\b|左", re.IGNORECASE)
_RIGHT = re.compile(r"\bright(?:-sided)?\b|右", re.IGNORECASE)
_BOTH = re.compile(r"\b(?:both|bilateral(?:ly)?|either|kidneys)\b|双|两侧|双侧", re.IGNORECASE)
_BREAK = re.compile(r"\s*[,，、]\s*(?:and\s+|while\s+)?|\s+(?:and|while|whereas|but)\s+(?=[^,]*\b(?:left|right)\b)")
_GOES_ON = re.compile(
    r"\s*(?:its?|this|these|the (?:\w+ )?(?:mass|lesion|tumou?r|nodule|cyst)\w*)\b|病灶|肿块|其", re.IGNORECASE
)
_HEADING = re.compile(r"^\s*(?:the\s+)?(left|right|both|左|右|双)\s*(?:kidneys?|肾)?\s*[:：]", re.IGNORECASE)


@dataclass(frozen=True)
class SideText:
    """What a report says of one kidney; empty where it says nothing."""

    findings: str = ""
    impression: str = ""

    @property
    def empty(self) -> bool:
        """Whether nothing is said."""
        return not self.findings.strip() and not self.impression.strip()


@dataclass(frozen=True)
class PartedReport:
    """A report by side; ``mentions_kidney`` is False where it speaks of no kidney at all."""

    left: SideText
    right: SideText

    @property
    def mentions_kidney(self) -> bool:
        """Whether any sentence was given to a side."""
        return not (self.left.empty and self.right.empty)

    def side(self, name: str) -> SideText:
        """The text of ``left`` or ``right``."""
        return {"left": self.left, "right": self.right}[name]


def part_report(findings: str, impression: str) -> PartedReport:
    """Part a report by rules.

    Raises:
        ReportTooLongError: It is no single report.
        ReportLanguageError: It is neither English nor Chinese.
    """
    check_length(findings + impression)
    if language(f"{findings} {impression}") not in ("en", "zh", ""):
        raise ReportLanguageError(
            "The rules part English and Chinese reports, and this one is in another language; part it with an endpoint "
            "or a local model."
        )
    first, second = _part(findings), _part(impression)
    return PartedReport(*(SideText(first[side], second[side]) for side in SIDES))


def _part(text: str) -> dict[str, str]:
    kept: dict[str, list[str]] = {side: [] for side in SIDES}
    current: tuple[str, ...] = ()
    for sentence in stretches(text):
        named = _named_sides(sentence)
        if named:
            current = named
        elif named is not None:
            current = current or SIDES
        elif (_OTHER.search(sentence) or _sides(sentence)) and not _GOES_ON.match(sentence):
            current = ()
        for side, words in _shares(sentence, current):
            kept[side].append(words)
    return {side: _joined(parts) for side, parts in kept.items()}


def kidneys_named(sentence: str) -> tuple[str, ...] | None:
    """Sides of the kidneys that a sentence is about, none where it tells no side; None where it names no kidney."""
    return _named_sides(sentence)


def other_organ(sentence: str) -> bool:
    """Whether a sentence speaks of another organ and of no kidney."""
    return _named_sides(sentence) is None and bool(_OTHER.search(sentence)) and not _GOES_ON.match(sentence)


def _named_sides(sentence: str) -> tuple[str, ...] | None:
    """Sides of the kidneys that a sentence is about, none where it tells no side; None where it names no kidney."""
    plain = _NOT_KIDNEY.sub(" adrenal ", sentence)
    if not _KIDNEY.search(plain):
        heading = _HEADING.match(sentence)
        return _sides(heading[1]) if heading else None
    return _sides(plain)


def _sides(words: str) -> tuple[str, ...]:
    if _BOTH.search(words) and not (_LEFT.search(words) and _RIGHT.search(words)):
        return SIDES
    return tuple(side for side, pattern in zip(SIDES, (_LEFT, _RIGHT), strict=True) if pattern.search(words))


def _shares(sentence: str, sides: tuple[str, ...]) -> Iterable[tuple[str, str]]:
    """Which side gets which words: clauses with a side of their own part a sentence that names both."""
    if len(sides) == 2 and _LEFT.search(sentence) and _RIGHT.search(sentence):
        parts = _BREAK.split(sentence)
        owners = [_sides(part) for part in parts]
        if owners[0] and all(len(owner) <= 1 for owner in owners):
            yield from _clause_shares(parts, owners)
            return
    for side in sides:
        yield side, sentence


def _clause_shares(parts: list[str], owners: list[tuple[str, ...]]) -> Iterable[tuple[str, str]]:
    gathered: dict[str, list[str]] = {side: [] for side in SIDES}
    owner: tuple[str, ...] = ()
    for part, own in zip(parts, owners, strict=True):
        owner = own or owner
        gathered[owner[0]].append(part.strip())
    for side, words in gathered.items():
        if words:
            yield side, ", ".join(words)


def _joined(parts: Sequence[str]) -> str:
    words = " ".join(_stopped(part) for part in parts)
    words = re.sub(r"(?<=[。；！？]) ", "", words)  # Chinese puts no space after a stop
    return _stopped(words.rstrip(" ;；")) if words else ""


def _stopped(sentence: str) -> str:
    if sentence[-1] in ".!?;。！？；":
        return sentence
    return sentence + ("。" if language(sentence) == "zh" else ".")
