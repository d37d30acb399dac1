"""The module's own widget in the host, with real events and a worker that answers at once.

The stand-ins prove names and wiring; how the panel looks in Slicer is Slicer's.
"""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from RenalCLIPSlicerLib.CaseState import stateFromJson
from RenalCLIPSlicerLib.WorkerProtocol import WorkerError

from RenalCLIPCore.imaging.volume import read_volume
from RenalCLIPCore.review import Absent, Measured, NephrometryTotal, encode
from Testing.Core.phantom_case import make_phantom, write_phantom_study
from Testing.Slicer.fake_worker import MASKS, FakeWorker, around, placed, studyAnswer


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A small study of two phases, its masks, and the truth."""
    folder = tmp_path_factory.mktemp("module")
    volumes, labels, truth = make_phantom(phases="AV")
    study, masks = write_phantom_study(folder / "study", volumes, labels)
    return study, masks, truth


@pytest.fixture
def answers(files):
    """What the worker answers about this study: two lesions, the first in the middle of the tumour."""
    study, masks, _ = files
    opened = studyAnswer(study)
    return {
        "study.open": opened,
        "study.import": opened,
        "segment": {**MASKS, "file": str(masks)},
        "review": encode(placed(files[2])),
    }


def calm(driver, widget, seconds=0.03):
    """Let the window work until nothing waits any more."""
    driver.settle(seconds)
    driver.wait(lambda: widget.parts.settled, 30, "the window")
    driver.settle()


@pytest.fixture
def worker(answers, monkeypatch):
    import importlib

    made = FakeWorker(answers)
    module = importlib.import_module("RenalCLIPSlicerLib.Widget")
    monkeypatch.setattr(module, "CoreProcess", lambda *_: made)
    return made


@pytest.fixture
def widget(driver, worker):
    return driver.open_module()


@pytest.fixture
def opened(driver, widget, files):
    widget.openStudy(str(files[0].folder))
    calm(driver, widget)
    assert set(widget.parts.scene.phaseNodes()) == {"A", "V"}
    return widget


@pytest.fixture
def read(driver, opened):
    opened.parts.ui.segmentButton.click()
    calm(driver, opened)
    assert opened.parts.scene.parameters.masks is not None
    return opened


def answerMove(driver, widget, worker, files):
    """Answer the open review.update with what was asked for."""
    driver.wait(lambda: "review.update" in [item.method for item in worker.waiting.values()], 10, "the request")
    lps = worker.open("review.update").params["centre_lps_mm"]
    worker.answer("review.update", around(files[2], lps, widget.logic.case.state.lesion))
    calm(driver, widget)
    return lps


def test_an_empty_module_waits_for_a_study(driver, widget):
    ui = widget.parts.ui
    calm(driver, widget)
    assert "Not for clinical use" in str(ui.bannerLabel.text)
    assert ui.openButton.enabled
    assert not any(
        button.enabled
        for button in (ui.segmentButton, ui.readButton, ui.useMasksButton, ui.correctButton, ui.jumpButton)
    )
    assert not ui.taskFrame.isVisible()
    assert not ui.overviewFrame.isVisible()


def test_an_opened_study_stands_in_linked_views_with_the_papers_window(driver, opened):
    import slicer

    nodes = opened.parts.scene.phaseNodes()
    for phase, node in nodes.items():
        display = node.GetDisplayNode()
        assert (display.GetLevel(), display.GetWindow()) == (50, 500)
        composite = slicer.app.layoutManager().sliceWidget(f"Renal{phase}").mrmlSliceCompositeNode()
        assert composite.GetBackgroundVolumeID() == node.GetID()
        assert composite.GetLinkedControl()
    assert opened.parts.ui.phaseASelector.currentNode() is nodes["A"]
    assert "reference" in str(opened.parts.ui.phaseALabel.text)
    opened.parts.ui.layoutPlanesButton.click()
    calm(driver, opened)
    composite = slicer.app.layoutManager().sliceWidget("Red").mrmlSliceCompositeNode()
    assert composite.GetBackgroundVolumeID() == nodes["A"].GetID()


def test_a_study_that_opens_before_the_windows_first_turn_is_shown(process_host, driver, worker, files):
    widget = process_host.open_module()
    widget.openStudy(str(files[0].folder))
    calm(driver, widget)
    assert set(widget.parts.scene.phaseNodes()) == {"A", "V"}


def test_masks_become_a_segmentation_with_terminology_on_the_references_grid(driver, read, files):
    import slicer
    from RenalCLIPSlicerLib.SceneLabels import labelled

    node = read.parts.scene.parameters.masks
    names = labelled(node)
    assert {"kidney", "tumour"} <= set(names)
    segment = node.GetSegmentation().GetSegment(names["tumour"][0])
    import vtk

    tag = vtk.reference("")
    assert segment.GetTag(slicer.vtkSegment.GetTerminologyEntryTagName(), tag)
    assert "SCT^49755003^Morphologically Altered Structure~SCT^4147007^Mass" in str(tag), "as Slicer's list has it"
    assert "SCT^64033007^Kidney" in str(tag)
    written, given = read_volume(Path(read.parts.scene.masksFile())), read_volume(files[1])
    assert written.geometry.size == given.geometry.size
    assert np.array_equal(written.array, given.array)


def test_the_centre_is_locked_and_the_region_lies_around_it(read, files):
    scene = read.parts.scene
    assert scene.parameters.centre.GetLocked()
    assert scene.marks.position() == pytest.approx(files[2].primary.centre_lps_mm, abs=1e-3)
    ras = [0.0, 0.0, 0.0]
    scene.parameters.centre.GetNthControlPointPositionWorld(0, ras)
    x, y, z = files[2].primary.centre_lps_mm
    assert ras == pytest.approx([-x, -y, z], abs=1e-3)
    assert list(scene.parameters.region.GetSize()) == [140, 140, 160]
    assert list(scene.parameters.region.GetCenter()) == pytest.approx(ras)


def test_a_point_dragged_in_a_view_is_read_there_and_can_be_undone(driver, read, worker, files):
    from PySide6 import QtCore

    ui, scene = read.parts.ui, read.parts.scene
    ui.correctButton.click()
    ui.reasonEdit.setText("seen better")
    calm(driver, read)
    assert not scene.parameters.centre.GetLocked()
    ras = [0.0, 0.0, 0.0]
    scene.parameters.centre.GetNthControlPointPositionWorld(0, ras)
    view = driver.slice_view("RenalA")
    at = driver.position_of(view, ras)
    driver.drag(view, at, at + QtCore.QPoint(24, 12))
    lps = answerMove(driver, read, worker, files)
    assert math.dist(lps, files[2].primary.centre_lps_mm) > 2
    assert worker.sent[-1].params["why"] == "seen better"
    assert scene.marks.position() == pytest.approx(lps, abs=1e-3)
    x, y, z = lps
    assert list(scene.parameters.region.GetCenter()) == pytest.approx([-x, -y, z], abs=1e-3)
    assert "mm from the proposed centre" in str(ui.centreLabel.text)
    ui.undoButton.click()
    answerMove(driver, read, worker, files)
    assert scene.marks.position() == pytest.approx(files[2].primary.centre_lps_mm, abs=1e-3)
    ui.acceptButton.click()
    calm(driver, read)
    assert scene.parameters.centre.GetLocked()
    assert not ui.correctButton.checked


def test_a_locked_point_is_not_moved_by_accident(driver, read, worker):
    from PySide6 import QtCore

    ras = [0.0, 0.0, 0.0]
    read.parts.scene.parameters.centre.GetNthControlPointPositionWorld(0, ras)
    view = driver.slice_view("RenalA")
    at = driver.position_of(view, ras)
    before = read.parts.scene.marks.position()
    driver.drag(view, at, at + QtCore.QPoint(24, 12))
    assert read.parts.scene.marks.position() == before
    assert "review.update" not in worker.methods()


def test_keys_nudge_only_while_the_centre_is_unlocked(driver, read, worker, files):
    from PySide6 import QtCore, QtTest

    window = driver.window
    window.activateWindow()
    window.setFocus()
    QtTest.QTest.keyClick(window, QtCore.Qt.Key.Key_Left)
    calm(driver, read)
    assert "review.update" not in worker.methods()
    read.parts.ui.correctButton.click()
    calm(driver, read)
    before = read.logic.case.centres.history.current.lps_mm
    QtTest.QTest.keyClick(window, QtCore.Qt.Key.Key_Left)
    calm(driver, read)
    after = read.logic.case.centres.history.current.lps_mm
    assert before[0] - after[0] == pytest.approx(1.0), "the screen's left is the patient's right, where L falls"


def test_arrow_keys_go_to_the_input_that_has_the_focus(driver, read, signOff, worker):
    from PySide6 import QtCore, QtTest

    read.parts.ui.correctButton.click()
    calm(driver, read)
    before = read.logic.case.centres.history.current.lps_mm
    box = verdictOf(signOff, "malignancy")
    box.setFocus()
    calm(driver, read)
    assert box.hasFocus()
    QtTest.QTest.keyClick(box, QtCore.Qt.Key.Key_Down)
    calm(driver, read)
    assert read.logic.case.state.verdicts["L1 malignancy"].verdict == "accepted"
    assert read.logic.case.centres.history.current.lps_mm == before
    read.parts.ui.correctButton.setFocus()
    QtTest.QTest.keyClick(read.parts.ui.correctButton, QtCore.Qt.Key.Key_Down)
    calm(driver, read)
    assert read.logic.case.centres.history.current.lps_mm[1] == pytest.approx(before[1] + 1)


def test_a_module_that_was_never_shown_takes_no_keys(driver, read):
    parts = read.parts
    parts.leave()
    calm(driver, read)
    made = type(parts)(read, read.logic.getParameterNode)
    try:
        made.settle()
        assert not any(shortcut.enabled for shortcut in made._shortcuts._all)
        made.enter()
        assert any(shortcut.enabled for shortcut in made._shortcuts._all)
    finally:
        made.cleanup()


def test_a_click_places_the_centre(driver, read, worker, files):
    from PySide6 import QtCore, QtTest

    ui = read.parts.ui
    ui.correctButton.click()
    calm(driver, read)
    ui.placeButton.click()
    calm(driver, read)
    assert read.parts.scene.marks.placing
    view = driver.slice_view("RenalA")
    ras = [0.0, 0.0, 0.0]
    read.parts.scene.parameters.centre.GetNthControlPointPositionWorld(0, ras)
    at = driver.position_of(view, ras) + QtCore.QPoint(30, -20)
    QtTest.QTest.mouseMove(view, at)
    calm(driver, read)
    QtTest.QTest.mouseClick(view, QtCore.Qt.MouseButton.LeftButton, QtCore.Qt.KeyboardModifier.NoModifier, at)
    calm(driver, read)
    lps = answerMove(driver, read, worker, files)
    assert not read.parts.scene.marks.placing
    assert math.dist(lps, files[2].primary.centre_lps_mm) > 5
    assert read.parts.scene.parameters.centre.GetNumberOfControlPoints() == 1


def test_leaving_the_place_mode_by_slicers_own_means_gives_placing_up(driver, read, worker):
    import slicer

    ui, marks = read.parts.ui, read.parts.scene.marks
    ui.correctButton.click()
    calm(driver, read)
    before = slicer.mrmlScene.GetNumberOfNodes()
    ui.placeButton.click()
    calm(driver, read)
    assert ui.placeButton.checked
    interaction = slicer.app.applicationLogic().GetInteractionNode()
    interaction.SetCurrentInteractionMode(slicer.vtkMRMLInteractionNode.ViewTransform)
    calm(driver, read)
    assert not marks.placing
    assert not ui.placeButton.checked
    assert slicer.util.getFirstNodeByName("New centre") is None
    assert slicer.mrmlScene.GetNumberOfNodes() == before
    interaction.SetCurrentInteractionMode(slicer.vtkMRMLInteractionNode.Place)
    interaction.SetCurrentInteractionMode(slicer.vtkMRMLInteractionNode.ViewTransform)
    calm(driver, read)
    assert not marks.placing
    assert "review.update" not in worker.methods()


def test_a_refused_centre_goes_back_in_the_view_too(driver, read, worker, files):
    before = read.parts.scene.marks.position()
    read.logic.case.centres.move((900.0, 0.0, 0.0))
    calm(driver, read)
    worker.fail("review.update", WorkerError(-32000, "The centre lies outside the scan.", "centre"))
    calm(driver, read)
    assert read.parts.scene.marks.position() == pytest.approx(before)
    assert "outside the scan" in str(read.parts.ui.messageLabel.text)


def test_a_point_dragged_out_of_the_body_is_read_with_a_warning_or_goes_back(driver, read, worker, files):
    from PySide6 import QtCore

    read.parts.ui.correctButton.click()
    calm(driver, read)
    ras = [0.0, 0.0, 0.0]
    read.parts.scene.parameters.centre.GetNthControlPointPositionWorld(0, ras)
    before = read.parts.scene.marks.position()
    view = driver.slice_view("RenalA")
    at = driver.position_of(view, ras)
    driver.drag(view, at, QtCore.QPoint(view.width - 8, 8))
    lps = answerMove(driver, read, worker, files)
    assert math.dist(lps, before) > 40
    assert "further than the lesion reaches" in str(read.parts.panels[4].checks.text)
    driver.drag(view, driver.position_of(view, [-lps[0], -lps[1], lps[2]]), QtCore.QPoint(8, 8))
    driver.wait(lambda: worker.waiting, 10, "the request")
    worker.fail("review.update", WorkerError(-32000, "The centre lies outside the scan.", "centre"))
    calm(driver, read)
    assert read.parts.scene.marks.position() == pytest.approx(lps, abs=1e-3), "back to the last good one"
    assert "outside the scan" in str(read.parts.ui.messageLabel.text)
    assert read.parts.ui.undoButton.enabled


def test_panels_show_what_the_review_says(driver, read, files):
    ui = read.parts.ui
    lesion = placed(files[2]).lesions[0]
    table = ui.nephrometryTable
    letters = [table.item(row, 0).text() for row in range(table.rowCount)]
    assert letters == [item.component for item in lesion.predicted.components] or set(letters) <= set("RENALh")
    assert lesion.predicted.total.text in str(ui.nephrometryTotalLabel.text)
    assert lesion.predicted.recurrence.group.capitalize() in str(ui.recurrenceLabel.text)
    assert lesion.predicted.zero_shot[0].best[0].prompt in str(ui.zeroShotLabel.text).replace("&quot;", '"')
    assert ui.neighboursTable.rowCount == len(lesion.predicted.neighbours)
    assert str(ui.findingsEdit.plainText) == lesion.report.findings
    assert "0.1.0" in str(ui.qualityLabel.text) or "RenalCLIP" in str(ui.qualityLabel.text)


def test_the_next_lesion_is_shown_and_jumped_to(driver, read, files):
    import slicer

    read.parts.ui.nextButton.click()
    calm(driver, read)
    z = placed(files[2]).lesions[1].centre_used.lps_mm[2]
    assert read.parts.scene.marks.position()[2] == pytest.approx(z, abs=1e-3)
    node = slicer.app.layoutManager().sliceWidget("RenalA").mrmlSliceNode()
    assert node.GetSliceToRAS().GetElement(2, 3) == pytest.approx(z, abs=0.6)
    assert str(read.parts.ui.lesionComboBox.currentText).startswith("L2")


def test_edits_and_verdicts_go_into_the_saved_review(driver, read, worker, tmp_path):
    ui = read.parts.ui
    worker.automatic["review.save"] = {"files": [str(tmp_path / "review.json"), str(tmp_path / "review.html")]}
    ui.readerEdit.setText("Dr A")
    ui.impressionEdit.setPlainText("Oncocytoma is likely.")
    calm(driver, read)
    table = ui.signOffTable
    names = [table.item(row, 0).text().partition(":")[0] for row in range(table.rowCount)]
    row = names.index("malignancy")
    table.cellWidget(row, 1).setCurrentIndex(2)
    table.cellWidget(row, 2).setText("fat inside")
    table.cellWidget(row, 2).editingFinished.emit()
    ui.savePathEdit.currentPath = str(tmp_path)
    ui.saveButton.click()
    calm(driver, read)
    sent = worker.sent[-1].params
    assert sent["out"] == str(tmp_path)
    assert sent["sign_off"] == [
        {
            "finding": "L1 malignancy",
            "verdict": "rejected",
            "comment": "fat inside",
            "by": "Dr A",
            "at": sent["sign_off"][0]["at"],
        }
    ]
    assert json.loads(sent["edits"][0]["after"]) == "Oncocytoma is likely."
    assert ui.showButton.enabled


@pytest.fixture
def signOff(driver, read):
    """The table of verdicts, open and ready for typing."""
    read.parts.ui.signOffSection.collapsed = False
    driver.window.activateWindow()
    calm(driver, read)
    return read.parts.ui.signOffTable


def findingsOf(table):
    return [table.item(row, 0).text().partition(":")[0] for row in range(table.rowCount)]


def verdictOf(table, finding):
    return table.cellWidget(findingsOf(table).index(finding), 1)


def commentOf(table, finding):
    return table.cellWidget(findingsOf(table).index(finding), 2)


def typeComment(driver, read, field, text):
    from PySide6 import QtTest

    field.setFocus()
    calm(driver, read)
    assert field.hasFocus()
    QtTest.QTest.keyClicks(field, text)


@pytest.mark.parametrize("news", ["busy", "reading", "report"])
def test_a_comment_being_typed_survives_news(driver, read, signOff, news):
    typeComment(driver, read, commentOf(signOff, "malignancy"), "margin unclear")
    read.logic.case.tell(news)
    calm(driver, read)
    assert commentOf(signOff, "malignancy").text == "margin unclear"
    typeComment(driver, read, commentOf(signOff, "malignancy"), ", see N")
    assert read.logic.case.state.verdicts["L1 malignancy"].comment == "margin unclear, see N"


def test_a_comment_stays_with_the_lesion_that_it_was_typed_for(driver, read, signOff):
    case = read.logic.case
    for lesion in ("L2", "L1"):
        case.selectLesion(lesion)
        case.notes.decide("centre", "accepted")
    calm(driver, read)
    typeComment(driver, read, commentOf(signOff, "centre"), "touches the sinus")
    case.stepLesion(1)
    calm(driver, read)
    assert commentOf(signOff, "centre").text == ""
    read.parts.ui.readerEdit.setFocus()
    calm(driver, read)
    comments = {name: item.comment for name, item in case.state.verdicts.items()}
    assert comments == {"L2 centre": "", "L1 centre": "touches the sinus"}
    case.stepLesion(-1)
    calm(driver, read)
    assert commentOf(signOff, "centre").text == "touches the sinus"


def test_a_comment_does_not_go_over_to_another_case(driver, read, signOff):
    case = read.logic.case
    typeComment(driver, read, commentOf(signOff, "centre"), "of the first")
    other, _ = stateFromJson(case.state.toJson())
    other.verdicts.clear()
    case.adopt(other)
    calm(driver, read)
    assert commentOf(signOff, "centre").text == ""
    read.parts.ui.readerEdit.setFocus()
    calm(driver, read)
    assert case.state.verdicts == {}


def test_typing_goes_on_when_another_finding_arrives(driver, read, signOff):
    case = read.logic.case
    draft = case.state.lesionReview("L1").report
    case.amend("L1", report=Absent("not yet"))
    case.tell("reading")
    calm(driver, read)
    typeComment(driver, read, commentOf(signOff, "malignancy"), "margin")
    case.amend("L1", report=draft)
    case.tell("report")
    calm(driver, read)
    assert "report" in findingsOf(signOff)
    field = commentOf(signOff, "malignancy")
    assert field.hasFocus()
    typeComment(driver, read, field, " unclear")
    assert case.state.verdicts["L1 malignancy"].comment == "margin unclear"


def test_a_saved_scene_reopens_to_the_same_state(driver, read, worker, files, tmp_path):
    import slicer

    case = read.logic.case
    case.centres.nudge(3.0, 0.0, 0.0)
    answerMove(driver, read, worker, files)
    case.notes.editReport("impression", "Mine.")
    case.notes.decide("malignancy", "accepted", "agreed")
    calm(driver, read)
    expected = case.state.toJson()
    assert slicer.util.saveScene(str(tmp_path / "case.mrb"))
    slicer.mrmlScene.Clear(0)
    calm(driver, read)
    assert case.state.review is None
    assert not read.parts.ui.overviewFrame.isVisible()
    assert slicer.util.loadScene(str(tmp_path / "case.mrb"))
    calm(driver, read)
    assert case.state.toJson() == expected
    assert set(read.parts.scene.phaseNodes()) == {"A", "V"}
    assert read.parts.scene.marks.position() == pytest.approx(case.centres.history.current.lps_mm, abs=1e-3)
    assert str(read.parts.ui.impressionEdit.plainText) == "Mine."
    case.centres.nudge(1.0, 0.0, 0.0)
    answerMove(driver, read, worker, files)
    assert worker.methods()[-1] == "review.update"
    assert not case.busy


def test_a_scene_of_an_older_version_keeps_volumes_and_says_so(driver, read, tmp_path):
    import slicer

    calm(driver, read, 0.6)
    record = read.parts.scene.parameters.record
    data = json.loads(record.GetText())
    record.SetText(json.dumps({**data, "version": 0}))
    read.parts.restore()
    calm(driver, read)
    assert "another version" in str(read.parts.ui.messageLabel.text)
    assert set(read.parts.scene.phaseNodes()) == {"A", "V"}
    assert read.parts.ui.readButton.enabled
    read.parts.ui.readButton.click()
    calm(driver, read)
    assert read.logic.case.state.lesion == "L1"
    assert slicer.mrmlScene is not None


def test_double_clicks_on_every_button_do_no_harm(driver, read, worker, tmp_path, monkeypatch):
    import qt

    monkeypatch.setattr(qt.QDesktopServices, "openUrl", lambda *_: True)
    for name in sorted(vars(read.parts.ui)):
        button = getattr(read.parts.ui, name)
        if name.endswith("Button") and name not in ("ownPythonButton",) and hasattr(button, "click"):
            button.click()
            button.click()
            calm(driver, read)
    worker.stop()
    calm(driver, read)
    read.logic.case.cancel()
    calm(driver, read)
    assert read.parts.ui.openButton.enabled
    assert not read.logic.case.busy


def test_closing_the_scene_during_a_run_ends_it_and_leaves_a_usable_module(driver, read, worker, files):
    import slicer

    del worker.automatic["segment"]
    read.parts.ui.segmentButton.click()
    calm(driver, read)
    slicer.mrmlScene.Clear(0)
    calm(driver, read)
    worker.answer("segment", MASKS)
    calm(driver, read)
    assert not read.logic.case.busy
    assert read.logic.case.state.review is None
    assert read.parts.ui.openButton.enabled
    read.openStudy(str(files[0].folder))
    driver.wait(lambda: set(read.parts.scene.phaseNodes()) == {"A", "V"}, 30, "the volumes")


@pytest.mark.parametrize("role", ["phaseA", "masks", "centre", "region", "record"])
def test_a_node_deleted_during_a_run_is_survived(driver, read, worker, answers, role):
    import slicer

    del worker.automatic["review"]
    read.parts.ui.readButton.click()
    calm(driver, read)
    slicer.mrmlScene.RemoveNode(getattr(read.parts.scene.parameters, role))
    calm(driver, read)
    worker.answer("review", answers["review"])
    calm(driver, read)
    assert not read.logic.case.busy
    assert read.logic.case.state.lesion == "L1"
    assert read.parts.scene.marks.position() is not None
    assert read.parts.scene.parameters.record is not None
    assert read.parts.ui.segmentButton.enabled


def test_two_cases_live_in_one_scene(driver, read, worker, files):
    calm(driver, read, 0.6)
    first = read.parts.scene.parameters.record
    read.logic.case.notes.editReport("impression", "First case.")
    read.openStudy(str(files[0].folder))
    calm(driver, read, 0.6)
    second = read.parts.scene.parameters.record
    assert second is not first
    assert read.logic.case.state.review is None
    read.parts.ui.caseSelector.setCurrentNode(first)
    calm(driver, read)
    assert read.logic.case.state.reports["L1"].impression == "First case."
    assert read.parts.scene.parameters.masks is not None
    read.parts.ui.caseSelector.setCurrentNode(second)
    calm(driver, read)
    assert read.logic.case.state.review is None
    assert read.parts.scene.parameters.masks is None


def test_a_map_that_came_with_another_scene_is_not_this_cases(driver, read, tmp_path):
    import slicer

    scene, name = read.parts.scene, "L1-malignancy.nii.gz"
    calm(driver, read, 0.6)
    ours = scene.parameters.record
    other = slicer.vtkMRMLScene()
    record = slicer.vtkMRMLTextNode()
    record.SetAttribute("RenalCLIP.Case", "1")
    record.SetText("{}")
    other.AddNode(record)
    while record.GetID() != ours.GetID():
        other.RemoveNode(record)
        other.AddNode(record)
    foreign = slicer.vtkMRMLScalarVolumeNode()
    foreign.SetName("map of another patient")
    foreign.SetAttribute("RenalCLIP.Map", name)
    foreign.SetNodeReferenceID("RenalCLIP.Case", record.GetID())
    foreign.SetAttribute("RenalCLIP.Case", record.GetID())
    other.AddNode(foreign)
    other.SetURL(str(tmp_path / "other.mrml"))
    assert other.Commit(other.GetURL())
    slicer.mrmlScene.SetURL(other.GetURL())
    slicer.mrmlScene.Import()
    calm(driver, read)
    imported = slicer.util.getNode("map of another patient")
    scene.showRecord(ours)
    assert imported.GetNodeReference("RenalCLIP.Case") not in (None, ours)
    assert scene.mapNode(name, "", "") is None
    scene.showRecord(imported.GetNodeReference("RenalCLIP.Case"))
    assert scene.mapNode(name, "", "") is imported


def volume(name, shape=(4, 5, 6), kind="vtkMRMLScalarVolumeNode"):
    import slicer

    return slicer.util.addVolumeFromArray(np.zeros(shape, dtype=np.int16), None, name, kind)


def choose(widget, **nodes):
    for phase, node in nodes.items():
        getattr(widget.parts.ui, f"phase{phase}Selector").setCurrentNode(node)


@pytest.mark.parametrize(
    ("shape", "words"),
    [((1, 5, 6), "two-dimensional"), ((4, 5, 6, 3), "several values per voxel")],
)
def test_a_volume_that_is_no_ct_series_is_refused_by_name(driver, widget, worker, shape, words):
    import slicer

    kind = "vtkMRMLScalarVolumeNode" if len(shape) == 3 else "vtkMRMLVectorVolumeNode"
    node = volume("odd", shape, kind)
    widget.parts.scene.setPhaseNode("A", node)
    calm(driver, widget)
    widget.logic.case.tell("nodes")
    calm(driver, widget)
    widget.parts.ui.usePhasesButton.click()
    calm(driver, widget)
    assert words in str(widget.parts.ui.messageLabel.text)
    assert "study.import" not in worker.methods()
    assert slicer.mrmlScene.IsNodePresent(node)


def test_one_volume_for_two_phases_is_refused(driver, widget, worker):
    node = volume("one")
    choose(widget, A=node, V=node)
    calm(driver, widget)
    widget.parts.ui.usePhasesButton.click()
    calm(driver, widget)
    assert "two phases" in str(widget.parts.ui.messageLabel.text)


def test_volumes_of_different_patients_are_refused(driver, widget, worker):
    import slicer

    hierarchy = slicer.mrmlScene.GetSubjectHierarchyNode()
    if hierarchy is None:
        hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    nodes = {phase: volume(phase) for phase in "AV"}
    for phase, node in nodes.items():
        patient = hierarchy.CreateSubjectItem(hierarchy.GetSceneItemID(), f"Patient {phase}")
        item = hierarchy.GetItemByDataNode(node) or hierarchy.CreateItem(patient, node)
        hierarchy.SetItemParent(item, patient)
    choose(widget, **nodes)
    calm(driver, widget)
    widget.parts.ui.usePhasesButton.click()
    calm(driver, widget)
    assert "different patients" in str(widget.parts.ui.messageLabel.text)
    assert "study.import" not in worker.methods()


def test_one_phase_alone_is_a_study(driver, widget, worker, answers, files):
    import slicer

    worker.automatic["study.import"] = {
        **answers["study.import"],
        "reference": "V",
        "phases": [item for item in answers["study.import"]["phases"] if item["phase"] == "V"],
    }
    node = slicer.util.loadVolume(answers["study.open"]["phases"][1]["file"])
    choose(widget, V=node)
    calm(driver, widget)
    ui = widget.parts.ui
    ui.usePhasesButton.click()
    calm(driver, widget)
    sent = next(item for item in worker.sent if item.method == "study.import").params
    assert [entry.split("=")[0] for entry in sent["phases"]] == ["V"]
    assert widget.parts.scene.phaseNodes() == {"V": node}
    assert "reference" in str(ui.phaseVLabel.text)
    manager = slicer.app.layoutManager()
    shown = [manager.sliceWidget(f"Renal{phase}").mrmlSliceCompositeNode().GetBackgroundVolumeID() for phase in "AVND"]
    assert [bool(name) for name in shown] == [False, True, False, False]
    ui.segmentButton.click()
    calm(driver, widget)
    assert widget.parts.scene.parameters.masks is not None
    assert widget.parts.scene.marks.position() == pytest.approx(files[2].primary.centre_lps_mm, abs=1e-3)
    ui.layoutPlanesButton.click()
    calm(driver, widget)
    assert manager.sliceWidget("Red").mrmlSliceCompositeNode().GetBackgroundVolumeID() == node.GetID()
    widget.logic.case.centres.nudge(2.0, 0.0, 0.0)
    answerMove(driver, widget, worker, files)
    assert not widget.logic.case.busy


def test_chosen_volumes_are_written_with_their_transforms_and_imported(driver, widget, worker):
    import slicer

    nodes = {phase: volume(phase, (8, 9, 10)) for phase in "AV"}
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "shift")
    matrix = slicer.util.vtkMatrixFromArray(np.array([[1, 0, 0, 7], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]]))
    transform.SetMatrixTransformToParent(matrix)
    nodes["V"].SetAndObserveTransformNodeID(transform.GetID())
    choose(widget, **nodes)
    calm(driver, widget)
    widget.parts.ui.usePhasesButton.click()
    calm(driver, widget)
    sent = next(item for item in worker.sent if item.method == "study.import").params
    files = dict(entry.split("=", 1) for entry in sent["phases"])
    first, second = (read_volume(Path(files[phase])).geometry.lps((0, 0, 0)) for phase in "AV")
    shift = np.subtract(second, first)
    assert list(shift) == pytest.approx([-7, 0, 0])
    assert nodes["V"].GetTransformNodeID() == transform.GetID(), "the person's volume stays as it was"


def movedBy(offset, *nodes):
    """Put nodes under one linear transform, turned and shifted."""
    import slicer

    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "moved")
    matrix = np.array([[0.8, -0.6, 0, offset], [0.6, 0.8, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    for node in nodes:
        node.SetAndObserveTransformNodeID(transform.GetID())


def test_masks_lie_where_the_volumes_are_written_when_all_were_moved(driver, read, files):
    import slicer

    scene = read.parts.scene
    movedBy(40, *scene.phaseNodes().values(), scene.parameters.masks)
    before = slicer.mrmlScene.GetNumberOfNodes()
    phases = scene.phaseFiles()
    masks, phase, given = (read_volume(Path(name)) for name in (scene.masksFile(), phases["A"], files[1]))
    for corner in ((0, 0, 0), (40, 30, 20)):
        assert masks.geometry.lps(corner) == pytest.approx(phase.geometry.lps(corner), abs=1e-3)
    assert np.array_equal(masks.array, given.array)
    assert slicer.mrmlScene.GetNumberOfNodes() == before, "no helper stays in the scene"


def test_masks_drawn_on_moved_volumes_lie_where_the_volumes_are_written(driver, read, files):
    scene = read.parts.scene
    movedBy(2, *scene.phaseNodes().values())
    phases = scene.phaseFiles()
    masks, phase, given = (read_volume(Path(name)) for name in (scene.masksFile(), phases["A"], files[1]))
    assert masks.geometry.lps((9, 9, 9)) == pytest.approx(phase.geometry.lps((9, 9, 9)), abs=1e-3)
    centres = [np.mean(np.argwhere(volume.array == 2), axis=0) for volume in (masks, given)]
    places = [volume.geometry.lps(tuple(at)) for volume, at in zip((masks, given), centres, strict=True)]
    assert places[0] == pytest.approx(places[1], abs=1.0), "the segmentation itself was not moved"


def test_masks_under_a_transform_that_bends_lie_where_the_volumes_are_written(driver, read):
    import slicer
    import vtk

    scene = read.parts.scene
    corners = np.array(np.meshgrid([-150, 150], [-150, 150], [-150, 150])).reshape(3, -1).T.astype(float)
    before, after = vtk.vtkPoints(), vtk.vtkPoints()
    for corner in [*corners, np.zeros(3)]:
        before.InsertNextPoint(corner)
        after.InsertNextPoint(corner + (0 if corner.any() else 9))
    bend = vtk.vtkThinPlateSplineTransform()
    bend.SetSourceLandmarks(before)
    bend.SetTargetLandmarks(after)
    bend.SetBasisToR()
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTransformNode", "bent")
    transform.SetAndObserveTransformToParent(bend)
    for node in (*scene.phaseNodes().values(), scene.parameters.masks):
        node.SetAndObserveTransformNodeID(transform.GetID())
    with pytest.raises(ValueError, match="Use these phases"):
        scene.masksFile()
    phases = scene.phaseFiles()
    masks, phase = (read_volume(Path(name)) for name in (scene.masksFile(), phases["A"]))
    assert masks.geometry.size == phase.geometry.size
    assert masks.geometry.lps((5, 6, 7)) == pytest.approx(phase.geometry.lps((5, 6, 7)), abs=1e-3)
    assert set(np.unique(masks.array)) >= {1, 2}


def test_masks_of_an_opened_study_keep_its_frame_when_its_volumes_are_moved(driver, read, files):
    scene = read.parts.scene
    movedBy(40, *scene.phaseNodes().values(), scene.parameters.masks)
    masks, given = read_volume(Path(scene.masksFile())), read_volume(files[1])
    assert masks.geometry.lps((0, 0, 0)) == pytest.approx(given.geometry.lps((0, 0, 0)), abs=1e-3)
    assert np.array_equal(masks.array, given.array), "the worker opens the study's own files"


def test_a_segmentation_without_a_kidney_is_refused_by_name(driver, opened, worker):
    import slicer

    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Liver only")
    node.GetSegmentation().AddEmptySegment("a", "liver")
    opened.parts.ui.masksSelector.setCurrentNode(node)
    calm(driver, opened)
    opened.parts.ui.useMasksButton.click()
    calm(driver, opened)
    assert "Liver only" in str(opened.parts.ui.messageLabel.text)
    assert "segment" not in worker.methods()


def test_segments_named_in_other_words_are_understood(driver, opened):
    import slicer
    from RenalCLIPSlicerLib.SceneLabels import labelled

    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Other")
    for name in ("Left kidney", "Renal mass", "Simple cyst", "Liver"):
        node.GetSegmentation().AddEmptySegment(name, name)
    known = {"kidney": ["Left kidney"], "tumour": ["Renal mass"], "cyst": ["Simple cyst"], "": ["Liver"]}
    assert labelled(node) == known
    coded = node.GetSegmentation().GetSegment("Liver")
    entry = "Segmentation category and type - DICOM master list~SCT^49755003^x~SCT^86049000^Neoplasm, Primary~^^~~^^~^^"
    coded.SetTag(slicer.vtkSegment.GetTerminologyEntryTagName(), entry)
    assert labelled(node)["tumour"] == ["Renal mass", "Liver"], "codes count before names"


def segmentationOf(name, *segments):
    """A segmentation with empty segments."""
    import slicer

    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
    for segment in segments:
        node.GetSegmentation().AddEmptySegment(segment, segment)
    return node


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("left adrenal gland", ""),
        ("adrenal_gland_right", ""),
        ("suprarenal mass", ""),
        ("renal artery", ""),
        ("RenalVein", ""),
        ("liver parenchyma", ""),
        ("liver_cyst", ""),
        ("Segment_1", ""),
        ("kidney_left", "kidney"),
        ("rightKidney2", "kidney"),
        ("Ren sinister", "kidney"),
        ("kidney_cyst_left", "cyst"),
        ("kidney tumor", "tumour"),
        ("RCC1", "tumour"),
    ],
)
def test_only_whole_words_of_a_segments_name_count(driver, opened, name, label):
    from RenalCLIPSlicerLib.SceneLabels import labelled

    assert labelled(segmentationOf("Other software", name)) == {label: [name]}


@pytest.mark.parametrize(
    ("codes", "label"),
    [
        ("SCT^123037004^Anatomical Structure~SCT^23451007^Adrenal gland~^^~~^^~^^", ""),
        ("SCT^123037004^Anatomical Structure~SCT^9846003^Right kidney~^^~~^^~^^", "kidney"),
        ("SCT^85756007^Tissue~SCT^85756007^Tissue~^^~~^^~^^", "kidney"),
        ("SCT^49755003^x~SCT^4147007^Mass~^^~~SCT^10200004^Liver~^^", ""),
        ("SCT^49755003^x~SCT^4147007^Mass~^^~~SCT^64033007^Kidney~^^", "tumour"),
    ],
)
def test_a_code_of_another_organ_counts_before_the_name_and_slicers_default_code_says_nothing(
    driver, opened, codes, label
):
    import slicer
    from RenalCLIPSlicerLib.SceneLabels import labelled

    node = segmentationOf("Coded", "kidney")
    segment = node.GetSegmentation().GetSegment("kidney")
    segment.SetTag(slicer.vtkSegment.GetTerminologyEntryTagName(), f"List~{codes}")
    assert labelled(node) == {label: ["kidney"]}


def test_a_chosen_segmentation_says_what_its_segments_are_taken_as(driver, opened):
    ui = opened.parts.ui
    ui.masksSelector.setCurrentNode(segmentationOf("Total", "kidney_left", "kidney_right", "adrenal_gland_left"))
    calm(driver, opened)
    assert "kidney: kidney_left, kidney_right; left out: adrenal_gland_left" in str(ui.masksLabel.text)
    organs = [f"organ{chr(number)}" for number in range(ord("a"), ord("z"))]
    ui.masksSelector.setCurrentNode(segmentationOf("Body", *organs))
    calm(driver, opened)
    assert "organf and 19 more" in str(ui.masksLabel.text)
    ui.masksSelector.setCurrentNode(segmentationOf("Odd", "Segment_1"))
    ui.useMasksButton.click()
    calm(driver, opened)
    assert "left out: Segment_1" in str(ui.messageLabel.text)


def test_an_absent_part_is_shown_with_its_reason(driver, read, worker, files):
    bare = placed(files[2])
    lesion = replace(bare.lesions[0], predicted=Absent("No bundle is loaded."), report=Absent("No bundle is loaded."))
    worker.automatic["review"] = encode(replace(bare, lesions=(lesion,)))
    read.parts.ui.readButton.click()
    calm(driver, read)
    ui = read.parts.ui
    assert "not read this lesion" in str(ui.recurrenceLabel.text)
    assert "No bundle is loaded." in str(ui.reportStateLabel.text)
    assert ui.findingsEdit.readOnly


def test_totals_of_masks_that_were_not_varied_show_no_share(driver, read, worker, files):
    bare = placed(files[2])
    total = NephrometryTotal(7, "7a", "moderate", {})
    measurement = Measured((), total)
    lesion = replace(bare.lesions[0], predicted=Absent("No bundle is loaded."), measured=measurement)
    worker.automatic["review"] = encode(replace(bare, lesions=(lesion,)))
    read.parts.ui.readButton.click()
    calm(driver, read)
    shown = str(read.parts.ui.nephrometryTotalLabel.text)
    assert "7a" in shown
    assert "%" not in shown


def test_a_reload_leaves_no_process_and_no_observer(driver, read, worker):
    import slicer

    case = read.logic.case
    driver.host.close_module()
    assert not worker.running
    assert case.listeners == []
    slicer.mrmlScene.Clear(0)
    driver.settle(0.1)


def test_the_sample_is_made_by_the_worker_and_opened(driver, widget, worker, monkeypatch):
    import importlib
    import sys
    import types

    registered = []
    logic = types.SimpleNamespace(registerCustomSampleDataSource=lambda **given: registered.append(given))
    monkeypatch.setitem(sys.modules, "SampleData", types.SimpleNamespace(SampleDataLogic=logic))
    module = importlib.import_module(type(widget).__module__)
    module.registerSampleData()
    worker.automatic["phantom.study"] = {"folder": "/no/such/phantom"}
    assert Path(registered[0]["thumbnailFileName"]).is_file()
    assert registered[0]["customDownloader"](None) == []
    calm(driver, widget)
    assert worker.sent[-1].method == "phantom.study"
    assert worker.sent[-1].params["seed"] == 2026
    assert "There is no folder or file phantom" in str(widget.parts.ui.messageLabel.text)


def test_without_slicers_sample_data_the_module_registers_none_and_goes_on(driver, widget, worker, monkeypatch):
    import importlib
    import sys

    monkeypatch.setitem(sys.modules, "SampleData", None)
    sent = len(worker.sent)
    assert importlib.import_module(type(widget).__module__).registerSampleData() is None
    assert len(worker.sent) == sent
    assert widget.parts.ui.sampleButton.isEnabled()


def test_a_closed_scene_takes_its_bundle_along(driver, widget, worker, files):
    import slicer

    ui, parts = widget.parts.ui, widget.parts
    ui.bundlePathEdit.currentPath = "/models/hospital"
    ui.useBundleButton.click()
    calm(driver, widget)
    widget.openStudy(str(files[0].folder))
    calm(driver, widget)
    slicer.mrmlScene.Clear(0)
    calm(driver, widget)
    shown = (parts.scene.parameters.bundle, widget.logic.case.bundle, str(ui.bundlePathEdit.currentPath))
    assert shown == ("", "", "")
    assert "the bundle that ships" in str(ui.setupLabel.text)
    widget.openStudy(str(files[0].folder))
    calm(driver, widget)
    slicer.mrmlScene.Clear(0)
    calm(driver, widget)
    widget.openStudy(str(files[0].folder))
    calm(driver, widget)
    loads = [item.params for item in worker.sent if item.method == "bundle.load"]
    assert loads == [{"path": "/models/hospital"}, {}], "the same bundle is loaded once"
    assert "toy 1" in str(ui.setupLabel.text)


def test_a_missing_core_opens_the_setup_with_the_command(driver, widget, worker, files):
    worker.problem = (
        "RenalCLIP is not installed in this Python. Install it with:  /usr/bin/python3 -m pip install renalclip"
    )
    widget.openStudy(str(files[0].folder))
    calm(driver, widget)
    assert "-m pip install" in str(widget.parts.ui.messageLabel.text)
    assert widget.parts.ui.openButton.enabled
    worker.problem = ""
    widget.openStudy(str(files[0].folder))
    calm(driver, widget)
    assert widget.logic.case.state.study
