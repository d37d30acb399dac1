"""The worklist's panel in the window: keys, autosave while typing, what readings without predictions show."""

import importlib
import json
import shutil
import sqlite3
import uuid

import pytest
from PySide6 import QtCore, QtTest
from RenalCLIPSlicerLib.WorkerProtocol import WorkerError

from RenalCLIPCore.errors import RenalCLIPError
from RenalCLIPCore.reading import saving, worklist
from RenalCLIPCore.reading.database import Database
from RenalCLIPCore.reading.records import Change, NewCase, Reading
from RenalCLIPCore.review import Absent
from RenalCLIPCore.session import SessionOptions
from RenalCLIPCore.worker_methods import SessionMethods
from Testing.Core.phantom_case import make_phantom, write_phantom_study
from Testing.Core.reading.worklists import QUESTIONS

CTRL = QtCore.Qt.KeyboardModifier.ControlModifier


@pytest.fixture(scope="module")
def volumes(tmp_path_factory):
    """A coarse phantom's arterial volume and its masks."""
    folder = tmp_path_factory.mktemp("volumes")
    made, labels, _ = make_phantom(phases="A")
    study, masks = write_phantom_study(folder / "study", made, labels)
    return next(iter(study.phases.values())).file, masks


@pytest.fixture
def wl(volumes, tmp_path):
    """(address of a worklist of three cases that annotators share, folder of their files)."""
    file, masks = volumes
    folder = tmp_path / "cohort"
    folder.mkdir()
    cases = []
    for number in range(3):
        volume = shutil.copy(file, folder / f"A{number}{file.suffix}")
        labels = shutil.copy(masks, folder / f"masks{number}{''.join(masks.suffixes)}")
        cases.append(NewCase(f"P{number}", f"P{number}", "left", {"A": str(volume)}, str(labels)))
    address = str(tmp_path / "w.db")
    with Database(address) as database:
        worklist.create(database, cases, folder=folder, questions=QUESTIONS)
        worklist.assign(database, worklist.Plan())
    return address, folder


class NearWorker:
    """The worker's methods without a process between; the parts that follow a reading are left out."""

    def __init__(self, work):
        work.mkdir()
        self.methods = SessionMethods(SessionOptions(), work)
        self.notified = self.ended = None

    def start(self):
        return None

    def stop(self):
        self.methods.call("worklist.close", {}, lambda fraction, words: None)

    def cancel(self, number):
        raise AssertionError("nothing is under way")

    def advice(self):
        return ""

    def request(self, method, params, done, failed, progress=None):
        try:
            answer = self.methods.call(method, json.loads(json.dumps(params)), lambda fraction, words: None)
        except RenalCLIPError as error:
            failed(WorkerError(-32000, str(error), error.code))
            return 1
        done(json.loads(json.dumps(answer.result)))
        return 1


@pytest.fixture
def near(monkeypatch, tmp_path):
    """The module's worker without its process."""
    worker = NearWorker(tmp_path / "work")
    module = importlib.import_module("RenalCLIPSlicerLib.Widget")
    monkeypatch.setattr(module, "CoreProcess", lambda *_: worker)
    monkeypatch.setattr("RenalCLIPCore.reading_methods.PATIENCE_S", 0.2)


@pytest.fixture
def widget(driver, near, wl):
    """The module with the worklist open."""
    return connected(driver, wl)


def connected(driver, wl):
    """The module with the worklist open."""
    widget = driver.open_module()
    panel = widget.parts.worklistPanel
    widget.parts.ui.worklistSection.collapsed = False
    panel.form.addressEdit.setText(wl[0])
    panel.form.annotatorEdit.setText("ann")
    panel.form.connectButton.click()
    calm(driver, widget)
    assert panel.worklist.connected, widget.logic.case.message
    return widget


def calm(driver, widget):
    """Wait until nothing runs, everything is shown, and what can be saved is."""
    work, case = widget.parts.worklistPanel.worklist, widget.logic.case
    driver.settle(0.05)
    driver.wait(lambda: not case.busy and not work.loading and widget.parts.settled, 240, "the window")
    driver.wait(lambda: not (work.saving and any(d.sent for d in work.saving.drafts.values())), 120, "saving")
    driver.settle(0.05)


def key(driver, widget, code):
    """Press Ctrl and a key in the window."""
    driver.window.activateWindow()
    driver.window.setFocus()
    # a key that comes before the window is active is lost
    driver.wait(lambda: driver.window.isActiveWindow, what="the window to be active")
    QtTest.QTest.keyClick(driver.window, code, CTRL)
    calm(driver, widget)


def readings(address):
    with Database(address) as database:
        return worklist.assignments(database)


def test_cases_are_walked_by_keys_and_every_change_is_in_the_database(driver, widget, wl):
    panel, form, ui = widget.parts.worklistPanel, widget.parts.worklistPanel.form, widget.parts.ui
    key(driver, widget, QtCore.Qt.Key.Key_N)
    assert panel.worklist.current["name"] == readings(wl[0])[0].case
    assert set(widget.parts.scene.phaseNodes()) == {"A"}
    assert widget.parts.scene.parameters.masks is not None
    assert form.pointLabel.text.find("confirm or move") > 0
    form.poorButton.click()
    form.confirmButton.click()
    form.commentEdit.setFocus()
    QtTest.QTest.keyClicks(form.commentEdit, "Mask leaks")
    form.flagBox.click()
    assert str(form.commentEdit.plainText) == "Mask leaks", "typing is not overwritten by what is saved meanwhile"
    panel._boxes["renal_r"].setCurrentIndex(2)
    driver.settle(1.0)
    calm(driver, widget)
    saved = readings(wl[0])[0].reading
    assert (saved.quality, saved.comment, saved.flagged) == ("poor", "Mask leaks", True)
    assert saved.answers == {"renal_r": 1}
    assert saved.point_lps_mm == pytest.approx(widget.logic.case.centres.history.current.lps_mm)
    assert "All changes are saved" in str(form.savedStateLabel.text)
    first = widget.parts.scene.parameters.record
    form.commentEdit.setFocus()
    QtTest.QTest.keyClicks(form.commentEdit, "!")
    key(driver, widget, QtCore.Qt.Key.Key_Return)
    done = readings(wl[0])
    assert (done[0].reading.finished, done[0].reading.comment) == (True, "Mask leaks!"), "the last word is not lost"
    assert panel.worklist.current["number"] == done[1].number
    assert str(form.commentEdit.plainText) == ""
    assert not form.flagBox.checked
    import slicer

    assert not slicer.mrmlScene.IsNodePresent(first), "a case that is left does not stay in memory"
    assert len(list(slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode"))) == 1
    key(driver, widget, QtCore.Qt.Key.Key_P)
    assert panel.worklist.current["number"] == done[0].number
    assert form.poorButton.checked
    assert "noted" in str(form.pointLabel.text)
    assert str(form.commentEdit.plainText) == "Mask leaks!"
    assert not ui.openButton.isVisible(), "a worklist's reader opens no other study beside it"
    form.closeWorklistButton.click()
    calm(driver, widget)
    assert ui.openButton.isVisibleTo(widget.parts.uiWidget)
    assert form.connectFrame.isVisibleTo(widget.parts.uiWidget)


def test_two_annotators_on_one_case_are_shown_both_versions(driver, widget, wl):
    panel, form = widget.parts.worklistPanel, widget.parts.worklistPanel.form
    form.nextCaseButton.click()
    calm(driver, widget)
    number = panel.worklist.current["number"]
    with Database(wl[0]) as database:
        saving.save(database, Change("bob-1", number, 0, Reading(quality="accurate", comment="fine"), "bob"))
    form.poorButton.click()
    calm(driver, widget)
    assert form.conflictFrame.isVisibleTo(form.caseFrame)
    assert not form.readingFrame.enabled
    table = form.conflictTable
    assert [table.item(0, column).text() for column in range(3)] == ["Segmentation", "accurate", "poor"]
    assert "bob" in str(form.conflictLabel.text)
    panel._versions.buttons[1].click()
    calm(driver, widget)
    assert not form.conflictFrame.isVisibleTo(form.caseFrame)
    item = next(one for one in readings(wl[0]) if one.number == number)
    assert (item.reading.quality, item.reading.comment, item.conflicts) == ("poor", "", 0)
    with Database(wl[0]) as database:
        assert [one.by for one in saving.history(database, number)] == ["bob", "ann", "ann"], "both versions are kept"


def test_a_locked_database_keeps_changes_in_the_window_until_it_is_free(driver, widget, wl):
    panel, form = widget.parts.worklistPanel, widget.parts.worklistPanel.form
    form.nextCaseButton.click()
    calm(driver, widget)
    other = sqlite3.connect(wl[0], isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    form.flagBox.click()
    calm(driver, widget)
    assert "not saved yet" in str(form.savedStateLabel.text)
    assert "locked" in str(form.savedStateLabel.text)
    other.execute("ROLLBACK")
    other.close()
    panel.worklist.retry()
    calm(driver, widget)
    assert "All changes are saved" in str(form.savedStateLabel.text)
    assert readings(wl[0])[0].reading.flagged


def test_a_read_only_database_and_one_of_a_newer_version_say_so(driver, widget, wl):
    panel, form, ui = widget.parts.worklistPanel, widget.parts.worklistPanel.form, widget.parts.ui
    form.nextCaseButton.click()
    calm(driver, widget)
    form.closeWorklistButton.click()
    calm(driver, widget)
    with sqlite3.connect(wl[0]) as plain:
        plain.execute("UPDATE worklist SET value = '2' WHERE key = 'schema_version'")
    plain.close()
    form.connectButton.click()
    calm(driver, widget)
    assert "install a newer RenalCLIP" in str(ui.messageLabel.text)
    assert not panel.worklist.connected
    with sqlite3.connect(wl[0]) as plain:
        plain.execute("UPDATE worklist SET value = '1' WHERE key = 'schema_version'")
        plain.execute("PRAGMA journal_mode=DELETE")
    plain.close()
    form.addressEdit.setText(f"sqlite:///file:{wl[0]}?mode=ro&uri=true")
    form.connectButton.click()
    calm(driver, widget)
    form.nextCaseButton.click()
    calm(driver, widget)
    form.flagBox.click()
    calm(driver, widget)
    assert "read-only" in str(form.savedStateLabel.text)
    assert form.flagBox.checked, "what was noted is kept"


def test_a_case_whose_files_moved_is_found_in_the_folder_that_is_named(driver, widget, wl):
    panel, form, ui = widget.parts.worklistPanel, widget.parts.worklistPanel.form, widget.parts.ui
    moved = wl[1].rename(wl[1].with_name("moved"))
    form.nextCaseButton.click()
    calm(driver, widget)
    assert "not where the worklist says" in str(ui.messageLabel.text)
    assert form.movedFrame.isVisibleTo(form.caseFrame)
    form.movedPathEdit.currentPath = str(moved)
    form.relocateButton.click()
    calm(driver, widget)
    assert panel.worklist.current is not None
    assert not form.movedFrame.isVisibleTo(form.caseFrame)
    assert widget.logic.case.state.review is not None


def test_without_predictions_no_panel_shows_one_even_after_the_worker_was_lost(driver, wl):
    widget = connected(driver, wl)  # with the worker's own process
    panel, case, ui = widget.parts.worklistPanel, widget.logic.case, widget.parts.ui
    panel.form.nextCaseButton.click()
    calm(driver, widget)
    assert "read without predictions" in str(panel.form.noticeLabel.text)
    sections = (
        ui.probabilitySection,
        ui.reportSection,
        ui.neighboursSection,
        ui.zeroShotSection,
        ui.explanationSection,
    )
    assert not any(section.isVisibleTo(widget.parts.uiWidget) for section in sections)
    widget.parts.worker.stop()
    driver.settle(0.2)
    assert case.read()
    calm(driver, widget)
    lesion = case.state.lesionReview()
    assert isinstance(lesion.predicted, Absent)
    assert "without predictions" in lesion.predicted.absent
    assert not any(section.isVisibleTo(widget.parts.uiWidget) for section in sections)


def test_filters_list_what_they_name_and_a_row_opens_its_case(driver, widget, wl):
    panel, form = widget.parts.worklistPanel, widget.parts.worklistPanel.form
    items = readings(wl[0])
    with Database(wl[0]) as database:
        saving.save(database, Change(uuid.uuid4().hex, items[2].number, 0, Reading(flagged=True), "bob"))
    form.filterComboBox.setCurrentText("Flagged")
    calm(driver, widget)
    driver.wait(lambda: form.casesTable.rowCount == 1, 20, "the filtered list")
    assert "flagged" in form.casesTable.item(0, 4).text()
    panel.onRow(0)
    calm(driver, widget)
    assert panel.worklist.current["number"] == items[2].number
    assert "P" in str(form.caseTitleLabel.text)
