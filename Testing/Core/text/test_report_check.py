"""Reports that check themselves: what contradicts the facts is found, and nothing else is called a contradiction."""

import pytest

from RenalCLIPCore.text.language import ReportTooLongError
from RenalCLIPCore.text.report_check import CheckedLesion, Fact, check_report
from RenalCLIPCore.text.report_text import LikelihoodFact, likelihood_sentence
from Testing.Core.text.planted_sentences import clean_reports, lesion, sentences, verdict

SOLID = {"composition": Fact("segmented as a tumour", "segmented", frozenset({1, 2}))}


def verdicts(text, *lesions, impression=""):
    return [check.verdict for check in check_report(text, impression, lesions)]


def test_of_200_sentences_95_per_cent_of_the_planted_contradictions_are_found_and_at_most_2_per_cent_are_false():
    items = sentences()
    planted = [verdict(one) for one in items if one.planted]
    clean = [verdict(one) for one in items if not one.planted]
    assert len(items) == 200
    assert min(len(planted), len(clean)) >= 90
    assert sum(planted) >= 0.95 * len(planted)
    assert sum(clean) <= 0.02 * len(clean)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_whole_reports_without_a_mistake_raise_hardly_any_alarm(language):
    total, supported, alarms = clean_reports(range(900, 925), language)
    assert total > 300
    assert supported > 0.25 * total
    assert len(alarms) <= 0.02 * total


@pytest.mark.parametrize(
    ("text", "finding", "fact"),
    [
        ("A 4 cm solid mass in the left kidney.", "size", "53 mm, 49 mm in the axial plane"),
        ("左肾见实性肿块，约4.0×3.6cm。", "size", "53 mm, 49 mm in the axial plane"),
        ("A 53 mm mass is seen in the right kidney.", "side", "L1 lies in the left kidney"),
        ("右肾见肿块，约53×50mm。", "side", "L1 lies in the left kidney"),
    ],
)
def test_a_contradiction_is_shown_with_the_fact_beside_it(text, finding, fact):
    (check,) = check_report(text, "", (lesion(),))
    assert check.verdict == "contradicted"
    assert [(tie.finding, tie.fact) for tie in check.ties if tie.agrees is False] == [(finding, fact)]


def test_a_sentence_that_no_fact_speaks_of_is_unsupported_and_one_about_the_program_a_notice():
    text = (
        "Its margins are well defined. The liver is normal. There is a 12 mm cyst of the liver. Not for clinical use."
    )
    assert verdicts(text, lesion()) == ["unsupported", "unsupported", "unsupported", "notice"]


def test_small_differences_of_size_are_no_contradiction():
    assert verdicts("A 5.0 cm mass of the left kidney. It measures 55 mm.", lesion()) == ["supported", "supported"]


def test_a_distance_is_no_size_and_the_volume_and_the_attenuation_are_held_to_theirs():
    known = CheckedLesion("L1", "left", (53.0,), SOLID, volume_ml=60.0, attenuation_hu=(30.0, 110.0, 80.0))
    text = "Left kidney: 53 mm mass (volume 61 ml). It lies 6 mm from the renal sinus. It rises by 80 HU."
    assert verdicts(text, known) == ["supported", "unsupported", "supported"]
    assert verdicts("Left kidney: 53 mm mass, volume 30 ml. It measures 160 HU.", known) == [
        "contradicted",
        "contradicted",
    ]


def test_a_kidney_that_is_said_to_be_empty_must_be():
    text = "No mass is seen in the left kidney. The right kidney is unremarkable."
    assert verdicts(text, lesion()) == ["contradicted", "supported"]
    assert verdicts("左肾未见占位性病变。右肾未见异常。", lesion()) == ["contradicted", "supported"]


def test_further_lesions_are_held_to_the_other_lesions():
    main, cyst = lesion(), CheckedLesion("L2", "left", (11.0,), {}, cyst=True)
    text = "A 53 mm mass in the left kidney. A further 11 mm cyst lies in the left kidney."
    assert verdicts(text, main, cyst) == ["supported", "supported"]
    assert verdicts(text.replace("11", "25"), main, cyst) == ["supported", "contradicted"]


def test_probability_score_risk_and_survival_are_held_to_the_prediction():
    known = CheckedLesion(
        "L1", "left", (53.0,), probabilities={"malignancy": 0.9}, scores=("8a",), risk="high", survival=(0.9, 0.42)
    )
    text = (
        "1. Left renal mass, R.E.N.A.L. nephrometry score {}. 2. Malignancy is likely (predicted probability {} %). "
        "3. Predicted recurrence risk: {} group. 4. Estimated recurrence-free probability {} % at 60 months."
    )
    assert verdicts("", known, impression=text.format("8a", 90, "high", 42)) == ["supported"] * 4
    assert verdicts("", known, impression=text.format("9a", 60, "low", 70)) == ["contradicted"] * 4


@pytest.mark.parametrize(("probability", "threshold", "calibrated"), [(0.65, 0.73, True), (0.4, 0.2, False)])
def test_the_drafts_own_sentence_about_a_threshold_is_one_sentence_and_supported(probability, threshold, calibrated):
    sentence = likelihood_sentence(LikelihoodFact("malignancy", probability, calibrated, threshold))
    known = CheckedLesion("L1", "left", (53.0,), probabilities={"malignancy": probability})
    assert verdicts("", known, impression=f"1. {sentence}") == ["supported"]


def test_without_lesions_statements_about_one_have_nothing_to_stand_on():
    assert verdicts("A 4 cm mass of the left kidney. The right kidney is unremarkable.") == ["unsupported", "supported"]


def test_what_is_no_single_report_is_refused():
    with pytest.raises(ReportTooLongError):
        check_report("a" * 20_001, "", ())
    assert check_report("", "", ()) == ()


@pytest.mark.parametrize(
    ("true", "told", "verdict"),
    [
        (100.0, 108, "supported"),
        (100.0, 112, "contradicted"),
        (20.0, 23, "supported"),
        (20.0, 24, "contradicted"),
    ],
)
def test_a_size_may_differ_by_a_tenth_and_by_three_millimetres_at_least(true, told, verdict):
    assert verdicts(f"A {told} mm mass in the left kidney.", CheckedLesion("L1", "left", (true,))) == [verdict]


@pytest.mark.parametrize(("told", "verdict"), [("8a", "supported"), ("8", "supported"), ("8p", "contradicted")])
def test_the_suffix_of_a_score_counts_where_it_is_told(told, verdict):
    lesion = CheckedLesion("L1", "left", (53.0,), scores=("8a",))
    text = f"1. Left renal mass, R.E.N.A.L. nephrometry score {told}."
    assert verdicts("", lesion, impression=text) == [verdict]


def test_a_kidney_with_a_lesion_of_unknown_size_is_not_empty():
    (check,) = check_report("No mass is seen in the left kidney.", "", (CheckedLesion("L1", "left"),))
    assert check.verdict == "contradicted"
