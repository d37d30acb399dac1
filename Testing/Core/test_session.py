"""A case from study and masks to the written review: centres, lesions, storage, and what a bundle lacks."""

import json
from dataclasses import replace

import jsonschema
import numpy as np
import pytest

from RenalCLIPCore.errors import CentreError, ConfigurationError, NoKidneyError, NoLesionError
from RenalCLIPCore.imaging.study import Phase
from RenalCLIPCore.imaging.volume import Geometry, Volume, read_volume, write_volume
from RenalCLIPCore.models.bundle import write_bundle
from RenalCLIPCore.models.encoder import Precision
from RenalCLIPCore.models.report_generator import GeneratorSettings, ReportGenerator, encoder_digest
from RenalCLIPCore.models.text_building import new_network, train_tokenizer
from RenalCLIPCore.resources import resources
from RenalCLIPCore.review import Absent, Centre, read_review, to_json
from RenalCLIPCore.session import Session, SessionOptions
from Testing.Core.models.bundle_toys import toy_contents
from Testing.Core.phantom_case import make_phantom, reoriented, write_phantom_study


@pytest.fixture(scope="module")
def phantom():
    return make_phantom()


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundles") / "toy"
    write_bundle(folder, toy_contents())
    return folder


@pytest.fixture(scope="module")
def files(phantom, tmp_path_factory):
    volumes, labels, _ = phantom
    return write_phantom_study(tmp_path_factory.mktemp("case") / "study", volumes, labels)


def opened(files, bundle=None):
    session = Session()
    if bundle:
        session.load_bundle(bundle)
    session.open(files[0])
    session.segment_from_file(files[1])
    return session


def manual(lps_mm):
    return Centre(tuple(float(v) for v in lps_mm), "manual", "a reader", "2026-01-01T00:00:00+00:00", "better seen")


def test_a_case_becomes_a_review_that_the_schema_knows_and_that_reads_back(files, bundle, phantom, tmp_path):
    session = opened(files, bundle)
    primary = session.review().primary
    session.explain(primary.lesion_id)
    session.estimate_uncertainty(primary.lesion_id)
    session.measure(primary.lesion_id, perturbations=2)
    session.save(tmp_path / "out")
    review = read_review(tmp_path / "out" / "review.json")
    schema = json.loads((resources() / "schemas" / "case_review.schema.json").read_text())
    jsonschema.validate(json.loads(to_json(review)), schema)
    truth = phantom[2].primary
    assert review.primary.side == truth.side
    assert np.linalg.norm(np.subtract(review.primary.centre_used.lps_mm, truth.centre_lps_mm)) < 5
    assert review.primary.largest_diameter_mm == pytest.approx(truth.largest_diameter_mm, abs=6)
    measured = {item.component: item for item in review.primary.measured.components}
    assert measured["R"].value == pytest.approx(phantom[2].renal.r_mm, abs=6)
    assert measured["A"].label in ("anterior", "posterior", "neither")
    predicted = review.primary.predicted
    assert predicted.phases_used == ("N", "A", "V", "D")
    assert len(predicted.neighbours) > 0
    assert predicted.zero_shot[0].task == "malignancy"
    map_file = tmp_path / "out" / predicted.explanation[0].file
    assert read_volume(map_file).geometry.contains(review.primary.centre_used.lps_mm)
    assert read_volume(tmp_path / "out" / "segmentation.nrrd").array.max() >= 2
    assert review.study.folder == ""
    assert "a reader" not in (tmp_path / "out" / "review.json").read_text()
    for picture in review.primary.pictures.values():
        assert (tmp_path / "out" / picture).stat().st_size > 1000
    page = (tmp_path / "out" / "review.html").read_text(encoding="utf-8")
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert not [path for path in (tmp_path / "out").rglob("*") if ".partial" in path.name]


@pytest.mark.parametrize(
    ("order", "flips"),
    [((0, 1, 2), (True, True, False)), ((2, 0, 1), (False, True, True)), ((1, 2, 0), (True, False, True))],
)
def test_storage_changes_neither_centre_nor_side_nor_numbers(files, bundle, phantom, tmp_path, order, flips):
    volumes, labels, _ = phantom
    turned = {phase: reoriented(volume, order, flips) for phase, volume in volumes.items()}
    again = write_phantom_study(tmp_path / "turned", turned, reoriented(labels, order, flips))
    first, second = opened(files, bundle).review(), opened(again, bundle).review()
    assert len(first.lesions) == len(second.lesions)
    for one, other in zip(first.lesions, second.lesions, strict=True):
        assert one.side == other.side
        assert np.allclose(one.centre_used.lps_mm, other.centre_used.lps_mm, atol=1e-3)
        distances = [item.predicted.out_of_distribution.distance for item in (one, other)]
        assert distances[0] == pytest.approx(distances[1], rel=1e-4)
        assert one.predicted.neighbours[0].similarity == pytest.approx(
            other.predicted.neighbours[0].similarity, abs=1e-5
        )


def test_a_given_centre_replaces_the_primary_lesions_and_both_are_kept(files, bundle):
    session = opened(files, bundle)
    before = session.review().primary
    point = manual(np.add(before.centre_proposed.lps_mm, (4, -3, 5)))
    after = session.review(point).primary
    assert after.lesion_id == before.lesion_id
    assert after.centre_used == point
    assert np.allclose(after.centre_proposed.lps_mm, before.centre_proposed.lps_mm)
    moved = session.move(before.lesion_id, before.centre_proposed)
    assert moved.predicted.neighbours == before.predicted.neighbours != after.predicted.neighbours


def test_a_point_far_from_any_lesion_is_a_lesion_of_its_own_on_its_side(files, bundle, phantom):
    session = opened(files, bundle)
    centre = np.array(session.review().primary.centre_used.lps_mm)
    far = manual(centre * (-1, 1, 1))
    review = session.review(far)
    assert review.primary.label == "point"
    assert review.primary.side != phantom[2].primary.side
    assert isinstance(review.primary.volume_ml, Absent)
    assert [lesion.primary for lesion in review.lesions].count(True) == 1


def test_without_masks_a_centre_is_enough(files, bundle, phantom, tmp_path):
    session = Session()
    session.load_bundle(bundle)
    session.open(files[0])
    review = session.review(manual(phantom[2].primary.centre_lps_mm))
    assert review.primary.side == phantom[2].primary.side
    assert isinstance(review.segmentation, Absent)
    session.save(tmp_path)


def test_without_a_lesion_the_result_is_clear_and_a_given_mask_without_one_is_refused(tmp_path, bundle):
    volumes, labels, _ = make_phantom(seed=3, phases="A", lesion=False)
    labels = Volume(np.where(labels.array == 1, 1, 0).astype(np.uint8), labels.geometry)
    study, masks = write_phantom_study(tmp_path / "study", volumes, labels)
    session = opened((study, masks), bundle)
    with pytest.raises(NoLesionError, match="--centre-lps-mm"):
        session.review()
    session._given_file = False
    review = session.review()
    assert review.primary is None
    assert "No tumour or cyst" in review.conclusion
    session.save(tmp_path / "out")


def test_masks_without_a_kidney_are_refused(files, phantom, tmp_path):
    labels = phantom[1]
    write_volume(Volume(np.where(labels.array == 2, 2, 0).astype(np.uint8), labels.geometry), tmp_path / "tumour.nrrd")
    session = Session()
    session.open(files[0])
    with pytest.raises(NoKidneyError):
        session.segment_from_file(tmp_path / "tumour.nrrd")


def test_a_centre_outside_is_refused_and_the_earlier_reading_stays(files, bundle):
    session = opened(files, bundle)
    before = session.review()
    with pytest.raises(CentreError, match="outside the reference volume"):
        session.review(manual((900, 0, 0)))
    with pytest.raises(CentreError):
        session.move(before.primary.lesion_id, manual((0, 0, 900)))
    assert session.build().primary.centre_used == before.primary.centre_used


def test_steps_out_of_order_say_what_is_missing(files):
    session = Session()
    with pytest.raises(ConfigurationError, match="open one first"):
        session.review()
    session.open(files[0])
    with pytest.raises(ConfigurationError, match="--segmentation-model"):
        session.segment_with_model(None)
    with pytest.raises(ConfigurationError, match="no lesion 'L1'"):
        session.report("L1")


def test_a_review_without_a_bundle_names_what_is_absent(files, tmp_path):
    session = opened(files)
    review = session.review()
    assert review.primary.predicted == Absent("no model bundle was given")
    with pytest.raises(ConfigurationError, match="bundle"):
        session.explain("L1")
    session.save(tmp_path)


def test_a_phase_that_misses_the_lesion_is_left_out(phantom, bundle, tmp_path):
    volumes, labels, truth = phantom
    top = volumes[Phase.D].geometry.size[2]
    cut = max(2, int(volumes[Phase.D].geometry.index(truth.primary.centre_lps_mm)[2]) - 14)
    short = Volume(volumes[Phase.D].array[:, :, :cut], volumes[Phase.D].geometry.crop((0, 0, 0), (128, 128, cut)))
    assert cut < top
    study, masks = write_phantom_study(tmp_path / "study", {Phase.A: volumes[Phase.A], Phase.D: short}, labels)
    review = opened((study, masks), bundle).review()
    assert review.primary.predicted.phases_used == ("A",)


def test_two_reviews_of_one_study_give_the_same_numbers(files, bundle):
    def numbers():
        session = opened(files, bundle)
        lesion = session.review().primary.lesion_id
        spread = session.estimate_uncertainty(lesion)
        return session.readings[lesion].review.predicted.neighbours, spread

    assert numbers() == numbers()


def test_registration_undoes_breathing_and_says_how_far(phantom, bundle, tmp_path):
    volumes, labels, _ = phantom
    venous = volumes[Phase.V]
    shift = (0.0, 0.0, 12.0)
    origin = np.add(venous.geometry.origin_lps_mm, shift)
    breathed = Volume(
        venous.array,
        Geometry.from_components(venous.geometry.size, venous.geometry.spacing_mm, origin, np.eye(3)),
    )
    files = write_phantom_study(tmp_path / "study", {Phase.A: volumes[Phase.A], Phase.V: breathed}, labels)
    still = opened(write_phantom_study(tmp_path / "still", {p: volumes[p] for p in (Phase.A, Phase.V)}, labels), bundle)
    session = opened(files, bundle)
    displaced = session.review().primary.attenuation_hu["V"]
    session.register()
    review = session.review()
    registration = next(p.registration for p in review.study.phases if p.phase == "V")
    assert registration.translation_mm == pytest.approx(shift, abs=2.5)
    assert registration.residual_after < registration.residual_before
    expected = still.review().primary.attenuation_hu["V"]
    assert abs(review.primary.attenuation_hu["V"] - expected) < min(5, abs(displaced - expected))


@pytest.mark.parametrize("precision", list(Precision))
def test_the_precision_that_suits_the_device_is_chosen_and_stands_in_the_review(files, bundle, monkeypatch, precision):
    monkeypatch.setattr("RenalCLIPCore.models.bundle.suited_precision", lambda device: precision)
    session = Session(SessionOptions(precision="auto"))
    assert session.load_bundle(bundle).precision is precision
    session.open(files[0])
    session.segment_from_file(files[1])
    session.review()
    assert session.build().provenance.options["precision"] == precision.value


def test_a_report_generator_writes_on_request_and_the_findings_draft_can_be_had_back(files, tmp_path):
    contents = toy_contents()
    settings = GeneratorSettings(
        feature_dim=16, encoder_sha256=encoder_digest(contents.encoder), tokens=2, max_tokens=8, fusion="all-phases"
    )
    tokenizer = train_tokenizer(["Findings: A mass.\nImpression: Cyst."], 300)
    network = new_network(tokenizer, "llama", width=16, hidden=32, layers=1, heads=2, seed=0, max_tokens=512)
    ReportGenerator(network, tokenizer, settings).save(tmp_path / "generator")
    manifest = contents.manifest.model_copy(update={"report": True})
    write_bundle(tmp_path / "bundle", replace(contents, manifest=manifest, report=tmp_path / "generator"))
    session = opened(files, tmp_path / "bundle")
    lesion = session.review().primary.lesion_id
    structured = session.readings[lesion].review.report
    assert structured.source == "structured"
    written = session.report(lesion, generated=True)
    assert written.source == "toy 1"
    assert written.impression.endswith("Not for clinical use.")
    session.measure(lesion, perturbations=0)
    assert session.readings[lesion].review.report == written
    assert session.build().primary.report == written
    assert session.report(lesion).source == "structured"


def test_a_bundle_without_a_report_generator_says_so(files, bundle):
    session = opened(files, bundle)
    lesion = session.review().primary.lesion_id
    with pytest.raises(ConfigurationError, match="carries no report generator"):
        session.report(lesion, generated=True)
