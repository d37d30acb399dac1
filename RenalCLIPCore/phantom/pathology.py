"""Who a phantom patient is, and what pathology says of the tumour: age, sex, T category and WHO/ISUP grade.

Age and sex are drawn apart from everything else, so that nothing can be learnt from them. The T category follows from
size and invasion (AJCC, 8th edition), the grade from the histology. All of it is a function of the truth and its seed:
cohorts made by earlier versions get it when their table is written again.
"""

from __future__ import annotations

from ..cohort.clinical import Clinical
from .findings import Answers
from .histology import Histology
from .streams import stream
from .truth import PhantomTruth

# Surgical series: mostly men, in their fifties.
SHARE_MALE = 0.65
AGE_MEAN, AGE_SD, AGE_LIMITS = 56.0, 12.0, (18.0, 90.0)
# Upper bounds in mm of pT1a, pT1b and pT2a.
T_BOUNDS_MM = ((40.0, "pT1a"), (70.0, "pT1b"), (100.0, "pT2a"))
VEIN_FILLED = 0.5
# Share of the lower of the two grades of each group.
GRADES = {False: (1, 0.35), True: (3, 0.75)}
COMPOSITION, INVASION, YES, CYSTIC = 6, 14, 0, 0


def clinical(truth: PhantomTruth, answers: Answers) -> Clinical:
    """Age, sex and appearance.

    Args:
        truth: Of the patient.
        answers: The fourteen true answers about the primary lesion's kidney.
    """
    drawn = stream(truth.seed, "age").normal(AGE_MEAN, AGE_SD)
    age = float(round(min(max(drawn, AGE_LIMITS[0]), AGE_LIMITS[1])))
    sex = "male" if stream(truth.seed, "sex").uniform() < SHARE_MALE else "female"
    composition = answers[COMPOSITION - 1]
    appearance = "" if composition is None else "cystic" if composition == CYSTIC else "solid"
    return Clinical(age_years=age, sex=sex, appearance=appearance)


def t_category(truth: PhantomTruth, answers: Answers) -> str:
    """``pT1a`` to ``pT3a`` of a malignant primary tumour, else empty.

    pT3a where the renal vein is filled or the renal sinus invaded; nodes and metastases are never there.
    """
    if truth.tumour is None or truth.primary is None or not truth.tumour.malignancy:
        return ""
    if truth.tumour.attributes.get("vein_invasion", 0.0) >= VEIN_FILLED or answers[INVASION - 1] == YES:
        return "pT3a"
    largest = truth.primary.largest_diameter_mm
    return next((name for bound, name in T_BOUNDS_MM if largest <= bound), "pT2b")


def grade(truth: PhantomTruth) -> int | None:
    """WHO/ISUP grade of a malignant tumour; chromophobe carcinoma is not graded."""
    if truth.tumour is None or not truth.tumour.malignancy or truth.tumour.histology == Histology.CHROMOPHOBE:
        return None
    lower, share = GRADES[bool(truth.tumour.aggressiveness)]
    return lower if stream(truth.seed, "grade").uniform() < share else lower + 1
