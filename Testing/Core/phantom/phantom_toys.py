"""Hand-checkable lesions and grids for the phantom's tests."""

import numpy as np

from RenalCLIPCore.imaging.volume import Geometry
from RenalCLIPCore.phantom.patient import Lesion
from RenalCLIPCore.phantom.shapes import Blob


def sphere(centre, radius, side="left", label="tumour"):
    """A spherical lesion."""
    return Lesion(side, label, Blob(centre, (radius, radius, radius)), 35.0, (80.0, 70.0, 50.0))


def grid_around(points, spacing_mm=(1.0, 1.0, 1.0), margin_mm=4.0):
    """An LPS grid that holds the points (n, 3) and a margin."""
    points = np.atleast_2d(points)
    low, high = points.min(axis=0) - margin_mm, points.max(axis=0) + margin_mm
    size = np.ceil((high - low) / spacing_mm).astype(int) + 1
    return Geometry.from_components(size, spacing_mm, low, np.eye(3))
