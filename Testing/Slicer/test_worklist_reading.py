"""A reader's way through a worklist without Qt: autosave, lost answers, conflicts, a worker that is started anew."""

import json
from dataclasses import replace

import pytest
from RenalCLIPSlicerLib.Autosave import EMPTY
from RenalCLIPSlicerLib.CaseLogic import CaseLogic
from RenalCLIPSlicerLib.WorkerProtocol import ENDED, WorkerError
from RenalCLIPSlicerLib.WorklistReading import WorklistReading
from RenalCLIPSlicerLib.WorklistWords import remarks, savedWords, versionRows, versionTitles, withheldWords

from RenalCLIPCore.review import encode
from Testing.Slicer.fake_worker import MASKS, FakeFiles, FakeWorker, absent, centre, review

LOCKED = WorkerError(-32000, "The worklist's database is locked by another program; try again.", "worklist")


def row(number, status="open", **more):
    given = {"number": number, "name": f"C{number:04d}", "reader": "ann", "with_ai": False, "session": 1}
    state = {"position": number, "status": status, "seconds": 0.0, "opens": "", "conflicts": 0, "quality": ""}
    return {**given, **state, "flagged": False, **more}


def listing(*numbers):
    rows = [row(number) for number in numbers]
    return {"cases": rows, "total": len(rows), "finished": 0}


def case_answer(number, reading=None, waiting=(), withheld=("predictions",), version=0, label_map="/wl/masks.nrrd"):
    opened = {
        **row(number),
        "files": {"A": f"/wl/{number}-A.nrrd", "V": f"/wl/{number}-V.nrrd"},
        "label_map": label_map,
        "centre_lps_mm": None,
        "reading": {**EMPTY, **(reading or {})},
        "version": version,
        "by": "bob" if version else "",
        "waiting": list(waiting),
        "withheld": list(withheld),
    }
    return {"case": opened, **listing(1, 2, 3)}


def saved(version, reading, conflict=None, by="ann"):
    return {"version": version, "reading": reading, "by": by, "conflict": conflict}


class Memory:
    def __init__(self):
        self.text = ""

    def read(self):
        return self.text

    def write(self, text):
        self.text = text


@pytest.fixture
def worker():
    opened = {"worklist": "w1", "blinded": True, "questions": {"renal_r": ["a", "b"]}, **listing(1, 2, 3)}
    answers = {
        "worklist.open": opened, "worklist.step": case_answer(1), "worklist.list": listing(1, 2, 3),
        "worklist.time": {}, "worklist.close": {}, "segment": MASKS,
    }  # fmt: skip
    return FakeWorker(answers)


@pytest.fixture
def memory():
    return Memory()


@pytest.fixture
def work(worker, memory, tmp_path):
    case = CaseLogic(worker, FakeFiles(tmp_path))
    made = WorklistReading(case, lambda worklist, reader: memory)
    assert made.connect("/wl/w.db", "ann")
    return made


@pytest.fixture
def opened(work):
    assert work.step(1)
    assert work.current["number"] == 1
    assert not work.loading
    return work


def sent(worker, method):
    return [item.params for item in worker.sent if item.method == method]


def test_a_case_is_opened_with_its_volumes_masks_and_lesions(opened, worker):
    assert worker.methods() == [
        "initialize", "worklist.open", "worklist.step", "bundle.load", "study.import", "segment", "review",
    ]  # fmt: skip
    assert sent(worker, "study.import")[0]["sources"] == ["/wl/1-A.nrrd", "/wl/1-V.nrrd"]
    assert sent(worker, "segment")[0]["file"] == "/wl/masks.nrrd"
    assert opened.withheld == ["predictions"]
    assert opened._case.state.lesion == "L1"
    assert sent(worker, "worklist.save") == [], "looking at a case changes nothing"


def test_every_change_is_sent_at_once_and_those_made_meanwhile_follow_in_one(opened, worker, memory):
    opened.change(quality="poor")
    opened.change(comment="small")
    opened.change(comment="too small", flagged=True)
    first = sent(worker, "worklist.save")
    assert [item["reading"]["quality"] for item in first] == ["poor"]
    assert json.loads(memory.text)[0]["reading"]["comment"] == "too small", "kept until it has arrived"
    worker.answer("worklist.save", saved(1, first[0]["reading"]))
    second = sent(worker, "worklist.save")[1]
    assert (second["base_version"], second["reading"]["comment"], second["reading"]["flagged"]) == (
        1,
        "too small",
        True,
    )
    assert second["change_id"] != first[0]["change_id"]
    worker.answer("worklist.save", saved(2, second["reading"]))
    assert opened.draft.clean
    assert memory.text == ""
    opened.change(quality="poor")
    assert len(sent(worker, "worklist.save")) == 2, "nothing new, nothing sent"


def test_a_locked_database_keeps_the_change_here_and_saves_it_later(opened, worker, memory):
    opened.change(quality="poor")
    worker.fail("worklist.save", LOCKED)
    assert "locked" in opened.saving.problem
    assert "not saved yet" in savedWords(opened.saving.problem, len(opened.saving.unsaved), False)
    assert "poor" in memory.text
    opened.change(flagged=True)
    worker.fail("worklist.save", LOCKED)
    opened.retry()
    last = sent(worker, "worklist.save")[-1]
    assert (last["base_version"], last["reading"]["quality"], last["reading"]["flagged"]) == (0, "poor", True)
    worker.answer("worklist.save", saved(1, last["reading"]))
    assert opened.saving.problem == ""
    assert opened.saving.unsaved == []


def test_unsaved_changes_of_a_case_that_was_left_are_tried_again_too(opened, worker, memory):
    opened.change(quality="poor")
    worker.fail("worklist.save", LOCKED)
    worker.automatic["worklist.save"] = LOCKED
    worker.automatic["worklist.step"] = case_answer(2)
    assert opened.step(1)
    assert opened.draft.number == 2
    assert [draft.number for draft in opened.saving.unsaved] == [1]
    del worker.automatic["worklist.save"]
    opened.retry()
    last = sent(worker, "worklist.save")[-1]
    worker.answer("worklist.save", saved(1, last["reading"]))
    assert last["number"] == 1
    assert list(opened.saving.drafts) == [2]
    assert memory.text == ""


def test_what_could_not_be_saved_is_taken_up_by_the_next_run(opened, worker, memory, tmp_path):
    opened.change(quality="poor", comment="für später")
    first = sent(worker, "worklist.save")[-1]
    again = FakeWorker({**worker.automatic})
    other = WorklistReading(CaseLogic(again, FakeFiles(tmp_path)), lambda worklist, reader: memory)
    other.connect("/wl/w.db", "ann")
    assert sent(again, "worklist.save") == [first], "the same change, which has no effect where it had arrived"
    again.answer("worklist.save", saved(1, first["reading"]))
    assert memory.text == ""


@pytest.mark.parametrize("text", ["", "no json", "[1]", '[{"number": 1}]', "{}", "null"])
def test_a_memory_of_another_form_holds_nothing(worker, memory, tmp_path, text):
    memory.text = text
    made = WorklistReading(CaseLogic(worker, FakeFiles(tmp_path)), lambda worklist, reader: memory)
    assert made.connect("/wl/w.db", "ann")
    assert made.saving.drafts == {}


def test_a_lost_worker_is_told_of_the_worklist_before_anything_of_the_case(opened, worker):
    opened.change(quality="poor")
    change = sent(worker, "worklist.save")[-1]
    worker.die()
    count = len(worker.sent)
    assert opened.draft.lost["change_id"] == change["change_id"]
    assert opened._case.read()
    assert worker.methods()[count:] == [
        "initialize", "worklist.open", "worklist.step", "bundle.load", "study.import", "segment", "review",
    ]  # fmt: skip
    assert sent(worker, "study.import")[-1]["sources"] == ["/wl/1-A.nrrd", "/wl/1-V.nrrd"]
    opened.retry()
    assert sent(worker, "worklist.save")[-1] == change


def test_a_retry_starts_a_lost_worker_again(opened, worker):
    opened.change(quality="poor")
    worker.die()
    opened.retry()
    assert worker.starts == 2
    assert worker.methods()[-1] == "worklist.save"


def test_a_conflict_shows_both_versions_and_waits_for_a_choice(opened, worker):
    opened.change(quality="poor", comment="mine")
    theirs = {**EMPTY, "quality": "accurate", "comment": "theirs"}
    change = sent(worker, "worklist.save")[-1]
    kept = {"change_id": change["change_id"], "base_version": 0, "reading": change["reading"], "by": "ann", "at": ""}
    worker.answer("worklist.save", saved(1, theirs, kept, by="bob"))
    versions = opened.versions()
    assert versionTitles(versions) == ["bob (stands)", "yours"]
    assert versionRows(versions, {}) == [["Segmentation", "accurate", "poor"], ["Comment", "theirs", "mine"]]
    opened.change(flagged=True)
    opened.retry()
    assert len(sent(worker, "worklist.save")) == 1, "nothing is sent over a conflict"
    opened.choose(versions[1]["reading"])
    choice = sent(worker, "worklist.resolve")[-1]
    assert (choice["base_version"], choice["reading"]["comment"]) == (1, "mine")
    worker.answer("worklist.resolve", saved(2, choice["reading"]))
    assert opened.versions() == []
    assert opened.draft.clean
    assert opened.draft.version == 2


def test_a_conflict_that_waits_in_the_database_is_shown_when_the_case_is_opened(work, worker):
    waiting = {"change_id": "x", "base_version": 0, "by": "eve", "at": "2026-03-01T12:00:00+00:00"}
    late = {**waiting, "reading": {**EMPTY, "comment": "late"}}
    worker.automatic["worklist.step"] = case_answer(1, {"comment": "first"}, [late], version=1)
    work.step(1)
    titles = versionTitles(work.versions())
    assert titles == ["bob (stands)", "eve, 2026-03-01 12:00 UTC"]
    work.choose(work.versions()[0]["reading"])
    assert sent(worker, "worklist.resolve")[-1]["reading"]["comment"] == "first"


def test_the_centre_is_the_readings_once_moved_or_confirmed(opened, worker):
    case = opened._case
    case.centres.accept()
    assert opened.draft.reading["point_lps_mm"] == [-61.0, 20.0, -30.0]
    worker.answer("worklist.save", saved(1, opened.draft.reading))
    case.centres.nudge(3.0, 0.0, 0.0)
    assert opened.draft.reading["point_lps_mm"] == [-58.0, 20.0, -30.0]
    case.centres.undo()
    assert opened.draft.reading["point_lps_mm"] is None, "the proposal again, which nobody confirmed"


def test_a_noted_centre_stands_in_the_views_when_the_case_is_opened_again(work, worker):
    worker.automatic["worklist.step"] = case_answer(1, {"point_lps_mm": [-50.0, 20.0, -30.0]}, version=1)
    work.step(1)
    assert work._case.centres.history.current.lps_mm == (-50.0, 20.0, -30.0)
    assert sent(worker, "review.update")[-1]["centre_lps_mm"] == [-50.0, 20.0, -30.0]
    assert sent(worker, "worklist.save") == []


def test_a_case_without_masks_is_read_at_the_proposed_centre_or_only_shown(work, worker):
    answer = case_answer(1, label_map=None)
    worker.automatic["worklist.step"] = answer
    work.step(1)
    assert "segment" not in worker.methods()
    assert work._case.state.review is None
    answer["case"]["centre_lps_mm"] = [1.0, 2.0, 3.0]
    work.step(1)
    assert sent(worker, "review")[-1]["centre_lps_mm"] == [1.0, 2.0, 3.0]
    assert work.draft.reading["point_lps_mm"] is None, "a proposal is no reading"


def test_a_first_point_that_is_placed_by_hand_is_the_readings(work, worker):
    worker.automatic["worklist.step"] = case_answer(1, label_map=None)
    work.step(1)
    found = review(1)
    lesion = replace(found.lesions[0], label="point", centre_proposed=absent(), centre_used=centre(-40, "manual"))
    worker.automatic["review"] = encode(replace(found, lesions=(lesion,)))
    work._case.centres.move((-40.0, 20.0, -30.0))
    assert work.draft.reading["point_lps_mm"] == [-40.0, 20.0, -30.0]


def test_an_answer_that_comes_after_the_end_does_not_empty_what_was_kept(opened, worker, memory):
    opened.change(quality="poor")
    opened.saving.leave()
    opened.saving.forget()
    worker.die()
    assert "poor" in memory.text


def test_time_counts_for_the_open_case_and_goes_with_its_changes(opened, worker):
    opened.spend(1.5)
    opened.spend(60.0)  # the computer slept
    opened.change(flagged=True)
    assert sent(worker, "worklist.save")[-1]["seconds"] == 3.5
    worker.answer("worklist.save", saved(1, opened.draft.reading))
    opened.spend(1.25)
    assert opened.spent() == 4.75
    worker.automatic["worklist.step"] = case_answer(2)
    opened.step(1)
    assert sent(worker, "worklist.time") == [{"number": 1, "seconds": 1.25}]
    assert opened.spent() == 0.0


def test_a_case_whose_files_moved_says_so_and_the_next_one_can_be_reached(work, worker):
    worker.automatic["worklist.step"] = WorkerError(-32000, "2 of the case's 2 files are not where …", "files_moved")
    work.step(1)
    assert work.moved
    assert "not where" in work._case.message[1]
    worker.automatic["worklist.step"] = case_answer(2)
    work.step(1)
    assert sent(worker, "worklist.step")[-1]["after"] == 1
    assert not work.moved
    worker.automatic["worklist.step"] = WorkerError(-32000, "…", "files_moved")
    work.open(3)
    worker.automatic |= {"worklist.relocate": {}, "worklist.step": case_answer(3)}
    work.relocate("/elsewhere")
    assert sent(worker, "worklist.relocate") == [{"folder": "/elsewhere"}]
    assert work.current["number"] == 3


def test_a_failed_import_ends_the_loading_and_keeps_its_message(work, worker):
    worker.automatic["study.import"] = WorkerError(-32000, "The file is damaged.", "input")
    work.step(1)
    assert not work.loading
    assert work._case.message == ("error", "The file is damaged.")
    worker.automatic["study.import"] = {**work._case.state.study, "folder": "/x", "phases": [], "study_id": "s"}
    work.step(1)
    assert work._case.state.study


def test_a_worklists_case_of_a_saved_scene_needs_its_worklist(opened, worker, tmp_path):
    from RenalCLIPSlicerLib.CaseState import stateFromJson

    text = opened._case.state.toJson()
    again = FakeWorker()
    case = CaseLogic(again, FakeFiles(tmp_path))
    WorklistReading(case, lambda worklist, reader: Memory())
    case.adopt(stateFromJson(text)[0])
    case.read()
    assert "opened from a worklist" in case.message[1]
    assert again.methods() == ["initialize"]


def test_closing_saves_says_what_is_left_and_closes_the_case(opened, worker, memory):
    opened.change(quality="poor")
    worker.fail("worklist.save", LOCKED)
    worker.automatic["worklist.save"] = LOCKED
    assert opened.close()
    assert "1 unsaved" in opened._case.message[1]
    assert "poor" in memory.text
    assert worker.methods()[-1] == "worklist.close"
    assert opened._case.state.study == {}
    assert not opened.connected


def test_a_worklist_that_cannot_be_opened_leaves_everything_as_it_was(worker, tmp_path):
    worker.automatic["worklist.open"] = WorkerError(-32000, "version 2; install a newer RenalCLIP.", "worklist")
    case = CaseLogic(worker, FakeFiles(tmp_path))
    made = WorklistReading(case, lambda worklist, reader: Memory())
    made.connect("/wl/w.db", "ann")
    assert not made.connected
    assert "newer" in case.message[1]
    assert not made.connect("", "ann")
    assert case.message[0] == "warning"


def test_a_refused_change_is_made_anew_not_repeated(opened, worker):
    opened.change(comment="x")
    first = sent(worker, "worklist.save")[-1]
    worker.fail("worklist.save", WorkerError(-32602, "worklist.save: does not fit", ""))
    opened.change(comment="y")
    second = sent(worker, "worklist.save")[-1]
    assert second["change_id"] != first["change_id"]
    worker.fail("worklist.save", WorkerError(ENDED, "gone"))
    opened.change(comment="z")
    assert sent(worker, "worklist.save")[-1] == second, "it may have arrived, so it goes first and as it was"


def test_words_say_what_is_withheld_and_what_a_row_needs():
    assert withheldWords([]) == ""
    assert "segmentations" in withheldWords(["predictions", "masks", "nephrometry"])
    assert remarks(row(1, flagged=True, conflicts=1, opens="2026-04-01T00:00:00")) == (
        "flagged, conflict, opens 2026-04-01"
    )
    assert remarks(row(1, opens="9999")) == "opens after its first reading"
    assert encode(review()) != {}


def test_time_spent_while_a_change_is_on_its_way_goes_with_the_next_one(opened, worker):
    opened.spend(1.5)
    opened.change(flagged=True)
    opened.spend(1.25)
    worker.answer("worklist.save", saved(1, opened.draft.reading))
    opened.change(comment="small")
    assert [item["seconds"] for item in sent(worker, "worklist.save")] == [1.5, 1.25]
