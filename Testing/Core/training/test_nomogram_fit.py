"""A nomogram is the logistic regression of the training rows, and says what it could not use."""

from dataclasses import replace

import numpy as np
import pytest

from RenalCLIPCore.cohort.clinical import Clinical
from RenalCLIPCore.cohort.nomogram_values import component_values
from RenalCLIPCore.cohort.table import CohortRow
from RenalCLIPCore.errors import CohortError, ConfigurationError
from RenalCLIPCore.training.nomogram import coefficients_csv, fit_nomogram, label_of, logistic


def rows_of(count=4000, seed=0):
    """Cases whose log odds are -0.5 + 0.8 per class of R + 0.6 of men - 0.03 per year above 60."""
    g = np.random.default_rng(seed)
    rows = []
    for number in range(count):
        r, e, male, age = int(g.integers(3)), int(g.integers(3)), bool(g.integers(2)), float(g.uniform(30, 85))
        odds = -0.5 + 0.8 * r + 0.6 * male - 0.03 * (age - 60)
        label = int(g.random() < 1 / (1 + np.exp(-odds)))
        clinical = Clinical(age_years=age, sex="male" if male else "female")
        rows.append(CohortRow(f"p{number}", "left", split="training", clinical=clinical,
                              labels={"renal_r": r, "renal_e": e, "renal_n": 1, "malignancy": label}))  # fmt: skip
    return rows


def test_the_coefficients_that_made_the_labels_are_found():
    fitted = fit_nomogram(rows_of(seed=3), "malignancy", "toys")
    found = {(c.component, c.level): c for c in fitted.coefficients}
    age = found["age_years", "per year"]
    assert age.low < -0.03 < age.high
    assert age.high - age.low < 0.02
    terms = {term.component: term for term in fitted.nomogram.terms}
    r = list(terms["renal_r"].levels.values())
    np.testing.assert_allclose(np.diff(r), 0.8, atol=0.25)
    assert terms["sex"].levels["male"] - terms["sex"].levels["female"] == pytest.approx(0.6, abs=0.2)
    assert fitted.nomogram.cases == 4000
    case = {"renal_r": ">=7 cm", "renal_e": ">=50 % exophytic", "sex": "male", "age_years": 40.0}
    assert fitted.nomogram.probability(case) == pytest.approx(1 / (1 + np.exp(-(-0.5 + 1.6 + 0.6 + 0.6))), abs=0.05)


def test_intervals_cover_the_truth_nineteen_times_in_twenty():
    covered = 0
    for seed in range(40):
        fitted = fit_nomogram(rows_of(500, seed), "malignancy")
        age = next(c for c in fitted.coefficients if c.component == "age_years")
        covered += age.low < -0.03 < age.high
    assert 34 <= covered <= 40


def test_what_is_constant_or_not_known_is_left_out_and_told():
    fitted = fit_nomogram(rows_of(400), "malignancy")
    assert fitted.nomogram.components == ("renal_r", "renal_e", "sex", "age_years")
    assert "as it is the same in all rows: N (nearness)" in " ".join(fitted.notes)
    assert "fewer than half of the rows know it: A (anterior), L (location), h (hilar)" in " ".join(fitted.notes)


def test_rows_that_lack_a_component_are_left_out_and_counted():
    rows = rows_of(400)
    rows[0] = replace(rows[0], clinical=Clinical(sex="male"))
    fitted = fit_nomogram(rows, "malignancy")
    assert fitted.nomogram.cases == 399
    assert "1 rows that lack a component were left out." in fitted.notes


def test_other_splits_are_not_looked_at():
    rows = rows_of(300)
    flipped = [replace(row, split="test", labels={**row.labels, "malignancy": 1 - row.labels["malignancy"]})
               for row in rows_of(300, seed=5)]  # fmt: skip
    assert fit_nomogram([*rows, *flipped], "malignancy") == fit_nomogram(rows, "malignancy")


def test_logistic_agrees_with_scikit_learn():
    from sklearn.linear_model import LogisticRegression

    g = np.random.default_rng(1)
    x = g.normal(size=(300, 3)) * (1.0, 10.0, 0.1)
    y = (g.random(300) < 1 / (1 + np.exp(-(0.3 + x @ (0.5, 0.1, -3.0))))).astype(float)
    weights, errors = logistic(np.column_stack([np.ones(300), x]), y)
    other = LogisticRegression(C=1e8, tol=1e-10, max_iter=10000).fit(x / (1.0, 10.0, 0.1), y)
    np.testing.assert_allclose(weights[1:], other.coef_[0] / (1.0, 10.0, 0.1), rtol=2e-3)
    assert weights[0] == pytest.approx(other.intercept_[0], abs=2e-3)
    assert (errors > 0).all()


def test_a_level_with_cases_of_one_class_keeps_a_finite_weight():
    rows = [replace(row, labels={**row.labels, "malignancy": 1}) if row.labels["renal_r"] == 2 else row
            for row in rows_of(200)]  # fmt: skip
    fitted = fit_nomogram(rows, "malignancy")
    assert all(np.isfinite((c.log_odds, c.low, c.high)).all() for c in fitted.coefficients)


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_alone_is_refused_in_one_sentence(label):
    rows = [replace(row, labels={**row.labels, "malignancy": label}) for row in rows_of(50)]
    with pytest.raises(CohortError, match="needs training rows of both classes"):
        fit_nomogram(rows, "malignancy")


def test_no_component_is_refused_in_one_sentence():
    rows = [replace(row, labels={"malignancy": row.labels["malignancy"]}, clinical=Clinical()) for row in rows_of(50)]
    with pytest.raises(CohortError, match="No component of a nomogram"):
        fit_nomogram(rows, "malignancy")


def test_high_grade_is_of_graded_malignant_cases():
    row = rows_of(1)[0]
    malignant = replace(row, labels={**row.labels, "malignancy": 1})
    assert label_of(replace(malignant, grade=2), "high_grade") == 0
    assert label_of(replace(malignant, grade=3), "high_grade") == 1
    assert label_of(malignant, "high_grade") is None
    assert label_of(replace(malignant, labels={"malignancy": 0}, grade=4), "high_grade") is None
    with pytest.raises(ConfigurationError):
        label_of(malignant, "survival")


def test_the_table_of_coefficients_has_a_line_per_weight():
    fitted = fit_nomogram(rows_of(200), "malignancy")
    lines = coefficients_csv(fitted).splitlines()
    assert lines[0] == "component,level,log_odds,low,high,odds_ratio"
    assert lines[1].startswith("intercept,,")
    assert len(lines) == 1 + len(fitted.coefficients)


def test_values_of_a_row_are_in_the_words_of_the_table():
    row = rows_of(1)[0]
    found = component_values(row)
    assert found["renal_n"] == ">4 to <7 mm"
    assert set(found) == {"renal_r", "renal_e", "renal_n", "sex", "age_years"}
