"""How often answers agree with reference answers, question by question, with bootstrap intervals over patients."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .bootstrap import RESAMPLES, Array, Interval, interval, patient_resamples

UNKNOWN = -1


@dataclass(frozen=True)
class Agreement:
    """Agreement on one question.

    Attributes:
        share: Share of samples whose answer is the reference's; higher is better.
        commonest: Share of the commonest reference answer: what a constant answer attains.
        samples: Samples with a known reference.
    """

    share: Interval
    commonest: float
    samples: int


def agreement(
    answers: npt.ArrayLike,
    references: npt.ArrayLike,
    patients: Sequence[Hashable],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Agreement:
    """Agreement of answers with references.

    Args:
        answers: (n,) answers; ``UNKNOWN`` agrees with nothing.
        references: (n,) reference answers; samples with ``UNKNOWN`` are left out.
        patients: (n,) patient of each sample; patients are resampled as a whole.
        resamples: Bootstrap resamples.
        seed: Of the bootstrap.

    Raises:
        UndefinedMeasureError: No reference is known.
    """
    known = np.asarray(references) != UNKNOWN
    right = (np.asarray(answers)[known] == np.asarray(references)[known]).astype(np.float64)
    kept = [patient for patient, keep in zip(patients, known, strict=True) if keep]

    def share(weights: Array) -> Array:
        with np.errstate(invalid="ignore"):
            return np.asarray((weights @ right) / weights.sum(axis=-1))

    weights = patient_resamples(kept, resamples, seed) if kept else np.zeros((resamples, 0))
    _, counts = np.unique(np.asarray(references)[known], return_counts=True)
    return Agreement(interval(share, weights), float(counts.max() / counts.sum()), int(known.sum()))
