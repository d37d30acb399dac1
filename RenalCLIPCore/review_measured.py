"""What a review says of a lesion measured from the masks. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass, field

from .review_predicted import NephrometryTotal
from .review_study import Absent, Point


@dataclass(frozen=True)
class EvidencePlane:
    """A plane in patient space: a point on it and its unit normal (LPS)."""

    name: str
    point_lps_mm: Point
    normal_lps: Point


@dataclass(frozen=True)
class EvidenceSegment:
    """A straight distance that was measured, with its two ends."""

    name: str
    start_lps_mm: Point
    end_lps_mm: Point


@dataclass(frozen=True)
class EvidencePoint:
    """A point that a measurement starts from."""

    name: str
    lps_mm: Point


@dataclass(frozen=True)
class EvidenceShell:
    """A surface as triangles; ``triangles`` are indices into ``vertices_lps_mm``."""

    name: str
    vertices_lps_mm: tuple[Point, ...]
    triangles: tuple[tuple[int, int, int], ...]


@dataclass(frozen=True)
class Evidence:
    """What a viewer draws to show a measurement."""

    planes: tuple[EvidencePlane, ...] = ()
    segments: tuple[EvidenceSegment, ...] = ()
    points: tuple[EvidencePoint, ...] = ()
    shells: tuple[EvidenceShell, ...] = ()


@dataclass(frozen=True)
class MeasuredComponent:
    """A nephrometry component measured from the masks: value with unit, points, and margin to the nearest cut-off.

    Attributes:
        component: Letter of the component (``h`` too, which then says "not assessed" without a vessel mask).
        value: What was measured.
        unit: Of ``value`` and ``margin``; empty where the label says all.
        points: 1 to 3, 0 for A and h.
        label: The class in words, as the predicted classes have it.
        margin: Distance of ``value`` from the nearest cut-off.
        point_probabilities: Per points (R, E, N, L) or label (A, h), when the masks vary as annotators do.
        source: What the value was measured on.
        notes: Assumptions and disagreements between definitions.
        confidence: 0 to 1; lowered by what the notes name (kidney cut off or deformed, modelled sinus, thick slices).
        variants: Values of other published definitions, by name.
        evidence: Geometry behind the value.
    """

    component: str
    value: float
    unit: str
    points: int
    label: str
    margin: float
    point_probabilities: dict[str, float]
    source: str
    notes: tuple[str, ...] = ()
    confidence: float = 1.0
    variants: dict[str, float] = field(default_factory=dict)
    evidence: Evidence = field(default_factory=Evidence)


@dataclass(frozen=True)
class ScoreItem:
    """One item of a score: its name, the class in words and its points."""

    name: str
    label: str
    points: int


@dataclass(frozen=True)
class PaduaScore:
    """PADUA (Ficarra 2009): 6 to 14; ``complexity`` low (6-7), intermediate (8-9) or high (10 and more)."""

    score: int
    text: str
    complexity: str
    items: tuple[ScoreItem, ...]


@dataclass(frozen=True)
class CentralityIndex:
    """C-index (Simmons 2010): distance of the centres of tumour and kidney over the tumour's radius.

    Attributes:
        value: 0 is concentric, 1 touches the kidney's centre with its edge.
        axial_mm: Part of the distance within the axial plane.
        longitudinal_mm: Part along the patient's long axis.
        radius_mm: Half of the scored diameter.
        evidence: Both centres and the segment.
    """

    value: float
    axial_mm: float
    longitudinal_mm: float
    radius_mm: float
    evidence: Evidence = field(default_factory=Evidence)


@dataclass(frozen=True)
class Measured:
    """Nephrometry measured from the masks.

    Attributes:
        components: R, E, N, A, L and h.
        total: Points of R, E, N and L with suffix and complexity.
        notes: What holds for the whole measurement.
        padua: PADUA score.
        centrality: C-index.
        confidence: The smallest of the components that score.
        options: The definitions used where publications differ.
        evidence: The kidney's frame and reconstructed outline, which all components share.
    """

    components: tuple[MeasuredComponent, ...]
    total: NephrometryTotal | Absent
    notes: tuple[str, ...] = ()
    padua: PaduaScore | Absent = field(default_factory=lambda: Absent("PADUA was not measured."))
    centrality: CentralityIndex | Absent = field(default_factory=lambda: Absent("The C-index was not measured."))
    confidence: float = 1.0
    options: dict[str, str] = field(default_factory=dict)
    evidence: Evidence = field(default_factory=Evidence)
