"""Words of English reports by what they say, as data: ``Resources/questionnaire/english-vocabulary.yaml``."""

from __future__ import annotations

import re
from functools import lru_cache

import yaml

from ..errors import InputError
from ..resources import resources

FILE = "questionnaire/english-vocabulary.yaml"


def spoken(meaning: str) -> re.Pattern[str]:
    """The expression that finds a meaning, for instance ``clear margin``."""
    return vocabulary()[meaning]


@lru_cache(maxsize=1)
def vocabulary() -> dict[str, re.Pattern[str]]:
    """All meanings and their expressions.

    Raises:
        InputError: The file is missing or malformed.
    """
    try:
        document = yaml.safe_load((resources() / FILE).read_text(encoding="utf-8"))
        return {
            meaning: re.compile(r"\b(?:" + "|".join(words) + ")", re.IGNORECASE) for meaning, words in document.items()
        }
    except (OSError, ValueError, yaml.YAMLError, re.error, TypeError, AttributeError) as error:
        raise InputError("The vocabulary of reports cannot be read; install RenalCLIP again.") from error
