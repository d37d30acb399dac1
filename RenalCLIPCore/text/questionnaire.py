"""The fourteen questions about a kidney's mass, as data (paper, Supplementary Tables 33 and 34)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import yaml

from ..errors import InputError
from ..resources import resources

QUESTIONS = 14
FILE = "questionnaire/renal-mass.yaml"
DONT_KNOW = "DK"
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True)
class Question:
    """One question.

    Attributes:
        number: 1 to 14.
        name: Short name in code and tables, for instance ``margin``.
        text: What is asked.
        options: Words of each option; the last says that the report does not tell, or that there is no mass.
    """

    number: int
    name: str
    text: str
    options: tuple[str, ...]

    @property
    def absent(self) -> int:
        """Index of the option "not mentioned or no mass"."""
        return len(self.options) - 1

    @property
    def letters(self) -> str:
        """One letter per option."""
        return _LETTERS[: len(self.options)]

    def prompt(self) -> str:
        """The question with its lettered options, one line."""
        options = " ".join(f"{letter}) {words}." for letter, words in zip(self.letters, self.options, strict=True))
        return f"{self.number}. {self.text} {options}"


@dataclass(frozen=True)
class Questionnaire:
    """The questions in order."""

    version: str
    questions: tuple[Question, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Name of each question."""
        return tuple(question.name for question in self.questions)

    @property
    def class_counts(self) -> tuple[int, ...]:
        """Number of options of each question."""
        return tuple(len(question.options) for question in self.questions)

    @property
    def no_mass(self) -> tuple[int, ...]:
        """The answers for a kidney without a mass."""
        return tuple(question.absent for question in self.questions)

    def prompt(self) -> str:
        """All questions, one line each."""
        return "\n".join(question.prompt() for question in self.questions)

    def words(self, answers: tuple[int | None, ...]) -> dict[str, str]:
        """Answers in words by question name; None becomes "don't know"."""
        return {
            question.name: "don't know" if answer is None else question.options[answer]
            for question, answer in zip(self.questions, answers, strict=True)
        }


@lru_cache(maxsize=1)
def questionnaire() -> Questionnaire:
    """The shipped questionnaire."""
    return read_questionnaire(resources() / FILE)


def read_questionnaire(path: Path) -> Questionnaire:
    """Read a questionnaire.

    Raises:
        InputError: The file is missing or not of this form.
    """
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
        questions = tuple(
            Question(number, item["name"], item["text"], tuple(item["options"]))
            for number, item in enumerate(document["questions"], 1)
        )
        version = str(document["version"])
    except (OSError, ValueError, yaml.YAMLError, KeyError, TypeError) as error:
        raise InputError(f"{path.name} is no readable questionnaire; install RenalCLIP again.") from error
    words = [option for question in questions for option in (question.name, question.text, *question.options)]
    if len(questions) != QUESTIONS or not all(isinstance(word, str) for word in words):
        raise InputError(f"{path.name} must hold {QUESTIONS} questions whose names, texts and options are words.")
    return Questionnaire(version, questions)
