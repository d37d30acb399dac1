"""The bootstrap draws patients, is reproducible, and its fast path equals a loop."""

import numpy as np
import pytest

from RenalCLIPCore.errors import UndefinedMeasureError
from RenalCLIPCore.evaluation.bootstrap import difference, interval, patient_resamples
from RenalCLIPCore.evaluation.classification import auroc, weighted_auroc


def data(count=80, seed=0, strength=1.0):
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 2, count)
    return labels, labels * strength + generator.normal(0, 1, count)


def test_both_kidneys_of_a_patient_are_drawn_together():
    weights = patient_resamples(["a", "b", "b", "c"], 200, seed=1)
    np.testing.assert_array_equal(weights[:, 1], weights[:, 2])
    assert set(weights[:, [0, 1, 3]].sum(axis=1)) == {3.0}


def test_one_seed_gives_one_result():
    first, again, other = (patient_resamples(range(30), 50, seed=s) for s in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_the_interval_equals_a_loop_over_resamples():
    labels, scores = data()
    weights = patient_resamples(range(80), 300, seed=4)
    found = interval(lambda w: weighted_auroc(labels, scores, w), weights)
    values = []
    for row in weights.astype(int):
        index = np.repeat(np.arange(80), row)
        values.append(auroc(labels[index], scores[index]))
    assert found.value == auroc(labels, scores)
    np.testing.assert_allclose((found.low, found.high), np.quantile(values, [0.025, 0.975]), atol=1e-12)
    assert found.resamples == 300


def test_an_interval_narrows_with_more_patients():
    widths = []
    for count in (50, 800):
        labels, scores = data(count)
        found = interval(lambda w, y=labels, s=scores: weighted_auroc(y, s, w), patient_resamples(range(count), 400))
        widths.append(found.high - found.low)
    assert widths[1] < widths[0] / 2.5


def test_a_better_model_has_a_difference_above_zero_and_itself_none():
    labels, strong = data(200, strength=2.0)
    weak = np.random.default_rng(9).normal(0, 1, 200)
    weights = patient_resamples(range(200), 500)
    better = difference(lambda w: weighted_auroc(labels, strong, w), lambda w: weighted_auroc(labels, weak, w), weights)
    assert better.low > 0
    assert better.p == pytest.approx(2 / 501)  # the smallest that 500 resamples can show, two-sided
    same = difference(lambda w: weighted_auroc(labels, weak, w), lambda w: weighted_auroc(labels, weak, w), weights)
    assert (same.value, same.low, same.high, same.p) == (0, 0, 0, 1)


def test_a_measure_that_is_mostly_undefined_is_refused():
    labels, scores = np.array([1] + [0] * 3), np.arange(4.0)
    weights = np.zeros((10, 4))
    weights[:, 1:] = 1
    with pytest.raises(UndefinedMeasureError, match="most resamples"):
        interval(lambda w: weighted_auroc(labels, scores, w), weights)


def test_intervals_hold_the_true_area_about_as_often_as_they_say():
    from scipy.stats import norm

    truth, hits = norm.cdf(1 / np.sqrt(2)), 0
    for seed in range(300):
        labels, scores = data(120, seed)
        found = interval(
            lambda w, y=labels, s=scores: weighted_auroc(y, s, w), patient_resamples(range(120), 200, seed)
        )
        hits += found.low <= truth <= found.high
    assert 0.91 <= hits / 300 <= 0.98  # binomial standard error 0.013
