"""How well images and texts are aligned: retrieval, and zero-shot reading beside what the phantom allows."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..cohort.table import CohortRow
from ..errors import CohortError, UndefinedMeasureError
from ..evaluation.bootstrap import interval, patient_resamples
from ..evaluation.classification import auroc, weighted_auroc
from ..evaluation.retrieval import RANKS, ranks
from ..inference.zero_shot import maximum_similarity, stochastic_scores
from ..models.bundle_parts import TaskPrompts

Array = npt.NDArray[np.float64]
DRAWS = 1000


@dataclass(frozen=True)
class AlignmentScore:
    """One figure.

    Attributes:
        cohort: Name of the cohort.
        what: ``retrieval`` or the task of a zero-shot reading.
        measure: In words.
        cases: Kidneys in the gallery, or read.
        value: The figure; higher is better.
        low: Lower end of the 95 % interval.
        high: Upper end.
        reference: Chance for retrieval, the oracle's AUROC for a reading; NaN where there is none.
    """

    cohort: str
    what: str
    measure: str
    cases: int
    value: float
    low: float
    high: float
    reference: float


def gallery_of(rows: Sequence[CohortRow], size: int, seed: int) -> list[int]:
    """Places of ``size`` random kidneys with a lesion (those that carry a task's label), in the order of the rows.

    Raises:
        CohortError: No kidney has a lesion.
    """
    known = [place for place, row in enumerate(rows) if row.labels]
    if not known:
        raise CohortError("Retrieval needs kidneys with a lesion, but no row carries a label.")
    return sorted(np.random.default_rng(seed).permutation(known)[:size].tolist())


def score_retrieval(
    cohort: str, images: Array, texts: Array, patients: Sequence[str], *, resamples: int = 1000, seed: int = 0
) -> list[AlignmentScore]:
    """Recall@1, 3 and 5 in both directions among kidneys; intervals over patients, within the whole gallery.

    Args:
        cohort: Name, for the table.
        images: (n, D) unit embeddings.
        texts: (n, D) unit embeddings of the same kidneys' reports.
        patients: Patient of each kidney.
        resamples: Of the bootstrap.
        seed: Of the bootstrap.
    """
    similarity = np.asarray(images) @ np.asarray(texts).T
    weights = patient_resamples(list(patients), resamples, seed)
    found = []
    for words, values in (("image to text", similarity), ("text to image", similarity.T)):
        places = ranks(values)
        for count in RANKS:
            hits = (places <= count).astype(float)
            i = interval(lambda w, h=hits: (w * h).sum(-1) / w.sum(-1), weights)  # type: ignore[misc]
            chance = min(count / len(hits), 1.0)
            measure = f"{words} R@{count}"
            found.append(AlignmentScore(cohort, "retrieval", measure, len(hits), i.value, i.low, i.high, chance))
    return found


def score_zero_shot(
    cohort: str,
    task: str,
    prompts: TaskPrompts,
    images: Array,
    rows: Sequence[CohortRow],
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> list[AlignmentScore]:
    """AUROC of both zero-shot strategies on the rows that have the task's label; the oracle's beside it.

    Args:
        cohort: Name, for the table.
        task: Of the prompts.
        prompts: With embeddings.
        images: (n, D) unit embeddings of the rows.
        rows: Cases.
        resamples: Of the bootstrap over patients.
        seed: Of the bootstrap, and of the second strategy's draws.

    Returns:
        Two scores; none where only one class occurs.
    """
    known = [place for place, row in enumerate(rows) if task in row.labels]
    labels = np.array([rows[place].labels[task] for place in known])
    if len(np.unique(labels)) < 2:
        return []
    first, second = prompts.embeddings
    similarities = [(first @ images[place], second @ images[place]) for place in known]
    largest = np.array([maximum_similarity(negative, positive) for negative, positive in similarities])
    weights = patient_resamples([rows[place].patient for place in known], resamples, seed)
    i = interval(lambda w: weighted_auroc(labels, largest, w), weights)
    oracle = _oracle(task, [rows[place] for place in known], labels)
    # one generator per case, of one seed: every case gets the same prompts in a draw
    drawn = np.stack([stochastic_scores(a, b, DRAWS, np.random.default_rng(seed)) for a, b in similarities])
    areas = np.array([auroc(labels, column) for column in drawn.T])
    low, high = np.percentile(areas, (2.5, 97.5))
    return [
        AlignmentScore(cohort, task, "AUROC, maximum similarity", len(known), i.value, i.low, i.high, oracle),
        AlignmentScore(
            cohort, task, f"AUROC, {DRAWS} random prompts", len(known), float(areas.mean()), low, high, oracle
        ),
    ]


def write_alignment(scores: Sequence[AlignmentScore], folder: Path, title: str) -> str:
    """Write ``alignment.csv`` and ``alignment.md`` by atomic rename; the result is the page."""
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / ".partial-alignment.csv"
    with partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([field.name for field in fields(AlignmentScore)])
        writer.writerows(astuple(score) for score in scores)
    os.replace(partial, folder / "alignment.csv")
    page = to_markdown(scores, title)
    draft = folder / ".partial-alignment.md"
    draft.write_text(page, encoding="utf-8")
    os.replace(draft, folder / "alignment.md")
    return page


def to_markdown(scores: Sequence[AlignmentScore], title: str) -> str:
    """One table with a row per figure."""
    lines = [
        f"# {title}",
        "",
        "| cohort | what | measure | cases | value (95 % interval) | chance or oracle | ratio |",
        "|" + " --- |" * 7,
    ]
    for s in scores:
        known = np.isfinite(s.reference) and s.reference > 0
        reference, ratio = (f"{s.reference:.3f}", f"{s.value / s.reference:.2f}") if known else ("-", "-")
        cells = (s.cohort, s.what, s.measure, s.cases, f"{s.value:.3f} ({s.low:.3f} to {s.high:.3f})", reference, ratio)
        lines.append(f"| {' | '.join(str(cell) for cell in cells)} |")
    lines += ["", "Retrieval beside chance; readings beside the oracle, which knows the phantom's hidden attributes."]
    return "\n".join(lines) + "\n"


def _oracle(task: str, rows: Sequence[CohortRow], labels: npt.NDArray[np.int64]) -> float:
    scores = [row.oracle.get(task, float("nan")) for row in rows]
    try:
        return auroc(labels, scores)
    except UndefinedMeasureError:
        return float("nan")
