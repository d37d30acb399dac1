"""The fourteen answers read from the English report of one kidney by rules: the default where no endpoint is named.

The questions are about the main mass; a subject that the sentences about it do not touch is "not mentioned", one that
they touch without deciding it (two locations, "benign or malignant") is None, "don't know".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final

from .clauses import affirmed, clauses, negated
from .language import check_english, check_length
from .masses import MassSentences, mass_sentences
from .opinions import malignancy, nature
from .questionnaire import questionnaire
from .vocabulary import spoken

Answers = tuple[int | None, ...]
_Rule = Callable[[MassSentences], int | None]


_POLES: Final = ("upper pole", "middle part", "lower pole")
_NUMBER: Final = r"(\d{1,3}(?:\.\d+)?)"
_TIMES: Final = rf"(?:\s*(?:mm|cm)?\s*[x×*]\s*{_NUMBER})?"
_SIZE: Final = re.compile(rf"{_NUMBER}{_TIMES}{_TIMES}\s*-?\s*(mm|cm)\b", re.IGNORECASE)
_DISTANCE: Final = re.compile(
    r"\s*(?:or (?:more|less)\s+)?(?:away\s+)?(?:from|deep)\b|\s*thick|\s*of the (?:renal )?(?:sinus|collecting)",
    re.IGNORECASE,
)
_DENIAL: Final = re.compile(r"\s*(?:no|not|without)\b", re.IGNORECASE)
_SHAPES: Final = ((3, "lobulated"), (1, "irregular"), (0, "round"), (2, "mass-like"))
_DENSITIES: Final = (
    (5, "mixed density"), (3, "heterogeneous density"), (0, "hypodense"), (2, "hyperdense"), (1, "isodense"),
)  # fmt: skip
_DEGREES: Final = ((3, "marked"), (2, "moderate"), (1, "mild"))


def read_answers(findings: str, impression: str) -> Answers:
    """The fourteen answers of one kidney's report; without a mass every answer is "not mentioned or no mass".

    Args:
        findings: English text about this kidney alone; may be empty.
        impression: The same.

    Raises:
        ReportTooLongError: The text is no single report.
        ReportLanguageError: It is not English.
    """
    check_length(findings + impression)
    check_english(f"{findings} {impression}")
    mass = mass_sentences(findings, impression)
    if mass is None:
        return questionnaire().no_mass
    return tuple(rule(mass) for rule in _RULES)


def sentence_answers(sentence: str) -> Answers:
    """The fourteen answers of one English sentence about a mass, by the same rules."""
    mass = MassSentences((sentence,), (), several=False)
    return tuple(rule(mass) for rule in _RULES)


def _number(mass: MassSentences) -> int:
    return 1 if mass.several else 0


def _location(mass: MassSentences) -> int | None:
    for part in (mass.main, mass.impression):
        said = [clause for sentence in part for clause in clauses(sentence) if not _DENIAL.match(clause)]
        found = [number for number, pole in enumerate(_POLES) if any(spoken(pole).search(clause) for clause in said)]
        if found:
            return found[0] if len(found) == 1 else None
    return 3


def _size(mass: MassSentences) -> int:
    found = [size for sentence in mass.all for part in clauses(sentence) for size in sizes_mm(part)]
    return sum(max(found) > edge for edge in (40, 70, 100)) if found else 4


def sizes_mm(clause: str) -> list[float]:
    """Sizes that a clause tells, each the largest of its diameters; no distances and no earlier sizes."""
    sizes = []
    for match in _SIZE.finditer(clause):
        if _DISTANCE.match(clause, match.end()) or spoken("not a size").search(clause[: match.start()]):
            continue
        scale = 10.0 if match[4].lower() == "cm" else 1.0
        sizes.append(scale * max(float(number) for number in match.groups()[:3] if number))
    return sizes


def _exophytic(mass: MassSentences) -> int:
    return 0 if _said(mass, "exophytic") else 1


def _shape(mass: MassSentences) -> int:
    return next((answer for answer, words in _SHAPES if _said(mass, words)), 4)


def _composition(mass: MassSentences) -> int:
    if _said(mass, "cystic and solid") or (_said(mass, "solid part of a cyst") and _said(mass, "cystic")):
        return 1
    if _said(mass, "solid"):
        return 2
    return 0 if _said(mass, "cystic") else 3


def _density(mass: MassSentences) -> int:
    parts = _clauses(mass)
    if any(affirmed(spoken("fat"), spoken("other fat").sub(" ", part)) for part in parts):
        return 4
    whole = [part for part in parts if not spoken("part of a mass").search(part)]
    told = [spoken("no enhancement").sub(" ", part) for part in whole]
    native = [
        part for part in told if spoken("before contrast").search(part) or not spoken("after contrast").search(part)
    ]
    return next((answer for answer, words in _DENSITIES if any(affirmed(spoken(words), part) for part in native)), 6)


def _necrosis(mass: MassSentences) -> int:
    found = _said(mass, "necrosis")
    return 2 if found is None else 1 - int(found)


def _enhancement(mass: MassSentences) -> int:
    parts = [part for part in _clauses(mass) if spoken("enhancement").search(part)]
    if not parts:
        return 6
    seen = [part for part in parts if not _unenhanced(part) and not spoken("part of a mass").search(part)]
    if not seen:
        return 0
    # A statement about no phase in particular is about all of them.
    seen = [part for part in seen if not _of_one_phase(part)] or seen
    if any(spoken("wall or septa").search(part) for part in seen):
        return 5
    if any(spoken("uneven").search(part) for part in seen):
        return 4
    return max((_degree(part) or 1) for part in seen)


def _of_one_phase(part: str) -> bool:
    return bool(spoken("arterial phase").search(part) or spoken("later phase").search(part))


def _unenhanced(part: str) -> bool:
    return bool(spoken("no enhancement").search(part))


def _degree(clause: str) -> int | None:
    return next((degree for degree, words in _DEGREES if spoken(words).search(clause)), None)


def _arterial(mass: MassSentences) -> int | None:
    parts = [
        piece for part in _clauses(mass) for piece in _phase_pieces(part) if spoken("arterial phase").search(piece)
    ]
    if not parts:
        return 0 if _enhancement(mass) == 0 else 3
    if all(_unenhanced(part) or spoken("insignificant").search(part) for part in parts):
        return 0
    degrees = [degree for part in parts if (degree := _degree(part)) is not None]
    # A moderate degree is no option of this question.
    return {3: 2, 2: None, 1: 1}[max(degrees)] if degrees else None


def _phase_pieces(part: str) -> list[str]:
    """Pieces of a clause about one phase each: "marked in the arterial phase and moderate in the venous phase"."""
    return re.split(r"\s+(?:and|with|then)\s+", part) if spoken("later phase").search(part) else [part]


def _margin(mass: MassSentences) -> int | None:
    blurred, clear = _said(mass, "blurred margin"), _said(mass, "clear margin")
    if blurred and clear:
        return None
    if blurred or clear is False:
        return 1
    return 0 if clear else 2


def _invasion(mass: MassSentences) -> int:
    found = {answer for sentence in mass.all for part in re.split(r"\s*[,;]\s*", sentence) for answer in _invaded(part)}
    return min(found, default=2)


def _invaded(part: str) -> tuple[int, ...]:
    """The answer of a clause, if it has one."""
    if not spoken("collecting system").search(part):
        return ()
    match = spoken("invasion").search(part)
    if match is None:
        return (1,) if spoken("spared").search(part) else ()
    return (int(negated(part, match.start(), match.end())),)


def _said(mass: MassSentences, meaning: str) -> bool | None:
    return affirmed(spoken(meaning), " ; ".join(mass.all))


def _clauses(mass: MassSentences) -> list[str]:
    return [part for sentence in mass.all for part in clauses(sentence)]


_RULES: Sequence[_Rule] = (
    _number, _location, _size, _exophytic, _shape, _composition, _density, _necrosis, _enhancement, _arterial,
    _margin, malignancy, nature, _invasion,
)  # fmt: skip
