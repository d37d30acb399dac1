"""The commands from a cohort table to scores, as a person types them."""

import pytest

from RenalCLIPCore.cli import main
from RenalCLIPCore.cohort.roi_store import build_roi_store
from RenalCLIPCore.cohort.table import read_cohort, write_cohort_table
from Testing.Core.cohort.cohort_toys import SPEC, toy_rows

STAGE = """
epochs: 1
batch_size: 6
tasks: [malignancy, renal_r, rfs]
encoder: {width: 2}
heads: {hidden: 4}
"""


@pytest.fixture
def toy(tmp_path):
    rows = toy_rows(tmp_path, 18)
    write_cohort_table(rows, tmp_path / "cohort.csv")
    build_roi_store(rows, tmp_path / "store", SPEC)
    (tmp_path / "stage.yaml").write_text(STAGE)
    return tmp_path


def test_from_a_table_to_scores(toy, capsys):
    cohort = ["--cohort", str(toy / "cohort.csv"), "--rois", str(toy / "store")]
    run, bundle, scores = str(toy / "run"), str(toy / "bundle"), toy / "scores"
    training = ["train", "multitask", "--config", str(toy / "stage.yaml"), *cohort, "--out", run]
    assert main(training) == 0
    words = ["--name", "toy", "--version", "1", "--training-data", "Toys.", "--phantom"]
    assert main(["bundle", "export", "--run", run, *cohort, "--out", bundle, *words]) == 0
    evaluation = ["evaluate", "bundle", "--bundle", bundle, *cohort, "--split", "validation", "--out", str(scores)]
    assert main([*evaluation, "--resamples", "20"]) == 0
    assert "Trained on digital phantoms. Not for clinical use." in capsys.readouterr().out
    assert {path.name for path in scores.iterdir()} == {"scores.csv", "scores.md", "predictions.csv"}
    assert main(training) == 2
    assert main(evaluation) == 2
    assert "is not empty" in capsys.readouterr().err


def test_a_table_is_split(toy, capsys):
    arguments = ["--cohort", str(toy / "cohort.csv"), "--out", str(toy / "split.csv"), "--seed", "1"]
    assert main(["cohort", "split", *arguments, "--fractions", "0.5", "0.5", "0"]) == 0
    assert {row.split for row in read_cohort(toy / "split.csv")} == {"training", "validation"}
    assert main(["cohort", "split", *arguments, "--fractions", "0.5", "0.6", "0"]) == 2
    assert "add up to 1" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["config", "show", "nothing"], "There is no stage"),
        (["config", "show", "multitask", "--preset", "nothing"], "There is no preset"),
        (["cohort", "rois", "--cohort", "none.csv", "--out", "store"], "cannot be read"),
    ],
)
def test_mistakes_end_in_one_message(arguments, message, capsys):
    assert main(arguments) == 2
    assert message in capsys.readouterr().err


def test_an_evaluation_without_cases_of_the_split_is_refused(toy, capsys):
    cohort = ["--cohort", str(toy / "cohort.csv"), "--rois", str(toy / "store")]
    run, bundle = str(toy / "run"), str(toy / "bundle")
    main(["train", "multitask", "--config", str(toy / "stage.yaml"), *cohort, "--out", run])
    words = ["--name", "toy", "--version", "1", "--training-data", "Toys."]
    main(["bundle", "export", "--run", run, *cohort, "--out", bundle, *words])
    assert main(["evaluate", "bundle", "--bundle", bundle, *cohort, "--out", str(toy / "scores")]) == 2
    assert "split 'test'" in capsys.readouterr().err
    assert not (toy / "scores").exists()
