"""Texture matrices of a discretised region, each reduced to the features that the IBSI defines on it.

Definitions and names (tags) are those of the image biomarker standardisation initiative (Zwanenburg et al., Radiology
2020; reference manual, arXiv:1612.07003). Levels are integers from 1; 0 lies outside the region. A flat array (one
slice along its last axis) is read with the neighbours of that plane alone, which is the IBSI's 2-D aggregation.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

Levels = npt.NDArray[np.int64]
Array = npt.NDArray[np.float64]
Features = dict[str, float]
Step = tuple[int, int, int]
Neighbours = list[tuple[Step, Levels, Levels]]  # direction, levels one step along it, levels one step back

NAN = float("nan")
# the IBSI's tags of the features of a matrix of levels and sizes, in the order of size_features
_RUNS = (
    "rlm_sre", "rlm_lre", "rlm_lgre", "rlm_hgre", "rlm_srlge", "rlm_srhge", "rlm_lrlge", "rlm_lrhge", "rlm_glnu",
    "rlm_glnu_norm", "rlm_rlnu", "rlm_rlnu_norm", "rlm_r_perc", "rlm_gl_var", "rlm_rl_var", "rlm_rl_entr",
)  # fmt: skip
_ZONES = (
    "szm_sze", "szm_lze", "szm_lgze", "szm_hgze", "szm_szlge", "szm_szhge", "szm_lzlge", "szm_lzhge", "szm_glnu",
    "szm_glnu_norm", "szm_zsnu", "szm_zsnu_norm", "szm_z_perc", "szm_gl_var", "szm_zs_var", "szm_zs_entr",
)  # fmt: skip
_DISTANCES = (
    "dzm_sde", "dzm_lde", "dzm_lgze", "dzm_hgze", "dzm_sdlge", "dzm_sdhge", "dzm_ldlge", "dzm_ldhge", "dzm_glnu",
    "dzm_glnu_norm", "dzm_zdnu", "dzm_zdnu_norm", "dzm_z_perc", "dzm_gl_var", "dzm_zd_var", "dzm_zd_entr",
)  # fmt: skip
_DEPENDENCES = (
    "ngl_lde", "ngl_hde", "ngl_lgce", "ngl_hgce", "ngl_ldlge", "ngl_ldhge", "ngl_hdlge", "ngl_hdhge", "ngl_glnu",
    "ngl_glnu_norm", "ngl_dcnu", "ngl_dcnu_norm", "ngl_dc_perc", "ngl_gl_var", "ngl_dc_var", "ngl_dc_entr",
)  # fmt: skip
_TONES = ("ngt_coarseness", "ngt_contrast", "ngt_busyness", "ngt_complexity", "ngt_strength")


def texture_features(levels: Levels) -> Features:
    """Every texture feature of a region.

    Args:
        levels: (i, j, k) integers from 1 inside the region, 0 outside it; at least one voxel inside.

    Returns:
        Features by IBSI tag; NaN where one is undefined (no neighbours, one level).
    """
    near = neighbours(levels)
    found = cooccurrence_features(levels, near) | run_length_features(levels, near)
    return found | zone_features(levels) | tone_difference_features(levels, near) | dependence_features(levels, near)


def directions(levels: Levels) -> Iterator[Step]:
    """One of each pair of opposite neighbours: 13 in space, 4 in a single slice."""
    flat = levels.shape[2] == 1
    for i, j, k in itertools.product((-1, 0, 1), repeat=3):
        if (i, j, k) > (0, 0, 0) and not (flat and k):
            yield i, j, k


def neighbours(levels: Levels) -> Neighbours:
    """Level of the neighbour of every voxel one step away, 0 where there is none, by direction and both ways."""
    padded = np.pad(levels, 1)

    def away(step: Step) -> Levels:
        return padded[tuple(slice(1 + s, 1 + s + n) for s, n in zip(step, levels.shape, strict=True))]

    return [(step, away(step), away((-step[0], -step[1], -step[2]))) for step in directions(levels)]


def cooccurrence_features(levels: Levels, near: Neighbours) -> Features:
    """Grey level co-occurrence: symmetric, distance 1; the mean of the features over the directions."""
    count = int(levels.max())
    found: list[Features] = []
    for _, other, _ in near:
        pairs = (levels > 0) & (other > 0)
        if pairs.any():
            place = (levels[pairs] - 1) * count + other[pairs] - 1
            one_way = np.bincount(place, minlength=count * count).reshape(count, count).astype(float)
            found.append(_cooccurrence((one_way + one_way.T) / (2 * one_way.sum())))
    return _mean(found, _cooccurrence(np.full((1, 1), NAN)))


def _cooccurrence(p: Array) -> Features:
    count = len(p)
    i, j = np.meshgrid(np.arange(1, count + 1), np.arange(1, count + 1), indexing="ij")
    apart, both = np.abs(i - j), i + j
    difference: Array = np.bincount(apart.ravel(), weights=p.ravel(), minlength=count).astype(float)
    total: Array = np.bincount(both.ravel(), weights=p.ravel()).astype(float)
    step, level = np.arange(len(difference)), np.arange(len(total))
    margin = p.sum(axis=1)
    mean = float((i * p).sum())
    variance = float(((i - mean) ** 2 * p).sum())
    mean_step, mean_sum = float((step * difference).sum()), float((level * total).sum())
    spread = both - 2 * mean
    return {
        "cm_joint_max": float(p.max()),
        "cm_joint_avg": mean,
        "cm_joint_var": variance,
        "cm_joint_entr": entropy(p),
        "cm_diff_avg": mean_step,
        "cm_diff_var": float(((step - mean_step) ** 2 * difference).sum()),
        "cm_diff_entr": entropy(difference),
        "cm_sum_avg": mean_sum,
        "cm_sum_var": float(((level - mean_sum) ** 2 * total).sum()),
        "cm_sum_entr": entropy(total),
        "cm_energy": float((p**2).sum()),
        "cm_contrast": float((apart**2 * p).sum()),
        "cm_dissimilarity": float((apart * p).sum()),
        "cm_inv_diff": float((p / (1 + apart)).sum()),
        "cm_inv_diff_norm": float((p / (1 + apart / count)).sum()),
        "cm_inv_diff_mom": float((p / (1 + apart**2)).sum()),
        "cm_inv_diff_mom_norm": float((p / (1 + apart**2 / count**2)).sum()),
        "cm_inv_var": float((difference[1:] / step[1:] ** 2).sum()),
        "cm_corr": (float((i * j * p).sum()) - mean**2) / variance if variance > 0 else 1.0,
        "cm_auto_corr": float((i * j * p).sum()),
        "cm_clust_tend": float((spread**2 * p).sum()),
        "cm_clust_shade": float((spread**3 * p).sum()),
        "cm_clust_prom": float((spread**4 * p).sum()),
        **_information(p, margin),
    }


def _information(p: Array, margin: Array) -> Features:
    product = np.outer(margin, margin)
    joint, alone = entropy(p), entropy(margin)
    known = product > 0
    crossed = -float((p[known] * np.log2(product[known])).sum())
    return {
        "cm_info_corr1": (joint - crossed) / alone if alone > 0 else 0.0,
        "cm_info_corr2": float(np.sqrt(max(0.0, 1 - np.exp(-2 * (entropy(product) - joint))))),
    }


def run_length_features(levels: Levels, near: Neighbours) -> Features:
    """Grey level run lengths; the mean of the features over the directions."""
    voxels = int((levels > 0).sum())
    return _mean([size_features(_RUNS, *_runs(levels, *ways), voxels) for ways in near], {})


def _runs(levels: Levels, step: Step, ahead: Levels, behind: Levels) -> tuple[Levels, Levels]:
    """Level and length of every run along a direction."""
    starts = np.argwhere((levels > 0) & (behind != levels))
    level = levels[tuple(starts.T)]
    goes_on = (levels > 0) & (ahead == levels)
    length = np.ones(len(starts), dtype=np.int64)
    moving = np.arange(len(starts))
    place = starts.copy()
    while len(moving):
        moving = moving[goes_on[tuple(place[moving].T)]]
        place[moving] += step
        length[moving] += 1
    return level, length


def zone_features(levels: Levels) -> Features:
    """Zones of connected voxels of one level: their sizes, and their distances from the region's border."""
    from scipy import ndimage

    flat = levels.shape[2] == 1
    reach = np.ones((3, 3, 3), dtype=bool)
    margin = ((1, 1), (1, 1), (0, 0)) if flat else ((1, 1),) * 3
    inside = np.pad(levels > 0, margin)
    border = ndimage.distance_transform_cdt(inside[:, :, 0] if flat else inside, metric="taxicab")
    border = border[1:-1, 1:-1, None] if flat else border[1:-1, 1:-1, 1:-1]
    level: list[int] = []
    size: list[int] = []
    distance: list[int] = []
    for value in np.unique(levels[levels > 0]):
        here = levels == value
        zones, count = ndimage.label(here, structure=reach)
        number = zones[here]
        level += [int(value)] * count
        size += np.bincount(number, minlength=count + 1)[1:].tolist()
        nearest = np.full(count + 1, np.iinfo(np.int64).max)
        np.minimum.at(nearest, number, border[here])
        distance += nearest[1:].tolist()
    voxels = int((levels > 0).sum())
    of_size = size_features(_ZONES, np.array(level), np.array(size), voxels)
    return of_size | size_features(_DISTANCES, np.array(level), np.array(distance), voxels)


def dependence_features(levels: Levels, near: Neighbours) -> Features:
    """Neighbouring grey level dependence: neighbours of the same level (coarseness 0, distance 1), itself counted."""
    inside = levels > 0
    same = np.ones(levels.shape, dtype=np.int64)
    for _, ahead, behind in near:
        same += ahead == levels
        same += behind == levels
    found = size_features(_DEPENDENCES, levels[inside], same[inside], int(inside.sum()))
    return found | {"ngl_dc_energy": float((_shares(levels[inside], same[inside]) ** 2).sum())}


def size_features(names: tuple[str, ...], level: Levels, size: Levels, voxels: int) -> Features:
    """The sixteen features of a matrix of levels and sizes (run lengths, zone sizes, distances, dependences).

    Args:
        names: Their tags.
        level: (n,) level of every element.
        size: (n,) its size, from 1.
        voxels: Voxels of the region.
    """
    i, j, n = level.astype(float), size.astype(float), len(level)
    emphasis = (j**-2, j**2, i**-2, i**2, i**-2 * j**-2, i**2 * j**-2, j**2 * i**-2, i**2 * j**2)
    uneven = [float((np.bincount(values).astype(float) ** 2).sum()) / n for values in (level, size)]
    values = [
        *(float(value.mean()) for value in emphasis),
        *(value for one in uneven for value in (one, one / n)),
        n / voxels,
        float(i.var()),
        float(j.var()),
        entropy(_shares(level, size)),
    ]
    return dict(zip(names, values, strict=True))


def _shares(level: Levels, size: Levels) -> Array:
    """Share of every pair of level and size among the elements."""
    counts = np.bincount(level * (int(size.max()) + 1) + size)
    return np.asarray(counts[counts > 0] / len(level))


def tone_difference_features(levels: Levels, near: Neighbours) -> Features:
    """Neighbourhood grey tone difference: how far voxels are from the mean of their neighbours, distance 1."""
    count, total = np.zeros_like(levels), np.zeros_like(levels)
    for _, ahead, behind in near:
        for other in (ahead, behind):
            count += other > 0
            total += other
    valid = (levels > 0) & (count > 0)
    if not valid.any():
        return dict.fromkeys(_TONES, NAN)
    level = levels[valid]
    away = np.abs(level - total[valid] / count[valid])
    present = np.unique(level)
    s = np.array([away[level == value].sum() for value in present])
    p = np.array([(level == value).mean() for value in present])
    i, voxels = present.astype(float), len(level)
    apart = i[:, None] - i[None, :]
    weighted = float((p * s).sum())
    busy = float(np.abs(np.subtract.outer(i * p, i * p)).sum())
    pairs = len(i) * (len(i) - 1)
    contrast = float((np.outer(p, p) * apart**2).sum()) / pairs * s.sum() / voxels if pairs else 0.0
    both = np.add.outer(p, p)
    values = (
        1 / weighted if weighted > 0 else 1e6,  # the IBSI's value for a flat region
        float(contrast),
        weighted / busy if busy > 0 else 0.0,
        float((np.abs(apart) * np.add.outer(p * s, p * s) / both).sum()) / voxels,
        float((both * apart**2).sum() / s.sum()) if s.sum() > 0 else 0.0,
    )
    return dict(zip(_TONES, values, strict=True))


def entropy(p: Array) -> float:
    """Entropy in bits of probabilities; NaN stays NaN."""
    known = p[(p > 0) | np.isnan(p)]
    return float(-(known * np.log2(known)).sum())


def _mean(found: list[Features], undefined: Features) -> Features:
    if not found:
        return dict.fromkeys(undefined, NAN)
    return {name: float(np.mean([item[name] for item in found])) for name in found[0]}
