"""Scores of a bundle: the right rows, the oracle beside them, and tables that say what they show."""

import csv

import numpy as np
import pytest

from RenalCLIPCore.cohort.table import CohortRow, FollowUp
from RenalCLIPCore.evaluation.classification import auroc
from RenalCLIPCore.evaluation.survival import concordance
from RenalCLIPCore.protocol.bundle_scores import score_predictions, to_markdown, write_scores
from RenalCLIPCore.protocol.predictions import ALL_PHASES, ONE_PHASE, Prediction, write_predictions


def cohort(count=40, oracle=True):
    generator = np.random.default_rng(0)
    rows = []
    for number in range(count):
        label = int(generator.integers(0, 2))
        rows.append(
            CohortRow(
                f"p{number}",
                "left",
                split="test",
                labels={"malignancy": label, "renal_r": number % 3},
                follow_up={"rfs": FollowUp(float(1 + generator.exponential(20)), bool(generator.integers(0, 2)))},
                oracle={"malignancy": 0.2 + 0.6 * label, "rfs": float(generator.normal())} if oracle else {},
            )
        )
    return rows


def predictions(rows):
    generator = np.random.default_rng(1)
    found = []
    for row in rows:
        for phases in (ALL_PHASES, ONE_PHASE):
            p = float(generator.uniform())
            scores = {"malignancy": [("benign", 1 - p), ("malignant", p)], "rfs": [("rfs", float(generator.normal()))]}
            scores["renal_r"] = list(zip("abc", map(float, generator.dirichlet([1, 1, 1])), strict=True))
            for task, outputs in scores.items():
                for name, score in outputs:
                    key = (row.patient, row.side, "L1", "toy", row.split, task, "m 1", phases, 1.0, 0, name, score)
                    found.append(Prediction(*key))
    return found


@pytest.fixture(scope="module")
def scored():
    rows = cohort()
    made = predictions(rows)
    scores = score_predictions(made, rows, resamples=50)
    return rows, made, {(s.task, s.measure, s.reader): s for s in scores}


def test_the_positive_class_is_scored(scored):
    rows, made, scores = scored
    positive = [p.score for p in made if (p.task, p.phases, p.output) == ("malignancy", ALL_PHASES, "malignant")]
    expected = auroc([row.labels["malignancy"] for row in rows], positive)
    assert scores["malignancy", "AUROC", ALL_PHASES].interval.value == pytest.approx(expected)
    assert scores["malignancy", "AUROC", "oracle"].interval.value == 1


def test_survival_counts_malignant_cases_only(scored):
    rows, made, scores = scored
    malignant = [row for row in rows if row.labels["malignancy"] == 1]
    risk = {p.patient: p.score for p in made if (p.task, p.phases) == ("rfs", ONE_PHASE)}
    follow_up = [row.follow_up["rfs"] for row in malignant]
    expected = concordance(
        [f.months for f in follow_up], [f.event for f in follow_up], [risk[row.patient] for row in malignant]
    )
    score = scores["rfs", "Harrell's C", ONE_PHASE]
    assert score.cases == len(malignant) < len(rows)
    assert score.interval.value == pytest.approx(expected)


def test_a_measure_that_is_undefined_is_said_to_be(scored):
    rows, made, _ = scored
    benign = [row for row in rows if row.labels["malignancy"] == 0]
    kept = [p for p in made if p.patient in {row.patient for row in benign}]
    scores = score_predictions(kept, benign, resamples=20)
    assert next(s for s in scores if s.measure == "AUROC").interval is None
    assert "| malignancy | AUROC | " in to_markdown(scores, "toy")
    assert "undefined" in to_markdown(scores, "toy")


def test_the_page_states_the_oracle_of_the_components(scored):
    _, _, scores = scored
    page = to_markdown(list(scores.values()), "toy")
    line = next(line for line in page.splitlines() if line.startswith("| renal_r |"))
    assert line.endswith("| 1 by construction |")
    assert "1 by construction because the truth is a function of the shapes" in page


def test_real_cohorts_have_no_oracle_column():
    rows = cohort(oracle=False)
    assert "oracle" not in to_markdown(score_predictions(predictions(rows), rows, resamples=10), "toy")


def test_the_tables_hold_every_score_and_prediction(scored, tmp_path):
    _, made, scores = scored
    write_scores(list(scores.values()), tmp_path, "toy")
    write_predictions(made, tmp_path / "predictions.csv")
    with (tmp_path / "scores.csv").open(newline="") as file:
        assert [(r["task"], r["measure"], r["reader"]) for r in csv.DictReader(file)] == list(scores)
    with (tmp_path / "predictions.csv").open(newline="") as file:
        found = list(csv.DictReader(file))
    assert len(found) == len(made)
    assert float(found[3]["score"]) == made[3].score
