"""The cohort table refuses what would silently spoil a study, and gives back what was written."""

from dataclasses import replace

import pytest

from RenalCLIPCore.cohort.clinical import Clinical
from RenalCLIPCore.cohort.splits import LearningCohort, assign_splits, learning_cohort, split_sha256
from RenalCLIPCore.cohort.table import CohortRow, FollowUp, read_cohort, write_cohort_table
from RenalCLIPCore.errors import CohortError
from RenalCLIPCore.imaging.study import Phase


def full_row(folder, patient="p1", side="left"):
    return CohortRow(
        patient=patient,
        side=side,
        site="internal",
        split="training",
        centre_lps_mm=(-50.25, 1 / 3, 0.1),
        volumes={Phase.A: folder / "p1" / "A.nii.gz", Phase.D: folder.parent / "elsewhere.nii.gz"},
        label_map=folder / "p1" / "labels.nii.gz",
        labels={"renal_r": 2, "malignancy": 0, "texture": 3},
        histology='clear cell, "low"',
        stage="pT1a",
        grade=2,
        diameter_mm=41.7,
        clinical=Clinical(61.5, "female", "Asian", "cystic", False, True),
        follow_up={"rfs": FollowUp(12.5, True), "os": FollowUp(60.0, False)},
        findings="A mass.\nIt enhances.",
        impression="Suspicious",
        attributes=(0, None, 4, *(None,) * 11),
        true_attributes=(1, 2, *(None,) * 10, 4, 0),
        oracle={"malignancy": 0.25},
        group="family-3",
        licence="CC BY-NC-SA 4.0",
    )


def table(tmp_path, text):
    path = tmp_path / "cohort.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_every_field_comes_back_as_it_was_written(tmp_path):
    folder = tmp_path / "cohort"
    folder.mkdir()
    rows = (full_row(folder), CohortRow("p2", "right"))
    write_cohort_table(rows, folder / "cohort.csv")
    assert read_cohort(folder / "cohort.csv") == rows


def test_a_cohort_folder_can_be_moved(tmp_path):
    (tmp_path / "a").mkdir()
    write_cohort_table([full_row(tmp_path / "a")], tmp_path / "a" / "cohort.csv")
    (tmp_path / "a").rename(tmp_path / "b")
    assert read_cohort(tmp_path / "b" / "cohort.csv")[0].volumes[Phase.A] == tmp_path / "b" / "p1" / "A.nii.gz"


def test_empty_cells_are_missing_values_not_zeros(tmp_path):
    text = (
        "patient,side,malignancy,renal_r,grade,rfs_months,rfs_event,centre_x_lps_mm,centre_y_lps_mm,centre_z_lps_mm\n"
    )
    row = read_cohort(table(tmp_path, text + "p1,left,,,,,,,,\n"))[0]
    assert row.labels == {}
    assert row.follow_up == {}
    assert row.grade is None
    assert row.centre_lps_mm is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("patient,site\np1,a\n", "'side' is missing"),
        ("patient,side,malignacy\np1,left,1\n", "unknown or repeated column 'malignacy'"),
        ("patient,side,side\np1,left,left\n", "unknown or repeated"),
        ("patient,side\np1,left\np1,left\n", "row 2 repeats"),
        ("patient,side,split\np1,left,training\np1,right,test\n", "belongs to one split"),
        ("patient,side,split\np1,left,training\np1,right,\n", "belongs to one split"),
        ("patient,side\np1,links\n", "side must be left or right"),
        ("patient,side,split\np1,left,train\n", "split must be"),
        ("patient,side,malignancy\np1,left,2\n", "malignancy must be an integer from 0 to 1"),
        ("patient,side,renal_r\np1,left,0.5\n", "renal_r must be an integer"),
        ("patient,side,grade\np1,left,high\n", "grade must be a number"),
        ("patient,side,diameter_mm\np1,left,nan\n", "above 0"),
        ("patient,side,age_years\np1,left,-1\n", "age_years must be a number from 0"),
        ("patient,side,sex\np1,left,m\n", "sex must be empty or female or male"),
        ("patient,side,sarcomatoid\np1,left,2\n", "sarcomatoid must be an integer from 0 to 1"),
        ("patient,side,rfs_months\np1,left,12\n", "given together"),
        ("patient,side,rfs_months,rfs_event\np1,left,-3,1\n", "above 0"),
        ("patient,side,rfs_months,rfs_event\np1,left,0,1\n", "above 0"),
        ("patient,side,centre_x_lps_mm,centre_z_lps_mm\np1,left,1,2\n", "centre_y_lps_mm must be given"),
        ("patient,side\np1\n", "number of cells"),
        ("patient,side\np1,left,x\n", "number of cells"),
        ("patient,side,rfs_months,rfs_event\np1,left,-3,0\n", "above 0"),
        ("patient,side,rfs_months,rfs_event\np1,left,inf,0\n", "a finite number"),
        ("patient,side,rfs_months,rfs_event\np1,left,24279,0\n", "at most 1500"),
        ("patient,side,rfs_months,rfs_event\np1,left,2023-02-30,0\n", "must be a number, found a date"),
        ("patient,side,age_years\np1,left,1961\n", "at most 125"),
        ("patient,side,age_years\np1,left,30/02/1961\n", "must be a number, found a date"),
        ("patient,side,group,split\np1,left,g,training\np2,left,g,test\n", "A group of patients belongs to one split"),
        ("patient,side,group,split\np1,left,g,training\np1,right,h,training\n", "A patient belongs to one group"),
        ("patient,side,group\np1,left,a b\n", "group must be 1 to 64 letters"),
        ("patient,side\n", "no rows"),
        ("", "'patient' is missing"),
    ],
)
def test_a_bad_table_is_refused_with_its_place(tmp_path, text, message):
    with pytest.raises(CohortError, match=message):
        read_cohort(table(tmp_path, text))


def test_messages_do_not_carry_the_patient(tmp_path):
    with pytest.raises(CohortError) as caught:
        read_cohort(table(tmp_path, "patient,side\nJohn Doe,left\n"))
    assert "Doe" not in str(caught.value)
    assert "line 2" in str(caught.value)


def test_a_missing_file_is_a_cohort_error(tmp_path):
    with pytest.raises(CohortError, match="cannot be read") as caught:
        read_cohort(tmp_path / "none.csv")
    assert str(tmp_path) not in str(caught.value)  # a path can hold a name


def test_the_split_hash_sees_assignments_only():
    rows = [CohortRow(f"p{i}", "left", split="training") for i in range(4)]
    same = [replace(row, labels={"malignancy": 1}) for row in reversed(rows)]
    assert split_sha256(rows) == split_sha256(same)
    assert split_sha256(rows) != split_sha256([*rows[:3], replace(rows[3], split="test")])


def test_splits_keep_both_kidneys_of_a_patient_together_and_ignore_row_order():
    rows = [CohortRow(f"p{i:02d}", side) for i in range(20) for side in ("left", "right")]
    split = assign_splits(rows, (0.5, 0.25, 0.25), seed=3)
    by_patient = {row.patient: row.split for row in split}
    assert all(row.split == by_patient[row.patient] for row in split)
    assert sorted(by_patient.values()) == ["test"] * 5 + ["training"] * 10 + ["validation"] * 5
    again = assign_splits(list(reversed(rows)), (0.5, 0.25, 0.25), seed=3)
    assert {row.patient: row.split for row in again} == by_patient
    assert {row.patient: row.split for row in assign_splits(rows, (0.5, 0.25, 0.25), seed=4)} != by_patient


def test_patients_of_one_group_go_into_one_split():
    rows = [CohortRow(f"p{i:02d}", "left", group=f"mask-{i % 5}") for i in range(20)]
    for seed in range(6):
        split = assign_splits(rows, (0.6, 0.2, 0.2), seed=seed)
        found = {group: {row.split for row in split if row.group == group} for group in {row.group for row in rows}}
        names = sorted(name for names in found.values() for name in names)
        assert names == ["test", "training", "training", "training", "validation"]
        learning_cohort(split)


def test_learning_never_sees_the_test_split():
    rows = [
        CohortRow(name, "left", split=split)
        for name, split in zip("abc", ("training", "validation", "test"), strict=True)
    ]
    cohort = learning_cohort(rows)
    assert {row.patient for row in (*cohort.training, *cohort.validation)} == {"a", "b"}
    with pytest.raises(CohortError, match="another split"):
        LearningCohort((rows[0], rows[2]), (rows[1],), "")


@pytest.mark.parametrize("absent", ["training", "validation"])
def test_learning_needs_both_of_its_splits(absent):
    splits = [name for name in ("training", "validation", "test") if name != absent]
    with pytest.raises(CohortError, match=absent):
        learning_cohort([CohortRow(name, "left", split=name) for name in splits])


def test_an_option_that_a_question_does_not_have_is_refused(tmp_path):
    text = "patient,side,attribute_04,true_attribute_13\np1,left,{},{}\n"
    assert read_cohort(table(tmp_path, text.format(1, 4)))[0].true_attributes[12] == 4
    with pytest.raises(CohortError, match="attribute_04 must be an integer from 0 to 1"):
        read_cohort(table(tmp_path, text.format(2, 4)))


def test_the_split_hash_tells_the_kidneys_of_a_patient_apart():
    assert split_sha256([CohortRow("p", "left", split="test")]) != split_sha256([CohortRow("p", "right", split="test")])


def test_learning_refuses_a_patient_of_two_splits():
    rows = [CohortRow("a", "left", split="training"), CohortRow("a", "right", split="validation")]
    with pytest.raises(CohortError):
        learning_cohort(rows)
