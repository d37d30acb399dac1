"""Models are compared on the same cases and named by what they are; what was chosen on the cases themselves is said."""

from dataclasses import replace

import numpy as np
import pytest

from RenalCLIPCore.cohort.staging import STAGES
from RenalCLIPCore.cohort.table import CohortRow
from RenalCLIPCore.protocol.ablations import fraction_differences
from RenalCLIPCore.protocol.diagnosis import diagnosis_sections, measured, score_table
from RenalCLIPCore.protocol.joining import join_predictions, join_readings, join_reports
from RenalCLIPCore.protocol.predecessor import compare, t_group
from RenalCLIPCore.protocol.predecessor_prognosis import concordances
from RenalCLIPCore.protocol.prediction_table import GeneratedReport
from RenalCLIPCore.protocol.prognosis import aggressiveness_section
from RenalCLIPCore.protocol.reader_study import reader_sections
from RenalCLIPCore.protocol.report_quality import TRUE, attribute_agreement
from RenalCLIPCore.protocol.study_data import StudyData, StudySettings
from RenalCLIPCore.protocol.subgroups import subgroup_scores
from Testing.Core.protocol import study_toys as toys

COHORTS = ("north", "south", "west")


def study(
    cohorts=("north",), cases=60, *, tasks=("malignancy", "aggressiveness", "rfs"), validation=False,
    fractions=((1.0, (0,)),), **settings,
):  # fmt: skip
    rows = {name: toys.cohort_rows(name, cases, k) for k, name in enumerate(cohorts)}
    if validation:
        rows[cohorts[0]] += toys.cohort_rows("valid", cases, 9, split="validation")
    made = [
        item
        for k, (name, part) in enumerate(rows.items())
        for item in toys.predictions(part, name, settings=("A",), tasks=tasks, seed=k, fractions=fractions)
    ]
    return StudyData(rows, tuple(join_predictions(made, rows)), StudySettings(resamples=40, **settings))


def fewer(item, count):
    return replace(item, rows=item.rows[:count], values=item.values[:count])


def words_of(section):
    figures = [figure.caption for figure in section.figures]
    return " ".join([*section.words, *figures, *(note for table in section.tables for note in table.notes)])


def test_the_commonest_answer_over_all_questions_is_each_questions_own():
    base = toys.cohort_rows("r", 12, 1)
    # question 1 is always answered 0, question 2 always 3, question 3 half and half
    rows = [replace(row, true_attributes=(0, 3, k % 2, *(None,) * 11)) for k, row in enumerate(base)]
    reports = [GeneratedReport(row.patient, row.side, "r", "m", row.findings, row.impression) for row in rows]
    data = StudyData({"r": rows}, (), StudySettings(resamples=20))
    (pairs,) = join_reports(reports, {"r": rows}).values()
    found = attribute_agreement(data, pairs, TRUE)["all questions"]
    assert found.samples == 36
    assert found.commonest == pytest.approx((1 + 1 + 0.5) / 3)


@pytest.mark.parametrize(
    ("validation", "words"), [(False, "of this cohort itself"), (True, "Youden's threshold of the validation")]
)
def test_groups_of_predicted_aggressiveness_say_where_they_are_cut(validation, words):
    found = words_of(aggressiveness_section(study(validation=validation)))
    assert words in found
    assert ("makes the groups differ by chance alone" in found) == (not validation)


def test_differences_are_from_the_reference_or_not_at_all():
    data = study()
    lacking = tuple(s for s in data.scores if (s.key.model, s.task) != ("ladder", "aggressiveness"))
    lacking += tuple(replace(s, key=s.key._replace(model="third")) for s in data.scores if s.task == "aggressiveness")
    data = replace(data, scores=lacking)
    assert data.models[0] == "ladder"
    assert all(item.difference is None for item in compare(data, "aggressiveness", "north"))
    assert any(item.difference for item in compare(study(), "aggressiveness", "north"))
    assert all(item.difference is None for item in concordances(data, "rfs", "north"))


def test_a_table_of_models_with_other_cases_counts_each_and_marks_none():
    data = study()
    some = replace(data, scores=tuple(fewer(s, 40) if s.key.model == "scratch" else s for s in data.scores))
    (whole,) = score_table(data, measured(data, "malignancy", "north"), "malignancy").rows
    assert whole[0] == "north (n = 60)"
    assert sum("**" in cell for cell in whole) == 1
    (row,) = score_table(some, measured(some, "malignancy", "north"), "malignancy").rows
    assert row[0] == "north"
    assert row[1].endswith("(n = 60)")
    assert row[2].endswith("(n = 40)")
    assert not any("**" in cell for cell in row)


def test_the_legend_of_a_curve_is_of_the_cases_that_are_drawn(monkeypatch):
    from RenalCLIPCore.protocol import diagnosis

    data = study()
    some = replace(data, scores=tuple(fewer(s, 40) if s.key.model == "scratch" else s for s in data.scores))
    drawn = []
    monkeypatch.setattr(diagnosis, "roc_figure", lambda panels: drawn.extend(panels))
    diagnosis_sections(some, measured(some, "malignancy", "north"))
    curve = drawn[0].curves[0]
    pairs = [(p, q) for p in curve.scores[drawn[0].labels == 1] for q in curve.scores[drawn[0].labels == 0]]
    area = np.mean([(p > q) + 0.5 * (p == q) for p, q in pairs])
    assert len(curve.scores) == 40
    assert curve.words.startswith(f"{area:.3f}")


@pytest.mark.parametrize(("positive", "measured_too"), [(4, False), (5, True)])
def test_a_subgroup_with_fewer_than_five_of_a_class_is_not_measured(positive, measured_too):
    rows = [
        replace(
            row,
            site="clinic" if k < 20 else "other",
            labels={**row.labels, "malignancy": int(k < positive) if k < 20 else k % 2},
        )
        for k, row in enumerate(toys.cohort_rows("g", 60, 1))
    ]
    made = toys.predictions(rows, "g", settings=("A",), tasks=("malignancy",))
    data = StudyData({"g": rows}, tuple(join_predictions(made, {"g": rows})), StudySettings(resamples=40))
    found = {group: value for _, group, _, value in subgroup_scores(data, "malignancy")}
    assert (found["clinic"] is not None) == measured_too
    assert found["other"] is not None


def test_label_efficiency_compares_the_cases_of_both():
    data = study(tasks=("malignancy",), fractions=((0.4, (0, 1)), (1.0, (0, 1))))
    same = [s for s in data.scores if s.key.model == "ladder"]
    other = [fewer(replace(s, key=s.key._replace(model="same")), 25) for s in same]
    found = fraction_differences(replace(data, scores=(*same, *other)))
    assert [(item.model, item.fraction) for item in found] == [("same", 0.4), ("same", 1.0)]
    assert all(item.values == (0.0, 0.0) for item in found)
    phases = [replace(s, key=s.key._replace(phases="NAV")) for s in other]
    assert not fraction_differences(replace(data, scores=(*same, *phases)))


def test_an_endpoint_of_one_models_own_does_not_drop_the_others():
    data = study()
    own = tuple(replace(s, task="os") for s in data.scores if (s.task, s.key.model) == ("rfs", "scratch"))
    both = replace(data, scores=data.scores + own)
    assert [item.key.model for item in both.groups("os", "north")] == ["scratch", "ladder"]  # each once
    found = both.main("os", "north")
    assert sorted(item.key.model for item in found) == ["ladder", "scratch"]
    assert {item.key.model: item.task for item in found} == {"ladder": "rfs", "scratch": "os"}


def test_a_pool_is_of_its_cohorts_with_follow_up_and_says_which_are_not():
    data = study(COHORTS, pools={"all": COHORTS})
    bare = [replace(row, follow_up={}) for row in data.cohorts["west"]]
    without = tuple(
        replace(s, rows=tuple(replace(row, follow_up={}) for row in s.rows)) if s.cohort == "west" else s
        for s in data.scores
    )
    data = replace(data, cohorts={**data.cohorts, "west": bare}, scores=without)
    malignant = sum(row.labels["malignancy"] for name in ("north", "south") for row in data.cohorts[name])
    assert [len(item.rows) for item in data.main("rfs", "all")] == [malignant] * 2
    assert [len(item.rows) for item in data.main("malignancy", "all")] == [180] * 2
    assert data.left_out_of_pools("rfs") == ["all is without west: no scored case."]
    assert data.left_out_of_pools("malignancy") == []


def test_readers_of_other_splits_take_no_part():
    data = study(validation=True)
    test = [row for row in data.cohorts["north"] if row.split == "test"]
    valid = [row for row in data.cohorts["north"] if row.split == "validation"]
    readings = [*toys.readings(test[:20], "north", readers=1), *toys.readings(valid, "north", readers=2, seed=1)]
    data = replace(data, readings=tuple(join_readings(readings, data.cohorts)))
    (section,) = reader_sections(data)
    assert {row[2] for row in section.tables[0].rows if row[0] == "reader 1"} == {"20"}
    assert not [row for row in section.tables[0].rows if row[0] == "reader 2"]


@pytest.mark.parametrize(
    ("stage", "group"), [("Stage I", "1a"), ("II", "1a"), ("Stage III", ""), ("IV", ""), ("", "1a")]
)
def test_the_size_gives_no_t_category_to_groups_that_it_does_not_decide(stage, group):
    assert t_group(CohortRow("p", "left", stage=stage, diameter_mm=30.0)) == group
    assert len(STAGES) == 4
