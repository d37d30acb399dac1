"""Clauses of a sentence, and whether a word in them is negated."""

from __future__ import annotations

import re

_SPLIT = re.compile(r"\s*[,;:()]\s*|\s+(?:but|while|whereas|although|however|and then|followed by)\s+", re.IGNORECASE)
_BEFORE = re.compile(
    r"\b(?:no|not|without|absent|absence|lacks?|lacking|free of|negative for|neither|nor|denies|never|"
    r"nothing|hardly|excludes?|excluded|exclude|rather than|failed to)\b[\s-]",
    re.IGNORECASE,
)
_AFTER = re.compile(
    r"\b(?:not|no longer|never)\s+(?:\w+\s+)?(?:seen|identified|detected|observed|noted|found|visible|"
    r"demonstrated|present|evident|shown|appreciated|involved|invaded|enhanced?|enhancing|infiltrated)\b|"
    r"\b(?:is|are|was|were) absent\b|\bspared\b|\bpreserved\b|\bunlikely\b|\bexcluded\b",
    re.IGNORECASE,
)
_ADJACENT = re.compile(r"\b(?:non|un)[\s-]?$", re.IGNORECASE)
_BOUNDARY = re.compile(r"[,;:]|\.\s")
_SCOPE = 60  # characters that a negation reaches forwards


def clauses(sentence: str) -> tuple[str, ...]:
    """The sentence's clauses, without the punctuation between them; decimal numbers stay whole."""
    return tuple(part for part in _SPLIT.split(sentence) if part)


def negated(clause: str, start: int, end: int) -> bool:
    """Whether the words from ``start`` to ``end`` of a clause are negated within it."""
    ahead = _BOUNDARY.split(clause[max(0, start - _SCOPE) : start])[-1]
    return any((_BEFORE.search(f"{ahead} "), _ADJACENT.search(ahead), _AFTER.search(clause, end)))


def affirmed(pattern: re.Pattern[str], text: str) -> bool | None:
    """Whether a pattern is said of a sentence: True affirmed, False only negated, None not mentioned."""
    found: bool | None = None
    for clause in clauses(text):
        for match in pattern.finditer(clause):
            if not negated(clause, match.start(), match.end()):
                return True
            found = False
    return found
