"""Whether a case lies outside the range of the training data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..review import Absent, OutOfDistribution
from .network_output import NetworkOutput

if TYPE_CHECKING:
    from ..models.bundle import Bundle


def out_of_distribution(bundle: Bundle, output: NetworkOutput) -> OutOfDistribution | Absent:
    """Mahalanobis distance of the features (mean over the phases) from the training features, against the threshold."""
    rule = bundle.manifest.out_of_distribution
    if rule is None or bundle.statistics is None:
        return Absent("The model bundle carries no statistics of its training features.")
    distance = float(bundle.statistics.distance(output.mean_features)[0])
    return OutOfDistribution(
        distance=distance,
        threshold=rule.threshold,
        flagged=distance > rule.threshold,
        method=f"Mahalanobis distance; threshold at the {rule.percentile:g}th percentile of {rule.source}",
    )
