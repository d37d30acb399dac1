"""The predecessor's reading in the module: beside RenalCLIP's probabilities, and its maps in the list of maps."""

from dataclasses import replace

import pytest

from RenalCLIPCore.review import Absent, encode
from Testing.Core.exchange.reviews import predecessor
from Testing.Slicer.fake_worker import FakeWorker, review


@pytest.fixture
def widget(driver, monkeypatch):
    import importlib

    module = importlib.import_module("RenalCLIPSlicerLib.Widget")
    monkeypatch.setattr(module, "CoreProcess", lambda *_: FakeWorker({}))
    return driver.open_module()


def shown(driver, widget, **parts):
    """The module with a lesion that is read; parts of its review replaced."""
    case, found = widget.logic.case, review(1)
    case.state.review = replace(found, lesions=(replace(found.lesions[0], **parts),))
    case.state.lesion = "L1"
    case.tell("review", "lesion", "reading")
    driver.settle(0.05)
    driver.wait(lambda: widget.parts.settled, 30, "the window")
    driver.settle()
    panels = {type(panel).__name__: panel for panel in widget.parts.panels}
    return panels["ProbabilityPanel"], panels["ExplanationPanel"]


def test_both_systems_stand_beside_each_other(driver, widget):
    probability, explanation = shown(driver, widget)
    text = str(probability.predecessor.text)
    assert "malignant with probability <b>79 %</b>" in text
    assert "Aggressiveness score <b>2.3</b>" in text
    assert "RenalCLIP and the predecessor agree on malignant" in text
    listed = [str(explanation.ui.mapComboBox.itemText(i)) for i in range(int(explanation.ui.mapComboBox.count))]
    assert "Predecessor, malignancy: malignant" in listed


def test_disagreement_and_a_missing_phase_are_said(driver, widget):
    probability, _ = shown(
        driver, widget, predecessor=predecessor(agreement={"malignancy": "disagree"}, phases_missing=("V",))
    )
    text = str(probability.predecessor.text)
    assert "disagree" in text
    assert "without the venous phase" in text


def test_without_the_predecessor_nothing_is_added(driver, widget):
    probability, _ = shown(driver, widget, predecessor=Absent("The model bundle carries no multi-phase network."))
    assert not probability.predecessor.isVisibleTo(widget.parts.uiWidget)


def test_maps_that_come_later_are_taken(driver, widget):
    shown(driver, widget, predecessor=predecessor(explanation=Absent("not yet")))
    case = widget.logic.case
    case.latest["L1"] = 7
    maps = encode(predecessor().explanation)
    case.later.take(
        "review.explanation",
        {"id": 7, "lesion_id": "L1", "folder": "/maps", "explanation": {"absent": "none"}, "predecessor": maps},
    )
    assert case.state.lesionReview().predecessor.explanation == predecessor().explanation
