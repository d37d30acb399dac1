"""Survival measures equal lifelines and cases worked by hand."""

import numpy as np
import pytest

from RenalCLIPCore.errors import UndefinedMeasureError
from RenalCLIPCore.evaluation.survival import (
    baseline_cumulative_hazard,
    concordance,
    kaplan_meier,
    weighted_concordance,
)


def cohort(seed, ties=True, count=60):
    generator = np.random.default_rng(seed)
    risk = generator.normal(0, 1, count)
    months = generator.exponential(20 * np.exp(-risk)) + 0.5
    months = np.ceil(months / 4) if ties else months
    return months, generator.integers(0, 2, count), np.round(risk, 1) if ties else risk


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_concordance_equals_lifelines(seed, ties):
    from lifelines.utils import concordance_index

    months, event, risk = cohort(seed, ties)
    assert concordance(months, event, risk) == pytest.approx(concordance_index(months, -risk, event), abs=1e-9)


def test_concordance_by_hand():
    # comparable: (1 before 2), (1 before 3); the censored second case starts no pair
    assert concordance([1, 2, 3], [1, 0, 0], [5, 1, 5]) == 1.5 / 2


def test_a_weight_is_a_number_of_repetitions():
    months, event, risk = cohort(3, count=20)
    weights = np.random.default_rng(0).integers(0, 3, (2, 20))
    found = weighted_concordance(months, event.astype(bool), risk, weights.astype(float))
    for row, value in zip(weights, found, strict=True):
        repeated = np.repeat(np.arange(20), row)
        assert value == pytest.approx(concordance(months[repeated], event[repeated], risk[repeated]), abs=1e-12)


@pytest.mark.parametrize("event", [[0, 0, 0], [0, 0, 1]])
def test_without_a_comparable_pair_the_c_index_is_refused(event):
    with pytest.raises(UndefinedMeasureError, match="C-index"):
        concordance([1, 2, 3], event, [1, 2, 3])


def test_kaplan_meier_equals_lifelines():
    from lifelines import KaplanMeierFitter

    months, event, _ = cohort(5)
    at = np.arange(0, 60, 1.7)
    expected = KaplanMeierFitter().fit(months, event).survival_function_at_times(at).to_numpy()
    np.testing.assert_allclose(kaplan_meier(months, event, at), expected, atol=1e-9)


def test_kaplan_meier_by_hand():
    # at 2: one of four dies; the case of 3 is censored; at 4: one of two dies
    np.testing.assert_allclose(
        kaplan_meier([2, 3, 4, 9], [1, 0, 1, 0], [1, 2, 3.5, 4, 8]), [1, 0.75, 0.75, 0.375, 0.375]
    )


def test_baseline_hazard_by_hand():
    # hazards 2, 1, 1: 1/4 at month 1, then 1/2 at month 2
    risk = np.log([2, 1, 1])
    found = baseline_cumulative_hazard([1, 2, 3], [1, 1, 0], risk, [0.5, 1, 1.5, 2, 5])
    np.testing.assert_allclose(found, [0, 0.25, 0.25, 0.75, 0.75])


def test_baseline_hazard_equals_lifelines_of_the_same_coefficients():
    import pandas as pd
    from lifelines import CoxPHFitter

    months, event, risk = cohort(7, ties=False, count=120)
    fitter = CoxPHFitter(baseline_estimation_method="breslow")
    fitter.fit(pd.DataFrame({"months": months, "event": event, "x": risk}), "months", "event")
    score = (fitter.params_["x"] * (risk - risk.mean())).astype(float)
    expected = fitter.baseline_cumulative_hazard_
    found = baseline_cumulative_hazard(months, event, score, expected.index.to_numpy())
    np.testing.assert_allclose(found, expected.to_numpy()[:, 0], atol=1e-9)


def test_no_case_is_refused():
    with pytest.raises(UndefinedMeasureError, match="At least one case"):
        kaplan_meier([], [], [1])
