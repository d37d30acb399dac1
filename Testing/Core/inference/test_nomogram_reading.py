"""A nomogram reads what was measured of a lesion, and says what it lacks."""

import pytest

from RenalCLIPCore.inference.nomogram_reading import measured_values, nomogram_probability
from RenalCLIPCore.models.nomogram import LEVELS, Nomogram
from RenalCLIPCore.review import Absent, Measured, MeasuredComponent


def component(letter, label, points):
    return MeasuredComponent(letter, 1.0, "mm", points, label, 0.1, {}, "masks")


def measured(*components):
    return Measured(components, Absent("not scored"))


def nomogram(*names):
    terms = [{"component": name, "levels": dict(zip(LEVELS[name], (0.0, 1.0, 2.0), strict=False))} for name in names]
    return Nomogram.model_validate({"target": "malignancy", "intercept": -1.0, "terms": terms, "source": "a test"})


def test_classes_come_from_words_or_points():
    lesion = measured(
        component("R", ">4 to <7 cm", 2),
        component("N", "in other words", 3),
        component("A", "posterior", 0),
        component("h", "not assessed", 0),
    )
    assert measured_values(lesion) == {"renal_r": ">4 to <7 cm", "renal_n": "<=4 mm", "renal_a": "posterior"}


def test_the_probability_is_that_of_the_components():
    lesion = measured(component("R", ">=7 cm", 3))
    assert nomogram_probability(nomogram("renal_r"), lesion) == pytest.approx(1 / (1 + 2.718281828459045**-1))


def test_what_is_not_known_is_named():
    lesion = measured(component("R", ">=7 cm", 3))
    found = nomogram_probability(nomogram("renal_r", "sex", "renal_e"), lesion)
    assert found == Absent("The nomogram needs Sex, E (exophytic), which is not known of this lesion.")
    assert nomogram_probability(nomogram("renal_r", "sex"), lesion, sex="male") == pytest.approx(
        1 / (1 + 2.718281828459045**-2)
    )
