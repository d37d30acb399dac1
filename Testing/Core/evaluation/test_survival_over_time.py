"""Survival measures at times equal torchsurv's (scikit-survival's where it is installed) and cases worked by hand."""

import warnings

import numpy as np
import pytest

from RenalCLIPCore.errors import UndefinedMeasureError
from RenalCLIPCore.evaluation import survival_over_time as over_time

TIMES = (6.0, 14.0, 25.0)


def cohort(seed, ties=True, count=70):
    generator = np.random.default_rng(seed)
    risk = generator.normal(0, 1, count)
    hidden = generator.exponential(20 * np.exp(-risk)) + 0.5
    censoring = generator.uniform(3, 60, count)
    months = np.minimum(hidden, censoring)
    event = hidden <= censoring
    return (np.ceil(months) if ties else months), event, np.round(risk, 1) if ties else risk


def tensors(*arrays):
    torch = pytest.importorskip("torch")
    return [torch.from_numpy(np.ascontiguousarray(array)) for array in arrays]


@pytest.fixture(scope="module", autouse=True)
def _torchsurv():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("torchsurv")


def ipcw(event, months, at=None):
    from torchsurv.stats.ipcw import get_ipcw

    seen, times = tensors(event, months)
    return get_ipcw(seen, times, None if at is None else tensors(np.array([at]))[0])


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_weights_equal_torchsurv(seed, ties):
    months, event, _ = cohort(seed, ties)
    months = months if ties else 1.0 + np.argsort(np.argsort(months))  # it compares times in single precision
    for time in TIMES:
        found = over_time.FollowUpWeights.of(months, event, time, np.ones(len(months)))
        np.testing.assert_allclose(found.own, ipcw(event, months).numpy(), rtol=1e-5)
        assert float(found.at) == pytest.approx(float(ipcw(event, months, time)), rel=1e-5)


def exact_weights(months, event, time):
    """The same in double precision, by a loop (torchsurv's Kaplan-Meier estimate is made in single)."""

    def free(at):
        value = 1.0
        for moment in np.unique(months[months <= at]):
            lost = ((months == moment) & ~event).sum()
            value *= 1 - lost / max((months >= moment).sum() - ((months == moment) & event).sum(), 1)
        return value

    return np.array([1 / free(t) if free(t) > 0 else 0.0 for t in months]), 1 / free(time)


@pytest.mark.parametrize("ties", [False, True])
def test_weights_equal_the_loop(ties):
    months, event, _ = cohort(4, ties)
    own, at = exact_weights(months, event, 14.0)
    found = over_time.FollowUpWeights.of(months, event, 14.0, np.ones(len(months)))
    np.testing.assert_allclose(found.own, own, atol=1e-9)
    assert float(found.at) == pytest.approx(at, abs=1e-9)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_brier_equals_torchsurv_of_the_same_weights(seed, ties):
    from torchsurv.metrics.brier_score import BrierScore

    months, event, risk = cohort(seed, ties)
    for time in TIMES:
        free = 1 / (1 + np.exp(risk))
        own, at = exact_weights(months, event, time)
        seen, times, estimate, weight, new, weight_new = tensors(
            event, months, free[:, None], own, np.array([time]), np.array([at])
        )
        expected = BrierScore()(estimate, seen, times, new, weight, weight_new)
        found = over_time.weighted_brier_at(months, event, free, time, np.ones(len(months)))
        assert float(found) == pytest.approx(float(expected[0]), abs=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_concordance_equals_torchsurv_of_the_same_weights(seed):
    from torchsurv.metrics.cindex import ConcordanceIndex

    months, event, risk = cohort(seed, ties=False)
    for time in TIMES:
        own, _ = exact_weights(months, event, time)
        seen, times, values, weight, until = tensors(event, months, risk, own, np.array(time))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = ConcordanceIndex()(values, seen, times, weight=weight, tmax=until)
        found = over_time.weighted_concordance_until(months, event, risk, time, np.ones(len(months)))
        assert float(found) == pytest.approx(float(expected), abs=1e-9)


def naive_auroc(months, event, risk, time):
    own, _ = exact_weights(months, event, time)
    area = total = 0.0
    for i in np.flatnonzero((months <= time) & event):
        for j in np.flatnonzero(months > time):
            total += own[i]
            area += own[i] * (1.0 * (risk[i] > risk[j]) + 0.5 * (risk[i] == risk[j]))
    return area / total


def naive_concordance(months, event, risk, time):
    own, _ = exact_weights(months, event, time)
    concordant = total = 0.0
    for i in np.flatnonzero(event & (months < time)):
        for j in range(len(months)):
            if months[i] < months[j] or (months[i] == months[j] and not event[j]):
                total += own[i] ** 2
                concordant += own[i] ** 2 * (1.0 * (risk[i] > risk[j]) + 0.5 * (risk[i] == risk[j]))
    return concordant / total


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(2))
def test_auroc_and_concordance_equal_the_double_loop(seed, ties):
    months, event, risk = cohort(seed, ties)
    ones = np.ones(len(months))
    for time in TIMES:
        found = over_time.weighted_auroc_at(months, event, risk, time, ones)
        assert float(found) == pytest.approx(naive_auroc(months, event, risk, time), abs=1e-9)
        found = over_time.weighted_concordance_until(months, event, risk, time, ones)
        assert float(found) == pytest.approx(naive_concordance(months, event, risk, time), abs=1e-9)


def test_all_three_equal_scikit_survival():
    metrics = pytest.importorskip("sksurv.metrics", reason="scikit-survival (GPL) serves as an oracle where installed")
    months, event, risk = cohort(1)
    truth = np.array(list(zip(event, months, strict=True)), dtype=[("event", bool), ("months", float)])
    ones, free = np.ones(len(months)), 1 / (1 + np.exp(risk))
    expected, _ = metrics.cumulative_dynamic_auc(truth, truth, risk, TIMES)
    found = [over_time.weighted_auroc_at(months, event, risk, t, ones) for t in TIMES]
    np.testing.assert_allclose(found, expected, atol=1e-9)
    for time in TIMES:
        c = metrics.concordance_index_ipcw(truth, truth, risk, tau=time)[0]
        assert float(over_time.weighted_concordance_until(months, event, risk, time, ones)) == pytest.approx(c)
        _, brier = metrics.brier_score(truth, truth, free[:, None], [time])
        assert float(over_time.weighted_brier_at(months, event, free, time, ones)) == pytest.approx(brier[0])


@pytest.mark.parametrize("measure", [over_time.weighted_auroc_at, over_time.weighted_concordance_until,
                                     over_time.weighted_brier_at])  # fmt: skip
def test_a_weight_is_a_number_of_repetitions(measure):
    months, event, risk = cohort(3, count=30)
    values = 1 / (1 + np.exp(risk))
    weights = np.random.default_rng(0).integers(0, 3, (3, 30))
    found = measure(months, event, values, 14.0, weights.astype(float))
    for row, value in zip(weights, found, strict=True):
        again = np.repeat(np.arange(30), row)
        expected = measure(months[again], event[again], values[again], 14.0, np.ones(len(again)))
        assert value == pytest.approx(float(expected), abs=1e-12)


def test_without_censoring_the_brier_score_is_the_mean_squared_error():
    months, event = np.array([1.0, 2, 3, 4]), np.ones(4, dtype=bool)
    found = over_time.weighted_brier_at(months, event, np.array([0.1, 0.4, 0.7, 1.0]), 2.5, np.ones(4))
    assert float(found) == pytest.approx((0.1**2 + 0.4**2 + 0.3**2 + 0) / 4)


def test_event_free_probability_by_hand():
    # hazards all 1: 1/3 at month 1, then 1/2 at month 2
    fitted = (np.array([1.0, 2, 3]), np.array([True, True, False]), np.zeros(3))
    found = over_time.event_free_probability(fitted, np.log([1.0, 2.0]), 2.0)
    np.testing.assert_allclose(found, np.exp([-5 / 6, -10 / 6]))


def test_before_the_first_event_nothing_is_defined():
    months, event, risk = np.array([5.0, 6, 7]), np.array([True, False, True]), np.array([1.0, 2, 3])
    assert np.isnan(over_time.weighted_auroc_at(months, event, risk, 2.0, np.ones(3)))
    assert np.isnan(over_time.weighted_concordance_until(months, event, risk, 2.0, np.ones(3)))


def test_no_case_to_fit_on_is_refused():
    empty = (np.array([]), np.array([], dtype=bool), np.array([]))
    with pytest.raises(UndefinedMeasureError, match="At least one case"):
        over_time.event_free_probability(empty, np.array([0.0]), 5.0)
