"""Points and classes of R.E.N.A.L., PADUA and the C-index from measured values; no image is touched here.

R.E.N.A.L.: Kutikov and Uzzo 2009. PADUA: Ficarra 2009. C-index: Simmons 2010.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from ..errors import ConfigurationError

R_CUTS_MM = (40.0, 70.0)
N_CUTS_MM = (7.0, 4.0)
E_CUT = 0.5

LABELS = {
    "R": ("<=4 cm", ">4 to <7 cm", ">=7 cm"),
    "E": (">=50 % exophytic", "<50 % exophytic", "entirely endophytic"),
    "N": (">=7 mm", ">4 to <7 mm", "<=4 mm"),
    "L": (
        "outside the polar lines",
        "crosses a polar line",
        "over half across, between the lines or across the midline",
    ),
}
SUFFIXES = {"anterior": "a", "posterior": "p", "neither": "x"}
DIAMETERS = ("plane", "axial", "space")
POLAR_AXES = ("patient", "kidney")


@dataclass(frozen=True)
class NephrometryOptions:
    """Definitions where publications differ, and how finely is measured.

    Attributes:
        diameter: What scores R: the largest diameter in any single axial, coronal or sagittal ``plane`` (Kutikov and
            Uzzo), in ``axial`` planes, or in ``space``.
        band_mm: A is "neither" up to this distance on either side of the kidney's coronal plane (published: 10 and 5).
        endophytic_tolerance: Share of the volume that may lie outside an entirely endophytic lesion.
        polar_axis: Polar lines across the ``patient``'s long axis or across the ``kidney``'s.
        contact_mm: Surfaces nearer than this touch (h, PADUA's sinus and collecting system).
        contrast_hu: Urine with contrast in the excretory phase is brighter.
        step_mm: Grid of the measurements; coarser for giant tumours.
    """

    diameter: str = "plane"
    band_mm: float = 10.0
    endophytic_tolerance: float = 0.05
    polar_axis: str = "patient"
    contact_mm: float = 1.0
    contrast_hu: float = 250.0
    step_mm: float = 1.0

    def __post_init__(self) -> None:
        if self.diameter not in DIAMETERS or self.polar_axis not in POLAR_AXES:
            raise ConfigurationError(
                f"The diameter must be one of {', '.join(DIAMETERS)} and the polar axis one of "
                f"{', '.join(POLAR_AXES)}; found {self.diameter!r} and {self.polar_axis!r}."
            )
        limits = {"band_mm": (0, 40), "endophytic_tolerance": (0, 0.49), "contact_mm": (0, 10),
                  "contrast_hu": (100, 3000), "step_mm": (0.5, 3)}  # fmt: skip
        for name, (low, high) in limits.items():
            if not low <= getattr(self, name) <= high:
                raise ConfigurationError(
                    f"{name} must lie between {low:g} and {high:g}, but it is {getattr(self, name):g}."
                )

    def described(self) -> dict[str, str]:
        """Every option as text."""
        return {name: f"{value:g}" if isinstance(value, float) else str(value) for name, value in asdict(self).items()}


@dataclass(frozen=True)
class PolarExtent:
    """A lesion against the polar lines, all in mm along the axis of the lines.

    Attributes:
        lower, upper: Polar lines.
        low, high: Ends of the lesion.
        between: Share of its volume between the lines.
    """

    lower: float
    upper: float
    low: float
    high: float
    between: float

    @property
    def middle(self) -> float:
        """The midline, halfway between the polar lines."""
        return (self.lower + self.upper) / 2

    @property
    def reach(self) -> float:
        """How far the lesion reaches past a polar line towards the midline; negative: the gap."""
        return min(self.high - self.lower, self.upper - self.low)

    @property
    def depth(self) -> float:
        """Positive when one criterion of three points holds; how clearly, in mm."""
        over_half = (self.between - 0.5) * (self.high - self.low)
        across_middle = min(self.high - self.middle, self.middle - self.low)
        wholly_between = min(self.low - self.lower, self.upper - self.high)
        return max(over_half, across_middle, wholly_between)

    @property
    def points(self) -> int:
        """L."""
        if self.reach <= 0:
            return 1
        return 3 if self.depth > 0 else 2

    @property
    def margin(self) -> float:
        """Distance to the nearest change of points."""
        if self.points == 1:
            return -self.reach
        return self.depth if self.points == 3 else min(self.reach, -self.depth)


def r_points(diameter_mm: float) -> int:
    """R: <= 40 mm 1, up to 70 mm 2, from 70 mm 3."""
    return 1 + (diameter_mm > R_CUTS_MM[0]) + (diameter_mm >= R_CUTS_MM[1])


def e_points(outside: float, tolerance: float) -> int:
    """E from the share outside the native outline: at least half 1, less 2, none but the tolerance 3."""
    if outside >= E_CUT:
        return 1
    return 2 if outside > tolerance else 3


def n_points(distance_mm: float) -> int:
    """N: from 7 mm 1, above 4 mm 2, up to 4 mm 3."""
    return 1 + (distance_mm < N_CUTS_MM[0]) + (distance_mm <= N_CUTS_MM[1])


def a_label(front_mm: float, band_mm: float) -> str:
    """A from the distance in front of the kidney's coronal plane."""
    if abs(front_mm) <= band_mm:
        return "neither"
    return "anterior" if front_mm > 0 else "posterior"


def nearest(value: float, cuts: tuple[float, ...]) -> float:
    """Distance of a value from the nearest cut-off."""
    return min(abs(value - cut) for cut in cuts)


def renal_complexity(score: int) -> str:
    """4 to 6 low, 7 to 9 moderate, 10 to 12 high."""
    return "low" if score <= 6 else "moderate" if score <= 9 else "high"


def renal_text(score: int, face: str, hilar: bool) -> str:
    """For instance ``7a`` or ``10ph``."""
    return f"{score}{SUFFIXES[face]}{'h' if hilar else ''}"


def padua_complexity(score: int) -> str:
    """6 to 7 low, 8 to 9 intermediate, 10 and more high."""
    return "low" if score <= 7 else "intermediate" if score <= 9 else "high"


def padua_size_points(diameter_mm: float) -> int:
    """Up to 4 cm 1, 4.1 to 7 cm 2, more 3."""
    return 1 + (diameter_mm > R_CUTS_MM[0]) + (diameter_mm > R_CUTS_MM[1])


def shares(counts: Mapping[str, float]) -> dict[str, float]:
    """Probabilities of counted outcomes, each with a third of a count before anything was seen."""
    total = sum(counts.values()) + len(counts) / 3
    return {name: round((count + 1 / 3) / total, 4) for name, count in counts.items()}
