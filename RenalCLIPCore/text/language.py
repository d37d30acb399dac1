"""What kind of text a report is: its language, and whether it can be a report at all."""

from __future__ import annotations

import re

from ..errors import InputError

LONGEST_REPORT = 20_000
_CHINESE = re.compile(r"[一-鿿]")
_LETTER = re.compile(r"[^\W\d_]")
_WORD = re.compile(r"[a-z]+")
# Small words and kidney words of English reports, and of reports in other languages of Latin letters (German, French,
# Spanish, Italian, Portuguese, Dutch, Polish, Turkish); the more frequent ones decide.
_ENGLISH = frozenset(
    re.findall(
        r"\w+",
        "the a an of with and is are no not in on at by seen shows normal unremarkable left right kidney kidneys renal "
        "mass lesion cyst cysts nodule likely enhancement without within bilateral both pole upper lower size benign "
        "stone",
    )
)
_FOREIGN = frozenset(
    re.findall(
        r"\w+",
        "der das und mit ohne nicht eine einer einem ist im niere nieren links rechts zyste raumforderung le les des "
        "du et avec sans dans rein gauche droit droite un une el los las de del con sin en izquierdo derecho masa "
        "quiste il lo nel della senza rene sinistro destro massa cisti com sem do da direito esquerdo het een van met "
        "zonder nier nerka nerki nerce lewej prawej bez zmian w ve bir sol bobrek sag kist",
    )
)


class ReportTooLongError(InputError):
    """A report is longer than any report; probably several stand in one cell."""

    code = "report_too_long"


class ReportLanguageError(InputError):
    """A report is in a language that this step does not read."""

    code = "report_language"


def language(text: str) -> str:
    """``en``, ``zh``, ``other``, or an empty string for a text without letters."""
    letters = len(_LETTER.findall(text))
    if letters == 0:
        return ""
    if len(_CHINESE.findall(text)) > 0.2 * letters:
        return "zh"
    words = _WORD.findall(text.lower())
    if sum(map(len, words)) <= 0.9 * letters:
        return "other"
    return "other" if sum(word in _FOREIGN for word in words) > sum(word in _ENGLISH for word in words) else "en"


def check_length(text: str) -> None:
    """Refuse what cannot be one report.

    Raises:
        ReportTooLongError: It is longer than 20,000 characters.
    """
    if len(text) > LONGEST_REPORT:
        raise ReportTooLongError(
            f"A report of at most {LONGEST_REPORT} characters is wanted, found {len(text)}; give each report a row."
        )


def check_english(text: str) -> None:
    """Refuse what the English rules would misread.

    Raises:
        ReportLanguageError: The text is in another language.
    """
    if language(text) not in ("en", ""):
        raise ReportLanguageError(
            "The rules read English reports, and this one is in another language; translate it first "
            "(renalclip report translate) or extract with an endpoint or a local model."
        )
