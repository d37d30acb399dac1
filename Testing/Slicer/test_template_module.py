"""A module of Slicer's ordinary kind runs in the host: form, parameter node, buttons, reopening of a scene."""

import numpy as np
from PySide6 import QtCore, QtTest


def add_volume(value=50):
    import slicer

    array = np.full((4, 6, 5), value, dtype=np.int16)
    array[2:] = 200
    return slicer.util.addVolumeFromArray(array, name="CT")


def test_form_and_parameter_node_follow_each_other(driver, template_module):
    widget = driver.open_module(template_module)
    assert not widget.ui.applyButton.enabled
    volume = add_volume()
    widget.ui.inputSelector.setCurrentNode(volume)
    assert widget._parameterNode.inputVolume is volume
    assert widget.ui.applyButton.enabled
    widget._parameterNode.threshold = 7.0
    assert widget.ui.thresholdSlider.value == 7.0
    QtTest.QTest.mouseClick(widget.ui.invertCheckBox, QtCore.Qt.MouseButton.LeftButton, pos=QtCore.QPoint(8, 8))
    assert widget._parameterNode.invert is True


def test_clicking_apply_computes(driver, template_module):
    import slicer

    widget = driver.open_module(template_module)
    widget.ui.inputSelector.setCurrentNode(add_volume())
    QtTest.QTest.mouseClick(widget.ui.applyButton, QtCore.Qt.MouseButton.LeftButton)
    driver.wait(lambda: widget.ui.statusLabel.text == "Done")
    result = slicer.util.arrayFromVolume(widget._parameterNode.outputVolume)
    assert (result[2:] == 1000).all()
    assert (result[:2] == 0).all()


def test_saved_scene_reopens_to_the_same_state(driver, template_module, tmp_path):
    import slicer

    widget = driver.open_module(template_module)
    widget.ui.inputSelector.setCurrentNode(add_volume())
    widget.ui.thresholdSlider.value = 33.0
    assert slicer.util.saveScene(str(tmp_path / "scene.mrb"))
    slicer.mrmlScene.Clear(0)
    driver.settle()
    assert widget._parameterNode.inputVolume is None
    slicer.util.loadScene(str(tmp_path / "scene.mrb"))
    widget.initializeParameterNode()
    assert widget._parameterNode.inputVolume.GetName() == "CT"
    assert widget.ui.thresholdSlider.value == 33.0


def test_self_test_of_the_module_runs(driver, template_module):
    import slicer

    driver.open_module(template_module)
    slicer.selfTests["TemplateModule"]()


def test_reloading_makes_a_new_widget(driver, template_module):
    import slicer

    before = driver.open_module(template_module)
    before.onReload()
    after = slicer.modules.TemplateModuleWidget
    assert after is not before
    volume = add_volume()
    after.ui.inputSelector.setCurrentNode(volume)
    assert after._parameterNode.inputVolume is volume


def test_exception_in_a_slot_is_noticed(driver, template_module):
    widget = driver.open_module(template_module)

    def fail(*_):
        raise RuntimeError("meant to be noticed")

    assert widget.ui.invertCheckBox.connect("toggled(bool)", fail)
    widget.ui.invertCheckBox.click()
    assert len(driver.failures) == 1
    assert "meant to be noticed" in driver.failures.pop()
