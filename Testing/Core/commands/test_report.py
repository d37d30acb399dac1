"""Commands about reports: whole reports to a cohort with answers, by rules and by an endpoint on loopback."""

import csv
import json

import pytest

from RenalCLIPCore.cli import main
from RenalCLIPCore.cohort.table import CohortRow, read_cohort, write_cohort_table
from RenalCLIPCore.imaging.study import Phase
from Testing.Core.text.loopback import Loopback

REPORTS = [
    (
        "p1",
        "The liver is normal. A 4.5 cm solid mass is seen in the upper pole of the left kidney.",
        "Left renal mass.",
    ),
    ("p2", "The liver is normal.", "No abnormality of the liver."),
    ("p3", "", ""),
    ("p4", "left kidney " * 4167, ""),
    ("p5", "Eine große Raumforderung der linken Niere mit kräftiger Anreicherung.", ""),
]
ANSWERS = json.dumps({str(number): "B" for number in range(1, 15)})


@pytest.fixture
def reports(tmp_path):
    path = tmp_path / "reports.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("patient", "findings", "impression"), *REPORTS])
    return path


def run(*arguments):
    return main([str(argument) for argument in arguments])


def statuses(path):
    with path.open(newline="", encoding="utf-8") as file:
        return [row["status"] for row in csv.DictReader(file)]


def test_reports_become_answers_in_a_cohort_without_any_network(tmp_path, reports, capsys):
    cohort = tmp_path / "cohort.csv"
    volumes = {Phase.A: tmp_path / "p1" / "A.nii.gz"}
    write_cohort_table([CohortRow("p1", "left", volumes=volumes), CohortRow("p9", "left")], cohort)
    assert run("report", "partition", "--reports", reports, "--out", tmp_path / "kidneys.csv") == 0
    assert statuses(tmp_path / "kidneys.outcomes.csv") == [
        "done", "no kidney", "empty", "too long", "another language",
    ]  # fmt: skip
    assert run("report", "extract", "--table", tmp_path / "kidneys.csv", "--out", tmp_path / "read.csv") == 0
    assert run("report", "attach", "--reports", tmp_path / "read.csv", "--cohort", cohort, "--out", cohort) == 0
    first, second = read_cohort(cohort)
    assert first.findings == "A 4.5 cm solid mass is seen in the upper pole of the left kidney."
    assert first.attributes[:3] == (0, 0, 1)
    assert first.volumes == volumes
    assert second == CohortRow("p9", "left")
    assert "1 of 2 rows" in capsys.readouterr().out


def test_an_endpoint_reads_the_reports_and_a_second_run_asks_nothing(tmp_path, reports, capsys):
    run("report", "partition", "--reports", reports, "--out", tmp_path / "kidneys.csv")
    with Loopback(ANSWERS) as server:
        model = ("--endpoint", server.address, "--model", "toy", "--cache", tmp_path / "answers")
        for _ in range(2):
            code = run("report", "extract", "--table", tmp_path / "kidneys.csv", "--out", tmp_path / "read.csv", *model)
            assert code == 0
        assert len(server.prompts) == 1
        assert "p1" not in server.prompts[0]
    rows = read_cohort(tmp_path / "read.csv")
    assert rows[0].attributes == (1,) * 14
    assert rows[1].attributes == (None,) * 14
    assert "1 done" in capsys.readouterr().out


def test_a_translation_that_fails_leaves_no_foreign_text_behind(tmp_path):
    table = tmp_path / "kidneys.csv"
    write_cohort_table(
        [
            CohortRow("p1", "left", findings="左肾见肿块，大小45×32mm。"),
            CohortRow("p2", "left", findings="左肾见肿块。"),
        ],
        table,
    )
    english = json.dumps({"findings": "A mass is seen in the left kidney.", "impression": ""})
    with Loopback(english) as server:
        assert run(
            "report", "translate", "--table", table, "--out", tmp_path / "english.csv", "--endpoint", server.address,
            "--model", "toy", "--workers", "1",
        ) == 0  # fmt: skip
    assert [row.findings for row in read_cohort(tmp_path / "english.csv")] == ["", "A mass is seen in the left kidney."]
    assert statuses(tmp_path / "english.outcomes.csv") == ["broken answer", "done"]


@pytest.mark.parametrize(
    "model",
    [
        ("--endpoint", "http://127.0.0.1:9/v1"),
        ("--endpoint", "http://192.0.2.1/v1", "--model", "toy"),
        ("--endpoint", "http://127.0.0.1:9/v1", "--model", "toy", "--local-model", "x"),
        ("--local-model", "missing-folder"),
        ("--workers", "0"),
    ],
)
def test_a_model_that_cannot_be_asked_is_refused_in_one_message(tmp_path, reports, model, capsys):
    assert run("report", "partition", "--reports", reports, "--out", tmp_path / "kidneys.csv", *model) == 2
    assert capsys.readouterr().err.startswith("renalclip: ")
    assert not (tmp_path / "kidneys.csv").exists()


def test_translation_needs_a_model(tmp_path, capsys):
    write_cohort_table([CohortRow("p1", "left")], tmp_path / "kidneys.csv")
    assert run("report", "translate", "--table", tmp_path / "kidneys.csv", "--out", tmp_path / "x.csv") == 2
    assert "--endpoint" in capsys.readouterr().err


@pytest.mark.parametrize(
    "text",
    [
        "",
        "patient,findings\np1,x\n",
        "patient,findings,impression,extra\np1,a,b,c\n",
        "patient,findings,impression\np1,a\n",
        "patient,findings,impression\np1,a,b\np1,c,d\n",
        "patient,findings,impression\n,a,b\n",
        "patient,findings,impression\n",
    ],
)
def test_a_malformed_report_table_is_refused(tmp_path, text, capsys):
    path = tmp_path / "reports.csv"
    path.write_text(text)
    assert run("report", "partition", "--reports", path, "--out", tmp_path / "kidneys.csv") == 2
    assert "p1" not in capsys.readouterr().err


def test_attaching_reports_of_other_patients_is_refused(tmp_path):
    write_cohort_table([CohortRow("p1", "left")], tmp_path / "a.csv")
    write_cohort_table([CohortRow("p2", "left")], tmp_path / "b.csv")
    assert (
        run("report", "attach", "--reports", tmp_path / "a.csv", "--cohort", tmp_path / "b.csv", "--out", "x.csv") == 2
    )


def test_the_rules_are_evaluated_on_phantom_reports(tmp_path, capsys):
    out = tmp_path / "agreement"
    assert run("report", "evaluate", "--patients", "8", "--seed", "3", "--out", out, "--resamples", "50") == 0
    with (out / "agreement.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 14
    assert all(float(row["read_as_stated"]) > 0.8 for row in rows)
    assert any(float(row["read_as_true"]) < 1 for row in rows)
    assert capsys.readouterr().out == (out / "agreement.md").read_text()
