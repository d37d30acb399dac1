"""Shares of the training patients: nested, stratified, whole patients, a function of the seed."""

from itertools import pairwise

import pytest

from RenalCLIPCore.cohort.fractions import fraction_of
from RenalCLIPCore.cohort.table import CohortRow
from RenalCLIPCore.errors import CohortError

ROWS = [
    CohortRow(f"p{number:03d}", side, split="training", labels={"malignancy": int(number % 10 != 0)})
    for number in range(100)
    for side in (("left", "right") if number % 7 == 0 else ("left",))
]


def label(row):
    return row.labels["malignancy"]


def patients(rows):
    return {row.patient for row in rows}


def test_smaller_fractions_are_parts_of_larger_ones_of_the_same_seed():
    parts = [patients(fraction_of(ROWS, fraction, 3, label)) for fraction in (0.1, 0.2, 0.4, 0.8, 1.0)]
    assert [len(part) for part in parts] == [10, 20, 40, 80, 100]
    assert all(small < large for small, large in pairwise(parts))
    assert patients(fraction_of(ROWS, 0.1, 4, label)) != parts[0]


def test_patients_are_taken_whole_and_the_order_of_the_rows_does_not_matter():
    chosen = fraction_of(ROWS, 0.3, 0, label)
    kept = patients(chosen)
    assert set(map(id, chosen)) == {id(row) for row in ROWS if row.patient in kept}
    assert patients(fraction_of(ROWS[::-1], 0.3, 0, label)) == kept


@pytest.mark.parametrize("seed", range(5))
def test_classes_keep_their_shares(seed):
    chosen = {row.patient: label(row) for row in fraction_of(ROWS, 0.2, seed, label)}
    assert sum(value == 0 for value in chosen.values()) == 2


def test_impossible_fractions_are_refused():
    for fraction in (0.0, 1.5, float("nan")):
        with pytest.raises(CohortError, match="above 0 and at most 1"):
            fraction_of(ROWS, fraction, 0, label)
    with pytest.raises(CohortError, match="With 1 % of the training patients no case of class 0"):
        fraction_of(ROWS, 0.01, 0, label)
