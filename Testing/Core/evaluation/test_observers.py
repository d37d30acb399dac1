"""Agreement of two observers: weighted kappa against scikit-learn's, distances between points by hand."""

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from RenalCLIPCore.errors import UndefinedMeasureError
from RenalCLIPCore.evaluation.observers import point_agreement, weighted_kappa


@pytest.mark.parametrize(("classes", "seed"), [(2, 0), (3, 1), (5, 2)])
def test_weighted_kappa_is_that_of_scikit_learn(classes, seed):
    draw = np.random.default_rng(seed)
    one = draw.integers(classes, size=60)
    two = np.where(draw.uniform(size=60) < 0.7, one, draw.integers(classes, size=60))
    found = weighted_kappa(one, two, classes, range(60), resamples=200)
    assert found.value == pytest.approx(cohen_kappa_score(one, two, weights="quadratic"))
    assert found.low < found.value < found.high


def test_a_class_that_nobody_gives_changes_nothing():
    one, two = [0, 1, 1, 0, 1, 0], [0, 1, 0, 0, 1, 1]
    values = [weighted_kappa(one, two, classes, range(6), resamples=50).value for classes in (2, 4)]
    assert values == [pytest.approx(1 / 3), pytest.approx(1 / 3)]


def test_full_agreement_is_one_and_one_class_throughout_is_undefined():
    assert weighted_kappa([0, 1, 2, 0, 1, 2] * 4, [0, 1, 2, 0, 1, 2] * 4, 3, range(24), resamples=50).value == 1.0
    with pytest.raises(UndefinedMeasureError):
        weighted_kappa([1, 1], [1, 1], 3, range(2), resamples=20)
    with pytest.raises(UndefinedMeasureError):
        weighted_kappa([], [], 3, [], resamples=20)


def test_distances_between_points():
    one = [(0.0, 0.0, 0.0), (0.0, 0.0, 0.0), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)]
    two = [(3.0, 4.0, 0.0), (0.0, 0.0, 20.0), (0.0, 0.0, 0.0), (1.0, 1.0, 11.0)]
    found = point_agreement(one, two, "abcd", resamples=100)
    assert (found.mean_mm.value, found.median_mm, found.largest_mm, found.cases) == (8.75, 7.5, 20.0, 4)
    assert found.within.value == 0.75
    assert found.mean_mm.low <= 8.75 <= found.mean_mm.high
    with pytest.raises(UndefinedMeasureError):
        point_agreement([], [], [])


def test_cases_of_one_patient_are_resampled_together():
    one, two = np.zeros((4, 3)), np.array([[0, 0, 0], [0, 0, 0], [0, 0, 9], [0, 0, 9]], dtype=float)
    apart = point_agreement(one, two, "abcd", resamples=400).mean_mm
    together = point_agreement(one, two, "aabb", resamples=400).mean_mm
    assert together.high - together.low >= apart.high - apart.low
    assert (together.low, together.high) == (0.0, 9.0)
