"""Histology, attributes, the exact posterior and the course."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from RenalCLIPCore.errors import ConfigurationError
from RenalCLIPCore.phantom import histology as hist
from RenalCLIPCore.phantom.histology import Attributes, Histology

ZERO = Attributes(*(0.0 for _ in hist.ATTRIBUTES))
ONCOCYTOMA, CLEAR = Histology.ONCOCYTOMA, Histology.CLEAR_CELL_LOW


def two_class_model(shift):
    same = tuple((0.0, 1.0) for _ in hist.ATTRIBUTES)
    return {ONCOCYTOMA: same, CLEAR: ((shift, 1.0), *same[1:])}


def test_posterior_of_two_unit_gaussians_is_the_logistic_of_the_log_ratio():
    prior = {ONCOCYTOMA: 0.25, CLEAR: 0.75}
    found = hist.posterior(replace(ZERO, size=1.5), prior, two_class_model(2.0))
    logit = np.log(0.75 / 0.25) + 2.0 * 1.5 - 2.0**2 / 2
    assert found[CLEAR] == pytest.approx(1 / (1 + np.exp(-logit)))
    assert sum(found.values()) == pytest.approx(1.0)


def test_posterior_equals_the_prior_where_the_classes_do_not_differ():
    found = hist.posterior(ZERO, {ONCOCYTOMA: 1.0, CLEAR: 3.0}, two_class_model(0.0))
    assert found[CLEAR] == pytest.approx(0.75)


def test_a_histology_without_prior_weight_gets_no_posterior():
    found = hist.posterior(ZERO, {CLEAR: 1.0})
    assert found == {CLEAR: 1.0}


@pytest.mark.parametrize("weights", [{CLEAR: -1.0, ONCOCYTOMA: 2.0}, {CLEAR: 0.0}])
def test_an_impossible_prior_is_refused(weights):
    with pytest.raises(ConfigurationError):
        hist.checked_prior(weights)


def test_groups_follow_the_histology():
    assert Histology.CLEAR_CELL_HIGH.group == "malignant aggressive"
    assert Histology.CHROMOPHOBE.group == "malignant indolent"
    assert Histology.COMPLEX_CYST.group == "benign indolent"
    assert sum(hist.PRIOR.values()) == pytest.approx(1.0)


@pytest.fixture(scope="module")
def drawn():
    kinds = [hist.draw_histology(seed) for seed in range(1500)]
    attributes = [hist.draw_attributes(seed, kind) for seed, kind in enumerate(kinds)]
    return kinds, attributes, [hist.oracle(a, k) for a, k in zip(attributes, kinds, strict=True)]


def test_the_best_reader_is_good_but_not_perfect(drawn):
    kinds, _, oracles = drawn
    malignant = roc_auc_score([k.malignant for k in kinds], [o.malignant for o in oracles])
    aggressive = roc_auc_score([k.aggressive for k in kinds], [o.aggressive for o in oracles])
    assert 0.90 <= malignant <= 0.96
    assert 0.80 <= aggressive <= 0.91


def test_the_posterior_is_calibrated(drawn):
    kinds, _, oracles = drawn
    score = np.array([o.malignant for o in oracles])
    truth = np.array([k.malignant for k in kinds])
    for low, high in ((0.0, 0.5), (0.5, 0.9), (0.9, 1.0)):
        part = (score >= low) & (score <= high)
        assert truth[part].mean() == pytest.approx(score[part].mean(), abs=0.06)


def test_visible_quantities_grow_with_their_latent_values_and_stay_in_range(drawn):
    _, attributes, _ = drawn
    for name, visible in (("size", "diameter_mm"), ("necrosis", "necrosis_fraction"), ("fat", "fat_fraction")):
        latent = np.array([getattr(a, name) for a in attributes])
        shown = np.array([getattr(a, visible) for a in attributes])
        assert np.array_equal(np.argsort(latent), np.argsort(shown))
    diameters = np.array([a.diameter_mm for a in attributes])
    assert diameters.min() > 16
    assert diameters.max() < 100
    assert 35 < np.median(diameters) < 47


def test_only_malignant_cases_have_a_course():
    assert hist.draw_recurrence(1, ZERO, ONCOCYTOMA) is None
    assert hist.draw_recurrence(1, ZERO, CLEAR) is not None
    assert hist.oracle(ZERO, ONCOCYTOMA).log_hazard is None


def test_log_hazard_is_the_stated_sum():
    changed = replace(ZERO, size=1.0, necrosis=2.0, invasion=-1.0)
    expected = hist.HAZARD_SIZE + 2 * hist.HAZARD_NECROSIS - hist.HAZARD_INVASION
    assert hist.log_hazard(changed, CLEAR) - hist.log_hazard(ZERO, CLEAR) == pytest.approx(expected)
    assert hist.log_hazard(ZERO, Histology.CLEAR_CELL_HIGH) - hist.log_hazard(ZERO, CLEAR) == pytest.approx(
        hist.HAZARD_GRADE
    )


def test_the_course_follows_the_weibull_law_before_censoring():
    courses = [hist.draw_recurrence(seed, ZERO, CLEAR) for seed in range(3000)]
    early = np.mean([c.event and c.months <= 12.0 for c in courses])
    rate = np.exp(courses[0].log_hazard) * (12.0 / hist.WEIBULL_SCALE_MONTHS) ** hist.WEIBULL_SHAPE
    assert early == pytest.approx(1 - np.exp(-rate), abs=0.03)
