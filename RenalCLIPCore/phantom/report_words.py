"""The phantom's phrases, and how a statement becomes a sentence in a language."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from ..errors import InputError
from ..resources import resources

FILE = "phantom/report-phrases.yaml"
LANGUAGES = ("en", "zh")
SMALL_MM = 30
_ARTICLE = re.compile(r"\b([Aa])\(n\) (?=(\S+))")
_VOWEL = re.compile(r"[aeio]|8|11(?!\d)|18(?!\d)|un(?!i)", re.IGNORECASE)


@dataclass(frozen=True)
class Statement:
    """One thing that a report says.

    Attributes:
        key: Key of the phrases.
        option: Option among them; empty where the key has none.
        side: Kidney, or empty.
        place: Option of the place, or None.
        size_mm: Long and short diameter in whole millimetres, or None.
        size_style: Which way of writing sizes.
        mass: Option of the composition that the noun tells, or None.
        shape: Option of the shape that an adjective tells, or None.
    """

    key: str
    option: str = ""
    side: str = ""
    place: int | None = None
    size_mm: tuple[int, int] | None = None
    size_style: int = 0
    mass: int | None = None
    shape: int | None = None


@dataclass(frozen=True)
class Phrases:
    """Phrases of one language."""

    document: Mapping[str, Any] = field(repr=False)

    @property
    def stop(self) -> str:
        """What ends a sentence."""
        return str(self.document["stop"])

    def sentence(self, statement: Statement, generator: np.random.Generator) -> str:
        """A statement in words, without its stop."""
        text = _drawn(self._choices(statement.key, statement.option), generator)
        names = {"side": "", "Side": "", "size": "", "place": "", "mass": ""}
        if statement.side:
            side = str(self.document["side"][statement.side])
            names |= {"side": side, "Side": side.capitalize()}
        if statement.place is not None:
            names["place"] = _drawn(self.document["place"][statement.place], generator)
        if statement.mass is not None:
            names["mass"] = self._mass(statement, generator)
        if statement.size_mm is not None:
            names["size"] = self._size(statement.size_mm, statement.size_style)
        return _articles(text.format(**names))

    def joined(self, sentences: Sequence[str]) -> str:
        """Sentences as one text."""
        return "".join(f"{sentence[0].upper()}{sentence[1:]}{self.stop}" for sentence in sentences).strip()

    def numbered(self, sentences: Sequence[str]) -> str:
        """Sentences as a numbered list on one line."""
        return " ".join(
            f"{number}. {sentence[0].upper()}{sentence[1:]}{self.stop}".strip()
            for number, sentence in enumerate(sentences, 1)
        )

    def _choices(self, key: str, option: str) -> Sequence[str]:
        entry = self.document[key]
        return entry if not option else next(value for name, value in entry.items() if str(name) == option)

    def _mass(self, statement: Statement, generator: np.random.Generator) -> str:
        choices = list(self.document["mass"][statement.mass])
        if statement.size_mm is not None and statement.size_mm[0] < SMALL_MM:
            choices += self.document["small_mass"][statement.mass]
        noun = _drawn(choices, generator)
        if statement.shape is None:
            return noun
        word = _drawn(self.document["shape_word"][statement.shape], generator)
        return f"{word} {noun}" if self.stop.startswith(".") else f"{word}{noun}"

    def _size(self, size_mm: tuple[int, int], style: int) -> str:
        long_mm, short_mm = size_mm
        ways = self.document["size"]
        return str(ways[style % len(ways)]).format(
            long=long_mm, short=short_mm, long_cm=f"{long_mm / 10:.1f}", short_cm=f"{short_mm / 10:.1f}"
        )


@lru_cache(maxsize=len(LANGUAGES))
def phrases(language: str) -> Phrases:
    """The shipped phrases of ``en`` or ``zh``.

    Raises:
        InputError: The installation lacks them.
    """
    return read_phrases(resources() / FILE, language)


def read_phrases(path: Path, language: str) -> Phrases:
    """Phrases of a language from a file with the shipped file's keys.

    Raises:
        InputError: The file is missing or malformed, or lacks the language.
    """
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))[language]
    except (OSError, ValueError, yaml.YAMLError, KeyError, TypeError) as error:
        raise InputError(f"{path.name} holds no report phrases of the language {language!r}.") from error
    if not isinstance(document, dict):
        raise InputError(f"{path.name} holds no report phrases of the language {language!r}.")
    return Phrases(document)


def _drawn(choices: Sequence[str], generator: np.random.Generator) -> str:
    return str(choices[int(generator.integers(len(choices)))])


def _articles(text: str) -> str:
    return _ARTICLE.sub(lambda match: f"{match[1]}{'n' if _VOWEL.match(match[2]) else ''} ", text)
