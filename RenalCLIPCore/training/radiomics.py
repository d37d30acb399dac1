"""Train a radiomics model: hyper-parameters by cross-validation among the training rows, then all of them.

The comparator of Xiong et al. 2025 (scaling, LASSO selection, oversampling, random forest). Every step is fitted
inside the folds. Rows of the validation and test splits are never looked at.
"""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ..cohort.radiomics_table import RadiomicsTable
from ..cohort.table import CohortRow
from ..errors import CohortError, ConfigurationError
from ..models.radiomics_model import LEAF, RadiomicsModel, Tree, log_odds
from ..output import staged
from ..progress import Progress

Array = npt.NDArray[np.float64]
MODEL_FILE: Final = "model.json"
LASSO_SHARES: Final = (0.1, 0.2, 0.4)
LEAVES: Final = (1, 5)
REGIONS: Final = ("slice", "space")
TASKS: Final = ("malignancy", "aggressiveness")


@dataclass(frozen=True)
class RadiomicsPlan:
    """How a model is trained.

    Attributes:
        task: ``malignancy`` or ``aggressiveness``.
        phases: Letters of the phases that are used; a case needs all of them.
        regions: ``slice``, ``space`` or both.
        folds: Of the cross-validation.
        trees: Of the forest.
        seed: Of folds, oversampling and forest.
        cohort: Name of the training cohort, for the record.
    """

    task: str
    phases: str = "NAV"
    regions: tuple[str, ...] = REGIONS
    folds: int = 5
    trees: int = 300
    seed: int = 0
    cohort: str = ""

    def __post_init__(self) -> None:
        ordered = "".join(letter for letter in "NAVD" if letter in self.phases)
        if not ordered or ordered != self.phases:
            raise ConfigurationError(f"Phases are letters among N, A, V and D in this order, not {self.phases!r}.")
        if self.task not in TASKS or not self.regions or set(self.regions) - set(REGIONS):
            raise ConfigurationError(f"Radiomics is for {' or '.join(TASKS)}, on slice, space or both.")
        if not 2 <= self.folds <= 20 or not 1 <= self.trees <= 10000:
            raise ConfigurationError(f"2 to 20 folds and 1 to 10000 trees are needed, not {self.folds}, {self.trees}.")


@dataclass(frozen=True)
class Trial:
    """One combination of hyper-parameters and its AUROC in every fold."""

    lasso_share: float
    leaf: int
    scores: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Over the folds."""
        return float(np.mean(self.scores))


@dataclass(frozen=True)
class TrainedRadiomics:
    """What came of it.

    Attributes:
        model: The model.
        trials: Every combination, the chosen one first.
        lasso_weights: Of the chosen features, in the model's order.
        importance: Of the same features in the forest.
        left_out: Training rows without label of the task or without one of the phases.
    """

    model: RadiomicsModel
    trials: tuple[Trial, ...]
    lasso_weights: tuple[float, ...]
    importance: tuple[float, ...]
    left_out: int


@dataclass(frozen=True, eq=False)
class _Cases:
    values: Array
    labels: npt.NDArray[np.int64]
    groups: list[str]
    names: list[str]


def train_radiomics(
    rows: Sequence[CohortRow], table: RadiomicsTable, plan: RadiomicsPlan, *, progress: Progress | None = None
) -> TrainedRadiomics:
    """Train on the training rows.

    Args:
        rows: The cohort; rows of other splits are passed over.
        table: Features of its training rows.
        plan: How.
        progress: Told of every combination.

    Raises:
        CohortError: There are no training rows with label and phases, a fold would lack a class, no feature varies, or
            a row has no features.
    """
    training = [row for row in rows if row.split == "training"]
    cases = _cases(training, table, plan)
    folds = _folds(cases, plan)
    grid = list(itertools.product(LASSO_SHARES, LEAVES))
    trials, held_out = [], []
    for number, (share, leaf) in enumerate(grid):
        if progress:
            progress(number / (len(grid) + 1), f"cross-validation, {number + 1} of {len(grid)}")
        trial, scores = _cross_validated(cases, folds, share, leaf, plan)
        trials.append(trial)
        held_out.append(scores)
    best = max(range(len(grid)), key=lambda place: trials[place].mean)
    ranked = [trials[best], *(trial for place, trial in enumerate(trials) if place != best)]
    fitted = _pipeline(grid[best][0], grid[best][1], plan).fit(cases.values, cases.labels)
    slope, intercept = _calibration(held_out[best], cases.labels)
    model = _exported(fitted, cases, table.settings, plan, (slope, intercept, trials[best].mean))
    select, forest = fitted.named_steps["select"], fitted.named_steps["forest"]
    weights = tuple(float(value) for value in select.weights_[select.kept_])
    importance = tuple(float(value) for value in forest.feature_importances_)
    return TrainedRadiomics(model, tuple(ranked), weights, importance, len(training) - len(cases.labels))


def write_radiomics_run(trained: TrainedRadiomics, folder: Path) -> None:
    """Write ``model.json``, ``cross-validation.csv`` and ``features.csv``, all or nothing.

    Raises:
        OutputError: The folder cannot be written.
    """
    folds = [f"fold_{k}" for k in range(1, len(trained.trials[0].scores) + 1)]
    trials = [(t.lasso_share, t.leaf, t.mean, *t.scores) for t in trained.trials]
    features = zip(trained.model.features, trained.lasso_weights, trained.importance, strict=True)
    with staged(folder, last=MODEL_FILE) as stage:
        (stage / "cross-validation.csv").write_text(
            _csv(["lasso_share", "fewest_in_leaf", "mean_auroc", *folds], trials), encoding="utf-8"
        )
        ordered = sorted(features, key=lambda item: -item[2])
        (stage / "features.csv").write_text(
            _csv(["feature", "lasso_weight", "forest_importance"], ordered), encoding="utf-8"
        )
        (stage / MODEL_FILE).write_text(trained.model.model_dump_json(), encoding="utf-8")


def feature_names(table: RadiomicsTable, phases: str, regions: Sequence[str]) -> list[str]:
    """Columns of the shape and of the phases, in the regions."""
    heads = {"shape", *phases}
    return [name for name in table.names if name.split(".")[0] in heads and name.split(".")[1] in regions]


def _cases(training: Sequence[CohortRow], table: RadiomicsTable, plan: RadiomicsPlan) -> _Cases:
    pairs = [(row, table.of(row)) for row in training if plan.task in row.labels]
    whole = [(row, found) for row, found in pairs if found.phases >= set(plan.phases)]
    names = feature_names(table, plan.phases, plan.regions)
    if not whole or not names:
        raise CohortError(
            f"No training row has a label of {plan.task} and features of all phases {plan.phases}; found are "
            f"{len(training)} training rows, {len(pairs)} of them with label."
        )
    values = np.array([[found.features.get(name, np.nan) for name in names] for _, found in whole])
    labels = np.array([row.labels[plan.task] for row, _ in whole], dtype=np.int64)
    return _Cases(values, labels, [row.group or row.patient for row, _ in whole], names)


def _folds(cases: _Cases, plan: RadiomicsPlan) -> list[tuple[Any, Any]]:
    """Places of learning and held-out cases: stratified, no patient or group on both sides."""
    from sklearn.model_selection import StratifiedGroupKFold

    counts = [len({g for g, label in zip(cases.groups, cases.labels, strict=True) if label == k}) for k in (0, 1)]
    if min(counts) == 0:
        raise CohortError(
            f"The training rows have one class of {plan.task} alone ({counts[0]} and {counts[1]} patients); both are "
            "needed."
        )
    if min(counts) < plan.folds:
        raise CohortError(
            f"{plan.folds} folds need at least {plan.folds} patients of each class of {plan.task}, but the training "
            f"rows have {counts[0]} and {counts[1]}; give more cases or fewer --folds."
        )
    splitter = StratifiedGroupKFold(plan.folds, shuffle=True, random_state=plan.seed)
    found = list(splitter.split(cases.values, cases.labels, cases.groups))
    if any(len(set(cases.labels[part].tolist())) < 2 for pair in found for part in pair):
        raise CohortError(
            f"A fold of the training rows would have one class of {plan.task} alone, as its groups are large; give "
            f"fewer --folds or another --seed."
        )
    return found


def _pipeline(share: float, leaf: int, plan: RadiomicsPlan) -> Any:
    from .radiomics_pipeline import radiomics_pipeline

    return radiomics_pipeline(share, leaf, plan.trees, plan.seed)


def _cross_validated(
    cases: _Cases, folds: Sequence[tuple[Any, Any]], share: float, leaf: int, plan: RadiomicsPlan
) -> tuple[Trial, Array]:
    """AUROC in every fold, and the score of every case when it was held out."""
    from ..evaluation.classification import auroc

    scores = np.zeros(len(cases.labels))
    found = []
    for learn, hold in folds:
        fitted = _pipeline(share, leaf, plan).fit(cases.values[learn], cases.labels[learn])
        scores[hold] = fitted.predict_proba(cases.values[hold])[:, 1]
        found.append(auroc(cases.labels[hold], scores[hold]))
    return Trial(share, leaf, tuple(found)), scores


def _calibration(scores: Array, labels: npt.NDArray[np.int64]) -> tuple[float, float]:
    """Slope and intercept of a logistic regression on the held-out log odds (Platt 1999)."""
    from sklearn.linear_model import LogisticRegression

    fitted = LogisticRegression(C=1e3).fit(log_odds(scores)[:, None], labels)
    # a forest that is no better than chance must not be turned round
    slope = max(float(fitted.coef_[0, 0]), 1e-3)
    return slope, float(fitted.intercept_[0])


def _exported(
    fitted: Any, cases: _Cases, settings: str, plan: RadiomicsPlan, found: tuple[float, float, float]
) -> RadiomicsModel:
    steps = fitted.named_steps
    chosen = steps["select"].kept_
    names = [cases.names[place] for place in steps["usable"].kept_[chosen]]
    slope, intercept, auroc = found
    return RadiomicsModel(
        task=plan.task,  # type: ignore[arg-type]
        settings=settings,
        phases=plan.phases,
        features=names,
        median=steps["impute"].statistics_[chosen].tolist(),
        mean=steps["scale"].mean_[chosen].tolist(),
        scale=steps["scale"].scale_[chosen].tolist(),
        trees=[_tree(item.tree_) for item in steps["forest"].estimators_],
        slope=slope,
        intercept=intercept,
        cases=len(cases.labels),
        positive=int(cases.labels.sum()),
        cross_validated_auroc=auroc,
        seed=plan.seed,
        cohort=plan.cohort,
    )


def _tree(tree: Any) -> Tree:
    leaf = tree.children_left == LEAF
    counts = tree.value[:, 0, :]
    return Tree(
        feature=np.where(leaf, LEAF, tree.feature).tolist(),
        threshold=np.where(leaf, 0.0, tree.threshold).tolist(),
        left=tree.children_left.tolist(),
        right=tree.children_right.tolist(),
        share=(counts[:, 1] / counts.sum(axis=1)).tolist(),
    )


def _csv(columns: Sequence[str], lines: Sequence[Sequence[object]]) -> str:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(lines)
    return file.getvalue()
