import pytest

from RenalCLIPCore.text.report_text import (
    COMPONENT_PHRASES,
    ComponentFact,
    LesionFacts,
    LikelihoodFact,
    OtherLesion,
    RiskFact,
    closing_line,
    findings_text,
    impression_text,
    likelihood_sentence,
    negative_phrase,
    per_cent,
)

FULL = LesionFacts(
    side="left",
    label="tumour",
    largest_diameter_mm=42.4,
    axial_diameter_mm=38.2,
    volume_ml=25.3,
    components=(
        ComponentFact("R", 1, 0.9),
        ComponentFact("E", 1, 0.712),
        ComponentFact("N", 2, None),
        ComponentFact("A", 0, 0.8),
        ComponentFact("L", 1, 0.6),
    ),
    score="8a",
    complexity="moderate",
    attenuation_hu={"non-contrast": 31.0, "arterial": 96.0, "venous": 88.0},
    likelihoods=(LikelihoodFact("malignancy", 0.83, True), LikelihoodFact("aggressive histology", 0.2, False)),
    risk=RiskFact("high", "the phantom training cohort", 60.0, 0.714),
    others=(OtherLesion("left", "cyst", 12.0), OtherLesion("right", "cyst", None)),
)


def test_findings_of_a_full_case_word_for_word():
    assert findings_text(FULL) == (
        "Left kidney: A 42 mm mass (38 mm in the axial plane, volume 25 ml). "
        "On the masks it is within 4 mm of the renal sinus or collecting system. "
        "By the model's reading it is less than 50 % exophytic (71 %), crossing a polar line (60 %) "
        "and on the anterior face of the kidney (80 %). "
        "Its mean attenuation is 31 HU in the non-contrast phase, 96 HU in the arterial phase and 88 HU in the venous "
        "phase, a rise of up to 65 HU. "
        "A further cystic lesion of 12 mm.\n"
        "Right kidney: A further cystic lesion."
    )


def test_impression_of_a_full_case_word_for_word():
    assert impression_text(FULL) == (
        "1. Left renal mass, 42 mm, R.E.N.A.L. nephrometry score 8a (moderate complexity, predicted).\n"
        "2. Malignancy is likely (predicted probability 83 %).\n"
        "3. Aggressive histology is unlikely (predicted probability 20 %, uncalibrated model output).\n"
        "4. Predicted recurrence risk: high group (score above the median of the phantom training cohort); estimated "
        "recurrence-free probability 71 % at 60 months.\n"
        "Research only. Not for clinical use."
    )


def test_a_point_without_measurements_still_reads_well():
    facts = LesionFacts("right", "point", components=(ComponentFact("R", 0, 0.55),), empty_sides=("left",))
    assert findings_text(facts) == (
        "Right kidney: A lesion at the marked point. "
        "By the model's reading it is at most 4 cm in largest diameter (55 %).\n"
        "Left kidney: No focal lesion was segmented."
    )
    assert impression_text(facts).startswith("1. Right renal lesion at the marked point.\n")


@pytest.mark.parametrize(("diameter", "words"), [(8.2, "An 8 mm"), (11.0, "An 11 mm"), (18.0, "An 18 mm"), (84.0, "An 84 mm"), (110.0, "A 110 mm"), (7.0, "A 7 mm")])  # noqa: E501  # fmt: skip
def test_the_article_fits_the_number(diameter, words):
    assert f"Left kidney: {words} mass." in findings_text(LesionFacts("left", "tumour", diameter))


@pytest.mark.parametrize(
    ("probability", "words"),
    [
        (0.0, "very unlikely (predicted probability <1 %)"),
        (0.2, "unlikely"),
        (0.5, "indeterminate"),
        (0.7, "likely"),
        (0.95, "very likely (predicted probability 95 %)"),
        (1.0, "very likely (predicted probability >99 %)"),
    ],
)
def test_no_probability_is_worded_as_certain(probability, words):
    sentence = likelihood_sentence(LikelihoodFact("malignancy", probability, True))
    assert words in sentence
    assert "100 %" not in sentence
    assert " 0 %" not in sentence


@pytest.mark.parametrize(
    ("probability", "threshold", "note"),
    [
        (0.72, 0.73, ", below the model's threshold of 73 %"),
        (0.4, 0.2, ", above the model's threshold of 20 %"),
        (0.73, 0.73, ""),
        (0.1, 0.2, ""),
    ],
)
def test_a_threshold_that_says_the_other_of_the_words_is_told(probability, threshold, note):
    sentence = likelihood_sentence(LikelihoodFact("malignancy", probability, True, threshold))
    assert sentence.endswith(f"(predicted probability {per_cent(probability)}{note}).")


def test_per_cent_bounds():
    assert [per_cent(value) for value in (0.004, 0.01, 0.5, 0.99, 0.996)] == ["<1 %", "1 %", "50 %", "99 %", ">99 %"]


def test_a_case_outside_the_training_data_says_so():
    facts = LesionFacts("left", "tumour", outside_training=True)
    assert "should not be relied on" in impression_text(facts)
    assert "should not be relied on" not in impression_text(LesionFacts("left", "tumour"))


def test_phantom_trained_models_always_say_not_for_clinical_use():
    assert closing_line("For teaching.", phantom_trained=True).endswith("For teaching. Not for clinical use.")
    assert closing_line("Research only. Not for clinical use.", phantom_trained=True).count("clinical use") == 1
    assert "digital phantom" in impression_text(LesionFacts("left", "cyst", phantom_trained=True))
    assert closing_line("For teaching.", phantom_trained=False) == "For teaching."


def test_the_negative_phrase_names_the_side():
    assert negative_phrase("right") == "Right kidney: No focal lesion was segmented."


def test_every_component_has_a_phrase_for_each_of_its_three_classes():
    assert {letter: len(phrases) for letter, phrases in COMPONENT_PHRASES.items()} == dict.fromkeys("RENAL", 3)


def test_low_risk_is_at_or_below_the_median():
    text = impression_text(LesionFacts("left", "tumour", risk=RiskFact("low", "cohort X", 24.0, 0.999)))
    assert "low group (score at or below the median of cohort X)" in text
    assert ">99 % at 24 months" in text
