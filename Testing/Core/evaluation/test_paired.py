"""Paired tests equal naive forms, scipy's, and cases worked by hand."""

import numpy as np
import pytest

from RenalCLIPCore.errors import UndefinedMeasureError
from RenalCLIPCore.evaluation.bootstrap import difference, patient_resamples
from RenalCLIPCore.evaluation.classification import auroc, weighted_auroc
from RenalCLIPCore.evaluation.paired import delong, holm, mcnemar


def two_models(seed, count=60, ties=True):
    generator = np.random.default_rng(seed)
    labels = np.r_[[0, 0, 1, 1], generator.integers(0, 2, count - 4)]
    scores = [labels * s + generator.normal(0, 1, count) for s in (1.2, 0.5)]
    return labels, *(np.round(s, 1) if ties else s for s in scores)


def naive_delong(labels, first, second):
    """Structural components by a double loop over the pairs (DeLong et al. 1988, equations 2 to 5)."""
    positive, negative = np.flatnonzero(labels == 1), np.flatnonzero(labels == 0)
    tens, ones = [], []
    for scores in (first, second):
        psi = np.array([[1.0 * (scores[i] > scores[j]) + 0.5 * (scores[i] == scores[j]) for j in negative]
                        for i in positive])  # fmt: skip
        tens.append(psi.mean(axis=1))
        ones.append(psi.mean(axis=0))
    covariance = np.cov(tens) / len(positive) + np.cov(ones) / len(negative)
    return tens[0].mean() - tens[1].mean(), covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_delong_equals_the_double_loop(seed, ties):
    from scipy.stats import norm

    labels, first, second = two_models(seed, ties=ties)
    value, variance = naive_delong(labels, first, second)
    found = delong(labels, first, second)
    assert found.first == pytest.approx(auroc(labels, first), abs=1e-12)
    assert found.second == pytest.approx(auroc(labels, second), abs=1e-12)
    assert found.difference == pytest.approx(value, abs=1e-12)
    assert found.p == pytest.approx(2 * norm.sf(abs(value) / np.sqrt(variance)), abs=1e-9)
    assert found.high - found.low == pytest.approx(2 * norm.ppf(0.975) * np.sqrt(variance), abs=1e-9)


def test_delong_by_hand():
    # positives 3, 1; negatives 2, 0: the first ranks 3 of 4 pairs rightly, components 1, .5 and .5, 1
    found = delong([1, 1, 0, 0], [3, 1, 2, 0], [3, 2, 1, 0])
    variance = np.var([1, 0.5], ddof=1) / 2 + np.var([0.5, 1], ddof=1) / 2
    assert (found.first, found.second) == (0.75, 1.0)
    assert (found.high - found.low) / 2 == pytest.approx(1.959963984540054 * np.sqrt(variance), abs=1e-12)


def test_models_that_rank_alike_do_not_differ():
    labels, first, _ = two_models(0)
    found = delong(labels, first, 2 * first + 1)
    assert (found.difference, found.p) == (0, 1)


def test_areas_that_differ_without_any_variance_have_no_test():
    with pytest.raises(UndefinedMeasureError, match="no variance"):
        delong([0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9], [0.5] * 4)


def test_delong_and_the_bootstrap_agree_on_independent_cases():
    labels, first, second = two_models(5, count=400, ties=False)
    found = delong(labels, first, second)
    weights = patient_resamples(range(400), 1000)
    boot = difference(lambda w: weighted_auroc(labels, first, w), lambda w: weighted_auroc(labels, second, w), weights)
    assert boot.low == pytest.approx(found.low, abs=0.015)
    assert boot.high == pytest.approx(found.high, abs=0.015)


@pytest.mark.parametrize("labels", [[1, 0, 0, 0], [1, 1, 1, 0]])
def test_delong_needs_two_cases_of_each_class(labels):
    with pytest.raises(UndefinedMeasureError, match="two cases"):
        delong(labels, [1, 2, 3, 4], [4, 3, 2, 1])


def test_mcnemar_by_hand():
    # ten cases differ, nine of them for the first: p = 2 (1 + 10) / 2^10
    first = [True] * 9 + [False] + [True] * 5
    second = [False] * 9 + [True] + [True] * 5
    found = mcnemar(first, second)
    assert (found.first_only, found.second_only) == (9, 1)
    assert found.p == pytest.approx(2 * 11 / 1024, abs=1e-12)


def test_readers_that_never_differ_have_p_1_and_no_case_is_refused():
    assert mcnemar([True, False], [True, False]).p == 1
    with pytest.raises(UndefinedMeasureError, match="at least one case"):
        mcnemar([], [])


def test_holm_by_hand():
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03]), [0.03, 0.06, 0.06])
