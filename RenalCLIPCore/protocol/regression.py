"""The risk score beside stage and grade: univariate and multivariate Cox regression (layout of the paper's tables)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..cohort.staging import STAGES, stage_group
from ..cohort.table import CohortRow
from ..evaluation.summary_figures import ForestRow, forest_figure
from ..evaluation.survival_groups import HazardRatio, cox
from .evidence import Cell, EvidenceFigure, EvidenceTable, p_clause, p_words, ratio_words, slug
from .joining import ModelScores
from .study_data import StudyData, task_words
from .task_measures import follow_up

Array = npt.NDArray[np.float64]
SCORE = "Risk score (per unit)"
_FEWEST_KNOWN = 0.5  # share of cases with a stage (grade) below which it is no adjustment
_PER_VARIABLE = 10
_COLUMNS = (
    "cohort",
    "endpoint",
    "model",
    "variable",
    "analysis",
    "cases",
    "events",
    "hazard_ratio",
    "low",
    "high",
    "p",
)


@dataclass(frozen=True, eq=False)
class Covariate:
    """What the score is adjusted for.

    Attributes:
        name: In the table.
        levels: Value of each case as a number, NaN where unknown.
        words: Name of each level of a categorical variable, by value; empty for a continuous one.
    """

    name: str
    levels: Array
    words: dict[int, str]

    def columns(self, known: npt.NDArray[np.bool_]) -> list[tuple[str, Array]]:
        """Variables of the model, among the known cases: indicators against the lowest level, or the value itself."""
        values = self.levels[known]
        if not self.words:
            return [(self.name, values)]
        present = sorted(int(v) for v in np.unique(values))
        return [(f"{self.words[k]} vs {self.words[present[0]]}", (values == k).astype(float)) for k in present[1:]]


def covariates(rows: Sequence[CohortRow]) -> list[Covariate]:
    """Stage and grade where most cases have them; without either, the largest diameter."""
    stage = [stage_group(row.stage) for row in rows]
    grade = [row.grade for row in rows]
    found = [
        Covariate("TNM stage", _numbers(stage), {k: f"Stage {STAGES[k - 1]}" for k in range(1, 5)}),
        Covariate("WHO/ISUP grade", _numbers(grade), {k: f"Grade {k}" for k in range(1, 5)}),
    ]
    found = [c for c in found if np.mean(~np.isnan(c.levels)) >= _FEWEST_KNOWN and len(np.unique(_known(c))) > 1]
    if not found:
        size = Covariate("Largest diameter (per cm)", _numbers([_centimetres(row) for row in rows]), {})
        found = [size] if np.mean(~np.isnan(size.levels)) >= _FEWEST_KNOWN else []
    return found


def regression_section_parts(data: StudyData, endpoint: str) -> tuple[list[EvidenceTable], list[EvidenceFigure]]:
    """The table of every cohort, and the multivariate hazard ratios of the reference model as a forest plot."""
    tables, figures = [], []
    for cohort in data.evaluated_cohorts():
        items = data.with_oracle(data.main(endpoint, cohort))
        if not items:
            continue
        blocks = [(item, regress(endpoint, item)) for item in items]
        if not any(found for _, found in blocks):
            continue
        tables.append(regression_table(cohort, endpoint, blocks))
        item, found = blocks[0]
        figures += [_forest(cohort, endpoint, item, found)] if found else []
    return tables, figures


@dataclass(frozen=True)
class Regression:
    """Hazard ratios of one model's score and of what it is adjusted for.

    Attributes:
        variables: By covariate, the names of its variables; the score last.
        univariate: Ratio of each variable in a model of its covariate alone.
        multivariate: Ratio in the model of all; None where nothing is adjusted for.
        cases: Cases with every covariate known.
        events: Events among them.
    """

    variables: tuple[tuple[str, tuple[str, ...]], ...]
    univariate: tuple[HazardRatio, ...]
    multivariate: tuple[HazardRatio, ...] | None
    cases: int
    events: int

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all variables in order."""
        return tuple(name for _, names in self.variables for name in names)


def regress(endpoint: str, item: ModelScores) -> Regression | None:
    """Univariate and multivariate regression on the cases with every covariate known; None without events."""
    found = covariates(item.rows)
    known = np.ones(len(item.rows), dtype=bool)
    for covariate in found:
        known &= ~np.isnan(covariate.levels)
    months, event = follow_up(endpoint, item.rows)
    months, event = months[known], event[known]
    if not event.any():
        return None
    blocks = [(c.name, c.columns(known)) for c in found] + [("", [(SCORE, item.score[known])])]
    matrices = [np.stack([values for _, values in block], axis=1) for _, block in blocks if block]
    univariate = tuple(ratio for matrix in matrices for ratio in cox(months, event, matrix))
    both = cox(months, event, np.concatenate(matrices, axis=1)) if len(matrices) > 1 else None
    variables = tuple((name, tuple(words for words, _ in block)) for name, block in blocks if block)
    return Regression(variables, univariate, both, len(months), int(event.sum()))


def regression_table(
    cohort: str, endpoint: str, blocks: Sequence[tuple[ModelScores, Regression | None]]
) -> EvidenceTable:
    """Univariate and multivariate hazard ratios of every model's score and of what it is adjusted for."""
    rows: list[tuple[str, ...]] = []
    records: list[tuple[Cell, ...]] = []
    for item, found in blocks:
        if found is None:
            continue
        rows.append((f"{item.key.model} ({found.cases} cases, {found.events} events)",))
        for place, name in enumerate(found.names):
            one, two = found.univariate[place], found.multivariate[place] if found.multivariate else None
            rows.append((name, *_ratio(one), *(_ratio(two) if two else ("-", "-"))))
            for analysis, ratio in (("univariate", one), ("multivariate", two)):
                if ratio:
                    records.append((cohort, endpoint, item.key.model, name, analysis, found.cases, found.events,
                                    ratio.value, ratio.low, ratio.high, ratio.p))  # fmt: skip
    adjusted = any(found and found.multivariate for _, found in blocks)
    notes = ["Cox regression, Efron's ties, Wald tests, complete cases. Not estimable: a level without events."]
    fewest = min((found.events / len(found.names) for _, found in blocks if found), default=10.0)
    notes += [f"Fewer than {_PER_VARIABLE} events per variable: the adjusted ratios are unsteady."] * (
        adjusted and fewest < _PER_VARIABLE
    )
    notes += [] if adjusted else ["No stage, grade or diameter is in the table, so the score is not adjusted."]
    return EvidenceTable(
        f"{endpoint}-cox-{slug(cohort)}",
        f"{task_words(endpoint)}, {cohort}: univariate and multivariate Cox regression",
        ("Variable", "Univariate hazard ratio (95 % interval)", "p", "Multivariate hazard ratio (95 % interval)", "p"),
        tuple(rows),
        _COLUMNS,
        tuple(records),
        tuple(notes),
    )


def _forest(cohort: str, endpoint: str, item: ModelScores, found: Regression) -> EvidenceFigure:
    ratios = found.multivariate or found.univariate
    rows, place = [], 0
    for head, names in found.variables:
        rows += [ForestRow(head, heading=True)] if head and head != names[0] else []
        for name in names:
            ratio = ratios[place]
            words = ratio_words(ratio.value, ratio.low, ratio.high)
            words += "" if np.isnan(ratio.p) else f"   {p_clause(ratio.p)}"
            rows.append(ForestRow(name, ratio.value, ratio.low, ratio.high, words))
            place += 1
    kind = "multivariate" if found.multivariate else "univariate"
    caption = (
        f"{task_words(endpoint)}, {cohort}: {kind} hazard ratios with {item.key.model}'s score "
        f"({found.cases} cases, {found.events} events)."
    )
    picture = forest_figure(rows, "Hazard ratio (logarithmic)", 1.0, logarithmic=True)
    return EvidenceFigure(f"{endpoint}-forest-{slug(cohort)}", caption, picture)


def _ratio(ratio: HazardRatio) -> tuple[str, str]:
    return ratio_words(ratio.value, ratio.low, ratio.high), p_words(ratio.p)


def _numbers(values: Sequence[float | None]) -> Array:
    return np.array([np.nan if value is None else float(value) for value in values])


def _known(covariate: Covariate) -> Array:
    return covariate.levels[~np.isnan(covariate.levels)]


def _centimetres(row: CohortRow) -> float | None:
    return None if row.diameter_mm is None else row.diameter_mm / 10
