"""``renalclip worklist``, ``audit`` and ``report check`` from the command line."""

import json
from pathlib import Path

import pytest

from RenalCLIPCore.cli import main
from RenalCLIPCore.cohort.table import CohortRow, read_cohort, write_cohort_table
from RenalCLIPCore.imaging.study import Phase
from RenalCLIPCore.reading import saving
from RenalCLIPCore.reading.database import Database
from RenalCLIPCore.reading.records import Change, Reading
from RenalCLIPCore.reading.worklist import assignments
from RenalCLIPCore.review import ReportDraft, write_review
from Testing.Core.exchange.reviews import empty_review, full_review


@pytest.fixture
def cohort(tmp_path):
    rows = []
    for number in range(6):
        volume = tmp_path / "volumes" / f"{number}.nii.gz"
        volume.parent.mkdir(exist_ok=True)
        volume.touch()
        rows.append(
            CohortRow(
                f"P{number:02d}",
                "left",
                split="training",
                centre_lps_mm=(0.0, 0.0, float(number)),
                volumes={Phase.V: volume},
                label_map=volume,
                labels={"malignancy": 0},
            )
        )
    write_cohort_table(rows, tmp_path / "cohort.csv")
    return tmp_path / "cohort.csv"


def done(*arguments):
    assert main([str(argument) for argument in arguments]) == 0


def refused(capsys, *arguments):
    assert main([str(argument) for argument in arguments]) == 2
    return capsys.readouterr().err


def read_all(db, points, answers=lambda case, reader: {"malignancy": 1}, **fields):
    """Finish every reading; ``points`` gives the point of a case by reader."""
    with Database(str(db)) as database:
        for item in assignments(database):
            point = points(item.case, item.reader)
            reading = Reading(point, answers=answers(item.case, item.reader), finished=True, **fields)
            seconds = 30.0 if item.with_ai else 60.0
            saving.save(database, Change(f"c{item.number}", item.number, 0, reading, item.reader or "ann", seconds))


def test_a_worklist_is_made_listed_read_reported_and_exported_for_training(cohort, tmp_path, capsys):
    db, out = tmp_path / "w.db", tmp_path / "out.csv"
    done("worklist", "create", cohort, "--db", db, "--reader", "ann", "--reader", "bob", "--ai", "both", "--by", "eve")
    assert "6 cases, 24 readings" in capsys.readouterr().out
    read_all(
        db,
        lambda case, reader: (0.0, 40.0 if (case, reader) == ("P01-left", "bob") else 2.0 * (reader == "bob"), 1.0),
        lambda case, reader: {"malignancy": int(case > "P02" or (reader == "bob" and case == "P00-left"))},
        quality="accurate",
    )
    done("worklist", "list", "--db", db, "--reader", "ann", "--status", "finished")
    assert "12 readings, 12 finished" in capsys.readouterr().out
    done("worklist", "report", "--db", db, "--json", "--resamples", 50)
    report = json.loads(capsys.readouterr().out)
    between = [row for row in report["agreement"] if row["first"] != row["second"] and row["predictions"] == "without"]
    (point,) = [row for row in between if row["of"] == "point"]
    assert point["mean_mm"]["value"] == pytest.approx((5 * 2 + 40) / 6)
    assert (point["largest_mm"], point["within"]["value"]) == (40.0, pytest.approx(5 / 6))
    (kappa,) = [row for row in between if row["of"] == "malignancy"]
    # ann calls 4 of 6 malignant and bob 5; equal are 30/36, by chance 4/6 5/6 + 2/6 1/6 = 22/36
    assert (kappa["equal"], kappa["kappa"]["value"]) == (pytest.approx(5 / 6), pytest.approx(8 / 14))
    assert [row["change"] for row in report["times"]] == [-30.0, -30.0]
    assert {row["case"] for row in report["disagreements"]} == {"P00-left", "P01-left"}
    done("worklist", "report", "--db", db)
    assert "4 disagreements, 4 to adjudicate" in capsys.readouterr().out

    done(
        "worklist",
        "adjudicate",
        "P01-left",
        "--db",
        db,
        "--by",
        "eve",
        "--point-lps-mm",
        1,
        2,
        3,
        "--answer",
        "malignancy=1",
    )
    done("worklist", "export", "--db", db, "--cohort", cohort, "--out", out)
    assert "1 not agreed on" in capsys.readouterr().out
    rows = {row.case_id: row for row in read_cohort(out)}
    assert rows["P01-left"].centre_lps_mm == (1.0, 2.0, 3.0)
    assert rows["P03-left"].centre_lps_mm == (0.0, 1.0, 1.0)
    assert (rows["P01-left"].labels["malignancy"], rows["P00-left"].labels["malignancy"]) == (1, 0)
    done("worklist", "export", "--db", db, "--cohort", cohort, "--out", out, "--agreed-only")
    assert len(read_cohort(out)) == 5
    done("audit", "verify", "--db", db)
    assert "28 entries, unbroken" in capsys.readouterr().out


def test_masks_that_were_found_poor_teach_nothing_and_flagged_cases_can_be_left_out(cohort, tmp_path, capsys):
    db, out = tmp_path / "w.db", tmp_path / "out.csv"
    done("worklist", "create", cohort, "--db", db)
    read_all(db, lambda case, reader: (1.0, 1.0, 1.0), quality="poor", flagged=True)
    done("worklist", "export", "--db", db, "--cohort", cohort, "--out", out)
    assert {row.label_map for row in read_cohort(out)} == {None}
    message = refused(capsys, "worklist", "export", "--db", db, "--cohort", cohort, "--out", out, "--leave-out-flagged")
    assert "No case is left" in message


def test_a_blinded_reader_sees_codes(cohort, tmp_path, capsys):
    db = tmp_path / "w.db"
    done("worklist", "create", cohort, "--db", db, "--reader", "ann", "--blinded")
    done("worklist", "list", "--db", db, "--reader", "ann")
    shown = capsys.readouterr().out
    assert "C0001" in shown
    assert "P00" not in shown


def test_a_conflict_is_listed_shown_and_resolved(cohort, tmp_path, capsys):
    db = tmp_path / "w.db"
    done("worklist", "create", cohort, "--db", db)
    with Database(str(db)) as database:
        for by in ("ann", "bob"):
            saving.save(database, Change(f"change-{by}", 1, 0, Reading(comment=f"of {by}"), by))
    capsys.readouterr()
    done("worklist", "list", "--db", db, "--conflicts")
    assert "1 versions wait for a choice" in capsys.readouterr().out
    done("worklist", "resolve", 1, "--db", db, "--by", "eve")
    shown = capsys.readouterr().out
    assert "of ann" in shown
    assert "of bob" in shown
    assert "Take one" in refused(capsys, "worklist", "resolve", 1, "--db", db, "--by", "eve", "--take", "x")
    done("worklist", "resolve", 1, "--db", db, "--by", "eve", "--take", "change-bob")
    with Database(str(db)) as database:
        assert assignments(database)[0].reading.comment == "of bob"
    capsys.readouterr()
    done("audit", "show", "--db", db)
    assert 'assignments/1/comment\t"of ann"\t"of bob"' in capsys.readouterr().out


def test_further_readers_are_assigned_and_mistakes_are_told(cohort, tmp_path, capsys):
    db = tmp_path / "w.db"
    done("worklist", "create", cohort, "--db", db, "--reader", "ann")
    done("worklist", "assign", "--db", db, "--reader", "bob", "--case", "P02-left")
    assert "1 new readings" in capsys.readouterr().out
    assert "not in this worklist" in refused(capsys, "worklist", "assign", "--db", db, "--case", "P77-left")
    assert "already" in refused(capsys, "worklist", "create", cohort, "--db", db)
    assert "seed" in refused(capsys, "worklist", "assign", "--db", db, "--seed", -1)
    assert "QUESTION=CLASS" in refused(
        capsys, "worklist", "adjudicate", "P02-left", "--db", db, "--by", "eve", "--answer", "malignancy"
    )
    assert "not one of this case's" in refused(
        capsys, "worklist", "adjudicate", "P02-left", "--db", db, "--by", "eve", "--take", 77
    )
    assert "it has ann, bob" in refused(capsys, "worklist", "list", "--db", db, "--reader", "eve")
    assert "no database" in refused(capsys, "worklist", "list", "--db", tmp_path / "other.db")


def test_changes_of_a_review_are_recorded(cohort, tmp_path, capsys):
    db, path = tmp_path / "w.db", tmp_path / "review.json"
    done("worklist", "create", cohort, "--db", db)
    write_review(full_review(), path)
    done("audit", "record", path, "--db", db, "--case", "P01-left", "--by", "ann")
    done("audit", "verify", "--db", db)
    assert "unbroken" in capsys.readouterr().out
    assert "cannot be read" in refused(capsys, "audit", "record", Path("nowhere"), "--db", db, "--case", "P01-left")


def test_a_report_is_checked_against_its_review(tmp_path, capsys):
    review = full_review()
    path = tmp_path / "review.json"
    write_review(review, path)
    side = review.primary.side
    other = {"left": "right", "right": "left"}[side]
    (tmp_path / "report.txt").write_text(
        f"Findings: A 9 cm mass of the {other} kidney. Its margins are clear.", "utf-8"
    )
    done("report", "check", path, "--text", tmp_path / "report.txt")
    shown = capsys.readouterr().out
    assert f"says {other}, segmented" in shown
    assert "2 sentences, 1 contradicted, 1 unsupported" in shown
    assert isinstance(review.primary.report, ReportDraft)
    done("report", "check", path, "--json")
    assert {row["author"] for row in json.loads(capsys.readouterr().out)} <= {
        "draft",
        *(edit.by for edit in review.edits),
    }


def test_a_review_without_lesions_has_no_report_to_check(tmp_path, capsys):
    write_review(empty_review(), tmp_path / "review.json")
    assert "no lesion" in refused(capsys, "report", "check", tmp_path)
    assert "cannot be read" in refused(capsys, "report", "check", tmp_path / "nowhere.json")
