"""What kind of text a report is: its language, and whether it can be a report at all."""

from __future__ import annotations

import re

from ..errors import InputError

LONGEST_REPORT = 20_000
_CHINESE = re.compile(r"[一-鿿]")
_LETTER = re.compile(r"[^\W\d_]")
_WORD = re.compile(r"[a-z]+")
# Words of nearly every English report that other languages hardly share.
_ENGLISH = frozenset(
    re.findall(
        r"\w+",
        "the a an of with and is are no not in on at by seen shows normal unremarkable left right kidney kidneys renal "
        "mass lesion cyst cysts nodule likely enhancement without bilateral both pole upper lower size benign stone",
    )
)
# Words that no other language of Latin letters shares; two of them make a telegram English.
_ENGLISH_ONLY = frozenset(
    ("left", "right", "kidney", "kidneys", "mass", "cyst", "cysts", "lower", "upper", "without", "within", "the", "is")
)
_ENGLISH_SHARE = 0.2


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
    known = sum(word in _ENGLISH for word in words)
    latin = sum(map(len, words)) > 0.9 * letters
    telegram = len(_ENGLISH_ONLY.intersection(words)) >= 2
    return "en" if latin and (telegram or known >= _ENGLISH_SHARE * len(words)) else "other"


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
