"""The stand-ins offer nothing that Python does not see of Slicer's own classes, and are as strict as PythonQt."""

import json
from pathlib import Path

import pytest

LIST = json.loads(Path(__file__).with_name("header_names.json").read_text(encoding="utf-8"))
STANDING_IN = [name for name in LIST["classes"] if name.startswith(("ctk", "qMRML", "qSlicer"))]


def listed(name):
    """Names of a class and its bases in the list, and the Qt class it ends in."""
    found, bases = set(), LIST["classes"]
    while name in bases:
        found |= set(bases[name]["names"])
        name = bases[name]["base"]
    return found, name


def stand_ins():
    import ctk
    import slicer
    from RenalCLIPDesktop import application, window

    spaces = [vars(ctk), vars(slicer), vars(application), vars(window)]
    return {name: space[name] for space in spaces for name in STANDING_IN if isinstance(space.get(name), type)}


def offered(cls):
    """Public names that a stand-in class defines itself, in its chain of Python classes."""
    for base in cls.__mro__:
        if base.__module__.startswith("RenalCLIPDesktop"):
            yield from (name for name in vars(base) if not name.startswith("_") and name != "staticMetaObject")


def test_every_stand_in_is_in_the_list(driver):
    from RenalCLIPDesktop.pythonqt import StandIn

    known = set(stand_ins().values())
    waiting, found = [StandIn], set()
    while waiting:
        for cls in waiting.pop().__subclasses__():
            if cls.__module__.startswith("RenalCLIPDesktop"):
                found.add(cls)
            waiting.append(cls)
    assert found == known
    assert len(known) >= 20


def test_stand_ins_offer_only_what_the_headers_have(driver):
    import qt

    strange = {}
    for name, cls in stand_ins().items():
        names, root = listed(name)
        inherited = set(dir(getattr(qt, root)))
        extra = {item for item in offered(cls) if item not in names and item not in inherited}
        if extra:
            strange[name] = extra
    assert not strange


def test_signals_are_spelt_as_in_the_headers(driver):
    import qt

    for name, cls in stand_ins().items():
        names, root = listed(name)
        assert set(getattr(cls, "_SIGNATURES", {})) <= names | set(dir(getattr(qt, root))), name


@pytest.fixture
def label(driver):
    import qt

    return qt.QLabel("abc")


def test_properties_are_attributes(label):
    assert label.text == "abc"
    label.text = "new"
    label.setText(label.text + "er")
    assert label.text == "newer"
    with pytest.raises(TypeError):
        label.text()


def test_boolean_properties_have_both_spellings(label):
    label.enabled = False
    assert not label.isEnabled()
    assert label.enabled is False


def test_stray_attributes_raise_but_for_subclasses(driver, label):
    import ctk
    import qt

    with pytest.raises(AttributeError, match="note"):
        label.note = 1
    with pytest.raises(AttributeError, match="note"):
        ctk.ctkSliderWidget().note = 1

    class Mine(qt.QLabel):
        def __init__(self):
            super().__init__()
            self.note = 1

    assert Mine().note == 1


def test_read_only_properties_refuse(driver):
    import qt

    with pytest.raises(AttributeError, match="read-only"):
        qt.QComboBox().count = 3


def test_keyword_arguments_raise(driver, label):
    import qt

    with pytest.raises(TypeError, match="keyword"):
        qt.QLabel(text="abc")
    with pytest.raises(TypeError, match="keyword"):
        qt.QVBoxLayout().addWidget(label, stretch=1)


def test_numpy_scalars_raise(driver):
    import ctk
    import numpy as np
    import qt

    box = qt.QDoubleSpinBox()
    with pytest.raises(TypeError, match="numpy"):
        box.setValue(np.float64(1.0))
    with pytest.raises(TypeError, match="numpy"):
        box.value = np.float64(1.0)
    with pytest.raises(TypeError, match="numpy"):
        ctk.ctkSliderWidget().value = np.float64(1.0)


def test_truth_of_layouts_points_and_colours_raises(driver):
    import qt

    for item in (qt.QVBoxLayout(), qt.QPoint(1, 1), qt.QColor(1, 2, 3)):
        with pytest.raises(TypeError, match="is None"):
            bool(item)


def test_connecting_by_signature(driver):
    import ctk
    import qt
    import slicer

    button, heard = qt.QPushButton(), []
    button.checkable = True
    assert button.connect("clicked(bool)", heard.append)
    assert button.connect("clicked()", lambda: heard.append("plain"))
    assert not button.connect("cliked(bool)", heard.append)
    assert not button.connect("clicked(int)", heard.append)
    button.click()
    assert heard == [True, "plain"]
    assert button.disconnect("clicked(bool)", heard.append)
    assert not button.disconnect("clicked(bool)", heard.append)
    button.click()
    assert heard == [True, "plain", "plain"]
    assert not ctk.ctkSliderWidget().connect("valueChanged(int)", heard.append)
    assert slicer.qMRMLNodeComboBox().connect("currentNodeChanged(bool)", heard.append)


def test_unknown_classes_are_not_there(driver):
    import ctk
    import qt
    import slicer

    for space, name in ((ctk, "ctkNoSuchWidget"), (qt, "QNoSuchWidget"), (slicer, "qMRMLNoSuchWidget")):
        with pytest.raises(AttributeError):
            getattr(space, name)


FORM = """<ui version="4.0"><class>F</class><widget class="{root}" name="F"><layout class="QVBoxLayout" name="l"><item>
<widget class="ctkCollapsibleButton" name="fold"><property name="{name}"><bool>true</bool></property></widget>
</item></layout></widget><connections><connection><sender>fold</sender><signal>{signal}</signal>
<receiver>F</receiver><slot>setDisabled(bool)</slot></connection></connections></ui>"""


def load(tmp_path, root="qMRMLWidget", name="collapsed", signal="contentsCollapsed(bool)"):
    import slicer

    (tmp_path / "form.ui").write_text(FORM.format(root=root, name=name, signal=signal))
    return slicer.util.loadUI(str(tmp_path / "form.ui"))


def test_form_is_loaded_and_its_connections_honoured(driver, tmp_path):
    import slicer

    form = load(tmp_path)
    fold = slicer.util.childWidgetVariables(form).fold
    assert fold.collapsed is True
    fold.collapsed = False
    assert form.enabled
    fold.collapsed = True
    assert not form.enabled


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"root": "qMRMLNoSuchWidget"}, "qMRMLNoSuchWidget"),
        ({"name": "folded"}, "folded"),
        ({"signal": "folded(bool)"}, "no such signal"),
    ],
)
def test_form_with_something_unknown_is_refused(driver, tmp_path, wrong, words):
    with pytest.raises(RuntimeError, match=words):
        load(tmp_path, **wrong)


def test_folded_section_is_as_high_as_its_title(driver, tmp_path):
    import ctk
    import qt

    outer = qt.QWidget()
    column = qt.QVBoxLayout(outer)
    fold = ctk.ctkCollapsibleButton("Section")
    inner = qt.QVBoxLayout(fold)
    content = qt.QLabel("a\nb\nc\nd")
    inner.addWidget(content)
    column.addWidget(fold)
    outer.resize(200, 400)
    outer.show()
    driver.settle()
    assert content.visible
    high = fold.height
    fold.click()
    driver.settle()
    assert not content.visible
    assert fold.height < 40 < high
    outer.hide()


def test_node_box_follows_the_scene(driver):
    import numpy as np
    import slicer

    box, chosen = slicer.qMRMLNodeComboBox(), []
    box.nodeTypes = ["vtkMRMLScalarVolumeNode"]
    box.noneEnabled = True
    box.setMRMLScene(slicer.mrmlScene)
    box.currentNodeChanged.connect(chosen.append)
    volume = slicer.util.addVolumeFromArray(np.zeros((2, 2, 2), np.int16), name="CT")
    assert box.nodeCount() == 1
    assert box.currentNode() is None
    box.setCurrentNode(volume)
    assert chosen == [volume]
    slicer.mrmlScene.RemoveNode(volume)
    assert chosen == [volume, None]
    assert box.nodeCount() == 0
    box.setMRMLScene(None)
