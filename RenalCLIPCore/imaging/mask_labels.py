"""The labels of a kidney segmentation, and what foreign names for them mean."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ..errors import SegmentationModelError

KIDNEY, TUMOUR, CYST = 1, 2, 3
_TUMOUR_WORDS = {"tumor", "tumour", "tumors", "tumours", "carcinoma", "cancer", "rcc"}
_CYST_WORDS = {"cyst", "cysts"}
_LESION_WORDS = {"mass", "masses", "lesion", "lesions"}
_KIDNEY_WORDS = {"kidney", "kidneys"}
_NEUTRAL_WORDS = {"renal", "left", "right", "l", "r", "and", "with", "whole", "parenchyma"}


def label_meaning(dataset: Mapping[str, Any]) -> dict[int, int]:
    """What each output value of a model means: kidney 1, tumour 2, cyst 3, by the names in ``dataset.json``.

    Labels may be values or regions (lists of values, as in KiTS: kidney [1, 2, 3], masses [2, 3], tumour 2). A value
    means the most specific thing that names it: tumour, then cyst, then mass, then kidney. A mass that is no tumour is
    a cyst where the model tells tumours apart, else a tumour. Other organs are background.

    Raises:
        SegmentationModelError: There are no labels, or none is a kidney.
    """
    kinds: dict[int, set[str]] = {}
    try:
        for name, values in dataset["labels"].items():
            for value in values if isinstance(values, (list, tuple)) else [values]:
                kinds.setdefault(int(value), set()).add(name_kind(str(name)))
    except (KeyError, AttributeError, TypeError, ValueError) as error:
        raise SegmentationModelError("dataset.json of the model declares no labels.") from error
    named = set().union(*kinds.values()) if kinds else set()
    if "kidney" not in named:
        raise SegmentationModelError(
            "The model knows no kidney: its labels are "
            f"{', '.join(str(name) for name in dataset['labels'])}; a label named kidney is needed."
        )
    mass = CYST if "tumour" in named else TUMOUR
    order = (("tumour", TUMOUR), ("cyst", CYST), ("mass", mass), ("kidney", KIDNEY))
    meaning = {value: next((label for kind, label in order if kind in found), 0) for value, found in kinds.items()}
    return {value: label for value, label in meaning.items() if value and label}


def name_kind(name: str) -> str:
    """What a label's name says: ``kidney``, ``tumour``, ``cyst``, ``mass`` or ``other``."""
    words = [word for word in re.split(r"[^a-z]+", name.lower()) if word]
    if any(len(word) > 1 and word not in _known_words() for word in words):
        return "other"
    for kind, vocabulary in (("tumour", _TUMOUR_WORDS), ("cyst", _CYST_WORDS), ("mass", _LESION_WORDS)):
        if vocabulary & set(words) and "and" not in words and "with" not in words:
            return kind
    return "kidney" if _KIDNEY_WORDS & set(words) or words == ["renal", "parenchyma"] else "other"


def _known_words() -> set[str]:
    return _TUMOUR_WORDS | _CYST_WORDS | _LESION_WORDS | _KIDNEY_WORDS | _NEUTRAL_WORDS
