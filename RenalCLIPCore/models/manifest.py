"""``bundle.yaml``: what a model bundle says about itself. Unknown keys are refused."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from collections import Counter
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from ..errors import BundleError

FORMAT_VERSION: Literal["1.0"] = "1.0"
MANIFEST_FILE = "bundle.yaml"
MAX_MANIFEST_BYTES = 4 << 20
MAX_ROI_VOXELS = 1 << 25

Words = Annotated[str, Field(min_length=1, max_length=4000)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$")]
TaskName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,49}$")]
Probability = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Fusion = Literal["random-phase", "arterial-else-venous"]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Architecture(_Part):
    """The encoder's size. ``embedding_dim`` 0: no image-text projection (no zero-shot reading, no neighbours)."""

    network: Literal["resnet18-3d-type-a"] = "resnet18-3d-type-a"
    width: Annotated[int, Field(ge=1, le=512)] = 64
    embedding_dim: Annotated[int, Field(ge=0, le=65536)] = 4096


class Preprocessing(_Part):
    """What the networks were trained on; the fields of ``imaging.roi.RoiSpec``."""

    size_mm: tuple[Positive, Positive, Positive] = (140.0, 140.0, 160.0)
    shape: tuple[int, int, int] = (140, 140, 32)
    window_hu: tuple[Finite, Finite] = (-200.0, 300.0)
    input_shape: tuple[int, int, int] = (128, 128, 32)
    pad_hu: Finite = -1000.0

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.window_hu[0] >= self.window_hu[1]:
            raise ValueError("window_hu must rise")
        if any(crop < 1 or crop > full or full > 1024 for crop, full in zip(self.input_shape, self.shape, strict=True)):
            raise ValueError("input_shape must be positive and fit into shape, and shape into 1024")
        if math.prod(self.shape) > MAX_ROI_VOXELS:
            raise ValueError(f"shape must have at most {MAX_ROI_VOXELS} voxels")
        return self


class Task(_Part):
    """One task and how its numbers are to be read.

    Attributes:
        name: For instance ``renal_r``, ``malignancy`` or ``rfs``.
        kind: ``classification`` or ``survival``.
        classes: In the order of the logits; empty for survival.
        points: R.E.N.A.L. points of the classes, or empty.
        hidden: Hidden units of the head; 0 for a linear one.
        own_encoder: Whether the task has an encoder of its own (``encoders/NAME.safetensors``).
        temperature: The fused logits are divided by it.
        temperature_source: How it was obtained.
        threshold: Of the positive class's probability, for tasks of two classes.
        threshold_source: How it was obtained.
    """

    name: TaskName
    kind: Literal["classification", "survival"] = "classification"
    classes: tuple[Words, ...] = ()
    points: tuple[Annotated[int, Field(ge=0, le=3)], ...] = ()
    hidden: Annotated[int, Field(ge=0, le=65536)] = 128
    own_encoder: bool = False
    temperature: Positive = 1.0
    temperature_source: Words = "not calibrated"
    threshold: Probability = 0.5
    threshold_source: Words = "0.5, not tuned"

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.kind == "classification" and len(self.classes) < 2:
            raise ValueError("a classification task needs at least two classes")
        if self.kind == "survival" and (self.classes or self.points or not self.hidden):
            raise ValueError("a survival task has hidden units, but neither classes nor points")
        if len(set(self.classes)) != len(self.classes):
            raise ValueError("class names must differ")
        if self.points and len(self.points) != len(self.classes):
            raise ValueError("points must be given for every class or for none")
        return self


class Risk(_Part):
    """What turns the survival task's score into a group and a curve.

    Attributes:
        task: The survival task, ``rfs``.
        endpoint: In words.
        cohort: The cohort that everything here comes from.
        median: Its median score; above it is the high-risk group.
        months: Times, rising.
        baseline_cumulative_hazard: Breslow estimate at ``months``; survival is exp(-H0(t) exp(score)).
        survival_low: Kaplan-Meier curve of the low-risk group at ``months``.
        survival_high: The same of the high-risk group.
    """

    task: TaskName = "rfs"
    endpoint: Words = "recurrence-free survival"
    cohort: Words
    median: Finite
    months: tuple[Finite, ...] = Field(min_length=1, max_length=2000)
    baseline_cumulative_hazard: tuple[Finite, ...]
    survival_low: tuple[Probability, ...]
    survival_high: tuple[Probability, ...]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        curves = (self.baseline_cumulative_hazard, self.survival_low, self.survival_high)
        if any(len(curve) != len(self.months) for curve in curves):
            raise ValueError("every curve needs one value per month listed")
        if self.months[0] < 0 or not _rising(self.months, strictly=True):
            raise ValueError("months must rise from 0 or later")
        if self.baseline_cumulative_hazard[0] < 0 or not _rising(self.baseline_cumulative_hazard):
            raise ValueError("the cumulative hazard must not fall or be negative")
        if not all(_rising(curve[::-1]) for curve in (self.survival_low, self.survival_high)):
            raise ValueError("a survival curve must not rise")
        return self


class OutOfDistributionRule(_Part):
    """The distance from the training features (``statistics.safetensors``) from which a case is flagged."""

    threshold: Positive
    percentile: Annotated[float, Field(gt=0.0, le=100.0)]
    source: Words


class SliceForm(_Part):
    """What a multi-phase network was trained on; the fields of ``imaging.lesion_slice.SliceSpec``."""

    spacing_mm: Positive = 0.625
    size: Annotated[int, Field(ge=32, le=1024)] = 224
    window_hu: tuple[Finite, Finite] = (-500.0, 500.0)
    pad_hu: Finite = -1000.0

    @model_validator(mode="after")
    def _rising(self) -> Self:
        if self.window_hu[0] >= self.window_hu[1]:
            raise ValueError("window_hu must rise")
        return self


class MultiphaseEntry(_Part):
    """A multi-phase 2-D network (Xiong et al. 2025), ``multiphase/TASK.safetensors``.

    Attributes:
        task: Of two classes; ``hidden`` and ``own_encoder`` say nothing here.
        phases: Letters of the phases that it reads, in the order N, A, V, D.
        any_subset: Whether it was trained to read any of them that are there; else it needs all.
        fusion: How the phases' features come together.
        width: Channels of the first stage of each branch.
        slices: How its input is cut.
    """

    task: Task
    phases: Annotated[str, Field(min_length=1, pattern=r"^N?A?V?D?$")] = "NAV"
    any_subset: bool = False
    fusion: Literal["cross-attention", "concatenation"] = "cross-attention"
    width: Annotated[int, Field(ge=1, le=512)] = 64
    slices: SliceForm = SliceForm()

    @model_validator(mode="after")
    def _two_classes(self) -> Self:
        if len(self.task.classes) != 2:
            raise ValueError("a multi-phase network tells two classes apart")
        return self


class BundleManifest(_Part):
    """A bundle's manifest. ``files`` (relative path -> SHA-256) is filled in when a bundle is written.

    ``training_groups`` are digests of the groups of patients that it was learnt from, so that an evaluation can tell
    whether it meets them again.
    """

    format_version: Literal["1.0"] = FORMAT_VERSION
    name: Name
    version: Name
    created: Words
    architecture: Architecture = Architecture()
    preprocessing: Preprocessing = Preprocessing()
    fusion: Fusion
    tasks: tuple[Task, ...] = ()
    risk: Risk | None = None
    out_of_distribution: OutOfDistributionRule | None = None
    prompts: bool = False
    index: bool = False
    segmentation: bool = False
    report: bool = False
    multiphase: tuple[MultiphaseEntry, ...] = ()
    phantom_trained: bool = False
    intended_use: Words = "Research only. Not for clinical use."
    licence: Words
    training_data: Words
    training_groups: tuple[Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")], ...] = ()
    files: dict[str, Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]] = Field(default_factory=dict)

    @field_validator("files")
    @classmethod
    def _inside(cls, files: dict[str, str]) -> dict[str, str]:
        for path in files:
            if not is_inside(path):
                raise ValueError(f"the path {path!r} leaves the bundle's folder")
        return files

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        repeated = [name for name, count in Counter(task.name for task in self.tasks).items() if count > 1]
        if repeated:
            raise ValueError(f"the task {repeated[0]!r} is listed twice")
        twice = [name for name, count in Counter(item.task.name for item in self.multiphase).items() if count > 1]
        if twice:
            raise ValueError(f"multiphase lists the task {twice[0]!r} twice")
        if self.risk and not any(t.name == self.risk.task and t.kind == "survival" for t in self.tasks):
            raise ValueError(f"risk names the survival task {self.risk.task!r}, which is not among the tasks")
        if (self.prompts or self.index) and not self.architecture.embedding_dim:
            raise ValueError("prompts and an index need an encoder with a projection (embedding_dim above 0)")
        return self

    def task(self, name: str) -> Task | None:
        """The task of that name, or None."""
        return next((task for task in self.tasks if task.name == name), None)

    @property
    def capabilities(self) -> tuple[str, ...]:
        """What the bundle can do: its tasks, then the parts it carries."""
        parts = {
            "recurrence_curve": self.risk is not None,
            "zero_shot": self.prompts,
            "neighbours": self.index,
            "out_of_distribution": self.out_of_distribution is not None,
            "segmentation": self.segmentation,
            "report": self.report,
            "multiphase": bool(self.multiphase),
        }
        return (*(task.name for task in self.tasks), *(part for part, there in parts.items() if there))

    @property
    def sha256(self) -> str:
        """Hash over the manifest's canonical JSON, and through ``files`` over every file."""
        text = json.dumps(self._content(), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()

    def to_yaml(self) -> str:
        """The text of ``bundle.yaml``."""
        return yaml.dump(self._content(), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)

    def _content(self) -> dict[str, Any]:
        """The fields; without later parts as in bundles from before there were any."""
        content = self.model_dump(mode="json")
        for part in ("report", "multiphase", "training_groups"):
            if not getattr(self, part):
                del content[part]
        return content

    @staticmethod
    def from_yaml(text: str) -> BundleManifest:
        """Read the text of ``bundle.yaml``.

        Raises:
            BundleError: No YAML, an unknown or missing key, or an impossible value; the message names the first one.
        """
        try:
            data = yaml.load(text, Loader=_Loader)
            return BundleManifest.model_validate(data)
        except ValidationError as error:
            raise BundleError(f"{MANIFEST_FILE} cannot be used: {_first(error)}.") from error
        except (yaml.YAMLError, RecursionError, ValueError) as error:
            raise BundleError(f"{MANIFEST_FILE} is not valid YAML; take an undamaged copy of the bundle.") from error


def read_manifest(folder: Path) -> BundleManifest:
    """Read ``bundle.yaml`` alone.

    Raises:
        BundleError: It is missing, too large, or malformed.
    """
    path = folder / MANIFEST_FILE
    try:
        if path.stat().st_size > MAX_MANIFEST_BYTES:
            raise BundleError(f"{MANIFEST_FILE} is larger than {MAX_MANIFEST_BYTES >> 20} MB and is not read.")
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise BundleError(f"A bundle is a folder with {MANIFEST_FILE}, but {folder.name!r} has none.") from error
    except UnicodeDecodeError as error:
        raise BundleError(f"{MANIFEST_FILE} is not UTF-8 text; take an undamaged copy of the bundle.") from error
    return BundleManifest.from_yaml(text)


class _Loader(yaml.SafeLoader):
    """Plain YAML without aliases, which could make a small text expand without bound."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.events.AliasEvent):
            raise yaml.YAMLError("aliases are not allowed")
        return super().compose_node(parent, index)


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def is_inside(path: str) -> bool:
    """Whether a relative POSIX path stays in its folder."""
    parts = PurePosixPath(path).parts
    plain = bool(parts) and "\\" not in path and "\0" not in path and ":" not in path
    return plain and path == "/".join(parts) and not path.startswith("/") and ".." not in parts


def _first(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(part) for part in first["loc"]) or "top level"
    return f"{place}: {first['msg'].removeprefix('Value error, ')}".rstrip(".")


def _rising(values: tuple[float, ...], *, strictly: bool = False) -> bool:
    return all(a < b if strictly else a <= b for a, b in itertools.pairwise(values))
