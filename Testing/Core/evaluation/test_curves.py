"""Curves equal scikit-learn's and cases worked by hand."""

import numpy as np
import pytest
from sklearn import metrics

from RenalCLIPCore.errors import UndefinedMeasureError
from RenalCLIPCore.evaluation import curves


def binary(seed, count=80):
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 2, count)
    return labels, np.round(labels * 0.6 + generator.normal(0, 1, count), 1)


@pytest.mark.parametrize("seed", range(3))
def test_roc_and_precision_recall_points_equal_scikit_learn(seed):
    labels, scores = binary(seed)
    fpr, tpr, thresholds = metrics.roc_curve(labels, scores, drop_intermediate=False)
    found = curves.roc_curve(labels, scores)
    np.testing.assert_allclose(found.false_positive_rate, fpr, atol=1e-12)
    np.testing.assert_allclose(found.sensitivity, tpr, atol=1e-12)
    np.testing.assert_allclose(found.thresholds[1:], thresholds[1:], atol=1e-12)
    precision, recall, _ = metrics.precision_recall_curve(labels, scores)
    found_recall, found_precision = curves.precision_recall_curve(labels, scores)
    np.testing.assert_allclose(found_recall, recall[::-1], atol=1e-12)
    np.testing.assert_allclose(found_precision, precision[::-1], atol=1e-12)


def test_calibration_by_hand():
    found = curves.calibration_curve([0, 0, 1, 1], [0.1, 0.2, 0.3, 0.8], bins=2)
    np.testing.assert_allclose(found.predicted, [0.15, 0.55])
    np.testing.assert_allclose(found.observed, [0, 1])
    np.testing.assert_array_equal(found.cases, [2, 2])


def test_calibration_bins_equal_scikit_learn_without_ties():
    from sklearn.calibration import calibration_curve

    generator = np.random.default_rng(0)
    probabilities = generator.uniform(0, 1, 100)
    labels = (generator.uniform(0, 1, 100) < probabilities).astype(int)
    observed, predicted = calibration_curve(labels, probabilities, n_bins=10, strategy="quantile")
    found = curves.calibration_curve(labels, probabilities)
    np.testing.assert_allclose(found.observed, observed, atol=1e-12)
    np.testing.assert_allclose(found.predicted, predicted, atol=1e-12)


def test_equal_probabilities_share_one_bin():
    found = curves.calibration_curve([0, 1, 1, 0], [0.5] * 4)
    assert (found.cases.tolist(), found.observed.tolist()) == ([4], [0.5])


def test_wilson_interval_equals_scipy():
    from scipy.stats import binomtest

    for events, cases in ((0, 7), (3, 9), (9, 9)):
        expected = binomtest(events, cases).proportion_ci(method="wilson")
        low, high = curves.wilson_interval([events], [cases])
        assert (low[0], high[0]) == (pytest.approx(expected.low, abs=1e-12), pytest.approx(expected.high, abs=1e-12))


def test_net_benefit_by_hand():
    # at 0.25: one true and one false positive of four; odds 1/3
    found = curves.decision_curve([1, 0, 0, 1], [0.9, 0.3, 0.1, 0.2], [0.25])
    assert found.model[0] == pytest.approx(1 / 4 - 1 / 4 / 3)
    assert found.treat_all[0] == pytest.approx(0.5 - 0.5 / 3)


@pytest.mark.parametrize("threshold", [0.0, 1.0])
def test_a_threshold_without_odds_is_refused(threshold):
    with pytest.raises(UndefinedMeasureError, match="above 0 and below 1"):
        curves.decision_curve([0, 1], [0.2, 0.8], [threshold])


@pytest.mark.parametrize("curve", [curves.roc_curve, curves.precision_recall_curve])
def test_one_class_and_scores_that_are_not_finite_are_refused(curve):
    with pytest.raises(UndefinedMeasureError, match="both classes"):
        curve([1, 1], [0.2, 0.3])
    with pytest.raises(UndefinedMeasureError, match="finite"):
        curve([0, 1], [0.2, np.inf])


def test_ties_everywhere_give_the_diagonal():
    found = curves.roc_curve([0, 1, 0, 1], [0.5] * 4)
    np.testing.assert_array_equal(found.false_positive_rate, [0, 1])
    np.testing.assert_array_equal(found.sensitivity, [0, 1])


def test_treating_all_costs_the_share_without_the_event():
    found = curves.decision_curve([1, 0, 0, 0], [0.9, 0.3, 0.1, 0.2], [0.2])
    assert found.treat_all[0] == pytest.approx(0.25 - 0.75 * 0.25)
