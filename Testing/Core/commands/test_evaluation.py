"""Evaluation as it is typed: tables in, one page with its files out; mistakes end in one sentence."""

import shutil

import pytest

from RenalCLIPCore.cli import main
from RenalCLIPCore.protocol.predictions import ONE_PHASE
from Testing.Core.protocol import study_toys as toys


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("evaluation")
    toys.write_study(place, cases=16, settings=(ONE_PHASE,), tasks=("renal_r", "malignancy"))
    return place


def evaluate(folder, out, *arguments):
    tables = [str(folder / name / "cohort.csv") for name in ("internal", "external")]
    return main(["evaluate", "predictions", "--predictions", str(folder / "predictions.csv"), "--cohort", *tables,
                 "--resamples", "20", "--out", str(out), *arguments])  # fmt: skip


def test_tables_become_a_page_with_its_files(folder, tmp_path, capsys):
    options = ["--readers", str(folder / "readings.csv"), "--reference", "scratch", "--pool", "both=internal,external"]
    assert evaluate(folder, tmp_path / "out", *options, "--paper-cohort", "internal=Internal validation") == 0
    printed = capsys.readouterr().out
    assert "| Malignancy | AUROC |" in printed
    assert printed.startswith("# scratch: main measure of every task")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"index.html", "tables", "figures"}
    page = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert "The paper&#39;s figures" in page
    assert "internal/cohort.csv" in page
    assert str(tmp_path) not in page


def test_older_results_are_replaced_only_when_asked(folder, tmp_path, capsys):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("kept")
    assert evaluate(folder, tmp_path / "out") == 2
    assert "is not empty" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine.txt"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--resamples", "5"), "At least 20 resamples"),
        (("--pool", "both"), "NAME=VALUE is needed"),
        (("--pool", "both=internal,lost"), "names the cohort 'lost'"),
        (("--reference", "nobody"), "reference model 'nobody'"),
        (("--paper-cohort", "internal=Lyon"), "no cohort 'Lyon'"),
        (("--alignment", "{folder}/predictions.csv"), "no table of retrieval and zero-shot scores"),
        (("--reports", "{folder}/absent.csv"), "cannot be read"),
    ],
)
def test_mistakes_end_in_one_sentence_and_leave_nothing(folder, tmp_path, capsys, arguments, message):
    given = [text.format(folder=folder) for text in arguments]
    assert evaluate(folder, tmp_path / "out", *given) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_cohort_of_other_patients_is_refused(folder, tmp_path, capsys):
    (tmp_path / "internal").mkdir()
    shutil.copy(folder / "external" / "cohort.csv", tmp_path / "internal" / "cohort.csv")
    tables = [str(tmp_path / "internal" / "cohort.csv"), f"external={folder / 'external' / 'cohort.csv'}"]
    assert evaluate(folder, tmp_path / "out", "--cohort", *tables) == 2
    message = capsys.readouterr().err
    assert "joined by patient and side, never by order" in message
    assert "internal-0" not in message


def test_two_cohorts_of_one_name_and_no_table_at_all_are_refused(folder, tmp_path, capsys):
    table = str(folder / "internal" / "cohort.csv")
    assert evaluate(folder, tmp_path / "out", "--cohort", table, table) == 2
    assert "Two cohorts are named 'internal'" in capsys.readouterr().err
    assert main(["evaluate", "predictions", "--cohort", table, "--out", str(tmp_path / "out")]) == 2
    assert "there is nothing to evaluate" in capsys.readouterr().err


def test_the_papers_protocol_needs_a_model_and_a_store_for_every_cohort(folder, tmp_path, capsys):
    table = str(folder / "internal" / "cohort.csv")
    command = ["evaluate", "paper", "--cohort", table, "--out", str(tmp_path / "out"), "--rois"]
    assert main([*command, "a", "b", "--bundle", "c"]) == 2
    assert "1 cohorts, 2 stores and 0 text features" in capsys.readouterr().err
    assert main([*command, "a"]) == 2
    assert "Give --bundle or --run" in capsys.readouterr().err
