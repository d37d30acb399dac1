"""The worker's methods for readers: a worklist walked and saved, its log, and reports checked as they are written."""

import json
from dataclasses import replace

import jsonschema
import pytest

from RenalCLIPCore.errors import WorklistError
from RenalCLIPCore.inference.report_facts import check_review
from RenalCLIPCore.reading import audit
from RenalCLIPCore.reading.database import Database
from RenalCLIPCore.report_remarks import report_remarks
from RenalCLIPCore.review import Edit, ReportDraft, SignOff
from RenalCLIPCore.session import SessionOptions
from RenalCLIPCore.worker import InvalidParams
from RenalCLIPCore.worker_methods import SessionMethods, worker_schema
from Testing.Core.exchange.reviews import full_review
from Testing.Core.reading.worklists import make


class Host:
    """The methods without the process between; answers are held to the schema."""

    def __init__(self, work):
        self.methods = SessionMethods(SessionOptions(), work)

    def call(self, method, **params):
        answer = json.loads(json.dumps(self.methods.call(method, params, lambda fraction, words: None).result))
        schema = worker_schema()
        jsonschema.validate(answer, {**schema["methods"][method]["result"], "$defs": schema["$defs"]})
        return answer


@pytest.fixture
def host(tmp_path):
    host = Host(tmp_path / "work")
    yield host
    host.call("worklist.close")


@pytest.fixture
def db(tmp_path):
    for number in range(3):
        (tmp_path / f"p{number:02d}.nii.gz").touch()
    make(str(tmp_path / "w.db"), 3, ("ann", "bob"), folder=tmp_path, blinded=True).close()
    return str(tmp_path / "w.db")


def test_a_reader_walks_the_worklist_and_every_change_is_saved(host, db, tmp_path):
    opened = host.call("worklist.open", db=db, reader="ann")
    assert opened["blinded"]
    assert [row["name"] for row in opened["cases"]] != ["P00-left", "P01-left", "P02-left"]
    first = host.call("worklist.step")["case"]
    assert first["files"]["V"].startswith(str(tmp_path))
    change = {"number": first["number"], "change_id": "one", "base_version": 0}
    saved = host.call("worklist.save", **change, reading={"point_lps_mm": [1, 2, 3], "finished": True}, seconds=9)
    assert (saved["version"], saved["conflict"]) == (1, None)
    second = host.call("worklist.step", after=first["number"])["case"]
    assert second["number"] != first["number"]
    again = host.call("worklist.step", after=second["number"], step=-1)["case"]
    assert (again["reading"]["point_lps_mm"], again["seconds"]) == ([1.0, 2.0, 3.0], 9.0)
    assert len(host.call("worklist.step", filter={"status": "finished"})["cases"]) == 1


def test_a_late_change_is_answered_as_a_conflict_and_can_be_chosen(host, db):
    host.call("worklist.open", db=db, reader="ann")
    number = host.call("worklist.step")["case"]["number"]
    host.call("worklist.save", number=number, change_id="one", base_version=0, reading={"comment": "first"})
    late = host.call("worklist.save", number=number, change_id="two", base_version=0, reading={"comment": "late"})
    assert (late["reading"]["comment"], late["conflict"]["reading"]["comment"]) == ("first", "late")
    assert len(host.call("worklist.step", number=number)["case"]["waiting"]) == 1
    chosen = host.call(
        "worklist.resolve", number=number, change_id="three", base_version=1, reading={"comment": "late"}
    )
    assert chosen["version"] == 2
    assert host.call("worklist.step", number=number)["case"]["waiting"] == []


def test_without_an_open_worklist_and_with_wrong_parameters_the_answer_is_an_error(host, db):
    with pytest.raises(WorklistError, match="open one first"):
        host.call("worklist.step")
    with pytest.raises(InvalidParams):
        host.call("worklist.open", db=db)
    host.call("worklist.open", db=db, reader="ann")
    with pytest.raises(WorklistError, match="another reader's"):
        host.call("worklist.save", number=6, change_id="x", base_version=0, reading={})


def test_moves_masks_edits_and_verdicts_of_an_open_case_go_into_the_log_once(host, db):
    host.call("worklist.open", db=db, reader="ann")
    host.call("worklist.step")
    review = full_review()
    lesion = review.primary
    malignancy = replace(lesion.predicted.malignancy, probability=0.5)
    host.methods._reading.note_move(lesion, replace(lesion, predicted=replace(lesion.predicted, malignancy=malignancy)))
    edited = replace(
        review,
        edits=(Edit("/lesions/0/report/findings", '"a"', '"b"', "bob", "2026-03-01T12:00:00+00:00", ""),),
        sign_off=(SignOff("malignancy", "rejected", "", "bob", "2026-03-01T12:00:00+00:00"),),
    )
    for _ in range(2):
        host.methods._reading.note_review(edited)
    with Database(db) as database:
        logged = [(item.entry.action, item.entry.by) for item in audit.entries(database) if item.entry.case]
    assert logged == [("prediction", "ann"), ("report", "bob"), ("verdict", "bob")]


def edited_review():
    """A review whose reader wrote one sentence of the findings that contradicts the measured size, and kept another."""
    review = full_review()
    lesion = replace(review.primary, report=ReportDraft("Kept sentence. A 9 cm mass.", "", "bob, from a draft"))
    edit = Edit(
        "/lesions/0/report/findings", json.dumps("Kept sentence. A mass."), json.dumps("Kept sentence. A 9 cm mass."),
        "bob", "2026-03-01T12:00:00+00:00", "",
    )  # fmt: skip
    return replace(review, lesions=(lesion, *review.lesions[1:]), edits=(edit,))


def test_each_sentence_keeps_its_author():
    found = [(one.check.text, one.author, one.check.verdict) for one in check_review(edited_review())]
    assert found == [("Kept sentence.", "draft", "unsupported"), ("A 9 cm mass.", "bob", "contradicted")]


def test_the_page_shows_a_contradiction_with_the_fact_and_the_author_beside_it():
    from RenalCLIPCore.exchange.html import render_html

    review = edited_review()
    page = render_html(review, {}, report_remarks(review))
    assert "contradicted" in page
    assert "says 90 mm, measured" in page
    assert "(bob)" in page
    assert "Checked against this page" not in render_html(review, {})
