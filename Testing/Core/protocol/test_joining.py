"""Predictions meet their rows by patient and side whatever the order, and what does not match is refused."""

from dataclasses import replace

import numpy as np
import pytest

from RenalCLIPCore.errors import CohortError
from RenalCLIPCore.protocol.joining import (
    ModelKey,
    common_cases,
    join_predictions,
    join_readings,
    join_reports,
    oracle_scores,
    pooled,
)
from Testing.Core.protocol import study_toys as toys


@pytest.fixture
def rows():
    return toys.cohort_rows("toy", 12, 3)


def made(rows, **changes):
    return toys.predictions(rows, "toy", models={"m": 2.0}, settings=("A",), **changes)


def test_the_order_of_the_predictions_does_not_matter(rows):
    predictions = made(rows)
    shuffled = [predictions[k] for k in np.random.default_rng(0).permutation(len(predictions))]
    for one, other in zip(
        sorted(join_predictions(predictions, {"toy": rows}), key=lambda s: s.task),
        sorted(join_predictions(shuffled, {"toy": rows[::-1]}), key=lambda s: s.task),
        strict=True,
    ):
        by_case = dict(zip(other.case_ids, other.values.tolist(), strict=True))
        assert {case: by_case[case] for case in one.case_ids} == dict(
            zip(one.case_ids, one.values.tolist(), strict=True)
        )


def test_classes_stand_in_the_order_of_the_labels(rows):
    predictions = made(rows, tasks=("renal_r",))
    found = join_predictions(predictions, {"toy": rows})[0]
    wanted = [[p.score for p in predictions if p.patient == row.patient] for row in found.rows]
    np.testing.assert_array_equal(found.values, wanted)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cohort": "other"}, "of the cohort 'other', but the tables given are of 'toy'"),
        ({"patient": "stranger"}, "joined by patient and side, never by order"),
        ({"split": "validation"}, "of the split 'validation', but its row is of the split 'test'"),
    ],
)
def test_what_does_not_match_is_refused(rows, change, message):
    predictions = made(rows)
    with pytest.raises(CohortError, match=message) as caught:
        join_predictions([replace(predictions[0], **change), *predictions[1:]], {"toy": rows})
    assert "stranger" not in str(caught.value)


def test_the_other_kidney_is_not_taken_for_the_predicted_one(rows):
    wrong = "left" if rows[0].side == "right" else "right"
    with pytest.raises(CohortError, match="patient and side"):
        join_predictions([replace(made(rows)[0], side=wrong)], {"toy": rows})


def test_the_same_prediction_in_two_tables_is_refused(rows):
    predictions = made(rows)
    with pytest.raises(CohortError, match="Two tables"):
        join_predictions([*predictions, predictions[0]], {"toy": rows})


def test_other_lesions_than_the_primary_one_are_left_out(rows):
    predictions = made(rows, tasks=("rfs",))
    second = replace(predictions[0], lesion="L2", score=99.0)
    assert 99.0 not in join_predictions([*predictions, second], {"toy": rows})[0].values


def test_reports_and_readings_of_strangers_are_refused(rows):
    report, reading = toys.generated_reports(rows, "toy")[0], toys.readings(rows, "toy")[0]
    with pytest.raises(CohortError, match="A report is of a patient"):
        join_reports([replace(report, patient="x")], {"toy": rows})
    with pytest.raises(CohortError, match="A reading is of the cohort"):
        join_readings([replace(reading, cohort="x")], {"toy": rows})


def test_models_are_compared_on_the_cases_of_both(rows):
    first, second = (join_predictions(made(part, tasks=("rfs",)), {"toy": rows})[0] for part in (rows[:8], rows[4:]))
    one, two = common_cases([first, second])
    assert one.case_ids == two.case_ids == tuple(f"toy/{row.case_id}" for row in rows[4:8])


def test_pooled_cases_keep_patients_of_one_name_apart(rows):
    item = join_predictions(made(rows, tasks=("rfs",)), {"toy": rows})[0]
    other = replace(item, cohort="other")
    both = pooled([item, other], "all")
    assert len(set(both.patients)) == 24
    assert both.key == ModelKey("m", "A", 1.0, 0)


def test_the_oracle_is_there_only_where_it_knows_every_case(rows):
    item = join_predictions(made(rows, tasks=("malignancy",)), {"toy": rows})[0]
    assert oracle_scores(item).score.tolist() == [row.oracle["malignancy"] for row in rows]
    assert oracle_scores(replace(item, rows=(replace(rows[0], oracle={}), *item.rows[1:]))) is None


def test_survival_counts_malignant_cases_with_follow_up(rows):
    item = join_predictions(made(rows, tasks=("rfs",)), {"toy": rows})[0]
    assert {row.patient for row in item.labelled().rows} == {r.patient for r in rows if r.labels["malignancy"] == 1}
