"""The views: Slicer's own interaction through Qt's mouse and keys, radiological orientation, linked slices, layouts."""

import numpy as np
import pytest
from PySide6 import QtCore, QtGui, QtTest, QtWidgets


def add_volume(name="CT"):
    """A volume in LPS order, bright at the patient's right."""
    import slicer
    import vtk

    array = np.zeros((20, 60, 60), dtype=np.int16)
    array[:, :, :30] = 200  # small i: the patient's right
    matrix = vtk.vtkMatrix4x4()
    for axis, value in enumerate((-2.0, -2.0, 3.0)):
        matrix.SetElement(axis, axis, value)
    for axis, value in enumerate((59.0, 59.0, -28.5)):
        matrix.SetElement(axis, 3, value)
    node = slicer.util.addVolumeFromArray(array, ijkToRAS=matrix, name=name)
    node.GetDisplayNode().AutoWindowLevelOff()
    node.GetDisplayNode().SetWindowLevel(400, 0)
    slicer.util.setSliceViewerLayers(background=node, fit=True)
    return node


def add_point(ras=(10.0, 5.0, 0.0)):
    """A fiducial."""
    import slicer
    import vtk

    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "F")
    node.CreateDefaultDisplayNodes()
    node.AddControlPoint(vtk.vtkVector3d(*ras))
    return node


def position(node):
    """Where the fiducial lies."""
    ras = [0.0, 0.0, 0.0]
    node.GetNthControlPointPositionWorld(0, ras)
    return ras


def test_patients_right_is_at_the_left_of_axial_and_coronal_slices(driver):
    import slicer

    add_volume()
    driver.drawn()
    for name in ("Red", "Green"):
        view = driver.slice_view(name)
        image = view.grab().toImage()
        row = image.height() // 2 + 20  # off the letters at mid height
        left = QtGui.qGray(image.pixel(image.width() // 2 - 40, row))
        right = QtGui.qGray(image.pixel(image.width() // 2 + 40, row))
        assert left > right + 50, name
    assert {"Red", "Green", "Yellow"} <= set(slicer.app.layoutManager().sliceViewNames())


def test_letters_follow_the_slices_geometry(driver):
    from RenalCLIPDesktop.annotations import direction_letters, edge_texts, ruler_mm

    red = driver.slice_view("Red").mrmlSliceNode()
    assert [text.words for text in edge_texts(red)] == ["L", "R", "A", "P"]
    yellow = driver.slice_view("Yellow").mrmlSliceNode()
    assert [text.words for text in edge_texts(yellow)] == ["P", "A", "S", "I"]
    assert direction_letters(np.array([-0.6, 0.0, 0.8])) == "SL"
    assert direction_letters(np.array([0.99, 0.1, 0.0])) == "R"
    assert ruler_mm(0.5, 400) == 50
    assert ruler_mm(0.01, 100) == 1


def test_dragging_moves_an_unlocked_point_only(driver):
    add_volume()
    point = add_point()
    driver.drawn()
    view = driver.slice_view("Red")
    view.mrmlSliceNode().SetSliceOffset(0.0)
    driver.drawn()
    start = driver.position_of(view, (10.0, 5.0, 0.0))
    point.SetLocked(True)
    driver.drag(view, start, start + QtCore.QPoint(20, 10))
    assert position(point) == [10.0, 5.0, 0.0]
    point.SetLocked(False)
    driver.drawn()
    driver.drag(view, start, start + QtCore.QPoint(20, 10))
    moved = position(point)
    field, size = view.mrmlSliceNode().GetFieldOfView(), view.mrmlSliceNode().GetDimensions()
    assert moved[0] == pytest.approx(10.0 - 20 * field[0] / size[0], abs=1.5)
    assert moved[1] == pytest.approx(5.0 - 10 * field[1] / size[1], abs=1.5)
    assert moved[2] == pytest.approx(0.0, abs=1e-6)


def test_wheel_steps_through_slices(driver):
    add_volume()
    driver.drawn()
    view = driver.slice_view("Red")
    before = view.mrmlSliceNode().GetSliceOffset()
    at = QtCore.QPointF(view.rect.center())
    event = QtGui.QWheelEvent(
        at,
        view.mapToGlobal(at),
        QtCore.QPoint(),
        QtCore.QPoint(0, 120),
        QtCore.Qt.MouseButton.NoButton,
        QtCore.Qt.KeyboardModifier.NoModifier,
        QtCore.Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    QtCore.QCoreApplication.sendEvent(view, event)
    driver.drawn()
    assert abs(view.mrmlSliceNode().GetSliceOffset() - before) == pytest.approx(3.0)


LAYOUT = """<layout type="horizontal"><item><view class="vtkMRMLSliceNode" singletontag="One">
<property name="viewlabel" action="default">1</property><property name="orientation" action="default">Axial</property>
<property name="viewgroup" action="default">7</property></view></item>
<item><view class="vtkMRMLSliceNode" singletontag="Two"><property name="viewlabel" action="default">2</property>
<property name="orientation" action="default">Axial</property>
<property name="viewgroup" action="default">7</property></view></item></layout>"""


def test_linked_views_of_a_module_s_own_layout_move_together(driver):
    import slicer

    layouts = slicer.app.layoutManager()
    layouts.layoutLogic().GetLayoutNode().AddLayoutDescription(7001, LAYOUT)
    layouts.setLayout(7001)
    for name in ("One", "Two"):
        layouts.sliceWidget(name).mrmlSliceCompositeNode().SetLinkedControl(1)
        layouts.sliceWidget(name).mrmlSliceCompositeNode().SetHotLinkedControl(1)
    add_volume()
    driver.drawn()
    one, two = (layouts.sliceWidget(name) for name in ("One", "Two"))
    assert one.isVisible()
    assert not layouts.sliceWidget("Red").isVisible()
    assert one.sliceView().size == two.sliceView().size
    slider = one.sliceController().findChild(QtWidgets.QSlider)
    slider.setValue(slider.maximum // 4)
    driver.drawn()
    assert one.mrmlSliceNode().GetSliceOffset() != 0
    assert two.mrmlSliceNode().GetSliceOffset() == pytest.approx(one.mrmlSliceNode().GetSliceOffset())
    layouts.setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)
    driver.drawn()
    assert layouts.sliceWidget("Red").isVisible()
    assert not one.isVisible()


def test_placing_a_point_by_a_click(driver):
    import slicer

    add_volume()
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "New")
    node.CreateDefaultDisplayNodes()
    logic = slicer.app.applicationLogic()
    logic.GetSelectionNode().SetReferenceActivePlaceNodeClassName("vtkMRMLMarkupsFiducialNode")
    logic.GetSelectionNode().SetActivePlaceNodeID(node.GetID())
    logic.GetInteractionNode().SetCurrentInteractionMode(slicer.vtkMRMLInteractionNode.Place)
    driver.drawn()
    view = driver.slice_view("Red")
    at = driver.position_of(view, (20.0, -10.0, 0.0))
    QtTest.QTest.mouseMove(view, at)
    driver.drawn()
    QtTest.QTest.mouseClick(view, QtCore.Qt.MouseButton.LeftButton, pos=at)
    driver.drawn()
    assert node.GetNumberOfDefinedControlPoints() == 1
    assert position(node)[:2] == pytest.approx([20.0, -10.0], abs=1.0)


def test_translucent_segment_leaves_the_image_visible(driver):
    """Also where the segment is drawn in a view before that view has its first image."""
    import slicer

    layouts = slicer.app.layoutManager()
    volume = add_volume()
    slicer.util.setSliceViewerLayers(background=None)
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Masks")
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    segment = node.GetSegmentation().AddEmptySegment("all", "all", (1.0, 0.6, 0.0))
    slicer.util.updateSegmentBinaryLabelmapFromArray(np.ones((20, 60, 60), np.uint8), node, segment, volume)
    node.GetDisplayNode().SetOpacity2DFill(0.1)
    fresh = LAYOUT.replace('"One"', '"Fresh"').replace('"Two"', '"Newer"')
    layouts.layoutLogic().GetLayoutNode().AddLayoutDescription(7002, fresh)
    layouts.setLayout(7002)
    driver.drawn()
    slicer.util.setSliceViewerLayers(background=volume, fit=True)
    driver.drawn()
    for name in ("Fresh", "Newer"):
        image = layouts.sliceWidget(name).sliceView().grab().toImage()
        at = QtCore.QPoint(image.width() // 2 - 40, image.height() // 2 + 20)
        assert QtGui.qGray(image.pixel(at)) > 150, name
