"""Take the pictures in Resources/Screenshots anew: ``python -m Testing.Slicer.take_pictures demo/study [FOLDER]``."""

from __future__ import annotations

import sys
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
    driver.host.close()


if __name__ == "__main__":
    main(*sys.argv[1:3])
