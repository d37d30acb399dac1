"""The columns of the cohort table: their names, classes and kinds. What they mean is said in ``table``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ..imaging.study import Phase
from ..text.questionnaire import QUESTIONS
from . import clinical

TASK_CLASSES: Final[Mapping[str, tuple[str, ...]]] = {
    "renal_r": ("<=4 cm", ">4 to <7 cm", ">=7 cm"),
    "renal_e": (">=50 % exophytic", "<50 % exophytic", "entirely endophytic"),
    "renal_n": (">=7 mm", ">4 to <7 mm", "<=4 mm"),
    "renal_a": ("anterior", "posterior", "neither"),
    "renal_l": (
        "outside the polar lines",
        "crosses a polar line",
        "over half across, between the lines or across the midline",
    ),
    "malignancy": ("benign", "malignant"),
    "aggressiveness": ("indolent", "aggressive"),
}
# The suffix of the R.E.N.A.L. score, which most tables do not label.
SUFFIX_CLASSES: Final[Mapping[str, tuple[str, ...]]] = {"renal_h": ("not hilar", "hilar")}
EVERY_TASK_CLASSES: Final[Mapping[str, tuple[str, ...]]] = {**TASK_CLASSES, **SUFFIX_CLASSES}
# What a reader sees of the lesion. Native density below 25, 25 to 40, above 40 HU; enhancement above native below 20,
# 50, 90 HU (delayed: 30, 55); texture by its standard deviation below 8, 13, 20 HU; share of necrosis below 3, 12 %, of
# fat below 10 %.
DESCRIPTOR_CLASSES: Final[Mapping[str, tuple[str, ...]]] = {
    "density": ("hypodense", "isodense", "hyperdense"),
    "arterial_enhancement": ("none", "mild", "moderate", "avid"),
    "venous_enhancement": ("none", "mild", "moderate", "avid"),
    "delayed_enhancement": ("none or mild", "moderate", "marked"),
    "texture": ("homogeneous", "slightly heterogeneous", "heterogeneous", "very heterogeneous"),
    "necrosis": ("none", "partial", "extensive"),
    "fat": ("none", "macroscopic"),
    "margin": ("smooth", "lobulated", "irregular"),
    "calcification": ("none", "present"),
}
LABEL_CLASSES: Final[Mapping[str, tuple[str, ...]]] = {**EVERY_TASK_CLASSES, **DESCRIPTOR_CLASSES}
ENDPOINTS: Final = ("rfs", "dss", "os")
SPLITS: Final = ("training", "validation", "test")
SIDES: Final = ("left", "right")
ATTRIBUTES: Final = QUESTIONS

CENTRE: Final = ("centre_x_lps_mm", "centre_y_lps_mm", "centre_z_lps_mm")
VOLUMES: Final[Mapping[Phase, str]] = {phase: f"volume_{phase.value.lower()}" for phase in Phase}
ATTRIBUTE_COLUMNS: Final = tuple(f"attribute_{number:02d}" for number in range(1, ATTRIBUTES + 1))
TRUE_ATTRIBUTE_COLUMNS: Final = tuple(f"true_{name}" for name in ATTRIBUTE_COLUMNS)
ORACLE_COLUMNS: Final = tuple(f"oracle_{task}" for task in (*TASK_CLASSES, "rfs"))
COLUMNS: Final = (
    "patient",
    "site",
    "split",
    "group",
    "licence",
    "side",
    *CENTRE,
    *VOLUMES.values(),
    "label_map",
    *LABEL_CLASSES,
    "histology",
    "stage",
    "grade",
    "diameter_mm",
    *clinical.COLUMNS,
    *(f"{name}_{part}" for name in ENDPOINTS for part in ("months", "event")),
    "findings",
    "impression",
    *ATTRIBUTE_COLUMNS,
    *TRUE_ATTRIBUTE_COLUMNS,
    *ORACLE_COLUMNS,
)
# Cells of the other columns are text.
INTEGERS: Final = frozenset(
    (
        *LABEL_CLASSES,
        "grade",
        "coagulative_necrosis",
        "sarcomatoid",
        *(f"{name}_event" for name in ENDPOINTS),
        *ATTRIBUTE_COLUMNS,
        *TRUE_ATTRIBUTE_COLUMNS,
    )
)
NUMBERS: Final = frozenset(
    (*CENTRE, "diameter_mm", "age_years", *(f"{name}_months" for name in ENDPOINTS), *ORACLE_COLUMNS)
)
