"""Prompts as data: zero-shot texts per class (paper, Supplementary Tables 24 to 26), and those of report processing."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import yaml

from ..errors import InputError
from ..resources import resources

ZERO_SHOT_FILE = "prompts/zero-shot.yaml"
PROCESSING_FILE = "prompts/report-processing.yaml"


@dataclass(frozen=True)
class ZeroShotPrompts:
    """Texts of one task of two classes; both strategies (maximum similarity, one random prompt per class) use them.

    Attributes:
        task: ``malignancy`` or ``aggressiveness``.
        classes: Names of the negative and the positive class.
        texts: Per class, in the order of ``classes``, every description in every template, template by template.
    """

    task: str
    classes: tuple[str, str]
    texts: tuple[tuple[str, ...], tuple[str, ...]]


@dataclass(frozen=True)
class ProcessingPrompts:
    """What a language model is asked, with places in braces to fill in; ``version`` is part of every cache key."""

    version: str
    partition: str
    translation: str
    extraction: str
    repair: str


@lru_cache(maxsize=1)
def zero_shot_prompts() -> dict[str, ZeroShotPrompts]:
    """The shipped zero-shot texts by task.

    Raises:
        InputError: The installation lacks them.
    """
    document = _document(ZERO_SHOT_FILE)
    found = {}
    try:
        for task, classes in document["tasks"].items():
            (negative, first), (positive, second) = classes.items()
            texts = (_filled(document["templates"], first), _filled(document["templates"], second))
            found[task] = ZeroShotPrompts(task, (negative, positive), texts)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError("The zero-shot prompts are not of the documented form; install RenalCLIP again.") from error
    return found


@lru_cache(maxsize=1)
def processing_prompts() -> ProcessingPrompts:
    """The shipped prompts of report processing.

    Raises:
        InputError: The installation lacks them.
    """
    try:
        return ProcessingPrompts(**_document(PROCESSING_FILE))
    except TypeError as error:
        raise InputError("The report prompts are not of the documented form; install RenalCLIP again.") from error


def _document(name: str) -> dict[str, Any]:
    try:
        document = yaml.safe_load((resources() / name).read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise InputError(
            f"The file {name} of the program's Resources cannot be read; install RenalCLIP again."
        ) from error
    if not isinstance(document, dict):
        raise InputError(f"The file {name} of the program's Resources is malformed; install RenalCLIP again.")
    return document


def _filled(templates: list[str], descriptions: list[str]) -> tuple[str, ...]:
    return tuple(template.format(words) for template in templates for words in descriptions)
