"""Lesions, sides, sizes and centres from masks, whatever their storage."""

from __future__ import annotations

import csv
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from RenalCLIPCore.errors import NoKidneyError
from RenalCLIPCore.imaging.lesions import axial_centre_lps_mm, find_lesions
from RenalCLIPCore.imaging.orientation import reorient
from RenalCLIPCore.imaging.volume import Geometry, Volume, read_volume
from Testing.Core.imaging.kidney_toys import TOY_GRID, ellipsoid
from Testing.Core.real_data import REAL_DATA

KITS = REAL_DATA / "masks_kits23"
FINE = Geometry.from_components((110, 50, 60), (2.0, 2.0, 2.0), (-109.0, -49.0, -59.0), np.eye(3))
ORIENTATIONS = [
    "".join(letters) for axes in itertools.permutations(("LR", "PA", "SI")) for letters in itertools.product(*axes)
]


def two_kidneys(grid: Geometry = FINE) -> np.ndarray:
    labels = np.zeros(grid.size, np.uint8)
    for x in (-55, 55):
        labels[ellipsoid(grid, (x, 5, 0), (22, 20, 45))] = 1
    return labels


def with_lesions(grid: Geometry = FINE) -> Volume:
    labels = two_kidneys(grid)
    labels[ellipsoid(grid, (70, 5, 20), (12, 12, 12))] = 2
    labels[ellipsoid(grid, (-68, 0, -10), (18, 15, 15))] = 3
    labels[ellipsoid(grid, (-50, 20, 30), (7, 7, 7))] = 2
    return Volume(labels, grid)


def test_primary_is_the_largest_tumour_even_beside_a_larger_cyst():
    found = find_lesions(with_lesions())
    assert [(x.lesion_id, x.label, x.side) for x in found.lesions] == [
        ("L1", "tumour", "left"),
        ("L2", "tumour", "right"),
        ("L3", "cyst", "right"),
    ]
    assert found.lesions[2].volume_ml > found.lesions[0].volume_ml > found.lesions[1].volume_ml
    for lesion in found.lesions:
        voxels = int((found.components.array == lesion.number).sum())
        assert lesion.volume_ml == pytest.approx(voxels * 0.008)


def test_sizes_and_centre_of_a_ball_are_those_of_the_ball():
    lesion = find_lesions(with_lesions()).lesions[0]
    assert lesion.volume_ml == pytest.approx(4 / 3 * np.pi * 12**3 / 1000, rel=0.03)
    assert lesion.largest_diameter_mm == pytest.approx(24, abs=2.0)
    assert lesion.axial_diameter_mm == pytest.approx(24, abs=2.0)
    assert np.allclose(lesion.centre_lps_mm, (70, 5, 20), atol=1.01)


def test_one_voxel_measures_its_own_extent():
    labels = two_kidneys()
    labels[80, 40, 30] = 2
    lesion = find_lesions(Volume(labels, FINE), minimum_ml=0.001).lesions[0]
    assert lesion.largest_diameter_mm == pytest.approx(2.0)
    assert lesion.axial_diameter_mm == pytest.approx(2.0)
    assert np.allclose(lesion.centre_lps_mm, FINE.lps((80, 40, 30)))


def test_diameter_agrees_with_all_pairs_of_surface_points():
    generator = np.random.default_rng(3)
    blob = ellipsoid(FINE, (60, 5, 5), (9, 14, 20)) & (generator.uniform(size=FINE.size) > 0.1)
    labels = two_kidneys()
    labels[blob] = 2
    lesion = find_lesions(Volume(labels, FINE)).lesions[0]
    index = np.argwhere(find_lesions(Volume(labels, FINE)).components.array == 1)
    steps = np.concatenate([np.eye(3), -np.eye(3)]) / 2
    faces = FINE.lps(np.unique((index[:, None] + steps).reshape(-1, 3), axis=0))
    outer = faces[(np.abs(faces - faces.mean(axis=0)) > 4).any(axis=1)]
    naive = max(float(np.linalg.norm(outer - point, axis=1).max()) for point in outer)
    assert lesion.largest_diameter_mm == pytest.approx(naive, abs=1e-9)


def test_centre_lies_in_the_slice_of_largest_area_not_at_the_centroid():
    labels = two_kidneys()
    labels[70:80, 20:30, 30:45] = 2
    labels[70:90, 10:30, 45] = 2
    centre = find_lesions(Volume(labels, FINE)).lesions[0].centre_lps_mm
    assert np.allclose(centre, FINE.lps((79.5, 19.5, 45)))


@pytest.mark.parametrize("code", ORIENTATIONS[::5])
def test_storage_order_changes_nothing(code):
    reference = find_lesions(with_lesions())
    stored = reorient(with_lesions(), code)
    found = find_lesions(Volume(np.ascontiguousarray(stored.array), stored.geometry))
    for a, b in zip(reference.lesions, found.lesions, strict=True):
        assert (a.lesion_id, a.side, a.label) == (b.lesion_id, b.side, b.label)
        assert np.allclose(a.centre_lps_mm, b.centre_lps_mm, atol=1e-6)
        assert a.largest_diameter_mm == pytest.approx(b.largest_diameter_mm, abs=1e-6)
        assert a.axial_diameter_mm == pytest.approx(b.axial_diameter_mm, abs=1e-6)
    assert found.kidney_volumes_ml == pytest.approx(reference.kidney_volumes_ml)
    assert np.array_equal(found.components.canonical().array, reference.components.array)


@pytest.mark.parametrize("code", ORIENTATIONS[::11])
def test_the_mask_of_a_lesion_holds_all_its_voxels_and_no_others(code):
    found = find_lesions(reorient(with_lesions(), code))
    for lesion in found.lesions:
        mask = found.mask(lesion)
        whole = found.components.geometry.lps(np.argwhere(found.components.array == lesion.number))
        assert np.allclose(mask.geometry.lps(np.argwhere(mask.array)), whole)
        assert mask.array.size < found.components.array.size / 3


@settings(max_examples=8, deadline=None)
@given(st.tuples(*(st.floats(-0.4, 0.4) for _ in range(3))))
def test_oblique_storage_moves_the_centre_by_less_than_a_voxel(angles):
    a, b, c = angles
    turn = (
        np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
        @ np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
        @ np.array([[1, 0, 0], [0, np.cos(c), -np.sin(c)], [0, np.sin(c), np.cos(c)]])
    )
    size = np.array([130, 90, 90])
    grid = Geometry.from_components(size, (2, 2, 2), -turn @ (size - 1.0), turn)
    found = find_lesions(with_lesions(grid))
    reference = find_lesions(with_lesions())
    assert [x.side for x in found.lesions] == [x.side for x in reference.lesions]
    for x, y in zip(found.lesions, reference.lesions, strict=True):
        assert np.linalg.norm(np.subtract(x.centre_lps_mm, y.centre_lps_mm)) < 4.0
        assert x.largest_diameter_mm == pytest.approx(y.largest_diameter_mm, abs=2.5)


def test_equal_areas_and_equal_volumes_are_decided_by_geometry_alone():
    labels = two_kidneys()
    for x in (20, 85):
        labels[x : x + 6, 5:11, 20:30] = 2
    grid = Geometry.from_components(FINE.size, FINE.spacing_mm, FINE.origin_lps_mm, np.eye(3))
    results = []
    for code in ORIENTATIONS[::7]:
        stored = reorient(Volume(labels, grid), code)
        results.append([x.centre_lps_mm for x in find_lesions(stored).lesions])
    assert all(np.allclose(results[0], other, atol=1e-6) for other in results)


def test_a_lesion_belongs_to_the_kidney_it_touches_even_across_the_midline():
    labels = two_kidneys()
    labels[ellipsoid(FINE, (10, 5, 0), (34, 12, 12))] = 2
    labels[ellipsoid(FINE, (-55, 5, 0), (22, 20, 45)) & (labels == 2)] = 1
    lesion = find_lesions(Volume(labels, FINE)).lesions[0]
    assert lesion.side == "left"


def test_a_tumour_that_swallowed_its_kidney_keeps_its_side():
    labels = np.zeros(FINE.size, np.uint8)
    labels[ellipsoid(FINE, (-55, 5, 0), (22, 20, 45))] = 1
    labels[ellipsoid(FINE, (40, 0, 0), (60, 40, 50)) & (labels == 0)] = 2
    found = find_lesions(Volume(labels, FINE))
    assert found.lesions[0].side == "left"
    assert set(found.kidney_volumes_ml) == {"left", "right"}


@pytest.mark.parametrize(("x", "side"), [(-50, "right"), (50, "left")])
def test_a_solitary_kidney_has_a_side_and_the_assumption_is_told(x, side):
    labels = np.zeros(FINE.size, np.uint8)
    labels[ellipsoid(FINE, (x, 5, 0), (25, 20, 45))] = 1
    labels[:, :, 30] = np.where(labels[:, :, 30] == 1, 0, labels[:, :, 30])
    labels[ellipsoid(FINE, (x * 1.3, 0, 0), (10, 10, 10))] = 2
    found = find_lesions(Volume(labels, FINE))
    assert [lesion.side for lesion in found.lesions] == [side]
    assert list(found.kidney_volumes_ml) == [side]
    assert any("One kidney" in note for note in found.notes)


def test_a_given_midline_decides_for_a_solitary_kidney():
    labels = np.zeros(FINE.size, np.uint8)
    labels[ellipsoid(FINE, (-20, 5, 0), (25, 20, 45))] = 1
    assert list(find_lesions(Volume(labels, FINE)).kidney_volumes_ml) == ["right"]
    assert list(find_lesions(Volume(labels, FINE), midline_x_mm=-70.0).kidney_volumes_ml) == ["left"]


def test_a_horseshoe_kidney_is_divided_at_the_midline():
    labels = two_kidneys()
    labels[ellipsoid(FINE, (0, 5, -30), (60, 8, 8))] = 1
    labels[ellipsoid(FINE, (70, 5, 20), (12, 12, 12))] = 2
    found = find_lesions(Volume(labels, FINE))
    assert found.lesions[0].side == "left"
    volumes = found.kidney_volumes_ml
    assert volumes["left"] == pytest.approx(volumes["right"], rel=0.1)
    assert any("midline" in note for note in found.notes)


@pytest.mark.parametrize(
    ("islands", "notes"), [(1, ()), (13, ("13 tumour islands under 0.05 ml, 0.1 ml together, were left out.",))]
)
def test_islands_are_dropped_with_a_note_when_they_add_up(islands, notes):
    labels = two_kidneys()
    labels[70:80, 20:30, 20:30] = 2
    labels[95, 25, 2 : 2 + 2 * islands : 2] = 2
    found = find_lesions(Volume(labels, FINE))
    assert len(found.lesions) == 1
    assert found.notes == notes


def test_no_lesion_is_a_clear_empty_result():
    found = find_lesions(Volume(two_kidneys(), FINE))
    assert found.lesions == ()
    assert found.primary is None
    assert not found.components.array.any()
    assert set(found.kidney_volumes_ml) == {"left", "right"}


@pytest.mark.parametrize("value", [0, 2, 3])
def test_no_kidney_is_an_error(value):
    labels = np.zeros(TOY_GRID.size, np.uint8)
    labels[10:14, 10:14, 10:14] = value
    with pytest.raises(NoKidneyError):
        find_lesions(Volume(labels, TOY_GRID))


def kits_rows() -> list[dict[str, str]]:
    index = KITS / "index.csv"
    return list(csv.DictReader(index.read_text(encoding="utf-8").splitlines())) if index.is_file() else []


@pytest.mark.skipif(not kits_rows(), reason="the KiTS23 masks are not on this machine")
@pytest.mark.parametrize("name", ["case_00436", "case_00571", "case_00576"])
def test_sides_of_real_masks(name):
    row = next(row for row in kits_rows() if row["case"] == name)
    found = find_lesions(read_volume(KITS / f"{name}_segmentation.nii.gz"))
    tumours = [lesion for lesion in found.lesions if lesion.label == "tumour"]
    assert tumours[0].side[0].upper() == row["largest_tumour_side"]
    assert "".join(sorted({lesion.side[0].upper() for lesion in tumours})) == row["tumour_sides"]
    assert tumours[0].volume_ml == pytest.approx(float(row["largest_tumour_ml"]), rel=0.02)


def test_of_two_middle_slices_the_upper_one_holds_the_centre():
    grid = Geometry.from_components((3, 3, 2), (1.0, 1.0, 5.0), (0.0, 0.0, 0.0), np.eye(3))
    assert axial_centre_lps_mm(Volume(np.ones(grid.size, bool), grid)) == (1.0, 1.0, 5.0)
