"""Predictions from chosen phases: late fusion over A, AV, NAV, NAVD (paper, 4.4.7), over all, or A, else V."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from ..cohort.table import CohortRow
from ..inference.head_readings import probabilities
from ..models.manifest import Task
from .predictions import ALL_PHASES, ONE_PHASE, Prediction

Array = npt.NDArray[np.float64]
Chosen = Callable[[Sequence[str]], Sequence[str]]


def _of(letters: str) -> Chosen:
    return lambda there: [phase for phase in there if phase in letters]


# as typed, as in the table, and which of the phases that are there are fused
PHASE_SETS: Final[Mapping[str, tuple[str, Chosen]]] = {
    **{letters: (letters, _of(letters)) for letters in ("A", "AV", "NAV", "NAVD")},
    "all": (ALL_PHASES, lambda there: there),
    "one": (ONE_PHASE, lambda there: [phase for phase in "AV" if phase in there][:1]),
}


@dataclass(frozen=True, eq=False)
class PhaseOutputs:
    """What a model puts out for every phase of every case.

    Attributes:
        case_ids: Case of each region.
        phases: Phase of each region, a letter.
        outputs: Per task (regions, K) logits, or (regions, 1) log relative hazard.
        model: Name, for the table.
        fraction: Share of the training data that the model saw.
        seed: Of its training.
    """

    case_ids: Sequence[str]
    phases: Sequence[str]
    outputs: Mapping[str, Array]
    model: str
    fraction: float
    seed: int


def fused_predictions(
    found: PhaseOutputs, tasks: Sequence[Task], rows: Sequence[CohortRow], cohort: str, sets: Sequence[str]
) -> list[Prediction]:
    """Rows of the predictions table, one per output. Cases without any phase of a set have none for it.

    Args:
        found: Of a model.
        tasks: Its tasks, with calibration.
        rows: The cases.
        cohort: Name of the cohort.
        sets: Of :data:`PHASE_SETS`.
    """
    regions: dict[str, dict[str, int]] = {}
    for place, (case, phase) in enumerate(zip(found.case_ids, found.phases, strict=True)):
        regions.setdefault(case, {})[phase] = place
    predictions: list[Prediction] = []
    for name in sets:
        words, chosen = PHASE_SETS[name]
        for row in rows:
            own = regions[row.case_id]
            places = [own[phase] for phase in chosen(tuple(own))]
            if places:
                predictions += _outputs(found, tasks, row, cohort, words, places)
    return predictions


def _outputs(
    found: PhaseOutputs, tasks: Sequence[Task], row: CohortRow, cohort: str, phases: str, places: Sequence[int]
) -> Iterator[Prediction]:
    for task in tasks:
        mean = found.outputs[task.name][list(places)].mean(axis=0)
        survival = task.kind == "survival"
        scores = mean if survival else probabilities(mean, task.temperature)
        for output, score in zip((task.name,) if survival else task.classes, scores, strict=True):
            yield Prediction(
                row.patient,
                row.side,
                "L1",
                cohort,
                row.split,
                task.name,
                found.model,
                phases,
                found.fraction,
                found.seed,
                output,
                float(score),
            )
