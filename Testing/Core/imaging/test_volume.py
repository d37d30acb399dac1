"""Geometry: one place for axes. Volumes: what is written comes back, what is unusable is refused before it is read."""

import gzip
import itertools
import struct

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st

from RenalCLIPCore.errors import GeometryError, InputError
from RenalCLIPCore.imaging.volume import Geometry, Volume, lps_from_ras, read_geometry, read_volume, write_volume

IDENTITY = np.eye(3)


def rotation(degrees):
    """A rotation about the superior axis."""
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])


def test_a_hand_checked_index_lands_on_its_patient_position():
    # i runs to the right, j to posterior, k to superior
    geometry = Geometry.from_components((10, 10, 10), (2, 3, 4), (100, 50, -20), np.diag([-1, 1, 1]))
    assert geometry.lps((1, 2, 3)).tolist() == [98, 56, -8]
    assert geometry.index((98, 56, -8)) == pytest.approx([1, 2, 3])


axes = st.sampled_from(list(itertools.permutations(range(3))))
signs = st.tuples(*[st.sampled_from([-1, 1])] * 3)


@settings(deadline=None, max_examples=50)
@given(axes, signs, st.floats(-40, 40), st.tuples(*[st.floats(0.3, 6)] * 3))
def test_index_and_position_are_inverse_and_the_canonical_grid_holds_the_same_points(order, sign, angle, spacing):
    direction = (rotation(angle) @ IDENTITY)[:, order] * sign
    geometry = Geometry.from_components((5, 6, 7), spacing, (11, -22, 33), direction)
    index = np.array([[0, 0, 0], [4, 5, 6], [1.5, 2.5, 3.5]])
    assert np.allclose(geometry.index(geometry.lps(index)), index)
    canonical = geometry.canonical()
    assert np.all(np.diag(canonical.direction_matrix) > 0.7)
    assert np.allclose(geometry.bounds_lps_mm, canonical.bounds_lps_mm)


@settings(deadline=None, max_examples=20)
@given(axes, signs)
def test_canonical_voxels_stay_where_they_are_in_the_patient(order, sign):
    geometry = Geometry.from_components((3, 4, 5), (1, 2, 3), (7, 8, 9), IDENTITY[:, order] * sign)
    volume = Volume(np.arange(60).reshape(3, 4, 5), geometry)
    canonical = volume.canonical()
    for index in itertools.product(range(3), range(4), range(5)):
        at = tuple(np.rint(canonical.geometry.index(geometry.lps(index))).astype(int))
        assert canonical.array[at] == volume.array[index]


def test_ras_and_lps_differ_in_the_first_two_signs():
    assert lps_from_ras((10, 20, 30)).tolist() == [-10, -20, 30]


def test_only_a_tilted_grid_counts_as_oblique():
    def grid(direction):
        return Geometry.from_components((4, 4, 4), (1, 1, 1), (0, 0, 0), direction)

    assert not grid(IDENTITY[:, [2, 0, 1]] * [1, -1, 1]).is_oblique
    assert grid(rotation(0.2)).is_oblique
    assert grid(rotation(30)).patient_aligned().size[2] == 4
    assert not grid(rotation(30)).patient_aligned().is_oblique


def test_an_axis_aligned_grid_around_an_oblique_one_covers_it():
    oblique = Geometry.from_components((40, 30, 20), (1, 1.5, 2), (5, 6, 7), rotation(25))
    low, high = oblique.bounds_lps_mm
    covered_low, covered_high = oblique.patient_aligned().bounds_lps_mm
    assert np.all(covered_low <= low + 1e-3)
    assert np.all(covered_high >= high - 1e-3)


@pytest.mark.parametrize(
    ("size", "spacing", "direction", "words"),
    [
        ((4, 4, 0), (1, 1, 1), IDENTITY, "three-dimensional"),
        ((4, 4, 4), (1, 0, 1), IDENTITY, "spacing"),
        ((4, 4, 4), (1, float("nan"), 1), IDENTITY, "spacing"),
        ((4, 4, 4), (1, 1, 1), [[1, 0.3, 0], [0, 1, 0], [0, 0, 1]], "orthogonal"),
        ((4, 4, 4), (1, 1, 1), np.zeros((3, 3)), "orthogonal"),
    ],
)
def test_an_unusable_geometry_is_refused(size, spacing, direction, words):
    with pytest.raises(GeometryError, match=words):
        Geometry.from_components(size, spacing, (0, 0, 0), direction)


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha"])
def test_a_written_volume_comes_back_with_voxels_and_geometry(tmp_path, suffix):
    geometry = Geometry.from_components((6, 5, 4), (0.7, 0.8, 2.5), (-100.5, 33.25, -812.125), rotation(12))
    volume = Volume(np.arange(120, dtype=np.int16).reshape(6, 5, 4) - 60, geometry)
    write_volume(volume, tmp_path / f"v{suffix}")
    again = read_volume(tmp_path / f"v{suffix}")
    assert np.array_equal(again.array, volume.array)
    assert again.geometry.same_grid(geometry, 1e-3)
    assert [path.name for path in tmp_path.iterdir()] == [f"v{suffix}"]


def test_resampling_onto_a_shifted_grid_reads_the_neighbouring_voxel():
    volume = Volume(
        np.arange(27, dtype=np.int16).reshape(3, 3, 3), Geometry.from_components((3,) * 3, (1,) * 3, (0,) * 3, IDENTITY)
    )
    target = Geometry.from_components((1, 1, 1), (1, 1, 1), (1, 2, 0.5), IDENTITY)
    assert volume.resample_to(target).array[0, 0, 0] == pytest.approx(9 + 6 + 0.5)
    outside = Geometry.from_components((1, 1, 1), (1, 1, 1), (50, 0, 0), IDENTITY)
    assert volume.resample_to(outside).array[0, 0, 0] == -1000


def test_a_truncated_file_is_refused(tmp_path):
    path = tmp_path / "cut.nrrd"
    write_volume(
        Volume(
            np.random.default_rng(0).integers(0, 999, (20, 20, 20)).astype(np.int16),
            Geometry.from_components((20,) * 3, (1,) * 3, (0,) * 3, IDENTITY),
        ),
        path,
    )
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(InputError, match="truncated"):
        read_volume(path)


@pytest.mark.parametrize("name", ["cut.nii", "cut.nii.gz"])
@pytest.mark.parametrize("keep", [0.1, 0.5, 0.99])
def test_a_truncated_nifti_is_refused_not_filled_with_what_was_in_memory(tmp_path, name, keep):
    path = tmp_path / name
    array = np.random.default_rng(0).integers(0, 999, (20, 20, 20)).astype(np.int16)
    write_volume(Volume(array, Geometry.from_components((20,) * 3, (1,) * 3, (0,) * 3, IDENTITY)), path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])
    with pytest.raises(InputError, match=r"truncated|no image"):
        read_volume(path)


def test_a_nifti_compressed_in_several_members_is_read(tmp_path):
    array = np.random.default_rng(0).integers(0, 999, (20, 20, 20)).astype(np.int16)
    write_volume(
        Volume(array, Geometry.from_components((20,) * 3, (1,) * 3, (0,) * 3, IDENTITY)), tmp_path / "whole.nii"
    )
    content = (tmp_path / "whole.nii").read_bytes()
    (tmp_path / "parts.nii.gz").write_bytes(gzip.compress(content[:9000]) + gzip.compress(content[9000:]))
    assert np.array_equal(read_volume(tmp_path / "parts.nii.gz").array, array)


def test_a_header_that_announces_a_huge_volume_is_refused_before_it_is_allocated(tmp_path):
    header = bytearray(352)
    struct.pack_into("<i", header, 0, 348)
    struct.pack_into("<8h", header, 40, 3, 30000, 30000, 30000, 1, 1, 1, 1)
    struct.pack_into("<2h", header, 70, 4, 16)
    struct.pack_into("<8f", header, 76, 1, 1, 1, 1, 1, 1, 1, 1)
    struct.pack_into("<f", header, 108, 352)
    header[344:348] = b"n+1\0"
    path = tmp_path / "huge.nii.gz"
    path.write_bytes(gzip.compress(bytes(header) + bytes(1000)))
    with pytest.raises(GeometryError, match="more than can be held"):
        read_volume(path)


def test_other_dimensions_and_several_channels_are_refused(tmp_path):
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((4, 4), np.int16)), str(tmp_path / "flat.mha"))
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((4, 4, 4, 2), np.int16), isVector=True), str(tmp_path / "two.mha"))
    with pytest.raises(GeometryError, match="2 dimensions"):
        read_geometry(tmp_path / "flat.mha")
    with pytest.raises(InputError, match="one value per voxel"):
        read_volume(tmp_path / "two.mha")
    with pytest.raises(InputError, match="no such file"):
        read_volume(tmp_path / "gone.nii")
