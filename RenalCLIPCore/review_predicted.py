"""What a review says of the network's reading of a lesion. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass, field

from .review_study import Absent, Point


@dataclass(frozen=True)
class ClassProbability:
    """One class of a task: its name, R.E.N.A.L. points (0 where it carries none) and probability."""

    name: str
    points: int
    probability: float


@dataclass(frozen=True)
class ComponentPrediction:
    """A predicted R.E.N.A.L. component (``R``, ``E``, ``N``, ``A``, ``L`` or ``h``).

    Attributes:
        component: Letter of the component.
        classes: All classes, in the order of the bundle.
        predicted: Index of the most probable class.
        per_phase: Probabilities of the classes from each phase alone.
    """

    component: str
    classes: tuple[ClassProbability, ...]
    predicted: int
    per_phase: dict[str, tuple[float, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class NephrometryTotal:
    """Sum of the points of R, E, N and L from the most probable classes, with its suffix and complexity.

    Attributes:
        score: 4 to 12.
        text: For instance ``7a``.
        complexity: ``low`` (4-6), ``moderate`` (7-9) or ``high`` (10-12).
        complexity_probabilities: Of the three, with the components taken as independent.
    """

    score: int
    text: str
    complexity: str
    complexity_probabilities: dict[str, float]


@dataclass(frozen=True)
class BinaryPrediction:
    """A probability of the positive class, the threshold that the bundle states and where both come from."""

    task: str
    positive: str
    negative: str
    probability: float
    threshold: float
    calibration: str
    per_phase: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class RiskPrediction:
    """Recurrence risk from the Cox model.

    Attributes:
        score: Log relative hazard.
        group: ``high`` when the score exceeds the cohort's median, else ``low``.
        cohort_median: The stored median.
        cohort: The cohort that it and the curves come from.
        months: Times of the curves.
        survival: Recurrence-free probability of this case.
        survival_low: The cohort's low-risk group.
        survival_high: The cohort's high-risk group.
    """

    score: float
    group: str
    cohort_median: float
    cohort: str
    months: tuple[float, ...]
    survival: tuple[float, ...]
    survival_low: tuple[float, ...]
    survival_high: tuple[float, ...]


@dataclass(frozen=True)
class PromptMatch:
    """A prompt of a class and its cosine similarity with the lesion."""

    class_name: str
    prompt: str
    similarity: float


@dataclass(frozen=True)
class ZeroShotReading:
    """Zero-shot reading of one task by maximum similarity (the paper's first strategy).

    ``score`` is the maximum similarity of the positive class minus that of the negative; ``share_positive`` is the
    share of random single-prompt draws that favour the positive class.
    """

    task: str
    positive: str
    negative: str
    score: float
    share_positive: float
    best: tuple[PromptMatch, ...]


@dataclass(frozen=True)
class Neighbour:
    """A similar case of the bundle's index: cosine similarity and the facts that may be shown, no patient data."""

    case_id: str
    similarity: float
    facts: dict[str, str]


@dataclass(frozen=True)
class Explanation:
    """3-D Grad-CAM of one task.

    Attributes:
        task: Task and class that it explains.
        method: For instance ``Grad-CAM, last stage``.
        file: Map in patient space, 0 to 1.
        peak_lps_mm: Position of the maximum.
        share_in_lesion: Share of the map's mass inside the lesion's mask.
    """

    task: str
    method: str
    file: str
    peak_lps_mm: Point
    share_in_lesion: float | Absent


@dataclass(frozen=True)
class TaskSpread:
    """Standard deviation of one task's probability (of the most probable class) from three sources."""

    task: str
    over_phases: float | Absent
    over_augmentations: float
    over_centres: float


@dataclass(frozen=True)
class Uncertainty:
    """How much the reading moves when phases, augmentations and the centre do.

    Attributes:
        tasks: One entry per task.
        augmentations: Number of test-time augmentations.
        centres: Number of jittered centres.
        jitter_mm: Standard deviation of the jitter of the centre.
    """

    tasks: tuple[TaskSpread, ...]
    augmentations: int
    centres: int
    jitter_mm: float


@dataclass(frozen=True)
class OutOfDistribution:
    """Distance of the case from the bundle's training features, against the stored threshold."""

    distance: float
    threshold: float
    flagged: bool
    method: str


@dataclass(frozen=True)
class Predicted:
    """What the bundle says about one lesion."""

    phases_used: tuple[str, ...]
    fusion: str
    components: tuple[ComponentPrediction, ...] | Absent
    total: NephrometryTotal | Absent
    malignancy: BinaryPrediction | Absent
    aggressiveness: BinaryPrediction | Absent
    recurrence: RiskPrediction | Absent
    zero_shot: tuple[ZeroShotReading, ...] | Absent
    neighbours: tuple[Neighbour, ...] | Absent
    out_of_distribution: OutOfDistribution | Absent
    explanation: tuple[Explanation, ...] | Absent
    uncertainty: Uncertainty | Absent


@dataclass(frozen=True)
class Predecessor:
    """What the multi-phase 2-D network of Xiong et al. 2025 says about one lesion, beside RenalCLIP.

    Attributes:
        phases_used: Phases that its networks read.
        phases_missing: Phases that they were trained with and that the study lacks.
        malignancy: Its probability, with each phase's own where it reads single phases.
        aggressiveness: The same.
        score: Aggressiveness score from 0 to 10, ten times the probability of an aggressive lesion.
        agreement: Per task that both systems read: ``agree`` or ``disagree`` on the side of their thresholds.
        slice_centre_lps_mm: Middle of the axial slice that was read.
        explanation: Class activation maps on that slice.
    """

    phases_used: tuple[str, ...]
    phases_missing: tuple[str, ...]
    malignancy: BinaryPrediction | Absent
    aggressiveness: BinaryPrediction | Absent
    score: float | Absent
    agreement: dict[str, str]
    slice_centre_lps_mm: Point
    explanation: tuple[Explanation, ...] | Absent
