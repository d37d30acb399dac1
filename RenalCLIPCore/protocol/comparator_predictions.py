"""Rows of the predictions table of the comparators of Xiong et al. 2025: radiomics models and nephrometry nomograms."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ..cohort.nomogram_values import component_values
from ..cohort.radiomics_table import RadiomicsTable
from ..cohort.table import EVERY_TASK_CLASSES, CohortRow
from ..errors import CohortError
from ..models.nomogram import Nomogram
from ..models.radiomics_model import RadiomicsModel
from .joining import PRIMARY_LESION
from .predictions import Prediction

RADIOMICS, NOMOGRAM = "radiomics", "nomogram"
NO_PHASES = "none"  # a nomogram reads measures, no images


def radiomics_predictions(
    model: RadiomicsModel, table: RadiomicsTable, rows: Sequence[CohortRow], cohort: str, name: str = RADIOMICS
) -> list[Prediction]:
    """Both classes of every case that has all phases of the model; cases that lack one have no prediction.

    Args:
        model: Of one task.
        table: Features of the rows.
        rows: The cases.
        cohort: Name of the cohort.
        name: Of the model, in the table.

    Raises:
        CohortError: The features were extracted with other settings, the table lacks one of the model's features in
            every row, or a row has no features at all.
    """
    if table.settings != model.settings:
        raise CohortError(
            f"The radiomics model needs features with the settings '{model.settings}', but the table has "
            f"'{table.settings}'; extract them again with the model's."
        )
    found = [(row, table.of(row)) for row in rows]
    whole = [(row, item) for row, item in found if item.phases >= set(model.phases)]
    if not whole:
        return []
    lacking = [feature for feature in model.features if feature not in table.names]
    if lacking:
        raise CohortError(f"The table of features lacks the column {lacking[0]!r}, which the radiomics model needs.")
    values = np.array([[item.features.get(feature, np.nan) for feature in model.features] for _, item in whole])
    chances = model.probability(values)
    return [
        prediction
        for (row, _), chance in zip(whole, chances, strict=True)
        for prediction in _both(row, cohort, model.task, name, model.phases, float(chance), model.seed)
    ]


def nomogram_predictions(
    nomogram: Nomogram, rows: Sequence[CohortRow], cohort: str, name: str = NOMOGRAM
) -> list[Prediction]:
    """Both classes of every case that knows all components; the others have no prediction.

    A nomogram of high grade stands for the task aggressiveness, as in Xiong et al. 2025.

    Args:
        nomogram: The model.
        rows: The cases.
        cohort: Name of the cohort.
        name: Of the model, in the table.
    """
    chances = [(row, nomogram.probability(component_values(row))) for row in rows]
    return [
        prediction
        for row, chance in chances
        if chance is not None
        for prediction in _both(row, cohort, nomogram.task, name, NO_PHASES, chance, 0)
    ]


def _both(
    row: CohortRow, cohort: str, task: str, name: str, phases: str, chance: float, seed: int
) -> Iterator[Prediction]:
    split = row.split or "test"
    for output, score in zip(EVERY_TASK_CLASSES[task], (1 - chance, chance), strict=True):
        yield Prediction(
            row.patient, row.side, PRIMARY_LESION, cohort, split, task, name, phases, 1.0, seed, output, score
        )
