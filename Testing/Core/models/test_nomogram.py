"""A nomogram file is checked component by component, and its points mean what its log odds mean."""

import json

import jsonschema
import pytest

from RenalCLIPCore.cohort.clinical import SEXES
from RenalCLIPCore.cohort.table import EVERY_TASK_CLASSES
from RenalCLIPCore.errors import BundleError
from RenalCLIPCore.models.nomogram import LEVELS, Nomogram, axis_values, load_nomogram, save_nomogram
from RenalCLIPCore.resources import resources

R = dict(zip(LEVELS["renal_r"], (0.0, 0.5, 1.5), strict=True))


def content(**changes):
    base = {
        "format": "renalclip-nomogram-1",
        "target": "malignancy",
        "intercept": -0.5,
        "terms": [
            {"component": "renal_r", "levels": R},
            {"component": "sex", "levels": {"female": 0.0, "male": 0.7}},
            {"component": "age_years", "slope": -0.02, "low": 20, "high": 90},
        ],
        "source": "Made for a test.",
    }
    return base | changes


def nomogram(**changes):
    return Nomogram.model_validate(content(**changes))


@pytest.fixture
def write(tmp_path):
    def written(value):
        path = tmp_path / "nomogram.json"
        path.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
        return path

    return written


def test_probability_is_the_logistic_of_intercept_and_terms():
    values = {"renal_r": ">=7 cm", "sex": "male", "age_years": 60.0}
    assert nomogram().log_odds(values) == pytest.approx(-0.5 + 1.5 + 0.7 - 1.2)
    assert nomogram().probability(values) == pytest.approx(1 / (1 + 2.718281828459045**-0.5))


def test_a_case_that_lacks_a_component_has_no_probability():
    assert nomogram().probability({"renal_r": ">=7 cm", "sex": "male"}) is None


def test_age_beyond_the_axis_counts_as_its_end():
    values = {"renal_r": "<=4 cm", "sex": "female"}
    assert nomogram().log_odds({**values, "age_years": 5.0}) == nomogram().log_odds({**values, "age_years": 20.0})


def test_points_and_log_odds_tell_the_same():
    value = nomogram()
    case = {"renal_r": ">4 to <7 cm", "sex": "female", "age_years": 35.0}
    points = sum(value.points(term, case[term.component]) for term in value.terms)
    assert value.base_log_odds + points * value.log_odds_per_point == pytest.approx(value.log_odds(case))
    largest = max(value.points(value.terms[0], level) for level in LEVELS["renal_r"])
    assert largest == pytest.approx(100.0)
    assert 0 <= points <= value.most_points


def test_the_axis_of_age_has_round_numbers_within_its_ends():
    shown = [words for words, _ in axis_values(nomogram().terms[2])]
    assert shown == ["20", "30", "40", "50", "60", "70", "80", "90"]


def test_a_file_is_read_back_as_it_was(tmp_path):
    save_nomogram(nomogram(cases=100, positive=40), tmp_path / "n.json")
    assert load_nomogram(tmp_path / "n.json") == nomogram(cases=100, positive=40)


def test_high_grade_is_read_as_aggressiveness():
    assert nomogram().task == "malignancy"
    assert nomogram(target="high_grade").task == nomogram(target="aggressiveness").task == "aggressiveness"


def test_components_have_the_classes_of_the_cohort_table():
    for name, levels in LEVELS.items():
        assert levels == (SEXES if name == "sex" else EVERY_TASK_CLASSES[name])


def test_the_shipped_schema_is_the_one_that_is_checked_and_accepts_a_nomogram():
    schema = json.loads((resources() / "schemas" / "nomogram.schema.json").read_text(encoding="utf-8"))
    assert {k: v for k, v in schema.items() if not k.startswith("$") or k == "$defs"} == Nomogram.model_json_schema()
    jsonschema.validate(content(), schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(content(surprise=1), schema)


def test_the_example_of_the_guide_is_a_nomogram():
    guide = (resources() / "guides" / "radiomics.md").read_text(encoding="utf-8")
    example = guide[guide.index('{"format"') :]
    example = example[: example.index("]}") + 2]
    assert Nomogram.model_validate_json(example).components == ("renal_r", "sex", "age_years")


@pytest.mark.parametrize(
    ("term", "words"),
    [
        ({"component": "bmi", "slope": 0.1, "low": 10, "high": 50}, "there is no component 'bmi'; known are renal_r"),
        ({"component": "renal_x", "levels": {"a": 1.0}}, "there is no component 'renal_x'"),
        ({"component": "renal_r", "levels": {"small": 0.0, "large": 1.0}}, "the levels of renal_r must be <=4 cm"),
        ({"component": "renal_r", "slope": 1.0, "low": 0, "high": 1}, "renal_r has classes"),
        ({"component": "age_years", "levels": {"old": 1.0}}, "age_years is a number"),
        ({"component": "age_years", "slope": 0.1, "low": 90, "high": 20}, "must rise"),
    ],
)
def test_an_unknown_component_or_level_is_named_in_one_sentence(write, term, words):
    with pytest.raises(BundleError, match=words) as raised:
        load_nomogram(write(content(terms=[term])))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "[]",
        "{",
        content(terms=[]),
        content(intercept="high"),
        content(intercept=1e9),
        content(target="survival"),
        content(terms=content()["terms"] + content()["terms"][:1]),
        content(format="renalclip-nomogram-9"),
        json.dumps(content()).replace("-0.5", "NaN"),
        json.dumps(content()).replace("-0.5", "Infinity"),
    ],
)
def test_what_is_no_nomogram_is_refused_in_one_sentence(write, value):
    with pytest.raises(BundleError, match="is no nomogram") as raised:
        load_nomogram(write(value))
    assert "\n" not in str(raised.value)


def test_a_file_that_is_absent_or_huge_is_refused(tmp_path, write):
    with pytest.raises(BundleError, match="cannot be read"):
        load_nomogram(tmp_path / "absent.json")
    with pytest.raises(BundleError, match="larger than"):
        load_nomogram(write(" " * (2 << 20)))
