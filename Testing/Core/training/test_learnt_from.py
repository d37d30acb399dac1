"""Terms of others and groups of patients go from run to run to bundle, whichever step met them; evaluation says so."""

from dataclasses import replace

import pytest
import yaml

from RenalCLIPCore.cli import main
from RenalCLIPCore.cohort.groups import group_digest
from RenalCLIPCore.cohort.roi_store import build_roi_store
from RenalCLIPCore.cohort.table import CohortRow, write_cohort_table
from RenalCLIPCore.errors import TrainingError
from RenalCLIPCore.models.manifest import read_manifest
from RenalCLIPCore.training.fine_tuning import read_result
from RenalCLIPCore.training.finished_run import open_bundle, open_run
from RenalCLIPCore.training.learnt_from import LEARNT_FROM_FILE, NOTHING, LearntFrom, joined_terms, learnt_from
from Testing.Core.cohort.cohort_toys import SPEC, toy_rows
from Testing.Core.inference.reading_toys import saved
from Testing.Core.models.bundle_toys import toy_contents
from Testing.Core.training.test_pretraining_commands import SMALL, STAGES, described

IMAGES, WORDS = "Masks of others.", "Words of others."
TASK = {**SMALL, "phases": "random-phase", "heads": {"hidden": 4}, "grid": {"learning_rate": [0.01], "batch_size": [6]}}
STEPS = {
    "task": TASK,
    "report": {"epochs": 1, "batch_size": 6, "new_model": {"vocabulary": 300, "width": 16, "layers": 1, "heads": 2}},
}


def run(*words):
    return main([str(word) for word in words])


def table(rows, path, licence="", group=""):
    """A table whose first training row has terms and a group."""
    write_cohort_table([replace(rows[0], licence=licence, group=group), *rows[1:]], path)
    return ("--cohort", path)


@pytest.fixture(scope="module")
def ladder(tmp_path_factory):
    """Images under terms in the image stage alone, words in the first text stage alone; all that follows is free."""
    folder = tmp_path_factory.mktemp("ladder")
    rows = described(toy_rows(folder, 18))
    store = ("--rois", folder / "store")
    build_roi_store(rows, folder / "store", SPEC)
    for stage, values in {**STAGES, **STEPS}.items():
        (folder / f"{stage}.yaml").write_text(yaml.safe_dump(values))
    free = table(rows, folder / "free.csv")
    painted = table(rows, folder / "painted.csv", IMAGES, "mask-1")
    written = table(rows, folder / "written.csv", WORDS, "writer-1")

    def train(stage, *words, out=None):
        assert run("train", stage, "--config", folder / f"{stage}.yaml", "--out", folder / (out or stage), *words) == 0

    train("image", *painted, *store)
    train("mntp", *written)
    train("simcse", *free, "--base", folder / "mntp" / "encoder")
    texts, encoder = folder / "texts", folder / "simcse" / "encoder"
    assert run("train", "text-features", "--encoder", encoder, *free, "--out", texts) == 0
    train("clip", *free, *store, "--texts", texts, "--initial", folder / "image")
    names = ("--name", "toy", "--version", "1", "--training-data", "Toys.", "--phantom")
    clip = ("--run", folder / "clip", *free, *store, "--texts", texts, "--text-encoder", encoder, *names)
    assert run("bundle", "export", *clip, "--out", folder / "bundle") == 0
    return folder, free, store, names, train


def test_a_bundle_carries_what_its_first_steps_met(ladder):
    folder, *_ = ladder
    manifest = read_manifest(folder / "bundle")
    assert manifest.licence == f"{IMAGES} {WORDS}"
    assert set(manifest.training_groups) == {group_digest("mask-1"), group_digest("writer-1")}
    assert learnt_from(folder / "clip") == LearntFrom(f"{IMAGES} {WORDS}", frozenset(manifest.training_groups))
    assert learnt_from(folder / "texts").licence == WORDS


def test_fine_tuning_hands_it_on_by_grid_too(ladder, tmp_path):
    folder, free, store, names, _ = ladder
    task = ("train", "task", "--config", folder / "task.yaml", *free, *store, "--task", "malignancy")
    assert run(*task, "--initial", folder / "bundle", "--out", tmp_path / "one") == 0
    assert run(*task, "--initial", folder / "image", "--grid", "--out", tmp_path / "grid") == 0
    assert read_result(tmp_path / "one").licence == f"{IMAGES} {WORDS}"
    assert (read_result(tmp_path / "grid").licence, learnt_from(tmp_path / "grid").licence) == (IMAGES, IMAGES)
    assert open_run(tmp_path / "grid").groups == {group_digest("mask-1")}
    export = ("bundle", "export", "--run", tmp_path / "grid", *free, *store, *names, "--out", tmp_path / "single")
    assert run(*export) == 0
    assert read_manifest(tmp_path / "single").licence == IMAGES
    assert open_bundle(tmp_path / "single")[0].groups == {group_digest("mask-1")}


def test_parts_bring_it_into_a_bundle_that_had_none(ladder, tmp_path):
    folder, free, store, names, train = ladder
    (folder / "multitask.yaml").write_text(yaml.safe_dump({**STAGES["multitask"], "freeze_encoder": False}))
    train("multitask", *free, *store, out="clean")
    export = ("bundle", "export", "--run", folder / "clean", *free, *store, *names, "--out", tmp_path / "clean")
    assert run(*export) == 0
    manifest = read_manifest(tmp_path / "clean")
    assert (manifest.licence, manifest.training_groups) == ("Apache-2.0", ())
    assert "training_groups" not in (tmp_path / "clean" / "bundle.yaml").read_text()
    assert not (folder / "clean" / LEARNT_FROM_FILE).exists()
    task = ("train", "task", "--config", folder / "task.yaml", *free, *store, "--task", "malignancy")
    assert run(*task, "--initial", folder / "image", "--out", tmp_path / "task") == 0
    assemble = ("bundle", "assemble", "--bundle", tmp_path / "clean", "--task", tmp_path / "task")
    assert run(*assemble, "--out", tmp_path / "whole") == 0
    whole = read_manifest(tmp_path / "whole")
    assert (whole.licence, whole.training_groups) == (f"Apache-2.0 {IMAGES}", (group_digest("mask-1"),))


def test_a_report_generator_has_its_encoders_terms(ladder, tmp_path):
    folder, free, store, *_ = ladder
    step = ("train", "report", "--step", "projector", "--config", folder / "report.yaml", *free, *store)
    assert run(*step, "--encoder", folder / "image", "--out", tmp_path / "report") == 0
    assert learnt_from(tmp_path / "report").licence == IMAGES


def test_evaluation_says_that_it_meets_a_group_again(ladder, tmp_path, capsys):
    folder, free, store, *_ = ladder
    rows = described(toy_rows(folder, 18))
    other = [
        replace(row, group="mask-1" if row.split == "test" and number % 2 else "") for number, row in enumerate(rows)
    ]
    (tmp_path / "north").mkdir()
    write_cohort_table(other, tmp_path / "north" / "cohort.csv")
    again = ("--cohort", tmp_path / "north" / "cohort.csv")
    sentence = "2 of the 4 kidneys of north (test) belong to groups that toy has learnt from; they were not held out."
    alignment = ("evaluate", "alignment", "--bundle", folder / "bundle", *store, "--texts", folder / "texts")
    assert run(*alignment, *again, "--out", tmp_path / "scores") == 0
    assert sentence in capsys.readouterr().err
    assert run(*alignment, *free, "--out", tmp_path / "scores") == 0
    assert "held out" not in capsys.readouterr().err


def test_terms_are_named_once():
    assert joined_terms("A", "", "B", "A") == "A B"
    assert joined_terms("A B", "B", "A") == "A B"
    assert joined_terms("CC BY 4.0", "BY") == "CC BY 4.0"
    assert joined_terms() == joined_terms("", "") == ""


def test_nothing_is_kept_where_there_is_nothing_to_say(tmp_path):
    LearntFrom.of([CohortRow("p", "left")]).keep(tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert learnt_from(None, tmp_path, tmp_path / "none") == NOTHING


def test_a_damaged_record_is_refused(tmp_path):
    (tmp_path / LEARNT_FROM_FILE).write_text('{"licence": "A"}')
    with pytest.raises(TrainingError, match="is damaged"):
        learnt_from(tmp_path)


def test_the_project_s_own_licence_is_nobody_else_s_terms(tmp_path):
    saved(tmp_path, toy_contents())
    assert learnt_from(tmp_path / "bundle") == NOTHING
