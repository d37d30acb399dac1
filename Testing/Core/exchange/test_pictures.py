"""Pictures show patient space: the same anatomy stored in any way looks the same, right on the left."""

import io
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.spatial.transform import Rotation

from RenalCLIPCore.exchange.drawing import position_text
from RenalCLIPCore.exchange.pictures import heat_colours, key_pictures, outline, survey_planes, windowed
from RenalCLIPCore.exchange.planes import Plane, View, body_box, sample, sample_label
from RenalCLIPCore.imaging.study import Phase
from RenalCLIPCore.imaging.volume import Geometry, Volume

AXES = list(itertools.product(itertools.permutations(range(3)), itertools.product((1, -1), repeat=3)))


def linear_volume(direction=None, size=(40, 36, 30), spacing=(3.0, 3.5, 4.0)):
    """HU that grow linearly in patient space (x + 2 y + 3 z), so that linear sampling is exact anywhere inside."""
    matrix = np.eye(3) if direction is None else direction
    middle = matrix @ (np.asarray(spacing) * (np.asarray(size) - 1) / 2)
    geometry = Geometry.from_components(size, spacing, -middle, matrix)
    points = geometry.lps(np.stack(np.meshgrid(*map(np.arange, size), indexing="ij"), axis=-1))
    return Volume((points @ (1.0, 2.0, 3.0)).astype(np.float32), geometry)


def body(permutation=(0, 1, 2), signs=(1, 1, 1)):
    """A body with a bright spot at the right front and a kidney with a tumour on the left, stored as asked."""
    geometry = Geometry.from_components((100, 80, 40), (3, 3, 5), (-148.5, -118.5, -97.5), np.eye(3))
    x, y, z = np.moveaxis(geometry.lps(np.stack(np.meshgrid(*map(np.arange, (100, 80, 40)), indexing="ij"), -1)), -1, 0)
    hu = np.where((x / 130) ** 2 + (y / 100) ** 2 < 1, 0, -1000).astype(np.int16)
    hu[(x + 90) ** 2 + (y + 40) ** 2 < 12**2] = 300
    labels = ((x - 70) ** 2 + (y - 20) ** 2 + z**2 < 40**2).astype(np.uint8)
    labels[(x - 90) ** 2 + (y - 20) ** 2 + z**2 < 20**2] = 2
    return stored(Volume(hu, geometry), permutation, signs), stored(Volume(labels, geometry), permutation, signs)


def stored(volume, permutation, signs):
    """The same voxels with permuted and flipped index axes."""
    array = volume.array.transpose(permutation)
    start = [0, 0, 0]
    for axis, sign in enumerate(signs):
        if sign < 0:
            array = np.flip(array, axis)
            start[permutation[axis]] = volume.array.shape[permutation[axis]] - 1
    columns = volume.geometry.direction_matrix[:, list(permutation)] * np.asarray(signs)
    spacing = [volume.geometry.spacing_mm[axis] for axis in permutation]
    return Volume(array, Geometry.from_components(array.shape, spacing, volume.geometry.lps(start), columns))


def pixels(data):
    return np.asarray(Image.open(io.BytesIO(data)))


@settings(deadline=None, max_examples=15)
@given(st.tuples(*[st.floats(-180, 180)] * 3), st.sampled_from(list(View)), st.tuples(*[st.floats(-12, 12)] * 3))
def test_a_plane_samples_patient_space_exactly_for_any_direction(angles, view, centre):
    volume = linear_volume(Rotation.from_euler("xyz", angles, degrees=True).as_matrix())
    plane = Plane.around(view, centre, 30, 24, 1.5)
    rows, columns = np.meshgrid(*(np.arange(n) + 0.5 for n in plane.shape), indexing="ij")
    points = (
        np.asarray(plane.corner_lps_mm)
        + 1.5 * columns[..., None] * np.asarray(view.right)
        + 1.5 * rows[..., None] * np.asarray(view.down)
    )
    np.testing.assert_allclose(sample(volume, plane), points @ (1.0, 2.0, 3.0), atol=2e-3)
    np.testing.assert_allclose(plane.centre_lps_mm, centre, atol=1e-9)


@pytest.mark.parametrize(
    ("view", "right", "down"), [("axial", "L", "P"), ("coronal", "L", "I"), ("sagittal", "P", "I")]
)
def test_views_follow_the_radiological_convention(view, right, down):
    directions = {"L": (1, 0, 0), "P": (0, 1, 0), "I": (0, 0, -1)}
    assert View(view).right == directions[right]
    assert View(view).down == directions[down]
    assert (View(view).letters[1], View(view).letters[3]) == (right, down)


def test_outside_the_scan_is_not_shown_as_air():
    volume = linear_volume()
    hu = sample(volume, Plane.around(View.AXIAL, (0, 0, 0), 400, 20, 2.0))
    assert np.isnan(hu[:, 0]).all()
    assert not np.isnan(hu[:, hu.shape[1] // 2]).any()
    assert windowed(hu)[0, 0] not in (0, 255)


def test_the_window_is_level_50_width_500():
    grey = windowed(np.array([-1000, -200, 50, 300, 2000], dtype=np.float32))
    assert grey.tolist() == [0, 0, 128, 255, 255]


def test_the_block_of_a_label_gives_the_same_mask_as_the_whole_volume():
    _, labels = body()
    plane = Plane.around(View.CORONAL, (80, 21.3, 2), 120, 90, 0.7)
    whole = sample(Volume((labels.array == 2).astype(np.float32), labels.geometry), plane)
    np.testing.assert_allclose(sample_label(labels, plane, 2), whole, atol=1e-6)
    assert sample_label(labels, plane, 3) is None
    assert sample_label(labels, Plane.around(View.AXIAL, (0, 0, 900), 50, 50, 1.0), 2) is None


def test_an_outline_lies_on_the_border_of_the_label_in_patient_space():
    _, labels = body()
    plane = Plane.around(View.AXIAL, (90, 20, 0), 80, 80, 0.5)
    lines = outline(labels, plane, 2)
    assert len(lines) == 1
    away = np.hypot(lines[0][:, 0] - 80, lines[0][:, 1] - 80) * 0.5
    assert np.abs(away - 20).max() < 3.0
    assert abs(away.mean() - 20) < 1.0


@pytest.mark.parametrize(("permutation", "signs"), AXES[::5])
def test_pictures_do_not_depend_on_how_the_volume_is_stored(permutation, signs):
    centre = (90.0, 20.0, 0.0)
    expected = key_pictures({Phase.A: body()[0]}, body()[1], centre)
    volume, labels = body(permutation, signs)
    pictures = key_pictures({Phase.A: volume}, labels, centre)
    assert pictures.keys() == expected.keys()
    for name, data in pictures.items():
        difference = np.abs(pixels(data).astype(int) - pixels(expected[name]).astype(int))
        assert np.percentile(difference, 99.5) <= 6, name


def test_the_patients_right_is_on_the_left_and_anterior_is_up():
    volume, labels = body()
    axial = pixels(key_pictures({Phase.V: volume}, labels, (90.0, 20.0, 0.0))["axial-V"]).astype(int)
    axial[:40], axial[-40:], axial[:, :40], axial[:, -40:] = 0, 0, 0, 0
    rows, columns = np.nonzero(axial > 235)
    assert columns.mean() < axial.shape[1] * 0.4
    assert rows.mean() < axial.shape[0] * 0.5


def test_marks_are_transparent_but_for_the_lines_and_fit_their_picture():
    volume, labels = body()
    pictures = key_pictures({Phase.A: volume, Phase.N: volume}, labels, (90.0, 20.0, 0.0))
    for view in ("axial", "coronal", "sagittal", "roi"):
        marks = pixels(pictures[f"{view}-marks"])
        assert marks.shape[:2] == pixels(pictures[f"{view}-A"]).shape[:2]
        share = (marks[..., 3] > 0).mean()
        assert 0.001 < share < 0.2
    roi = pixels(pictures["roi-marks"])
    orange = (roi[..., 0] > 220) & (roi[..., 1] > 130) & (roi[..., 1] < 200) & (roi[..., 2] < 90) & (roi[..., 3] > 200)
    rows, columns = np.nonzero(orange)
    assert abs(rows.mean() - roi.shape[0] / 2) < 6
    assert abs(np.ptp(columns) * 0.25 - 40) < 4


def test_every_phase_is_drawn_and_the_reference_is_arterial_else_venous():
    volume, labels = body()
    centre = (90.0, 20.0, 0.0)
    pictures = key_pictures(dict.fromkeys((Phase.D, Phase.V, Phase.A, Phase.N), volume), labels, centre)
    assert {f"roi-{letter}" for letter in "NAVD"} | {f"axial-{letter}" for letter in "NAVD"} <= pictures.keys()
    assert "coronal-A" in pictures
    assert "coronal-V" in key_pictures({Phase.N: volume, Phase.V: volume}, labels, centre)
    assert key_pictures({}, labels, centre) == {}


def test_a_lesion_that_is_not_primary_and_a_study_without_lesion_get_fewer_pictures():
    volume, labels = body()
    small = key_pictures({Phase.A: volume}, labels, (90.0, 20.0, 0.0), survey=False)
    assert set(small) == {"roi-A", "roi-marks"}
    whole = key_pictures({Phase.A: volume}, None, (90.0, 20.0, 0.0), mark_centre=False)
    assert set(whole) == {f"{view}-{kind}" for view in View for kind in ("A", "marks")}
    assert not pixels(whole["axial-marks"]).any()


def test_the_explanation_colours_only_where_its_map_is():
    volume, labels = body()
    grid = Geometry.from_components((8, 8, 4), (5, 5, 10), (72.5, 2.5, -15), np.eye(3))
    heat = Volume(np.ones((8, 8, 4), np.float32), grid)
    picture = pixels(key_pictures({Phase.A: volume}, labels, (90.0, 20.0, 0.0), (heat,), survey=False)["explanation-1"])
    colour = np.ptp(picture.astype(int), axis=-1)
    middle = picture.shape[0] // 2
    assert colour[middle, middle] > 40
    assert colour[60:-60, 60:150].max() < 20


def test_heat_colours_run_from_dark_to_bright():
    brightness = heat_colours(np.linspace(0, 1, 50)) @ (0.299, 0.587, 0.114)
    assert (np.diff(brightness) > 0).all()


def test_all_planes_of_the_survey_have_one_height_and_one_scale_and_hold_the_centre():
    volume, _ = body()
    for centre in ((90.0, 20.0, 0.0), (-60.0, 50.0, 96.0)):
        planes = survey_planes(volume, np.asarray(centre))
        assert len({plane.shape[0] for plane in planes}) == 1
        assert len({plane.pixel_mm for plane in planes}) == 1
        for plane in planes:
            column, row = plane.pixel(centre)
            assert 0 < column < plane.shape[1]
            assert 0 < row < plane.shape[0]


def test_the_body_is_found_without_the_couch_and_an_empty_slice_gives_the_whole_field():
    volume, _ = body()
    array = volume.array.copy()
    array[20:80, 77:79] = 200
    low, high = body_box(Volume(array, volume.geometry), (0, 0, 0))
    np.testing.assert_allclose(low, (-138, -108), atol=5)
    np.testing.assert_allclose(high, (138, 108), atol=5)
    air = Volume(
        np.full((20, 20, 5), -1000, np.int16), Geometry.from_components((20, 20, 5), (2, 2, 2), (0, 0, 0), np.eye(3))
    )
    np.testing.assert_allclose(np.ravel(body_box(air, (10, 10, 4))), (-1, -1, 39, 39))


@pytest.mark.parametrize(("view", "words"), [("axial", "I 120.8"), ("coronal", "P 76.7"), ("sagittal", "R 96.3")])
def test_positions_are_written_with_their_patient_direction(view, words):
    assert position_text(View(view), (-96.3, 76.7, -120.8)) == words
