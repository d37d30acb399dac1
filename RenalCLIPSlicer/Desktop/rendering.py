"""A Qt widget that shows one of Slicer's views: rendered off screen, copied into an image, fed with Qt's events.

Embedding VTK's own window in Qt leaves stray windows and wrong grabs behind; copying costs a few milliseconds.
"""

from __future__ import annotations

from functools import lru_cache
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
_GATHER_MS, _NEXT_MS, _POSTPONED_MS = 5, 1, 50


class RenderQueue(QtCore.QObject):
    """Renders one view per turn of the event loop, so that several changed views never block it together.

    The view under the mouse comes first. One that can wait does so while a mouse button is down elsewhere.
    """

    def __init__(self) -> None:
        super().__init__()
        self._waiting: list[RenderedView] = []
        self._timer = QtCore.QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._turn)

    def add(self, view: RenderedView) -> None:
        """Render a view soon, once for any number of requests."""
        if view not in self._waiting:
            self._waiting.append(view)
        if not self._timer.isActive():
            self._timer.start(_GATHER_MS)

    def discard(self, view: RenderedView) -> None:
        """The view was rendered, or is gone."""
        if view in self._waiting:
            self._waiting.remove(view)

    @property
    def empty(self) -> bool:
        """Whether every view that can be seen is up to date."""
        return not any(view.isVisible() for view in self._waiting)

    def _turn(self) -> None:
        pressed = QtWidgets.QApplication.mouseButtons() != QtCore.Qt.MouseButton.NoButton
        ready = [view for view in self._waiting if not (pressed and view._patient and not view.underMouse())]
        if ready:
            view = min(ready, key=lambda item: (not item.underMouse(), item._patient))
            self.discard(view)
            view._render_now()
        if self._waiting:
            self._timer.start(_NEXT_MS if ready else _POSTPONED_MS)


class Queued(ScheduledRenderStrategy):
    """Hands render requests of a view on to the queue."""

    def __init__(self, widget: RenderedView) -> None:
        super().__init__()
        self._widget = widget

    def schedule_render(self) -> None:
        if self._widget._pauses == 0:
            render_queue().add(self._widget)

    def did_render(self) -> None:
        render_queue().discard(self._widget)


@lru_cache(maxsize=1)
def render_queue() -> RenderQueue:
    """The process's one queue."""
    return RenderQueue()


class RenderedView(QtWidgets.QWidget):
    """Shows ``view`` and hands mouse, wheel and keys on to its interactor.

    Args:
        view: Slicer's view; it becomes off-screen.
        patient: Whether it can wait while a mouse button is down elsewhere.
    """

    _rendered = QtCore.Signal()

    def __init__(self, view: AbstractView, patient: bool) -> None:
        super().__init__()
        self._view = view
        self._pauses = 0
        self._image: QtGui.QImage | None = None
        self._pixels = vtkUnsignedCharArray()
        self._stale = True
        self._patient = patient
        view.render_window().SetOffScreenRendering(1)
        view.render_window().SetMultiSamples(0)  # several times the frame time in software
        view.set_scheduled_render(Queued(self))
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
            if self._image is None or self._image.size() != self._pixel_size():
                painter.fillRect(self.rect, QtGui.QColor(0, 0, 0))  # rather nothing than a picture out of shape
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

    def _pixel_size(self) -> QtCore.QSize:
        ratio = self.devicePixelRatio()
        return QtCore.QSize(
            max(_LEAST_PIXELS, round(self.width * ratio)), max(_LEAST_PIXELS, round(self.height * ratio))
        )

    def _resize(self) -> None:
        size = self._pixel_size()
        width, height = size.width(), size.height()
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
        render_queue().discard(self)
        self._view.finalize()
