"""The small figures say in coordinates what the review says in numbers."""

import re
from dataclasses import replace
from itertools import pairwise

import pytest

from RenalCLIPCore import review as r
from RenalCLIPCore import review_reading
from RenalCLIPCore.exchange import figures, page
from Testing.Core.exchange.reviews import COMPONENTS, full_lesion, full_review, measured_component, recurrence


def numbers(pattern, markup):
    return [float(found) for found in re.findall(pattern, str(markup))]


def test_a_bar_is_as_long_as_its_probability_and_never_leaves_its_track():
    assert numbers(r'width="([\d.]+)" height="8"', figures.probability_bar(0.25, chosen=True)) == [120, 30]
    assert numbers(r'width="([\d.]+)" height="8"', figures.probability_bar(7.0, chosen=True)) == [120, 120]
    whisker = figures.probability_bar(0.95, chosen=True, spread=0.1)
    assert "M102.0 7H120.0" in whisker


def test_a_gauge_marks_threshold_and_phases_where_they_are():
    markup = figures.gauge(0.84, 0.5, {"A": 0.9, "V": 0.1})
    assert "M160.0 15V39" in markup
    assert numbers(r'cx="([\d.]+)"', markup) == [40, 280]
    assert "threshold 50 percent" in markup


def test_letters_of_close_phases_do_not_overlap_and_stay_on_the_scale():
    placed = figures._spread_letters({"N": 0.99, "A": 1.0, "V": 1.0, "D": 1.0})
    at = [x for _, x, _ in placed]
    assert min(b - a for a, b in pairwise(at)) >= 11
    assert max(at) <= 312.01


def test_the_risk_mark_lies_on_the_side_of_its_group():
    low = numbers(r'<path d="M([\d.]+) 19l', figures.risk_scale(-0.42, 0.1))[0]
    high = numbers(r'<path d="M([\d.]+) 19l', figures.risk_scale(5.0, 0.1))[0]
    assert 10 < low < 160 < high < 310


def test_curves_are_steps_that_start_at_one_hundred_per_cent():
    risk = replace(
        recurrence(), months=(12.0, 24.0), survival=(0.8, 0.6), survival_low=(0.9, 0.9), survival_high=(0.5, 0.2)
    )
    paths = re.findall(r'<path d="(M[^"]+)" fill="none"', str(figures.survival_curve(risk)))
    case = [tuple(map(float, point.split())) for point in paths[2].removeprefix("M").split("L")]
    assert case[0] == (46.0, 14.0)
    assert case[-1] == (450.0, pytest.approx(226 - 212 * 0.6, abs=0.1))
    assert all(a[0] == b[0] or a[1] == b[1] for a, b in pairwise(case))


def test_labels_of_curves_that_end_together_do_not_overlap():
    risk = replace(
        recurrence(), months=(0.0, 60.0), survival=(1.0, 0.0), survival_low=(1.0, 0.0), survival_high=(1.0, 0.0)
    )
    at = numbers(r'y="([\d.]+)" text-anchor="start"', figures.survival_curve(risk))
    assert min(b - a for a, b in pairwise(sorted(at))) >= 14.9
    assert max(at) <= 231


def test_the_table_beside_the_curve_reads_the_last_known_step_and_never_beyond_it():
    risk = replace(
        recurrence(),
        months=(0.0, 10.0, 30.0),
        survival=(1, 0.8, 0.6),
        survival_low=(1, 1, 1),
        survival_high=(1, 0.5, 0.1),
    )
    assert figures.at_months(risk) == [("12 months", 0.8, 1, 0.5), ("24 months", 0.8, 1, 0.5)]
    empty = replace(risk, months=(), survival=(), survival_low=(), survival_high=())
    assert figures.at_months(empty) == []
    assert figures.survival_curve(empty) == ""


def test_texts_in_figures_are_escaped():
    assert "<b>" not in figures.gauge(0.5, 0.5, {"<b>": 0.4})


@pytest.mark.parametrize(
    ("value", "words"),
    [(0.0, "0 %"), (0.004, "< 1 %"), (0.5, "50 %"), (0.994, "> 99 %"), (1.0, "100 %"), (float("nan"), "–")],
)
def test_no_possibility_is_rounded_away(value, words):
    assert review_reading.percent(value) == words


def test_class_names_get_signs_without_losing_their_numbers():
    assert review_reading.readable(">4 to <7 cm") == ">\u202f4 to <\u202f7 cm"
    assert review_reading.readable("<=4 mm") == "≤\u202f4 mm"
    assert review_reading.readable("a < b") == "a < b"


@pytest.mark.parametrize(
    ("letter", "points", "label", "agrees"),
    [("R", 1, "<=4 cm", True), ("R", 2, "<=4 cm", False), ("A", 0, "p", True), ("A", 0, "anterior", False)],
)
def test_agreement_is_by_points_and_for_the_suffix_by_name(letter, points, label, agrees):
    masks = r.Measured((measured_component(letter, 1.0, "mm", points, label, 0.1),), r.Absent("one component"))
    reading = replace(full_lesion().predicted, components=COMPONENTS)
    rows = review_reading.component_rows(replace(full_lesion(), predicted=reading, measured=masks))
    assert {row.letter: row.agrees for row in rows if row.measured} == {letter: agrees}


def test_the_table_holds_every_component_that_is_known_from_either_side_in_the_order_of_the_score():
    lesion = full_lesion()
    assert [row.letter for row in review_reading.component_rows(lesion)] == ["R", "E", "N", "A", "L", "h"]
    only_masks = replace(lesion, predicted=r.Absent("no bundle"))
    assert [row.letter for row in review_reading.component_rows(only_masks)] == ["R", "E", "N", "A", "L", "h"]
    assert review_reading.component_rows(replace(only_masks, measured=r.Absent("no mask"))) == []
    assert review_reading.component_rows(lesion)[0].spread == 0.05


def test_times_are_written_in_utc_and_odd_ones_as_they_are():
    assert review_reading.when_words("2025-03-04T12:20:30+02:00") == "2025-03-04 10:20 UTC"
    assert review_reading.when_words("yesterday") == "yesterday"
    assert review_reading.when_words("0001-01-01T00:00:00+14:00") == "0001-01-01T00:00:00+14:00"


def test_phases_stand_in_the_order_of_the_examination():
    review = full_review()
    shuffled = replace(review, study=replace(review.study, phases=review.study.phases[::-1]))
    assert [record.phase for record in page.ordered_phases(shuffled)] == ["N", "A", "V", "D"]
