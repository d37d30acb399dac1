"""The second paper's prognosis (Xiong et al. 2025, figure 4, table S9): the aggressiveness score and survival.

The score runs from 0 to 10: ten times the predicted probability of aggressive pathology. All of it is about malignant
lesions with follow-up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..cohort.staging import STAGES, stage_group
from ..cohort.table import CohortRow
from ..errors import UndefinedMeasureError
from ..evaluation.bootstrap import Difference, Interval, difference
from ..evaluation.paired import holm
from ..evaluation.summary_figures import ForestRow, Mark, MarksPanel, forest_figure, marks_figure
from ..evaluation.survival_groups import UNDEFINED_RATIO, HazardRatio, cox
from .evidence import (
    Cell,
    EvidenceFigure,
    EvidenceTable,
    Section,
    interval_words,
    p_clause,
    p_words,
    range_words,
    ratio_words,
    slug,
)
from .joining import ModelScores, common_cases
from .regression import regress, regression_table
from .study_data import StudyData, task_words
from .subgroups import ALL, FEWEST, FEWEST_OF_CLASS
from .task_measures import CONCORDANCE, are_probabilities, follow_up, interval_or_none, resampled, task_measures

TASK = "aggressiveness"
POINTS = 10.0
STAGE, GRADE = "TNM stage", "WHO/ISUP grade"


@dataclass(frozen=True)
class Concordance:
    """How well one predictor orders the survival of a cohort's cases.

    Attributes:
        cohort: Name of the cohort or pool.
        endpoint: ``rfs``, ``dss`` or ``os``.
        predictor: Model, stage or grade.
        cases: Cases that the predictor is known of.
        events: Among them.
        value: Harrell's C with its interval, None where undefined.
        difference: Reference's less this one's on the cases of both; None of the reference, and where undefined.
    """

    cohort: str
    endpoint: str
    predictor: str
    cases: int
    events: int
    value: Interval | None
    difference: Difference | None


@dataclass(frozen=True)
class SubgroupHazard:
    """Hazard ratio per point of the score in a subgroup.

    Attributes:
        cohort: Name of the cohort or pool.
        endpoint: ``rfs``, ``dss`` or ``os``.
        attribute: What the subgroup is of.
        group: Its name.
        cases: Number of cases.
        events: Number of events.
        ratio: Univariate Cox regression; undefined with fewer than ten cases or five events.
    """

    cohort: str
    endpoint: str
    attribute: str
    group: str
    cases: int
    events: int
    ratio: HazardRatio


def _histology(row: CohortRow) -> str:
    words = row.histology.lower()
    return next((name for name in ("clear cell", "papillary", "chromophobe") if name in words), "other" * bool(words))


def _stage(row: CohortRow) -> str:
    group = stage_group(row.stage)
    return "" if group is None else f"stage {STAGES[group - 1]}"


def _grade(row: CohortRow) -> str:
    return "" if row.grade is None else "low (1 and 2)" if row.grade < 3 else "high (3 and 4)"


def _truth(row: CohortRow) -> str:
    return {0: "indolent", 1: "aggressive"}.get(row.labels.get(TASK, -1), "")


SUBGROUPS: Mapping[str, Callable[[CohortRow], str]] = {
    STAGE: _stage,
    GRADE: _grade,
    "Histology": _histology,
    "Pathology": _truth,
}
_ORDER = (*(f"stage {name}" for name in STAGES), "low (1 and 2)", "high (3 and 4)", "clear cell", "papillary",
          "chromophobe", "other", "indolent", "aggressive")  # fmt: skip


def followed(data: StudyData, endpoint: str, cohort: str) -> list[ModelScores]:
    """Every model's aggressiveness score (0 to 10) of the malignant cases with follow-up that all models have."""
    items = []
    for item in common_cases(data.main(TASK, cohort)):
        kept = item.only(lambda row: row.labels.get("malignancy") == 1 and endpoint in row.follow_up)
        if kept.rows and are_probabilities(kept.values):
            items.append(replace(kept, task=endpoint, values=POINTS * kept.values[:, -1:]))
    return items


def concordances(data: StudyData, endpoint: str, cohort: str) -> list[Concordance]:
    """Harrell's C of every model's score, of stage and of grade; differences from the reference where it is there."""
    items = followed(data, endpoint, cohort)
    if not items:
        return []
    items += [found for found in (_known(items[0], STAGE), _known(items[0], GRADE)) if found]
    reference = items[0] if items[0].key.model == data.models[0] else None
    return [_concordance(data, endpoint, cohort, reference, item) for item in items]


def subgroup_hazards(data: StudyData, endpoint: str, cohort: str) -> list[SubgroupHazard]:
    """Hazard ratio per point of the reference model's score, in all cases and in subgroups."""
    items = followed(data, endpoint, cohort)
    if not items or items[0].key.model != data.models[0]:
        return []
    whole = items[0]
    found = [_hazard(cohort, endpoint, ALL, ALL, whole)]
    for attribute, group in SUBGROUPS.items():
        names = sorted({group(row) for row in whole.rows} - {""}, key=_ORDER.index)
        parts = [(name, whole.only(lambda row, g=group, n=name: g(row) == n)) for name in names]  # type: ignore[misc]
        if len(parts) > 1:
            found += [_hazard(cohort, endpoint, attribute, name, part) for name, part in parts]
    return found


def prognosis_section(data: StudyData) -> Section:
    """C-index of the score against radiomics, nomogram, stage and grade; its hazard in subgroups; adjusted hazards."""
    title = "Aggressiveness score and survival"
    places = [(endpoint, cohort) for endpoint in data.endpoints_followed() for cohort in data.evaluated_cohorts()]
    found = [item for endpoint, cohort in places for item in concordances(data, endpoint, cohort)]
    if not found:
        return Section("score-prognosis", title)
    hazards = [item for endpoint, cohort in places for item in subgroup_hazards(data, endpoint, cohort)]
    tables = [_concordance_table(data, found), *([_hazard_table(data, hazards)] if hazards else [])]
    tables += [table for endpoint, cohort in places if (table := _adjusted(data, endpoint, cohort)) is not None]
    words = (
        "Xiong et al. 2025, figure 4 and table S9. The score is ten times the predicted probability of aggressive "
        "pathology; a hazard ratio is per point. Malignant lesions with follow-up that all models have read. Stage and "
        "grade are known after surgery only.",
    )
    figures = [_concordance_figure(found), *_forests(data, hazards)]
    return Section("score-prognosis", title, words, tuple(figures), tuple(tables))


def _known(item: ModelScores, name: str) -> ModelScores | None:
    """Stage or grade as a predictor, on the cases where it is known."""
    values = [stage_group(row.stage) if name == STAGE else row.grade for row in item.rows]
    kept = [value is not None for value in values]
    numbers = np.array([[float(value)] for value in values if value is not None])
    if len(numbers) < FEWEST or len(np.unique(numbers)) < 2:
        return None
    rows = tuple(row for row, known in zip(item.rows, kept, strict=True) if known)
    return replace(item, key=item.key._replace(model=name), rows=rows, values=numbers)


def _concordance(
    data: StudyData, endpoint: str, cohort: str, reference: ModelScores | None, item: ModelScores
) -> Concordance:
    weights = resampled(item.patients, data.settings.resamples, data.settings.seed)
    value = interval_or_none(task_measures(endpoint, item.rows, item.values)[CONCORDANCE], weights)
    gap = None
    if reference is not None and item is not reference:
        pair = common_cases([reference, item])
        measures = [task_measures(endpoint, one.rows, one.values)[CONCORDANCE] for one in pair]
        weights = resampled(pair[0].patients, data.settings.resamples, data.settings.seed)
        try:
            gap = difference(measures[0], measures[1], weights)
        except UndefinedMeasureError:
            gap = None
    events = int(follow_up(endpoint, item.rows)[1].sum())
    return Concordance(cohort, endpoint, item.key.model, len(item.rows), events, value, gap)


def _hazard(cohort: str, endpoint: str, attribute: str, group: str, item: ModelScores) -> SubgroupHazard:
    months, event = follow_up(endpoint, item.rows)
    enough = len(item.rows) >= FEWEST and event.sum() >= FEWEST_OF_CLASS
    ratio = cox(months, event, item.values)[0] if enough else UNDEFINED_RATIO
    return SubgroupHazard(cohort, endpoint, attribute, group, len(item.rows), int(event.sum()), ratio)


def _adjusted(data: StudyData, endpoint: str, cohort: str) -> EvidenceTable | None:
    """Univariate and multivariate hazard ratios of every model's score with stage and grade."""
    blocks = [(item, regress(endpoint, item)) for item in followed(data, endpoint, cohort)]
    if not any(found and found.multivariate for _, found in blocks):
        return None
    table = regression_table(cohort, endpoint, blocks)
    title = f"{task_words(endpoint)}, {cohort}: the aggressiveness score (per point) with stage and grade"
    return replace(table, name=f"{endpoint}-score-cox-{slug(cohort)}", title=title)


def _concordance_table(data: StudyData, found: Sequence[Concordance]) -> EvidenceTable:
    gaps = [item.difference for item in found if item.difference]
    corrected = iter(holm([gap.p for gap in gaps]) if gaps else ())
    adjusted = {id(item): float(next(corrected)) for item in found if item.difference}
    rows: list[tuple[str, ...]] = []
    records: list[tuple[Cell, ...]] = []
    for endpoint, cohort in dict.fromkeys((item.endpoint, item.cohort) for item in found):
        rows.append((f"{task_words(endpoint)}, {cohort}",))
        for item in (item for item in found if (item.endpoint, item.cohort) == (endpoint, cohort)):
            gap, p = item.difference, adjusted.get(id(item))
            words = range_words(gap.value, gap.low, gap.high) if gap else "-"
            tests = ["-" if value is None else p_words(value) for value in (gap.p if gap else None, p)]
            counts = f"{item.events} of {item.cases}"
            rows.append((item.predictor, counts, interval_words(item.value), words, *tests))
            numbers = (item.value.value, item.value.low, item.value.high) if item.value else (None, None, None)
            paired = (gap.value, gap.low, gap.high, gap.p) if gap else (None, None, None, None)
            records.append((endpoint, cohort, item.predictor, item.cases, item.events, *numbers, *paired, p))
    return EvidenceTable(
        "score-concordance",
        f"{CONCORDANCE} of the aggressiveness score, of the comparators', of stage and of grade",
        ("Predictor", "Events", f"{CONCORDANCE} (95 % interval)", "Difference (95 % interval)", "p bootstrap",
         "p Holm"),
        tuple(rows),
        ("endpoint", "cohort", "predictor", "cases", "events", "c_index", "low", "high", "difference",
         "difference_low", "difference_high", "p_bootstrap", "p_holm"),
        tuple(records),
        (f"Difference: {data.models[0]} less the other, on the cases of both. Holm's correction is over this table.",),
    )  # fmt: skip


def _concordance_figure(found: Sequence[Concordance]) -> EvidenceFigure:
    panels = []
    for cohort in dict.fromkeys(item.cohort for item in found):
        here = [item for item in found if item.cohort == cohort]
        endpoints = tuple(dict.fromkeys(item.endpoint for item in here))
        marks = {(item.predictor, item.endpoint): Mark(item.value.value, item.value.low, item.value.high)
                 for item in here if item.value}  # fmt: skip
        names = dict.fromkeys(item.predictor for item in here)
        series = {name: tuple(marks.get((name, endpoint)) for endpoint in endpoints) for name in names}
        panels.append(MarksPanel(cohort, CONCORDANCE, tuple(name.upper() for name in endpoints), series))
    caption = f"{CONCORDANCE} with 95 % intervals of every model's aggressiveness score, of stage and of grade."
    return EvidenceFigure("score-concordance", caption, marks_figure(panels))


def _hazard_table(data: StudyData, hazards: Sequence[SubgroupHazard]) -> EvidenceTable:
    rows: list[tuple[str, ...]] = []
    records: list[tuple[Cell, ...]] = []
    for endpoint, cohort in dict.fromkeys((item.endpoint, item.cohort) for item in hazards):
        rows.append((f"{task_words(endpoint)}, {cohort}",))
        for item in (item for item in hazards if (item.endpoint, item.cohort) == (endpoint, cohort)):
            name = item.group if item.attribute == ALL else f"{item.attribute}: {item.group}"
            ratio = item.ratio
            rows.append((name, f"{item.events} of {item.cases}", ratio_words(ratio.value, ratio.low, ratio.high),
                         p_words(ratio.p)))  # fmt: skip
            records.append((endpoint, cohort, data.models[0], item.attribute, item.group, item.cases, item.events,
                            ratio.value, ratio.low, ratio.high, ratio.p))  # fmt: skip
    return EvidenceTable(
        "score-hazards",
        f"Hazard ratio per point of {data.models[0]}'s aggressiveness score in subgroups",
        ("Subgroup", "Events", "Hazard ratio (95 % interval)", "p"),
        tuple(rows),
        ("endpoint", "cohort", "model", "attribute", "group", "cases", "events", "hazard_ratio", "low", "high", "p"),
        tuple(records),
        (f"Univariate Cox regression (Efron's ties, Wald tests, not corrected). Not estimable: fewer than {FEWEST} "
         f"cases or {FEWEST_OF_CLASS} events, or a score that does not vary.",),
    )  # fmt: skip


def _forests(data: StudyData, hazards: Sequence[SubgroupHazard]) -> list[EvidenceFigure]:
    figures = []
    for endpoint, cohort in dict.fromkeys((item.endpoint, item.cohort) for item in hazards):
        here = [item for item in hazards if (item.endpoint, item.cohort) == (endpoint, cohort)]
        if np.isnan(here[0].ratio.value):
            continue
        rows: list[ForestRow] = []
        for item in here:
            if item.attribute != ALL and ForestRow(item.attribute, heading=True) not in rows:
                rows.append(ForestRow(item.attribute, heading=True))
            rows.append(_forest_row(item))
        caption = (
            f"{task_words(endpoint)}, {cohort}: hazard ratio per point of {data.models[0]}'s aggressiveness score "
            f"(0 to 10), with 95 % intervals and events / cases. Solid line: no effect; dashed line: all cases."
        )
        picture = forest_figure(
            rows, "Hazard ratio per point (logarithmic)", 1.0, logarithmic=True, overall=here[0].ratio.value
        )
        figures.append(EvidenceFigure(f"{endpoint}-score-forest-{slug(cohort)}", caption, picture))
    return figures


def _forest_row(item: SubgroupHazard) -> ForestRow:
    ratio = item.ratio
    words = ratio_words(ratio.value, ratio.low, ratio.high)
    words += "" if np.isnan(ratio.p) else f"   {p_clause(ratio.p)}"
    return ForestRow(item.group, ratio.value, ratio.low, ratio.high, f"{words}   {item.events} / {item.cases}")
