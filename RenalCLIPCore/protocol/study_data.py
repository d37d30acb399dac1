"""What a study is made of: cohorts, scores, and the choices that hold for all its parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from ..cohort.table import ENDPOINTS, EVERY_TASK_CLASSES, CohortRow
from ..errors import CohortError
from .alignment_scores import AlignmentScore
from .joining import RISK_TASK, Cohorts, ModelScores, oracle_scores, phase_order, pooled
from .prediction_table import GeneratedReport, Reading
from .predictions import ALL_PHASES, ONE_PHASE

ORACLE = "oracle"
TASK_WORDS: Mapping[str, str] = {
    "renal_r": "R (radius)",
    "renal_e": "E (exophytic)",
    "renal_n": "N (nearness to the sinus)",
    "renal_a": "A (anterior, posterior)",
    "renal_l": "L (polar lines)",
    "renal_h": "h (hilar)",
    "malignancy": "Malignancy",
    "aggressiveness": "Aggressiveness",
    "rfs": "Recurrence-free survival",
    "dss": "Disease-specific survival",
    "os": "Overall survival",
}


@dataclass(frozen=True)
class StudySettings:
    """Choices of a study.

    Attributes:
        split: The split that is evaluated.
        resamples: Of the bootstrap over patients.
        seed: Of the bootstrap.
        phases: Phase setting of the main tables; the arterial (else venous) phase where it is None and there.
        reference: The model that others are compared with; the first one where it is empty.
        pools: Names of cohorts to evaluate together as well, by the name of the pool.
        paper_cohorts: Cohort of the paper whose figures stand beside ours, by the name of ours.
        paper: Whose tables are made: ``renalclip``, or ``predecessor`` (Xiong et al. 2025) with its own as well.
    """

    split: str = "test"
    resamples: int = 1000
    seed: int = 0
    phases: str | None = None
    reference: str = ""
    pools: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    paper_cohorts: Mapping[str, str] = field(default_factory=dict)
    paper: str = "renalclip"


@dataclass(frozen=True)
class StudyData:
    """Everything that is evaluated.

    Attributes:
        cohorts: Rows by name of the cohort.
        scores: Every model's scores, joined to the rows.
        settings: Choices.
        reports: Generated reports with their rows, by cohort and model.
        readings: Readings with their rows.
        alignment: Figures of retrieval and zero-shot reading.
    """

    cohorts: Cohorts
    scores: tuple[ModelScores, ...]
    settings: StudySettings
    reports: Mapping[tuple[str, str], Sequence[tuple[GeneratedReport, CohortRow]]] = field(default_factory=dict)
    readings: tuple[tuple[Reading, CohortRow], ...] = ()
    alignment: tuple[AlignmentScore, ...] = ()

    def __post_init__(self) -> None:
        unknown = [name for names in self.settings.pools.values() for name in names if name not in self.cohorts]
        if unknown:
            raise CohortError(f"A pool names the cohort {unknown[0]!r}, which is not given.")

    @property
    def models(self) -> list[str]:
        """Names of the models, the reference first."""
        names = list(dict.fromkeys(item.key.model for item in self.scores))
        wanted = self.settings.reference
        if wanted and wanted not in names:
            raise CohortError(f"The reference model {wanted!r} is in no predictions; found {', '.join(names)}.")
        return sorted(names, key=lambda name: name != wanted) if wanted else names

    @property
    def of_phantoms(self) -> bool:
        """Whether the cases are digital phantoms (their tables say what an oracle knows)."""
        return any(row.oracle for rows in self.cohorts.values() for row in rows)

    def evaluated_cohorts(self) -> list[str]:
        """Cohorts with scores in the evaluated split, then the pools."""
        named = {item.cohort for item in self.scores if item.split == self.settings.split}
        return [*(name for name in self.cohorts if name in named), *self.settings.pools]

    def main(self, task: str, cohort: str) -> list[ModelScores]:
        """Main scores of every model for a task or endpoint in a cohort or pool: labelled cases, all training data.

        A model that was trained with several seeds stands with its lowest one. A pool is of its cohorts that have
        such cases; see :meth:`left_out_of_pools`.
        """
        if cohort in self.settings.pools:
            parts = [part for name in self.settings.pools[cohort] if (part := self.main(task, name))]
            if not parts:
                return []
            found = [[i for part in parts for i in part if i.key.model == model] for model in self.models]
            return [pooled(items, cohort) for items in found if len(items) == len(parts)]
        candidates = self._of(task, cohort, self.settings.split)
        found_main = (self._chosen([i for i in candidates if i.key.model == model]) for model in self.models)
        labelled = [item.labelled(task) for item in found_main if item is not None]
        return [item for item in labelled if item.rows]

    def left_out_of_pools(self, task: str) -> list[str]:
        """A sentence for every pool that lacks one of its cohorts, as that has no scored case of the task."""
        lacking = {
            pool: [name for name in names if not self.main(task, name)] for pool, names in self.settings.pools.items()
        }
        return [
            f"{pool} is without {', '.join(names)}: no scored case."
            for pool, names in lacking.items()
            if 0 < len(names) < len(self.settings.pools[pool])
        ]

    def evaluated_readings(self) -> tuple[tuple[Reading, CohortRow], ...]:
        """Readings of rows in the evaluated split."""
        return tuple(item for item in self.readings if item[1].split == self.settings.split)

    def with_oracle(self, items: Sequence[ModelScores]) -> list[ModelScores]:
        """The same, and the oracle's scores of the first one's cases where the phantom knows them."""
        oracle = oracle_scores(items[0]) if items else None
        return [*items, oracle] if oracle is not None else list(items)

    def validation(self, item: ModelScores, task: str) -> ModelScores | None:
        """The same model's scores for a task in the validation split of any cohort; None where there are none."""
        if self.settings.split == "validation":
            return None
        wanted = ("validation", item.task, item.key)
        found = [s.labelled(task) for s in self.scores if (s.split, s.task, s.key) == wanted]
        found = [s for s in found if s.rows]
        return pooled(found, "validation") if found else None

    def groups(self, task: str, cohort: str) -> list[ModelScores]:
        """Labelled scores of every model, phase setting, fraction and seed for a task in a cohort."""
        items = [item.labelled(task) for item in self._of(task, cohort, self.settings.split)]
        return [item for item in items if item.rows]

    def tasks(self) -> list[str]:
        """Tasks of classification with scores, in the papers' order."""
        there = {item.task for item in self.scores}
        return [task for task in EVERY_TASK_CLASSES if task in there]

    def endpoints(self) -> list[str]:
        """Endpoints of survival that a risk score can be evaluated on."""
        return self.endpoints_followed() if any(item.task in ENDPOINTS for item in self.scores) else []

    def endpoints_followed(self) -> list[str]:
        """Endpoints that any cohort has follow-up for."""
        return [name for name in ENDPOINTS if any(name in r.follow_up for rows in self.cohorts.values() for r in rows)]

    def _of(self, task: str, cohort: str, split: str) -> list[ModelScores]:
        """Scores for a task; of models without scores of their own for an endpoint those of recurrence."""
        here = [item for item in self.scores if (item.cohort, item.split) == (cohort, split)]
        own = [item for item in here if item.task == task]
        if task not in ENDPOINTS:
            return own
        scored = {item.key.model for item in own}
        return own + [item for item in here if item.task == RISK_TASK and item.key.model not in scored]

    def _chosen(self, items: Sequence[ModelScores]) -> ModelScores | None:
        if not items:
            return None
        settings = {item.key.phases for item in items}
        wanted = [self.settings.phases, ONE_PHASE, ALL_PHASES, *sorted(settings, key=phase_order)]
        phases = next(name for name in wanted if name in settings)
        fraction = max(item.key.fraction for item in items if item.key.phases == phases)
        kept = [item for item in items if (item.key.phases, item.key.fraction) == (phases, fraction)]
        return min(kept, key=lambda item: item.key.seed)


def task_words(task: str) -> str:
    """Name of a task for a reader."""
    return TASK_WORDS.get(task, task)


def by_model(items: Sequence[ModelScores]) -> dict[str, list[ModelScores]]:
    """Scores by model, in their order of appearance."""
    names = list(dict.fromkeys(item.key.model for item in items))
    ordered = sorted(items, key=lambda item: names.index(item.key.model))
    return {name: list(group) for name, group in groupby(ordered, key=lambda item: item.key.model)}
