from dataclasses import replace

import pytest

from RenalCLIPCore.inference.prediction import read
from RenalCLIPCore.inference.report import draft_negative_report, draft_report
from RenalCLIPCore.review import (
    Absent,
    BinaryPrediction,
    ClassProbability,
    ComponentPrediction,
    LesionReview,
    Measured,
    MeasuredComponent,
    NephrometryTotal,
    OutOfDistribution,
    Predicted,
    RiskPrediction,
)
from Testing.Core.inference.reading_toys import saved, toy_rois
from Testing.Core.models.bundle_toys import toy_contents

NONE = Absent("not in this test")


def lesion(**changes):
    fields = {
        "lesion_id": "L1", "side": "left", "label": "tumour", "primary": True, "volume_ml": 25.0,
        "largest_diameter_mm": 42.0, "axial_diameter_mm": 38.0, "centre_proposed": NONE, "centre_used": NONE,
        "roi_inside": 1.0, "predicted": predicted(), "measured": NONE, "report": NONE,
    }  # fmt: skip
    return LesionReview(**{**fields, **changes})


def component(letter, index, probability):
    rest = (1 - probability) / 2
    classes = tuple(ClassProbability(str(n), n + 1, probability if n == index else rest) for n in range(3))
    return ComponentPrediction(letter, classes, index)


def predicted(**changes):
    fields = {
        "phases_used": ("A",), "fusion": "toy", "components": (component("E", 2, 0.7), component("N", 0, 0.9)),
        "total": NephrometryTotal(7, "7a", "moderate", {}),
        "malignancy": BinaryPrediction("malignancy", "malignant", "benign", 0.8, 0.5, "temperature 1.2: fitted"),
        "aggressiveness": NONE, "zero_shot": NONE, "neighbours": NONE, "explanation": NONE, "uncertainty": NONE,
        "recurrence": RiskPrediction(
            1.0, "high", 0.5, "cohort X", (0.0, 24.0, 48.0, 72.0), (1.0, 0.9, 0.8, 0.7), (1.0,) * 4, (1.0,) * 4
        ),
        "out_of_distribution": OutOfDistribution(9.0, 5.0, True, "toy"),
    }  # fmt: skip
    return Predicted(**{**fields, **changes})


def test_predictions_become_findings_and_impression():
    draft = draft_report(lesion(), kidney_sides=("left", "right"), attenuation_hu={"arterial": 90.0})
    assert "entirely endophytic (70 %)" in draft.findings
    assert "7 mm or more from the renal sinus or collecting system (90 %)" in draft.findings
    assert "90 HU in the arterial phase" in draft.findings
    assert draft.findings.endswith("Right kidney: No focal lesion was segmented.")
    assert "score 7a (moderate complexity, predicted)" in draft.impression
    assert "Malignancy is likely (predicted probability 80 %)." in draft.impression
    assert "80 % at 48 months" in draft.impression
    assert "outside the range" in draft.impression
    assert "Aggressive" not in draft.impression
    assert draft.source == "structured"


def test_uncalibrated_probabilities_are_marked():
    binary = replace(predicted().malignancy, calibration="temperature 1: not calibrated; threshold 0.5")
    draft = draft_report(lesion(predicted=predicted(malignancy=binary)))
    assert "uncalibrated" in draft.impression


def test_measured_components_and_total_come_before_predicted_ones():
    def measure(letter, points, label):
        return MeasuredComponent(letter, 1.0, "mm", points, label, 0.1, {}, "masks")

    measured = Measured(
        (measure("N", 3, "<=4 mm"), measure("A", 0, "p"), measure("h", 0, "not assessed")),
        NephrometryTotal(9, "9p", "moderate", {}),
    )
    draft = draft_report(lesion(measured=measured))
    assert "On the masks it is on the posterior face of the kidney and within 4 mm of the renal sinus" in draft.findings
    assert "entirely endophytic (70 %)" in draft.findings
    assert "score 9p (moderate complexity, measured)" in draft.impression


def test_a_lesion_without_predictions_is_described_by_its_measurements_alone():
    draft = draft_report(lesion(predicted=NONE), [lesion(side="right", label="cyst", primary=False)], ("left", "right"))
    assert draft.findings == (
        "Left kidney: A 42 mm mass (38 mm in the axial plane, volume 25 ml).\n"
        "Right kidney: A further cystic lesion of 42 mm."
    )
    assert draft.impression.splitlines()[0] == "1. Left renal mass, 42 mm."


def test_a_case_without_a_lesion_has_a_negative_report():
    draft = draft_negative_report(("right", "left"), phantom_trained=True)
    assert draft.findings.splitlines() == [
        "Left kidney: No focal lesion was segmented.",
        "Right kidney: No focal lesion was segmented.",
    ]
    assert "digital phantom" in draft.impression


@pytest.mark.parametrize("phases", ["A", "NAVD"])
def test_the_reading_of_a_bundle_can_be_reported(tmp_path, phases):
    reading = read(saved(tmp_path, toy_contents()), toy_rois(phases))
    draft = draft_report(lesion(predicted=reading.predicted), phantom_trained=True)
    assert "Predicted recurrence risk" in draft.impression
    assert "Not for clinical use." in draft.impression
