"""Regions of interest against the reference's way, and their independence of how the study is stored."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from RenalCLIPCore.errors import CentreError, ConfigurationError
from RenalCLIPCore.imaging.roi import RoiSpec, extract_rois, locate_crop, nearest_voxel
from RenalCLIPCore.imaging.study import Phase
from RenalCLIPCore.imaging.volume import Geometry, Volume
from Testing.Benchmarks.naive_roi import naive_rois

SPEC = RoiSpec()


def smooth_volume(size=(90, 80, 40), spacing=(2.5, 2.4, 5.0), origin=(-110.0, -90.0, -60.0), direction=None, seed=0):
    """A volume whose HU follow a smooth function of patient position, so every storage samples the same anatomy."""
    geometry = Geometry.from_components(size, spacing, origin, np.eye(3) if direction is None else direction)
    index = np.stack(np.meshgrid(*(np.arange(n) for n in size), indexing="ij"), axis=-1)
    x, y, z = np.moveaxis(geometry.lps(index), -1, 0)
    hu = 120 * np.sin(x / 17 + seed) + 90 * np.cos(y / 23) + 60 * np.sin(z / 29 + x / 40) + 20
    return Volume(np.round(hu).astype(np.int16), geometry)


def stored(volume, order, flips):
    """The same voxels stored with permuted and flipped index axes."""
    array = volume.array.transpose(order)
    columns = volume.geometry.direction_matrix[:, order]
    spacing = [volume.geometry.spacing_mm[a] for a in order]
    start = np.zeros(3)
    for axis, flip in enumerate(flips):
        if flip:
            array = np.flip(array, axis)
            start[order[axis]] = volume.geometry.size[order[axis]] - 1
            columns[:, axis] *= -1
    return Volume(array, Geometry.from_components(array.shape, spacing, volume.geometry.lps(start), columns))


CENTRE = (3.2, 8.1, 24.0)


def test_roi_equals_whole_volume_resampling_then_cropping_on_different_grids():
    volumes = {
        Phase.A: smooth_volume(),
        Phase.V: smooth_volume((100, 70, 61), (2.1, 2.7, 3.3), (-100.0, -80.0, -70.0), seed=1),
        Phase.D: smooth_volume((40, 70, 20), (2.1, 2.7, 3.3), (-20.0, -80.0, -10.0), seed=2),
    }
    reference = volumes[Phase.A].geometry
    naive = naive_rois(volumes, reference, CENTRE, SPEC)
    rois = extract_rois(volumes, reference, CENTRE, SPEC)
    for phase, roi in rois.items():
        assert roi.array.shape == (140, 140, 32)
        assert np.abs(roi.array - naive[phase]).max() < 1e-4
    assert rois[Phase.A].inside_fraction > rois[Phase.D].inside_fraction > 0


def test_roi_equals_the_reference_way_when_the_cube_reaches_outside_and_when_a_phase_misses_it():
    volumes = {Phase.A: smooth_volume(), Phase.N: smooth_volume(origin=(900.0, 0.0, 0.0))}
    centre = (-60.0, -40.0, 30.0)
    naive = naive_rois(volumes, volumes[Phase.A].geometry, centre, SPEC)
    rois = extract_rois(volumes, volumes[Phase.A].geometry, centre, SPEC)
    for phase, roi in rois.items():
        assert np.abs(roi.array - naive[phase]).max() < 1e-4
    assert rois[Phase.N].array.max() == 0
    assert rois[Phase.N].inside_fraction == 0


def test_roi_of_a_phase_with_an_oblique_grid_equals_the_reference_way():
    angle = np.deg2rad(9)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    volumes = {Phase.A: smooth_volume(), Phase.V: smooth_volume(direction=turn, seed=3)}
    naive = naive_rois(volumes, volumes[Phase.A].geometry, CENTRE, SPEC)
    rois = extract_rois(volumes, volumes[Phase.A].geometry, CENTRE, SPEC)
    assert np.abs(rois[Phase.V].array - naive[Phase.V]).max() < 1e-4


@settings(deadline=None, max_examples=12)
@given(st.sampled_from(list(itertools.permutations(range(3)))), st.tuples(*[st.booleans()] * 3))
def test_storage_order_never_changes_the_roi(order, flips):
    volume = smooth_volume()
    again = stored(volume, order, flips)
    first = extract_rois({Phase.A: volume}, volume.geometry, CENTRE)[Phase.A]
    second = extract_rois({Phase.A: again}, again.geometry, CENTRE)[Phase.A]
    assert np.array_equal(first.array, second.array)
    assert second.geometry.same_grid(first.geometry, 1e-6)


def test_left_and_right_stay_the_patients():
    volume = smooth_volume()
    index = np.argwhere(np.ones(volume.geometry.size, bool)).reshape(*volume.geometry.size, 3)
    bright = Volume(
        np.where(volume.geometry.lps(index)[..., 0] > CENTRE[0], 300, -200).astype(np.int16), volume.geometry
    )
    for order, flips in [((0, 1, 2), (0, 0, 0)), ((0, 1, 2), (1, 1, 0)), ((2, 0, 1), (0, 1, 1))]:
        image = stored(bright, order, flips)
        roi = extract_rois({Phase.A: image}, image.geometry, CENTRE)[Phase.A]
        assert roi.array[-30:].mean() > 0.7 > 0.3 > roi.array[:30].mean()


def test_oblique_reference_gives_the_same_anatomy_within_interpolation_error():
    angle = np.deg2rad(12)
    turn = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
    straight = smooth_volume((120, 120, 120), (2, 2, 2), (-118.0, -115.0, -95.0))
    oblique = smooth_volume((150, 150, 150), (2, 2, 2), (-148.0, -110.0, -160.0), turn)
    first = extract_rois({Phase.A: straight}, straight.geometry, CENTRE)[Phase.A]
    second = extract_rois({Phase.A: oblique}, oblique.geometry, CENTRE)[Phase.A]
    both = np.s_[20:-20, 20:-20, 6:-6]
    assert np.abs(first.array[both] - second.array[both]).mean() < 0.02
    assert np.abs(first.geometry.lps((70, 70, 16)) - second.geometry.lps((70, 70, 16))).max() <= 2.0


def test_the_cube_is_140_by_140_by_160_mm_around_the_centre():
    reference = Geometry.from_components((400, 400, 300), (1, 1, 1), (-200, -200, -150), np.eye(3))
    crop = locate_crop(reference, (10.0, -20.0, 5.0))
    low, high = crop.roi_geometry.bounds_lps_mm
    assert np.allclose(low, (-60.5, -90.5, -75.5))
    assert np.allclose(high - low, (140, 140, 160))
    assert crop.roi_geometry.spacing_mm == pytest.approx((1.0, 1.0, 5.0))


def test_a_region_of_another_size_keeps_the_voxels_and_the_centre():
    assert RoiSpec.of_input((128, 128, 160)) == SPEC
    reference = Geometry.from_components((400, 400, 300), (1, 1, 1), (-200, -200, -150), np.eye(3))
    spec = RoiSpec.of_input((96, 80, 120))
    crop = locate_crop(reference, (10.0, -20.0, 5.0), spec)
    assert (spec.shape, spec.input_shape) == ((108, 92, 24), (96, 80, 24))
    assert crop.roi_geometry.spacing_mm == pytest.approx((1.0, 1.0, 5.0))
    assert np.allclose(crop.roi_geometry.bounds_lps_mm, [(-44.5, -66.5, -55.5), (63.5, 25.5, 64.5)])
    for size in ((96.5, 96, 120), (96, 96, 121), (16, 96, 120), (96, 300, 120)):
        with pytest.raises(ConfigurationError, match="whole voxels"):
            RoiSpec.of_input(size)


@pytest.mark.parametrize(
    ("centre", "words"),
    [
        ((500.0, 0.0, 0.0), "outside the reference volume"),
        ((-110.0, -90.0, -60.0), "lies inside the scan"),
        ((float("nan"), 0.0, 0.0), "finite"),
    ],
)
def test_an_unusable_centre_is_refused_with_one_message(centre, words):
    volume = smooth_volume()
    with pytest.raises(CentreError, match=words):
        extract_rois({Phase.A: volume}, volume.geometry, centre)


def test_a_centre_midway_between_voxels_lies_in_the_upper_one_whatever_rounding_says():
    grid = Geometry.from_components((200, 200, 200), (0.7, 0.74, 1.1), (-70.3, -60.1, -50.7), np.eye(3))
    for k in range(199):
        assert nearest_voxel(grid, grid.lps([k + 0.5] * 3)).tolist() == [k + 1] * 3
