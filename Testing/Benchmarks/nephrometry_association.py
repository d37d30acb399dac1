"""How measured nephrometry goes with procedure, malignancy, grade and survival, beside the tumour's size alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from RenalCLIPCore.errors import UndefinedMeasureError
from RenalCLIPCore.evaluation.bootstrap import difference, interval, patient_resamples
from RenalCLIPCore.evaluation.classification import weighted_auroc
from RenalCLIPCore.evaluation.survival import weighted_concordance

COMPLEXITY = {"low": 0, "moderate": 1, "high": 2}
GRADES = {"1": 0, "2": 0, "3": 1, "4": 1}
PROCEDURES = {"partial_nephrectomy": 0, "radical_nephrectomy": 1}
ALONE = "size alone"

Rows = dict[str, Any]
Of = Callable[[np.ndarray], Callable[[np.ndarray], np.ndarray]]


def predictors(rows: Rows) -> dict[str, Callable[[str], float]]:
    """What is compared, by name: a number per case."""
    return {
        "total": lambda n: float(rows[n]["total"]),
        "complexity": lambda n: float(COMPLEXITY[rows[n]["complexity"]]),
        ALONE: lambda n: float(rows[n]["R"]["value"]),
    }


def associations(rows: Rows, table: Rows) -> None:
    """Print AUC and C-index with 95 % bootstrap intervals, and the paired difference from size alone."""
    names = [name for name, row in rows.items() if "total" in row and name in table]
    endpoints: dict[str, Callable[[str], int | None]] = {
        "radical against partial nephrectomy": lambda n: PROCEDURES.get(table[n].get("surgical_procedure")),
        "malignant": lambda n: None if table[n].get("malignant") is None else int(table[n]["malignant"]),
        "ISUP grade 3 or 4": lambda n: GRADES.get(str(table[n].get("tumor_isup_grade"))),
    }
    for title, outcome in endpoints.items():
        kept = [name for name in names if outcome(name) is not None]
        truth = np.array([outcome(name) for name in kept])
        print(f"{title}: n {len(kept)}, {int(truth.sum())} yes; AUC")
        _compare(rows, kept, lambda s, t=truth: lambda w: weighted_auroc(t, s, w))  # type: ignore[misc]
    kept = [name for name in names if table[name].get("vital_days_after_surgery") is not None]
    months = np.array([table[name]["vital_days_after_surgery"] / 30.44 for name in kept])
    died = np.array([table[name].get("vital_status") == "dead" for name in kept])
    print(f"survival: n {len(kept)}, {int(died.sum())} died; C-index")
    _compare(rows, kept, lambda s: lambda w: weighted_concordance(months, died, s, w))


def _compare(rows: Rows, kept: list[str], of: Of) -> None:
    values = {name: np.array([value(case) for case in kept]) for name, value in predictors(rows).items()}
    weights = patient_resamples(kept)
    for name, scores in values.items():
        try:
            found = interval(of(scores), weights)
            words = f"   {name}: {found.value:.2f} [{found.low:.2f}, {found.high:.2f}]"
            if name != ALONE:
                apart = difference(of(scores), of(values[ALONE]), weights)
                words += f"; minus {ALONE} {apart.value:+.2f} [{apart.low:+.2f}, {apart.high:+.2f}]"
        except UndefinedMeasureError as error:
            words = f"   {name}: {error}"
        print(words)
