"""Agreement of a segmentation with a reference: Dice per label and the distance of the lesion centres."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import GridMismatchError, NoKidneyError
from .lesions import find_lesions
from .mask_labels import CYST, KIDNEY, TUMOUR
from .volume import Volume

NAMES = {KIDNEY: "kidney", TUMOUR: "tumour", CYST: "cyst"}


@dataclass(frozen=True)
class MaskScores:
    """Scores of one case.

    Attributes:
        dice: Per label name, 0 to 1, higher is better; NaN where neither mask holds the label.
        centre_error_mm: Distance of the primary lesion's centres; NaN when either mask shows no lesion.
        lesion_found: Whether both masks agree on there being a lesion.
    """

    dice: dict[str, float]
    centre_error_mm: float
    lesion_found: bool


def score_masks(reference: Volume, predicted: Volume) -> MaskScores:
    """Compare two label maps on one grid (0 background, 1 kidney, 2 tumour, 3 cyst).

    Raises:
        GridMismatchError: Their grids differ.
    """
    if not reference.geometry.same_grid(predicted.geometry, 0.01):
        raise GridMismatchError("The two label maps are on different grids and cannot be compared; resample one.")
    centres = [_centre(mask) for mask in (reference, predicted)]
    error = float("nan")
    if centres[0] is not None and centres[1] is not None:
        error = float(np.linalg.norm(np.subtract(centres[0], centres[1])))
    scores = {name: dice(reference.array == label, predicted.array == label) for label, name in NAMES.items()}
    return MaskScores(scores, error, (centres[0] is None) == (centres[1] is None))


def dice(reference: np.ndarray, predicted: np.ndarray) -> float:
    """Dice overlap of two masks; NaN when both are empty."""
    total = int(reference.sum()) + int(predicted.sum())
    return 2 * int((reference & predicted).sum()) / total if total else float("nan")


def _centre(mask: Volume) -> tuple[float, float, float] | None:
    try:
        primary = find_lesions(mask).primary
    except NoKidneyError:
        return None
    return None if primary is None else primary.centre_lps_mm
