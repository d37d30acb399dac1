"""What a nephrometry nomogram says of a lesion whose R.E.N.A.L. components were measured from the masks."""

from __future__ import annotations

from ..models.nomogram import LEVELS, WORDS, Nomogram
from ..review import Absent, Measured


def nomogram_probability(
    nomogram: Nomogram, measured: Measured, age_years: float | None = None, sex: str = ""
) -> float | Absent:
    """Probability of the nomogram's target; the reason where a component that it needs is not known.

    Args:
        nomogram: Of :func:`models.nomogram.load_nomogram`.
        measured: Of the lesion.
        age_years: Of the patient, None where not known.
        sex: ``female``, ``male`` or empty.
    """
    values = measured_values(measured)
    if age_years is not None:
        values["age_years"] = age_years
    if sex:
        values["sex"] = sex
    found = nomogram.probability(values)
    if found is not None:
        return found
    lacking = [WORDS[name] for name in nomogram.components if name not in values]
    return Absent(f"The nomogram needs {', '.join(lacking)}, which is not known of this lesion.")


def measured_values(measured: Measured) -> dict[str, str | float]:
    """Class of every measured component in the words of the cohort table; only those that were assessed."""
    found: dict[str, str | float] = {}
    for item in measured.components:
        name = f"renal_{item.component.lower()}"
        levels = LEVELS.get(name, ())
        if item.label in levels:
            found[name] = item.label
        elif 1 <= item.points <= len(levels):
            found[name] = levels[item.points - 1]
    return found
