"""Linear probes of a frozen encoder on the report attributes, against the same probes of an untrained encoder."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..cohort.table import CohortRow
from ..evaluation.classification import auroc

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ProbeScore:
    """One attribute.

    Attributes:
        attribute: Name of its question.
        cases: Test rows that answer it.
        answers: Different answers that occur in training and test.
        trained: Macro AUROC of the probe on the trained encoder (one against the rest, mean over those answers).
        untrained: The same on the untrained one.
    """

    attribute: str
    cases: int
    answers: int
    trained: float
    untrained: float


def probe_attributes(
    names: Sequence[str],
    trained: tuple[Array, Array],
    untrained: tuple[Array, Array],
    rows: tuple[Sequence[CohortRow], Sequence[CohortRow]],
) -> list[ProbeScore]:
    """Fit on training features and score on test features, per attribute; attributes with one answer are left out.

    Args:
        names: Of the attributes, in their order.
        trained: Training (n, F) and test (m, F) features of the trained encoder.
        untrained: The same of the untrained one.
        rows: Training and test rows; the phantom's true answers where the table has them, else the stated ones.
    """
    found = []
    for number, name in enumerate(names):
        fit, test = (np.array([_answer(row, number) for row in part]) for part in rows)
        occurring = np.intersect1d(np.unique(fit[fit >= 0]), np.unique(test[test >= 0]))
        if len(occurring) < 2:
            continue
        scores = [_area(pair, (fit, test), occurring) for pair in (trained, untrained)]
        found.append(ProbeScore(name, int((test >= 0).sum()), len(occurring), *scores))
    return found


def write_probe(scores: Sequence[ProbeScore], folder: Path, title: str) -> str:
    """Write ``probe.csv`` and ``probe.md`` by atomic rename; the result is the page."""
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / ".partial-probe.csv"
    with partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([field.name for field in fields(ProbeScore)])
        writer.writerows(astuple(score) for score in scores)
    os.replace(partial, folder / "probe.csv")
    lines = [f"# {title}", "", "| attribute | cases | answers | trained | untrained |", "|" + " --- |" * 5]
    lines += [f"| {s.attribute} | {s.cases} | {s.answers} | {s.trained:.3f} | {s.untrained:.3f} |" for s in scores]
    better = sum(score.trained > score.untrained for score in scores)
    lines += ["", f"Macro AUROC. The trained encoder is better for {better} of {len(scores)} attributes."]
    page = "\n".join(lines) + "\n"
    draft = folder / ".partial-probe.md"
    draft.write_text(page, encoding="utf-8")
    os.replace(draft, folder / "probe.md")
    return page


def _answer(row: CohortRow, number: int) -> int:
    true = row.true_attributes[number]
    answer = row.attributes[number] if true is None else true
    return -1 if answer is None else answer


def _area(features: tuple[Array, Array], answers: tuple[npt.NDArray[np.int64], ...], occurring: Array) -> float:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    (fit_x, test_x), (fit, test) = features, answers
    known, asked = np.isin(fit, occurring), test >= 0
    probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2000))
    probe.fit(fit_x[known], fit[known])
    shares = probe.predict_proba(test_x[asked])
    columns = list(probe.classes_)
    areas = [auroc(test[asked] == k, shares[:, columns.index(k)]) for k in occurring]
    return float(np.mean(areas))
