"""What the panels say: sides from geometry, units, disagreement, warnings, time left."""

from dataclasses import replace

import pytest
from RenalCLIPSlicerLib.CentreHistory import CentreHistory
from RenalCLIPSlicerLib.Findings import findings
from RenalCLIPSlicerLib.Task import Task, durationWords
from RenalCLIPSlicerLib.Words import lesionWords, measuredWords

from RenalCLIPCore.review import Absent, BinaryPrediction, TaskSpread, Uncertainty
from RenalCLIPCore.review_reading import (
    component_rows,
    lesion_checks,
    percent,
    position_words,
    readable,
    study_checks,
    verdict,
    when_words,
)
from Testing.Core.exchange.reviews import absent_review, full_review, measured_component
from Testing.Slicer.fake_worker import centre


def test_positions_are_written_towards_the_patients_sides():
    assert position_words((-96.34, 76.7, -120.84)) == "R 96.3, P 76.7, I 120.8 mm"
    assert position_words((5.0, -6.0, 7.0)) == "L 5.0, A 6.0, S 7.0 mm"


@pytest.mark.parametrize(
    ("value", "words"), [(0.0, "0 %"), (0.004, "< 1 %"), (0.5, "50 %"), (0.996, "> 99 %"), (1.0, "100 %")]
)
def test_a_possibility_is_never_rounded_away(value, words):
    assert percent(value) == words


def test_class_names_get_real_signs():
    assert readable(">4 to <7 cm") == ">\u202f4 to <\u202f7 cm"
    assert readable("<=4 mm") == "≤\u202f4 mm"


def test_a_disagreement_in_points_is_marked():
    lesion = full_review().lesions[0]
    rows = {row.letter: row for row in component_rows(lesion)}
    predicted = {item.component: item.classes[item.predicted].points for item in lesion.predicted.components}
    measured = {item.component: item.points for item in lesion.measured.components}
    for letter in set("RENL") & set(predicted) & set(measured):
        assert rows[letter].agrees == (predicted[letter] == measured[letter])
    component = lesion.measured.components[0]
    other = replace(component, points=component.points % 3 + 1)
    apart = replace(lesion, measured=replace(lesion.measured, components=(other, *lesion.measured.components[1:])))
    assert component_rows(apart)[0].agrees is False
    assert any("disagree" in text for text in lesion_checks(apart))


def test_absent_parts_give_no_rows_and_no_findings():
    review = absent_review()
    for lesion in review.lesions:
        assert component_rows(lesion) == []
        assert not {"malignancy", "R.E.N.A.L. predicted"} & set(findings(lesion, None))
    assert isinstance(study_checks(review), list)


def test_a_probability_near_its_threshold_is_pointed_out():
    lesion = full_review().lesions[0]
    near = BinaryPrediction("malignancy", "malignant", "benign", 0.52, 0.5, "none")
    spread = Uncertainty((TaskSpread("malignancy", 0.01, 0.05, 0.02),), 8, 8, 3.0)
    close = replace(lesion, predicted=replace(lesion.predicted, malignancy=near, uncertainty=spread))
    assert any("Malignancy lies within" in text for text in lesion_checks(close))
    far = replace(close, predicted=replace(close.predicted, malignancy=replace(near, probability=0.9)))
    assert not any("Malignancy lies within" in text for text in lesion_checks(far))


def test_a_centre_beyond_the_lesion_is_pointed_out():
    lesion = replace(full_review().lesions[0], largest_diameter_mm=40.0, centre_proposed=centre(0))
    assert not any("further than" in text for text in lesion_checks(replace(lesion, centre_used=centre(20))))
    assert "The centre was put 21 mm" in " ".join(lesion_checks(replace(lesion, centre_used=centre(21))))
    assert not any("further than" in text for text in lesion_checks(replace(lesion, centre_proposed=Absent("no mask"))))


def test_the_threshold_itself_counts_as_positive():
    assert verdict(BinaryPrediction("m", "malignant", "benign", 0.5, 0.5, "")) == "malignant"
    assert verdict(BinaryPrediction("m", "malignant", "benign", 0.49, 0.5, "")) == "benign"


def test_a_lesion_is_named_by_side_kind_and_size():
    lesion = replace(full_review().lesions[0], lesion_id="L1", side="right", label="tumour", largest_diameter_mm=64.4)
    assert lesionWords(replace(lesion, primary=True)) == "L1  right tumour, 64 mm (primary)"


@pytest.mark.parametrize(
    ("letter", "value", "unit", "words"),
    [
        ("R", 66.1, "mm", "large (6.6\u00a0cm)"),
        ("N", 0.01, "mm", "large (0.0\u00a0mm)"),
        ("E", 55.83, "%", "large (56\u00a0%)"),
        ("h", 0.0, "", "large"),
    ],
)
def test_measured_values_stand_in_the_unit_of_their_classes_as_precisely_as_masks_give_them(letter, value, unit, words):
    assert measuredWords(measured_component(letter, value, unit, 1, "large", 0.0)) == words


def test_times_are_given_in_utc_and_unknown_texts_as_they_are():
    assert when_words("2026-11-21T02:31:26+00:00") == "2026-11-21 02:31 UTC"
    assert when_words("yesterday") == "yesterday"


@pytest.mark.parametrize(("seconds", "words"), [(0.2, "1 s"), (43, "45 s"), (60, "1 min"), (131, "2 min 10 s")])
def test_durations_are_rounded_so_that_they_do_not_flicker(seconds, words):
    assert durationWords(seconds) == words


def test_no_time_is_guessed_at_the_start_of_a_step():
    task = Task("Segmenting", clock=lambda: 100.0)
    task.beginStep()
    task.fraction = 0.5
    assert task.secondsLeft() is None
    assert task.line() == "Segmenting: 50 %"


def test_an_undone_centre_is_forgotten_when_another_is_chosen():
    history = CentreHistory([centre(0)])
    history.push(centre(1, "manual"))
    history.push(centre(2, "manual"))
    history.undo()
    assert history.push(centre(3, "manual"))
    assert not history.canRedo
    assert [item.lps_mm[0] for item in history.centres] == [0, 1, 3]


def test_the_same_place_is_no_move():
    assert not CentreHistory([centre(0)]).push(centre(0.001, "manual"))


def test_the_proposal_outlives_any_number_of_moves():
    history = CentreHistory([centre(0)])
    for x in range(1, 500):
        history.push(centre(x, "manual"))
    assert history.centres[0] == centre(0)
    assert history.current == centre(499, "manual")
    assert CentreHistory.fromJson(history.asJson()) == history
