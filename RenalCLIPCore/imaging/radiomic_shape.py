"""Shape and intensity features of a region, by IBSI tag; shape of a slice, which the IBSI does not define.

Definitions: image biomarker standardisation initiative (Zwanenburg et al., Radiology 2020; arXiv:1612.07003).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .radiomic_matrices import NAN, Features, Levels, entropy

Mask = npt.NDArray[np.bool_]
Array = npt.NDArray[np.float64]
Float3 = tuple[float, float, float]


def shape_features(mask: Mask, spacing_mm: Float3) -> Features:
    """Morphology of a region in space: mesh (marching cubes at one half), principal axes, convex hull.

    Moran's I, Geary's C and the densities of oriented and minimum-volume boxes are left out.

    Args:
        mask: (i, j, k), at least one voxel inside.
        spacing_mm: Of its voxels.
    """
    from scipy.spatial import ConvexHull
    from scipy.spatial.distance import pdist

    corners, faces = _mesh(mask, spacing_mm)
    volume, area = _enclosed(corners, faces)
    hull = ConvexHull(corners)
    box = np.ptp(corners, axis=0)
    ball = (36 * np.pi * volume**2) ** (1 / 3)  # surface of the sphere of this volume
    return {
        "morph_volume": volume,
        "morph_vol_approx": float(mask.sum() * np.prod(spacing_mm)),
        "morph_area_mesh": area,
        "morph_av": area / volume,
        "morph_comp_1": volume / (np.sqrt(np.pi) * area**1.5),
        "morph_comp_2": 36 * np.pi * volume**2 / area**3,
        "morph_sph_dispr": area / ball,
        "morph_sphericity": ball / area,
        "morph_asphericity": area / ball - 1,
        "morph_diam": float(pdist(corners[hull.vertices]).max()),
        "morph_vol_dens_aabb": volume / float(np.prod(box)),
        "morph_area_dens_aabb": area / float(2 * (box[0] * box[1] + box[0] * box[2] + box[1] * box[2])),
        "morph_vol_dens_conv_hull": volume / float(hull.volume),
        "morph_area_dens_conv_hull": area / float(hull.area),
        **_axes(mask, spacing_mm, volume, area),
    }


def located_intensities(values: Array, mask: Mask, spacing_mm: Float3, volume_mm3: float) -> Features:
    """Integrated intensity, and how far the centre of mass lies from the centre of the region (mm).

    Args:
        values: (i, j, k) intensities.
        mask: Of the region.
        spacing_mm: Of the voxels.
        volume_mm3: ``morph_volume`` of the region.
    """
    at = np.argwhere(mask) * np.asarray(spacing_mm)
    inside = values[mask]
    weight = float(inside.sum())
    shift = np.linalg.norm(at.mean(axis=0) - (at * inside[:, None]).sum(axis=0) / weight) if weight > 0 else NAN
    return {"morph_com": float(shift), "morph_integ_int": float(inside.mean()) * volume_mm3}


def slice_shape_features(mask: Mask, spacing_mm: Float3) -> Features:
    """Shape of a region in one slice (i, j, 1); perimeter along the contour at one half. Not of the IBSI."""
    from scipy.spatial.distance import pdist
    from skimage.measure import find_contours

    padded = np.pad(mask[:, :, 0].astype(float), 1)
    lines = [line * np.asarray(spacing_mm[:2]) for line in find_contours(padded, 0.5)]
    perimeter = float(sum(np.linalg.norm(np.diff(line, axis=0), axis=1).sum() for line in lines))
    area = float(mask.sum() * spacing_mm[0] * spacing_mm[1])
    large, small = np.sqrt(np.sort(_spread(mask, spacing_mm))[::-1][:2]) * 4
    return {
        "slice_area": area,
        "slice_perimeter": perimeter,
        "slice_circularity": 4 * np.pi * area / perimeter**2,
        "slice_diam": float(pdist(np.concatenate(lines)).max()),
        "slice_pca_maj_axis": float(large),
        "slice_pca_min_axis": float(small),
        "slice_pca_elongation": float(small / large) if large > 0 else NAN,
    }


def intensity_features(inside: Array) -> Features:
    """Statistics of the intensities (n,) of a region."""
    return _statistics("stat", inside) | {
        "stat_energy": float((inside**2).sum()),
        "stat_rms": float(np.sqrt((inside**2).mean())),
    }


def histogram_features(levels: Levels) -> Features:
    """Statistics of the discretised levels (n,), from 1, and of their histogram."""
    counts = np.bincount(levels)[1:].astype(float)
    p = counts / counts.sum()
    most = np.flatnonzero(counts == counts.max()) + 1
    mode = most[np.argmin(np.abs(most - levels.mean()))]
    steep = np.gradient(counts) if len(counts) > 1 else np.full(1, NAN)
    return _statistics("ih", levels.astype(float)) | {
        "ih_mode": float(mode),
        "ih_entropy": entropy(p),
        "ih_uniformity": float((p**2).sum()),
        "ih_max_grad": float(steep.max()),
        "ih_max_grad_g": float(np.argmax(steep) + 1) if len(counts) > 1 else NAN,
        "ih_min_grad": float(steep.min()),
        "ih_min_grad_g": float(np.argmin(steep) + 1) if len(counts) > 1 else NAN,
    }


def _statistics(head: str, x: Array) -> Features:
    mean, deviation = float(x.mean()), float(x.std())
    p10, p25, median, p75, p90 = (float(v) for v in np.percentile(x, (10, 25, 50, 75, 90)))
    middle = x[(x >= p10) & (x <= p90)]
    found = {
        "mean": mean,
        "var": deviation**2,
        "skew": float(((x - mean) ** 3).mean()) / deviation**3 if deviation > 0 else 0.0,
        "kurt": float(((x - mean) ** 4).mean()) / deviation**4 - 3 if deviation > 0 else 0.0,
        "median": median,
        "min": float(x.min()),
        "p10": p10,
        "p90": p90,
        "max": float(x.max()),
        "iqr": p75 - p25,
        "range": float(np.ptp(x)),
        "mad": float(np.abs(x - mean).mean()),
        "rmad": float(np.abs(middle - middle.mean()).mean()) if middle.size else 0.0,
        "medad": float(np.abs(x - median).mean()),
        "cov": deviation / mean if mean != 0 else NAN,
        "qcod": (p75 - p25) / (p75 + p25) if p75 + p25 != 0 else NAN,
    }
    return {f"{head}_{name}": value for name, value in found.items()}


def _mesh(mask: Mask, spacing_mm: Float3) -> tuple[Array, npt.NDArray[Any]]:
    from skimage.measure import marching_cubes

    corners, faces, _, _ = marching_cubes(np.pad(mask, 1).astype(np.float32), 0.5, spacing=spacing_mm)
    return corners.astype(float), faces


def _enclosed(corners: Array, faces: npt.NDArray[Any]) -> tuple[float, float]:
    """Volume and area of a closed mesh."""
    a, b, c = (corners[faces[:, n]] for n in range(3))
    normal = np.cross(b - a, c - a)
    return abs(float((a * normal).sum())) / 6, float(np.linalg.norm(normal, axis=1).sum()) / 2


def _spread(mask: Mask, spacing_mm: Float3) -> Array:
    """Eigenvalues (3,) of the covariance of the voxels' positions, rising, in mm^2; zeros of one voxel."""
    at = np.argwhere(mask) * np.asarray(spacing_mm)
    return np.maximum(np.linalg.eigvalsh(np.cov(at.T)), 0.0) if len(at) > 1 else np.zeros(3)


def _axes(mask: Mask, spacing_mm: Float3, volume: float, area: float) -> Features:
    least, minor, major = _spread(mask, spacing_mm)
    a, b, c = (2 * float(np.sqrt(value)) for value in (major, minor, least))
    ellipsoid = 4 * np.pi / 3 * a * b * c
    surface = _ellipsoid_area(a, b, c) if b > 0 else 0.0
    return {
        "morph_pca_maj_axis": 2 * a,
        "morph_pca_min_axis": 2 * b,
        "morph_pca_least_axis": 2 * c,
        "morph_pca_elongation": b / a if a > 0 else NAN,
        "morph_pca_flatness": c / a if a > 0 else NAN,
        "morph_vol_dens_aee": volume / ellipsoid if ellipsoid > 0 else NAN,
        "morph_area_dens_aee": area / surface if surface > 0 else NAN,
    }


def _ellipsoid_area(a: float, b: float, c: float) -> float:
    """Area of an ellipsoid by the series that the IBSI states, up to its 20th term; semi-axes a >= b >= c, b > 0.

    The products of powers and Legendre polynomials come from their three-term recurrence, which a sphere does not
    divide by zero.
    """
    alpha, beta = 1 - (b / a) ** 2, 1 - (c / a) ** 2  # squared eccentricities
    middle, square = (alpha + beta) / 2, alpha * beta
    last, this, total = 1.0, middle, 1.0
    for n in range(1, 21):
        total += this / (1 - 4 * n**2)
        last, this = this, ((2 * n + 1) * middle * this - n * square * last) / (n + 1)
    return float(4 * np.pi * a * b * total)
