"""Take the pictures in Resources/Screenshots anew: ``python -m Testing.Slicer.take_pictures demo/study [FOLDER]``."""

from __future__ import annotations

import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

from PIL import Image
from RenalCLIPDesktop.requirements import choose_platform, require

from Testing.Slicer.conftest import Driver

OUT = Path(__file__).resolve().parents[2] / "Resources" / "Screenshots"
SIZE = (1680, 1050)


def reading_done(widget: Any) -> bool:
    """Whether the shown lesion's reading has arrived with all that follows it."""
    case = widget.logic.case
    return not case.busy and not case.later.underWay and widget.parts.settled and case.state.review is not None


def show_worklist(driver: Driver, widget: Any, study: Path) -> None:
    """Open the third case of a worklist whose cases are all this study, without predictions."""
    from RenalCLIPCore.cohort.table import EVERY_TASK_CLASSES
    from RenalCLIPCore.imaging.study import read_study
    from RenalCLIPCore.reading import saving, worklist
    from RenalCLIPCore.reading.database import Database
    from RenalCLIPCore.reading.records import Change, NewCase, Reading

    files = {phase.value: str(item.file) for phase, item in read_study(study).phases.items()}
    masks = str(study.parent / "segmentation.nrrd")
    panel = widget.parts.worklistPanel
    form, work = panel.form, panel.worklist
    with tempfile.TemporaryDirectory() as folder, Database(f"{folder}/worklist.db") as database:
        cases = [NewCase(f"P{number:02d}", f"P{number:02d}", "right", files, masks) for number in range(12)]
        worklist.create(database, cases, folder=study, questions=EVERY_TASK_CLASSES, blinded=True)
        worklist.assign(database, worklist.Plan(("A. Reader",), "without", 1))
        for place, (quality, flagged) in enumerate((("accurate", False), ("poor", True))):
            item = worklist.assignments(database)[place]
            reading = Reading((1.0, 2.0, 3.0), quality, {}, "", flagged, True)
            saving.save(database, Change(str(place), item.number, 0, reading, "A. Reader", 74.0 - 20 * place))
        widget.parts.ui.worklistSection.collapsed = False
        form.addressEdit.setText(f"{folder}/worklist.db")
        form.annotatorEdit.setText("A. Reader")
        for button in (form.connectButton, form.nextCaseButton):
            button.click()
            driver.settle(0.5)
            driver.wait(lambda: widget.parts.settled and not widget.logic.case.busy and not work.loading, 300, "it")
        driver.wait(lambda: not widget.logic.case.later.underWay and widget.parts.settled, 300, "the measurement")
        widget.parts.ui.layoutPhasesButton.click()
        form.accurateButton.click()
        form.confirmButton.click()
        form.commentEdit.setPlainText("Necrotic centre; the mask follows the enhancing rim.")
        driver.window._scroll.verticalScrollBar().setValue(0)
        driver.settle(3.0)
        driver.wait(lambda: not work.saving.unsaved, 60, "saving")


def main(study: str, folder: str | None = None) -> None:
    """Take the pictures."""
    require(on_screen=choose_platform(show=False))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from RenalCLIPDesktop.host import Host
    import slicer
    from PySide6 import QtCore

    out = Path(folder) if folder else OUT
    driver = Driver(Host(testing=True, size=SIZE))
    driver.host.show()
    widget = driver.open_module()
    ui, case = widget.parts.ui, widget.logic.case

    def take(name: str) -> None:
        driver.settle(2.0)
        file = out / f"workstation-{name}.png"
        driver.host.grab(file)
        with Image.open(file) as picture:
            picture.convert("RGB").save(file, optimize=True)

    def scroll_to(item: Any) -> None:
        top = item.mapTo(widget.parent, QtCore.QPoint(0, 0)).y()
        driver.window._scroll.verticalScrollBar().setValue(top - 40)

    widget.openStudy(study)
    driver.wait(lambda: not case.busy and widget.parts.settled, 300, "the study")
    take("loaded")
    ui.segmentButton.click()
    driver.wait(lambda: reading_done(widget), 600, "the reading")
    ui.jumpButton.click()
    take("phases")
    ui.layoutPlanesButton.click()
    ui.jumpButton.click()
    take("segmented")
    ui.correctButton.click()
    driver.settle(1.0)
    view = slicer.app.layoutManager().sliceWidget("Red").sliceView()
    ras = [0.0, 0.0, 0.0]
    widget.parts.scene.parameters.centre.GetNthControlPointPositionWorld(0, ras)
    at = driver.position_of(view, ras)
    driver.drag(view, at, at + QtCore.QPoint(14, -8))
    driver.settle(1.0)
    driver.wait(lambda: reading_done(widget), 600, "the reading around the new centre")
    scroll_to(ui.jumpButton)
    take("corrected")
    ui.acceptButton.click()
    ui.readerEdit.setText("A. Reader")
    case.notes.decide("centre", "accepted", "moved off the necrosis")
    case.notes.decide("malignancy", "rejected", "enhances like a carcinoma")
    driver.settle(0.5)
    ui.mapComboBox.setCurrentIndex(1)
    ui.explanationSection.collapsed = False
    driver.settle(0.5)
    scroll_to(ui.recurrenceSection)
    take("explained")
    ui.mapComboBox.setCurrentIndex(0)
    scroll_to(ui.qualitySection)
    take("signed")
    show_worklist(driver, widget, Path(study).resolve())
    take("worklist")
    driver.host.close()


if __name__ == "__main__":
    main(*sys.argv[1:3])
