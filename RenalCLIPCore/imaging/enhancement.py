"""The contrast phase from the enhancement of aorta, renal cortex, medulla and collecting system.

The measures come from a label map where there is one, else from an anatomical search (:mod:`.landmarks`). The rules
are the radiologist's: unenhanced aorta and cortex - non-contrast; bright cortex over dark medulla and a bright aorta -
arterial (corticomedullary); cortex and medulla alike - venous (nephrographic); a collecting system brighter than the
vessels - delayed (excretory). Each is a soft threshold.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .landmarks import Landmarks, coarse_volume, find_landmarks
from .phases import LEAST_CONFIDENCE, ORDER, PhaseGuess
from .study import Phase
from .volume import FloatArray, Volume

KIDNEY_LABEL = 1
FINE_MM = 1.5
_CERTAINTY_WITH_LABELS = 0.92
_CERTAINTY_BY_SEARCH = 0.82
_COLLECTING_ML = 1.0


@dataclass(frozen=True)
class Enhancement:
    """Mean HU of the structures that tell the phases apart; None where a structure was not found.

    Attributes:
        collecting_hu: The brightest millilitre within the kidneys' outline, sinus included.
        from_labels: Whether the kidneys come from a label map, not from the search.
    """

    aorta_hu: float | None
    cortex_hu: float | None
    medulla_hu: float | None
    collecting_hu: float | None
    from_labels: bool

    @property
    def words(self) -> str:
        """The measures as text."""
        parts = [
            f"{name} {value:.0f} HU"
            for name, value in (
                ("aorta", self.aorta_hu),
                ("cortex", self.cortex_hu),
                ("medulla", self.medulla_hu),
                ("collecting system", self.collecting_hu),
            )
            if value is not None
        ]
        return f"{', '.join(parts)} ({'from the masks' if self.from_labels else 'found by search'})"


def recognise_by_enhancement(volume: Volume, labels: Volume | None = None) -> PhaseGuess:
    """The phase of a CT from its enhancement.

    Args:
        volume: CT in HU.
        labels: Label map (kidney 1, tumour 2, cyst 3) on any grid of the same patient space.

    Returns:
        A guess whose ``phase`` is None where neither aorta nor kidneys could be measured.
    """
    measured = measure_enhancement(volume, labels)
    if measured is None or (measured.aorta_hu is None and measured.cortex_hu is None):
        equal = dict.fromkeys(ORDER, 0.25)
        return PhaseGuess(None, 0.25, "neither aorta nor kidneys were found in the image", equal)
    scores = phase_scores(measured)
    best = max(ORDER, key=lambda phase: scores[phase])
    phase = best if scores[best] >= LEAST_CONFIDENCE else None
    return PhaseGuess(phase, scores[best], f"enhancement: {measured.words}", scores)


def phase_scores(measured: Enhancement) -> dict[Phase, float]:
    """Probability of each phase from the measures (sums to 1)."""
    aorta, cortex = measured.aorta_hu, measured.cortex_hu
    signs = [(value - low) / width for value, low, width in ((cortex, 72, 7), (aorta, 85, 9)) if value is not None]
    enhanced = _soft(float(np.mean(signs)))
    if cortex is None or measured.medulla_hu is None:
        arterial = 0.2 + 0.6 * _soft(((aorta or 0.0) - 215.0) / 20.0)
        shares = {Phase.A: arterial, Phase.V: 0.8 * (1.0 - arterial), Phase.D: 0.2 * (1.0 - arterial)}
    else:
        shares = _enhanced_shares(aorta, cortex, measured.medulla_hu, measured.collecting_hu)
    raw = {Phase.N: 1.0 - enhanced, **{phase: enhanced * share for phase, share in shares.items()}}
    certainty = _CERTAINTY_WITH_LABELS if measured.from_labels else _CERTAINTY_BY_SEARCH
    return {phase: certainty * raw[phase] + (1.0 - certainty) / 4.0 for phase in ORDER}


def _enhanced_shares(
    aorta: float | None, cortex: float, medulla: float, collecting: float | None
) -> dict[Phase, float]:
    vessel = cortex if aorta is None else max(aorta, cortex)
    excreted = _soft(((collecting or 0.0) - max(220.0, vessel + 70.0)) / 20.0)
    early = (cortex - medulla - 42.0) / 10.0
    washed_out = 0.0
    if aorta is not None:
        early += (aorta - 200.0) / 30.0 + (aorta / max(cortex, 30.0) - 1.1) / 0.15
        washed_out = 0.35 * _soft((112.0 - aorta) / 8.0) * _soft((cortex - medulla - 25.0) / -6.0)
    arterial = _soft(early)
    rest = 1.0 - excreted
    return {
        Phase.A: rest * arterial,
        Phase.V: rest * (1.0 - arterial) * (1.0 - washed_out),
        Phase.D: excreted + rest * (1.0 - arterial) * washed_out,
    }


def measure_enhancement(volume: Volume, labels: Volume | None = None) -> Enhancement | None:
    """Mean HU of aorta, cortex, medulla and collecting system; None where no body with a spine is in the image."""
    coarse = coarse_volume(volume)
    known = _known_kidneys(labels, coarse) if labels is not None else None
    found = find_landmarks(coarse, known)
    if found is None and known is None:
        return None
    aorta = _aorta_hu(found) if found else None
    region = known if known is not None else found.kidneys if found else np.zeros(coarse.array.shape, dtype=bool)
    if not region.any():
        return Enhancement(aorta, None, None, None, False)
    outline = labels if labels is not None and known is not None else Volume(region.astype(np.uint8), coarse.geometry)
    middle = coarse.geometry.lps(np.argwhere(region))[:, 0].mean()
    if found is not None:
        middle = np.median(coarse.geometry.lps(np.column_stack([found.canal, found.aorta[:, 2]]))[:, 0])
    cortex, medulla, collecting = _kidney_hu(volume, outline, coarse, region, float(middle))
    return Enhancement(aorta, cortex, medulla, collecting, known is not None)


def _known_kidneys(labels: Volume, coarse: Volume) -> npt.NDArray[np.bool_] | None:
    mask = Volume((labels.array == KIDNEY_LABEL).astype(np.uint8), labels.geometry)
    kidneys = mask.resample_to(coarse.geometry, nearest=True, fill=0).array > 0
    return kidneys if kidneys.any() else None


def _aorta_hu(found: Landmarks) -> float | None:
    """Median core HU over the slices where the tube stands out best, at the kidneys' level where that is known."""
    level = np.ones(len(found.aorta_hu), dtype=bool)
    if found.kidneys.any():
        at_kidneys = np.asarray(found.kidneys.any(axis=(0, 1)))[found.aorta[:, 2]]
        level = at_kidneys if at_kidneys.any() else level
    contrast = found.aorta_contrast[level]
    clear = contrast >= np.median(contrast)
    if float(np.median(contrast[clear])) < 5.0:
        return None
    return float(np.median(found.aorta_hu[level][clear]))


def _kidney_hu(
    volume: Volume, mask: Volume, coarse: Volume, region: npt.NDArray[np.bool_], middle_l_mm: float
) -> tuple[float | None, float | None, float | None]:
    """HU of cortex (outer shell), medulla (darker part of the depth) and collecting system, both kidneys together."""
    from scipy import ndimage

    where = np.argwhere(region)
    corners = coarse.geometry.lps(np.stack([where.min(axis=0) - 5, where.max(axis=0) + 5]))
    fine = coarse_volume(_crop(volume.canonical(), corners), FINE_MM)
    kidney = mask.resample_to(fine.geometry, nearest=True, fill=0).array == KIDNEY_LABEL
    if not kidney.any():
        return None, None, None
    spacing = fine.geometry.spacing_mm
    values = ndimage.gaussian_filter(fine.array, [1.2 / mm for mm in spacing])
    outline = _closed(kidney, spacing, 10.0)
    depth = ndimage.distance_transform_edt(outline, sampling=spacing)
    shell = values[(depth >= 1.5) & (depth <= 6.0) & kidney & (values > 0)]
    cortex = float(np.median(shell)) if shell.size else None
    # Enhanced medulla is never below 40 HU; what is darker in depth is sinus fat, a cyst or a tumour's necrosis.
    least = 40.0 if cortex is not None and cortex > 80.0 else 5.0
    deep = values[(depth >= 8.0) & (values > least) & (values < 500.0)]
    medulla = float(np.percentile(deep, 30)) if deep.size * fine.geometry.voxel_volume_ml >= 2.0 else None
    inside = values[(depth > 4.0) | _hilum(outline, fine, middle_l_mm)]
    count = max(1, round(_COLLECTING_ML / fine.geometry.voxel_volume_ml))
    collecting = float(np.partition(inside, -count)[-count:].mean()) if inside.size > count else None
    return cortex, medulla, collecting


def _hilum(outline: npt.NDArray[np.bool_], fine: Volume, middle_l_mm: float) -> npt.NDArray[np.bool_]:
    """Up to 8 mm beyond the outline towards the midline, where the renal pelvis may lie; never near the spine."""
    from scipy import ndimage

    labels, count = ndimage.label(outline)
    left = fine.geometry.lps([(i, 0, 0) for i in range(outline.shape[0])])[:, 0] - middle_l_mm
    near = np.asarray(ndimage.distance_transform_edt(~outline, sampling=fine.geometry.spacing_mm)) <= 8.0
    result = np.zeros(outline.shape, dtype=bool)
    for number in range(1, count + 1):
        along = np.flatnonzero((labels == number).any(axis=(1, 2)))
        beside = np.abs(left[along]).mean()
        towards = (np.sign(left) == np.sign(left[along].mean())) & (np.abs(left) < beside) & (np.abs(left) > 28.0)
        result |= near & towards[:, None, None]
    return result & ~outline


def _closed(mask: npt.NDArray[np.bool_], spacing: tuple[float, float, float], radius: float) -> npt.NDArray[np.bool_]:
    """Closing by a ball of ``radius`` mm, by distance transforms."""
    from scipy import ndimage

    border = [int(np.ceil(radius / mm)) + 1 for mm in spacing]
    padded = np.pad(mask, [(n, n) for n in border])
    grown = np.asarray(ndimage.distance_transform_edt(~padded, sampling=spacing)) <= radius
    shrunk = np.asarray(ndimage.distance_transform_edt(grown, sampling=spacing)) > radius
    closed = np.asarray(np.logical_or(shrunk, padded))
    return closed[tuple(slice(n, -n) for n in border)]


def _crop(volume: Volume, corners_lps_mm: FloatArray) -> Volume:
    index = np.sort(volume.geometry.index(corners_lps_mm), axis=0)
    low = np.clip(np.floor(index[0]).astype(int), 0, np.asarray(volume.geometry.size) - 1)
    high = np.clip(np.ceil(index[1]).astype(int) + 1, low + 1, volume.geometry.size)
    start, stop = [int(n) for n in low], [int(n) for n in high]
    array = volume.array[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))]
    return Volume(array, volume.geometry.crop((start[0], start[1], start[2]), array.shape))


def _soft(value: float) -> float:
    return float(1.0 / (1.0 + np.exp(-np.clip(value, -30.0, 30.0))))
