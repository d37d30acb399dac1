"""Report text as the text encoder reads it: sentences, the caption of one kidney, and its shuffled versions."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Protocol

NO_ABNORMALITY = "No abnormality is described in this kidney."
_ABBREVIATIONS = re.compile(
    r"\b(?:approx|ca|cf|fig|dr|vs|resp|e\.g|i\.e|incl|max|min|st)\.$|(?:^|[\s(])(?:[A-Z]\.)+$", re.IGNORECASE
)
# A full stop ends a sentence before white space; a stop inside a number, or after the number of a list, does not.
_END = re.compile(r"(?<=[.!?;])\s+|(?<=[。！？；])\s*|\s*\n+\s*")
_FINDINGS = re.compile(r"^\s*findings\s*[:：]", re.IGNORECASE)
_IMPRESSION = re.compile(r"\bimpressions?\s*[:：]", re.IGNORECASE)
_ENUMERATOR = re.compile(r"^\s*(?:\(?\d{1,2}[.):、]|[-*•])\s*(?=\D)")


class Permutes(Protocol):
    """The part of numpy's Generator that shuffling needs."""

    def permutation(self, x: int, /) -> Iterable[int]:
        """The numbers 0 to x - 1 in a random order."""


def sentences(text: str) -> tuple[str, ...]:
    """Sentences of a report in order, without list numbers and bullets (English, Chinese stops, semicolons, lines)."""
    return tuple(cleaned for stretch in stretches(text) if (cleaned := stretch.rstrip(" ;；")))


def stretches(text: str) -> tuple[str, ...]:
    """The same with the semicolons that end some of them."""
    pieces: list[str] = []
    held = ""
    for piece in _END.split(re.sub(r"[^\S\n]+", " ", text)):
        held = f"{held} {piece}".strip() if held else piece.strip()
        if held and not _ABBREVIATIONS.search(held) and not re.fullmatch(r"\(?\d{1,2}[.):]", held):
            pieces.append(held)
            held = ""
    pieces += [held] if held else []
    return tuple(cleaned for piece in pieces if (cleaned := _ENUMERATOR.sub("", piece).strip()).strip(";；"))


def caption(findings: str, impression: str) -> str:
    """The caption of one kidney: ``Findings: ...`` and ``Impression: ...`` on a line each.

    A kidney of which nothing is said shows no abnormality; where one of the two parts is empty, its line is left out.
    """
    findings, impression = " ".join(findings.split()), " ".join(impression.split())
    if not findings and not impression:
        findings = NO_ABNORMALITY
    parts = [("Findings", findings), ("Impression", impression)]
    return "\n".join(f"{name}: {words}" for name, words in parts if words)


def parse_caption(text: str) -> tuple[str, str]:
    """Findings and Impression of a caption, also of one that a language model wrote.

    What stands before the first heading counts as findings; a missing heading leaves its section empty.
    """
    before, _, after = _IMPRESSION.sub("\0", text, count=1).partition("\0")
    findings = _FINDINGS.sub("", before, count=1)
    return " ".join(findings.split()), " ".join(after.split())


def shuffled_caption(findings: str, impression: str, generator: Permutes) -> str:
    """The caption with the sentences of each section in random order (paper, text augmentation).

    Args:
        findings: Text, any number of sentences.
        impression: Text.
        generator: A ``numpy.random.Generator``; both sections draw from it, findings first.
    """
    return caption(_shuffled(findings, generator), _shuffled(impression, generator))


def _shuffled(text: str, generator: Permutes) -> str:
    parts = sentences(text)
    order: list[int] = [int(index) for index in generator.permutation(len(parts))]
    return " ".join(_stopped(parts[index]) for index in order)


def _stopped(sentence: str) -> str:
    return sentence if sentence[-1] in ".!?。！？" else f"{sentence}."
