"""The course of a case without Qt and without a scene: order of requests, refusals, cancels, crashes, second clicks."""

import json
from dataclasses import replace

import pytest
from RenalCLIPSlicerLib.CaseLogic import CaseLogic
from RenalCLIPSlicerLib.CaseState import CaseState, StateFormatError, stateFromJson
from RenalCLIPSlicerLib.WorkerPlan import Level
from RenalCLIPSlicerLib.WorkerProtocol import CANCELLED, ENDED, WorkerError

from RenalCLIPCore.review import Absent, CaseReview, decode, encode
from Testing.Slicer.fake_worker import MASKS, STUDY, FakeFiles, FakeWorker, centre, lesionAt, review


@pytest.fixture
def study(tmp_path):
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "study.json").write_text("{}")
    return str(tmp_path / "study")


@pytest.fixture
def worker(study):
    return FakeWorker({"study.open": {**STUDY, "folder": study}})


@pytest.fixture
def case(worker, tmp_path):
    return CaseLogic(worker, FakeFiles(tmp_path))


@pytest.fixture
def read(case, study):
    """A case that is read."""
    case.openFolder(study)
    case.segment()
    assert case.state.lesion == "L1"
    return case


def test_the_whole_course_asks_the_worker_in_order(read, worker):
    assert worker.methods() == ["initialize", "bundle.load", "study.open", "segment", "review"]
    assert not read.busy
    assert read.plan.level is Level.READING


def test_a_folder_without_a_study_file_is_imported(case, worker, tmp_path):
    (tmp_path / "dicom").mkdir()
    case.openFolder(str(tmp_path / "dicom"))
    assert worker.sent[-1].method == "study.import"
    assert worker.sent[-1].params["sources"] == [str(tmp_path / "dicom")]


def test_a_path_that_does_not_exist_is_refused_before_anything_starts(case, worker):
    assert not case.openFolder("/nowhere/at/all")
    assert case.message[0] == "error"
    assert worker.starts == 0


def test_an_old_core_is_named_with_what_it_lacks_and_can_be_tried_again(case, worker, study):
    good = worker.automatic["initialize"]
    worker.automatic["initialize"] = {"protocol": 1, "core": "0.0.3", "methods": ["study.open"]}
    case.openFolder(study)
    assert "0.0.3" in case.message[1]
    assert "python -m pip install" in case.message[1]
    assert not case.busy
    assert not worker.running, "the old one would answer again"
    worker.automatic["initialize"] = good
    case.openFolder(study)
    assert case.state.study


def test_without_a_python_the_message_says_so_and_nothing_stays_busy(case, worker, study):
    worker.problem = "No Python with RenalCLIP is chosen."
    assert not case.openFolder(study)
    assert case.message == ("error", "No Python with RenalCLIP is chosen.")
    assert not case.busy


def test_a_second_click_while_work_runs_is_refused_and_the_work_goes_on(case, worker, study):
    case.openFolder(study)
    del worker.automatic["segment"]
    assert case.segment()
    assert not case.segment()
    assert not case.openFolder(study)
    assert worker.methods().count("segment") == 1
    worker.answer("segment", MASKS)
    assert case.state.review


def test_a_cancel_leaves_the_case_as_it_was(read, worker):
    before = read.state.toJson()
    del worker.automatic["segment"]
    read.segment()
    read.cancel()
    read.cancel()
    assert worker.cancelled == [worker.open("segment").number]
    worker.fail("segment", WorkerError(CANCELLED, "The request was cancelled."))
    assert not read.busy
    assert read.state.toJson() == before


def test_a_failure_shows_the_cores_words_and_leaves_the_case_as_it_was(read, worker):
    before = read.state.toJson()
    worker.automatic["segment"] = WorkerError(-32000, "No kidney was found.", "no_kidney")
    read.segment()
    assert read.message == ("error", "No kidney was found.")
    assert read.state.toJson() == before


def test_progress_is_shown_with_the_time_left(case, worker, study):
    case.openFolder(study)
    del worker.automatic["segment"]
    case.segment()
    seconds = iter([10.0, 10.0])
    case.task.clock, case.task.stepStarted = lambda: next(seconds, 10.0), 0.0
    worker.open("segment").progress(0.25, "finding the kidneys")
    assert case.task.line() == "Segmenting: finding the kidneys, 25 %, about 30 s left"


def test_only_the_newest_of_several_moves_is_read(read, worker):
    for shift in (1, 2, 3, 4):
        read.centres.nudge(1.0, 0.0, 0.0)
        assert read.centres.stale("L1"), shift
    assert worker.methods().count("review.update") == 1
    worker.answer("review.update", lesionAt("L1", -60))
    assert read.busy
    assert worker.open("review.update").params["centre_lps_mm"][0] == -57
    worker.answer("review.update", lesionAt("L1", -57))
    assert not read.busy
    assert not read.centres.stale("L1")


def test_a_refused_centre_goes_back_to_the_one_before(read, worker):
    read.centres.move((900.0, 0.0, 0.0))
    worker.fail("review.update", WorkerError(-32000, "The centre lies outside the scan.", "centre"))
    assert read.centres.history.current.lps_mm[0] == -61
    assert not read.centres.stale("L1")
    assert "outside the scan" in read.message[1]
    assert not read.busy


def test_undo_and_redo_read_again(read, worker):
    read.centres.move((-50.0, 20.0, -30.0), "seen better")
    update = worker.answer("review.update", lesionAt("L1", -50))
    assert update.params["why"] == "seen better"
    read.centres.undo()
    assert worker.answer("review.update", lesionAt("L1", -61)).params["centre_lps_mm"][0] == -61
    read.centres.undo()
    assert not worker.waiting
    read.centres.redo()
    assert worker.answer("review.update", lesionAt("L1", -50)).params["centre_lps_mm"][0] == -50
    assert not read.centres.stale("L1")


def test_a_point_can_be_placed_where_no_lesion_was_found(case, worker, study):
    case.openFolder(study)
    worker.automatic["review"] = encode(replace(review(), lesions=()))
    case.segment()
    assert case.state.review.lesions == ()
    worker.automatic["review"] = encode(review(1))
    case.centres.move((1.0, 2.0, 3.0))
    assert worker.sent[-1].method == "review"
    assert worker.sent[-1].params["centre_lps_mm"] == [1.0, 2.0, 3.0]
    assert case.state.lesion == "L1"


def test_a_dead_worker_is_said_and_the_next_step_brings_a_new_one_up_to_the_case(read, worker):
    read.centres.move((-50.0, 20.0, -30.0))
    worker.answer("review.update", lesionAt("L1", -50))
    worker.die()
    assert read.message[0] == "error"
    assert not read.busy
    worker.sent.clear()
    worker.automatic["review.update"] = lesionAt("L1", -50)
    worker.automatic["review.save"] = {"files": ["/out/review.json"]}
    read.save("/out")
    assert worker.methods() == [
        "initialize",
        "bundle.load",
        "study.open",
        "segment",
        "review",
        "review.update",
        *("explain", "uncertainty", "measure") * 2,
        "review.save",
    ]
    assert worker.sent[6].params == {"lesion_id": "L1"}, "what is saved holds what is shown"
    assert worker.sent[3].params == {"file": "/elsewhere/masks.nrrd"}
    assert read.savedFiles == ["/out/review.json"]


def test_masks_of_the_model_come_back_to_a_new_worker_as_the_models(read, worker):
    origin = {"model": "toy", "sha256": "a" * 64, "labels_sha256": "b" * 64, "notes": []}
    worker.automatic["segment"] = {**MASKS, "origin": origin}
    read.segment()
    state, _ = stateFromJson(read.state.toJson())
    assert state.masks.origin == origin
    worker.die()
    worker.sent.clear()
    worker.automatic["review.save"] = {"files": []}
    read.save("/out")
    assert worker.sent[3].params == {"file": "/elsewhere/masks.nrrd", "origin": origin}
    worker.automatic["segment"] = MASKS
    read.useMasks()
    assert read.state.masks.origin == {}


def test_new_masks_that_were_not_read_leave_the_case_as_it_was(read, worker):
    read.notes.editReport("impression", "Mine.")
    before = read.state.toJson()
    worker.automatic["segment"] = {**MASKS, "model": "another"}
    del worker.automatic["review"]
    read.segment()
    read.cancel()
    worker.fail("review", WorkerError(CANCELLED, "The request was cancelled."))
    assert read.state.toJson() == before
    assert read.message[1] == "Segmenting was cancelled; nothing was changed."
    worker.automatic["review"] = encode(review())
    worker.automatic["review.save"] = {"files": []}
    worker.sent.clear()
    read.save("/out")
    assert worker.methods()[:2] == ["segment", "review"], "the worker gets the case's own masks again"
    assert worker.methods()[-1] == "review.save"
    assert worker.sent[0].params == {"file": "/elsewhere/masks.nrrd"}


def test_what_a_reader_noted_outlives_new_masks_of_the_same_lesion(read, worker):
    read.notes.editReport("impression", "Mine.")
    read.notes.decide("malignancy", "accepted", "agreed")
    read.segment()
    assert read.state.report("L1")[1] == "Mine."
    assert read.state.verdicts["L1 malignancy"].verdict == "accepted"
    other = replace(review().lesions[0], centre_proposed=centre(90), centre_used=centre(90))
    worker.automatic["review"] = encode(replace(review(), lesions=(other,)))
    read.segment()
    assert read.state.reports == {}
    assert read.state.verdicts == {}
    assert read.message == ("warning", "L1: another lesion now, so what was noted on it was dropped.")


def test_a_sign_off_that_a_new_reading_withdraws_is_said(read, worker):
    read.notes.decide("malignancy", "accepted")
    read.state.verdicts["L1 malignancy"].value = "99 %"
    read.read()
    assert read.message == ("warning", "L1 malignancy changed, so the sign-off was withdrawn.")


def test_a_worker_that_dies_while_a_centre_is_read_leaves_the_centre_and_offers_to_refresh(read, worker):
    read.centres.move((-50.0, 20.0, -30.0))
    worker.die()
    assert read.centres.stale("L1")
    assert read.centres.history.current.lps_mm[0] == -50
    assert not read.busy
    worker.automatic["review.update"] = lesionAt("L1", -50)
    read.centres.refresh()
    assert not read.centres.stale("L1")


def test_a_study_folder_that_is_gone_is_made_again_from_the_scene(read, worker, study, tmp_path):
    (tmp_path / "study" / "study.json").unlink()
    worker.die()
    worker.sent.clear()
    worker.automatic["review.save"] = {"files": []}
    read.save("/out")
    assert worker.sent[2].method == "study.import"
    assert worker.sent[2].params["phases"] == ["A=/files/A.nrrd", "V=/files/V.nrrd"]


def test_later_parts_are_taken_and_those_of_an_older_reading_dropped(read, worker):
    del worker.automatic["review"]
    read.read()
    number = worker.answer("review", encode(review())).number
    part = {"absent": "the map is empty"}
    worker.notified("review.explanation", {"id": 99, "lesion_id": "L1", "folder": "/maps", "explanation": part})
    assert read.state.mapsFolder == ""
    worker.notified("review.explanation", {"id": number, "lesion_id": "L1", "folder": "/maps", "explanation": part})
    assert read.state.mapsFolder == "/maps"
    assert read.state.lesionReview().predicted.explanation == Absent("the map is empty")
    worker.notified("review.unknown", {"id": number, "lesion_id": "L1"})


def bare(number=1):
    """A lesion whose later parts have not come."""
    lesion = review().lesions[number - 1]
    gone = Absent("not yet")
    return replace(lesion, measured=gone, predicted=replace(lesion.predicted, explanation=gone, uncertainty=gone))


def test_what_is_still_to_come_is_known_until_it_came_or_failed(read, worker):
    del worker.automatic["review"]
    read.read()
    number = worker.answer("review", encode(replace(review(), lesions=(bare(),)))).number
    assert all(read.later.coming("L1", part) for part in ("explanation", "uncertainty", "measured"))
    worker.notified("review.uncertainty", {"id": number, "lesion_id": "L1", "uncertainty": {"absent": "one phase"}})
    worker.notified("review.measured", {"id": number, "lesion_id": "L1", "error": {"code": -32603, "message": "x"}})
    assert read.later.coming("L1", "explanation")
    assert not read.later.coming("L1", "measured")
    worker.automatic["review.save"] = {"files": ["/out/review.json"]}
    read.save("/out")
    assert "What still comes is not in it" in read.message[1]
    worker.die()
    assert not read.later.underWay


def test_a_refused_centre_brings_back_what_it_stopped(read, worker):
    del worker.automatic["review"]
    read.read()
    worker.answer("review", encode(replace(review(), lesions=(bare(),))))
    for method in ("explain", "uncertainty", "measure"):
        del worker.automatic[method]
    read.centres.move((900.0, 0.0, 0.0))
    worker.fail("review.update", WorkerError(-32000, "The centre lies outside the scan.", "centre"))
    assert [item.method for item in worker.waiting.values()] == ["explain", "uncertainty", "measure"]
    worker.answer("measure", {"lesion_id": "L1", "measured": {"absent": "no kidney beside it"}})
    assert read.state.lesionReview().measured == Absent("no kidney beside it")
    worker.fail("explain", WorkerError(-32603, "Internal error."))
    assert not read.later.coming("L1", "explanation")
    assert read.later.coming("L1", "uncertainty")


def test_the_lesion_that_is_chosen_gets_the_parts_that_only_the_first_had(read, worker):
    del worker.automatic["review"]
    read.read()
    worker.answer("review", encode(replace(review(), lesions=(review().lesions[0], bare(2)))))
    for method in ("explain", "uncertainty", "measure"):
        del worker.automatic[method]
    read.selectLesion("L2")
    assert [item.params for item in worker.waiting.values()] == [{"lesion_id": "L2"}] * 3
    read.selectLesion("L1")
    read.selectLesion("L2")
    assert len(worker.waiting) == 3, "asked once"


def test_a_part_that_comes_late_is_not_given_to_another_case(read, worker):
    del worker.automatic["review"]
    read.read()
    worker.answer("review", encode(replace(review(), lesions=(review().lesions[0], bare(2)))))
    for method in ("explain", "uncertainty", "measure"):
        del worker.automatic[method]
    read.selectLesion("L2")
    other = CaseState(review=replace(review(), lesions=(bare(1), bare(2))), lesion="L2")
    read.adopt(other)
    worker.answer("measure", {"lesion_id": "L2", "measured": {"absent": "of the case before"}})
    assert other.lesionReview("L2").measured == Absent("not yet")
    assert not read.later.underWay


def test_an_edited_section_survives_a_new_draft_and_a_moved_centre(read, worker):
    read.notes.editReport("impression", "Oncocytoma is likely.")
    worker.automatic["report.draft"] = {"findings": "New.", "impression": "1. New.", "source": "structured"}
    read.notes.regenerate()
    assert read.state.report("L1") == ("New.", "Oncocytoma is likely.")
    assert read.notes.draftChanged("L1")
    edits = read.state.edits()
    assert [(item["pointer"], json.loads(item["after"])) for item in edits] == [
        ("/lesions/0/report/impression", "Oncocytoma is likely.")
    ]
    read.notes.discardEdits()
    assert read.state.report("L1") == ("New.", "1. New.")
    assert read.state.edits() == []


def test_typing_the_drafts_own_words_ends_an_edit(read):
    draft = read.state.report("L1")[0]
    read.notes.editReport("findings", "x")
    read.notes.editReport("findings", draft)
    assert read.state.edits() == []


def test_a_verdict_is_kept_until_its_finding_reads_differently(read, worker):
    read.reader = "Dr A"
    read.notes.decide("centre", "accepted", "well placed")
    read.notes.decide("malignancy", "rejected")
    read.notes.decide("no such finding", "accepted")
    assert {item["finding"]: item["by"] for item in read.state.signOff()} == {
        "L1 centre": "Dr A",
        "L1 malignancy": "Dr A",
    }
    read.centres.move((-50.0, 20.0, -30.0))
    worker.answer("review.update", lesionAt("L1", -50))
    assert [item["finding"] for item in read.state.signOff()] == ["L1 malignancy"]
    assert read.state.verdicts["L1 centre"].comment == "well placed"
    assert "withdrawn" in read.message[1]


def test_verdicts_and_edits_go_into_the_saved_review(read, worker):
    worker.automatic["review.save"] = {"files": ["/out/review.json"]}
    read.notes.decide("malignancy", "accepted", "agreed")
    read.notes.editReport("findings", "Mine.")
    read.save("/out")
    sent = worker.sent[-1].params
    assert sent["sign_off"][0]["finding"] == "L1 malignancy"
    assert json.loads(sent["edits"][0]["after"]) == "Mine."


def test_lesions_are_stepped_through_around_the_end(read):
    read.stepLesion(1)
    assert read.state.lesion == "L2"
    read.stepLesion(1)
    assert read.state.lesion == "L1"
    read.stepLesion(-1)
    assert read.state.lesion == "L2"


def test_a_case_comes_back_from_its_record_as_it_was(read, worker):
    read.centres.move((-50.0, 20.0, -30.0), "why")
    worker.answer("review.update", lesionAt("L1", -50))
    read.notes.editReport("impression", "Mine.")
    read.notes.decide("malignancy", "accepted", "agreed")
    text = read.state.toJson()
    state, note = stateFromJson(text)
    assert note == ""
    assert state.toJson() == text
    assert state.centres["L1"].canUndo


@pytest.mark.parametrize(
    "change", [{"version": 0}, {"version": 9}, {"review": {"schema_version": "0.1"}}, {"centres": 5}]
)
def test_a_record_of_another_version_keeps_study_and_masks(read, change):
    data = {**json.loads(read.state.toJson()), **change}
    state, note = stateFromJson(json.dumps(data))
    assert state.review is None
    assert state.study == read.state.study
    assert state.masks == read.state.masks
    assert "another version" in note


@pytest.mark.parametrize("text", ["", "[]", "nonsense", '{"source": 5}'])
def test_a_record_that_cannot_be_read_is_said(text):
    with pytest.raises(StateFormatError, match="read the case anew"):
        stateFromJson(text)


def test_another_case_drops_what_runs_and_its_late_answers(read, worker):
    del worker.automatic["segment"]
    read.segment()
    late = worker.open("segment")
    read.adopt(CaseState())
    late.done(MASKS)
    assert not read.busy
    assert not read.state.masks.kind
    assert read.state.review is None


def test_a_given_segmentation_is_refused_with_what_it_lacks(read, worker):
    read.files.masks = ""
    assert not read.useMasks()
    assert "kidney" in read.message[1]
    assert not read.busy


def test_a_review_as_stored_is_the_cores_own_format(read):
    stored = json.loads(read.state.toJson())["review"]
    assert decode(CaseReview, stored) == read.state.review


def test_a_request_that_fails_at_once_because_the_worker_is_gone_ends_the_work(case, worker, study):
    worker.automatic["initialize"] = WorkerError(ENDED, "The calculation process is not running.")
    case.openFolder(study)
    assert not case.busy
    assert case.message[0] == "error"


def test_an_undone_centre_is_not_accepted(read, worker):
    read.centres.move((-50.0, 20.0, -30.0))
    worker.answer("review.update", lesionAt("L1", -50))
    read.centres.accept()
    read.centres.undo()
    assert not read.centres.history.accepted


def test_what_was_noted_on_one_kidney_is_not_kept_for_the_other(read, worker):
    read.notes.decide("malignancy", "accepted")
    first = review().lesions[0]
    other = replace(first, side="left" if first.side == "right" else "right")
    worker.automatic["review"] = encode(replace(review(), lesions=(other,)))
    read.segment()
    assert read.state.verdicts == {}


def test_a_moved_lesions_parts_are_computed_anew_before_it_is_saved(read, worker):
    worker.automatic["review.save"] = {"files": ["/out/review.json"]}
    read.save("/out")
    read.centres.move((-50.0, 20.0, -30.0))
    worker.answer("review.update", lesionAt("L1", -50))
    before = len(worker.sent)
    read.save("/out")
    asked = [item.method for item in worker.sent[before:] if item.params.get("lesion_id") == "L1"]
    assert asked == ["explain", "uncertainty", "measure"]


def test_a_cancel_that_comes_too_late_for_one_step_stops_before_the_next(case, worker, study):
    del worker.automatic["bundle.load"]
    case.openFolder(study)
    case.cancel()
    worker.answer("bundle.load", {"name": "toy", "version": "1", "intended_use": "Research only."})
    assert "study.open" not in worker.methods()
    assert not case.busy
    assert "cancelled" in case.message[1]
