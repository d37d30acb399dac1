"""Fields of masks and the native outline: surfaces between the voxels, and what is missing closed again."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from RenalCLIPCore.imaging.mask_fields import (
    FAR_MM,
    cropped,
    crossings,
    cubic_grid,
    field,
    hull_distance,
    hull_facets,
    signed_distance,
    sphere,
)
from RenalCLIPCore.imaging.native_outline import fit_outline
from RenalCLIPCore.imaging.volume import Geometry, Volume

SEMI = np.array([55.0, 31.0, 25.0])


def ball(spacing, radius=14.0, direction=None):
    """A ball around (3, -2, 5) mm on a grid."""
    size = np.ceil(44.0 / np.asarray(spacing)).astype(int)
    frame = np.eye(3) if direction is None else direction
    origin = np.array([3.0, -2.0, 5.0]) - frame @ (np.asarray(spacing) * (size - 1) / 2) + 0.21
    grid = Geometry.from_components(size, spacing, origin, frame)
    index = np.stack(np.meshgrid(*(np.arange(n) for n in size), indexing="ij"), axis=-1)
    return Volume(np.linalg.norm(grid.lps(index) - (3, -2, 5), axis=-1) <= radius, grid)


@pytest.mark.parametrize("spacing", [(0.8, 0.8, 1.0), (0.8, 0.8, 3.0), (2.5, 0.7, 0.7)])
def test_the_surface_of_a_ball_is_found_between_the_voxels(spacing):
    mask = ball(spacing)
    grid = cubic_grid(mask.geometry, 1.0)
    radii = np.linalg.norm(crossings(field(mask, grid), grid) - (3, -2, 5), axis=1)
    assert radii.mean() == pytest.approx(14.0, abs=0.25)
    assert np.percentile(np.abs(radii - 14.0), 95) < 0.35 * max(spacing)


def test_an_oblique_grid_gives_the_same_surface():
    mask = ball((0.8, 0.8, 1.5), direction=Rotation.from_euler("xyz", (20, -15, 30), degrees=True).as_matrix())
    grid = cubic_grid(mask.geometry, 1.0)
    points = crossings(field(mask, grid), grid)
    assert points.mean(axis=0) == pytest.approx((3, -2, 5), abs=0.2)
    assert np.linalg.norm(points - (3, -2, 5), axis=1).mean() == pytest.approx(14.0, abs=0.25)


def test_an_empty_mask_is_far_from_everything_and_a_tiny_one_is_not_lost():
    mask = ball((1.0, 1.0, 1.0))
    grid = cubic_grid(mask.geometry, 1.0)
    assert field(Volume(np.zeros_like(mask.array), mask.geometry), grid).min() == FAR_MM
    one = np.zeros_like(mask.array)
    one[20, 20, 20] = True
    assert field(Volume(one, mask.geometry), grid).min() < 0


def test_the_signed_distance_of_a_label_is_that_of_its_mask():
    mask = ball((1.0, 1.0, 2.0))
    labels = Volume(3 * mask.array.astype(np.uint8), mask.geometry)
    assert np.array_equal(signed_distance(labels), signed_distance(mask))


def test_a_crop_beyond_the_volume_keeps_every_voxel_in_place():
    mask = ball((1.0, 1.0, 2.0))
    part = cropped(mask, (slice(0, 5), slice(3, 9), slice(0, 22)), 4.0)
    inside = part.geometry.lps(np.argwhere(part.array))
    assert mask.array[tuple(np.rint(mask.geometry.index(inside)).astype(int).T)].all()


def test_distance_to_a_hull_is_exact_inside_a_box():
    corners = np.array([[x, y, z] for x in (0, 10) for y in (0, 20) for z in (0, 30)], float)
    facets = hull_facets(corners)
    assert hull_distance(facets, np.array([[5, 10, 15], [1, 10, 15], [12, 10, 15]])) == pytest.approx(
        [-5, -1, 2], abs=1e-3
    )


def kidney_surface(cut):
    """Points of a turned ellipsoid; those beyond ``cut`` along its front are missing."""
    turn = Rotation.from_euler("xyz", (12, -18, 40), degrees=True).as_matrix()
    unit = sphere(6000)
    flat = unit * SEMI
    return (flat[unit[:, 2] < cut]) @ turn + (30, -20, 10), turn


@pytest.mark.parametrize("cut", [1.1, 0.6, 0.3])
def test_an_ellipsoid_is_recovered_although_a_part_is_missing(cut):
    points, turn = kidney_surface(cut)
    outline = fit_outline(points)
    assert outline.centre_lps_mm == pytest.approx((30, -20, 10), abs=1.0)
    assert outline.semi_axes_mm == pytest.approx(SEMI, abs=1.2)
    assert abs(outline.axes[0] @ turn[0]) > 0.998
    everything = (sphere(500) * SEMI) @ turn + (30, -20, 10)
    assert np.percentile(np.abs(outline.distance(everything)), 95) < 1.2


def test_stray_points_do_not_bend_the_outline():
    points, turn = kidney_surface(0.6)
    stray = np.random.default_rng(0).uniform((0, -50, -20), (60, 10, 40), size=(200, 3))
    outline = fit_outline(np.concatenate([points, stray]))
    everything = (sphere(500) * SEMI) @ turn + (30, -20, 10)
    assert np.median(np.abs(outline.distance(everything))) < 1.0


def test_a_smooth_relief_is_followed_and_coverage_falls_with_what_is_missing():
    unit = sphere(6000)
    bumpy = (
        unit
        * SEMI
        * (1.0 + 0.08 * np.cos(3 * np.arctan2(unit[:, 2], unit[:, 1])) * (1 - unit[:, :1].T[0] ** 2))[:, None]
    )
    outline = fit_outline(bumpy)
    assert np.percentile(np.abs(outline.distance(bumpy)), 95) < 1.2
    half = fit_outline(bumpy[unit[:, 2] < 0])
    assert outline.coverage > 0.98
    assert half.coverage < 0.7


def test_the_volume_is_that_of_the_ellipsoid():
    points, _ = kidney_surface(1.1)
    assert fit_outline(points).volume_ml == pytest.approx(4 / 3 * np.pi * np.prod(SEMI) / 1000, rel=0.02)
