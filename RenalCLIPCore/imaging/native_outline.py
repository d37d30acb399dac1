"""The outline that a kidney had before its lesion: an ellipsoid with a smooth relief, closed over what is missing.

An ellipsoid is fitted robustly, with the proportions of kidneys as a weak prior, to the outer surface of the
parenchyma away from lesions and sinus. What the visible surface has beyond it, relative to the ellipsoid, is a sum of
spherical harmonics that prefers to be flat and returns to the ellipsoid where nothing is seen.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .mask_fields import sphere, spread
from .volume import FloatArray

DEGREE = 6
TYPICAL_MM = (55.0, 31.0, 25.0)
SIZE_SD, RATIO_SD, PRIOR_WEIGHT = 0.2, 0.12, 5.0
HUBER_MM = 2.0
ROUGHNESS = 3e-5
RETURN, SEEN_ENOUGH = 0.003, 0.85
RELIEF_LIMIT = 0.3
COVER_COS = float(np.cos(np.radians(15.0)))
_POLAR, _ROUND = 91, 181


@dataclass(frozen=True, eq=False)
class Outline:
    """A closed star-shaped surface.

    Attributes:
        centre_lps_mm: (3,) centre of the ellipsoid.
        axes: (3, 3) rows are unit vectors in LPS along the semi-axes, the longest first.
        semi_axes_mm: (3,) half lengths.
        relief: (91, 181) relative height over the ellipsoid by polar angle from the first axis and angle around it.
        coverage: Share of the directions in which the outline was seen.
        residual_mm: Median distance of the seen surface from the outline.
    """

    centre_lps_mm: FloatArray
    axes: FloatArray
    semi_axes_mm: FloatArray
    relief: FloatArray = field(default_factory=lambda: np.zeros((_POLAR, _ROUND)))
    coverage: float = 1.0
    residual_mm: float = 0.0

    def relative(self, lps_mm: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Positions (n, 3) in units of the semi-axes, and their lengths (n,)."""
        unit = ((lps_mm - self.centre_lps_mm) @ self.axes.T) / self.semi_axes_mm
        return unit, np.linalg.norm(unit, axis=-1) + 1e-9

    def height(self, unit: FloatArray, length: FloatArray) -> FloatArray:
        """Relief (n,) in the directions of relative positions."""
        from scipy import ndimage

        polar = np.arccos(np.clip(unit[:, 0] / length, -1, 1)) * ((_POLAR - 1) / np.pi)
        turn = (np.arctan2(unit[:, 2], unit[:, 1]) + np.pi) * ((_ROUND - 1) / (2 * np.pi))
        return np.asarray(ndimage.map_coordinates(self.relief, [polar, turn], order=1, mode="nearest"))

    def distance(self, lps_mm: FloatArray) -> FloatArray:
        """Signed distance (n,) in mm, negative inside; first order, true near the surface."""
        unit, length = self.relative(lps_mm)
        slope = np.linalg.norm(unit / self.semi_axes_mm, axis=-1) / length
        return (length - 1.0 - self.height(unit, length)) / slope

    def surface(self, directions: FloatArray) -> FloatArray:
        """Points (n, 3) of the surface in directions (n, 3) of the ellipsoid's own frame."""
        length = np.linalg.norm(directions, axis=1)
        relative = directions / length[:, None] * (1.0 + self.height(directions, length))[:, None]
        return self.centre_lps_mm + (relative * self.semi_axes_mm) @ self.axes

    @property
    def volume_ml(self) -> float:
        """Volume enclosed."""
        unit = sphere(2000)
        cubed = (1.0 + self.height(unit, np.ones(len(unit)))) ** 3
        return float(4 / 3 * np.pi * np.prod(self.semi_axes_mm) * cubed.mean() / 1000)


def fit_outline(points: FloatArray, start: Outline | None = None, roughness: float = 1.0, count: int = 1000) -> Outline:
    """Fit an outline to points (n, 3) of the kidney's outer surface, n >= 30.

    Args:
        points: LPS mm.
        start: A similar outline, to begin near it.
        roughness: Factor on the weight of flatness.
        count: Points used for the ellipsoid; four times as many for the relief.
    """
    ellipsoid = _fit_ellipsoid(spread(points, count), start or _box_ellipsoid(points))
    return _with_relief(ellipsoid, spread(points, 4 * count, seed=1), roughness)


def _box_ellipsoid(points: FloatArray) -> Outline:
    middle = points.mean(axis=0)
    axes = np.linalg.eigh(np.cov((points - middle).T))[1][:, ::-1].T
    flat = (points - middle) @ axes.T
    low, high = flat.min(axis=0), flat.max(axis=0)
    return Outline(middle + (low + high) / 2 @ axes, axes, np.clip((high - low) / 2, 8.0, 120.0))


def _fit_ellipsoid(points: FloatArray, start: Outline) -> Outline:
    from scipy.optimize import least_squares
    from scipy.spatial.transform import Rotation

    typical = np.log(TYPICAL_MM)

    def shape(values: FloatArray) -> Outline:
        turned = Rotation.from_rotvec(values[3:6]).as_matrix() @ start.axes
        return Outline(start.centre_lps_mm + 10.0 * values[:3], turned, np.exp(np.clip(values[6:], 1.5, 5.0)))

    def residuals(values: FloatArray) -> FloatArray:
        """What least squares minimise: robust distances of the points, then departures from the typical kidney."""
        tried = shape(values)
        unit, length = tried.relative(points)
        slope = np.linalg.norm(unit / tried.semi_axes_mm, axis=1) / length
        off = np.clip((length - 1.0) / slope / HUBER_MM, -10, 10)
        robust = np.sign(off) * np.sqrt(2.0 * (np.sqrt(1.0 + off * off) - 1.0))
        apart = values[6:] - typical
        prior = [apart[0] / SIZE_SD, (apart[1] - apart[0]) / RATIO_SD, (apart[2] - apart[0]) / RATIO_SD]
        return np.concatenate([robust * np.sqrt(1000 / len(points)), PRIOR_WEIGHT * np.asarray(prior)])

    first = np.concatenate([np.zeros(6), np.log(start.semi_axes_mm)])
    found = shape(least_squares(residuals, first, max_nfev=30, xtol=1e-4, ftol=1e-5).x)
    order = np.argsort(found.semi_axes_mm)[::-1]
    return Outline(found.centre_lps_mm, found.axes[order], found.semi_axes_mm[order])


def _with_relief(ellipsoid: Outline, points: FloatArray, roughness: float) -> Outline:
    unit, length = ellipsoid.relative(points)
    seen = unit / length[:, None]
    everywhere = sphere(300)
    coverage = float(((everywhere @ seen.T).max(axis=1) > COVER_COS).mean())
    basis, degrees = _harmonics(seen)
    flat = _harmonics(everywhere)[0]
    count = len(points)
    stiffness = roughness * ROUGHNESS * count / (4 * np.pi) * (degrees * (degrees + 1.0)) ** 2
    pull = RETURN if coverage > SEEN_ENOUGH else 8 * RETURN
    normal = np.diag(stiffness) + pull * count / len(everywhere) * (flat.T @ flat)
    height, weight, off = length - 1.0, np.ones(count), np.zeros(count)
    values: Any = np.zeros(len(degrees))
    for _ in range(4):
        weighted = basis * weight[:, None]
        values = np.linalg.solve(weighted.T @ basis + normal, weighted.T @ height)
        off = height - basis @ values
        scale = max(1.48 * float(np.median(np.abs(off))), 0.01)
        weight = 1.0 / (1.0 + np.square(off / (2.0 * scale)))
    polar, turn = np.meshgrid(np.linspace(0, np.pi, _POLAR), np.linspace(-np.pi, np.pi, _ROUND), indexing="ij")
    grid = np.stack([np.cos(polar), np.sin(polar) * np.cos(turn), np.sin(polar) * np.sin(turn)], axis=-1)
    relief = np.clip((_harmonics(grid.reshape(-1, 3))[0] @ values).reshape(polar.shape), -RELIEF_LIMIT, RELIEF_LIMIT)
    residual = float(np.median(np.abs(off)) * ellipsoid.semi_axes_mm.mean())
    return Outline(ellipsoid.centre_lps_mm, ellipsoid.axes, ellipsoid.semi_axes_mm, relief, coverage, residual)


def _harmonics(unit: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Real spherical harmonics (n, m) of directions up to ``DEGREE``, and the degree (m,) of each."""
    from scipy.special import sph_harm_y

    polar, turn = np.arccos(np.clip(unit[:, 0], -1, 1)), np.arctan2(unit[:, 2], unit[:, 1])
    columns, degrees = [], []
    for degree in range(DEGREE + 1):
        for order in range(degree + 1):
            value = sph_harm_y(degree, order, polar, turn)
            parts = [value.real, value.imag] if order else [value.real]
            columns += parts
            degrees += [degree] * len(parts)
    return np.stack(columns, axis=1), np.asarray(degrees, dtype=float)
