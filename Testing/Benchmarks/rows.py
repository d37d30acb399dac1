"""One line of the benchmark's table."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One measured figure and what was asked of it."""

    what: str
    measured: str
    reach: str
