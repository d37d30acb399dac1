"""Cohorts on disk: content, restart, determinism."""

import hashlib
import shutil
from dataclasses import replace

import numpy as np
import pytest

from RenalCLIPCore.cohort.table import read_cohort
from RenalCLIPCore.cohort.workers import Workers
from RenalCLIPCore.errors import Cancelled, ConfigurationError, InputError, OutputError
from RenalCLIPCore.imaging.study import Phase
from RenalCLIPCore.imaging.volume import read_volume
from RenalCLIPCore.phantom.cohort import CohortPlan, patient_seed, planned_patient, planned_phases, write_cohort
from RenalCLIPCore.phantom.histology import Histology, draw_histology, oracle
from RenalCLIPCore.phantom.report_files import read_report
from RenalCLIPCore.phantom.truth import read_truth
from RenalCLIPCore.text.extraction import read_answers
from RenalCLIPCore.text.language import language
from RenalCLIPCore.text.report_table import read_report_table

PLAN = CohortPlan(2, 5, in_plane_mm=4.0, phases=(Phase.A, Phase.V), split="test")


def hashes(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    out = tmp_path_factory.mktemp("cohort") / "out"
    write_cohort(out, PLAN)
    return out


def test_the_table_tells_what_the_truth_files_tell(written):
    rows = read_cohort(written / "cohort.csv")
    assert len(rows) == 2
    for row in rows:
        value = read_truth(written / row.patient / "truth.json")
        assert row.centre_lps_mm == pytest.approx(value.primary.centre_lps_mm)
        assert row.side == value.primary.side
        assert row.split == "test"
        assert [row.labels[f"renal_{c}"] for c in "renal"] == [getattr(value.renal, c) for c in "renal"]
        assert row.labels["malignancy"] == value.tumour.malignancy
        assert row.oracle["malignancy"] == pytest.approx(value.tumour.oracle_malignancy)
        assert ("rfs" in row.follow_up) == bool(value.tumour.malignancy)


def test_volumes_share_a_grid_that_holds_the_lesion(written):
    for row in read_cohort(written / "cohort.csv"):
        labels = read_volume(row.label_map)
        assert labels.geometry.contains(row.centre_lps_mm)
        index = tuple(np.rint(labels.geometry.index(row.centre_lps_mm)).astype(int))
        assert labels.array[index] in (2, 3)
        assert set(row.volumes) == {Phase.A, Phase.V}
        for path in row.volumes.values():
            volume = read_volume(path)
            assert volume.array.dtype == np.int16
            assert volume.geometry.same_grid(labels.geometry)


def test_files_do_not_depend_on_the_number_of_processes(written, tmp_path):
    write_cohort(tmp_path / "two", PLAN, workers=Workers(2))
    assert hashes(tmp_path / "two") == hashes(written)


def test_a_cancelled_run_leaves_whole_patients_only_and_continues(written, tmp_path):
    def stop(fraction, words):
        raise Cancelled("stopped")

    out = tmp_path / "out"
    with pytest.raises(Cancelled):
        write_cohort(out, PLAN, progress=stop)
    assert [path.name for path in out.iterdir()] == ["internal-5-00000"]
    kept = (out / "internal-5-00000" / "truth.json").stat().st_mtime_ns
    seen = []
    write_cohort(out, PLAN, progress=lambda fraction, words: seen.append(fraction))
    assert seen == [1.0]
    assert (out / "internal-5-00000" / "truth.json").stat().st_mtime_ns == kept
    assert hashes(out) == hashes(written)


def test_cancelling_worker_processes_leaves_no_half_patient(tmp_path):
    def stop(fraction, words):
        raise Cancelled("stopped")

    plan = CohortPlan(5, 6, in_plane_mm=5.0, phases=(Phase.V,))
    with pytest.raises(Cancelled):
        write_cohort(tmp_path, plan, workers=Workers(2), progress=stop)
    names = {path.name for path in tmp_path.iterdir()}
    assert 1 <= len(names) <= 3
    assert all((tmp_path / name / "truth.json").is_file() for name in names)


def test_mixed_phases_always_hold_an_arterial_or_a_venous_one():
    plan = CohortPlan(1, 5, phases=None)
    drawn = [planned_phases(plan, index) for index in range(200)]
    assert all({Phase.A, Phase.V} & set(phases) for phases in drawn)
    assert 0.5 < np.mean([Phase.D in phases for phases in drawn]) < 0.7


def test_the_other_centre_has_a_case_mix_of_its_own_that_the_oracle_knows():
    plan = CohortPlan(400, 5, site="other")
    mix = plan.case_mix
    assert sum(mix.values()) == pytest.approx(1)
    drawn = [draw_histology(patient_seed(plan, index), mix) for index in range(plan.patients)]
    assert np.mean([kind.malignant for kind in drawn]) == pytest.approx(0.88, abs=0.05)
    tumour = planned_patient(plan, 0).tumour
    assert tumour.oracle == oracle(tumour.attributes, tumour.histology, mix)
    assert tumour.oracle != oracle(tumour.attributes, tumour.histology)
    assert CohortPlan(1, 5).case_mix is None
    assert replace(plan, prior={Histology.ONCOCYTOMA: 1.0}).case_mix == {Histology.ONCOCYTOMA: 1.0}


@pytest.mark.parametrize(
    "change",
    [{"patients": 0}, {"site": "moon"}, {"split": "train"}, {"phases": (Phase.N,)}, {"in_plane_mm": 0.0}],
)
def test_impossible_plans_are_refused(change):
    with pytest.raises(ConfigurationError):
        CohortPlan(**({"patients": 1, "seed": 1} | change))


def test_a_file_in_the_way_is_refused(tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(OutputError):
        write_cohort(tmp_path / "out", PLAN)


def test_the_table_has_the_report_the_answers_and_the_truth(written):
    for row in read_cohort(written / "cohort.csv"):
        report = read_report(written / row.patient / "report.json")
        kidney = report.kidney(row.side)
        assert (row.findings, row.impression) == (kidney.findings, kidney.impression)
        assert row.true_attributes == kidney.true
        assert row.attributes == read_answers(row.findings, row.impression)
        assert None not in row.true_attributes
    whole = read_report_table(written / "reports.zh.csv")
    assert [item.patient for item in whole] == [row.patient for row in read_cohort(written / "cohort.csv")]
    assert language(whole[0].findings) == "zh"


def test_a_folder_without_a_report_gets_the_one_it_would_have_had(written, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(written, out)
    for path in out.rglob("report.json"):
        path.unlink()
    write_cohort(out, PLAN)
    assert hashes(out) == hashes(written)


def test_the_other_kidneys_row_has_a_report_and_no_labels(written, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(written, out)
    write_cohort(out, replace(PLAN, both_kidneys=True))
    rows = read_cohort(out / "cohort.csv")
    assert len(rows) == 4
    for first, second in zip(rows[::2], rows[1::2], strict=True):
        assert (first.patient, {first.side, second.side}) == (second.patient, {"left", "right"})
        assert not second.labels
        assert not second.histology
        assert second.findings
        geometry = read_volume(second.label_map).geometry
        assert geometry.contains(second.centre_lps_mm)
    with pytest.raises(ConfigurationError):
        replace(PLAN, both_kidneys=True, lesion_only=True)


@pytest.mark.parametrize("content", ["", "{}", '{"version": "0"}', '{"version": "1.0", "kidneys": {}}'])
def test_a_damaged_report_file_is_refused(tmp_path, content):
    (tmp_path / "report.json").write_text(content)
    with pytest.raises(InputError):
        read_report(tmp_path / "report.json")
