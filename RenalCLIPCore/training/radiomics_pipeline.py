"""The steps from radiomic features to a probability, as scikit-learn estimators that learn inside each fold alone."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import Lasso
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from ..errors import CohortError

Array = npt.NDArray[np.float64]
MOST_UNDEFINED = 0.2
NEIGHBOURS = 5


def radiomics_pipeline(lasso_share: float, leaf: int, trees: int, seed: int) -> Pipeline:
    """Usable features, undefined ones as the median, scaling, LASSO selection, oversampling and random forest.

    Args:
        lasso_share: Penalty of the LASSO as a share of the least one that leaves no feature.
        leaf: Fewest cases in a leaf.
        trees: Number of trees.
        seed: Of oversampling and forest.
    """
    return Pipeline(
        [
            ("usable", UsableFeatures()),
            ("impute", SimpleImputer(strategy="median")),
            ("scale", StandardScaler()),
            ("select", LassoSelection(lasso_share)),
            ("forest", OversampledForest(n_estimators=trees, min_samples_leaf=leaf, random_state=seed)),
        ]
    )


class UsableFeatures(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Leaves out features that are undefined in more than a fifth of the cases, or the same in all of them."""

    def fit(self, X: Array, y: object = None) -> Self:
        """Find them.

        Raises:
            CohortError: None is left.
        """
        defined = ~np.isnan(X)
        low = np.where(defined, X, np.inf).min(axis=0)
        high = np.where(defined, X, -np.inf).max(axis=0)
        varies = high - low > 1e-9 * np.maximum(1.0, np.maximum(np.abs(low), np.abs(high)))
        self.kept_ = np.flatnonzero((defined.mean(axis=0) >= 1 - MOST_UNDEFINED) & varies)
        if not self.kept_.size:
            raise CohortError(
                "Every radiomic feature is the same in all training cases, or undefined in more than a fifth of them; "
                "check the table of features and the label maps."
            )
        return self

    def transform(self, X: Array) -> Array:
        """Those that are left."""
        return np.asarray(X)[:, self.kept_]


class LassoSelection(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Keeps the features that a LASSO of the label on scaled features has a weight for (Tibshirani 1996)."""

    def __init__(self, share: float = 0.1) -> None:
        self.share = share

    def fit(self, X: Array, y: npt.NDArray[np.int64]) -> Self:
        """Fit the LASSO; below the full penalty at least one feature has a weight."""
        label = np.asarray(y, dtype=float) - np.mean(y)
        full = float(np.abs(X.T @ label).max()) / len(label)
        self.weights_ = Lasso(alpha=self.share * full, max_iter=50_000, tol=1e-3).fit(X, label).coef_
        self.kept_ = np.flatnonzero(self.weights_)
        if not self.kept_.size:
            self.kept_ = np.array([int(np.argmax(np.abs(X.T @ label)))])
        return self

    def transform(self, X: Array) -> Array:
        """Those that are kept."""
        return np.asarray(X)[:, self.kept_]


class OversampledForest(RandomForestClassifier):  # type: ignore[misc]
    """A random forest on cases among which the rarer class was made as frequent as the other, in ``fit`` alone."""

    def fit(self, X: Array, y: npt.NDArray[np.int64], sample_weight: object = None) -> Self:
        """Oversample, then fit."""
        return super().fit(*oversampled(np.asarray(X), np.asarray(y), int(self.random_state)))


def oversampled(values: Array, labels: npt.NDArray[Any], seed: int) -> tuple[Array, npt.NDArray[Any]]:
    """The cases and, until both classes are as frequent, made-up ones of the rarer class (SMOTE, Chawla et al. 2002).

    Each lies between a case of that class and one of its five nearest of the class; a class of one case is repeated.
    """
    kinds, counts = np.unique(labels, return_counts=True)
    missing = int(counts.max() - counts.min())
    if len(kinds) < 2 or not missing:
        return values, labels
    rare = values[labels == kinds[np.argmin(counts)]]
    g = np.random.default_rng(seed)
    start = g.integers(len(rare), size=missing)
    made = rare[start]
    if len(rare) > 1:
        near = NearestNeighbors(n_neighbors=min(NEIGHBOURS, len(rare) - 1) + 1).fit(rare)
        others = near.kneighbors(rare, return_distance=False)[:, 1:]
        end = rare[others[start, g.integers(others.shape[1], size=missing)]]
        made = made + g.random((missing, 1)) * (end - made)
    rarer = np.full(missing, kinds[np.argmin(counts)], dtype=labels.dtype)
    return np.concatenate([values, made]), np.concatenate([labels, rarer])
