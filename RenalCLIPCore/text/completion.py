"""Asking a language model: what every model offers, what can go wrong, and asking again until an answer is usable."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from ..errors import RenalCLIPError
from .answer_cache import AnswerCache, answer_key
from .prompts import processing_prompts

_Value = TypeVar("_Value")
ATTEMPTS = 4
FIRST_WAIT_S = 1.0


class CompletionError(RenalCLIPError):
    """A language model gave no usable answer to one question."""

    code = "completion"


class CompletionTimeoutError(CompletionError):
    """The answer took too long, or the connection broke; asking again may help."""

    code = "completion_timeout"


class CompletionRefusedError(CompletionError):
    """The model declines to answer."""

    code = "completion_refused"


class BrokenAnswerError(CompletionError):
    """The answer is not of the form that was asked for; ``problem`` says why, without the report's words."""

    code = "completion_broken"


class EndpointUnusableError(RenalCLIPError):
    """No question can be answered: nothing listens there, the key is refused, or the model does not exist."""

    code = "endpoint"


class Completer(Protocol):
    """A language model.

    Attributes:
        name: Model, as part of the cache's keys.
    """

    @property
    def name(self) -> str:
        """Of the model."""

    def complete(self, prompt: str) -> str:
        """The model's answer to a prompt.

        Raises:
            CompletionError: For this prompt.
            EndpointUnusableError: For any.
        """


@dataclass(frozen=True)
class Questioner:
    """Asks a model with retries, and remembers answers.

    Attributes:
        completer: The model.
        cache: Where usable answers are kept, or None.
        attempts: Tries per question, the first included.
        first_wait_s: Wait before the second try; each further one waits twice as long, with some jitter.
        sleep: How to wait.
    """

    completer: Completer
    cache: AnswerCache | None = None
    attempts: int = ATTEMPTS
    first_wait_s: float = FIRST_WAIT_S
    sleep: Callable[[float], None] = field(default=time.sleep, repr=False)

    def ask(self, task: str, prompt: str, parse: Callable[[str], _Value]) -> _Value:
        """The parsed answer to a prompt.

        Args:
            task: Short name of the kind of question, part of the cache's key.
            prompt: The question.
            parse: Makes a value of the answer's text; raises BrokenAnswerError for an unusable one.

        Raises:
            CompletionError: No usable answer after all attempts, or the model declines.
            EndpointUnusableError: The model cannot be reached at all.
        """
        key = answer_key(task, self.completer.name, prompt)
        known = self.cache.get(key) if self.cache else None
        if known is not None:
            try:
                return parse(known)
            except BrokenAnswerError:
                pass  # written by an older version with other demands: ask again
        return self._ask_again(key, prompt, parse)

    def _ask_again(self, key: str, prompt: str, parse: Callable[[str], _Value]) -> _Value:
        asked, failure = prompt, CompletionError("No attempt was made; give at least one.")
        for attempt in range(self.attempts):
            if attempt:
                self.sleep(self.first_wait_s * 2 ** (attempt - 1) * random.uniform(1.0, 1.25))
            try:
                answer = self.completer.complete(asked)
                value = parse(answer)
            except CompletionTimeoutError as error:
                failure = error
            except BrokenAnswerError as error:
                failure = error
                asked = processing_prompts().repair.format(prompt=prompt, problem=str(error))
            else:
                if self.cache:
                    self.cache.put(key, answer)
                return value
        raise failure
