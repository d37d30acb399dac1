"""Points from values: every cut-off on its published side."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from RenalCLIPCore.errors import ConfigurationError
from RenalCLIPCore.imaging.nephrometry_scores import (
    NephrometryOptions,
    PolarExtent,
    a_label,
    e_points,
    n_points,
    padua_complexity,
    padua_size_points,
    r_points,
    renal_complexity,
    renal_text,
    shares,
)


@pytest.mark.parametrize(("mm", "points"), [(39.9, 1), (40.0, 1), (40.1, 2), (69.9, 2), (70.0, 3)])
def test_r_changes_above_4_and_from_7_cm(mm, points):
    assert r_points(mm) == points


@pytest.mark.parametrize(("share", "points"), [(1.0, 1), (0.5, 1), (0.49, 2), (0.051, 2), (0.05, 3), (0.0, 3)])
def test_e_changes_at_half_and_at_the_tolerance(share, points):
    assert e_points(share, 0.05) == points


@pytest.mark.parametrize(("mm", "points"), [(7.0, 1), (6.9, 2), (4.1, 2), (4.0, 3), (0.0, 3)])
def test_n_changes_below_7_and_at_4_mm(mm, points):
    assert n_points(mm) == points


@pytest.mark.parametrize(
    ("mm", "band", "label"),
    [
        (10.0, 10, "neither"),
        (-10.0, 10, "neither"),
        (10.1, 10, "anterior"),
        (-10.1, 10, "posterior"),
        (7, 5, "anterior"),
    ],
)
def test_a_is_neither_within_the_band(mm, band, label):
    assert a_label(mm, band) == label


@pytest.mark.parametrize(
    ("low", "high", "between", "points"),
    [
        (21, 40, 0.0, 1),
        (-40, -21, 0.0, 1),
        (10, 50, 0.25, 2),
        (5, 30, 0.6, 3),
        (-5, 60, 0.4, 3),
        (2, 18, 1.0, 3),
        (-60, 60, 0.3, 3),
    ],
    ids=["above", "below", "crosses", "over half across", "crosses the midline", "between", "spans all"],
)
def test_l_follows_polar_lines_and_midline(low, high, between, points):
    assert PolarExtent(-20.0, 20.0, low, high, between).points == points


@settings(deadline=None, max_examples=200)
@given(st.floats(-60, 60), st.floats(1, 80), st.floats(-1, 1))
def test_points_of_l_do_not_change_within_the_margin(low, length, share):
    between = max(0.0, min(low + length, 20.0) - max(low, -20.0)) / length
    extent = PolarExtent(-20.0, 20.0, low, low + length, between)
    step = 0.99 * share * extent.margin
    # lines and ends moved by less than half the margin each
    moved = PolarExtent(-20.0 + step / 2, 20.0 + step / 2, low - step / 2, low + length - step / 2, between)
    assert extent.margin >= 0
    assert moved.points == extent.points


def test_totals_have_their_published_complexity_and_suffix():
    assert [renal_complexity(n) for n in (4, 6, 7, 9, 10, 12)] == ["low", "low", "moderate", "moderate", "high", "high"]
    assert [padua_complexity(n) for n in (6, 7, 8, 9, 10, 14)] == ["low", "low", *["intermediate"] * 2, "high", "high"]
    assert renal_text(7, "anterior", False) == "7a"
    assert renal_text(10, "posterior", True) == "10ph"
    assert [padua_size_points(mm) for mm in (40, 40.5, 70, 70.5)] == [1, 2, 2, 3]


def test_probabilities_add_up_and_are_never_certain():
    found = shares({"1": 24.0, "2": 0.0, "3": 0.0})
    assert sum(found.values()) == pytest.approx(1, abs=1e-3)
    assert 0 < found["2"] < 0.02 < found["1"] < 1


@pytest.mark.parametrize(
    "values",
    [{"band_mm": -1}, {"diameter": "longest"}, {"polar_axis": "x"}, {"step_mm": 0}, {"endophytic_tolerance": 0.6}],
)
def test_an_impossible_definition_is_refused(values):
    with pytest.raises(ConfigurationError):
        NephrometryOptions(**values)


def test_a_lesion_that_ends_on_a_polar_line_does_not_cross_it():
    assert PolarExtent(-20, 20, 20, 40, 0.0).points == 1
    assert PolarExtent(-20, 20, -40, -20, 0.0).points == 1


def test_the_margin_of_a_lesion_between_the_lines_is_its_way_to_the_nearer_one():
    extent = PolarExtent(-20, 20, -1, 5, 1.0)
    assert (extent.points, extent.margin) == (3, 15)
