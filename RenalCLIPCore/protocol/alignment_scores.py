"""How well images and texts are aligned: retrieval, and zero-shot reading beside what the phantom allows."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ..cohort.table import CohortRow
from ..errors import BundleError, CohortError, UndefinedMeasureError
from ..evaluation.bootstrap import interval, patient_resamples
from ..evaluation.classification import auroc, weighted_auroc
from ..evaluation.retrieval import RANKS, ranks
from ..inference.zero_shot import maximum_similarity, stochastic_scores
from ..models.bundle_parts import TaskPrompts
from ..progress import Progress

if TYPE_CHECKING:
    from ..cohort.roi_store import RoiStore
    from ..models.bundle import Bundle
    from ..models.text_features import TextFeatures

Array = npt.NDArray[np.float64]
DRAWS = 1000
GALLERY = 200


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
        model: Name and version of the bundle, or empty.
    """

    cohort: str
    what: str
    measure: str
    cases: int
    value: float
    low: float
    high: float
    reference: float
    model: str = ""


def score_alignment(
    bundle: Bundle,
    cohort: str,
    rows: Sequence[CohortRow],
    store: RoiStore,
    texts: TextFeatures | None,
    *,
    gallery: int = GALLERY,
    seed: int = 0,
    progress: Progress | None = None,
) -> list[AlignmentScore]:
    """Retrieval, where there are text features, and zero-shot reading of one cohort.

    Args:
        bundle: With prompts.
        cohort: Name, for the table.
        rows: Cases.
        store: Their regions of interest.
        texts: Features of every row's report, or None to leave retrieval out.
        gallery: Kidneys to retrieve among, at most.
        seed: Of gallery, draws and bootstrap.
        progress: Told of every batch.

    Raises:
        BundleError: The bundle has no image-text space.
        CohortError: There are no rows, rows without text features, or features of another text encoder's size.
    """
    from .case_embeddings import read_cases

    if bundle.prompts is None:
        raise BundleError("The bundle has no image-text space; export one from a clip run.")
    features = texts.features if texts else None
    if not rows or (features is not None and any(row.case_id not in features for row in rows)):
        raise CohortError(f"The cohort {cohort!r} has no rows of the split, or rows without text features.")
    model = f"{bundle.manifest.name} {bundle.manifest.version}"
    if texts is not None and texts.embedding_dim != bundle.encoder.embedding_dim:
        raise CohortError(
            f"The text features of {cohort!r} have {texts.embedding_dim} values, but {model} was aligned with features "
            f"of {bundle.encoder.embedding_dim}; give those of its own text encoder."
        )
    _, images = read_cases(bundle.encoder, rows, store, progress=progress)
    scores: list[AlignmentScore] = []
    if features is not None:
        chosen = gallery_of(rows, gallery, seed)
        reports = np.stack([features[rows[place].case_id][0] for place in chosen])
        scores += score_retrieval(cohort, images[chosen], reports, [rows[place].patient for place in chosen], seed=seed)
    for task, prompts in bundle.prompts.items():
        scores += score_zero_shot(cohort, task, prompts, images, rows, seed=seed)
    return [replace(score, model=model) for score in scores]


def read_alignment(path: Path) -> list[AlignmentScore]:
    """Read a table that :func:`write_alignment` wrote.

    Raises:
        CohortError: It is no such table.
    """
    names = [field.name for field in fields(AlignmentScore)]
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, strict=True)
            if list(reader.fieldnames or ()) not in (names, names[:-1]):  # before there were several models
                raise CohortError(
                    f"{path.name} is no table of retrieval and zero-shot scores; evaluate alignment writes one."
                )
            return [
                AlignmentScore(
                    line["cohort"],
                    line["what"],
                    line["measure"],
                    int(line["cases"]),
                    float(line["value"]),
                    float(line["low"]),
                    float(line["high"]),
                    float(line["reference"]),
                    line.get("model", ""),
                )
                for line in reader
            ]
    except (OSError, UnicodeDecodeError, csv.Error, ValueError, TypeError) as error:
        raise CohortError(
            f"{path.name} cannot be read as a table of retrieval and zero-shot scores: {error}."
        ) from error


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
    """One table with a row per figure; with a column for the models where there are several."""
    several = len({s.model for s in scores}) > 1
    head = [*(["model"] if several else []), "cohort", "what", "measure", "cases", "value (95 % interval)",
            "chance or oracle", "ratio"]  # fmt: skip
    lines = [f"# {title}", "", f"| {' | '.join(head)} |", "|" + " --- |" * len(head)]
    for s in scores:
        known = np.isfinite(s.reference) and s.reference > 0
        reference, ratio = (f"{s.reference:.3f}", f"{s.value / s.reference:.2f}") if known else ("-", "-")
        value = f"{s.value:.3f} ({s.low:.3f} to {s.high:.3f})"
        cells = (*([s.model] if several else []), s.cohort, s.what, s.measure, s.cases, value, reference, ratio)
        lines.append(f"| {' | '.join(str(cell) for cell in cells)} |")
    lines += ["", "Retrieval beside chance; readings beside the oracle, which knows the phantom's hidden attributes."]
    return "\n".join(lines) + "\n"


def _oracle(task: str, rows: Sequence[CohortRow], labels: npt.NDArray[np.int64]) -> float:
    scores = [row.oracle.get(task, float("nan")) for row in rows]
    try:
        return auroc(labels, scores)
    except UndefinedMeasureError:
        return float("nan")
