"""Radiomic features do what their definitions say on shapes that can be checked by hand, and survive poor lesions."""

import math

import numpy as np
import pytest

from RenalCLIPCore.errors import ConfigurationError, NoLesionError
from RenalCLIPCore.imaging.radiomic_shape import shape_features, slice_shape_features
from RenalCLIPCore.imaging.radiomics import RadiomicsSpec, lesion_features, lesion_regions
from RenalCLIPCore.imaging.study import Phase
from RenalCLIPCore.imaging.volume import Geometry, Volume

SPACING = (1.0, 1.0, 2.0)


def grid(size=(40, 40, 20), spacing=SPACING, origin=(-20.0, -20.0, -20.0)):
    return Geometry.from_components(size, spacing, origin, np.eye(3))


def ball(radius, centre=(0.0, 0.0, 0.0), label=2, geometry=None):
    geometry = geometry or grid()
    points = geometry.lps(np.stack(np.meshgrid(*(np.arange(n) for n in geometry.size), indexing="ij"), axis=-1))
    inside = np.linalg.norm(points - np.asarray(centre), axis=-1) <= radius
    return Volume(np.where(inside, label, 1).astype(np.uint8), geometry)


def noise(geometry=None, seed=3):
    geometry = geometry or grid()
    values = np.random.default_rng(seed).normal(60.0, 30.0, geometry.size)
    return Volume(values.astype(np.float32), geometry)


def test_volume_and_sphericity_of_a_ball_are_those_of_a_ball():
    mask = ball(9.0).array == 2
    found = shape_features(mask, SPACING)
    assert found["morph_volume"] == pytest.approx(4 / 3 * math.pi * 9**3, rel=0.03)
    # a staircase of voxels has more surface than the ball
    assert 0.88 < found["morph_sphericity"] < 1.0
    assert found["morph_pca_elongation"] == pytest.approx(1.0, abs=0.03)
    # the IBSI's axes are 4 standard deviations, which for a solid ball of radius r is 4 r / sqrt(5)
    assert found["morph_pca_maj_axis"] == pytest.approx(4 * 9 / math.sqrt(5), rel=0.03)
    assert found["morph_area_dens_aee"] == pytest.approx(5 / 4 / found["morph_sphericity"], rel=0.03)


def test_area_perimeter_and_diameter_of_a_disc_are_those_of_a_disc():
    found = slice_shape_features(ball(12.0).array[:, :, 10:11] == 2, SPACING)
    assert found["slice_area"] == pytest.approx(math.pi * 12**2, rel=0.03)
    assert found["slice_diam"] == pytest.approx(24.0, abs=1.1)
    assert 0.85 < found["slice_circularity"] <= 1.0
    assert found["slice_pca_elongation"] == pytest.approx(1.0, abs=0.02)


def test_a_lesion_of_one_attenuation_has_no_contrast_and_no_entropy():
    labels = ball(8.0)
    flat = Volume(np.full(labels.array.shape, 37, np.int16), labels.geometry)
    found = lesion_features(labels, {Phase.A: flat})
    assert found["A.space.stat_mean"] == 37.0
    assert found["A.space.stat_var"] == found["A.space.cm_contrast"] == found["A.slice.cm_joint_entr"] == 0.0


def test_features_do_not_depend_on_how_the_voxels_are_stored():
    labels, image = ball(8.0, (2.0, -3.0, 0.0)), noise()
    turned = np.eye(3)[:, [1, 0, 2]] * (-1.0, 1.0, 1.0)
    geometry = Geometry.from_components(
        (40, 40, 20), SPACING, labels.geometry.lps((0, 39, 0)), turned
    )  # i runs along -y, j along x
    other = [Volume(np.ascontiguousarray(v.array.transpose(1, 0, 2)[::-1]), geometry) for v in (labels, image)]
    expected = lesion_features(labels, {Phase.V: image})
    found = lesion_features(other[0], {Phase.V: other[1]})
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=1e-6, abs=1e-9), name


def test_a_phase_on_another_grid_is_read_in_the_frame_of_the_label_map():
    labels = ball(8.0, (3.0, 0.0, 0.0))
    fine = grid((80, 80, 40), (0.5, 0.5, 1.0), (-20.0, -20.0, -20.0))
    x = fine.lps(np.stack(np.meshgrid(*(np.arange(n) for n in fine.size), indexing="ij"), axis=-1))[..., 0]
    found = lesion_features(labels, {Phase.A: Volume((10 * x).astype(np.float32), fine)})
    assert found["A.space.stat_mean"] == pytest.approx(30.0, abs=2.0)


def test_a_lesion_of_one_voxel_has_a_shape_and_undefined_texture():
    array = np.ones(grid().size, np.uint8)
    array[20, 20, 10] = 2
    found = lesion_features(Volume(array, grid()), {Phase.A: noise()})
    assert found["shape.space.morph_volume"] > 0
    assert found["shape.space.morph_pca_maj_axis"] == 0.0
    assert math.isfinite(found["A.space.stat_mean"])
    assert math.isnan(found["A.space.cm_contrast"])
    assert math.isnan(found["A.space.ngt_coarseness"])


def test_the_smallest_lesion_keeps_a_voxel_on_both_grids():
    array = np.zeros(grid((20, 20, 20), (0.4, 0.4, 0.4)).size, bool)
    array[10, 10, 10] = True
    regions = lesion_regions(Volume(array, grid((20, 20, 20), (0.4, 0.4, 0.4))), RadiomicsSpec())
    assert regions.flat.array.sum() == regions.space.array.sum() == 1


def test_no_tumour_on_any_slice_is_refused_in_one_sentence():
    labels = Volume(np.ones(grid().size, np.uint8), grid())
    with pytest.raises(NoLesionError, match="no tumour"):
        lesion_features(labels, {Phase.A: noise()})


def test_a_phase_that_does_not_cover_the_lesion_has_no_features():
    away = noise(grid(origin=(200.0, 200.0, 200.0)))
    found = lesion_features(ball(6.0), {Phase.A: noise(), Phase.V: away})
    assert math.isfinite(found["A.slice.stat_mean"])
    named = [value for name, value in found.items() if name.startswith("V.")]
    assert named
    assert all(math.isnan(value) for value in named)
    assert {n[2:] for n in found if n.startswith("A.")} == {n[2:] for n in found if n.startswith("V.")}


def test_attenuation_outside_the_range_does_not_count():
    labels = ball(8.0)
    image = np.full(labels.array.shape, 50.0, np.float32)
    image[20, 20, 10] = 3000.0  # a clip
    found = lesion_features(labels, {Phase.A: Volume(image, labels.geometry)}, spec=RadiomicsSpec(slice_mm=1.0))
    assert found["A.slice.stat_max"] == 50.0


@pytest.mark.parametrize(
    "values",
    [
        {"bin_hu": 0.0},
        {"range_hu": (100.0, -100.0)},
        {"range_hu": (-2000.0, 100.0)},
        {"bin_hu": 0.5},
        {"slice_mm": 0.0},
        {"space_mm": float("nan")},
    ],
)
def test_impossible_settings_are_refused(values):
    with pytest.raises(ConfigurationError):
        RadiomicsSpec(**values)


def test_bins_have_their_width_and_the_range_its_ends():
    spec = RadiomicsSpec(range_hu=(0.0, 100.0), bin_hu=25.0)
    assert spec.levels(np.array([-1.0, 0.0, 24.9, 25.0, 99.0, 100.0, 101.0])).tolist() == [0, 1, 1, 2, 4, 4, 0]
