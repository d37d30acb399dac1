"""What a row of the cohort table knows of the components of a nephrometry nomogram."""

from __future__ import annotations

from .columns import EVERY_TASK_CLASSES
from .rows import CohortRow


def component_values(row: CohortRow) -> dict[str, str | float]:
    """Class of every R.E.N.A.L. component in words, sex, and age in years; only what is known."""
    found: dict[str, str | float] = {
        name: classes[row.labels[name]]
        for name, classes in EVERY_TASK_CLASSES.items()
        if name.startswith("renal_") and name in row.labels
    }
    if row.clinical.sex:
        found["sex"] = row.clinical.sex
    if row.clinical.age_years is not None:
        found["age_years"] = row.clinical.age_years
    return found
