"""A case with a bundle that carries multi-phase networks: read, explained, moved, withheld and saved with them."""

import json

import jsonschema
import pytest

from RenalCLIPCore.imaging.volume import read_volume
from RenalCLIPCore.models.bundle import write_bundle
from RenalCLIPCore.resources import resources
from RenalCLIPCore.review import Absent, Centre, read_review, to_json
from RenalCLIPCore.session import Session
from RenalCLIPCore.withheld import Withheld
from RenalCLIPCore.worker_methods import SessionMethods, SessionOptions
from Testing.Core.models.bundle_toys import toy_contents, with_multiphase
from Testing.Core.phantom_case import make_phantom, write_phantom_study


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundles") / "toy"
    write_bundle(folder, with_multiphase(toy_contents()))
    return folder


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    volumes, labels, _ = make_phantom()
    return write_phantom_study(tmp_path_factory.mktemp("case") / "study", volumes, labels)


@pytest.fixture
def session(files, bundle):
    found = Session()
    found.load_bundle(bundle)
    found.open(files[0])
    found.segment_from_file(files[1])
    return found


def test_the_review_carries_the_predecessor_beside_renalclip(session, tmp_path):
    primary = session.review().primary
    earlier = primary.predecessor
    assert earlier.phases_used == ("N", "A", "V")
    assert set(earlier.agreement) == {"malignancy"}  # the toy bundle's own heads lack aggressiveness
    assert earlier.score == pytest.approx(10 * earlier.aggressiveness.probability)
    assert earlier.slice_centre_lps_mm[2] == pytest.approx(primary.centre_used.lps_mm[2], abs=2.6)
    assert isinstance(earlier.explanation, Absent)
    maps = session.explain(primary.lesion_id)
    assert {f"predecessor-{primary.lesion_id}-{task}.nrrd" for task in ("malignancy", "aggressiveness")} < set(maps)
    session.save(tmp_path / "out")
    review = read_review(tmp_path / "out" / "review.json")
    schema = json.loads((resources() / "schemas" / "case_review.schema.json").read_text())
    jsonschema.validate(json.loads(to_json(review)), schema)
    found = review.primary.predecessor
    assert [item.file for item in found.explanation] == [f"predecessor-{primary.lesion_id}-{t}.nrrd" for t in
                                                         ("malignancy", "aggressiveness")]  # fmt: skip
    assert read_volume(tmp_path / "out" / found.explanation[0].file).geometry.size[2] == 1
    assert {"predecessor-1", "predecessor-2"} <= set(review.primary.pictures)
    page = (tmp_path / "out" / "review.html").read_text(encoding="utf-8")
    assert "aggressiveness score" in page
    assert " the predecessor " in page


def test_a_moved_centre_moves_the_slice_and_drops_the_maps(session, tmp_path):
    primary = session.review().primary
    session.explain(primary.lesion_id)
    x, y, z = primary.centre_used.lps_mm
    moved = session.move(primary.lesion_id, Centre((x, y, z + 10), "manual", "a reader", "", ""))
    assert moved.predecessor.slice_centre_lps_mm[2] == pytest.approx(
        primary.predecessor.slice_centre_lps_mm[2] + 10, abs=2.6
    )
    assert isinstance(moved.predecessor.explanation, Absent)
    session.save(tmp_path / "out")
    assert not list((tmp_path / "out").glob("predecessor-*"))


def test_a_phase_that_training_had_may_lack_in_the_study(bundle, tmp_path):
    volumes, labels, _ = make_phantom(phases="AV")
    study, masks = write_phantom_study(tmp_path / "study", volumes, labels)
    found = Session()
    found.load_bundle(bundle)
    found.open(study)
    found.segment_from_file(masks)
    earlier = found.review().primary.predecessor
    assert (earlier.phases_used, earlier.phases_missing) == (("A", "V"), ("N",))


def test_a_reading_without_predictions_has_nothing_of_the_predecessor(session, files, tmp_path):
    session.withhold(Withheld(predictions=True))
    session.open(files[0])
    session.segment_from_file(files[1])
    primary = session.review().primary
    assert "withheld" in primary.predecessor.absent
    session.save(tmp_path / "out")
    assert "aggressiveness score" not in (tmp_path / "out" / "review.html").read_text(encoding="utf-8")


def test_the_worker_answers_with_the_predecessor_and_its_maps(files, bundle, tmp_path):
    methods = SessionMethods(SessionOptions(), tmp_path)

    def call(method, **params):
        return methods.call(method, params, lambda fraction, words: None).result

    call("bundle.load", path=str(bundle))
    call("study.open", path=str(files[0].folder))
    call("segment", file=str(files[1]))
    primary = call("review")["lesions"][0]
    assert 0 <= primary["predecessor"]["score"] <= 10
    answer = call("explain", lesion_id=primary["lesion_id"])
    for item in answer["predecessor"]:
        assert (tmp_path / item["file"]).is_file()


def test_a_bundle_without_networks_says_so(files, tmp_path):
    write_bundle(tmp_path / "plain", toy_contents())
    found = Session()
    found.load_bundle(tmp_path / "plain")
    found.open(files[0])
    found.segment_from_file(files[1])
    primary = found.review().primary
    assert "carries no multi-phase network" in primary.predecessor.absent
    assert not [name for name in found.explain(primary.lesion_id) if name.startswith("predecessor")]
