"""Classification measures equal scikit-learn's, weights mean repetition, and undefined cases are refused."""

import numpy as np
import pytest
from sklearn import metrics

from RenalCLIPCore.errors import UndefinedMeasureError
from RenalCLIPCore.evaluation import classification as c


def binary(seed, ties):
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 2, 60)
    scores = labels * 0.5 + generator.normal(0, 1, 60)
    return labels, np.round(scores, 1) if ties else scores


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_binary_measures_equal_scikit_learn(seed, ties):
    labels, scores = binary(seed, ties)
    precision, recall, _ = metrics.precision_recall_curve(labels, scores)
    assert c.auroc(labels, scores) == pytest.approx(metrics.roc_auc_score(labels, scores), abs=1e-9)
    assert c.pr_auc(labels, scores) == pytest.approx(metrics.auc(recall, precision), abs=1e-9)
    assert c.average_precision(labels, scores) == pytest.approx(
        metrics.average_precision_score(labels, scores), abs=1e-9
    )


@pytest.mark.parametrize("seed", range(3))
def test_macro_auroc_equals_scikit_learn(seed):
    generator = np.random.default_rng(seed)
    labels = np.r_[[0, 1, 2], generator.integers(0, 3, 50)]
    probabilities = generator.dirichlet([1, 1, 1], 53)
    expected = metrics.roc_auc_score(labels, probabilities, multi_class="ovr", average="macro")
    assert c.macro_auroc(labels, probabilities) == pytest.approx(expected, abs=1e-9)


def test_macro_auroc_of_two_classes_is_the_auroc():
    labels, scores = binary(0, False)
    both = np.stack([-scores, scores], axis=1)
    assert c.macro_auroc(labels, both) == pytest.approx(c.auroc(labels, scores), abs=1e-12)


def test_auroc_by_hand():
    # positives 3, 2; negatives 2, 1: pairs 3>2, 3>1, 2=2, 2>1 -> 3.5 of 4
    assert c.auroc([1, 1, 0, 0], [3, 2, 2, 1]) == 3.5 / 4


@pytest.mark.parametrize("seed", range(4))
def test_youden_threshold_and_its_measures_equal_scikit_learn(seed):
    labels, scores = binary(seed, True)
    fpr, tpr, thresholds = metrics.roc_curve(labels, scores, drop_intermediate=False)
    best = thresholds[np.argmax(np.round(tpr - fpr, 12))]
    assert c.youden_threshold(labels, scores) == best
    found = c.at_threshold(labels, scores, best)
    called = scores >= best
    assert found.sensitivity == pytest.approx(metrics.recall_score(labels, called), abs=1e-12)
    assert found.specificity == pytest.approx(metrics.recall_score(labels, called, pos_label=0), abs=1e-12)
    assert found.f1 == pytest.approx(metrics.f1_score(labels, called), abs=1e-12)


def test_specificity_by_hand():
    found = c.at_threshold([1, 1, 0, 0, 0], [0.9, 0.2, 0.8, 0.1, 0.3], 0.5)
    assert (found.sensitivity, found.specificity, found.f1) == (0.5, pytest.approx(2 / 3), 0.5)


def test_brier_and_log_loss_equal_scikit_learn():
    generator = np.random.default_rng(0)
    labels, probabilities = generator.integers(0, 2, 40), generator.uniform(0, 1, 40)
    assert c.brier(labels, probabilities) == pytest.approx(metrics.brier_score_loss(labels, probabilities), abs=1e-12)
    both = np.stack([1 - probabilities, probabilities], axis=1)
    assert c.brier(labels, both) == pytest.approx(2 * c.brier(labels, probabilities), abs=1e-12)
    assert c.log_loss(labels, both) == pytest.approx(metrics.log_loss(labels, both), abs=1e-12)


def test_calibration_error_by_hand():
    # bin (0.1, 0.2]: two cases, one positive, mean 0.2; bin (0.8, 0.9]: one positive at 0.9
    assert c.calibration_error([0, 1, 1], [0.2, 0.2, 0.9]) == pytest.approx((2 * 0.3 + 1 * 0.1) / 3)
    assert c.calibration_error([0, 1], [[1, 0], [0, 1]]) == 0


def naive_calibration_error(labels, probabilities, bins=10):
    total = 0.0
    for b in range(bins):
        inside = [
            (y, p)
            for y, p in zip(labels, probabilities, strict=True)
            if b / bins < p <= (b + 1) / bins or (p == 0 == b)
        ]
        if inside:
            total += abs(sum(y for y, _ in inside) - sum(p for _, p in inside))
    return total / len(labels)


def test_calibration_error_equals_the_naive_loop():
    generator = np.random.default_rng(1)
    labels, probabilities = generator.integers(0, 2, 200), np.r_[0.0, 1.0, generator.uniform(0, 1, 198)]
    found = c.calibration_error(labels, probabilities)
    assert found == pytest.approx(naive_calibration_error(labels, probabilities), abs=1e-12)


@pytest.mark.parametrize(
    "measure", [c.weighted_auroc, c.weighted_pr_auc, c.weighted_average_precision, c.weighted_brier,
                c.weighted_calibration_error]
)  # fmt: skip
def test_a_weight_is_a_number_of_repetitions(measure):
    generator = np.random.default_rng(2)
    labels, scores = generator.integers(0, 2, 30), np.round(generator.uniform(0, 1, 30), 1)
    weights = generator.integers(0, 4, (3, 30))
    found = measure(labels, scores, weights.astype(float))
    for row, value in zip(weights, found, strict=True):
        repeated = np.repeat(np.arange(30), row)
        expected = measure(labels[repeated], scores[repeated], np.ones(len(repeated)))
        assert value == pytest.approx(float(expected), abs=1e-12)


def test_a_resample_without_one_class_is_nan_not_an_error():
    values = c.weighted_auroc(np.array([0, 1]), np.array([0.1, 0.9]), np.array([[1.0, 1.0], [2.0, 0.0]]))
    assert values[0] == 1
    assert np.isnan(values[1])


@pytest.mark.parametrize("measure", [c.auroc, c.pr_auc, c.average_precision, c.youden_threshold])
@pytest.mark.parametrize("labels", [[1, 1, 1], [0, 0, 0], [0, 1, 2]])
def test_other_than_both_classes_are_refused(measure, labels):
    with pytest.raises(UndefinedMeasureError, match="both classes"):
        measure(labels, [0.1, 0.2, 0.3])


def test_a_class_that_does_not_occur_is_refused():
    with pytest.raises(UndefinedMeasureError, match="3 classes"):
        c.macro_auroc([0, 1, 0], np.eye(3))


def test_scores_that_are_not_finite_and_false_probabilities_are_refused():
    with pytest.raises(UndefinedMeasureError, match="finite"):
        c.auroc([0, 1], [0.1, np.nan])
    with pytest.raises(UndefinedMeasureError, match="0 to 1"):
        c.brier([0, 1], [0.1, 1.1])


def test_a_probability_on_an_edge_belongs_to_the_lower_bin():
    # bin (0.1, 0.2]: 0.15 and 0.2 together, errors -0.15 and 0.8
    assert c.calibration_error([0, 1, 1], [0.15, 0.2, 0.9]) == pytest.approx((0.65 + 0.1) / 3)
