"""The slice lies where the lesion is largest, shows what is there, and does not depend on the storage order."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from RenalCLIPCore.errors import CentreError, ConfigurationError, InputError, NoLesionError
from RenalCLIPCore.imaging.lesion_slice import (
    PAPER_SLICE,
    SliceSpec,
    extract_slices,
    largest_slice_centre,
    meant_lesion,
)
from RenalCLIPCore.imaging.study import Phase
from RenalCLIPCore.imaging.volume import Geometry, Volume

SMALL = SliceSpec(spacing_mm=1.0, size=16, window_hu=(-200.0, 200.0))


def labels_with(balls, size=(40, 40, 20), spacing=(1.0, 1.0, 3.0), label=2):
    grid = Geometry.from_components(size, spacing, (-20, -20, -30), np.eye(3))
    points = grid.lps(np.stack(np.meshgrid(*(np.arange(n) for n in size), indexing="ij"), axis=-1))
    array = np.ones(size, np.uint8)
    for centre, radius in balls:
        array[np.linalg.norm(points - np.asarray(centre), axis=-1) <= radius] = label
    return Volume(array, grid)


def stored_otherwise(volume, order, flips):
    """The same voxels with index axes permuted and turned."""
    array = volume.array.transpose(order)
    grid = volume.geometry
    start = [0, 0, 0]
    columns = grid.direction_matrix[:, list(order)].copy()
    for axis, flip in enumerate(flips):
        if flip:
            array = np.flip(array, axis)
            start[order[axis]] = grid.size[order[axis]] - 1
            columns[:, axis] *= -1
    spacing = [grid.spacing_mm[a] for a in order]
    return Volume(array, Geometry.from_components(array.shape, spacing, grid.lps(start), columns))


def test_the_paper_sees_140_mm_in_224_pixels():
    assert PAPER_SLICE.spacing_mm * PAPER_SLICE.size == 140.0
    assert PAPER_SLICE.window_hu == (-500.0, 500.0)


def test_the_slice_is_the_one_through_the_middle_of_a_ball():
    centre = largest_slice_centre(labels_with([((5.0, -3.0, 0.0), 9.0)]))
    np.testing.assert_allclose(centre, (5.0, -3.0, 0.0), atol=1e-6)


def test_a_tumour_is_taken_before_a_larger_cyst():
    labels = labels_with([((-8.0, 0.0, 0.0), 10.0)], label=3)
    tumour = labels_with([((12.0, 0.0, 6.0), 4.0)])
    labels.array[tumour.array == 2] = 2
    assert largest_slice_centre(labels)[0] == pytest.approx(12.0, abs=0.5)


def test_of_several_tumours_the_one_at_the_point_is_taken_else_the_largest():
    labels = labels_with([((-10.0, 0.0, 0.0), 8.0), ((12.0, 4.0, 9.0), 4.0)])
    assert largest_slice_centre(labels)[0] == pytest.approx(-10.0, abs=0.5)
    assert largest_slice_centre(labels, (10.0, 4.0, 6.0))[0] == pytest.approx(12.0, abs=0.5)


def test_a_lesion_of_one_voxel_has_its_slice_through_that_voxel():
    labels = labels_with([])
    labels.array[7, 31, 4] = 2
    np.testing.assert_allclose(largest_slice_centre(labels), labels.geometry.lps((7, 31, 4)), atol=1e-9)


def test_no_tumour_on_any_slice_is_refused_in_one_sentence():
    with pytest.raises(NoLesionError, match="on any slice"):
        largest_slice_centre(labels_with([]))


@settings(deadline=None, max_examples=15)
@given(
    order=st.permutations(range(3)),
    flips=st.tuples(st.booleans(), st.booleans(), st.booleans()),
    centre=st.tuples(st.floats(-8, 8), st.floats(-8, 8), st.floats(-15, 15)),
)
def test_neither_centre_nor_slice_depends_on_how_voxels_are_stored(order, flips, centre):
    labels = labels_with([(centre, 6.0)])
    other = stored_otherwise(labels, order, flips)
    found = largest_slice_centre(labels)
    np.testing.assert_allclose(largest_slice_centre(other), found, atol=1e-6)
    values = np.random.default_rng(1).normal(0, 80, labels.array.shape).astype(np.float32)
    volume = Volume(values, labels.geometry)
    turned = stored_otherwise(volume, order, flips)
    first = extract_slices({Phase.A: volume}, volume.geometry, found, SMALL)[Phase.A]
    second = extract_slices({Phase.A: turned}, turned.geometry, found, SMALL)[Phase.A]
    np.testing.assert_allclose(first.array, second.array, atol=1e-5)
    assert first.geometry.same_grid(second.geometry)


def test_pixels_show_the_attenuation_at_their_place_in_patient_space():
    grid = Geometry.from_components((50, 50, 12), (0.8, 0.8, 4.0), (-20, -20, -20), np.eye(3))
    points = grid.lps(np.stack(np.meshgrid(*(np.arange(n) for n in grid.size), indexing="ij"), axis=-1))
    ramp = Volume((3 * points[..., 0] - 2 * points[..., 1] + points[..., 2]).astype(np.float32), grid)
    slices = extract_slices({Phase.A: ramp, Phase.V: ramp}, grid, (1.3, 2.4, 3.0), SMALL)
    found = slices[Phase.A]
    assert found.array.shape == (16, 16)
    assert found.geometry.origin_lps_mm[2] == pytest.approx(4.0)  # the reference's slice nearest to the centre
    at = found.geometry.lps([(0, 0, 0), (15, 3, 0)])
    hu = 3 * at[:, 0] - 2 * at[:, 1] + at[:, 2]
    np.testing.assert_allclose(found.array[[0, 15], [0, 3]], (hu + 200) / 400, atol=1e-4)
    middle = found.geometry.lps((7.5, 7.5, 0))
    np.testing.assert_allclose(middle[:2], (1.3, 2.4), atol=1e-9)
    assert slices[Phase.V].geometry is found.geometry


def test_what_a_phase_does_not_cover_is_dark_and_counted():
    grid = Geometry.from_components((16, 16, 4), (1, 1, 5), (-8, -8, 0), np.eye(3))
    volume = Volume(np.full((16, 16, 4), 100, np.int16), grid)
    found = extract_slices({Phase.A: volume}, grid, (8.0 - 0.6, 0.0, 5.0), SMALL)[Phase.A]
    assert 0.4 < found.inside_fraction < 0.6
    assert found.array[-1].max() == 0
    assert found.array[0, :15].min() == pytest.approx(0.75)
    above = Volume(volume.array, grid.crop((0, 0, 40), grid.size))
    assert extract_slices({Phase.V: above}, grid, (0.0, 0.0, 5.0), SMALL)[Phase.V].inside_fraction == 0


def test_a_centre_outside_the_scan_is_refused():
    grid = Geometry.from_components((16, 16, 4), (1, 1, 5), (-8, -8, 0), np.eye(3))
    with pytest.raises(CentreError, match="outside the reference"):
        extract_slices({}, grid, (100.0, 0.0, 5.0), SMALL)


@pytest.mark.parametrize(("spacing", "size"), [(0.625, 224), (1.25, 112), (1.0, 140)])
def test_other_pixels_keep_the_field_of_view(spacing, size):
    assert SliceSpec.of_spacing(spacing).size == size


@pytest.mark.parametrize("spacing", [0.0, -1.0, 0.3, 10.0, float("nan"), float("inf")])
def test_pixels_that_do_not_fill_the_field_of_view_are_refused(spacing):
    with pytest.raises(ConfigurationError, match="whole pixels"):
        SliceSpec.of_spacing(spacing)


def test_a_window_that_does_not_rise_is_refused():
    with pytest.raises(ConfigurationError, match="must rise"):
        SliceSpec.of_spacing(0.625, (100.0, 100.0))


def test_a_ct_volume_is_no_label_map():
    labels = labels_with([((0, 0, 0), 6)])
    volume = Volume(labels.array.astype(np.int16) * 40, labels.geometry)
    with pytest.raises(InputError, match="give a mask"):
        meant_lesion(volume)
