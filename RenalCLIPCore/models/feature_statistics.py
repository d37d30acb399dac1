"""How the features of a training set are spread: a Gaussian with a low-dimensional and an isotropic part."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True, eq=False)
class FeatureStatistics:
    """Probabilistic principal components of a set of feature vectors (Tipping and Bishop 1999).

    Attributes:
        mean: (F,).
        components: (k, F), orthonormal rows.
        variances: (k,), of the features along the components, positive.
        residual_variance: Mean variance along each of the other F - k directions, positive.
    """

    mean: Array
    components: Array
    variances: Array
    residual_variance: float

    def distance(self, features: npt.ArrayLike) -> Array:
        """Mahalanobis distances (n,) of feature vectors (n, F); larger is stranger."""
        centred = np.atleast_2d(np.asarray(features, dtype=np.float64)) - self.mean
        along = centred @ self.components.T
        residual = np.maximum((centred**2).sum(axis=1) - (along**2).sum(axis=1), 0.0)
        return np.sqrt((along**2 / self.variances).sum(axis=1) + residual / self.residual_variance)


def fit_feature_statistics(features: npt.ArrayLike, dimensions: int = 32) -> FeatureStatistics:
    """Fit to feature vectors (n, F).

    Args:
        features: At least two rows.
        dimensions: Components to keep; fewer when n or F do not allow so many.
    """
    data = np.asarray(features, dtype=np.float64)
    rows, columns = data.shape
    mean = data.mean(axis=0)
    _, singular, directions = np.linalg.svd(data - mean, full_matrices=False)
    variances = singular**2 / max(rows - 1, 1)
    kept = max(1, min(dimensions, rows - 2, columns - 1))
    floor = max(float(variances[0]) * 1e-6, 1e-12)
    residual = float(variances[kept:].sum()) / max(columns - kept, 1)
    return FeatureStatistics(mean, directions[:kept], np.maximum(variances[:kept], floor), max(residual, floor))
