"""AJCC stage group of a renal tumour from the words of a table."""

from __future__ import annotations

import re
from typing import Final

STAGES: Final = ("I", "II", "III", "IV")
_GROUP = re.compile(r"\b(?:stage\s*)?(iv|iii|ii|i)(?:[ab]?)\b", re.IGNORECASE)
_ARABIC = re.compile(r"\bstage\s*([1-4])", re.IGNORECASE)
_T_PART = re.compile(r"[pcyr]*T([0-4][a-d]?)", re.IGNORECASE)
_T, _N, _M = (re.compile(rf"[pcyr]*{letter}([0-4x])", re.IGNORECASE) for letter in "TNM")


def stage_group(words: str) -> int | None:
    """1 to 4 for stage I to IV (AJCC, 8th edition), or None where the words do not tell.

    Understood are groups (``Stage III``, ``II``, ``stage 2``) and TNM categories (``pT1a``, ``pT3a N1 M0``); of the
    latter, unknown nodes and metastases count as none, as in surgical series without them.
    """
    text = words.strip()
    if found := _ARABIC.search(text):
        return int(found[1])
    if tumour := _T.search(text):
        nodes, spread = _N.search(text), _M.search(text)
        if tumour[1] == "4" or (spread and spread[1] == "1"):
            return 4
        if tumour[1] == "3" or (nodes and nodes[1] in "12"):
            return 3
        return int(tumour[1]) if tumour[1] in "12" else None
    if found := _GROUP.fullmatch(text):
        return STAGES.index(found[1].upper()) + 1
    return None


def t_category(words: str) -> str:
    """The T category (``1a``, ``2``, ``3b``) that TNM words name, or empty; stage groups alone do not tell it."""
    found = _T_PART.search(words)
    return found[1].lower() if found else ""
