"""Where the aorta and the kidneys are in an abdominal CT, by plain anatomy, for measuring enhancement without masks.

A rough search on a grid of about 3 mm: the spine is the bony mass near the midline at the back, the aorta a round tube
in front of it, the kidneys bright compact bodies beside it. It is made for means over a few millilitres, not for masks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .volume import FloatArray, Geometry, Volume

COARSE_MM = 3.0
BODY_HU = -300.0
_LEAST_KIDNEY_ML = 35.0
_MOST_KIDNEY_ML = 420.0
_WIDENING_HU = 60
_UNENHANCED_HU = 65.0
_THRESHOLDS_HU = (230, 210, 190, 175, 160, 145, 130, 115, 100, 88)


@dataclass(frozen=True)
class Landmarks:
    """What was found on a search grid.

    Attributes:
        canal: (slices, 2) voxel indices (i, j) of the spinal canal, by slice.
        aorta: (slices, 3) voxel indices of the aorta's centre on the coarse grid, by slice; empty where none was found.
        aorta_hu: (slices,) mean HU of the tube's core in those slices.
        aorta_contrast: (slices,) how much the tube stands out from its surroundings, in HU.
        kidneys: Coarse mask (i, j, k) of the bright bodies beside the spine, holes filled; all False where none.
    """

    canal: FloatArray
    aorta: npt.NDArray[np.int64]
    aorta_hu: FloatArray
    aorta_contrast: FloatArray
    kidneys: npt.NDArray[np.bool_]


def coarse_volume(volume: Volume, target_mm: float = COARSE_MM) -> Volume:
    """Means over whole blocks of voxels, at about ``target_mm``, axes nearest to L, P, S."""
    canonical = volume.canonical()
    factor = [max(1, round(target_mm / spacing)) for spacing in canonical.geometry.spacing_mm]
    size = [n // f for n, f in zip(canonical.geometry.size, factor, strict=True)]
    if min(size) < 1:
        factor, size = [1, 1, 1], list(canonical.geometry.size)
    trimmed = canonical.array[tuple(slice(0, n * f) for n, f in zip(size, factor, strict=True))]
    array = trimmed.T  # slices first, as they lie in memory
    for axis in range(3):
        shape = (*array.shape[:axis], size[2 - axis], factor[2 - axis], *array.shape[axis + 1 :])
        array = array.reshape(shape).mean(axis=axis + 1, dtype=np.float32)
    origin = canonical.geometry.lps([(f - 1) / 2 for f in factor])
    spacing = np.asarray(canonical.geometry.spacing_mm) * factor
    return Volume(
        np.ascontiguousarray(array.T, dtype=np.float32),
        Geometry.from_components(size, spacing, origin, canonical.geometry.direction_matrix),
    )


def find_landmarks(coarse: Volume, kidneys: npt.NDArray[np.bool_] | None = None) -> Landmarks | None:
    """Search the aorta and the kidneys; None where the image shows no body with a spine.

    Args:
        coarse: CT in HU on the grid of :func:`coarse_volume`.
        kidneys: A known kidney mask on that grid, which then replaces the search.
    """
    body = _body(coarse)
    if body.sum() * coarse.geometry.voxel_volume_ml < 500:
        return None
    canal = _canal(coarse, body)
    if canal is None:
        return None
    aorta, core, contrast = _aorta(coarse, body, canal)
    if kidneys is None:
        # Without contrast the kidneys are no brighter than what surrounds them.
        enhanced = float(np.median(core)) > _UNENHANCED_HU
        kidneys = _kidneys(coarse, body, canal) if enhanced else np.zeros(body.shape, dtype=bool)
    return Landmarks(canal, aorta, core, contrast, kidneys)


def _sigma(coarse: Volume, inplane_mm: float, along_mm: float) -> tuple[float, float, float]:
    x, y, z = coarse.geometry.spacing_mm
    return inplane_mm / x, inplane_mm / y, along_mm / z


def _body(coarse: Volume) -> npt.NDArray[np.bool_]:
    from scipy import ndimage

    solid = ndimage.binary_opening(coarse.array > BODY_HU, iterations=2)
    labels, count = ndimage.label(solid)
    if count == 0:
        return np.zeros(coarse.array.shape, dtype=bool)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    body = labels == int(sizes.argmax())
    for k in range(body.shape[2]):
        body[:, :, k] = ndimage.binary_fill_holes(body[:, :, k])
    return body


def _canal(coarse: Volume, body: npt.NDArray[np.bool_]) -> FloatArray | None:
    """(slices, 2) indices (i, j) of the spinal canal in each slice: a bony ring with a vertebral body in front."""
    from scipy import ndimage

    x, y, _ = _indices(body.shape)
    where = np.argwhere(body)
    middle = np.median(where[:, 0])
    front, back = np.percentile(where[:, 1], (1, 99))
    spacing = coarse.geometry.spacing_mm
    bone = np.where(body, np.clip((coarse.array - 120.0) / 150.0, 0.0, 1.0), 0.0).astype(np.float32)
    ring = ndimage.gaussian_filter(bone, _sigma(coarse, 8.0, 6.0)) - ndimage.gaussian_filter(
        bone, _sigma(coarse, 3.5, 6.0)
    )
    tissue = ndimage.gaussian_filter(np.clip(coarse.array, -150.0, 250.0), _sigma(coarse, 8.0, 6.0))
    vertebra = np.clip((tissue - 30.0) / 120.0, 0.0, 1.0)
    ahead = round(28.0 / spacing[1])
    vertebra = np.concatenate([np.zeros_like(vertebra[:, :ahead]), vertebra], axis=1)[:, : body.shape[1]]
    near = body & (np.abs(x - middle) * spacing[0] <= 35.0) & (y >= front + 0.5 * (back - front))
    inside = ndimage.gaussian_filter(coarse.array, _sigma(coarse, 2.5, 3.0))
    hollow = near & (inside > -40.0) & (inside < 140.0)
    if not hollow.any():
        return None
    response = np.where(hollow, ring + 0.3 * vertebra, -1.0)
    if np.median(response.reshape(-1, response.shape[2]).max(axis=0)) < 0.15:
        return None
    path = _track(response, max(1, round(spacing[2] / min(spacing[:2]))), 0.02)
    return path[:, :2].astype(float)


def _aorta(
    coarse: Volume, body: npt.NDArray[np.bool_], canal: FloatArray
) -> tuple[npt.NDArray[np.int64], FloatArray, FloatArray]:
    """The smoothest bright round tube in front of the spine: its centres, core HU and contrast in each slice."""
    from scipy import ndimage

    values = np.clip(coarse.array, -150.0, 450.0)
    core = ndimage.gaussian_filter(values, _sigma(coarse, 4.0, 2.0))
    around = ndimage.gaussian_filter(values, _sigma(coarse, 13.0, 2.0))
    variance = ndimage.gaussian_filter(values**2, _sigma(coarse, 4.0, 2.0)) - core**2
    spacing = coarse.geometry.spacing_mm
    x, y, z = _indices(body.shape)
    left = (x - canal[z, 0]) * spacing[0]
    forward = (canal[z, 1] - y) * spacing[1]
    window = body & (left >= -15.0) & (left <= 38.0) & (forward >= 44.0) & (forward <= 85.0)
    response = np.where(window, core - around - 0.7 * np.sqrt(np.maximum(variance, 0.0)), -300.0)
    path = _track(response, max(1, round(1.2 * spacing[2] / min(spacing[:2]))), 2.0)
    at = (path[:, 0], path[:, 1], path[:, 2])
    return path, ndimage.gaussian_filter(values, _sigma(coarse, 2.2, 2.0))[at], response[at]


def _track(response: npt.NDArray[Any], reach: int, cost: float) -> npt.NDArray[np.int64]:
    """The path through all slices with the largest sum, moving at most ``reach`` pixels from slice to slice."""
    width, height, depth = response.shape
    total = response[:, :, 0].astype(np.float64)
    origins = []
    offsets = [(a, b) for a in range(-reach, reach + 1) for b in range(-reach, reach + 1)]
    for k in range(1, depth):
        padded = np.pad(total, reach, constant_values=-np.inf)
        moved = np.stack([
            padded[reach + a : reach + a + width, reach + b : reach + b + height] - cost * np.hypot(a, b)
            for a, b in offsets
        ])  # fmt: skip
        origins.append(moved.argmax(axis=0))
        total = moved.max(axis=0) + response[:, :, k]
    i, j = np.unravel_index(int(total.argmax()), total.shape)
    path = [(int(i), int(j), depth - 1)]
    for k in range(depth - 2, -1, -1):
        a, b = offsets[int(origins[k][path[-1][0], path[-1][1]])]
        path.append((path[-1][0] + a, path[-1][1] + b, k))
    return np.array(path[::-1], dtype=np.int64)


def _kidneys(coarse: Volume, body: npt.NDArray[np.bool_], canal: FloatArray) -> npt.NDArray[np.bool_]:
    """Bright compact bodies on both sides of the spine, holes filled."""
    from scipy import ndimage

    smooth = ndimage.gaussian_filter(coarse.array, _sigma(coarse, 2.0, 2.0))
    spacing = coarse.geometry.spacing_mm
    x, y, z = _indices(body.shape)
    left = (x - canal[z, 0]) * spacing[0]
    back = (y - canal[z, 1]) * spacing[1]
    found = np.zeros(body.shape, dtype=bool)
    for side in (-1.0, 1.0):
        beside = side * left
        window = body & (beside >= 20.0) & (beside <= 105.0) & (back >= -90.0) & (back <= 25.0)
        place = _box(window, margin=2)
        if place is not None:
            beside = np.broadcast_to(beside, body.shape)[place]
            found[place] |= _bright_body(smooth[place], window[place], beside, coarse.geometry)
    iterations = max(1, round(6.0 / max(spacing[:2])))
    closed = ndimage.binary_closing(np.pad(found, iterations + 1), iterations=iterations)
    closed = closed[tuple(slice(iterations + 1, -iterations - 1) for _ in range(3))]
    for k in range(closed.shape[2]):
        closed[:, :, k] = ndimage.binary_fill_holes(closed[:, :, k])
    return np.asarray(closed & body)


def _bright_body(
    smooth: FloatArray, window: npt.NDArray[np.bool_], beside_mm: FloatArray, geometry: Geometry
) -> npt.NDArray[np.bool_]:
    """The kidney-like body of one side: found at the highest threshold that shows one, widened by lower ones."""
    result = np.zeros(window.shape, dtype=bool)
    first: float | None = None
    for threshold in _THRESHOLDS_HU:
        if first is not None and threshold < first - _WIDENING_HU:
            break
        one = _compact_body(smooth, window, threshold, beside_mm, geometry)
        if one is None:
            if first is not None:
                break
            continue
        first = threshold if first is None else first
        result = one
    return result


def _compact_body(
    smooth: FloatArray, window: npt.NDArray[np.bool_], threshold: float, beside_mm: FloatArray, geometry: Geometry
) -> npt.NDArray[np.bool_] | None:
    """The largest connected part above the threshold that has a kidney's size, place and evenness."""
    from scipy import ndimage

    # Opening by about 6 mm parts the kidney from ribs and vessels.
    labels, count = ndimage.label(ndimage.binary_opening(window & (smooth > threshold), iterations=2))
    if count == 0:
        return None
    volumes = np.bincount(labels.ravel())[1:] * geometry.voxel_volume_ml
    places = ndimage.find_objects(labels)
    for number in np.argsort(volumes)[::-1]:
        if volumes[number] < _LEAST_KIDNEY_ML:
            return None
        part = labels == int(number) + 1
        extent = [(s.stop - s.start) * mm for s, mm in zip(places[number], geometry.spacing_mm, strict=True)]
        low, high = np.percentile(smooth[part], (25, 75))
        size_fits = volumes[number] <= _MOST_KIDNEY_ML and max(extent[:2]) <= 95.0 and extent[2] <= 190.0
        even = high < 300.0 and high - low < 90.0
        if size_fits and even and 28.0 <= float(beside_mm[part].mean()) <= 85.0:
            shell = ndimage.binary_dilation(part) & ~part
            if (shell & (smooth > threshold) & ~window).sum() <= 0.08 * shell.sum():
                return np.asarray(part)
    return None


def _box(mask: npt.NDArray[np.bool_], margin: int) -> tuple[slice, ...] | None:
    if not mask.any():
        return None
    result = []
    for axis in range(3):
        held = np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis)))
        result.append(slice(max(0, int(held[0]) - margin), int(held[-1]) + 1 + margin))
    return tuple(result)


def _indices(shape: tuple[int, ...]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Index arrays of the three axes, to be broadcast."""
    x, y, z = np.ogrid[: shape[0], : shape[1], : shape[2]]
    return x, y, z
