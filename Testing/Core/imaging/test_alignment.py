"""Rigid registration around the kidneys: known movements are recovered, in every phase, the same on every run."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from RenalCLIPCore.errors import GeometryError, GridMismatchError
from RenalCLIPCore.imaging.alignment import RigidTransform, in_reference_frame, register_rigid, resample_aligned
from RenalCLIPCore.imaging.volume import Geometry, Volume

GRID = Geometry.from_components((64, 60, 44), (3, 3, 4), (-96, -90, -88), np.eye(3))
CENTRE = np.array([40.0, 10.0, 0.0])
angles = st.floats(-15, 15)
shifts = st.floats(-30, 30)


def scene(transform=None, kidney=180.0, tumour=90.0, noise=0):
    """A kidney with a lesion and neighbours in fat, drawn where ``transform`` puts it."""
    points = GRID.lps(np.argwhere(np.ones(GRID.size, dtype=bool)))
    if transform is not None:
        points = transform.inverse().apply(points)
    x, y, z = np.moveaxis(points.reshape(*GRID.size, 3), -1, 0)
    hu = np.full(GRID.size, -100.0)
    hu[np.sqrt(((x - 40) / 24) ** 2 + ((y - 10) / 20) ** 2 + (z / 48) ** 2) < 1] = kidney
    hu[np.sqrt((x - 55) ** 2 + (y - 18) ** 2 + (z + 20) ** 2) < 14] = tumour
    hu[np.sqrt(((x - 30) / 9) ** 2 + ((y - 12) / 8) ** 2 + ((z - 5) / 14) ** 2) < 1] = 10.0
    hu[np.sqrt((x + 5) ** 2 + (y - 40) ** 2) < 16] = 55.0
    return Volume((hu + np.random.default_rng(noise).normal(0, 10, GRID.size)).astype(np.int16), GRID)


def kidney_mask():
    points = GRID.lps(np.argwhere(np.ones(GRID.size, dtype=bool))) - CENTRE
    inside = np.linalg.norm(points / (24, 20, 48), axis=1) < 1
    return Volume(inside.reshape(GRID.size).astype(np.uint8), GRID)


def error_mm(found, true):
    points = CENTRE + np.random.default_rng(0).normal(0, 20, (40, 3))
    return float(np.linalg.norm(found.apply(points) - true.apply(points), axis=1).mean())


@settings(max_examples=30, deadline=None)
@given(rotation=st.tuples(angles, angles, angles), shift=st.tuples(shifts, shifts, shifts))
def test_a_transform_keeps_its_angles_and_inverts(rotation, shift):
    transform = RigidTransform.about(CENTRE, rotation, shift)
    points = np.random.default_rng(1).normal(0, 100, (7, 3))
    assert np.allclose(transform.rotation_deg, rotation, atol=1e-6)
    assert np.allclose(transform.apply(CENTRE) - CENTRE, shift)
    assert np.allclose(transform.inverse().apply(transform.apply(points)), points)


def test_a_matrix_with_scale_or_reflection_is_no_rigid_transform():
    for matrix in (np.diag([1.1, 1, 1, 1]), np.diag([-1.0, 1, 1, 1])):
        with pytest.raises(GeometryError, match="rotation"):
            RigidTransform.from_array(matrix)


@pytest.mark.parametrize(
    ("rotation", "shift"), [((0, 0, 0), (2, -3, 14)), ((4, -3, 5), (-4, 5, -20)), ((0, 0, 0), (0, 0, 28))]
)
def test_a_known_movement_is_recovered_across_phases(rotation, shift):
    true = RigidTransform.about(CENTRE, rotation, shift)
    fixed, moving = scene(kidney=180, tumour=120), scene(true, kidney=35, tumour=40, noise=1)
    found = register_rigid(moving, fixed, centre_lps_mm=CENTRE)
    assert error_mm(found.transform, true) < 1.5
    assert found.residual_after_mm < 0.5 * found.residual_before_mm
    assert np.allclose(found.shift_mm, shift, atol=1.5)
    moved_back = resample_aligned(moving, GRID, found.transform)
    assert moved_back.array[tuple(np.rint(GRID.index(CENTRE)).astype(int))] > 0


def test_a_mask_serves_as_region_and_two_runs_agree():
    true = RigidTransform.about(CENTRE, (0, 3, 0), (3, 2, -12))
    fixed, moving = scene(), scene(true, noise=1)
    one = register_rigid(moving, fixed, region=kidney_mask())
    assert error_mm(one.transform, true) < 1.5
    assert register_rigid(moving, fixed, region=kidney_mask()) == one


def test_aligned_phases_stay_where_they_are():
    result = register_rigid(scene(noise=1), scene(), centre_lps_mm=CENTRE)
    assert error_mm(result.transform, RigidTransform.identity()) < 0.5
    assert result.residual_after_mm <= result.residual_before_mm


def test_how_the_phase_is_stored_does_not_matter():
    true = RigidTransform.about(CENTRE, (0, 0, 0), (2, 2, 10))
    moving = scene(true)
    corner = GRID.lps([GRID.size[0] - 1, 0, GRID.size[2] - 1])
    flipped = Geometry.from_components(GRID.size, GRID.spacing_mm, corner, np.diag([-1.0, 1.0, -1.0]))
    turned = Volume(moving.array[::-1, :, ::-1].copy(), flipped)
    one = register_rigid(moving, scene(), centre_lps_mm=CENTRE)
    other = register_rigid(turned, scene(), centre_lps_mm=CENTRE)
    assert np.allclose(one.transform.array, other.transform.array, atol=0.02)


def test_regions_outside_the_images_are_refused():
    with pytest.raises(GridMismatchError, match="outside the reference"):
        register_rigid(scene(), scene(), centre_lps_mm=(900.0, 0.0, 0.0))
    far = Volume(scene().array, GRID.crop((500, 0, 0), GRID.size))
    with pytest.raises(GridMismatchError, match="outside the phase"):
        register_rigid(far, scene(), centre_lps_mm=CENTRE)
    with pytest.raises(GridMismatchError, match="empty"):
        register_rigid(scene(), scene(), region=Volume(np.zeros(GRID.size, np.uint8), GRID))
    with pytest.raises(ValueError, match="a centre or a region"):
        register_rigid(scene(), scene())


def test_a_phase_in_the_reference_frame_shows_what_the_transform_says():
    grid = Geometry.from_components((9, 8, 7), (1.0, 2.0, 3.0), (-20.0, 5.0, 40.0), np.eye(3))
    transform = RigidTransform.about((1.0, 12.0, 50.0), (4.0, -3.0, 10.0), (6.0, -2.0, 15.0))
    phase = Volume(np.arange(9 * 8 * 7, dtype=np.int16).reshape(9, 8, 7), grid)
    moved = in_reference_frame(phase, transform)
    points = np.random.default_rng(0).normal((0.0, 10.0, 50.0), 20.0, (8, 3))
    np.testing.assert_allclose(moved.geometry.index(points), grid.index(transform.apply(points)), atol=1e-6)
    assert np.array_equal(moved.array, phase.array)
