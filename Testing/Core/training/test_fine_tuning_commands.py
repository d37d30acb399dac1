"""Fine-tuning, predictions and bundles of several task runs, as a person types them."""

import csv
import shutil
from dataclasses import replace

import numpy as np
import pytest

from RenalCLIPCore.cli import main
from RenalCLIPCore.cohort.groups import group_digest
from RenalCLIPCore.cohort.roi_store import RoiStore, build_roi_store
from RenalCLIPCore.cohort.table import read_cohort, write_cohort_table
from RenalCLIPCore.commands.fine_tuning import NETWORKS, PHASES
from RenalCLIPCore.inference.head_readings import probabilities
from RenalCLIPCore.models.bundle import Bundle, verify
from RenalCLIPCore.models.comparison import PUBLISHED
from RenalCLIPCore.models.manifest import read_manifest
from RenalCLIPCore.protocol.phase_sets import PHASE_SETS
from RenalCLIPCore.training.fine_tuning import read_result
from RenalCLIPCore.training.finished_run import open_run
from RenalCLIPCore.training.learnt_from import LearntFrom
from Testing.Core.cohort.cohort_toys import SPEC, toy_rows

SMALL = """
epochs: 1
batch_size: 6
threads: 1
phases: random-phase
encoder: {width: 2}
heads: {hidden: 4}
optimiser: {learning_rate: 0.01}
augmentation: {translation_px: 1, rotation_rad: [0, 0, 0]}
grid: {learning_rate: [0.01, 0.001], batch_size: [6]}
"""


def run(*words):
    return main([str(word) for word in words])


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A multi-task bundle, and runs of malignancy (by grid), renal_r and survival."""
    folder = tmp_path_factory.mktemp("trained")
    rows = toy_rows(folder, 36)
    rows = [replace(row, split="test") if number >= 32 else row for number, row in enumerate(rows)]
    write_cohort_table(rows, folder / "cohort.csv")
    build_roi_store(rows, folder / "store", SPEC)
    (folder / "task.yaml").write_text(SMALL)
    (folder / "multitask.yaml").write_text(
        "{epochs: 1, batch_size: 6, threads: 1, tasks: [malignancy], balance: [], "
        "encoder: {width: 2}, heads: {hidden: 4}}"
    )
    cohort = ("--cohort", folder / "cohort.csv", "--rois", folder / "store")
    assert run("train", "multitask", "--config", folder / "multitask.yaml", *cohort, "--out", folder / "base") == 0
    words = ("--name", "toy", "--version", "1", "--training-data", "Toys.", "--phantom")
    assert run("bundle", "export", "--run", folder / "base", *cohort, "--out", folder / "bundle", *words) == 0
    settings = ("--config", folder / "task.yaml", *cohort, "--seed", "3")
    task = ("train", "task", *settings, "--task")
    assert run(*task, "malignancy", "--grid", "--out", folder / "malignancy") == 0
    frozen = ("--initial", folder / "bundle", "--freeze-encoder")
    assert run(*task, "renal_r", *frozen, "--fraction", "0.5", "--out", folder / "renal_r") == 0
    assert run("train", "survival", *settings, "--ties", "breslow", "--out", folder / "rfs") == 0
    assert run("bundle", "export", "--run", folder / "malignancy", *cohort, "--out", folder / "single", *words) == 0
    return folder, cohort


def table(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_predictions_say_which_cases_a_run_has_learnt_from(trained, tmp_path, capsys):
    folder, _ = trained
    shutil.copytree(folder / "malignancy", tmp_path / "run")
    LearntFrom("", frozenset({group_digest("mask-1")})).keep(tmp_path / "run")
    rows = [replace(row, group="mask-1") if row.split == "test" else row for row in read_cohort(folder / "cohort.csv")]
    (tmp_path / "north").mkdir()
    write_cohort_table(rows, tmp_path / "north" / "cohort.csv")
    cohort = ("--cohort", tmp_path / "north" / "cohort.csv", "--rois", folder / "store")
    assert run("evaluate", "predict", "--run", tmp_path / "run", *cohort, "--out", tmp_path / "a.csv") == 0
    assert "4 of the 4 kidneys of north (test) belong to groups that run has learnt from" in capsys.readouterr().err
    assert run("evaluate", "predict", "--run", folder / "malignancy", *cohort, "--out", tmp_path / "b.csv") == 0
    assert "held out" not in capsys.readouterr().err


def test_predictions_of_several_runs_stand_in_one_table(trained, tmp_path):
    folder, cohort = trained
    runs = [folder / name for name in ("malignancy", "renal_r", "rfs")]
    sets = ("--phases", "A", "AV", "NAVD")
    out = tmp_path / "deep" / "predictions.csv"
    predict = ("evaluate", "predict", "--run", *runs, *cohort, *sets, "--model", "toy", "--out", out)
    assert run(*predict) == 0
    rows = table(out)
    assert {row["phases"] for row in rows} == {"A", "AV", "NAVD"}
    assert {(row["task"], row["training_fraction"], row["seed"]) for row in rows} == {
        ("malignancy", "1.0", "3"),
        ("renal_r", "0.5", "3"),
        ("rfs", "1.0", "3"),
    }
    assert {row["split"] for row in rows} == {"test"}
    cases = {phases: {row["patient"] for row in rows if row["phases"] == phases} for phases in ("A", "AV")}
    # every third case lacks the arterial phase
    assert (len(cases["A"]), len(cases["AV"])) == (2, 4)
    assert run(*predict) == 2


def test_a_set_of_phases_is_the_mean_of_their_logits(trained, tmp_path):
    folder, cohort = trained
    out = tmp_path / "predictions.csv"
    assert run("evaluate", "predict", "--run", folder / "malignancy", *cohort, "--phases", "AV", "--out", out) == 0
    reader = open_run(folder / "malignancy")
    rows = [row for row in read_cohort(folder / "cohort.csv") if row.split == "test"]
    read = reader.read(rows, RoiStore(folder / "store"))
    for row in rows:
        places = [i for i, case in enumerate(read.case_ids) if case == row.case_id and read.phases[i] in ("A", "V")]
        expected = probabilities(read.outputs["malignancy"][places].mean(axis=0), reader.tasks[0].temperature)
        own = [float(line["score"]) for line in table(out) if line["patient"] == row.patient]
        assert own == pytest.approx(expected)


def test_a_bundle_and_its_run_predict_the_same(trained, tmp_path):
    folder, cohort = trained
    for name, source in (("bundle", ("--bundle", folder / "bundle")), ("run", ("--run", folder / "base"))):
        assert run("evaluate", "predict", *source, *cohort, "--out", tmp_path / name) == 0
    bundle, plain = (table(tmp_path / name) for name in ("bundle", "run"))
    assert [row["patient"] for row in bundle] == [row["patient"] for row in plain]
    scores = [[float(row["score"]) for row in rows if row["output"] == "malignant"] for rows in (bundle, plain)]
    # the bundle is calibrated, which changes no order
    assert np.argsort(scores[0]).tolist() == np.argsort(scores[1]).tolist()


def test_mistakes_end_in_one_message(trained, tmp_path, capsys):
    folder, cohort = trained
    task = ("train", "task", "--config", folder / "task.yaml", *cohort, "--out", tmp_path / "run", "--task")
    for arguments, message in (
        ((*task, "renal_q"), "There is no task 'renal_q'"),
        ((*task, "renal_n"), "No training row has a label for 'renal_n'"),
        ((*task, "malignancy", "--fraction", "2"), "fraction: Input should be less than or equal to 1"),
        ((*task, "malignancy", "--fraction", "0.01"), "no case of class"),
        ((*task, "malignancy", "--freeze-encoder"), "must come from somewhere"),
        (("evaluate", "predict", "--run", folder, *cohort, "--out", tmp_path / "p.csv"), "configuration.yaml"),
    ):
        assert run(*arguments) == 2, arguments
        assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_task_learnt_from_images_under_others_terms_brings_them_into_the_bundle(trained, tmp_path):
    folder, _ = trained
    shutil.copytree(folder / "renal_r", tmp_path / "renal_r")
    result = read_result(folder / "renal_r").model_copy(update={"licence": "Masks of others."})
    (tmp_path / "renal_r" / "result.json").write_text(result.model_dump_json())
    assemble = ("bundle", "assemble", "--bundle", folder / "bundle", "--out", tmp_path / "bundle")
    assert run(*assemble, "--task", tmp_path / "renal_r") == 0
    assert read_manifest(tmp_path / "bundle").licence == "Apache-2.0 Masks of others."


def test_heads_of_several_runs_stand_in_one_bundle(trained, tmp_path, capsys):
    folder, cohort = trained
    runs = [folder / name for name in ("malignancy", "renal_r", "rfs")]
    assemble = ("bundle", "assemble", "--bundle", folder / "bundle", "--out", tmp_path / "bundle")
    assert run(*assemble, "--task", *runs) == 0
    verify(tmp_path / "bundle")
    loaded = Bundle.load(tmp_path / "bundle")
    # renal_r was trained on the bundle's frozen encoder and shares it
    assert {task.name: task.own_encoder for task in loaded.manifest.tasks} == {
        "renal_r": False,
        "malignancy": True,
        "rfs": True,
    }
    assert loaded.manifest.risk == read_result(folder / "rfs").risk
    assert "Task renal_r: 12 training cases (50 % of the patients)." in loaded.manifest.training_data
    scores = []
    for name, source in (("one.csv", ("--bundle", tmp_path / "bundle")), ("several.csv", ("--run", *runs))):
        assert run("evaluate", "predict", *source, *cohort, "--phases", "NAVD", "--out", tmp_path / name) == 0
        lines = table(tmp_path / name)
        scores.append({(line["patient"], line["task"], line["output"]): float(line["score"]) for line in lines})
    assert scores[0] == pytest.approx(scores[1], abs=1e-6)
    capsys.readouterr()
    for arguments, message in (
        (("--task", runs[0], runs[0]), "Two of the runs are of one task"),
        (("--task", folder / "base"), "no run of one task"),
        ((), "nothing to add"),
    ):
        assert run(*assemble[:-1], tmp_path / "other", *arguments) == 2
        assert message in capsys.readouterr().err


def test_a_run_of_one_task_gives_a_bundle_of_its_own_that_others_are_added_to(trained, tmp_path):
    folder, _ = trained
    first = Bundle.load(folder / "single")
    assert [task.name for task in first.manifest.tasks] == ["malignancy"]
    assert first.manifest.task("malignancy").temperature == read_result(folder / "malignancy").task.temperature
    assemble = ("bundle", "assemble", "--bundle", folder / "single", "--task", folder / "rfs", folder / "malignancy")
    assert run(*assemble, "--out", tmp_path / "both") == 0
    found = Bundle.load(tmp_path / "both").manifest
    assert {task.name: task.own_encoder for task in found.tasks} == {"malignancy": False, "rfs": True}


def test_the_command_line_knows_every_network_and_set_of_phases():
    assert ("renalclip", *PUBLISHED) == NETWORKS
    assert tuple(PHASE_SETS) == PHASES
