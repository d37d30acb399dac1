"""Distances and boxes of the continuous shapes."""

import numpy as np
import pytest

from RenalCLIPCore.phantom.shapes import Blob, Cylinder, Ellipsoid, Tube, Waves
from RenalCLIPCore.phantom.streams import stream


def at(shape, *point):
    return float(shape.distance(*(np.array([c]) for c in point))[0])


def test_sphere_distance_is_exact_outside_and_at_the_surface():
    ball = Ellipsoid((1.0, 2.0, 3.0), (10.0, 10.0, 10.0))
    assert at(ball, 1, 2, 18) == pytest.approx(5.0, abs=1e-4)
    assert at(ball, 11, 2, 3) == pytest.approx(0.0, abs=1e-4)
    assert at(ball, 1, 2, 3) < -9


def test_tube_distance_is_exact_beside_and_beyond_its_ends():
    tube = Tube(((0.0, 0.0, 0.0), (0.0, 0.0, 10.0)), 2.0)
    assert at(tube, 5, 0, 4) == pytest.approx(3.0, abs=1e-4)
    assert at(tube, 0, 0, 14) == pytest.approx(2.0)


def test_cylinder_has_no_ends():
    assert at(Cylinder((0.0, 0.0), (10.0, 10.0)), 13, 0, 4000) == pytest.approx(3.0, abs=1e-4)


def test_bent_ellipsoid_keeps_its_volume():
    shape = Ellipsoid((0.0, 0.0, 0.0), (20.0, 10.0, 8.0), bend_mm=6.0)
    x, y, z = np.meshgrid(*(np.arange(-30, 30, 0.75),) * 3, indexing="ij")
    inside = (shape.distance(x, y, z) <= 0).sum() * 0.75**3
    assert inside == pytest.approx(shape.volume_mm3(), rel=0.01)


@pytest.mark.parametrize("seed", range(4))
def test_boxes_hold_their_shapes(seed):
    g = np.random.default_rng(seed)
    axes, _ = np.linalg.qr(g.normal(size=(3, 3)))
    rotation = tuple(tuple(row) for row in axes)
    blob = Blob((3.0, -4.0, 5.0), (9.0, 14.0, 6.0), rotation, 0.1, Waves.draw(g, 1.3, 16))
    bean = Ellipsoid((3.0, -4.0, 5.0), (18.0, 9.0, 6.0), rotation, bend_mm=5.0)
    points = g.uniform(-40, 40, size=(20000, 3))
    for shape in (blob, bean):
        low, high = shape.bounds()
        inside = points[shape.distance(*points.T) <= 0]
        assert len(inside) > 50
        assert np.all(inside >= low - 1e-9)
        assert np.all(inside <= high + 1e-9)


def test_waves_have_zero_mean_and_unit_variance():
    field = Waves.draw(stream(1, "test"), 5.0)
    points = stream(2, "points").uniform(-300, 300, size=(3, 40000))
    values = field(*points)
    assert values.mean() == pytest.approx(0.0, abs=0.05)
    assert values.std() == pytest.approx(1.0, abs=0.05)


def test_streams_depend_on_seed_and_name_only():
    assert stream(5, "a").uniform() == stream(5, "a").uniform()
    assert stream(5, "a").uniform() != stream(5, "b").uniform()
    assert stream(5, "a").uniform() != stream(6, "a").uniform()
