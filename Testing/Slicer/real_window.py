"""The product's window for the test with a real display: a study that is read, and answers on standard output.

Prints one JSON line with places on the screen; after each line on standard input, one with the state of the case.
The worker is a stand-in that reads the lesion wherever the centre is put.
"""

import importlib
import json
import sys
import warnings
from pathlib import Path

from PySide6 import QtCore
from RenalCLIPDesktop.requirements import choose_platform, require

from RenalCLIPCore.review import encode
from Testing.Core.phantom_case import make_phantom, write_phantom_study
from Testing.Slicer.fake_worker import MASKS, FakeWorker, around, placed, studyAnswer

LOOK_MS = 500


class ReadingWorker(FakeWorker):
    """Reads the lesion around every centre that is asked for."""

    truth = None

    def request(self, method, params, done, failed, progress=None):
        if method == "review.update":
            self.automatic[method] = around(self.truth, params["centre_lps_mm"], params["lesion_id"])
        return super().request(method, params, done, failed, progress)


def make_worker(folder: Path) -> ReadingWorker:
    """A worker that knows a small phantom study."""
    volumes, labels, truth = make_phantom(phases="AV")
    study, masks = write_phantom_study(folder / "study", volumes, labels)
    answers = {
        "study.open": studyAnswer(study),
        "segment": {**MASKS, "file": str(masks)},
        "review": encode(placed(truth)),
    }
    worker = ReadingWorker(answers)
    worker.truth = truth
    return worker


def main(folder: str) -> None:
    """Show the window until it is closed."""
    require(on_screen=choose_platform(show=True))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from RenalCLIPDesktop.host import Host
        from RenalCLIPDesktop.rendering import render_queue
    import slicer

    worker = make_worker(Path(folder))
    host = Host(testing=True, size=(1200, 860))
    importlib.import_module("RenalCLIPSlicerLib.Widget").CoreProcess = lambda *_: worker
    host.show()
    widget = host.open_module()
    widget.openStudy(worker.automatic["study.open"]["folder"])
    case = widget.logic.case
    case.segment()

    def tell_places() -> None:
        if not widget.parts.settled or case.state.review is None or not render_queue().empty:
            return
        timer.stop()
        view = slicer.app.layoutManager().sliceWidget("RenalA").sliceView()
        ras = [0.0, 0.0, 0.0]
        widget.parts.scene.parameters.centre.GetNthControlPointPositionWorld(0, ras)
        x, y, _ = view.convertRASToXYZ(ras)
        height = view._view.render_window().GetSize()[1]
        point = view.mapToGlobal(QtCore.QPoint(round(x), round(height - 1 - y)))
        button = widget.parts.ui.correctButton
        press = button.mapToGlobal(QtCore.QPoint(button.width // 2, button.height // 2))
        print(json.dumps({"point": [point.x(), point.y()], "correct": [press.x(), press.y()]}), flush=True)

    def answer() -> None:
        sys.stdin.readline()
        state = {
            "lps": case.centres.history.current.lps_mm,
            "read_at": case.state.lesionReview().centre_used.lps_mm,
            "unlocked": bool(widget.parts.ui.correctButton.checked),
            "shown": str(widget.parts.ui.centreLabel.text),
        }
        print(json.dumps(state), flush=True)

    timer = QtCore.QTimer()
    timer.setInterval(LOOK_MS)
    timer.timeout.connect(tell_places)
    timer.start()
    notifier = QtCore.QSocketNotifier(sys.stdin.fileno(), QtCore.QSocketNotifier.Type.Read)
    notifier.activated.connect(lambda *_: answer())
    status = host.qt_app.exec()
    notifier.setEnabled(False)
    host.close()
    sys.exit(status)


if __name__ == "__main__":
    main(sys.argv[1])
