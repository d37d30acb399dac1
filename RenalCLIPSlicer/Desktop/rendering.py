"""A Qt widget that shows one of Slicer's views: rendered off screen, copied into an image, fed with Qt's events.

Embedding VTK's own window in Qt leaves stray windows and wrong grabs behind; copying costs a few milliseconds.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from PySide6 import QtCore, QtGui, QtWidgets
from trame_slicer.views import AbstractView
from trame_slicer.views.render_scheduler import ScheduledRenderStrategy
from vtkmodules.util.numpy_support import vtk_to_numpy
from vtkmodules.vtkCommonCore import vtkUnsignedCharArray

from . import pythonqt

pythonqt.install()

_BUTTONS = {
    QtCore.Qt.MouseButton.LeftButton: "LeftButton",
    QtCore.Qt.MouseButton.MiddleButton: "MiddleButton",
    QtCore.Qt.MouseButton.RightButton: "RightButton",
}
_KEYS = {
    QtCore.Qt.Key.Key_Delete: "Delete",
    QtCore.Qt.Key.Key_Backspace: "BackSpace",
    QtCore.Qt.Key.Key_Escape: "Escape",
    QtCore.Qt.Key.Key_Return: "Return",
    QtCore.Qt.Key.Key_Left: "Left",
    QtCore.Qt.Key.Key_Right: "Right",
    QtCore.Qt.Key.Key_Up: "Up",
    QtCore.Qt.Key.Key_Down: "Down",
    QtCore.Qt.Key.Key_Space: "space",
    QtCore.Qt.Key.Key_Shift: "Shift_L",
    QtCore.Qt.Key.Key_Control: "Control_L",
}
_LEAST_PIXELS = 16


class OnTimer(ScheduledRenderStrategy):
    """Renders once, a moment after the first of any number of requests, when the widget can be seen."""

    def __init__(self, widget: RenderedView, delay_ms: int) -> None:
        super().__init__()
        self._widget = widget
        self._timer = QtCore.QTimer(widget)
        self._timer.setSingleShot(True)
        self._timer.setInterval(delay_ms)
        self._timer.timeout.connect(widget._render_now)

    def schedule_render(self) -> None:
        if self._widget._pauses == 0 and not self._timer.isActive():
            self._timer.start()

    def did_render(self) -> None:
        self._timer.stop()


class RenderedView(QtWidgets.QWidget):
    """Shows ``view`` and hands mouse, wheel and keys on to its interactor.

    Args:
        view: Slicer's view; it becomes off-screen.
        delay_ms: How long render requests are gathered.
    """

    _rendered = QtCore.Signal()

    def __init__(self, view: AbstractView, delay_ms: int) -> None:
        super().__init__()
        self._view = view
        self._pauses = 0
        self._image: QtGui.QImage | None = None
        self._pixels = vtkUnsignedCharArray()
        self._stale = True
        view.render_window().SetOffScreenRendering(1)
        view.render_window().SetMultiSamples(0)  # several times the frame time in software
        view.set_scheduled_render(OnTimer(self, delay_ms))
        self.setMouseTracking(True)
        self.setFocusPolicy(QtCore.Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QtWidgets.QSizePolicy.Policy.Expanding, QtWidgets.QSizePolicy.Policy.Expanding)
        self.setMinimumSize(80, 80)
        self.setAttribute(QtCore.Qt.WidgetAttribute.WA_OpaquePaintEvent)

    def _render_now(self) -> None:
        """Render and copy the picture, unless nobody sees it."""
        if not self.isVisible() or self._pauses:
            self._stale = True
            return
        self._stale = False
        self._view.render()
        window = self._view.render_window()
        width, height = window.GetSize()
        window.GetRGBACharPixelData(0, 0, width - 1, height - 1, 0, self._pixels)
        data = vtk_to_numpy(self._pixels).reshape(height, width, 4)
        rows = np.ascontiguousarray(data[::-1])
        image = QtGui.QImage(rows.data, width, height, 4 * width, QtGui.QImage.Format.Format_RGBX8888)
        self._image = image.copy()
        self.update()
        self._rendered.emit()

    def _pause(self, paused: bool) -> None:
        """Count render pauses; the picture is brought up to date when the last one ends."""
        self._pauses = max(0, self._pauses + (1 if paused else -1))
        if not self._pauses:
            self._view.schedule_render()

    def paintEvent(self, event: QtGui.QPaintEvent) -> None:
        painter = QtGui.QPainter(self)
        try:
            if self._image is None:
                painter.fillRect(self.rect, QtGui.QColor(0, 0, 0))
            else:
                painter.drawImage(self.rect, self._image)
            self._draw_over(painter)
        finally:
            painter.end()

    def _draw_over(self, painter: QtGui.QPainter) -> None:
        """What is drawn over the picture; nothing here."""

    def resizeEvent(self, event: QtGui.QResizeEvent) -> None:
        self._resize()

    def showEvent(self, event: QtGui.QShowEvent) -> None:
        self._resize()
        if self._stale:
            self._view.schedule_render()

    def _resize(self) -> None:
        ratio = self.devicePixelRatio()
        width = max(_LEAST_PIXELS, round(self.width * ratio))
        height = max(_LEAST_PIXELS, round(self.height * ratio))
        if self._view.render_window().GetSize() != (width, height):
            self._view.render_window().SetSize(width, height)
            self._view.interactor().UpdateSize(width, height)
            self._view.interactor().InvokeEvent("WindowResizeEvent")
            self._view.schedule_render()

    def mousePressEvent(self, event: QtGui.QMouseEvent) -> None:
        self.setFocus()
        self._mouse(event, "Press")

    def mouseReleaseEvent(self, event: QtGui.QMouseEvent) -> None:
        self._mouse(event, "Release")

    def mouseDoubleClickEvent(self, event: QtGui.QMouseEvent) -> None:
        self._mouse(event, "DoubleClick")

    def mouseMoveEvent(self, event: QtGui.QMouseEvent) -> None:
        self._place(event.position(), event.modifiers())
        self._view.interactor().MouseMoveEvent()

    def wheelEvent(self, event: QtGui.QWheelEvent) -> None:
        self._place(event.position(), event.modifiers())
        forward = event.angleDelta().y() >= 0
        interactor = self._view.interactor()
        interactor.MouseWheelForwardEvent() if forward else interactor.MouseWheelBackwardEvent()

    def enterEvent(self, event: QtGui.QEnterEvent) -> None:
        self._place(event.position(), event.modifiers())
        self._view.interactor().EnterEvent()

    def leaveEvent(self, event: QtCore.QEvent) -> None:
        self._view.interactor().LeaveEvent()

    def keyPressEvent(self, event: QtGui.QKeyEvent) -> None:
        self._key(event, "KeyPressEvent")

    def keyReleaseEvent(self, event: QtGui.QKeyEvent) -> None:
        self._key(event, "KeyReleaseEvent")

    def _mouse(self, event: QtGui.QMouseEvent, what: str) -> None:
        button = _BUTTONS.get(event.button())
        if button is not None:
            self._place(event.position(), event.modifiers())
            self._view.interactor().InvokeEvent(f"{button}{what}Event")

    def _place(self, position: QtCore.QPointF, modifiers: Any, key: str = "", symbol: str | None = None) -> None:
        ratio = self.devicePixelRatio()
        height = self._view.render_window().GetSize()[1]
        x, y = int(position.x() * ratio), height - 1 - int(position.y() * ratio)
        control = bool(modifiers & QtCore.Qt.KeyboardModifier.ControlModifier)
        shift = bool(modifiers & QtCore.Qt.KeyboardModifier.ShiftModifier)
        interactor = self._view.interactor()
        interactor.SetEventInformation(x, y, control, shift, key or chr(0), 0, symbol)
        interactor.SetAltKey(bool(modifiers & QtCore.Qt.KeyboardModifier.AltModifier))

    def _key(self, event: QtGui.QKeyEvent, what: str) -> None:
        text = event.text()
        symbol = _KEYS.get(event.key(), text)
        if not symbol:
            event.ignore()
            return
        position = QtCore.QPointF(self.mapFromGlobal(QtGui.QCursor.pos()))
        self._place(position, event.modifiers(), text if len(text) == 1 and text.isascii() else "", symbol)
        self._view.interactor().InvokeEvent(what)
        event.ignore()  # shortcuts and parents see it too

    def _close_view(self) -> None:
        """Give the render window's resources back."""
        self._view.finalize()
