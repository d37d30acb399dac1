"""The segment commands: run, train, evaluate, phantoms, and the layouts of training cases."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from RenalCLIPCore import cli
from RenalCLIPCore.commands.segment_evaluation import read_cases, rows_of
from RenalCLIPCore.errors import CohortError
from RenalCLIPCore.imaging.training_cases import cases_in_folder
from RenalCLIPCore.imaging.volume import Volume, read_volume, write_volume
from Testing.Core.imaging.kidney_toys import TOY_GRID, toy
from Testing.Core.imaging.nnunet_toys import write_model


def put(volume, *parts):
    path = parts[0].joinpath(*parts[1:])
    path.parent.mkdir(parents=True, exist_ok=True)
    write_volume(volume, path)
    return path


@pytest.mark.parametrize(
    ("image", "label"),
    [
        ("images/{}_A.nii.gz", "labels/{}_A.nii.gz"),
        ("imagesTr/{}_0000.nii.gz", "labelsTr/{}.nii.gz"),
        ("{}/imaging.nii.gz", "{}/segmentation.nii.gz"),
    ],
)
def test_known_layouts_of_cases_are_found(tmp_path, image, label):
    for name in ("p1", "p2"):
        volume, labels = toy(1)
        put(volume, tmp_path, image.format(name))
        put(labels, tmp_path, label.format(name))
    cases = cases_in_folder(tmp_path)
    assert [case.group for case in cases] == ["p1", "p2"]
    assert all(case.image.is_file() and case.labels.is_file() for case in cases)


def test_phases_of_one_patient_form_one_group(tmp_path):
    for name in ("p1_A", "p1_V", "p2_N"):
        put(toy(1)[0], tmp_path, "images", f"{name}.nrrd")
        put(toy(1)[1], tmp_path, "labels", f"{name}.seg.nrrd")
    assert [(case.case_id, case.group) for case in cases_in_folder(tmp_path)] == [
        ("p1_A", "p1"),
        ("p1_V", "p1"),
        ("p2_N", "p2"),
    ]


def test_images_without_labels_are_refused(tmp_path):
    put(toy(1)[0], tmp_path, "images", "a.nii.gz")
    (tmp_path / "labels").mkdir()
    with pytest.raises(CohortError, match="same name"):
        cases_in_folder(tmp_path)
    with pytest.raises(CohortError, match="no images with labels"):
        cases_in_folder(tmp_path / "images")


def test_a_cohort_table_gives_a_case_per_phase_once(tmp_path):
    for name in ("a.nii.gz", "v.nii.gz"):
        put(toy(1)[0], tmp_path, name)
    put(toy(1)[1], tmp_path, "l.nii.gz")
    table = tmp_path / "cohort.csv"
    rows = ["patient,side,volume_a,volume_v,label_map", "p1,left,a.nii.gz,v.nii.gz,l.nii.gz"]
    table.write_text("\n".join([*rows, rows[1].replace("left", "right")]) + "\n")
    cases = read_cases(table, rows_of(table, held_out=False))
    assert [(case.case_id, case.group) for case in cases] == [("p1_A", "p1"), ("p1_V", "p1")]
    assert rows_of(table, held_out=True) == rows_of(table, held_out=False)


def test_the_test_split_of_a_table_is_for_evaluation_alone(tmp_path):
    put(toy(1)[0], tmp_path, "a.nii.gz")
    put(toy(1)[1], tmp_path, "l.nii.gz")
    table = tmp_path / "cohort.csv"
    rows = [
        f"p{number},left,{split},a.nii.gz,l.nii.gz" for number, split in enumerate(("training", "validation", "test"))
    ]
    table.write_text("\n".join(["patient,side,split,volume_a,label_map", *rows]) + "\n")
    assert [row.patient for row in rows_of(table, held_out=False)] == ["p0", "p1"]
    assert [row.patient for row in rows_of(table, held_out=True)] == ["p2"]
    table.write_text("\n".join(["patient,side,split,volume_a,label_map", *rows[:2]]) + "\n")
    with pytest.raises(CohortError, match="no row in the test split"):
        rows_of(table, held_out=True)


def test_evaluate_prints_and_writes_dice_with_intervals(tmp_path, capsys):
    for seed in range(3):
        labels = toy(seed)[1]
        put(labels, tmp_path, "labels", f"p{seed}.nii.gz")
        put(Volume(np.roll(labels.array, 1, axis=2), TOY_GRID), tmp_path, "predictions", f"p{seed}.nii.gz")
    arguments = [
        "--predictions",
        tmp_path / "predictions",
        "--labels",
        tmp_path / "labels",
        "--out",
        tmp_path / "s.csv",
    ]
    assert cli.main(["segment", "evaluate", *map(str, arguments)]) == 0
    printed = capsys.readouterr().out
    assert "3 images of 3 patients" in printed
    assert "within 5 mm in" in printed
    with (tmp_path / "s.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    mean = np.mean([float(row["dice_tumour"]) for row in rows])
    assert f"{mean:.3f} (" in printed
    assert [row["case"] for row in rows] == ["p0", "p1", "p2"]


def test_evaluate_needs_two_sources(capsys):
    assert cli.main(["segment", "evaluate"]) == 2
    assert "--predictions and --labels" in capsys.readouterr().err


def test_run_writes_labels_on_the_grid_of_the_volume(tmp_path, capsys):
    model = write_model(tmp_path / "model")
    source = put(toy(1)[0], tmp_path, "ct.nii.gz")
    out = tmp_path / "out" / "labels.nii.gz"
    assert cli.main(["segment", "run", str(source), "--model", str(model), "--out", str(out), "--exact"]) == 0
    assert read_volume(out).geometry.same_grid(TOY_GRID)
    assert "sha256" in capsys.readouterr().out


def test_run_refuses_a_folder_that_is_no_model_and_writes_nothing(tmp_path, capsys):
    source = put(toy(1)[0], tmp_path, "ct.nii.gz")
    out = tmp_path / "labels.nii.gz"
    assert cli.main(["segment", "run", str(source), "--model", str(tmp_path), "--out", str(out)]) == 2
    assert "no trained nnU-Net v2 model" in capsys.readouterr().err
    assert not out.exists()


def test_run_refuses_a_name_without_a_volume_suffix(tmp_path, capsys):
    assert cli.main(["segment", "run", "ct.nii.gz", "--model", "m", "--out", str(tmp_path / "labels")]) == 2
    assert ".nii.gz" in capsys.readouterr().err


def test_train_takes_only_the_options_that_were_given():
    given = "segment train --cohort c --out o --epochs 3 --spacing 2 2 3 --patch 64 64 48 --light --half-weights"
    values = vars(cli.build_parser().parse_args(given.split()))
    assert values["options"] == {
        "epochs": 3,
        "spacing_mm": (2.0, 2.0, 3.0),
        "patch": (64, 64, 48),
        "light": True,
        "half_weights": True,
    }
    assert vars(cli.build_parser().parse_args(["segment", "train", "--cohort", "c", "--out", "o"]))["options"] == {}


def test_phantoms_are_written_as_training_cases(tmp_path):
    assert cli.main(["segment", "phantoms", "--out", str(tmp_path), "--patients", "1", "--phases", "2"]) == 0
    cases = cases_in_folder(tmp_path)
    assert len(cases) == 2
    assert len({case.group for case in cases}) == 1
    assert set(np.unique(read_volume(cases[0].labels).array)) <= {0, 1, 2, 3}
