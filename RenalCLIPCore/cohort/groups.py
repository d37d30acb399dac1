"""Groups of patients across tables: who must not be learnt from and held out at once, though two tables name them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from ..errors import CohortError
from .rows import CohortRow

_DIGITS = 16


def group_digests(rows: Iterable[CohortRow]) -> frozenset[str]:
    """The groups of the rows (column ``group``), each as the beginning of its SHA-256; patients on their own have none.

    Runs and bundles keep these to say later whom they have seen; they name nobody.
    """
    return frozenset(group_digest(row.group) for row in rows if row.group)


def group_digest(group: str) -> str:
    """A group as runs and bundles keep it."""
    return hashlib.sha256(group.encode()).hexdigest()[:_DIGITS]


def rows_of_groups(rows: Iterable[CohortRow], groups: frozenset[str]) -> tuple[CohortRow, ...]:
    """The rows whose group is among the digests."""
    return tuple(row for row in rows if row.group and group_digest(row.group) in groups)


def splits_of_groups(tables: Iterable[Sequence[CohortRow]]) -> dict[str, str]:
    """The split that every group of some tables is assigned to.

    Raises:
        CohortError: A group is in two splits.
    """
    found: dict[str, str] = {}
    for rows in tables:
        for row in rows:
            if row.group and row.split and found.setdefault(row.group, row.split) != row.split:
                raise CohortError(
                    f"The tables put one group of patients into {found[row.group]!r} and into {row.split!r}; they were "
                    "split without one another. Split all but one again with 'renalclip cohort split --beside'."
                )
    return found
