"""Prognosis: concordance, risk groups, measures over time, and the score beside stage and grade (malignant cases)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from ..evaluation.bootstrap import Interval
from ..evaluation.survival_figures import (
    SurvivalPanel,
    TimeLine,
    TimePanel,
    kaplan_meier_figure,
    over_time_figure,
)  # fmt: skip
from ..evaluation.survival_groups import GroupComparison, GroupCurve, compare_groups
from ..evaluation.survival_over_time import (
    event_free_probability,
    weighted_auroc_at,
    weighted_brier_at,
    weighted_concordance_until,
)  # fmt: skip
from .comparisons import comparison_table
from .diagnosis import OWN, VALIDATION, CellScore, score_table, thresholds
from .evidence import Cell, EvidenceFigure, EvidenceTable, Section, interval_words, p_clause, p_words, ratio_words, slug
from .joining import ModelScores
from .regression import regression_section_parts
from .study_data import ORACLE, StudyData, task_words
from .task_measures import follow_up, interval_or_none, resampled

Array = npt.NDArray[np.float64]
RISK_GROUPS = ("low risk", "high risk")
AGGRESSIVENESS_GROUPS = ("predicted indolent", "predicted aggressive")
RISK_WORDS, AGGRESSIVENESS_WORDS = "risk group", "predicted aggressiveness"
YOUDEN_OWN = "Youden's threshold of this cohort itself"
HORIZONS = (12.0, 24.0, 36.0, 60.0)
STEP = 6.0
FEWEST = 5  # events before and cases after a time, below which nothing is said of it
_CURVE_RESAMPLES = 200
_AUROC, _CONCORDANCE, _BRIER = "AUROC at the time", "Uno's C until the time", "Brier score at the time"


@dataclass(frozen=True)
class GroupFinding:
    """Two groups of one cohort by one model.

    Attributes:
        cohort: Name of the cohort or pool.
        endpoint: ``rfs``, ``dss`` or ``os``.
        model: Whose score makes the groups.
        cut: Where the score is cut.
        source: How the cut was chosen.
        found: Curves and tests; the second group is the one of higher risk.
    """

    cohort: str
    endpoint: str
    model: str
    cut: float
    source: str
    found: GroupComparison


def risk_groups(data: StudyData, endpoint: str) -> list[GroupFinding]:
    """Groups above and up to the cohort's median score, per model and cohort."""
    found = []
    for cohort in data.evaluated_cohorts():
        for item in data.with_oracle(data.main(endpoint, cohort)):
            cut = float(np.median(item.score))
            found += _groups(cohort, endpoint, item, cut, "the cohort's median", item.score > cut, RISK_GROUPS)
    return found


def aggressiveness_groups(data: StudyData, endpoint: str) -> list[GroupFinding]:
    """Malignant cases by the prediction of aggressiveness at the validation split's threshold, else the cohort's."""
    found = []
    for cohort in data.evaluated_cohorts():
        for item in data.main("aggressiveness", cohort):
            cuts = thresholds(data, "aggressiveness", item)
            source = VALIDATION if VALIDATION in cuts else OWN
            followed = item.only(lambda row: row.labels.get("malignancy") == 1 and endpoint in row.follow_up)
            if source in cuts and followed.rows:
                above = followed.score >= cuts[source]
                words = f"Youden's threshold of the {source}" if source == VALIDATION else YOUDEN_OWN
                found += _groups(cohort, endpoint, followed, cuts[source], words, above, AGGRESSIVENESS_GROUPS)
    return found


def endpoint_section(data: StudyData, cells: Sequence[CellScore], endpoint: str) -> Section:
    """Concordance, risk groups, measures over time and regression of one endpoint."""
    groups = risk_groups(data, endpoint)
    if not groups:
        return Section(endpoint, task_words(endpoint))
    over_time, time_figures = _over_time(data, endpoint)
    comparison = comparison_table(data, endpoint)
    regression_tables, regression_figures = regression_section_parts(data, endpoint)
    words = (
        "Malignant lesions with follow-up. The score is the log relative hazard of the model that was trained for "
        "recurrence. Risk groups: above the cohort's median score, and up to it. Hazard ratios: Cox regression "
        "(Efron's ties, Wald interval); groups compared by the log-rank test.",
    )
    figures = [*_group_figures(groups, f"{endpoint}-risk-groups", RISK_WORDS), *time_figures, *regression_figures]
    tables = [score_table(data, cells, endpoint), _group_table(groups, f"{endpoint}-risk-groups", RISK_WORDS)]
    tables += [comparison] if comparison else []
    return Section(endpoint, task_words(endpoint), words, tuple(figures), (*tables, *over_time, *regression_tables))


def aggressiveness_section(data: StudyData) -> Section:
    """Survival by predicted aggressiveness, for every endpoint."""
    title = "Survival by predicted aggressiveness"
    groups = [found for endpoint in data.endpoints_followed() for found in aggressiveness_groups(data, endpoint)]
    if not groups:
        return Section("survival-by-aggressiveness", title)
    words = ("Malignant lesions with follow-up, by what the model predicts of their aggressiveness.",)
    name = "predicted-aggressiveness"
    figures = _group_figures(groups, name, AGGRESSIVENESS_WORDS)
    return Section("survival-by-aggressiveness", title, words, tuple(figures),
                   (_group_table(groups, name, AGGRESSIVENESS_WORDS),))  # fmt: skip


def _groups(
    cohort: str, endpoint: str, item: ModelScores, cut: float, source: str, above: npt.NDArray[np.bool_],
    names: tuple[str, str],
) -> list[GroupFinding]:  # fmt: skip
    months, event = follow_up(endpoint, item.rows)
    found = compare_groups(months, event, above.astype(int), names)
    return [GroupFinding(cohort, endpoint, item.key.model, cut, source, found)]


def _cut_words(groups: Sequence[GroupFinding]) -> str:
    """Where the cuts come from, and what that does to the groups."""
    words = f"Cut at: {'; '.join(dict.fromkeys(item.source for item in groups))}."
    chosen = any(item.source == YOUDEN_OWN for item in groups)
    return words + " A threshold that was chosen on the very cases makes the groups differ by chance alone." * chosen


def _group_figures(groups: Sequence[GroupFinding], name: str, words: str) -> list[EvidenceFigure]:
    figures = []
    for model in dict.fromkeys(item.model for item in groups if item.model != ORACLE):
        for endpoint in dict.fromkeys(item.endpoint for item in groups):
            mine = [item for item in groups if (item.model, item.endpoint) == (model, endpoint)]
            if mine:
                drawn = [SurvivalPanel(i.cohort, i.found, _test_words(i.found), task_words(endpoint)) for i in mine]
                caption = (
                    f"{task_words(endpoint)} by {words} of {model}: Kaplan-Meier estimates with 95 % intervals; "
                    f"vertical marks are censored cases. Drawn while at least 2 % of the cases are followed. "
                    f"{_cut_words(mine)}"
                )
                stem = f"{name}-{slug(model)}" if name.startswith(endpoint) else f"{endpoint}-{name}-{slug(model)}"
                figures.append(EvidenceFigure(stem, caption, kaplan_meier_figure(drawn)))
    return figures


def _test_words(found: GroupComparison) -> str:
    if np.isnan(found.log_rank_p):
        return "no test: one group, or no event"
    ratio = found.ratio
    first = f"HR {ratio_words(ratio.value, ratio.low, ratio.high)}, {p_clause(ratio.p)}"
    return f"{'HR not estimable' if np.isnan(ratio.value) else first}\nlog-rank {p_clause(found.log_rank_p)}"


def _group_table(groups: Sequence[GroupFinding], name: str, words: str) -> EvidenceTable:
    rows: list[tuple[str, ...]] = []
    records: list[tuple[Cell, ...]] = []
    names = AGGRESSIVENESS_GROUPS if words == AGGRESSIVENESS_WORDS else RISK_GROUPS
    for endpoint in dict.fromkeys(item.endpoint for item in groups):
        rows.append((task_words(endpoint),))
        for item in (item for item in groups if item.endpoint == endpoint):
            ratio, curves = item.found.ratio, {curve.name: curve for curve in item.found.curves}
            cells = [_group_words(curves.get(group)) for group in names]
            rows.append((
                item.cohort, item.model, *cells, ratio_words(ratio.value, ratio.low, ratio.high), p_words(ratio.p),
                p_words(item.found.log_rank_p),
            ))  # fmt: skip
            for curve in item.found.curves:
                records.append((
                    item.cohort, endpoint, item.model, item.cut, item.source, curve.name, curve.cases, curve.events,
                    None if np.isinf(curve.median) else curve.median, ratio.value, ratio.low, ratio.high, ratio.p,
                    item.found.log_rank_p,
                ))  # fmt: skip
    return EvidenceTable(
        name,
        f"Groups by {words}",
        ("Cohort", "Model", *(f"{group.capitalize()}: events of cases; median" for group in names),
         "Hazard ratio (95 % interval)", "p (Wald)", "p (log-rank)"),
        tuple(rows),
        ("cohort", "endpoint", "model", "cut", "cut_from", "group", "cases", "events", "median_months", "hazard_ratio",
         "low", "high", "p_wald", "p_log_rank"),
        tuple(records),
        ("Median survival in months. The hazard ratio is that of the second group against the first.",
         _cut_words(groups)),
    )  # fmt: skip


def _group_words(curve: GroupCurve | None) -> str:
    if curve is None:
        return "no case"
    median = "not reached" if np.isinf(curve.median) else f"{curve.median:.1f}"
    return f"{curve.events} of {curve.cases}; {median}"


def _over_time(data: StudyData, endpoint: str) -> tuple[list[EvidenceTable], list[EvidenceFigure]]:
    records: list[tuple[Cell, ...]] = []
    rows: list[tuple[str, ...]] = []
    figures = []
    for cohort in data.evaluated_cohorts():
        items = data.with_oracle(data.main(endpoint, cohort))
        for item in items:
            shown: list[str] = []
            for month in HORIZONS:
                found = _at_month(data, endpoint, item, month, data.settings.resamples)
                shown += [interval_words(value) if value else "-" for value in found.values()]
                records += [(cohort, endpoint, item.key.model, name, month, len(item.rows), *_numbers(value),
                             _fitted_on(data, endpoint, item) if name == _BRIER else None)
                            for name, value in found.items()]  # fmt: skip
            if any(cell != "-" for cell in shown):
                rows += [(f"{cohort}: {item.key.model}",)] if not rows or rows[-1] != (cohort,) else []
                rows += [(name, *shown[place::3]) for place, name in enumerate((_AUROC, _CONCORDANCE, _BRIER))]
        figures += _time_figure(data, endpoint, cohort, [i for i in items if i.key.model != ORACLE])
    if not rows:
        return [], []
    table = EvidenceTable(
        f"{endpoint}-over-time",
        f"{task_words(endpoint)}: measures at times of follow-up",
        ("Measure", *(f"{month:.0f} months" for month in HORIZONS)),
        tuple(rows),
        ("cohort", "endpoint", "model", "measure", "months", "cases", "value", "low", "high", "resamples",
         "baseline_fitted_on"),
        tuple(records),
        ("Weighted against censoring (IPCW). The Brier score, better when lower, needs a baseline hazard: Breslow's, "
         "of the validation split where its scores are given, else of the same cases (optimistic; see the CSV file). "
         f"Times with fewer than {FEWEST} events before or {FEWEST} cases after them are left out.",),
    )  # fmt: skip
    return [table], figures


def _at_month(
    data: StudyData, endpoint: str, item: ModelScores, month: float, resamples: int
) -> dict[str, Interval | None]:
    months, event = follow_up(endpoint, item.rows)
    if min((event & (months <= month)).sum(), (months > month).sum()) < FEWEST:
        return {_AUROC: None, _CONCORDANCE: None, _BRIER: None}
    weights = resampled(item.patients, resamples, data.settings.seed)
    fitted = data.validation(item, endpoint) or item
    free = event_free_probability((*follow_up(endpoint, fitted.rows), fitted.score), item.score, month)
    measures: dict[str, Callable[[Array], Array]] = {
        _AUROC: partial(weighted_auroc_at, months, event, item.score, month),
        _CONCORDANCE: partial(weighted_concordance_until, months, event, item.score, month),
        _BRIER: partial(weighted_brier_at, months, event, free, month),
    }
    return {name: interval_or_none(measure, weights) for name, measure in measures.items()}


def _fitted_on(data: StudyData, endpoint: str, item: ModelScores) -> str:
    return VALIDATION if data.validation(item, endpoint) else OWN


def _time_figure(data: StudyData, endpoint: str, cohort: str, items: Sequence[ModelScores]) -> list[EvidenceFigure]:
    lines: dict[str, list[TimeLine]] = {_AUROC: [], _CONCORDANCE: [], _BRIER: []}
    for item in items:
        months, _ = follow_up(endpoint, item.rows)
        at = np.arange(STEP, float(months.max()), STEP)
        found = [_at_month(data, endpoint, item, float(month), _CURVE_RESAMPLES) for month in at]
        for name, drawn in lines.items():
            known = [(month, value[name]) for month, value in zip(at, found, strict=True) if value[name]]
            if len(known) > 1:
                values = np.array([(m, v.value, v.low, v.high) for m, v in known if v]).T
                drawn.append(TimeLine(item.key.model, *values))
    drawn_panels = [
        TimePanel(name, name.split(" at ")[0].split(" until ")[0], tuple(drawn), None if name == _BRIER else 0.5)
        for name, drawn in lines.items()
        if drawn
    ]
    if not drawn_panels:
        return []
    caption = (
        f"{task_words(endpoint)}, {cohort}: measures over time with 95 % intervals ({_CURVE_RESAMPLES} resamples); the "
        f"Brier score is better when lower."
    )
    return [EvidenceFigure(f"{endpoint}-over-time-{slug(cohort)}", caption, over_time_figure(drawn_panels))]


def _numbers(value: Interval | None) -> tuple[Cell, ...]:
    return (value.value, value.low, value.high, value.resamples) if value else (None, None, None, 0)
