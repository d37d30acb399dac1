"""The report generator as a person types it: two steps, a bundle that carries it, tables, and the baseline."""

import csv

import pytest
import yaml

from RenalCLIPCore.cli import main
from RenalCLIPCore.cohort.roi_store import build_roi_store
from RenalCLIPCore.cohort.table import read_cohort, write_cohort_table
from RenalCLIPCore.models.bundle import Bundle, verify
from RenalCLIPCore.protocol.generated_reports import NEAREST
from Testing.Core.cohort.cohort_toys import SPEC, toy_rows
from Testing.Core.training.test_report_stage import NEW, SMALL, described

BASE = {"epochs": 1, "batch_size": 6, "threads": 1, "tasks": ["malignancy"], "encoder": {"width": 2}}


def run(*words):
    return main([str(word) for word in words])


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reports")
    rows = described(toy_rows(folder, 24))
    write_cohort_table(rows, folder / "cohort.csv")
    build_roi_store(rows, folder / "store", SPEC)
    for name, values in (
        ("base", {**BASE, "heads": {"hidden": 4}}),
        ("first", {**SMALL, "epochs": 1, "new_model": NEW}),
        ("second", {**SMALL, "epochs": 1, "lora": {"rank": 2}}),
    ):
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(values))
    cohort = ("--cohort", folder / "cohort.csv", "--rois", folder / "store")
    assert run("train", "multitask", "--config", folder / "base.yaml", *cohort, "--out", folder / "base") == 0
    words = ("--name", "toy", "--version", "1", "--training-data", "Toys.", "--phantom")
    assert run("bundle", "export", "--run", folder / "base", *cohort, "--out", folder / "bundle", *words) == 0
    for step, origin in (("projector", ()), ("adapters", ("--initial", folder / "projector"))):
        config = folder / ("first.yaml" if step == "projector" else "second.yaml")
        train = ("train", "report", "--step", step, "--config", config, "--encoder", folder / "base", *origin, *cohort)
        assert run(*train, "--out", folder / step) == 0
    return folder, cohort


def table(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_bundle_carries_the_generator_and_writes_what_its_run_writes(trained, tmp_path):
    folder, cohort = trained
    assemble = ("bundle", "assemble", "--bundle", folder / "bundle", "--report", folder / "adapters")
    assert run(*assemble, "--out", tmp_path / "bundle") == 0
    assert "report" in verify(tmp_path / "bundle").capabilities
    assert Bundle.load(tmp_path / "bundle").report_folder == tmp_path / "bundle" / "report"
    generate = ("report", "generate", *cohort, "--split", "validation", "--model", "toy")
    run_source = ("--run", folder / "adapters", "--encoder", folder / "base")
    for name, source in (("one.csv", ("--bundle", tmp_path / "bundle")), ("two.csv", run_source)):
        assert run(*generate, *source, "--out", tmp_path / name) == 0
    first, second = table(tmp_path / "one.csv"), table(tmp_path / "two.csv")
    assert first == second
    assert list(first[0]) == ["patient", "side", "cohort", "model", "findings", "impression"]
    assert len(first) == 8
    # parts that are added later keep it
    again = ("bundle", "assemble", "--bundle", tmp_path / "bundle", "--report", folder / "adapters")
    assert run(*again, "--out", tmp_path / "again") == 0
    assert verify(tmp_path / "again").report


def test_the_baseline_takes_the_report_of_a_training_kidney(trained, tmp_path):
    folder, cohort = trained
    out = tmp_path / "nearest.csv"
    training = ("--training", folder / "cohort.csv", "--training-rois", folder / "store")
    nearest = ("report", "nearest", "--bundle", folder / "bundle", *training, *cohort, "--out", out)
    assert run(*nearest, "--split", "training") == 0
    own = {row.patient: row.findings for row in read_cohort(folder / "cohort.csv")}
    # a training kidney is the most similar one to itself
    assert [row["findings"] for row in table(out)] == [own[row["patient"]] for row in table(out)]
    assert {row["model"] for row in table(out)} == {NEAREST}


def test_mistakes_end_in_one_message(trained, tmp_path, capsys):
    folder, cohort = trained
    generate = ("report", "generate", *cohort, "--out", tmp_path / "table.csv")
    assemble = ("bundle", "assemble", "--bundle", folder / "bundle", "--out", tmp_path / "bundle")
    train = ("train", "report", "--step", "projector", "--encoder", folder / "base", *cohort, "--out", tmp_path / "run")
    (tmp_path / "other.yaml").write_text(yaml.safe_dump({**BASE, "seed": 5, "heads": {"hidden": 4}}))
    assert run("train", "multitask", "--config", tmp_path / "other.yaml", *cohort, "--out", tmp_path / "other") == 0
    for arguments, message in (
        ((*generate, "--bundle", folder / "bundle"), "has no report generator"),
        ((*generate, "--run", folder / "adapters"), "the encoder is needed"),
        ((*generate, "--run", folder / "adapters", "--encoder", folder / "base"), "None of the tables has a row"),
        ((*generate, "--run", folder / "adapters", "--encoder", tmp_path / "other"), "features of another encoder"),
        ((*assemble, "--report", folder / "base"), "holds no report generator"),
        ((*train, "--language-model", tmp_path), "language model and tokenizer"),
        (train, "needs a language model"),
    ):
        assert run(*arguments) == 2, arguments
        assert message in capsys.readouterr().err
    assert not (tmp_path / "table.csv").exists()
