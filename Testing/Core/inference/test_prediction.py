import itertools

import numpy as np
import pytest
import torch

from RenalCLIPCore.errors import MissingPhaseError
from RenalCLIPCore.inference.head_readings import binary, complexity, components, probabilities, total
from RenalCLIPCore.inference.network_output import fused_phases, run_networks
from RenalCLIPCore.inference.prediction import read
from RenalCLIPCore.models.bundle import BundleContents
from RenalCLIPCore.models.encoder import RenalEncoder, network_input
from RenalCLIPCore.models.weights import make_head
from RenalCLIPCore.review import Absent, ClassProbability, ComponentPrediction, Predicted, decode, encode
from Testing.Core.inference.reading_toys import output_of, saved, toy_rois
from Testing.Core.models.bundle_toys import DIMENSIONS, WIDTH, task, toy_contents, toy_manifest


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return saved(tmp_path_factory.mktemp("full"), toy_contents())


def bundle_of(folder, tasks, **fields):
    generator = torch.Generator().manual_seed(3)
    heads = {}
    for item in tasks:
        heads[item.name] = make_head(item, 8 * WIDTH)
        torch.nn.init.normal_(list(heads[item.name].parameters())[-2], generator=generator)
    manifest = toy_manifest(tasks, **fields)
    return saved(folder, BundleContents(manifest, RenalEncoder(WIDTH, DIMENSIONS, generator), heads))


def test_late_fusion_is_the_mean_of_the_phases_logits_computed_by_hand(bundle):
    rois = toy_rois("NAVD")
    output = run_networks(bundle, rois)
    with torch.no_grad():
        for name, encoder in (("renal_r", bundle.encoder), ("malignancy", bundle.task_encoders["malignancy"])):
            rows = [bundle.heads[name](encoder(network_input(rois[phase][None]))).numpy()[0] for phase in "NAVD"]
            assert np.allclose(output.logits[name], rows, atol=1e-5)
            assert np.allclose(output.fused_logits(name), np.mean(rows, axis=0), atol=1e-5)
    assert output.phases == output.fused == ("N", "A", "V", "D")


def test_phases_are_read_in_one_order_whatever_the_order_given(bundle):
    rois = toy_rois("VA")
    again = dict(reversed(list(rois.items())))
    first, second = run_networks(bundle, rois), run_networks(bundle, again)
    assert first.phases == second.phases == ("A", "V")
    assert np.array_equal(first.features, second.features)


def test_mean_embedding_is_the_renormalised_mean_of_unit_vectors(bundle):
    output = run_networks(bundle, toy_rois("AV"))
    assert np.allclose(np.linalg.norm(output.embeddings, axis=1), 1.0)
    mean = output.embeddings.mean(axis=0)
    assert np.allclose(output.mean_embedding, mean / np.linalg.norm(mean))


def test_a_single_phase_bundle_reads_arterial_else_venous(tmp_path):
    bundle = bundle_of(tmp_path, (task("malignancy"),), fusion="arterial-else-venous")
    rois = toy_rois("NAV")
    both = run_networks(bundle, rois)
    assert both.fused == ("A",)
    assert len(both.features) == 3
    alone = run_networks(bundle, {"A": rois["A"]})
    assert np.allclose(both.fused_logits("malignancy"), alone.fused_logits("malignancy"), atol=1e-6)
    assert run_networks(bundle, {"V": rois["V"], "N": rois["N"]}).fused == ("V",)
    with pytest.raises(MissingPhaseError, match="phases are: N"):
        run_networks(bundle, {"N": rois["N"]})


def test_without_any_phase_there_is_no_reading():
    with pytest.raises(MissingPhaseError, match="none"):
        fused_phases("random-phase", ())


def test_a_region_of_another_shape_is_refused(bundle):
    with pytest.raises(ValueError, match="140"):
        run_networks(bundle, {"A": np.zeros((128, 128, 32), np.float32)})


def test_temperature_divides_the_fused_logits(tmp_path):
    tasks = (task("malignancy", temperature=2.0, temperature_source="toy", threshold=0.4),)
    bundle = bundle_of(tmp_path, tasks)
    output = output_of({"malignancy": [[0.0, 1.0], [0.0, 3.0]]})
    found = binary(bundle, output, "malignancy")
    assert found.probability == pytest.approx(1 / (1 + np.exp(-1.0)))
    assert found.per_phase["A"] == pytest.approx(1 / (1 + np.exp(-0.5)))
    assert found.per_phase["V"] == pytest.approx(1 / (1 + np.exp(-1.5)))
    assert (found.positive, found.negative, found.threshold) == ("malignant", "benign", 0.4)
    assert "toy" in found.calibration


def test_probabilities_of_large_logits_stay_finite():
    assert np.allclose(probabilities([1e4, 0.0, -1e4], 1.0), [1.0, 0.0, 0.0])


def component(letter, values, names=("one", "two", "three"), points=(1, 2, 3)):
    classes = tuple(ClassProbability(*item) for item in zip(names, points, values, strict=True))
    return ComponentPrediction(letter, classes, int(np.argmax(values)))


def test_total_and_complexity_equal_the_enumeration_of_all_combinations():
    generator = np.random.default_rng(0)
    scored = [component(letter, generator.dirichlet([1, 1, 1])) for letter in "RENL"]
    face = component("A", (0.2, 0.7, 0.1), ("anterior", "posterior", "neither"), (0, 0, 0))
    found = total((*scored, face))
    expected = {"low": 0.0, "moderate": 0.0, "high": 0.0}
    for combination in itertools.product(range(3), repeat=4):
        points = sum(index + 1 for index in combination)
        group = "low" if points < 7 else "moderate" if points < 10 else "high"
        expected[group] += np.prod([item.classes[i].probability for item, i in zip(scored, combination, strict=True)])
    assert found.complexity_probabilities == pytest.approx(expected)
    assert found.score == sum(item.predicted + 1 for item in scored)
    assert found.text == f"{found.score}p"
    assert found.complexity == complexity(found.score)


@pytest.mark.parametrize(
    ("score", "group"), [(4, "low"), (6, "low"), (7, "moderate"), (9, "moderate"), (10, "high"), (12, "high")]
)
def test_complexity_groups(score, group):
    assert complexity(score) == group


@pytest.mark.parametrize(("face", "suffix"), [("anterior", "a"), ("posterior", "p"), ("neither", "x")])
def test_suffix_follows_the_face(face, suffix):
    scored = [component(letter, (1.0, 0.0, 0.0)) for letter in "RENL"]
    assert total((*scored, component("A", (1.0,), (face,), (0,)))).text == f"4{suffix}"
    assert total(tuple(scored)).text == "4"


def test_a_total_needs_all_four_components():
    found = total((component("R", (1.0, 0.0, 0.0)),))
    assert isinstance(found, Absent)
    assert "E, N, L" in found.absent


def test_components_come_in_the_order_of_the_score_with_their_points(tmp_path):
    bundle = bundle_of(tmp_path, (task("renal_l"), task("renal_a"), task("renal_r")))
    logits = {"renal_l": [[0, 0, 5]], "renal_a": [[0, 5, 0]], "renal_r": [[5, 0, 0]]}
    found = components(bundle, output_of(logits, ("A",)))
    assert [item.component for item in found] == ["R", "A", "L"]
    assert [item.predicted for item in found] == [0, 1, 2]
    assert [one.points for one in found[2].classes] == [1, 2, 3]
    assert [one.points for one in found[1].classes] == [0, 0, 0]


def test_a_reading_has_every_part_the_bundle_can_give_and_survives_json(bundle):
    predicted = read(bundle, toy_rois("AV")).predicted
    assert decode(Predicted, encode(predicted)) == predicted
    for part in ("malignancy", "recurrence", "zero_shot", "neighbours", "out_of_distribution", "components"):
        assert not isinstance(getattr(predicted, part), Absent), part
    assert isinstance(predicted.aggressiveness, Absent)
    assert isinstance(predicted.total, Absent)
    assert predicted.phases_used == ("A", "V")


def test_a_bundle_without_tasks_says_what_is_absent(tmp_path):
    predicted = read(bundle_of(tmp_path, ()), toy_rois("A")).predicted
    parts = ("components", "total", "malignancy", "recurrence", "zero_shot", "neighbours", "out_of_distribution")
    assert all(isinstance(getattr(predicted, part), Absent) for part in parts)


def test_an_encoder_without_projection_reads_without_embedding(tmp_path):
    from RenalCLIPCore.models.manifest import Architecture

    manifest = toy_manifest(()).model_copy(update={"architecture": Architecture(width=WIDTH, embedding_dim=0)})
    bundle = saved(tmp_path, BundleContents(manifest, RenalEncoder(WIDTH, 0)))
    reading = read(bundle, toy_rois("A"))
    assert reading.output.embeddings is None
    assert isinstance(reading.predicted.zero_shot, Absent)


def test_the_fast_mode_stays_near_the_exact_one(tmp_path):
    contents = toy_contents()
    exact = saved(tmp_path / "a", contents)
    fast = saved(tmp_path / "b", contents, "fast")
    rois = toy_rois("AV")
    first, second = run_networks(exact, rois), run_networks(fast, rois)
    assert not np.array_equal(first.features, second.features)
    assert np.allclose(first.features, second.features, atol=0.05 * np.abs(first.features).max())
