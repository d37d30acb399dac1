"""Age, sex, T category and grade of phantom patients: what follows from the truth, and what is drawn apart from it."""

from collections import Counter
from dataclasses import replace

import pytest

from RenalCLIPCore.phantom.cohort import CohortPlan, planned_patient
from RenalCLIPCore.phantom.histology import Histology
from RenalCLIPCore.phantom.pathology import clinical, grade, t_category
from RenalCLIPCore.phantom.truth import truth

SOLID = (0, 0, 0, 0, 0, 2, 0, 1, 2, 1, 0, 1, 0, 1)


@pytest.fixture(scope="module")
def known():
    return truth(planned_patient(CohortPlan(1, 5, phases=None), 0))


def case(known, *, malignancy=1, aggressiveness=0, histology=Histology.CLEAR_CELL_LOW, mm=35.0, vein=0.0, seed=1):
    tumour = replace(
        known.tumour,
        malignancy=malignancy,
        aggressiveness=aggressiveness,
        histology=histology.value,
        attributes={**known.tumour.attributes, "vein_invasion": vein},
    )
    lesions = (replace(known.lesions[0], largest_diameter_mm=mm), *known.lesions[1:])
    return replace(known, seed=seed, tumour=tumour, lesions=lesions)


@pytest.mark.parametrize(
    ("mm", "vein", "invades", "expected"),
    [
        (40.0, 0.0, False, "pT1a"),
        (40.1, 0.0, False, "pT1b"),
        (100.0, 0.0, False, "pT2a"),
        (101.0, 0.0, False, "pT2b"),
        (30.0, 0.5, False, "pT3a"),
        (30.0, 0.0, True, "pT3a"),
    ],
)
def test_the_t_category_follows_size_and_invasion(known, mm, vein, invades, expected):
    answers = (*SOLID[:13], 0 if invades else 1)
    assert t_category(case(known, mm=mm, vein=vein), answers) == expected


def test_benign_lesions_have_neither_category_nor_grade_and_chromophobe_carcinoma_no_grade(known):
    benign = case(known, malignancy=0, histology=Histology.ONCOCYTOMA)
    assert (t_category(benign, SOLID), grade(benign)) == ("", None)
    chromophobe = case(known, histology=Histology.CHROMOPHOBE)
    assert (t_category(chromophobe, SOLID), grade(chromophobe)) == ("pT1a", None)


def test_grades_are_those_of_the_histologys_group_in_their_shares(known):
    low = Counter(grade(case(known, seed=seed)) for seed in range(400))
    high = Counter(
        grade(case(known, aggressiveness=1, histology=Histology.CLEAR_CELL_HIGH, seed=seed)) for seed in range(400)
    )
    assert set(low) == {1, 2}
    assert set(high) == {3, 4}
    assert low[1] / 400 == pytest.approx(0.35, abs=0.08)
    assert high[3] / 400 == pytest.approx(0.75, abs=0.08)


def test_age_and_sex_are_drawn_by_seed_and_tell_nothing_of_the_tumour(known):
    patients = [clinical(case(known, seed=seed), SOLID) for seed in range(400)]
    assert patients[7] == clinical(case(known, malignancy=0, mm=80.0, seed=7), SOLID)
    assert sum(p.sex == "male" for p in patients) / 400 == pytest.approx(0.65, abs=0.08)
    assert all(18 <= p.age_years <= 90 for p in patients)
    assert sum(p.age_years for p in patients) / 400 == pytest.approx(56, abs=2)
    assert clinical(case(known), (*SOLID[:5], 0, *SOLID[6:])).appearance == "cystic"
