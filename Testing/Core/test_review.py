"""The review's JSON: everything comes back, and what does not fit is refused with its place."""

import dataclasses
import json

import jsonschema
import pytest
from hypothesis import given, settings

from RenalCLIPCore import review as r
from RenalCLIPCore.resources import resources
from Testing.Core.exchange.reviews import absent_review, empty_review, full_review, values

REVIEWS = {"full": full_review, "empty": empty_review, "absent": absent_review}


def nodes(data, place=""):
    """Every value inside JSON data with its pointer."""
    yield place, data
    if isinstance(data, dict):
        for key, item in data.items():
            yield from nodes(item, f"{place}/{key}")
    elif isinstance(data, list):
        for index, item in enumerate(data):
            yield from nodes(item, f"{place}/{index}")


def with_value(data, place, value):
    """A copy of JSON data with the value at a pointer replaced."""
    copy = json.loads(json.dumps(data))
    *parents, last = place.strip("/").split("/")
    node = copy
    for token in parents:
        node = node[int(token)] if isinstance(node, list) else node[token]
    node[int(last) if isinstance(node, list) else last] = value
    return copy


@pytest.mark.parametrize("make", REVIEWS.values(), ids=REVIEWS.keys())
def test_a_review_comes_back_equal(make):
    review = make()
    assert r.from_json(r.to_json(review)) == review


def test_the_full_review_holds_every_type_so_that_its_round_trip_covers_every_field():
    def kinds(value):
        if dataclasses.is_dataclass(value):
            yield type(value)
            for item in dataclasses.fields(value):
                yield from kinds(getattr(value, item.name))
        elif isinstance(value, (tuple, dict)):
            for item in value.values() if isinstance(value, dict) else value:
                yield from kinds(item)

    defined = {kind for kind in vars(r).values() if dataclasses.is_dataclass(kind)}
    assert set(kinds(full_review())) == defined


@settings(deadline=None, max_examples=25)
@given(values(r.Predicted), values(r.StudyRecord), values(r.LesionReview))
def test_any_values_come_back_equal(prediction, study, lesion):
    lesion = dataclasses.replace(lesion, predicted=prediction)
    review = dataclasses.replace(full_review(), study=study, lesions=(lesion,))
    assert r.from_json(r.to_json(review)) == review


def test_a_file_comes_back_equal_even_with_text_that_has_no_utf8_form(tmp_path):
    review = dataclasses.replace(full_review(), conclusion="右肾 3.8 cm \ud800 end")
    r.write_review(review, tmp_path / "review.json")
    assert r.read_review(tmp_path / "review.json") == review
    assert [path.name for path in tmp_path.iterdir()] == ["review.json"]


def test_a_review_that_cannot_be_written_leaves_the_old_file_and_no_partial_one(tmp_path):
    path = tmp_path / "review.json"
    r.write_review(full_review(), path)
    before = path.read_bytes()
    lesion = dataclasses.replace(full_review().lesions[0], roi_inside=float("nan"))
    with pytest.raises(ValueError, match="not JSON compliant"):
        r.write_review(dataclasses.replace(full_review(), lesions=(lesion,)), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_an_absent_part_keeps_its_reason_and_is_never_taken_for_a_value():
    data = json.loads(r.to_json(full_review()))
    data["lesions"][0]["predicted"]["malignancy"] = {"absent": "The bundle has no such head."}
    read = r.from_json(json.dumps(data))
    assert read.lesions[0].predicted.malignancy == r.Absent("The bundle has no such head.")


@pytest.mark.parametrize("wrong", [None, {}, {"absent": 3}, {"absent": "x", "probability": 0.5}])
def test_half_absent_parts_are_refused_at_their_place(wrong):
    data = with_value(r.encode(full_review()), "/lesions/0/predicted/malignancy", wrong)
    with pytest.raises(r.ReviewFormatError, match="/lesions/0/predicted/malignancy"):
        r.from_json(json.dumps(data))


def test_a_value_of_another_type_is_refused_at_its_own_pointer_wherever_it_stands():
    data = json.loads(r.to_json(full_review()))
    places = [place for place, value in nodes(data) if place and place != "/schema_version"]
    assert len(places) > 300
    for place in places[::7]:
        with pytest.raises(r.ReviewFormatError) as error:
            r.from_json(json.dumps(with_value(data, place, None)))
        assert str(error.value).startswith(f"{place}: ")


def test_pointers_escape_slashes_and_tildes_of_keys():
    data = json.loads(r.to_json(full_review()))
    data["provenance"]["seconds"] = {"a/b~c": "long"}
    with pytest.raises(r.ReviewFormatError, match="/provenance/seconds/a~1b~0c: a number"):
        r.from_json(json.dumps(data))


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "1" + 400 * "0"])
def test_numbers_that_are_not_finite_are_refused_at_their_place(number):
    text = r.to_json(full_review()).replace('"roi_inside": 0.983', f'"roi_inside": {number}')
    with pytest.raises(r.ReviewFormatError, match="/lesions/0/roi_inside"):
        r.from_json(text)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data.pop("conclusion"), "'conclusion' of CaseReview is missing"),
        (lambda data: data["study"].update(patient="x"), "/study: unknown field 'patient'"),
        (lambda data: data["study"]["phases"][0].update(size=[1, 2]), "/study/phases/0/size: a list of 3"),
        (lambda data: data["lesions"][0].update(primary=1), "/lesions/0/primary: bool"),
        (
            lambda data: data["lesions"][0]["predicted"]["total"].update(score=True),
            "/lesions/0/predicted/total/score: int",
        ),
    ],
)
def test_missing_unknown_and_misshapen_fields_are_named(change, message):
    data = json.loads(r.to_json(full_review()))
    change(data)
    with pytest.raises(r.ReviewFormatError) as error:
        r.from_json(json.dumps(data))
    assert message in str(error.value)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "7", '{"schema_version": "0.9"}', "{}", "[" * 100_000, "9" * 5000]
)
def test_texts_that_are_no_review_of_this_version_are_refused(text):
    with pytest.raises(r.ReviewFormatError):
        r.from_json(text)


def test_a_later_version_is_refused_with_both_versions_named():
    data = {**json.loads(r.to_json(full_review())), "schema_version": "2.0"}
    with pytest.raises(r.ReviewFormatError, match=r"1\.0 is needed.*'2\.0'"):
        r.from_json(json.dumps(data))


def test_fields_with_defaults_may_be_left_out():
    data = json.loads(r.to_json(full_review()))
    del data["edits"], data["sign_off"], data["lesions"][0]["pictures"]
    assert r.from_json(json.dumps(data)).edits == ()


def test_the_committed_schema_is_the_one_that_the_dataclasses_give():
    path = resources() / "schemas" / "case_review.schema.json"
    assert json.loads(path.read_text(encoding="utf-8")) == r.json_schema()


@pytest.mark.parametrize("make", REVIEWS.values(), ids=REVIEWS.keys())
def test_the_schema_accepts_what_is_written(make):
    jsonschema.Draft202012Validator.check_schema(r.json_schema())
    jsonschema.Draft202012Validator(r.json_schema()).validate(json.loads(r.to_json(make())))


def test_the_schema_refuses_what_the_reader_refuses():
    validator = jsonschema.Draft202012Validator(r.json_schema())
    data = json.loads(r.to_json(full_review()))
    for place in [place for place, _ in nodes(data) if place][::23]:
        assert not validator.is_valid(with_value(data, place, None)), place
    assert not validator.is_valid({**data, "extra": 1})
    assert not validator.is_valid({**data, "schema_version": "2.0"})


def test_the_primary_lesion_is_found_and_may_be_missing():
    review = full_review()
    second = dataclasses.replace(review.lesions[0], lesion_id="L2", primary=False)
    assert dataclasses.replace(review, lesions=(second, *review.lesions)).primary == review.lesions[0]
    assert dataclasses.replace(review, lesions=(second,)).primary is None
    assert empty_review().primary is None
