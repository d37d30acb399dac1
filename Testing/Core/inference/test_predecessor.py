"""The multi-phase network reads what is there, says why it cannot, agrees or not, and shows where it looked."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from RenalCLIPCore.imaging.lesion_slice import LesionSlice
from RenalCLIPCore.imaging.study import Phase
from RenalCLIPCore.imaging.volume import Geometry
from RenalCLIPCore.inference.predecessor import agreement, explain_predecessor, read_predecessor, slice_spec
from RenalCLIPCore.review import Absent, BinaryPrediction
from Testing.Core.inference.reading_toys import saved
from Testing.Core.models.bundle_toys import toy_contents, with_multiphase

NOT_READ = Absent("not read")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return saved(tmp_path_factory.mktemp("any"), with_multiphase(toy_contents()))


@pytest.fixture(scope="module")
def fixed(tmp_path_factory):
    return saved(tmp_path_factory.mktemp("fixed"), with_multiphase(toy_contents(), any_subset=False))


def slices_of(bundle, phases="NAVD", covered=1.0, seed=0):
    spec = slice_spec(bundle.manifest.multiphase[0].slices)
    spacing = (spec.spacing_mm, spec.spacing_mm, 5.0)
    grid = Geometry.from_components((spec.size, spec.size, 1), spacing, (-70, -70, 30), np.eye(3))
    generator = np.random.default_rng(seed)
    arrays = {letter: generator.random((spec.size, spec.size), dtype=np.float32) for letter in "NAVD"}
    return {spec: {Phase(p): LesionSlice(Phase(p), arrays[p], grid, covered) for p in phases}}


def test_a_bundle_without_networks_says_so(tmp_path):
    part, outputs = read_predecessor(saved(tmp_path, toy_contents()), {}, NOT_READ)
    assert "no multi-phase network" in part.absent
    assert outputs == {}


def test_both_probabilities_the_score_and_each_phases_own_are_read(bundle):
    part, outputs = read_predecessor(bundle, slices_of(bundle), NOT_READ)
    assert part.phases_used == ("N", "A", "V")
    assert part.phases_missing == ()
    assert 0 < part.malignancy.probability < 1
    assert part.score == pytest.approx(10 * part.aggressiveness.probability)
    assert set(part.malignancy.per_phase) == {"N", "A", "V"}
    assert part.agreement == {}
    assert part.slice_centre_lps_mm[2] == 30
    assert set(outputs) == {"malignancy", "aggressiveness"}


def test_the_probability_is_the_networks(bundle):
    part, _ = read_predecessor(bundle, slices_of(bundle), NOT_READ)
    slices = next(iter(slices_of(bundle).values()))
    images = torch.from_numpy(np.stack([slices[Phase(letter)].array for letter in "NAV"]))[None]
    network = bundle.multiphase["malignancy"]
    whole, only = torch.ones(1, 3, dtype=torch.bool), torch.tensor([[False, True, False]])
    with torch.no_grad():
        wanted = [torch.softmax(network(images, there), dim=1)[0, 1] for there in (whole, only)]
    assert part.malignancy.probability == pytest.approx(float(wanted[0]), abs=1e-5)
    assert part.malignancy.per_phase["A"] == pytest.approx(float(wanted[1]), abs=1e-5)


def test_a_phase_that_training_had_may_lack_where_any_are_read(bundle):
    part, _ = read_predecessor(bundle, slices_of(bundle, "AV"), NOT_READ)
    whole, _ = read_predecessor(bundle, slices_of(bundle), NOT_READ)
    assert part.phases_used == ("A", "V")
    assert part.phases_missing == ("N",)
    assert part.malignancy.probability != pytest.approx(whole.malignancy.probability, abs=1e-9)
    assert part.malignancy.per_phase == pytest.approx({p: whole.malignancy.per_phase[p] for p in "AV"}, abs=1e-6)


def test_a_fixed_network_refuses_a_study_without_one_of_its_phases(fixed):
    part, outputs = read_predecessor(fixed, slices_of(fixed, "AV"), NOT_READ)
    assert part.absent == (
        "The multi-phase network for malignancy needs all of the phases N, A, V; this study has no non-contrast "
        "phase at the lesion."
    )
    assert outputs == {}
    whole, _ = read_predecessor(fixed, slices_of(fixed), NOT_READ)
    assert whole.malignancy.per_phase == {}


def test_without_any_of_its_phases_nothing_is_read(bundle):
    part, _ = read_predecessor(bundle, slices_of(bundle, "D"), NOT_READ)
    assert "needs one of the phases N, A, V" in part.absent


def test_a_phase_that_hardly_covers_the_slice_counts_as_absent(bundle):
    slices = slices_of(bundle, "NAV")
    spec = next(iter(slices))
    slices[spec][Phase.V] = replace(slices[spec][Phase.V], inside_fraction=0.3)
    part, _ = read_predecessor(bundle, slices, NOT_READ)
    assert part.phases_missing == ("V",)


def test_one_task_may_lack_a_network(tmp_path):
    bundle = saved(tmp_path, with_multiphase(toy_contents(), tasks=("malignancy",)))
    part, _ = read_predecessor(bundle, slices_of(bundle), NOT_READ)
    assert "no multi-phase network for aggressiveness" in part.aggressiveness.absent
    assert part.score is part.aggressiveness


def binary(probability, threshold, task="malignancy"):
    return BinaryPrediction(task, "malignant", "benign", probability, threshold, "toy")


class Reading:
    malignancy = binary(0.4, 0.3)
    aggressiveness = NOT_READ


def test_agreement_is_on_the_side_of_each_systems_own_threshold():
    parts = {"malignancy": binary(0.4, 0.5), "aggressiveness": binary(0.9, 0.5)}
    assert agreement(parts, Reading()) == {"malignancy": "disagree"}
    assert agreement({**parts, "malignancy": binary(0.6, 0.5)}, Reading()) == {"malignancy": "agree"}
    assert agreement(parts, NOT_READ) == {}


def test_the_map_lies_on_the_slice_and_is_scaled(bundle):
    _, outputs = read_predecessor(bundle, slices_of(bundle), NOT_READ)
    output = outputs["malignancy"]
    found = explain_predecessor(bundle, output)
    assert found.volume.array.shape == (64, 64, 1)
    assert found.volume.geometry is output.geometry
    assert found.volume.array.min() >= 0
    assert found.volume.array.max() in (0, pytest.approx(1))
    assert found.task.startswith("Predecessor, malignancy: ")
    assert found.volume.geometry.contains(found.peak_lps_mm)


def test_the_map_is_the_gradient_weighted_activation(bundle):
    """By hand: weights are mean gradients, cells are rectified, phases averaged; the largest cell is brightest."""
    _, outputs = read_predecessor(bundle, slices_of(bundle, "A"), NOT_READ)
    output = outputs["aggressiveness"]
    network = bundle.multiphase["aggressiveness"]
    cells = output.cells.clone().requires_grad_(True)
    logits = network.fuse(cells.mean(dim=(3, 4)), output.present)
    chosen = int(output.prediction.probability >= output.prediction.threshold)
    (logits[0, chosen] - logits[0, 1 - chosen]).backward()
    by_hand = torch.relu((cells.grad[0, 1].mean(dim=(1, 2))[:, None, None] * cells[0, 1]).sum(dim=0)).detach().numpy()
    values = explain_predecessor(bundle, output).volume.array[::32, ::32, 0]
    assert by_hand.shape == values.shape
    np.testing.assert_allclose(values * by_hand.max(), by_hand, atol=1e-4 * max(1.0, by_hand.max()))
