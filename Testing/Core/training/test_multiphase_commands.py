"""The commands of the multi-phase network end to end: slices, training, predictions, bundle."""

import csv

import pytest
import yaml

from RenalCLIPCore.cli import main
from RenalCLIPCore.cohort.table import write_cohort_table
from RenalCLIPCore.models.bundle import Bundle, write_bundle
from RenalCLIPCore.protocol.predictions import ALL_PHASES
from Testing.Core.models.bundle_toys import toy_contents
from Testing.Core.training.slice_toys import slice_rows, toy_multiphase


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A cohort, its slices, an any-subset run and a fixed one, as the commands make them."""
    folder = tmp_path_factory.mktemp("multiphase")
    rows = slice_rows(folder, 18)
    write_cohort_table(rows, folder / "cohort.csv")
    slices = ["--cohort", str(folder / "cohort.csv"), "--slices", str(folder / "slices")]
    assert main(["cohort", "slices", "--cohort", slices[1], "--out", slices[3], "--spacing-mm", "2.1875"]) == 0
    config = folder / "small.yaml"
    config.write_text(yaml.safe_dump(toy_multiphase(epochs=1).model_dump(mode="json", exclude_unset=True)))
    common = ["train", "multiphase", "--task", "malignancy", "--config", str(config), *slices, "--seed", "3"]
    assert main([*common, "--any-subset", "--out", str(folder / "any")]) == 0
    assert main([*common, "--phases", "va", "--fusion", "concatenation", "--out", str(folder / "fixed")]) == 0
    return folder, slices


def table(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_predictions_of_any_part_of_the_phases_are_tabled(made, tmp_path):
    folder, slices = made
    out = tmp_path / "predictions.csv"
    runs = ["--run", str(folder / "any"), str(folder / "fixed")]
    asked = ["--phases", "NAV", "a", "all", "--split", "training", "validation"]
    assert main(["evaluate", "multiphase", *runs, *slices, *asked, "--out", str(out)]) == 0
    rows = table(out)
    counts = {}
    for row in rows:
        assert row["task"] == "malignancy"
        assert row["seed"] == "3"
        counts[row["model"], row["phases"]] = counts.get((row["model"], row["phases"]), 0) + 1
    # of every six cases three have all, four the arterial phase (and the venous one with it)
    assert counts == {("any", "NAV"): 18, ("any", "A"): 24, ("any", ALL_PHASES): 36, ("fixed", "AV"): 24}
    both = [float(row["score"]) for row in rows[:2]]
    assert sum(both) == pytest.approx(1)


def test_a_table_that_is_there_is_kept(made, tmp_path, capsys):
    folder, slices = made
    (tmp_path / "there.csv").write_text("mine")
    command = ["evaluate", "multiphase", "--run", str(folder / "any"), *slices, "--out", str(tmp_path / "there.csv")]
    assert main(command) == 2
    assert "exists already" in capsys.readouterr().err
    assert main([*command[:-1], str(tmp_path / "new.csv")]) == 2  # no row of the test split
    assert "None of the tables has a row" in capsys.readouterr().err
    assert main([*command[:-1], str(tmp_path / "new.csv"), "--phases", "X"]) == 2
    assert "each once" in capsys.readouterr().err


def test_networks_go_into_a_bundle_and_read_from_there(made, tmp_path, capsys):
    folder, slices = made
    write_bundle(tmp_path / "plain", toy_contents())
    assemble = ["bundle", "assemble", "--bundle", str(tmp_path / "plain"), "--out", str(tmp_path / "both")]
    assert main([*assemble, "--multiphase", str(folder / "any")]) == 0
    assert "multiphase" in capsys.readouterr().out
    bundle = Bundle.load(tmp_path / "both")
    entry = bundle.manifest.multiphase[0]
    assert (entry.phases, entry.any_subset, entry.slices.size) == ("NAV", True, 64)
    assert "Multi-phase 2-D network, malignancy: 12 training cases." in bundle.manifest.training_data
    command = ["evaluate", "multiphase", *slices, "--split", "validation", "--phases", "all"]
    assert main([*command, "--bundle", str(tmp_path / "both"), "--out", str(tmp_path / "bundle.csv")]) == 0
    assert main([*command, "--run", str(folder / "any"), "--out", str(tmp_path / "run.csv")]) == 0
    scores = [[float(row["score"]) for row in table(tmp_path / name)] for name in ("bundle.csv", "run.csv")]
    assert scores[0] == pytest.approx(scores[1], abs=1e-5)
    again = ["bundle", "assemble", "--bundle", str(tmp_path / "both"), "--out", str(tmp_path / "third")]
    assert main([*again, "--multiphase", str(folder / "fixed")]) == 0
    assert Bundle.load(tmp_path / "third").manifest.multiphase[0].phases == "AV"
    twice = ["--multiphase", str(folder / "any"), str(folder / "fixed")]
    assert main([*assemble[:-1], str(tmp_path / "fourth"), *twice]) == 2
    assert "of one task" in capsys.readouterr().err
    assert main([*assemble[:-1], str(tmp_path / "fifth"), "--multiphase", str(tmp_path / "plain")]) == 2
    assert "A folder that 'renalclip train' wrote is needed, but plain holds" in capsys.readouterr().err
    assert main([*command, "--bundle", str(tmp_path / "plain"), "--out", str(tmp_path / "none.csv")]) == 2
    assert "carries no multi-phase network" in capsys.readouterr().err


def test_slices_that_were_cut_otherwise_are_refused(made, tmp_path, capsys):
    folder, slices = made
    other = str(tmp_path / "other")
    assert main(["cohort", "slices", "--cohort", slices[1], "--out", other, "--spacing-mm", "1.25"]) == 0
    command = ["evaluate", "multiphase", "--run", str(folder / "any"), "--cohort", slices[1], "--slices", other]
    assert main([*command, "--split", "validation", "--out", str(tmp_path / "x.csv")]) == 2
    assert "were not cut as any needs them" in capsys.readouterr().err


def test_a_task_of_three_classes_is_refused(made, tmp_path, capsys):
    _, slices = made
    assert main(["train", "multiphase", "--task", "renal_r", *slices, "--out", str(tmp_path / "run")]) == 2
    assert "two classes" in capsys.readouterr().err
