"""Nephrometry nomograms: logistic models on the R.E.N.A.L. components, age and sex, as a small JSON file.

Kutikov et al. (Eur Urol 2011; 60: 241-248) drew nomograms for malignant and for high-grade pathology, but published no
coefficients. A file is therefore fitted on a cohort, or written by hand from a source of one's own; its schema is
``Resources/schemas/nomogram.schema.json``.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Final, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ..errors import BundleError
from ..output import write_text
from .radiomics_model import fault

FORMAT: Final = "renalclip-nomogram-1"
MAX_BYTES: Final = 1 << 20
# what a term may be of: the classes of the cohort table, or a number
LEVELS: Final[Mapping[str, tuple[str, ...]]] = {
    "renal_r": ("<=4 cm", ">4 to <7 cm", ">=7 cm"),
    "renal_e": (">=50 % exophytic", "<50 % exophytic", "entirely endophytic"),
    "renal_n": (">=7 mm", ">4 to <7 mm", "<=4 mm"),
    "renal_a": ("anterior", "posterior", "neither"),
    "renal_l": (
        "outside the polar lines",
        "crosses a polar line",
        "over half across, between the lines or across the midline",
    ),
    "renal_h": ("not hilar", "hilar"),
    "sex": ("female", "male"),
}
NUMBERS: Final = ("age_years",)
WORDS: Final[Mapping[str, str]] = {
    "renal_r": "R (radius)",
    "renal_e": "E (exophytic)",
    "renal_n": "N (nearness)",
    "renal_a": "A (anterior)",
    "renal_l": "L (location)",
    "renal_h": "h (hilar)",
    "sex": "Sex",
    "age_years": "Age (years)",
}
TARGETS: Final = ("malignancy", "high_grade", "aggressiveness")
Finite = Annotated[float, Field(allow_inf_nan=False, ge=-1e3, le=1e3)]
Text = Annotated[str, Field(max_length=2000)]
Values = Mapping[str, str | float]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class LevelTerm(_Part):
    """A component of classes.

    Attributes:
        component: Key of :data:`LEVELS`.
        levels: Log odds by class; each class of the component once.
    """

    component: Annotated[str, Field(json_schema_extra={"enum": list(LEVELS)})]
    levels: dict[str, Finite]

    @model_validator(mode="after")
    def _known(self) -> Self:
        _check_component(self.component)
        wanted = LEVELS.get(self.component)
        if wanted is None:
            raise ValueError(f"{self.component} is a number; give slope, low and high instead of levels")
        if set(self.levels) != set(wanted):
            raise ValueError(f"the levels of {self.component} must be {', '.join(wanted)}")
        return self


class NumberTerm(_Part):
    """A component that is a number.

    Attributes:
        component: One of :data:`NUMBERS`.
        slope: Log odds per unit.
        low: Lower end of the axis.
        high: Upper end.
    """

    component: Annotated[str, Field(json_schema_extra={"enum": list(NUMBERS)})]
    slope: Finite
    low: Finite
    high: Finite

    @model_validator(mode="after")
    def _known(self) -> Self:
        _check_component(self.component)
        if self.component not in NUMBERS:
            raise ValueError(f"{self.component} has classes; give levels instead of slope, low and high")
        if self.low >= self.high:
            raise ValueError(f"the axis of {self.component} must rise from low to high")
        return self


Term = LevelTerm | NumberTerm


class Nomogram(_Part):
    """One logistic model: the log odds are the intercept and the sum of the terms.

    Attributes:
        format: Of the file.
        target: ``malignancy``, ``high_grade`` (WHO/ISUP 3 or 4) or ``aggressiveness``.
        intercept: Log odds at the levels of 0.
        terms: At least one, each component once.
        source: Where the coefficients are from, in words.
        cases: Cases that it was fitted on, or None.
        positive: Of them, of the second class, or None.
    """

    format: Literal["renalclip-nomogram-1"] = FORMAT
    target: Literal["malignancy", "high_grade", "aggressiveness"]
    intercept: Finite
    terms: Annotated[list[Term], Field(min_length=1, max_length=20)]
    source: Text
    cases: Annotated[int, Field(ge=1)] | None = None
    positive: Annotated[int, Field(ge=0)] | None = None

    @model_validator(mode="after")
    def _once(self) -> Self:
        names = self.components
        if len(set(names)) != len(names):
            raise ValueError("a component stands in two terms")
        return self

    @property
    def task(self) -> str:
        """Task of the predictions table: high grade is read as aggressiveness, as Xiong et al. 2025 did."""
        return "malignancy" if self.target == "malignancy" else "aggressiveness"

    @property
    def components(self) -> tuple[str, ...]:
        """Components that a case needs."""
        return tuple(term.component for term in self.terms)

    def log_odds(self, values: Values) -> float | None:
        """Log odds of a case; None where a component is not known.

        Args:
            values: Class by component, age as a number. Beyond the ends of an axis the value at its end counts.
        """
        total = self.intercept
        for term in self.terms:
            value = values.get(term.component)
            if value is None:
                return None
            total += effect(term, value)
        return total

    def probability(self, values: Values) -> float | None:
        """Probability of a case; None where a component is not known."""
        found = self.log_odds(values)
        return None if found is None else 1 / (1 + math.exp(-found))

    @property
    def log_odds_per_point(self) -> float:
        """The term of the widest range has 100 points."""
        widest = max(max(effects) - min(effects) for effects in map(axis_effects, self.terms))
        return widest / 100 if widest > 0 else 1.0

    def points(self, term: Term, value: str | float) -> float:
        """Points of a value on the chart, 0 at the term's least effect."""
        return (effect(term, value) - min(axis_effects(term))) / self.log_odds_per_point

    @property
    def base_log_odds(self) -> float:
        """Log odds at 0 points."""
        return self.intercept + sum(min(axis_effects(term)) for term in self.terms)

    @property
    def most_points(self) -> float:
        """Sum of the points of the largest effects."""
        ranges = (max(effects) - min(effects) for effects in map(axis_effects, self.terms))
        return sum(ranges) / self.log_odds_per_point


def effect(term: Term, value: str | float) -> float:
    """Log odds of one value of a term."""
    if isinstance(term, LevelTerm):
        return term.levels[str(value)]
    return term.slope * float(np.clip(float(value), term.low, term.high))


def axis_effects(term: Term) -> tuple[float, ...]:
    """Log odds of every level, or at both ends of a number's axis."""
    if isinstance(term, LevelTerm):
        return tuple(term.levels.values())
    return (term.slope * term.low, term.slope * term.high)


def axis_values(term: Term) -> Iterator[tuple[str, str | float]]:
    """What is written along a term's axis, and its value: every level, or ten to a hundred round numbers."""
    if isinstance(term, LevelTerm):
        yield from ((level, level) for level in LEVELS[term.component])
        return
    step = next(s for s in (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0) if (term.high - term.low) / s <= 12)
    for number in itertools.count(math.ceil(term.low / step)):
        if number * step > term.high:
            return
        yield f"{number * step:g}", number * step


def save_nomogram(nomogram: Nomogram, path: Path) -> None:
    """Write the file by atomic rename."""
    write_text(path, nomogram.model_dump_json(indent=2, exclude_none=True) + "\n")


def load_nomogram(path: Path) -> Nomogram:
    """Read and check a file.

    Raises:
        BundleError: It is unreadable, too large, or no nomogram; an unknown component is named.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise BundleError(f"{path.name} is larger than a nomogram can be ({MAX_BYTES >> 20} MiB).")
        return Nomogram.model_validate_json(path.read_bytes())
    except OSError as error:
        raise BundleError(f"The nomogram cannot be read: {error.strerror or 'no such file'}.") from error
    except ValidationError as error:
        raise BundleError(f"{path.name} is no nomogram: {_first_fault(error)}.") from error


def _first_fault(error: ValidationError) -> str:
    """What our own checks found, before what a union of terms says of the form."""
    found = error.errors(include_url=False, include_input=False)
    own = next((item for item in found if str(item["msg"]).startswith("Value error, ")), None)
    return str(own["msg"]).removeprefix("Value error, ") if own else fault(error)


def _check_component(name: str) -> None:
    known = (*LEVELS, *NUMBERS)
    if name not in known:
        raise ValueError(f"there is no component {name[:60]!r}; known are {', '.join(known)}")
