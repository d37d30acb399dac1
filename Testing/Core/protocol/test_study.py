"""The whole evaluation: its numbers are those of the measures, its files are complete, odd cohorts have an answer."""

import csv
import re
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from RenalCLIPCore.cohort.table import FollowUp
from RenalCLIPCore.errors import Cancelled, CohortError
from RenalCLIPCore.evaluation.classification import auroc, youden_threshold
from RenalCLIPCore.evaluation.survival import concordance
from RenalCLIPCore.evaluation.survival_groups import compare_groups
from RenalCLIPCore.protocol.ablations import FractionScore, fraction_scores, phase_scores, t_interval
from RenalCLIPCore.protocol.alignment_scores import AlignmentScore
from RenalCLIPCore.protocol.baseline import baseline_table, flow_steps
from RenalCLIPCore.protocol.comparisons import comparison_table
from RenalCLIPCore.protocol.diagnosis import OWN, VALIDATION, measured
from RenalCLIPCore.protocol.evaluation_page import PageHead
from RenalCLIPCore.protocol.joining import join_predictions, join_readings, join_reports
from RenalCLIPCore.protocol.predictions import ONE_PHASE
from RenalCLIPCore.protocol.prognosis import aggressiveness_groups, risk_groups
from RenalCLIPCore.protocol.published import check_paper_cohorts, published_figures, published_section
from RenalCLIPCore.protocol.regression import SCORE, regress
from RenalCLIPCore.protocol.report_quality import STATED, attribute_agreement, language_scores
from RenalCLIPCore.protocol.study import evaluate_study, write_study
from RenalCLIPCore.protocol.study_data import StudyData, StudySettings
from RenalCLIPCore.protocol.subgroups import subgroup_scores
from Testing.Core.protocol import study_toys as toys

TASKS = ("renal_r", "malignancy", "aggressiveness", "rfs")
FRACTIONS = ((0.4, (0, 1, 2)), (1.0, (0, 1, 2)))


def study(
    cases=50, *, tasks=TASKS, settings=None, phantom=True, fractions=((1.0, (0,)),), phases=("A", ONE_PHASE),
    endpoints=("rfs", "dss", "os"),
):  # fmt: skip
    rows = {
        "internal": [*toys.cohort_rows("internal", cases, 1, phantom=phantom),
                     *toys.cohort_rows("valid", cases, 2, split="validation", phantom=phantom)],
        "external": toys.cohort_rows("external", cases, 3, phantom=phantom),
    }  # fmt: skip
    rows = {
        name: [replace(row, follow_up={e: f for e, f in row.follow_up.items() if e in endpoints}) for row in part]
        for name, part in rows.items()
    }
    made = [
        item
        for place, (name, part) in enumerate(rows.items())
        for item in toys.predictions(part, name, tasks=tasks, settings=phases, fractions=fractions, seed=place)
    ]
    test = [row for row in rows["internal"] if row.split == "test"]
    return StudyData(
        rows,
        tuple(join_predictions(made, rows)),
        settings or StudySettings(resamples=30, pools={"both": ("internal", "external")}),
        join_reports(toys.generated_reports(test, "internal"), rows),
        tuple(join_readings(toys.readings(test[:20], "internal"), rows)),
        (AlignmentScore("internal", "malignancy", "AUROC, maximum similarity", 50, 0.7, 0.6, 0.8, 0.9),),
    )


@pytest.fixture(scope="module")
def data():
    return study()


def single(rows, cohort="toy", tasks=TASKS, **settings):
    made = toys.predictions(rows, cohort, models={"m": 1.5}, settings=("A",), tasks=tasks)
    rows = {cohort: rows}
    return StudyData(rows, tuple(join_predictions(made, rows)), StudySettings(resamples=20, **settings))


def cell(data, task, cohort, measure, model, source=""):
    return next(c for c in measured(data, task, cohort)
                if (c.measure, c.scores.key.model, c.source) == (measure, model, source))  # fmt: skip


def test_the_area_of_a_cell_is_that_of_its_scores(data):
    found = cell(data, "malignancy", "internal", "AUROC", "ladder")
    rows = [row for row in data.cohorts["internal"] if row.split == "test"]
    item = next(s for s in data.scores if (s.cohort, s.split, s.task) == ("internal", "test", "malignancy")
                and s.key == ("ladder", ONE_PHASE, 1.0, 0))  # fmt: skip
    assert found.value.value == pytest.approx(auroc([row.labels["malignancy"] for row in rows], item.values[:, 1]))
    assert found.value.low <= found.value.value <= found.value.high


def test_the_recurrence_score_is_evaluated_on_every_endpoint_of_malignant_cases(data):
    for endpoint in ("rfs", "dss", "os"):
        (item,) = (i for i in data.main(endpoint, "external") if i.key.model == "ladder")
        seen = [row.follow_up[endpoint] for row in item.rows]
        assert all(row.labels["malignancy"] == 1 for row in item.rows)
        wanted = concordance([f.months for f in seen], [f.event for f in seen], item.score)
        assert cell(data, endpoint, "external", "Harrell's C", "ladder").value.value == pytest.approx(wanted)


def test_thresholds_come_from_validation_and_from_the_cohort_itself(data):
    valid = next(s for s in data.scores if (s.split, s.task, s.key.model) == ("validation", "malignancy", "ladder")
                 and s.key.phases == ONE_PHASE)  # fmt: skip
    wanted = youden_threshold([row.labels["malignancy"] for row in valid.rows], valid.score)
    for cohort in ("internal", "external", "both"):
        assert cell(data, "malignancy", cohort, "sensitivity", "ladder", VALIDATION).threshold == wanted
    (item,) = (i for i in data.main("malignancy", "external") if i.key.model == "ladder")
    own = youden_threshold([row.labels["malignancy"] for row in item.rows], item.score)
    assert cell(data, "malignancy", "external", "F1", "ladder", OWN).threshold == own


def test_a_pool_has_the_cases_of_its_cohorts(data):
    pooled = cell(data, "malignancy", "both", "AUROC", "ladder")
    assert len(pooled.scores.rows) == 100
    assert len(set(pooled.scores.patients)) == 100


def test_risk_groups_are_cut_at_the_median_and_tested(data):
    found = next(g for g in risk_groups(data, "rfs") if (g.cohort, g.model) == ("external", "ladder"))
    (item,) = (i for i in data.main("rfs", "external") if i.key.model == "ladder")
    seen = [row.follow_up["rfs"] for row in item.rows]
    high = item.score > np.median(item.score)
    wanted = compare_groups([f.months for f in seen], [f.event for f in seen], high.astype(int), ("low", "high"))
    assert found.found.log_rank_p == wanted.log_rank_p
    assert found.found.curves[1].cases == high.sum()


def test_groups_of_predicted_aggressiveness_use_the_validation_threshold(data):
    found = next(g for g in aggressiveness_groups(data, "rfs") if (g.cohort, g.model) == ("external", "ladder"))
    assert found.cut == cell(data, "aggressiveness", "external", "F1", "ladder", VALIDATION).threshold
    assert "validation" in found.source


def test_the_regression_adjusts_for_stage_and_grade(data):
    (item,) = (i for i in data.main("rfs", "external") if i.key.model == "ladder")
    found = regress("rfs", item)
    assert [name for name, _ in found.variables][:2] == ["TNM stage", "WHO/ISUP grade"]
    assert found.names[-1] == SCORE
    assert "Stage II vs Stage I" in found.names
    assert len(found.multivariate) == len(found.univariate) == len(found.names)


def test_without_stage_and_grade_the_regression_takes_the_diameter():
    rows = [replace(row, stage="", grade=None) for row in toys.cohort_rows("toy", 40, 1)]
    (item,) = single(rows).main("rfs", "toy")
    assert regress("rfs", item).names == ("Largest diameter (per cm)", SCORE)
    bare = replace(item, rows=tuple(replace(row, diameter_mm=None) for row in item.rows))
    assert regress("rfs", bare).multivariate is None


def test_models_are_compared_with_the_reference_on_the_same_cases(data):
    found = comparison_table(data, "malignancy")
    first = dict(zip(found.columns, found.records[0], strict=True))
    assert (first["reference"], first["model"], first["cases"]) == ("ladder", "scratch", 50)
    assert first["low"] <= first["reference_value"] - first["model_value"] <= first["high"]
    assert first["p_holm"] >= first["p_bootstrap"]
    other = replace(data, settings=replace(data.settings, reference="scratch"))
    assert comparison_table(other, "malignancy").records[0][1:3] == ("scratch", "ladder")


def test_subgroups_partition_the_cases(data):
    found = subgroup_scores(data, "malignancy")
    sizes = [len(item.rows) for attribute, _, item, _ in found if attribute == "Tumour size"]
    assert sum(sizes) == len(found[0][2].rows) == 100
    wanted = {"Tumour size", "Stage", "Appearance", "Phases", "Centre", "Sex", "Age"}
    assert {attribute for attribute, *_ in found} >= wanted


def test_the_baseline_table_counts_by_hand(data):
    table = baseline_table(data)
    rows = {row[0].strip(): row[1:] for row in table.rows if len(row) > 1}
    cases = [row for row in data.cohorts["internal"] if row.split == "test"]
    male = sum(row.clinical.sex == "male" for row in cases)
    column = next(k for k, head in enumerate(table.header[1:]) if head.startswith("internal, test"))
    assert rows["Male sex (%)"][column] == f"{male} ({100 * male / 50:.1f})"
    middle = np.median([row.clinical.age_years for row in cases])
    assert rows["Median age in years (IQR)"][column].startswith(f"{middle:.1f} (")
    stage_two = sum(row.stage.startswith("pT2") for row in cases)
    assert rows["II"][column].startswith(f"{stage_two} (" if stage_two else "0")
    assert "Race (%)" not in rows


def test_the_flow_chart_says_who_leaves(data):
    gone = replace(data, scores=tuple(s.only(lambda row: row.patient != "external-000") for s in data.scores))
    steps = flow_steps(gone)
    assert "50 in the validation split" in steps["internal"][0].leaving
    assert steps["external"][0].leaving == "1 without prediction"
    assert steps["external"][-1].words.startswith("49 evaluated")


def test_phase_settings_are_compared_on_common_cases(data):
    fewer = [s.only(lambda row: row.patient != "external-001") if s.key.phases == "A" else s for s in data.scores]
    part = replace(data, scores=tuple(fewer))
    found = [s for s in phase_scores(part) if (s.cohort, s.task, s.model) == ("external", "malignancy", "ladder")]
    assert [(s.phases, s.cases) for s in found] == [("A", 49), (ONE_PHASE, 49), ("oracle", 49)]


def test_label_efficiency_by_hand():
    item = FractionScore("c", "malignancy", "m", 0.1, {0: 0.6, 1: 0.8}, 10)
    assert (item.mean, item.deviation) == (pytest.approx(0.7), pytest.approx(np.sqrt(0.02)))
    # t of 2 degrees of freedom at 97.5 %: 4.3027
    reach = 4.302653 / np.sqrt(3)
    assert t_interval([1, 2, 3]) == (2, pytest.approx(2 - reach), pytest.approx(2 + reach))
    assert np.isnan(t_interval([1.0])[1])


def test_label_efficiency_finds_every_seed_and_share():
    found = fraction_scores(study(20, tasks=("malignancy",), fractions=FRACTIONS, phases=("A",)))
    one = [s for s in found if (s.cohort, s.model) == ("external", "ladder")]
    assert [(s.fraction, sorted(s.values)) for s in one] == [(0.4, [0, 1, 2]), (1.0, [0, 1, 2])]


def test_reports_are_scored_against_their_own_row(data):
    pairs = data.reports["internal", "ladder"]
    scores = {score.measure: score.value.value for score in language_scores(data, "internal", "ladder", pairs)}
    same = [(replace(made, findings=row.findings), row) for made, row in pairs]
    perfect = {score.measure: score.value.value for score in language_scores(data, "internal", "ladder", same)}
    assert scores["BLEU-4"] < perfect["BLEU-4"] == pytest.approx(1)
    assert perfect["ROUGE-L"] == pytest.approx(1)
    agreement = attribute_agreement(data, pairs, STATED)
    assert agreement["location"].share.value == pytest.approx(33 / 50)
    assert agreement["composition"].share.value == 1


def test_the_papers_figures_stand_beside_ours(data):
    named = replace(data, settings=replace(data.settings, paper_cohorts={"external": "Combined external test"}))
    cells = measured(named, "malignancy", "external")
    table = published_section(named, cells).tables[0]
    line = next(row for row in table.rows if row[2:4] == ("Malignancy", "AUROC"))
    assert line[5:] == ("0.841 (0.808 to 0.873)", "0.739 (0.698 to 0.779) (CT-FM)", "Supplementary Data Table 12")
    with pytest.raises(CohortError, match="no cohort 'Lyon'"):
        check_paper_cohorts({"external": "Lyon"})
    assert len(published_figures()) == 629


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study") / "out"
    data = study(24, fractions=((0.4, (0, 1)), (1.0, (0, 1))), settings=StudySettings(resamples=20), endpoints=("rfs",))
    told = []
    result = evaluate_study(data, progress=lambda fraction, words: told.append((fraction, words)))
    head = PageHead("Toy <study>", (("Split", "test"),), data.of_phantoms, ("toy/cohort.csv",))
    return result, write_study(result, head, folder), told


def test_every_part_is_there_with_its_files(written):
    result, page, _ = written
    names = [section.name for section in result.sections]
    assert names == [
        "summary", "cohorts", "renal", "malignancy", "aggressiveness", "rfs", "survival-by-aggressiveness", "alignment",
        "reports", "phases", "labels", "subgroups", "readers-malignancy",
    ]  # fmt: skip
    for section in result.sections:
        for table in section.tables:
            assert (page.parent / "tables" / f"{table.name}.md").read_text().startswith(f"# {table.title}")
            with (page.parent / "tables" / f"{table.name}.csv").open(newline="") as file:
                assert len(list(csv.reader(file))) == len(table.records) + 1
        for figure in section.figures:
            assert (page.parent / "figures" / f"{figure.name}.png").read_bytes().startswith(b"\x89PNG")
            assert "<svg" in (page.parent / "figures" / f"{figure.name}.svg").read_text()


def test_names_of_tables_and_figures_are_unique(written):
    tables = [table.name for section in written[0].sections for table in section.tables]
    figures = [figure.name for section in written[0].sections for figure in section.figures]
    assert len(set(tables)) == len(tables)
    assert len(set(figures)) == len(figures)


def test_the_page_is_self_contained_and_says_what_it_is(written):
    text = written[1].read_text(encoding="utf-8")
    assert "Research only. Not for clinical use." in text
    assert "Digital phantoms, not patients" in text
    assert "Toy &lt;study&gt;" in text
    assert not re.findall(r'(?:src|href)="(?!data:|#)', text)
    assert "<script" not in text
    for section in written[0].sections:
        assert f'id="{section.name}"' in text


def test_every_row_of_a_table_has_a_cell_per_column(written):
    for section in written[0].sections:
        for table in section.tables:
            assert all(len(row) in (1, len(table.header)) for row in table.rows), table.name
            assert all(len(record) == len(table.columns) for record in table.records), table.name


def test_progress_rises_to_the_end(written):
    fractions = [fraction for fraction, _ in written[2]]
    assert fractions == sorted(fractions)
    assert (fractions[0], fractions[-1]) == (0, 1)


def test_a_cancelled_study_leaves_nothing(data):
    def stop(fraction, words):
        raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        evaluate_study(data, progress=stop)


def test_real_cohorts_have_no_oracle(tmp_path):
    data = study(12, tasks=("malignancy",), phantom=False, phases=("A",))
    data = replace(data, reports={}, readings=())
    result = evaluate_study(data)
    page = write_study(result, PageHead("Toy", (), data.of_phantoms, ()), tmp_path / "out").read_text(encoding="utf-8")
    assert "hantom" not in page
    assert all("oracle" not in table.header for section in result.sections for table in section.tables)


def test_one_class_alone_is_undefined_not_an_error():
    rows = [replace(row, labels={**row.labels, "malignancy": 1}) for row in toys.cohort_rows("toy", 12, 1)]
    rows = [row for row in rows if row.follow_up]
    data = single(rows, tasks=("malignancy",))
    assert cell(data, "malignancy", "toy", "AUROC", "m").value is None
    result = evaluate_study(data)
    table = next(t for s in result.sections for t in s.tables if t.name == "malignancy-auroc")
    assert "undefined" in table.markdown()


@pytest.mark.parametrize("event", [False, True])
def test_all_censored_or_all_at_one_time_have_an_answer(event):
    rows = [replace(row, follow_up={"rfs": FollowUp(12.0, event)} if row.follow_up else {})
            for row in toys.cohort_rows("toy", 20, 1)]  # fmt: skip
    data = single(rows, tasks=("rfs",))
    assert cell(data, "rfs", "toy", "Harrell's C", "m").value is None
    result = evaluate_study(data)
    groups = next(t for s in result.sections for t in s.tables if t.name == "rfs-risk-groups")
    assert ("not estimable" in groups.markdown()) != event  # where all fall at one time no group is ahead


def test_a_cohort_of_one_has_an_answer():
    rows = [row for row in toys.cohort_rows("toy", 9, 1) if row.follow_up][:1]
    result = evaluate_study(single(rows))
    summary = next(t for s in result.sections for t in s.tables if t.name == "summary")
    assert all(row[2].startswith("undefined") for row in summary.rows if row[0] != " Oracle")


def test_ties_everywhere_are_chance():
    rows = toys.cohort_rows("toy", 30, 1)
    data = single(rows, tasks=("malignancy", "rfs"))
    flat = replace(data, scores=tuple(replace(s, values=np.full_like(s.values, 0.5)) for s in data.scores))
    assert cell(flat, "malignancy", "toy", "AUROC", "m").value.value == 0.5
    assert cell(flat, "rfs", "toy", "Harrell's C", "m").value.value == 0.5
    result = evaluate_study(flat)
    groups = next(t for s in result.sections for t in s.tables if t.name == "rfs-risk-groups")
    assert "no case" in groups.markdown()  # nobody is above the median


def test_two_kidneys_of_a_patient_are_resampled_together():
    rows = toys.cohort_rows("toy", 30, 1)
    other = [replace(row, side="left" if row.side == "right" else "right") for row in rows]
    weights = cell(single([*rows, *other], tasks=("malignancy",)), "malignancy", "toy", "AUROC", "m")
    assert len(set(weights.scores.patients)) == 30
    assert len(weights.scores.rows) == 60


def test_scores_that_are_no_probabilities_have_no_calibration():
    data = single(toys.cohort_rows("toy", 20, 1), tasks=("malignancy",))
    wide = replace(data, scores=tuple(replace(s, values=5 * s.values) for s in data.scores))
    assert "Brier" not in {c.measure for c in measured(wide, "malignancy", "toy")}


def test_unknown_pools_references_and_an_empty_split_are_refused(data):
    with pytest.raises(CohortError, match="pool names the cohort 'x'"):
        replace(data, settings=StudySettings(pools={"p": ("x",)}))
    with pytest.raises(CohortError, match="reference model 'x'"):
        _ = replace(data, settings=StudySettings(reference="x")).models
    with pytest.raises(CohortError, match="Nothing is of the split 'validation'"):
        evaluate_study(single(toys.cohort_rows("toy", 5, 1), split="validation"))


def test_the_summary_has_the_oracle_below_every_task():
    data = single(toys.cohort_rows("toy", 24, 1), tasks=("renal_r", "malignancy"))
    data = replace(data, reports={}, readings=())
    (table,) = next(section for section in evaluate_study(data).sections if section.name == "summary").tables
    below = {row[0]: after for row, after in pairwise(table.rows)}
    assert below["R (radius)"] == (" Oracle", "", "1 by construction")
    assert below["Malignancy"] == (
        " Oracle",
        "",
        f"{cell(data, 'malignancy', 'toy', 'AUROC', 'oracle').value.value:.3f}",
    )
