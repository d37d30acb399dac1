"""A radiomics model as a plain JSON file: scaling, chosen features, random forest, calibration.

Nothing in the file is executed. It is read with a limit on its size, unknown keys are refused, numbers must be finite,
and the nodes of a tree must lead forward, so that every case reaches a leaf.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ..errors import BundleError
from ..output import write_text

Array = npt.NDArray[np.float64]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Words = Annotated[str, Field(max_length=2000)]
FORMAT: Literal["renalclip-radiomics-1"] = "renalclip-radiomics-1"
MAX_BYTES = 64 << 20
LEAF = -1


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Tree(_Part):
    """One tree, a list per column; node 0 is the root.

    Attributes:
        feature: Place of the feature that a node asks for, -1 of a leaf.
        threshold: Cases up to it go left (scaled, as float32).
        left: Node on the left, beyond the node itself; -1 of a leaf.
        right: The same on the right.
        share: Share of the second class in a leaf.
    """

    feature: list[int]
    threshold: list[Finite]
    left: list[int]
    right: list[int]
    share: list[Annotated[float, Field(ge=0.0, le=1.0)]]

    @model_validator(mode="after")
    def _leads_forward(self) -> Self:
        count = len(self.feature)
        columns = (self.threshold, self.left, self.right, self.share)
        if not 1 <= count <= 1 << 20 or any(len(column) != count for column in columns):
            raise ValueError("the columns of a tree must be of one length")
        for place, (feature, *children) in enumerate(zip(self.feature, self.left, self.right, strict=True)):
            ends = [child == LEAF if feature == LEAF else place < child < count for child in children]
            if feature < LEAF or not all(ends):
                raise ValueError("the nodes of a tree must lead forward")
        return self


class RadiomicsModel(_Part):
    """What is needed to predict one binary task from a table of features.

    Attributes:
        format: Of the file.
        task: ``malignancy`` or ``aggressiveness``.
        settings: How the features must be extracted.
        phases: Letters of the phases that a case needs.
        features: Columns of the table, in the order of the following lists.
        median: Put in place of an undefined feature.
        mean: Subtracted.
        scale: Divided by, above 0.
        trees: On the scaled features.
        slope: Of the calibration of the forest's log odds.
        intercept: The same.
        cases: Training cases.
        positive: Of them, of the second class.
        cross_validated_auroc: Mean over the folds of the training cases.
        seed: Of folds, oversampling and forest.
        cohort: Name of the training cohort.
    """

    format: Literal["renalclip-radiomics-1"] = FORMAT
    task: Literal["malignancy", "aggressiveness"]
    settings: Words
    phases: Annotated[str, Field(pattern=r"^N?A?V?D?$", min_length=1)]
    features: Annotated[list[Annotated[str, Field(max_length=100)]], Field(min_length=1, max_length=10000)]
    median: list[Finite]
    mean: list[Finite]
    scale: list[Annotated[float, Field(gt=0.0, allow_inf_nan=False)]]
    trees: Annotated[list[Tree], Field(min_length=1, max_length=10000)]
    slope: Finite
    intercept: Finite
    cases: Annotated[int, Field(ge=1)]
    positive: Annotated[int, Field(ge=0)]
    cross_validated_auroc: Annotated[float, Field(ge=0.0, le=1.0)]
    seed: int
    cohort: Words

    @model_validator(mode="after")
    def _fits(self) -> Self:
        count = len(self.features)
        if any(len(column) != count for column in (self.median, self.mean, self.scale)):
            raise ValueError("median, mean and scale need a value per feature")
        if any(max(tree.feature) >= count for tree in self.trees):
            raise ValueError("a tree asks for a feature that is not listed")
        return self

    def probability(self, values: npt.ArrayLike) -> Array:
        """Calibrated probability (n,) of the second class.

        Args:
            values: (n, features) in the order of ``features``; NaN where undefined.
        """
        return 1 / (1 + np.exp(-(self.slope * log_odds(self.share(values)) + self.intercept)))

    def share(self, values: npt.ArrayLike) -> Array:
        """Mean share (n,) of the second class over the trees, not calibrated."""
        table = np.asarray(values, dtype=float)
        filled = np.where(np.isnan(table), np.asarray(self.median), table)
        scaled = ((filled - np.asarray(self.mean)) / np.asarray(self.scale)).astype(np.float32)
        return np.asarray(np.mean([_leaves(tree, scaled) for tree in self.trees], axis=0))


def log_odds(share: npt.ArrayLike) -> Array:
    """Log odds of shares, which stay off 0 and 1 by one in a thousand."""
    kept = np.clip(np.asarray(share, dtype=float), 1e-3, 1 - 1e-3)
    return np.asarray(np.log(kept / (1 - kept)))


def save_radiomics_model(model: RadiomicsModel, path: Path) -> None:
    """Write the file by atomic rename."""
    write_text(path, model.model_dump_json())


def load_radiomics_model(path: Path) -> RadiomicsModel:
    """Read and check a file.

    Raises:
        BundleError: It is unreadable, too large, or no radiomics model.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise BundleError(f"{path.name} is larger than a radiomics model can be ({MAX_BYTES >> 20} MiB).")
        return RadiomicsModel.model_validate_json(path.read_bytes())
    except OSError as error:
        raise BundleError(f"The radiomics model cannot be read: {error.strerror or 'no such file'}.") from error
    except ValidationError as error:
        raise BundleError(f"{path.name} is no radiomics model: {fault(error)}.") from error


def fault(error: ValidationError) -> str:
    """The first fault of a file in a few words."""
    first = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    words = str(first["msg"]).removeprefix("Value error, ")
    return f"{place}: {words}" if place else words


def _leaves(tree: Tree, scaled: npt.NDArray[Any]) -> Array:
    feature, threshold = np.asarray(tree.feature), np.asarray(tree.threshold)
    left, right = np.asarray(tree.left), np.asarray(tree.right)
    node = np.zeros(len(scaled), dtype=np.int64)
    while (going := np.flatnonzero(feature[node] != LEAF)).size:
        at = node[going]
        goes_left = scaled[going, feature[at]] <= threshold[at]
        node[going] = np.where(goes_left, left[at], right[at])
    return np.asarray(tree.share)[node]
