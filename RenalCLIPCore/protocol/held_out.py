"""Whether what is evaluated was held out: groups of patients that a model has learnt from, met again in a cohort."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..cohort.groups import group_digests, rows_of_groups
from ..cohort.table import CohortRow

Cohorts = Mapping[str, Sequence[CohortRow]]


def met_again(models: Mapping[str, frozenset[str]], cohorts: Cohorts, split: str) -> list[str]:
    """A sentence per model and cohort that share groups of patients, for instance phantoms painted onto the same masks.

    Args:
        models: Digests of the groups that each was learnt from, see ``cohort.groups``.
        cohorts: Rows by name of the cohort.
        split: That is evaluated.
    """
    found = []
    for model, groups in models.items():
        for name, rows in cohorts.items():
            seen, everyone = _counted(rows, groups, split)
            if seen:
                found.append(
                    f"{seen} of the {everyone} kidneys of {name} ({split}) belong to groups that {model} has learnt "
                    "from; they were not held out."
                )
    return found


def shared_between(cohorts: Cohorts, split: str) -> list[str]:
    """A sentence per two cohorts of which one has groups for learning that are evaluated in the other."""
    found = []
    for learning, rows in cohorts.items():
        groups = group_digests(row for row in rows if row.split in {"training", "validation"} - {split})
        for name, others in cohorts.items():
            seen, everyone = _counted(others, groups, split)
            if seen and name != learning:
                found.append(
                    f"{seen} of the {everyone} kidneys of {name} ({split}) belong to groups that {learning} has for "
                    f"learning; what has learnt from {learning} has met them."
                )
    return found


def _counted(rows: Sequence[CohortRow], groups: frozenset[str], split: str) -> tuple[int, int]:
    """Evaluated rows of the groups, and evaluated rows."""
    evaluated = [row for row in rows if row.split == split]
    return len(rows_of_groups(evaluated, groups)), len(evaluated)
