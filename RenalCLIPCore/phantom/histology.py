"""Histology, the attributes of a lesion given its histology, and the exact posterior that they allow.

The model is hierarchical: histology is drawn from a prior; given the histology, each attribute is an independent
Gaussian on its latent scale, without truncation. A visible quantity is a strictly increasing function of its latent
value (a bounded logistic, an exponential or the identity), so that Bayes' rule in closed form is the best that any
reader of the true attributes can do. A latent value that is not known is NaN, and takes no part.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from ..errors import ConfigurationError
from .streams import stream


class Histology(StrEnum):
    """Histologic type, with the grade where it decides the group."""

    CLEAR_CELL_LOW = "clear cell, low grade"
    CLEAR_CELL_HIGH = "clear cell, high grade"
    PAPILLARY_LOW = "papillary, low grade"
    PAPILLARY_HIGH = "papillary, high grade"
    CHROMOPHOBE = "chromophobe"
    ONCOCYTOMA = "oncocytoma"
    ANGIOMYOLIPOMA = "angiomyolipoma"
    FAT_POOR_ANGIOMYOLIPOMA = "fat-poor angiomyolipoma"
    COMPLEX_CYST = "complex cyst"

    @property
    def malignant(self) -> bool:
        """Whether it belongs to one of the two malignant groups."""
        return self not in BENIGN

    @property
    def aggressive(self) -> bool:
        """Whether it is malignant aggressive (high grade)."""
        return self in AGGRESSIVE

    @property
    def group(self) -> str:
        """``benign indolent``, ``malignant indolent`` or ``malignant aggressive``."""
        if self.aggressive:
            return "malignant aggressive"
        return "malignant indolent" if self.malignant else "benign indolent"


H = Histology
BENIGN = frozenset({H.ONCOCYTOMA, H.ANGIOMYOLIPOMA, H.FAT_POOR_ANGIOMYOLIPOMA, H.COMPLEX_CYST})
AGGRESSIVE = frozenset({H.CLEAR_CELL_HIGH, H.PAPILLARY_HIGH})

# Proportions near the surgical cohort of the RenalCLIP paper (Extended Data Table 1): mostly clear cell, about a
# quarter benign, about a quarter aggressive.
PRIOR: Mapping[Histology, float] = {
    H.CLEAR_CELL_LOW: 0.36,
    H.CLEAR_CELL_HIGH: 0.19,
    H.PAPILLARY_LOW: 0.07,
    H.PAPILLARY_HIGH: 0.06,
    H.CHROMOPHOBE: 0.08,
    H.ONCOCYTOMA: 0.05,
    H.ANGIOMYOLIPOMA: 0.06,
    H.FAT_POOR_ANGIOMYOLIPOMA: 0.06,
    H.COMPLEX_CYST: 0.07,
}

ATTRIBUTES = (
    "size", "native", "arterial", "venous", "delayed", "heterogeneity", "necrosis", "irregularity", "fat",
    "calcification", "invasion",
)  # fmt: skip

# Mean and standard deviation per attribute, in the order of ATTRIBUTES, on the latent scale:
#   size: logit of (diameter - 16) / 84 mm; native: HU without contrast; arterial, venous, delayed: HU above native;
#   heterogeneity: log of the texture's standard deviation in HU; necrosis, fat: logit of the fraction;
#   irregularity: log of the relative radial amplitude; calcification: logit of the fraction of its largest size;
#   invasion: a score.
Rows = Mapping[Histology, tuple[tuple[float, float], ...]]
MODEL: Rows = {
    # Birnbaum 2007, Young 2013: corticomedullary enhancement about 100 HU or more, washout later; Lane 2007: necrosis,
    # size and irregular margins rise with grade.
    H.CLEAR_CELL_LOW: ((-1.0, 1.0), (34, 7), (100, 34), (84, 24), (55, 17), (2.6, 0.5), (-2.8, 1.2), (-3.2, 0.7),
                       (-5.6, 0.6), (-3.0, 1.5), (-0.5, 1.0)),
    H.CLEAR_CELL_HIGH: ((-0.3, 1.1), (35, 7), (90, 36), (78, 25), (54, 18), (2.9, 0.5), (-2.1, 1.2), (-2.8, 0.7),
                        (-5.6, 0.6), (-2.7, 1.5), (0.3, 1.0)),
    # Herts 2002, Young 2013: hypovascular and homogeneous, 20 to 40 HU, slowly rising.
    H.PAPILLARY_LOW: ((-1.1, 1.0), (36, 8), (30, 15), (40, 15), (39, 13), (2.1, 0.5), (-2.9, 1.2), (-3.4, 0.7),
                      (-5.6, 0.6), (-2.6, 1.5), (-0.6, 1.0)),
    H.PAPILLARY_HIGH: ((-0.4, 1.1), (36, 8), (35, 16), (44, 16), (42, 14), (2.5, 0.5), (-2.2, 1.2), (-2.9, 0.7),
                       (-5.6, 0.6), (-2.4, 1.5), (0.3, 1.0)),
    # Raman 2013, Young 2013: between papillary and clear cell, homogeneous.
    H.CHROMOPHOBE: ((-0.6, 1.1), (36, 7), (60, 26), (62, 20), (47, 15), (2.3, 0.5), (-2.9, 1.2), (-3.5, 0.7),
                    (-5.6, 0.6), (-2.7, 1.5), (-0.7, 1.0)),
    # Bird 2011, Young 2013: nearly as vascular as clear cell with faster washout; a scar rather than necrosis.
    H.ONCOCYTOMA: ((-1.2, 1.0), (36, 6), (94, 30), (92, 24), (50, 15), (2.3, 0.5), (-3.0, 1.2), (-3.7, 0.7),
                   (-5.6, 0.6), (-3.3, 1.5), (-0.9, 1.0)),
    # Simpson 1997, Kim 2004: macroscopic fat below -20 HU; the soft tissue between it enhances.
    H.ANGIOMYOLIPOMA: ((-1.2, 1.0), (38, 8), (70, 28), (64, 23), (44, 16), (2.6, 0.5), (-3.6, 1.2), (-3.6, 0.7),
                       (-1.4, 1.1), (-3.8, 1.5), (-0.9, 1.0)),
    # Jinzaki 1997, Kim 2004: hyperdense without contrast, homogeneous, moderate and prolonged enhancement.
    H.FAT_POOR_ANGIOMYOLIPOMA: ((-1.6, 1.0), (41, 7), (74, 28), (72, 22), (54, 16), (2.1, 0.5), (-3.4, 1.2),
                                (-3.6, 0.7), (-5.1, 0.7), (-3.6, 1.5), (-0.9, 1.0)),
    # Bosniak 2019 (Silverman): fluid with little measurable enhancement, smooth outline.
    H.COMPLEX_CYST: ((-1.0, 1.0), (23, 9), (14, 12), (17, 12), (17, 12), (1.9, 0.5), (-3.2, 1.2), (-3.8, 0.7),
                     (-5.6, 0.6), (-2.6, 1.5), (-0.9, 1.0)),
}  # fmt: skip

# Latent sizes of measured lesions stay within these; drawn ones go beyond in a few of 10,000.
SIZE_LIMIT = 3.5

# Log hazard per unit of each term; the sum is centred so that the typical malignant tumour has 0 (Zigeuner 2010 and the
# Leibovich score: size, grade and necrosis carry the risk).
HAZARD_SIZE, HAZARD_GRADE, HAZARD_NECROSIS, HAZARD_INVASION, HAZARD_CENTRE = 0.5, 1.0, 0.35, 0.5, 0.0
WEIBULL_SHAPE, WEIBULL_SCALE_MONTHS = 1.1, 150.0
CENSORING_MONTHS = (12.0, 108.0)


@dataclass(frozen=True)
class Attributes:
    """Latent attributes of one lesion (see ``MODEL`` for the scales) and the quantities they stand for."""

    size: float
    native: float
    arterial: float
    venous: float
    delayed: float
    heterogeneity: float
    necrosis: float
    irregularity: float
    fat: float
    calcification: float
    invasion: float

    @property
    def diameter_mm(self) -> float:
        """Diameter of the sphere of equal volume before irregularity, 16 to 100 mm."""
        return 16.0 + 84.0 * _logistic(self.size)

    @property
    def texture_hu(self) -> float:
        """Standard deviation of the texture in the enhanced phases."""
        return float(np.exp(self.heterogeneity))

    @property
    def necrosis_fraction(self) -> float:
        """Share of the volume that does not enhance."""
        return _logistic(self.necrosis)

    @property
    def fat_fraction(self) -> float:
        """Share of the volume that is fat."""
        return _logistic(self.fat)

    @property
    def margin_irregularity(self) -> float:
        """Relative radial amplitude of the surface, at most 0.12."""
        return 0.12 * _logistic(self.irregularity + 2.3)

    @property
    def calcification_mm(self) -> float:
        """Radius of the calcification; below 1 mm it is not visible."""
        return 5.0 * _logistic(self.calcification)

    @property
    def vein_invasion(self) -> float:
        """How far the renal vein is filled by tumour, 0 to 1."""
        return _logistic(3.0 * (self.invasion - 1.2))

    def vector(self) -> np.ndarray:
        """Latent values in the order of ``ATTRIBUTES``."""
        return np.array([getattr(self, name) for name in ATTRIBUTES])


@dataclass(frozen=True)
class Recurrence:
    """Recurrence-free survival of a malignant case: months, whether recurrence was seen, and the true log hazard."""

    months: float
    event: bool
    log_hazard: float


@dataclass(frozen=True)
class Oracle:
    """Exact posterior given all true attributes, and the true log hazard (None for benign cases)."""

    malignant: float
    aggressive: float
    log_hazard: float | None


def checked_prior(prior: Mapping[Histology, float] | None) -> dict[Histology, float]:
    """The prior, normalised; ``None`` gives the default.

    Raises:
        ConfigurationError: A weight is negative or all are zero.
    """
    weights = {h: float((PRIOR if prior is None else prior).get(h, 0.0)) for h in Histology}
    total = sum(weights.values())
    if min(weights.values()) < 0 or not total > 0:
        raise ConfigurationError("Histology weights must not be negative and must not all be zero.")
    return {h: w / total for h, w in weights.items()}


def draw_histology(seed: int, prior: Mapping[Histology, float] | None = None) -> Histology:
    """Histology drawn from the prior."""
    weights = checked_prior(prior)
    return list(weights)[int(stream(seed, "histology").choice(len(weights), p=list(weights.values())))]


def given_size(prior: Mapping[Histology, float] | None, size: float) -> dict[Histology, float]:
    """The weights of the histologies of a lesion of known latent size, by Bayes' rule."""
    unknown = dict.fromkeys(ATTRIBUTES, float("nan"))
    return posterior(Attributes(**{**unknown, "size": size}), prior)


def size_of(diameter_mm: float) -> float:
    """Latent size of a diameter (of the sphere of equal volume), within ``SIZE_LIMIT``."""
    share = float(np.clip((diameter_mm - 16.0) / 84.0, _logistic(-SIZE_LIMIT), _logistic(SIZE_LIMIT)))
    return float(np.log(share / (1.0 - share)))


def draw_attributes(seed: int, histology: Histology, name: str = "attributes") -> Attributes:
    """Attributes drawn given the histology; one stream per attribute."""
    values = {
        attribute: float(stream(seed, f"{name}.{attribute}").normal(mean, sd))
        for attribute, (mean, sd) in zip(ATTRIBUTES, MODEL[histology], strict=True)
    }
    return Attributes(**values)


def posterior(
    attributes: Attributes, prior: Mapping[Histology, float] | None = None, model: Rows = MODEL
) -> dict[Histology, float]:
    """P(histology | attributes) by Bayes' rule."""
    values = attributes.vector()
    weights = {h: w for h, w in checked_prior(prior).items() if w > 0}
    logs = []
    for histology, weight in weights.items():
        mean, sd = np.array(model[histology], dtype=float).T
        logs.append(np.log(weight) - np.nansum(np.square((values - mean) / sd) / 2 + np.log(sd)))
    exponent = np.exp(np.array(logs) - max(logs))
    return dict(zip(weights, (exponent / exponent.sum()).tolist(), strict=True))


def log_hazard(attributes: Attributes, histology: Histology) -> float:
    """True log hazard of recurrence from size, grade, necrosis and invasion."""
    return float(
        HAZARD_SIZE * (attributes.size + 0.8)
        + HAZARD_GRADE * (0.6 if histology.aggressive else -0.4)
        + HAZARD_NECROSIS * (attributes.necrosis + 2.5)
        + HAZARD_INVASION * attributes.invasion
        + HAZARD_CENTRE
    )


def draw_recurrence(seed: int, attributes: Attributes, histology: Histology) -> Recurrence | None:
    """Weibull recurrence with independent uniform censoring; None for benign lesions."""
    if not histology.malignant:
        return None
    hazard = log_hazard(attributes, histology)
    uniform = 1.0 - stream(seed, "recurrence").uniform()
    time = WEIBULL_SCALE_MONTHS * (-np.log(uniform) * np.exp(-hazard)) ** (1 / WEIBULL_SHAPE)
    censoring = stream(seed, "censoring").uniform(*CENSORING_MONTHS)
    return Recurrence(float(max(min(time, censoring), 0.1)), bool(time <= censoring), hazard)


def oracle(attributes: Attributes, histology: Histology, prior: Mapping[Histology, float] | None = None) -> Oracle:
    """The scores of the best possible reader of the true attributes."""
    probability = posterior(attributes, prior)
    return Oracle(
        malignant=float(sum(p for h, p in probability.items() if h.malignant)),
        aggressive=float(sum(p for h, p in probability.items() if h.aggressive)),
        log_hazard=log_hazard(attributes, histology) if histology.malignant else None,
    )


def _logistic(value: float) -> float:
    return float(1.0 / (1.0 + np.exp(-value)))
