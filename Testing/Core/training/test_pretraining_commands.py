"""The ladder as a person types it: image, text stages, features, alignment, heads, bundle, scores."""

import csv
from dataclasses import replace

import numpy as np
import pytest
import yaml

from RenalCLIPCore.cli import main
from RenalCLIPCore.cohort.roi_store import RoiStore, build_roi_store
from RenalCLIPCore.cohort.table import read_cohort, write_cohort_table
from RenalCLIPCore.inference.neighbours import neighbours
from RenalCLIPCore.inference.network_output import run_networks
from RenalCLIPCore.inference.zero_shot import zero_shot
from RenalCLIPCore.models.bundle import Bundle
from Testing.Core.cohort.cohort_toys import SPEC, toy_rows

SMALL = {"epochs": 1, "batch_size": 6, "encoder": {"width": 2}}
NEW = {"vocabulary": 320, "width": 16, "hidden": 32, "layers": 1, "heads": 2}
TEXT = {"iterations": 2, "epochs": 1, "batch_size": 4, "precision": "fp32"}
STAGES = {
    "image": SMALL,
    "mntp": {**TEXT, "new_model": NEW, "lora": None},
    "simcse": {**TEXT, "lora": {"rank": 2}},
    "clip": {**SMALL, "precision": "fp32"},
    "multitask": {**SMALL, "tasks": ["malignancy", "rfs"], "heads": {"hidden": 4}, "freeze_encoder": True},
}


def described(rows):
    found = []
    for number, row in enumerate(rows):
        kind = "bright" if row.labels["malignancy"] else "dark"
        split = "test" if number >= 14 else row.split
        answers = (number % 2, number % 3, *[None] * 12)
        text = {"findings": f"A {kind} mass of {number} mm. No stone.", "impression": f"A {kind} mass."}
        found.append(
            replace(row, **text, split=split, attributes=answers, oracle={"malignancy": 0.5 + 0.1 * (number % 2)})
        )
    return found


@pytest.fixture(scope="module")
def ladder(tmp_path_factory):
    """Everything up to two bundles: with heads on the frozen encoder, and without."""
    folder = tmp_path_factory.mktemp("ladder")
    rows = described(toy_rows(folder, 18))
    write_cohort_table(rows, folder / "cohort.csv")
    build_roi_store(rows, folder / "store", SPEC)
    for stage, values in STAGES.items():
        (folder / f"{stage}.yaml").write_text(yaml.safe_dump(values))

    def run(*words):
        return main([str(word) for word in words])

    table = ("--cohort", folder / "cohort.csv")
    cohort = (*table, "--rois", folder / "store")
    texts, encoder = folder / "texts", folder / "simcse" / "encoder"

    def train(stage, *words):
        return run("train", stage, "--config", folder / f"{stage}.yaml", "--out", folder / stage, "--resume", *words)

    for _ in range(2):  # the second time everything is there already
        assert train("image", *cohort) == 0
        assert train("mntp", *table) == 0
        assert train("simcse", *table, "--base", folder / "mntp" / "encoder") == 0
        assert run("train", "text-features", "--encoder", encoder, *table, "--out", texts) == 0
        assert train("clip", *cohort, "--texts", texts, "--initial", folder / "image") == 0
        assert train("multitask", *cohort, "--initial", folder / "clip") == 0
    words = ("--name", "toy", "--version", "1", "--training-data", "Toys.", "--phantom")
    clip = ("--run", folder / "clip", *cohort, "--texts", texts, "--text-encoder", encoder, *words)
    heads = ("--heads", folder / "multitask")
    assert run("bundle", "export", *clip, *heads, "--out", folder / "whole") == 0
    assert run("bundle", "export", *clip, "--out", folder / "aligned") == 0
    return folder, run, clip


def output(folder, bundle):
    store, row = RoiStore(folder / "store"), read_cohort(folder / "cohort.csv")[3]
    rois = {phase.value: store.read(row.case_id, phase) for phase in store.phases(row.case_id)}
    return run_networks(bundle, rois), row


def test_the_bundle_reads_zero_shot_and_finds_similar_cases(ladder):
    folder, _, _ = ladder
    bundle = Bundle.load(folder / "aligned")
    assert set(bundle.capabilities) == {"zero_shot", "neighbours", "out_of_distribution"}
    found, row = output(folder, bundle)
    readings = {reading.task: reading for reading in zero_shot(bundle, found)}
    assert set(readings) == {"malignancy", "aggressiveness"}
    assert 0 <= readings["malignancy"].share_positive <= 1
    assert len(bundle.prompts["malignancy"].texts[0]) == 100
    nearest = neighbours(bundle, found)[0]
    assert nearest.case_id == row.case_id
    assert nearest.similarity == pytest.approx(1, abs=1e-3)


def test_heads_on_the_frozen_encoder_share_it(ladder):
    folder, _, _ = ladder
    whole, aligned = Bundle.load(folder / "whole"), Bundle.load(folder / "aligned")
    assert {"malignancy", "rfs", "zero_shot", "neighbours"} <= set(whole.capabilities)
    assert not whole.task_encoders
    np.testing.assert_array_equal(whole.encoder.conv1.weight, aligned.encoder.conv1.weight)
    assert output(folder, whole)[0].fused_logits("malignancy").shape == (2,)


def test_heads_that_have_an_encoder_of_their_own_take_it_along(ladder):
    folder, run, clip = ladder
    own = {**STAGES["multitask"], "freeze_encoder": False}
    (folder / "own.yaml").write_text(yaml.safe_dump(own))
    cohort = ("--cohort", folder / "cohort.csv", "--rois", folder / "store")
    assert run("train", "multitask", "--config", folder / "own.yaml", *cohort, "--out", folder / "own") == 0
    assert run("bundle", "export", *clip, "--heads", folder / "own", "--out", folder / "own-bundle") == 0
    assert set(Bundle.load(folder / "own-bundle").task_encoders) == {"malignancy", "rfs"}


def test_alignment_on_a_frozen_encoder_leaves_a_multitask_runs_heads_what_they_are(ladder, capsys):
    folder, run, _ = ladder
    own = {**STAGES["multitask"], "freeze_encoder": False}
    (folder / "tasks.yaml").write_text(yaml.safe_dump(own))
    (folder / "frozen.yaml").write_text(yaml.safe_dump({**STAGES["clip"], "freeze_encoder": True}))
    cohort = ("--cohort", folder / "cohort.csv", "--rois", folder / "store")
    assert run("train", "multitask", "--config", folder / "tasks.yaml", *cohort, "--out", folder / "tasks") == 0
    clip = ("train", "clip", "--config", folder / "frozen.yaml", *cohort, "--texts", folder / "texts")
    assert run(*clip, "--initial", folder / "tasks", "--out", folder / "frozen") == 0
    words = ("--name", "toy", "--version", "1", "--training-data", "Toys.")
    assert run("bundle", "export", "--run", folder / "tasks", *cohort, *words, "--out", folder / "tasks-alone") == 0
    texts = ("--texts", folder / "texts", "--text-encoder", folder / "simcse" / "encoder")
    export = ("bundle", "export", "--run", folder / "frozen", *cohort, *texts, *words, "--out", folder / "both")
    capsys.readouterr()
    assert run(*export) == 2
    assert "give that multi-task run or bundle" in capsys.readouterr().err
    assert run(*export, "--heads", folder / "multitask") == 2
    assert "has only heads" in capsys.readouterr().err
    assert run(*export, "--heads", folder / "tasks") == 0
    alone, both = Bundle.load(folder / "tasks-alone"), Bundle.load(folder / "both")
    assert not both.task_encoders
    assert {"malignancy", "rfs", "zero_shot", "neighbours"} <= set(both.capabilities)
    assert run(*clip, "--initial", folder / "tasks-alone", "--out", folder / "on-bundle") == 0
    onto = ("bundle", "export", "--run", folder / "on-bundle", *cohort, *texts, *words, "--out", folder / "added")
    assert run(*onto, "--heads", folder / "tasks-alone") == 0
    added = Bundle.load(folder / "added")
    assert added.manifest.training_data.count("Toys.") == 2
    assert "no image-text space" not in added.manifest.training_data
    assert added.manifest.out_of_distribution == alone.manifest.out_of_distribution
    for task in ("malignancy", "rfs"):
        one, two, three = (output(folder, bundle)[0].fused_logits(task) for bundle in (alone, both, added))
        np.testing.assert_allclose(two, one, atol=1e-5)
        np.testing.assert_allclose(three, one, atol=1e-5)
    clip_on_its_own = ("bundle", "export", "--run", folder / "clip", *cohort, *texts, *words, "--out", folder / "not")
    assert run(*clip_on_its_own, "--heads", folder / "tasks-alone") == 2
    assert "are of another encoder" in capsys.readouterr().err


def test_alignment_and_probes_are_scored_beside_their_references(ladder, capsys):
    folder, run, _ = ladder
    cohort = ("--cohort", folder / "cohort.csv", "--rois", folder / "store")
    bundle = ("--bundle", folder / "whole")
    scores = ("--texts", folder / "texts", "--gallery", 4, "--out", folder / "scores")
    assert run("evaluate", "alignment", *bundle, *cohort, *scores) == 0
    page = capsys.readouterr().out
    assert "image to text R@5" in page
    assert "AUROC, maximum similarity" in page
    lines = (folder / "scores" / "alignment.csv").read_text().splitlines()
    retrieval = next(line for line in lines if "text to image R@3" in line).split(",")
    assert (retrieval[3], float(retrieval[7]), retrieval[8]) == ("4", 0.75, "toy 1")
    reading = next(line for line in lines if "maximum similarity" in line).split(",")
    assert float(reading[7]) == 1.0  # the toys' oracle
    training = ("--training", folder / "cohort.csv", "--training-rois", folder / "store")
    assert run("evaluate", "probe", *bundle, *training, *cohort, "--out", folder / "probe") == 0
    assert "of 2 attributes" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--run", "clip"), "needs --texts and --text-encoder"),
        (("--run", "image", "--texts", "texts", "--text-encoder", "mntp/encoder"), "belong to a clip run"),
        (("--run", "clip", "--texts", "texts", "--text-encoder", "mntp/encoder"), "made by another text encoder"),
        (("--run", "multitask"), "has only heads"),
    ],
)
def test_runs_that_do_not_belong_together_are_refused(ladder, words, message, capsys):
    folder, run, _ = ladder
    paths = [word if word.startswith("--") else folder / word for word in words]
    cohort = ("--cohort", folder / "cohort.csv", "--rois", folder / "store", "--out", folder / "none")
    assert run("bundle", "export", *paths, *cohort, "--name", "x", "--version", "1", "--training-data", "X.") == 2
    assert message in capsys.readouterr().err
    assert not (folder / "none").exists()


def test_every_aligned_bundle_has_its_row_on_the_papers_page(ladder, tmp_path, capsys):
    folder, run, clip = ladder
    words = [word for word in clip if word not in ("--version", "1")]
    assert run("bundle", "export", *words, "--version", "2", "--out", tmp_path / "second") == 0
    cohort = ("--cohort", f"toys={folder / 'cohort.csv'}", "--rois", folder / "store")
    paper = ("evaluate", "paper", "--bundle", folder / "whole", tmp_path / "second", *cohort, "--resamples", 20)
    assert run(*paper, "--texts", folder / "texts", "--out", tmp_path / "one") == 0
    capsys.readouterr()
    with (tmp_path / "one" / "tables" / "zero-shot.csv").open(newline="") as file:
        zero_shot = [(row["measure"], row["model"]) for row in csv.DictReader(file)]
    assert zero_shot[:2] == [("AUROC, maximum similarity", "toy 1"), ("AUROC, maximum similarity", "toy 2")]
    with (tmp_path / "one" / "tables" / "retrieval.csv").open(newline="") as file:
        retrieval = [(row["model"], row["value"]) for row in csv.DictReader(file)]
    assert len(retrieval) == 12
    assert {model for model, _ in retrieval} == {"toy 1", "toy 2"}
    assert "toy 2" in (tmp_path / "one" / "index.html").read_text(encoding="utf-8")
    each = ("--texts", folder / "texts", folder / "texts")
    assert run(*paper, *each, "--out", tmp_path / "two") == 0
    one, two = ((tmp_path / name / "tables" / "retrieval.csv").read_text() for name in ("one", "two"))
    assert one == two
    assert run(*paper, *each, folder / "texts", "--out", tmp_path / "three") == 2
    assert "given for 3 bundles, but 2 have an image-text space" in capsys.readouterr().err
