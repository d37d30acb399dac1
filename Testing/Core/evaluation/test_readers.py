"""Readers against the model: cases worked by hand, and scikit-learn's kappa."""

import numpy as np
import pytest

from RenalCLIPCore.errors import UndefinedMeasureError
from RenalCLIPCore.evaluation.readers import (
    matched_sensitivity,
    matched_specificity,
    reader_score,
    reading_times,
    similarity,
)

LABELS = [1, 1, 1, 1, 0, 0, 0, 0]
SCORES = [0.9, 0.8, 0.6, 0.3, 0.7, 0.4, 0.2, 0.1]
CALLS = [1, 1, 0, 0, 1, 0, 0, 0]


def test_sensitivity_and_specificity_by_hand():
    found = reader_score(LABELS, CALLS)
    assert (found.sensitivity.value, found.specificity.value, found.accuracy.value) == (0.5, 0.75, 5 / 8)
    assert (found.sensitivity.events, found.sensitivity.cases) == (2, 4)


def test_matched_sensitivity_by_hand():
    # specificity 3/4 allows one false positive: the lowest such threshold is 0.6, three of four positives
    found = matched_sensitivity(LABELS, SCORES, CALLS)
    assert (found.threshold, found.model, found.reader) == (0.6, 0.75, 0.5)
    assert (found.test.first_only, found.test.second_only, found.test.p) == (1, 0, 1)


def test_matched_specificity_by_hand():
    # sensitivity 2/4 is first attained at 0.8, above every negative
    found = matched_specificity(LABELS, SCORES, CALLS)
    assert (found.threshold, found.model, found.reader) == (0.8, 1.0, 0.75)
    assert (found.test.first_only, found.test.second_only) == (1, 0)


def test_a_reader_who_never_or_always_calls_is_matched():
    never, always = matched_specificity(LABELS, SCORES, [0] * 8), matched_sensitivity(LABELS, SCORES, [1] * 8)
    assert (never.model, never.threshold) == (1, np.inf)
    assert always.model == 1
    perfect = matched_sensitivity(LABELS, SCORES, [1, 1, 1, 1, 0, 0, 0, 0])
    assert (perfect.model, perfect.reader) == (0.5, 1)


def test_one_class_alone_leaves_one_measure_undefined():
    found = reader_score([1, 1], [1, 0])
    assert found.sensitivity.value == 0.5
    assert np.isnan(found.specificity.value)
    with pytest.raises(UndefinedMeasureError, match="both classes"):
        matched_sensitivity([1, 1], [0.2, 0.3], [1, 0])
    with pytest.raises(UndefinedMeasureError, match="at least one case"):
        reader_score([], [])


def test_reading_times_equal_scipy():
    from scipy.stats import wilcoxon

    generator = np.random.default_rng(0)
    without = generator.normal(90, 20, 30)
    helped = without - generator.normal(10, 15, 30)
    found = reading_times(without, helped)
    assert found.p == pytest.approx(wilcoxon(helped - without).pvalue, abs=1e-12)
    assert (found.without, found.change) == (np.median(without), np.median(helped - without))
    assert reading_times([5, 6], [5, 6]).p == 1
    with pytest.raises(UndefinedMeasureError, match="both ways"):
        reading_times([], [])


def test_kappa_equals_scikit_learn_over_the_cases_of_both():
    from sklearn.metrics import cohen_kappa_score

    generator = np.random.default_rng(1)
    one = generator.integers(0, 2, 40).astype(float)
    two = np.where(generator.uniform(size=40) < 0.8, one, 1 - one)
    three = two.copy()
    three[:5] = np.nan
    equal, kappa = similarity([one, two, three])
    assert kappa[0, 1] == pytest.approx(cohen_kappa_score(one, two), abs=1e-12)
    assert kappa[0, 2] == pytest.approx(cohen_kappa_score(one[5:], two[5:]), abs=1e-12)
    assert equal[0, 1] == np.mean(one == two)
    assert equal[1, 2] == 1


def test_observers_without_a_shared_case_have_no_agreement():
    equal, kappa = similarity([[1, np.nan], [np.nan, 0]])
    assert np.isnan(equal[0, 1])
    assert np.isnan(kappa[0, 1])
