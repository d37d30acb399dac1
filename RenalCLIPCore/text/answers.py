"""Answers of a language model, checked: what is not of the asked form, or not in the report, is no answer."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from .captions import sentences
from .completion import BrokenAnswerError
from .language import language
from .partition import SIDES, PartedReport, SideText
from .questionnaire import DONT_KNOW, questionnaire

PARTS = ("findings", "impression")
_COPIED_SHARE = 0.8
_LETTER = re.compile(r"\s*([A-Z])\s*(?:[).:].*)?", re.DOTALL)
_MEASURE = re.compile(r"(\d+(?:\.\d+)?)\s*(?=(?:[x×*]|mm|cm|hu|毫米|厘米))", re.IGNORECASE)


def parse_attributes(text: str) -> tuple[int | None, ...]:
    """The fourteen answers of ``{"1": "A", ..., "14": "DK"}``.

    Raises:
        BrokenAnswerError: No such object, a question is missing or unknown, or an option does not exist.
    """
    document = _object(text)
    questions = questionnaire().questions
    wanted = [str(question.number) for question in questions]
    _check_keys(document, wanted)
    return tuple(_option(document[key], question.letters, key) for key, question in zip(wanted, questions, strict=True))


def parse_partition(text: str, findings: str, impression: str) -> PartedReport:
    """A parted report, whose text must come from the report.

    Raises:
        BrokenAnswerError: It is not of the asked form, or most of a side's text is not in the report.
    """
    document = _object(text)
    _check_keys(document, PARTS)
    sides: dict[str, dict[str, str]] = {side: {} for side in SIDES}
    for part in PARTS:
        _check_keys(_mapping(document[part], part), SIDES)
        for side in SIDES:
            words = _string(document[part][side], f"{part} of the {side} kidney")
            _check_copied(words, f"{findings}\n{impression}", f"{part} of the {side} kidney")
            sides[side][part] = words
    return PartedReport(*(SideText(**sides[side]) for side in SIDES))


def parse_translation(text: str, source: SideText) -> SideText:
    """An English translation that keeps every measurement.

    Raises:
        BrokenAnswerError: Not of the asked form, not English, empty where the source is not, or without a measurement.
    """
    document = _object(text)
    _check_keys(document, PARTS)
    found = SideText(*(_string(document[part], part) for part in PARTS))
    for part in PARTS:
        before, after = getattr(source, part).strip(), getattr(found, part).strip()
        if bool(before) != bool(after):
            raise BrokenAnswerError(f"the {part} must be empty exactly where they are empty in the report.")
        if set(_MEASURE.findall(before)) - set(re.findall(r"\d+(?:\.\d+)?", after)):
            raise BrokenAnswerError(f"a measurement of the {part} is missing from the translation.")
    if language(f"{found.findings} {found.impression}") not in ("en", ""):
        raise BrokenAnswerError("the translation is not in English.")
    return found


def _object(text: str) -> dict[str, Any]:
    """The first JSON object in a text; models like to put words or a fence around it."""
    start = text.find("{")
    if start < 0:
        raise BrokenAnswerError("it holds no JSON object.")
    try:
        document, _ = json.JSONDecoder().raw_decode(text, start)
    except (ValueError, RecursionError) as error:
        raise BrokenAnswerError("its JSON is broken.") from error
    return _mapping(document, "answer")


def _mapping(value: Any, place: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise BrokenAnswerError(f"the {place} must be a JSON object.")
    return value


def _string(value: Any, place: str) -> str:
    if not isinstance(value, str):
        raise BrokenAnswerError(f"the {place} must be a string.")
    return value.strip()


def _check_keys(document: Mapping[str, Any], wanted: tuple[str, ...] | list[str]) -> None:
    if set(document) != set(wanted):
        raise BrokenAnswerError(f"the keys must be exactly {', '.join(wanted)}.")


def _option(value: Any, letters: str, key: str) -> int | None:
    words = _string(value, f"answer to question {key}")
    if words.upper() == DONT_KNOW:
        return None
    match = _LETTER.fullmatch(words)
    if match is None or match[1] not in letters:
        raise BrokenAnswerError(f"question {key} has the options {', '.join(letters)} and {DONT_KNOW}, no other.")
    return letters.index(match[1])


def _check_copied(words: str, report: str, place: str) -> None:
    """Most of the text, by length, must stand in the report."""
    parts = [_plain(sentence) for sentence in sentences(words)]
    whole = _plain(report)
    copied = sum(len(part) for part in parts if part in whole)
    if copied < _COPIED_SHARE * sum(map(len, parts)):
        raise BrokenAnswerError(f"the {place} must be copied from the report, word by word.")


def _plain(words: str) -> str:
    return re.sub(r"[\W_]+", "", words).lower()
