"""``renalclip phantom``: files, truth and refusals."""

import pytest

from RenalCLIPCore.cli import main
from RenalCLIPCore.cohort.table import read_cohort
from RenalCLIPCore.imaging.volume import read_volume
from RenalCLIPCore.phantom.truth import read_truth

SMALL = ("--columns", "48", "--slice-mm", "10")


def test_study_as_nifti_with_truth_and_labels(tmp_path, capsys):
    out, truth, labels = tmp_path / "study", tmp_path / "truth.json", tmp_path / "labels.nii.gz"
    code = main(
        ["phantom", "study", "--seed", "3", "--out", str(out), "--phases", "av", "--format", "nifti",
         "--truth", str(truth), "--labels", str(labels), *SMALL]
    )  # fmt: skip
    assert code == 0
    assert capsys.readouterr().out.strip() == str(out)
    assert sorted(p.name for p in out.iterdir()) == ["A.nii.gz", "V.nii.gz"]
    assert read_volume(out / "A.nii.gz").geometry.same_grid(read_volume(labels).geometry)
    assert read_truth(truth).seed == 3


def test_study_as_dicom(tmp_path):
    out = tmp_path / "study"
    assert main(["phantom", "study", "--seed", "3", "--out", str(out), "--phases", "A", *SMALL, "--no-lesion"]) == 0
    assert len([p for p in out.rglob("*") if p.is_file()]) == 24 + 1


def test_cohort(tmp_path, capsys):
    out = tmp_path / "cohort"
    arguments = ["phantom", "cohort", "--patients", "1", "--centre", "external", "--seed", "2", "--out", str(out)]
    assert main([*arguments, "--split", "validation", "--phases", "V", "--in-plane-mm", "4"]) == 0
    (row,) = read_cohort(out / "cohort.csv")
    assert (row.site, row.split) == ("external", "validation")
    assert "patient 1 of 1" in capsys.readouterr().err


@pytest.mark.parametrize(
    "extra", [("--phases", "XY"), ("--phases", ""), ("--columns", "5"), ("--slice-mm", "0")], ids=str
)
def test_impossible_requests_end_with_code_2_and_no_files(tmp_path, capsys, extra):
    assert main(["phantom", "study", "--seed", "3", "--out", str(tmp_path / "study"), *extra]) == 2
    assert capsys.readouterr().err.startswith("renalclip: ")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("form", ["dicom", "nifti"])
def test_an_existing_folder_is_not_touched(tmp_path, form, capsys):
    assert (
        main(["phantom", "study", "--seed", "3", "--out", str(tmp_path), "--phases", "A", "--format", form, *SMALL])
        == 2
    )
    assert "exists already" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
