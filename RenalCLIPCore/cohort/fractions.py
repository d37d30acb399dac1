"""A share of the training patients, for label-efficiency curves: nested, stratified, a function of the seed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from ..errors import CohortError
from .table import CohortRow


def fraction_of(
    rows: Sequence[CohortRow], fraction: float, seed: int, stratum: Callable[[CohortRow], int]
) -> tuple[CohortRow, ...]:
    """The rows of a share of the patients.

    Patients are put into one random order in which every beginning holds the strata in about the shares of the whole;
    a smaller fraction of the same seed is a part of a larger one.

    Args:
        rows: Labelled rows of one split.
        fraction: Share of their patients, above 0 and at most 1; at least one patient is taken.
        seed: Of the order. The result does not depend on the order of the rows.
        stratum: Class of a row; a patient with several rows counts with the largest.

    Raises:
        CohortError: The fraction is outside of its range, or leaves a stratum without a patient.
    """
    if not 0 < fraction <= 1:
        raise CohortError(f"A fraction of the training patients is above 0 and at most 1, found {fraction:g}.")
    strata: dict[str, int] = {}
    for row in rows:
        strata[row.patient] = max(strata.get(row.patient, 0), stratum(row))
    order = _stratified_order(strata, seed)
    kept = set(order[: max(1, round(fraction * len(order)))])
    lost = sorted(set(strata.values()) - {strata[patient] for patient in kept})
    if lost:
        raise CohortError(
            f"With {100 * fraction:g} % of the training patients no case of class {lost[0]} is left; take a larger "
            "fraction."
        )
    return tuple(row for row in rows if row.patient in kept)


def _stratified_order(strata: Mapping[str, int], seed: int) -> list[str]:
    generator = np.random.default_rng((seed, 2))
    places: dict[str, float] = {}
    for value in sorted(set(strata.values())):
        members = sorted(patient for patient, own in strata.items() if own == value)
        shift = generator.random()
        for place, index in enumerate(generator.permutation(len(members))):
            places[members[index]] = (place + shift) / len(members)
    return sorted(places, key=lambda patient: (places[patient], patient))
