"""Beside stage and grade a score stays significant where the hazard holds it, and falls away where it does not."""

from dataclasses import replace

import numpy as np

from RenalCLIPCore.cohort.table import FollowUp
from RenalCLIPCore.protocol.joining import ModelKey, ModelScores
from RenalCLIPCore.protocol.predictions import ONE_PHASE
from RenalCLIPCore.protocol.regression import SCORE, regress
from Testing.Core.protocol import study_toys as toys

SIMULATIONS = 100
CASES = 160
ROW = toys.cohort_rows("toy", 1, 0)[0]


def p_values(seed, own):
    """Of the score alone and beside stage and grade; ``own`` is what the hazard has of the score beyond them."""
    g = np.random.default_rng(seed)
    stage, grade, hidden = g.integers(1, 5, CASES), g.integers(1, 5, CASES), g.normal(size=CASES)
    hazard = 0.5 * stage + 0.4 * grade + own * hidden
    months, censored = g.exponential(60 * np.exp(1.5 - hazard)) + 0.1, g.uniform(12, 90, CASES)
    rows = tuple(
        replace(
            ROW,
            patient=f"toy-{k:03d}",
            stage=f"pT{stage[k]}",
            grade=int(grade[k]),
            follow_up={"rfs": FollowUp(float(min(months[k], censored[k])), bool(months[k] <= censored[k]))},
        )
        for k in range(CASES)
    )
    score = (0.6 * stage + 0.4 * grade + hidden)[:, None]
    found = regress("rfs", ModelScores("toy", "test", "rfs", ModelKey("m", ONE_PHASE, 1.0, 0), rows, score))
    assert [name for name, _ in found.variables][:2] == ["TNM stage", "WHO/ISUP grade"]
    assert found.names[-1] == SCORE
    return found.univariate[-1].p, found.multivariate[-1].p


def test_a_score_that_adds_nothing_to_stage_and_grade_is_significant_as_often_as_chance():
    alone, adjusted = np.array([p_values(seed, own=0.0) for seed in range(SIMULATIONS)]).T
    assert np.mean(alone < 0.05) > 0.95
    # 5 % expected; at most 12 of 100 with a chance of 99.9 %
    assert np.sum(adjusted < 0.05) <= 12


def test_a_score_of_which_the_hazard_holds_more_than_stage_and_grade_stays_significant():
    adjusted = np.array([p_values(seed, own=0.5)[1] for seed in range(SIMULATIONS // 4)])
    assert np.mean(adjusted < 0.05) > 0.9
