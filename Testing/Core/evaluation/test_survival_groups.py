"""Curves, log-rank tests and hazard ratios equal lifelines', and what the data cannot tell is undefined."""

import numpy as np
import pytest

from RenalCLIPCore.errors import UndefinedMeasureError
from RenalCLIPCore.evaluation.survival_groups import compare_groups, cox, group_curve, hazard_ratio


def cohort(seed=0, count=80, effect=1.0):
    generator = np.random.default_rng(seed)
    group = generator.integers(0, 2, count)
    hidden = generator.exponential(20 * np.exp(-effect * group)) + 0.5
    censoring = generator.uniform(3, 60, count)
    return np.ceil(np.minimum(hidden, censoring)), hidden <= censoring, group


def test_curves_and_tests_equal_lifelines():
    import pandas as pd
    from lifelines import CoxPHFitter, KaplanMeierFitter
    from lifelines.statistics import logrank_test

    months, event, group = cohort()
    found = compare_groups(months, event, group, ("low", "high"))
    one = group == 1
    expected = logrank_test(months[one], months[~one], event[one], event[~one])
    assert found.log_rank_p == pytest.approx(expected.p_value, rel=1e-9)
    fitter = CoxPHFitter().fit(pd.DataFrame({"m": months, "e": event, "x": group}), "m", "e")
    row = fitter.summary.loc["x"]
    assert found.ratio.value == pytest.approx(row["exp(coef)"], abs=1e-6)
    assert found.ratio.p == pytest.approx(row["p"], abs=1e-6)
    assert (found.ratio.low, found.ratio.high) == (
        pytest.approx(row["exp(coef) lower 95%"], abs=1e-6), pytest.approx(row["exp(coef) upper 95%"], abs=1e-5)
    )  # fmt: skip
    kaplan = KaplanMeierFitter().fit(months[one], event[one])
    np.testing.assert_allclose(found.curves[1].event_free, kaplan.survival_function_.to_numpy()[:, 0], atol=1e-12)
    assert found.curves[1].median == kaplan.median_survival_time_


def test_number_at_risk_by_hand():
    curve = group_curve([2, 3, 3, 9], [1, 0, 1, 0], "all")
    assert curve.at_risk([0, 2, 2.5, 3, 4, 9, 10]).tolist() == [4, 4, 3, 3, 1, 1, 0]
    assert (curve.cases, curve.events, curve.median) == (4, 2, 3)
    np.testing.assert_allclose(curve.event_free, [1, 0.75, 0.5, 0.5])


def partial_likelihood(months, event, value, coefficient):
    """Efron's partial likelihood, by its definition."""
    total = 0.0
    for moment in np.unique(months[event]):
        dying, risk = (months == moment) & event, months >= moment
        shares = np.exp(coefficient * value)
        for number in range(int(dying.sum())):
            total -= np.log(shares[risk].sum() - number / dying.sum() * shares[dying].sum())
        total += coefficient * value[dying].sum()
    return total


def test_the_hazard_ratio_is_where_the_partial_likelihood_is_largest():
    from scipy.optimize import minimize_scalar

    months, event, _ = cohort(3)
    value = np.random.default_rng(1).normal(0, 3, len(months))
    best = minimize_scalar(lambda b: -partial_likelihood(months, event, value, b), bounds=(-2, 2), method="bounded",
                           options={"xatol": 1e-10})  # fmt: skip
    assert np.log(hazard_ratio(months, event, value).value) == pytest.approx(best.x, abs=1e-5)


def test_two_variables_are_adjusted_for_each_other():
    generator = np.random.default_rng(4)
    cause = generator.normal(0, 1, 400)
    companion = cause + generator.normal(0, 0.5, 400)
    months = generator.exponential(20 * np.exp(-cause)) + 0.1
    event = np.ones(400, dtype=bool)
    assert hazard_ratio(months, event, companion).p < 1e-6
    both = cox(months, event, np.stack([cause, companion], axis=1))
    assert both[0].p < 1e-6
    assert both[1].low < 1 < both[1].high


def test_a_score_stays_significant_beside_stage_only_when_the_hazard_says_so():
    generator = np.random.default_rng(8)
    stage, own = generator.integers(0, 2, 500).astype(float), generator.normal(0, 1, 500)
    score = stage + own
    for weight, significant in ((0.0, False), (0.8, True)):
        months = generator.exponential(30 * np.exp(-1.2 * stage - weight * own)) + 0.1
        event = months < 60
        ratios = cox(np.minimum(months, 60), event, np.stack([stage, score], axis=1))
        assert hazard_ratio(np.minimum(months, 60), event, score).p < 0.01
        assert (ratios[1].p < 0.01) == significant
        assert ratios[0].p < 0.01 or significant


def test_a_group_without_events_has_no_hazard_ratio():
    months = np.r_[np.arange(1.0, 21), np.full(20, 30.0)]
    event = np.r_[np.ones(20), np.zeros(20)]
    found = compare_groups(months, event, np.repeat([0, 1], 20), ("a", "b"))
    assert np.isnan(found.ratio.value)
    assert found.log_rank_p < 1e-6


def test_without_events_or_with_one_group_no_test_is_made():
    for event, group in (([0, 0, 0], [0, 1, 1]), ([1, 1, 0], [0, 0, 0])):
        found = compare_groups([1, 2, 3], event, group, ("a", "b"))
        assert np.isnan(found.log_rank_p)
        assert np.isnan(found.ratio.value)
    assert np.isnan(cox([1, 2, 3], [1, 1, 0], [[1.0], [1.0], [1.0]])[0].value)


def test_one_case_has_a_curve():
    curve = group_curve([4.0], [1], "one")
    assert (curve.cases, curve.events) == (1, 1)
    assert np.all(np.isfinite(curve.event_free))


@pytest.mark.parametrize("months", [[-1.0, 2], [np.nan, 2], []])
def test_negative_missing_and_no_times_are_refused(months):
    with pytest.raises(UndefinedMeasureError, match="not negative"):
        group_curve(months, np.ones(len(months)), "x")
