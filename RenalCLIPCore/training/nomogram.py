"""Fit a nephrometry nomogram: logistic regression on the R.E.N.A.L. components, age and sex of the training rows."""

from __future__ import annotations

import csv
import io
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from ..cohort.nomogram_values import component_values
from ..cohort.table import CohortRow
from ..errors import CohortError, ConfigurationError
from ..models.nomogram import LEVELS, NUMBERS, TARGETS, WORDS, LevelTerm, Nomogram, NumberTerm, Term

Array = npt.NDArray[np.float64]
HIGH_GRADE: Final = 3
PENALTY: Final = 0.01  # a weak ridge, so that a level with cases of one class alone keeps a finite weight
FEWEST_KNOWN: Final = 0.5
_STEPS = 100


@dataclass(frozen=True)
class Coefficient:
    """One weight of a fitted model.

    Attributes:
        component: Of the term; empty for the intercept.
        level: Class against the component's reference, or ``per year``; empty for the intercept.
        log_odds: The weight.
        low: Lower end of its 95 % Wald interval.
        high: Upper end.
    """

    component: str
    level: str
    log_odds: float
    low: float
    high: float


@dataclass(frozen=True)
class FittedNomogram:
    """What came of it.

    Attributes:
        nomogram: The model.
        coefficients: With their intervals.
        notes: What was left out, in sentences.
    """

    nomogram: Nomogram
    coefficients: tuple[Coefficient, ...]
    notes: tuple[str, ...]


def fit_nomogram(rows: Sequence[CohortRow], target: str, cohort: str = "") -> FittedNomogram:
    """Fit one model on the complete cases among the training rows.

    Components that fewer than half of these rows know, or that are the same in all of them, are left out. The most
    frequent class of a component is its reference.

    Args:
        rows: The cohort; rows of other splits are passed over.
        target: ``malignancy``, ``high_grade`` (among graded malignant cases) or ``aggressiveness``.
        cohort: Its name, for the record.

    Raises:
        CohortError: No row has the label, all have the same, or no component is known.
    """
    labelled = [(row, label) for row in rows if row.split == "training" if (label := label_of(row, target)) is not None]
    counts = Counter(label for _, label in labelled)
    if len(counts) < 2:
        words = target.replace("_", " ")
        raise CohortError(
            f"A nomogram of {words} needs training rows of both classes, but {counts[0]} are without and {counts[1]} "
            f"with it."
        )
    known = [component_values(row) for row, _ in labelled]
    kept, notes = _components(known)
    complete = [place for place, values in enumerate(known) if all(name in values for name in kept)]
    labels = np.array([labelled[place][1] for place in complete], dtype=float)
    if len(set(labels.tolist())) < 2:
        raise CohortError(
            f"Only {len(complete)} training rows know all of {', '.join(kept)}, and they are of one class; fill in the "
            f"components."
        )
    if len(complete) < len(labelled):
        notes += (f"{len(labelled) - len(complete)} rows that lack a component were left out.",)
    cases = [known[place] for place in complete]
    return _fitted(cases, labels, kept, target, cohort, notes)


def coefficients_csv(fitted: FittedNomogram) -> str:
    """Component, level, log odds with interval, and odds ratio, as CSV."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["component", "level", "log_odds", "low", "high", "odds_ratio"])
    for item in fitted.coefficients:
        name = item.component or "intercept"
        writer.writerow([name, item.level, item.log_odds, item.low, item.high, math.exp(item.log_odds)])
    return file.getvalue()


def label_of(row: CohortRow, target: str) -> int | None:
    """A row's class of a target, or None where it has none."""
    if target not in TARGETS:
        raise ConfigurationError(f"A nomogram is of {', '.join(TARGETS)}, not {target!r}.")
    if target != "high_grade":
        return row.labels.get(target)
    if row.grade is None or row.labels.get("malignancy") == 0:
        return None
    return int(row.grade >= HIGH_GRADE)


def _components(known: Sequence[dict[str, str | float]]) -> tuple[list[str], tuple[str, ...]]:
    kept, unknown, same = [], [], []
    for name in (*LEVELS, *NUMBERS):
        values = [values[name] for values in known if name in values]
        if len(values) < FEWEST_KNOWN * len(known):
            unknown.append(WORDS[name])
        elif len(set(values)) < 2:
            same.append(WORDS[name])
        else:
            kept.append(name)
    if not kept:
        raise CohortError(
            "No component of a nomogram is known of half of the training rows and differs between them; fill in "
            "renal_r to renal_l, sex or age_years."
        )
    notes = []
    notes += [f"Left out, as fewer than half of the rows know it: {', '.join(unknown)}."] * bool(unknown)
    notes += [f"Left out, as it is the same in all rows: {', '.join(same)}."] * bool(same)
    return kept, tuple(notes)


def _fitted(
    cases: Sequence[dict[str, str | float]], labels: Array, kept: Sequence[str], target: str, cohort: str,
    notes: tuple[str, ...],
) -> FittedNomogram:  # fmt: skip
    columns: list[tuple[str, str, Array]] = []
    for name in kept:
        values = [case[name] for case in cases]
        if name in NUMBERS:
            columns.append((name, "per year", np.array(values, dtype=float)))
            continue
        frequent = max(LEVELS[name], key=lambda level, v=values: v.count(level))  # type: ignore[misc]
        columns += [
            (name, level, np.array([value == level for value in values], dtype=float))
            for level in LEVELS[name]
            if level != frequent
        ]
    weights, errors = logistic(np.stack([np.ones(len(labels)), *(column for *_, column in columns)], axis=1), labels)
    named = [("", "", 0), *((name, level, k) for k, (name, level, _) in enumerate(columns, 1))]
    coefficients = tuple(
        Coefficient(name, level, float(weights[k]), float(weights[k] - 1.96 * errors[k]),
                    float(weights[k] + 1.96 * errors[k]))
        for name, level, k in named
    )  # fmt: skip
    terms = [_term(name, coefficients, [case[name] for case in cases]) for name in kept]
    source = f"Logistic regression on {len(labels)} training cases{f' of {cohort}' if cohort else ''}."
    nomogram = Nomogram(
        target=target,  # type: ignore[arg-type]
        intercept=coefficients[0].log_odds,
        terms=terms,
        source=source,
        cases=len(labels),
        positive=int(labels.sum()),
    )
    return FittedNomogram(nomogram, coefficients, notes)


def _term(name: str, coefficients: Sequence[Coefficient], values: Sequence[str | float]) -> Term:
    own = {item.level: item.log_odds for item in coefficients if item.component == name}
    if name in NUMBERS:
        ends = np.array(values, dtype=float)
        low, high = 5 * np.floor(ends.min() / 5), 5 * np.ceil(ends.max() / 5)
        return NumberTerm(component=name, slope=own["per year"], low=float(low), high=float(high))
    return LevelTerm(component=name, levels={level: own.get(level, 0.0) for level in LEVELS[name]})


def logistic(table: Array, labels: Array) -> tuple[Array, Array]:
    """Weights and standard errors (k,) of a logistic regression with a weak ridge on all but the first column.

    Newton's method; columns are scaled within, so that the ridge does not depend on their units.

    Args:
        table: (n, k), the first column of ones.
        labels: (n,) 0 or 1.
    """
    scale = np.where(table.std(axis=0) > 0, table.std(axis=0), 1.0)
    middle = np.where(table.std(axis=0) > 0, table.mean(axis=0), 0.0)
    x = (table - middle) / scale
    ridge = np.full(x.shape[1], PENALTY)
    ridge[0] = 0.0
    w = np.zeros(x.shape[1])
    hessian = np.eye(x.shape[1])
    for _ in range(_STEPS):
        p = 1 / (1 + np.exp(-np.clip(x @ w, -30, 30)))
        hessian = (x * (p * (1 - p))[:, None]).T @ x + np.diag(ridge) + 1e-9 * np.eye(len(w))
        step = np.linalg.solve(hessian, x.T @ (p - labels) + ridge * w)
        w = w - step * min(1.0, 5.0 / max(float(np.abs(step).max()), 1e-12))
        if np.abs(step).max() < 1e-9:
            break
    back = np.diag(1 / scale)
    back[0, 1:] = -middle[1:] / scale[1:]
    return back @ w, np.sqrt(np.diag(back @ np.linalg.inv(hessian) @ back.T))
