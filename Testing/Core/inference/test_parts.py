"""Risk, zero-shot reading, neighbours and distance from the training data."""

import numpy as np
import pytest

from RenalCLIPCore.inference.neighbours import neighbours
from RenalCLIPCore.inference.out_of_distribution import out_of_distribution
from RenalCLIPCore.inference.risk import recurrence, survival_curve
from RenalCLIPCore.inference.zero_shot import maximum_similarity, share_positive, stochastic_scores, zero_shot
from RenalCLIPCore.review import Absent
from Testing.Core.inference.reading_toys import output_of, saved
from Testing.Core.models.bundle_toys import toy_contents


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return saved(tmp_path_factory.mktemp("parts"), toy_contents())


def test_survival_follows_the_breslow_baseline_computed_by_hand():
    # Three patients with scores 0, ln 2, 0; events at 1 and 2 months, the third censored at 3:
    # H0(1) = 1 / (1 + 2 + 1), H0(2) = H0(1) + 1 / (2 + 1).
    baseline = (0.25, 0.25 + 1 / 3)
    assert np.allclose(survival_curve(baseline, 0.0), [np.exp(-0.25), np.exp(-0.25 - 1 / 3)])
    assert np.allclose(survival_curve(baseline, np.log(2.0)), np.exp(-2 * np.asarray(baseline)))


def test_extreme_scores_give_finite_curves():
    assert np.allclose(survival_curve((0.0, 0.1), 1e6), [1.0, 0.0])
    assert np.allclose(survival_curve((0.0, 0.1), -1e6), [1.0, 1.0])


def test_risk_group_is_high_only_above_the_stored_median(bundle):
    high = recurrence(bundle, output_of({"rfs": [[0.3], [0.1]]}))
    assert high.score == pytest.approx(0.2)
    assert high.group == "high"
    assert high.survival == pytest.approx(tuple(np.exp(-np.array([0.0, 0.1, 0.3]) * np.exp(0.2))))
    assert recurrence(bundle, output_of({"rfs": [[0.1], [0.1]]})).group == "low"
    assert high.survival_high == (1.0, 0.8, 0.6)
    assert high.cohort == "toy cohort"


def test_strategies_by_hand():
    negative, positive = [0.1, 0.5], [0.2, 0.5, 0.6]
    assert maximum_similarity(negative, positive) == pytest.approx(0.1)
    # pairs: 0.2 beats 0.1; 0.5 beats 0.1 and ties 0.5; 0.6 beats both
    assert share_positive(negative, positive) == pytest.approx((1 + 1.5 + 2) / 6)
    assert share_positive(positive, negative) == pytest.approx(1 - 4.5 / 6)


def test_random_draws_approach_the_counted_share_and_follow_the_seed():
    negative, positive = np.random.default_rng(0).random((2, 30))
    first = stochastic_scores(negative, positive, 20_000, np.random.default_rng(1))
    assert np.array_equal(first, stochastic_scores(negative, positive, 20_000, np.random.default_rng(1)))
    assert abs((first > 0).mean() - share_positive(negative, positive)) < 0.02


def test_zero_shot_reads_the_stored_prompts_by_hand(bundle):
    prompts = bundle.prompts["malignancy"]
    rows = np.stack([prompts.embeddings[1][2], prompts.embeddings[1][2]]).astype(float)
    (found,) = zero_shot(bundle, output_of({}, embeddings=rows))
    similarities = [embeddings @ rows[0] for embeddings in prompts.embeddings]
    assert found.score == pytest.approx(similarities[1].max() - similarities[0].max())
    assert found.best[0].prompt == "e"
    assert found.best[0].class_name == "malignant"
    assert found.best[0].similarity == pytest.approx(1.0)
    assert len(found.best) == 5
    assert [match.similarity for match in found.best] == sorted((m.similarity for m in found.best), reverse=True)


def test_neighbours_are_the_cosine_nearest_cases_in_order(bundle):
    row = bundle.index.embeddings[2].astype(float)
    found = neighbours(bundle, output_of({}, embeddings=np.stack([row, row])), 3)
    similarities = bundle.index.embeddings @ row
    expected = sorted(range(4), key=lambda n: -similarities[n])[:3]
    assert [item.case_id for item in found] == [f"C{n + 1}" for n in expected]
    assert found[0].case_id == "C3"
    assert found[0].similarity == pytest.approx(1.0)
    assert found[0].facts == {"histology": "h2"}


def test_more_neighbours_than_cases_gives_all_cases(bundle):
    row = bundle.index.embeddings[0].astype(float)
    assert len(neighbours(bundle, output_of({}, embeddings=row[None]), 50)) == 4


def test_a_case_is_flagged_beyond_the_threshold_by_its_mean_features(bundle):
    mean = bundle.statistics.mean
    near = out_of_distribution(bundle, output_of({}, features=[mean - 1.0, mean + 1.0]))
    assert near.distance == pytest.approx(0.0, abs=1e-6)
    assert not near.flagged
    step = bundle.statistics.components[0] * np.sqrt(bundle.statistics.variances[0])
    far = out_of_distribution(bundle, output_of({}, features=[mean + 6 * step, mean + 6 * step]))
    assert far.distance == pytest.approx(6.0)
    assert far.flagged
    assert far.threshold == 5.0


def test_a_score_without_a_cohort_is_absent_with_the_reason(tmp_path):
    contents = toy_contents()
    manifest = contents.manifest.model_copy(update={"risk": None})
    changed = saved(tmp_path, type(contents)(**{**vars(contents), "manifest": manifest}))
    found = recurrence(changed, output_of({"rfs": [[0.3], [0.1]]}))
    assert isinstance(found, Absent)
    assert "median" in found.absent
