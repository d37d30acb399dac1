"""Who the patients of a cohort are: what the papers' table of baseline characteristics describes beside the labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

SEXES: Final = ("female", "male")
APPEARANCES: Final = ("solid", "cystic")


@dataclass(frozen=True)
class Clinical:
    """What is known of one patient and lesion beside the labels.

    Attributes:
        age_years: At the examination, or None.
        sex: ``female``, ``male`` or empty.
        race: Words, or empty.
        appearance: ``solid``, ``cystic`` or empty.
        coagulative_necrosis: What pathology says, or None.
        sarcomatoid: Sarcomatoid differentiation as pathology says, or None.
    """

    age_years: float | None = None
    sex: str = ""
    race: str = ""
    appearance: str = ""
    coagulative_necrosis: bool | None = None
    sarcomatoid: bool | None = None


COLUMNS: Final = ("age_years", "sex", "race", "appearance", "coagulative_necrosis", "sarcomatoid")


def format_clinical(value: Clinical) -> dict[str, str]:
    """Cells of the columns that are known."""
    cells = {"sex": value.sex, "race": value.race, "appearance": value.appearance}
    cells |= {} if value.age_years is None else {"age_years": repr(float(value.age_years))}
    marks = {"coagulative_necrosis": value.coagulative_necrosis, "sarcomatoid": value.sarcomatoid}
    return cells | {name: str(int(mark)) for name, mark in marks.items() if mark is not None}
