"""Patient-disjoint splits: assignment, hash, and the part of a cohort that learning may see."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..errors import CohortError
from .table import CohortRow, validate


@dataclass(frozen=True)
class LearningCohort:
    """What training code gets: the training and validation rows. Rows of the test split do not pass through here.

    Attributes:
        training: Rows of the training split.
        validation: Rows of the validation split; checkpoints are chosen on them.
        split_sha256: Hash of the whole table's assignment, for the record.
    """

    training: tuple[CohortRow, ...]
    validation: tuple[CohortRow, ...]
    split_sha256: str

    def __post_init__(self) -> None:
        for name, rows in (("training", self.training), ("validation", self.validation)):
            if not rows:
                raise CohortError(f"Learning needs rows with the split {name!r}, but the cohort table has none.")
            if any(row.split != name for row in rows):
                raise CohortError(f"A row of another split was handed to learning as {name!r}.")


def learning_cohort(rows: Sequence[CohortRow]) -> LearningCohort:
    """The rows that learning may see.

    Raises:
        CohortError: The training or the validation split is empty, or a patient stands in two splits.
    """
    validate(rows)
    return LearningCohort(
        tuple(row for row in rows if row.split == "training"),
        tuple(row for row in rows if row.split == "validation"),
        split_sha256(rows),
    )


def split_sha256(rows: Sequence[CohortRow]) -> str:
    """SHA-256 over the sorted lines ``patient <tab> side <tab> split``; the order of the rows does not matter."""
    lines = sorted(f"{row.patient}\t{row.side}\t{row.split}\n" for row in rows)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def assign_splits(
    rows: Sequence[CohortRow],
    fractions: tuple[float, float, float],
    seed: int,
    fixed: Mapping[str, str] | None = None,
) -> tuple[CohortRow, ...]:
    """Assign training, validation and test by patient, at random; patients of one group go together.

    Args:
        rows: Rows in any order; earlier assignments are replaced.
        fractions: Shares of patients (of groups, where there are any) of the three splits; they add up to 1.
        seed: Of the permutation. The result does not depend on the order of the rows.
        fixed: Splits of groups that are assigned already, elsewhere; the fractions hold for the others.

    Raises:
        CohortError: The fractions are negative or do not add up to 1.
    """
    if min(fractions) < 0 or abs(sum(fractions) - 1) > 1e-9:
        raise CohortError(f"Three fractions that add up to 1 are needed, found {fractions}.")
    known = {("", group): split for group, split in (fixed or {}).items()}
    units = sorted({_unit(row) for row in rows} - set(known))
    order = np.random.default_rng(seed).permutation(len(units))
    ends = np.rint(np.cumsum(fractions) * len(units)).astype(int)
    split_of = known | {
        units[index]: ("training" if place < ends[0] else "validation" if place < ends[1] else "test")
        for place, index in enumerate(order)
    }
    return tuple(replace(row, split=split_of[_unit(row)]) for row in rows)


def _unit(row: CohortRow) -> tuple[str, str]:
    """What is assigned as a whole: the group, else the patient."""
    return ("", row.group) if row.group else (row.patient, "")
