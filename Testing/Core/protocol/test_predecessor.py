"""The second paper's tables: the right cases in every group, numbers of the measures, and odd cohorts."""

import csv
from dataclasses import replace

import numpy as np
import pytest

from RenalCLIPCore import cli
from RenalCLIPCore.cohort.clinical import Clinical
from RenalCLIPCore.cohort.staging import t_category
from RenalCLIPCore.cohort.table import CohortRow
from RenalCLIPCore.errors import CohortError
from RenalCLIPCore.evaluation.classification import auroc
from RenalCLIPCore.evaluation.survival import concordance
from RenalCLIPCore.evaluation.survival_groups import hazard_ratio
from RenalCLIPCore.protocol.joining import join_predictions
from RenalCLIPCore.protocol.predecessor import ALL, GROUPS, clinical_section, comparator_section, compare, t_group
from RenalCLIPCore.protocol.predecessor_prognosis import (
    GRADE,
    STAGE,
    concordances,
    followed,
    prognosis_section,
    subgroup_hazards,
)
from RenalCLIPCore.protocol.published import PREDECESSOR, check_paper_cohorts, published_figures
from RenalCLIPCore.protocol.study import evaluate_study
from RenalCLIPCore.protocol.study_data import ORACLE, StudyData, StudySettings
from RenalCLIPCore.protocol.task_measures import follow_up
from Testing.Core.protocol import study_toys as toys

TASKS = ("malignancy", "aggressiveness")
MODELS = {"network": 2.0, "radiomics": 0.9}


def study(cases=120, *, rows=None, models=MODELS, **settings):
    rows = rows or {
        "internal": toys.cohort_rows("internal", cases, 1),
        "external": toys.cohort_rows("external", cases, 3),
    }
    options = {"models": models, "settings": ("NAV",), "tasks": TASKS}
    made = [item for k, (name, part) in enumerate(rows.items())
            for item in toys.predictions(part, name, seed=k, **options)]  # fmt: skip
    chosen = StudySettings(**{"resamples": 20, "paper": PREDECESSOR, **settings})
    return StudyData(rows, tuple(join_predictions(made, rows)), chosen)


@pytest.fixture(scope="module")
def data():
    return study(pools={"both": ("internal", "external")})


@pytest.mark.parametrize(
    ("words", "category"),
    [("pT1a", "1a"), ("pT3a N1 M0", "3a"), ("cT2", "2"), ("T4N0M0", "4"), ("Stage III", ""), ("", ""), ("pTx", "")],
)
def test_the_t_category_is_what_tnm_words_name(words, category):
    assert t_category(words) == category


def row_of(stage="", diameter=None, look="solid"):
    return CohortRow("p", "left", stage=stage, diameter_mm=diameter, clinical=Clinical(appearance=look))


@pytest.mark.parametrize(
    ("row", "groups"),
    [
        (row_of("pT1a", 62.0), {"Solid", "T1a", "T1a, solid", "T1", "T1, solid"}),
        (row_of("", 40.0), {"Solid", "Small (up to 4 cm)", "T1a", "T1a, solid", "T1", "T1, solid"}),
        (row_of("", 40.1, "cystic"), {"Cystic", "T1"}),
        (row_of("", 70.1), {"Solid", "T2 and above"}),
        (row_of("pT3a", 20.0, "cystic"), {"Cystic", "Small (up to 4 cm)", "T2 and above"}),
        (row_of("", None, ""), set()),
    ],
)
def test_a_case_belongs_to_its_clinical_groups(row, groups):
    assert {name for name, holds in GROUPS.items() if holds(row)} == groups | {ALL}
    assert t_group(row) or not groups


def test_the_comparators_are_measured_on_the_cases_that_all_models_have():
    full = study(60)
    fewer = [replace(item, rows=item.rows[:40], values=item.values[:40])
             if item.key.model == "radiomics" else item for item in full.scores]  # fmt: skip
    found = compare(replace(full, scores=tuple(fewer)), "malignancy", "internal")
    assert [item.model for item in found] == ["network", "radiomics", ORACLE]
    assert {len(item.item.rows) for item in found} == {40}
    labels = [row.labels["malignancy"] for row in found[0].item.rows]
    for item in found:
        assert item.value.value == pytest.approx(auroc(labels, item.item.score))
    assert found[1].difference.value == pytest.approx(found[0].value.value - found[1].value.value)
    assert found[0].difference is None
    assert found[2].difference is None  # the oracle is no competitor


def test_one_table_holds_every_model_cohort_and_task_with_tests(data):
    section = comparator_section(data)
    records = [dict(zip(section.tables[0].columns, record, strict=True)) for record in section.tables[0].records]
    assert {(r["task"], r["cohort"], r["model"]) for r in records} == {
        (task, cohort, model) for task in TASKS for cohort in ("internal", "external", "both")
        for model in ("network", "radiomics", ORACLE)
    }  # fmt: skip
    tested = [r for r in records if r["model"] == "radiomics"]
    assert all(r["p_holm"] >= r["p_bootstrap"] and r["low"] <= r["auroc"] <= r["high"] for r in tested)
    assert all(0 <= r["p_delong"] <= 1 for r in tested)


def test_subgroups_are_of_every_model_and_small_ones_are_not_measured():
    rows = toys.cohort_rows("few", 40, 5)
    mostly = [replace(row, clinical=replace(row.clinical, appearance="cystic" if k < 12 else "solid"),
                      labels={**row.labels, "malignancy": int(k >= 2) if k < 12 else row.labels["malignancy"]})
              for k, row in enumerate(rows)]  # fmt: skip
    found = compare(study(rows={"few": mostly}), "malignancy", "few", "Cystic")
    assert [(len(item.item.rows), item.positive, item.value) for item in found] == [(12, 10, None)] * 3
    few = [replace(row, clinical=replace(row.clinical, appearance="cystic" if k < 9 else "solid"))
           for k, row in enumerate(rows)]  # fmt: skip
    assert compare(study(rows={"few": few}), "malignancy", "few", "Cystic") == []
    section = clinical_section(study(rows={"few": mostly}))
    assert "too few of a class" in section.tables[0].markdown()


def test_subgroup_numbers_are_those_of_the_cases(data):
    found = compare(data, "malignancy", "internal", "Solid")
    rows = [row for row in data.cohorts["internal"] if row.clinical.appearance == "solid"]
    assert list(found[0].item.rows) == rows
    assert found[0].value.value == pytest.approx(auroc([r.labels["malignancy"] for r in rows], found[0].item.score))


def test_the_score_runs_to_ten_and_is_of_malignant_cases_with_follow_up(data):
    items = followed(data, "os", "internal")
    assert [item.key.model for item in items] == ["network", "radiomics"]
    for item in items:
        assert item.values.shape == (len(item.rows), 1)
        assert 0 <= item.values.min() <= item.values.max() <= 10
        assert all(row.labels["malignancy"] == 1 and "os" in row.follow_up for row in item.rows)
    source = next(s for s in data.main("aggressiveness", "internal") if s.key.model == "network")
    expected = [10 * score for row, score in zip(source.rows, source.score, strict=True) if row in items[0].rows]
    np.testing.assert_allclose(items[0].score, expected)


def test_concordance_is_that_of_every_predictor_on_its_cases(data):
    found = {item.predictor: item for item in concordances(data, "rfs", "internal")}
    assert list(found) == ["network", "radiomics", STAGE, GRADE]
    item = followed(data, "rfs", "internal")[0]
    months, event = follow_up("rfs", item.rows)
    assert found["network"].value.value == pytest.approx(concordance(months, event, item.score))
    grades = [row.grade for row in item.rows]
    assert found[GRADE].value.value == pytest.approx(concordance(months, event, grades))
    assert found["network"].difference is None
    assert found[STAGE].difference.value == pytest.approx(found["network"].value.value - found[STAGE].value.value)


def test_hazards_in_subgroups_are_per_point_of_the_score(data):
    found = {(h.attribute, h.group): h for h in subgroup_hazards(data, "rfs", "internal")}
    item = followed(data, "rfs", "internal")[0]
    whole = found["All cases", "All cases"]
    assert whole.ratio == hazard_ratio(*follow_up("rfs", item.rows), item.score)
    assert {group for attribute, group in found if attribute == GRADE} == {"low (1 and 2)", "high (3 and 4)"}
    assert sum(h.cases for (attribute, _), h in found.items() if attribute == "Pathology") == whole.cases
    high = item.only(lambda row: row.grade >= 3)
    assert found[GRADE, "high (3 and 4)"].ratio == hazard_ratio(*follow_up("rfs", high.rows), high.score)


def test_subgroups_with_too_few_events_have_no_ratio():
    rows = [replace(row, grade=4 if k < 6 else 1) if row.grade else row
            for k, row in enumerate(toys.cohort_rows("g", 60, 4))]  # fmt: skip
    found = {h.group: h for h in subgroup_hazards(study(rows={"g": rows}), "rfs", "g")}
    assert np.isnan(found["high (3 and 4)"].ratio.value)


def test_survival_without_stage_and_grade_leaves_them_out():
    rows = [replace(row, stage="", grade=None) for row in toys.cohort_rows("g", 60, 4)]
    assert [item.predictor for item in concordances(study(rows={"g": rows}), "rfs", "g")] == ["network", "radiomics"]


def test_the_section_of_prognosis_has_its_tables_and_forests():
    section = prognosis_section(study(rows={"internal": toys.cohort_rows("internal", 120, 1)}))
    names = {table.name for table in section.tables}
    assert {"score-concordance", "score-hazards", "rfs-score-cox-internal", "os-score-cox-internal"} <= names
    assert {"score-concordance", "dss-score-forest-internal"} <= {figure.name for figure in section.figures}
    # no table of the generic evaluation is overwritten
    assert not {name for name in names if name.startswith("rfs-cox-")}


def test_the_second_papers_sections_stand_only_where_they_are_asked_for():
    wanted = {"comparators", "clinical-subgroups", "score-prognosis"}
    data = study(rows={"internal": [replace(row, follow_up={"rfs": row.follow_up["rfs"]}) if row.follow_up else row
                                    for row in toys.cohort_rows("internal", 40, 1)]})  # fmt: skip
    with_them = {section.name for section in evaluate_study(data).sections}
    assert wanted <= with_them
    without = replace(data, settings=replace(data.settings, paper="renalclip"))
    assert {section.name for section in evaluate_study(without).sections} == with_them - wanted


def test_cohorts_without_any_of_it_have_empty_sections():
    rows = [replace(row, labels={"renal_r": 1}, follow_up={}) for row in toys.cohort_rows("r", 20, 1)]
    made = toys.predictions(rows, "r", models={"m": 1.0}, settings=("NAV",), tasks=("renal_r",))
    data = StudyData({"r": rows}, tuple(join_predictions(made, {"r": rows})), StudySettings(resamples=20))
    assert comparator_section(data).empty
    assert clinical_section(data).empty
    assert prognosis_section(data).empty


def test_the_second_papers_figures_are_shipped_and_its_cohorts_known():
    figures = published_figures(PREDECESSOR)
    assert {(f.cohort, f.task): f.value for f in figures}["Prospective test", "malignancy"] == 0.871
    assert len(figures) == 8
    check_paper_cohorts({"ours": "TCIA test"}, PREDECESSOR)
    with pytest.raises(CohortError, match="The paper has no cohort"):
        check_paper_cohorts({"ours": "TCIA test"})


def test_the_command_writes_the_second_papers_tables(tmp_path, capsys):
    tables = toys.write_study(tmp_path, cases=24, settings=("N", "AV", "NAV"), tasks=TASKS)
    arguments = ["evaluate", "predictions", "--paper", "predecessor", "--cohort", *map(str, tables)]
    arguments += ["--predictions", str(tmp_path / "predictions.csv"), "--readers", str(tmp_path / "readings.csv")]
    arguments += ["--paper-cohort", "internal=Internal test", "--resamples", "20", "--out", str(tmp_path / "out")]
    assert cli.main(arguments) == 0
    page = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert "Network and comparators" in page
    assert "Paper: Deep learning model" in page
    with (tmp_path / "out" / "tables" / "comparators.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    # main tables are of the three phases of the paper; the sets stand in their own table in the paper's order
    assert {line["phases"] for line in lines} == {"NAV"} | {"-"}
    head = (tmp_path / "out" / "tables" / "phases.md").read_text().splitlines()[2]
    assert [name.strip() for name in head.split("|")][4:7] == ["N", "AV", "NAV"]
    capsys.readouterr()


def test_a_paper_that_is_none_is_refused(tmp_path, capsys):
    with pytest.raises(SystemExit):
        cli.main(["evaluate", "predictions", "--paper", "third", "--cohort", "x", "--out", str(tmp_path)])
    capsys.readouterr()
