"""The module in the window: the point is dragged by mouse, work never blocks, cancel and a lost worker are survived."""

import json
import os
import signal
from contextlib import suppress

import psutil
import pytest
from PySide6 import QtCore, QtTest

from Testing.Core.phantom_case import make_phantom, write_phantom_study

LEFT = QtCore.Qt.MouseButton.LeftButton


@pytest.fixture(scope="session")
def study(tmp_path_factory):
    """Folder of a coarse phantom study."""
    volumes, labels, _ = make_phantom()
    return write_phantom_study(tmp_path_factory.mktemp("phantom") / "study", volumes, labels)[0].folder


@pytest.fixture
def opened(driver, study):
    """The module's widget with the study open."""
    widget = driver.open_module()
    assert widget.openStudy(str(study))
    idle(driver, widget, "the study")
    assert widget.logic.case.state.study
    return widget


class Heartbeat:
    """Counts how often the event loop comes round."""

    def __init__(self):
        self.beats = 0
        self.timer = QtCore.QTimer()
        self.timer.setInterval(20)
        self.timer.timeout.connect(self.beat)
        self.timer.start()

    def beat(self):
        self.beats += 1


def idle(driver, widget, what):
    """Wait until nothing runs and everything is shown."""
    driver.wait(lambda: not widget.logic.case.busy and widget.parts.settled, seconds=240, what=what)
    driver.settle(0.2)


def click(driver, button):
    """Click a button with the mouse."""
    QtTest.QTest.mouseClick(button, LEFT)
    driver.settle()


def children():
    """The workers' processes that this one started, with all that they started; others belong to other tests."""
    found = []
    for child in psutil.Process().children():
        with suppress(psutil.NoSuchProcess):
            if child.status() != psutil.STATUS_ZOMBIE and any("StartWorker" in part for part in child.cmdline()):
                found += [child, *child.children(recursive=True)]
    return found


def centre_ras(widget):
    """Where the centre's point lies in the scene."""
    ras = [0.0, 0.0, 0.0]
    widget.parts.scene.parameters.centre.GetNthControlPointPositionWorld(0, ras)
    return ras


def test_dragging_the_point_in_a_slice_reads_the_lesion_anew(driver, opened):
    ui, case = opened.parts.ui, opened.logic.case
    heart = Heartbeat()
    click(driver, ui.segmentButton)
    assert case.busy
    idle(driver, opened, "the reading")
    assert heart.beats > 20  # events were handled meanwhile
    before, lesion = centre_ras(opened), case.state.lesion
    first = case.state.lesionReview(lesion).predicted.malignancy
    click(driver, ui.layoutPlanesButton)
    click(driver, ui.jumpButton)
    driver.drawn()
    view = driver.slice_view("Red")

    at = driver.position_of(view, before)
    driver.drag(view, at, at + QtCore.QPoint(30, 12))
    assert centre_ras(opened) == before, "a locked point stays"

    click(driver, ui.correctButton)
    click(driver, ui.jumpButton)
    driver.drawn()
    at = driver.position_of(view, before)
    driver.drag(view, at, at + QtCore.QPoint(30, 12))
    idle(driver, opened, "the refreshed panels")
    after = centre_ras(opened)
    assert after[0] < before[0] - 3, "screen right is the patient's left, where R falls"
    assert after[1] < before[1] - 1, "screen down is posterior"
    assert after[2] == pytest.approx(before[2], abs=0.01)
    review = case.state.lesionReview(lesion)
    assert review.centre_used.source == "manual"
    assert review.centre_used.lps_mm == pytest.approx((-after[0], -after[1], after[2]), abs=0.01)
    assert review.predicted.malignancy != first

    click(driver, ui.undoButton)
    idle(driver, opened, "the undone centre")
    assert centre_ras(opened) == pytest.approx(before, abs=0.01)


def test_cancel_returns_to_idle_and_the_end_leaves_no_child(driver, opened):
    ui, case = opened.parts.ui, opened.logic.case
    click(driver, ui.segmentButton)
    driver.wait(lambda: case.task is not None and ui.taskFrame.visible, what="the work")
    driver.settle(0.3)
    click(driver, ui.cancelButton)
    idle(driver, opened, "the cancelled work")
    assert case.state.review is None
    assert ui.segmentButton.enabled
    assert not ui.taskFrame.visible
    driver.host.close_module()
    driver.wait(lambda: not children(), seconds=20, what="the end of all child processes")


def test_killed_worker_gives_a_message_and_a_working_restart_that_loses_nothing(driver, opened, tmp_path):
    ui, case = opened.parts.ui, opened.logic.case
    os.kill(opened.parts.worker.processId, signal.SIGKILL)
    driver.wait(lambda: not opened.parts.worker.running, what="the loss to be noticed")
    assert "ended unexpectedly" in ui.messageLabel.text
    assert ui.messageLabel.visible
    click(driver, ui.segmentButton)
    idle(driver, opened, "the reading after a restart")
    assert case.state.review is not None, case.message
    assert ui.segmentButton.enabled

    driver.wait(lambda: not case.later.underWay, seconds=240, what="the whole reading")
    case.notes.decide("malignancy", "accepted", "agreed")
    os.kill(opened.parts.worker.processId, signal.SIGKILL)
    driver.wait(lambda: not opened.parts.worker.running, what="the loss to be noticed")
    ui.savePathEdit.currentPath = str(tmp_path / "saved")
    click(driver, ui.saveButton)
    idle(driver, opened, "the saved review")
    saved = json.loads((tmp_path / "saved" / "review.json").read_text(encoding="utf-8"))
    assert saved["segmentation"]["source"] == "model", "the masks are the model's, not a given file"
    assert saved["segmentation"]["sha256"] == case.state.review.segmentation.sha256
    assert saved["provenance"]["options"]["precision"] == case.state.review.provenance.options["precision"]
    lesion = saved["lesions"][0]
    assert "absent" not in lesion["measured"], "what was shown before the loss is in what was saved after it"
    assert all("absent" not in lesion["predicted"][part] for part in ("explanation", "uncertainty"))
    assert saved["sign_off"][0]["comment"] == "agreed"
