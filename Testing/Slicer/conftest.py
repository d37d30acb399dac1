"""The host as a fixture: one window per test process, a fresh scene and module per test, no exception left unseen."""

from __future__ import annotations

import os
import sys
import time
import traceback
import warnings
from pathlib import Path

import pytest

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from RenalCLIPDesktop.requirements import choose_platform, missing_libraries

choose_platform(show=False)
_HOSTS = []


class Driver:
    """A host as tests use it: waits for conditions, finds widgets, sends real Qt events."""

    def __init__(self, host):
        self.host = host
        self.failures = []

    @property
    def window(self):
        return self.host.window

    def open_module(self, path=None):
        """Load a scripted module (the product's own by default); its Python widget."""
        widget = self.host.open_module(path) if path else self.host.open_module()
        self.settle()
        return widget

    def settle(self, seconds=0.0):
        """Handle events for a while, at least once."""
        end = time.monotonic() + seconds
        self.host.settle()
        while time.monotonic() < end:
            time.sleep(0.005)
            self.host.settle()

    def wait(self, condition, seconds=60.0, what="the condition"):
        """Handle events until the condition holds."""
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, f"waited {seconds} s in vain for {what}"
            assert not self.failures, "\n".join(self.failures)
            time.sleep(0.005)
            self.host.settle()

    def drawn(self, seconds=60.0):
        """Handle events until every view shows the present state."""
        from RenalCLIPDesktop.rendering import render_queue

        self.settle(0.05)
        self.wait(lambda: render_queue().empty, seconds, "the views")
        self.settle()

    def slice_view(self, name="Red"):
        """The picture widget of a slice view."""
        import slicer

        return slicer.app.layoutManager().sliceWidget(name).sliceView()

    def position_of(self, view, ras):
        """Where a point lies in a view, in the widget's pixels."""
        from PySide6 import QtCore

        x, y, _ = view.convertRASToXYZ(ras)
        height = view._view.render_window().GetSize()[1]
        return QtCore.QPoint(round(x), round(height - 1 - y))

    def drag(self, view, start, end, steps=8):
        """Press at one pixel, move, release at another, with real mouse events."""
        from PySide6 import QtCore, QtTest

        left, none = QtCore.Qt.MouseButton.LeftButton, QtCore.Qt.KeyboardModifier.NoModifier
        for step in (12, 6, 0):  # a hand comes near before it presses
            QtTest.QTest.mouseMove(view, start + QtCore.QPoint(step, step))
            self.settle()
        QtTest.QTest.mousePress(view, left, none, start)
        for step in range(1, steps + 1):
            at = start + (end - start) * (step / steps)
            QtTest.QTest.mouseMove(view, QtCore.QPoint(at))
            self.settle()
        QtTest.QTest.mouseRelease(view, left, none, end)
        self.settle()


@pytest.fixture(scope="session")
def process_host():
    """The process's one host."""
    missing = missing_libraries(on_screen=False)
    if missing:
        pytest.skip(f"system libraries are missing: apt-get install {' '.join(missing)}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the packages behind the views, at their import
        from PySide6 import QtCore
        from RenalCLIPDesktop.host import Host

        QtCore.QSettings.setDefaultFormat(QtCore.QSettings.Format.IniFormat)
        made = Host(testing=True)
        made.show()
    yield made
    made.close()


@pytest.fixture
def driver(process_host, tmp_path, monkeypatch):
    """The host with an empty scene and settings; the test fails when anything raised in a slot or observer."""
    import slicer
    from PySide6 import QtCore

    QtCore.QSettings.setPath(
        QtCore.QSettings.Format.IniFormat, QtCore.QSettings.Scope.UserScope, str(tmp_path / "settings")
    )
    driver = Driver(process_host)

    def keep(kind, value, trace):
        driver.failures.append("".join(traceback.format_exception(kind, value, trace)))

    monkeypatch.setattr(sys, "excepthook", keep)
    monkeypatch.setattr(sys, "unraisablehook", lambda item: keep(item.exc_type, item.exc_value, item.exc_traceback))
    slicer.mrmlScene.Clear(0)
    slicer.app.layoutManager().setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)
    driver.settle()
    yield driver
    process_host.close_module()
    slicer.mrmlScene.Clear(0)
    driver.settle()
    assert not driver.failures, "raised in a slot, an event handler or an observer:\n" + "\n".join(driver.failures)


@pytest.fixture(scope="session")
def template_module():
    """Path of the small scripted module."""
    return Path(__file__).parent / "TemplateModule" / "TemplateModule.py"
