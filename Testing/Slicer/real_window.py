"""A window of its own for the test with a real display: a volume, a point, and answers on standard output.

Prints one JSON line with the point's place on the screen; after each line on standard input, one with its RAS position.
"""

import json
import sys
import warnings
from pathlib import Path

from PySide6 import QtCore
from RenalCLIPDesktop.requirements import choose_platform, require

from Testing.Slicer.test_views import add_point, add_volume, position


def main(template: str) -> None:
    """Show the window until it is closed."""
    require(on_screen=choose_platform(show=True))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from RenalCLIPDesktop.host import Host
    import slicer

    host = Host(testing=True, size=(1100, 750))
    host.show()
    widget = host.open_module(Path(template))
    volume, point = add_volume(), add_point()
    view = slicer.app.layoutManager().sliceWidget("Red").sliceView()
    view.mrmlSliceNode().SetSliceOffset(0.0)
    timer = QtCore.QTimer()
    timer.setSingleShot(True)
    timer.setInterval(3000)

    def tell_place() -> None:
        x, y, _ = view.convertRASToXYZ(position(point))
        height = view._view.render_window().GetSize()[1]
        at = view.mapToGlobal(QtCore.QPoint(round(x), round(height - 1 - y)))
        box = widget.ui.invertCheckBox
        tick = box.mapToGlobal(QtCore.QPoint(8, box.height // 2))
        print(json.dumps({"point": [at.x(), at.y()], "box": [tick.x(), tick.y()]}), flush=True)

    def answer() -> None:
        sys.stdin.readline()
        state = {"ras": position(point), "inverted": widget._parameterNode.invert, "volume": volume.GetName()}
        print(json.dumps(state), flush=True)

    timer.timeout.connect(tell_place)
    timer.start()
    notifier = QtCore.QSocketNotifier(sys.stdin.fileno(), QtCore.QSocketNotifier.Type.Read)
    notifier.activated.connect(lambda *_: answer())
    status = host.qt_app.exec()
    notifier.setEnabled(False)
    host.close()
    sys.exit(status)


if __name__ == "__main__":
    main(sys.argv[1])
