"""Stand-ins for Slicer's slice and 3-D view widgets, on trame-slicer's views."""

from __future__ import annotations

from typing import Any, ClassVar

import slicer
from PySide6 import QtCore, QtGui, QtWidgets
from trame_slicer.views import SliceView, ThreeDView
from trame_slicer.views.slice_view import SliceLayer

from .annotations import corner_texts, draw_ruler, draw_texts, edge_texts
from .mrml_widgets import qMRMLWidget
from .pythonqt import StandIn
from .rendering import RenderedView

_OFFSET_STEPS = 10000


class qMRMLSliceView(StandIn, RenderedView):
    """The picture of a slice, annotated."""

    def __init__(self, view: SliceView) -> None:
        super().__init__(view, patient=False)

    def _draw_over(self, painter: QtGui.QPainter) -> None:
        node = self._view.get_view_node()
        volume_id = self._view.get_layer_volume_id(SliceLayer.Background)
        volume = slicer.mrmlScene.GetNodeByID(volume_id) if volume_id else None
        texts = corner_texts(node.GetLayoutLabel() or "", volume)
        if volume is not None:
            texts += edge_texts(node)
            size = node.GetDimensions()
            if size[0] > 0:
                draw_ruler(painter, self.rect, node.GetFieldOfView()[0] / size[0] * self.devicePixelRatio())
        draw_texts(painter, self.rect, texts)

    def mrmlSliceNode(self) -> slicer.vtkMRMLSliceNode:
        return self._view.get_view_node()

    def convertRASToXYZ(self, ras: Any) -> list[float]:
        return _through(self.mrmlSliceNode().GetXYToRAS(), ras, inverse=True)

    def convertXYZToRAS(self, xyz: Any) -> list[float]:
        return _through(self.mrmlSliceNode().GetXYToRAS(), xyz, inverse=False)

    def convertDeviceToXYZ(self, xy: Any) -> list[float]:
        return [float(xy[0]), float(self._view.render_window().GetSize()[1] - 1 - xy[1]), 0.0]

    def displayableManagerByClassName(self, name: str) -> Any:
        return self._view.get_displayable_manager_by_class(name)

    @QtCore.Slot()
    def scheduleRender(self) -> None:
        self._view.schedule_render()

    @QtCore.Slot()
    def forceRender(self) -> None:
        self._render_now()

    def renderWindow(self) -> Any:
        return self._view.render_window()

    def interactor(self) -> Any:
        return self._view.interactor()


class qMRMLThreeDView(StandIn, RenderedView):
    """The picture of a 3-D view."""

    def __init__(self, view: ThreeDView) -> None:
        super().__init__(view, patient=True)
        view.renderer().SetUseDepthPeeling(False)
        view.set_background_gradient_color([38, 42, 51], [80, 88, 105])

    def _draw_over(self, painter: QtGui.QPainter) -> None:
        draw_texts(painter, self.rect, corner_texts("3-D", None))

    def mrmlViewNode(self) -> slicer.vtkMRMLViewNode:
        return self._view.get_view_node()

    def cameraNode(self) -> Any:
        return self._view.get_camera_node()

    def resetCamera(self, *_: Any) -> None:
        self._view.reset_camera()

    @QtCore.Slot()
    def resetFocalPoint(self) -> None:
        self._view.reset_focal_point()

    def displayableManagerByClassName(self, name: str) -> Any:
        return self._view.get_displayable_manager_by_class(name)

    @QtCore.Slot()
    def scheduleRender(self) -> None:
        self._view.schedule_render()

    @QtCore.Slot()
    def forceRender(self) -> None:
        self._render_now()

    def renderWindow(self) -> Any:
        return self._view.render_window()

    def interactor(self) -> Any:
        return self._view.interactor()


class _OffsetBar(QtWidgets.QFrame):
    """The bar above a slice: a colour, the orientation, a slider and its position in millimetres."""

    def __init__(self, view: SliceView, rendered: RenderedView) -> None:
        super().__init__()
        self._view = view
        self._following = False
        row = QtWidgets.QHBoxLayout(self)
        row.setContentsMargins(6, 1, 6, 1)
        self._name = QtWidgets.QLabel()
        self._slider = QtWidgets.QSlider(QtCore.Qt.Orientation.Horizontal)
        self._slider.setRange(0, _OFFSET_STEPS)
        self._slider.setFocusPolicy(QtCore.Qt.FocusPolicy.ClickFocus)
        self._offset = QtWidgets.QLabel()
        self._offset.setAlignment(QtCore.Qt.AlignmentFlag.AlignRight | QtCore.Qt.AlignmentFlag.AlignVCenter)
        self._offset.setMinimumWidth(QtGui.QFontMetrics(self._offset.font).horizontalAdvance("S -0000.0 mm "))
        for item in (self._name, self._slider, self._offset):
            row.addWidget(item)
        row.setStretch(1, 1)
        self._slider.valueChanged.connect(self._move)
        rendered._rendered.connect(self.follow)

    def _range(self) -> tuple[float, float]:
        low, high = self._view.get_slice_range()
        return low, high

    def follow(self) -> None:
        """Show what the slice node says."""
        node = self._view.get_view_node()
        colour = QtGui.QColor.fromRgbF(*node.GetLayoutColor())
        words = f"{node.GetLayoutLabel() or ''}  {node.GetOrientation()}"
        self._name.setText(words)
        font = self._name.font
        font.setBold(True)
        self._name.setMinimumWidth(QtGui.QFontMetrics(font).horizontalAdvance(words) + 14)
        self._name.setStyleSheet(
            f"background: {colour.darker(125).name()}; color: white; font-weight: bold; padding: 0 6px;"
        )
        low, high = self._range()
        offset = self._view.get_slice_value()
        self._following = True
        self._slider.setValue(round(_OFFSET_STEPS * (offset - low) / (high - low)) if high > low else 0)
        self._following = False
        axis = node.GetSliceToRAS()
        parts = [axis.GetElement(row, 2) for row in range(3)]
        largest = max(range(3), key=lambda row: abs(parts[row]))
        value = offset if parts[largest] > 0 else -offset
        letter = ("RL", "AP", "SI")[largest][0 if value >= 0 else 1]
        self._offset.setText(f"{letter} {abs(value):.1f} mm")

    def _move(self, position: int) -> None:
        if not self._following:
            low, high = self._range()
            logic = self._view._logic
            logic.StartSliceOffsetInteraction()
            self._view.set_slice_value(low + position / _OFFSET_STEPS * (high - low))
            logic.EndSliceOffsetInteraction()


class qMRMLSliceWidget(qMRMLWidget):
    """A slice view with its bar."""

    _SIGNATURES: ClassVar = {**qMRMLWidget._SIGNATURES}

    def __init__(self, view: SliceView) -> None:
        super().__init__()
        self._view = view
        self._picture = qMRMLSliceView(view)
        self._bar = _OffsetBar(view, self._picture)
        column = QtWidgets.QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self._bar)
        column.addWidget(self._picture)
        column.setStretch(1, 1)

    def sliceView(self) -> qMRMLSliceView:
        return self._picture

    def viewWidget(self) -> qMRMLSliceView:
        return self._picture

    def sliceController(self) -> QtWidgets.QWidget:
        return self._bar

    def sliceLogic(self) -> slicer.vtkMRMLSliceLogic:
        return self._view._logic

    def mrmlSliceNode(self) -> slicer.vtkMRMLSliceNode:
        return self._view.get_view_node()

    def mrmlSliceCompositeNode(self) -> slicer.vtkMRMLSliceCompositeNode:
        return self._view._logic.GetSliceCompositeNode()

    def mrmlAbstractViewNode(self) -> slicer.vtkMRMLSliceNode:
        return self._view.get_view_node()

    viewLabel = QtCore.Property(str, lambda self: self.mrmlAbstractViewNode().GetLayoutLabel() or "")

    def interactorStyle(self) -> Any:
        return self._view._interactor_observer

    @QtCore.Slot()
    def fitSliceToBackground(self) -> None:
        self._view.fit_view_to_content()


class qMRMLThreeDWidget(qMRMLWidget):
    """A 3-D view."""

    _SIGNATURES: ClassVar = {**qMRMLWidget._SIGNATURES}

    def __init__(self, view: ThreeDView) -> None:
        super().__init__()
        self._view = view
        self._picture = qMRMLThreeDView(view)
        column = QtWidgets.QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self._picture)

    def threeDView(self) -> qMRMLThreeDView:
        return self._picture

    def viewWidget(self) -> qMRMLThreeDView:
        return self._picture

    def mrmlViewNode(self) -> slicer.vtkMRMLViewNode:
        return self._view.get_view_node()

    def mrmlAbstractViewNode(self) -> slicer.vtkMRMLViewNode:
        return self._view.get_view_node()

    viewLabel = QtCore.Property(str, lambda self: self.mrmlAbstractViewNode().GetLayoutLabel() or "")

    def viewLogic(self) -> slicer.vtkMRMLViewLogic:
        return self._view._logic


def _through(matrix: Any, point: Any, inverse: bool) -> list[float]:
    from vtkmodules.vtkCommonMath import vtkMatrix4x4

    used = vtkMatrix4x4()
    used.DeepCopy(matrix)
    if inverse:
        used.Invert()
    return list(used.MultiplyPoint((*[float(value) for value in point], 1.0))[:3])
