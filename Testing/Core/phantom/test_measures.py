"""Truth of the geometry on cases that can be checked by hand."""

from dataclasses import replace

import numpy as np
import pytest

from RenalCLIPCore.phantom.measures import measure_lesion, measure_renal, parenchyma_volume_ml, polar_class
from RenalCLIPCore.phantom.shapes import Blob, Ellipsoid
from Testing.Core.phantom.phantom_toys import sphere

BALL_20_ML = 4 / 3 * np.pi * 8.0


def test_sphere_has_its_textbook_volume_diameters_and_centre():
    found = measure_lesion(sphere((70.0, 20.0, -5.0), 20.0))
    assert found.volume_ml == pytest.approx(BALL_20_ML, rel=1e-3)
    assert found.largest_diameter_mm == pytest.approx(40.0, rel=3e-3)
    assert found.axial_diameter_mm == pytest.approx(40.0, rel=3e-3)
    assert found.centre_lps_mm == pytest.approx((70.0, 20.0, -5.0), abs=0.1)
    assert found.centroid_lps_mm == pytest.approx((70.0, 20.0, -5.0), abs=0.1)


def test_r_is_the_largest_diameter_in_any_single_patient_plane(round_kidney):
    upright = replace(sphere((110.0, 30.0, 0.0), 1.0), shape=Blob((110.0, 30.0, 0.0), (10.0, 20.0, 30.0)))
    assert measure_renal(upright, round_kidney).r_mm == pytest.approx(60.0, rel=5e-3)
    assert measure_lesion(upright).axial_diameter_mm == pytest.approx(40.0, rel=5e-3)
    first = np.array([1.0, 1.0, 1.0]) / np.sqrt(3)
    second = np.array([1.0, -1.0, 0.0]) / np.sqrt(2)
    rows = tuple(tuple(row) for row in (first, second, np.cross(first, second)))
    diagonal = replace(upright, shape=Blob((110.0, 30.0, 0.0), (30.0, 10.0, 10.0), rows))
    assert measure_lesion(diagonal).largest_diameter_mm == pytest.approx(60.0, rel=5e-3)
    assert 24 < measure_renal(diagonal, round_kidney).r_mm < 50


@pytest.mark.parametrize(("radius", "expected"), [(19.9, 0), (20.2, 1), (34.7, 1), (35.3, 2)])
def test_r_class_cuts_at_four_and_seven_centimetres(round_kidney, radius, expected):
    assert measure_renal(sphere((130.0, 30.0, 0.0), radius), round_kidney).r == expected


def test_sphere_outside_inside_and_across_a_flat_outline(round_kidney):
    outside = measure_renal(sphere((135.0, 30.0, 0.0), 20.0), round_kidney)
    assert (outside.e_outside, outside.e) == (1.0, 0)
    inside = measure_renal(sphere((75.0, 30.0, 0.0), 20.0), round_kidney)
    assert (inside.e_outside, inside.e) == (0.0, 2)
    flat = Ellipsoid((-900.0, 30.0, 0.0), (1000.0, 1000.0, 1000.0))
    sinus = replace(round_kidney.sinus, centre_lps_mm=(54.0, 30.0, 300.0))
    kidney = replace(round_kidney, outline=flat, sinus=sinus)
    half = measure_renal(sphere((100.0, 30.0, 0.0), 20.0), kidney)
    assert half.e_outside == pytest.approx(0.5, abs=0.012)
    cap = measure_renal(sphere((90.0, 30.0, 0.0), 20.0), kidney)
    assert cap.e_outside == pytest.approx(5 / 32, abs=0.012)
    assert cap.e == 1


@pytest.mark.parametrize(("gap", "expected"), [(9.0, 0), (5.0, 1), (2.0, 2)])
def test_n_is_the_gap_between_two_spheres(round_kidney, gap, expected):
    found = measure_renal(sphere((40.0 + gap + 12.0, 30.0, 0.0), 12.0), round_kidney)
    assert found.n_mm == pytest.approx(gap, abs=0.1)
    assert found.n == expected


def test_n_is_zero_when_the_lesion_reaches_into_the_sinus(round_kidney):
    assert measure_renal(sphere((45.0, 30.0, 0.0), 12.0), round_kidney).n_mm == 0.0


@pytest.mark.parametrize(("front", "expected"), [(15.0, 0), (-15.0, 1), (9.0, 2), (-9.0, 2)])
def test_a_is_the_signed_distance_in_front_of_the_coronal_plane(round_kidney, front, expected):
    found = measure_renal(sphere((90.0, 30.0 - front, 0.0), 8.0), round_kidney)
    assert found.a_mm == pytest.approx(front, abs=0.1)
    assert found.a == expected


def test_polar_lines_are_where_the_sinus_opens_the_surface(round_kidney):
    found = measure_renal(sphere((90.0, 30.0, 0.0), 8.0), round_kidney)
    reach = 50.0 * np.sin(np.arccos(1 - 30.0**2 / (2 * 50.0**2)))
    assert found.polar_lines_mm == pytest.approx((-reach, 0.0, reach), abs=0.6)
    assert found.polar_lines_axis_mm == pytest.approx((-reach, 0.0, reach), abs=0.6)


@pytest.mark.parametrize(
    ("z", "radius", "expected"),
    [(45.0, 10.0, 0), (-45.0, 10.0, 0), (30.0, 10.0, 1), (26.0, 10.0, 2), (15.0, 10.0, 2), (5.0, 10.0, 2)],
)
def test_l_class_of_a_sphere_by_its_height(round_kidney, z, radius, expected):
    assert measure_renal(sphere((90.0, 30.0, z), radius), round_kidney).l == expected


def test_crossing_the_midline_counts_even_when_most_of_the_lesion_is_outside():
    along = np.linspace(-1.0, 30.0, 400)
    between, level = polar_class(along, along, np.ones(400), (-5.0, 0.0, 5.0))
    assert between < 0.5
    assert level == 2


def test_axial_and_long_axis_variants_differ_for_a_tilted_kidney(round_kidney):
    tilt = np.radians(40)
    rows = (
        (0.0, float(np.sin(tilt)), float(np.cos(tilt))),
        (-1.0, 0.0, 0.0),
        (0.0, float(-np.cos(tilt)), float(np.sin(tilt))),
    )
    kidney = replace(round_kidney, outline=replace(round_kidney.outline, axes=rows))
    lesion = sphere((75.0, -17.0, 0.0), 6.0)
    found = measure_renal(lesion, kidney)
    assert found.l == 2
    assert found.l_axis == 1


def test_parenchyma_is_the_outline_without_sinus_and_lesions(round_kidney):
    whole = 4 / 3 * np.pi * 125.0
    lens = np.pi * 30.0**2 * (2 / 3 * 30.0 - 30.0**2 / (4 * 50.0)) / 1000
    assert parenchyma_volume_ml(round_kidney, ()) == pytest.approx(whole - lens, rel=5e-3)
    lesion = sphere((75.0, 30.0, 0.0), 20.0)
    assert parenchyma_volume_ml(round_kidney, (lesion,)) == pytest.approx(whole - lens - BALL_20_ML, rel=5e-3)
