"""The multi-phase network learns, resumes bit for bit, is calibrated, and refuses cohorts that cannot teach it."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from RenalCLIPCore.cohort.splits import learning_cohort
from RenalCLIPCore.errors import Cancelled, CohortError, ConfigurationError, TrainingError, WeightsMismatchError
from RenalCLIPCore.training.configuration import load_configuration, preset_path
from RenalCLIPCore.training.loop import BEST_FILE
from RenalCLIPCore.training.multiphase import (
    CaseFeatures,
    fused_logits,
    new_network,
    open_multiphase,
    train_multiphase,
    usable_part,
)
from RenalCLIPCore.training.multiphase_stage import FIXED_SUBSETS, parts, phase_letters
from Testing.Core.models.test_multiphase import imagenet_like
from Testing.Core.training.slice_toys import slice_store, toy_multiphase


def test_the_default_is_the_published_recipe():
    found = load_configuration("multiphase")
    assert (found.phases, found.fusion, found.width, found.any_subset) == ("NAV", "cross-attention", 64, False)
    assert (found.epochs, found.batch_size, found.optimiser.learning_rate, found.dropout) == (200, 64, 1e-5, 0.5)
    assert (found.schedule.shape, found.optimiser.weight_decay, found.balance) == ("constant", 0.0, True)


def test_the_phantom_preset_is_small():
    found = load_configuration("multiphase", preset_path("phantom-multiphase"))
    assert found.width <= 16
    assert found.threads == 2


def test_the_seven_subsets_are_the_papers():
    assert sorted(FIXED_SUBSETS) == sorted(parts("NAV"))
    assert toy_multiphase(any_subset=True).subsets == tuple(parts("NAV"))
    assert toy_multiphase().subsets == ("NAV",)


@pytest.mark.parametrize(("typed", "letters"), [("nav", "NAV"), ("VA", "AV"), ("N,A", "NA"), ("a+v", "AV"), ("D", "D")])
def test_phases_are_typed_in_any_order(typed, letters):
    assert phase_letters(typed) == letters


@pytest.mark.parametrize("typed", ["", "X", "AA", "NAVX", "arterial"])
def test_other_letters_are_refused(typed):
    with pytest.raises(ConfigurationError, match="each once"):
        phase_letters(typed)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"phases": "VA"}, "in this order"),
        ({"phases": ""}, "in this order"),
        ({"task": "renal_r"}, "two classes"),
        ({"augmentation": {"jitter_mm": 1.0}}, "stays in the plane"),
        ({"augmentation": {"crop": False, "rotation_rad": (0.1, 0, 0)}}, "stays in the plane"),
    ],
)
def test_impossible_values_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        toy_multiphase(**values)


def test_changes_are_validated():
    assert toy_multiphase().changed(phases="AV").phases == "AV"
    with pytest.raises(ConfigurationError, match="two classes"):
        toy_multiphase().changed(task="renal_e")


@pytest.mark.parametrize("fusion", ["cross-attention", "concatenation"])
def test_brightness_is_learnt_from_any_phases(tmp_path, fusion):
    rows, store = slice_store(tmp_path, 24)
    settings = toy_multiphase(any_subset=True, fusion=fusion, epochs=8, keep_all=0.3)
    result = train_multiphase(settings, learning_cohort(rows), store, tmp_path / "run")
    assert result.best_score > 0.85
    network, trained, configuration = open_multiphase(tmp_path / "run")
    assert configuration == settings
    assert trained.cases == 16
    assert trained.left_out == 0
    assert set(trained.figures) == set(parts("NAV"))
    assert trained.entry.task.name == "malignancy"
    assert trained.entry.task.temperature_source.endswith("validation cases")
    assert 0 < trained.entry.task.threshold < 1
    assert trained.entry.slices.size == 64
    assert not network.training
    weights = next(iter(network.parameters()))
    assert torch.equal(weights, weights.half().float())


def test_a_fixed_network_learns_from_cases_that_have_all_its_phases(tmp_path):
    rows, store = slice_store(tmp_path, 24)
    train_multiphase(toy_multiphase(phases="AV"), learning_cohort(rows), store, tmp_path / "run")
    _, trained, _ = open_multiphase(tmp_path / "run")
    labelled = sum(row.split == "training" for row in rows)
    whole = sum(row.split == "training" and {"A", "V"} <= {p.value for p in row.volumes} for row in rows)
    assert (trained.cases, trained.left_out) == (whole, labelled - whole)
    assert set(trained.figures) == {"AV"}


def test_a_stopped_run_goes_on_bit_for_bit(tmp_path):
    rows, store = slice_store(tmp_path, 18)
    settings, cohort = toy_multiphase(any_subset=True, epochs=3, dropout=0.3), learning_cohort(rows)
    train_multiphase(settings, cohort, store, tmp_path / "whole")

    def stop(fraction, words):
        if fraction > 0.5:
            raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        train_multiphase(settings, cohort, store, tmp_path / "broken", progress=stop)
    with pytest.raises(TrainingError, match="no finished run"):
        open_multiphase(tmp_path / "broken")
    train_multiphase(settings, cohort, store, tmp_path / "broken", resume=True)
    whole, broken = (open_multiphase(tmp_path / name)[0].state_dict() for name in ("whole", "broken"))
    assert all(torch.equal(value, broken[name]) for name, value in whole.items())


def test_imagenet_weights_are_started_from_and_remembered(tmp_path):
    rows, store = slice_store(tmp_path, 18)
    torch.save(imagenet_like(), tmp_path / "resnet18.pth")
    with pytest.raises(WeightsMismatchError, match="width 64"):
        train_multiphase(
            toy_multiphase(), learning_cohort(rows), store, tmp_path / "run", imagenet=tmp_path / "resnet18.pth"
        )
    settings = toy_multiphase(width=64, phases="A", epochs=1, batch_size=12)
    train_multiphase(settings, learning_cohort(rows), store, tmp_path / "run", imagenet=tmp_path / "resnet18.pth")
    _, trained, _ = open_multiphase(tmp_path / "run")
    assert len(trained.origin) == 64


def test_one_class_in_a_split_is_refused(tmp_path):
    rows, store = slice_store(tmp_path, 18)
    one = [replace(row, labels={"malignancy": 1}) if row.split == "validation" else row for row in rows]
    with pytest.raises(CohortError, match=r"All validation rows .* one class of 'malignancy'"):
        usable_part(toy_multiphase(), learning_cohort(one), store)
    one = [replace(row, labels={"malignancy": 1}) if row.split == "training" else row for row in rows]
    with pytest.raises(CohortError, match="All training rows"):
        usable_part(toy_multiphase(), learning_cohort(one), store)


def test_a_cohort_without_the_phases_or_labels_is_refused(tmp_path):
    rows, store = slice_store(tmp_path, 18)
    with pytest.raises(CohortError, match="No training row has a label for 'malignancy' and all of the phases D"):
        usable_part(toy_multiphase(phases="D"), learning_cohort(rows), store)
    with pytest.raises(CohortError, match="No training row has a label"):
        usable_part(toy_multiphase(), learning_cohort([replace(row, labels={}) for row in rows]), store)


def test_fusing_a_part_of_the_phases_equals_reading_only_them():
    network = new_network(toy_multiphase(any_subset=True)).eval()
    images, present = torch.rand(3, 3, 64, 64), torch.tensor([[True, True, True], [True, False, True], [True] * 3])
    with torch.no_grad():
        features = network.features(images, present)
        wanted = network(images[[0, 2]], torch.tensor([[False, True, False]] * 2))
    places, logits = fused_logits(network, CaseFeatures(("a", "b", "c"), features, present), "A")
    assert places.tolist() == [0, 2]
    np.testing.assert_allclose(logits, wanted.numpy(), atol=1e-5)
    assert fused_logits(network, CaseFeatures(("a",), features[:1], present[:1]), "D")[0].size == 0


def test_weights_of_another_configuration_are_refused(tmp_path):
    rows, store = slice_store(tmp_path, 18)
    train_multiphase(toy_multiphase(epochs=1), learning_cohort(rows), store, tmp_path / "run")
    content = torch.load(tmp_path / "run" / BEST_FILE, weights_only=True)
    torch.save({**content, "configuration": "other"}, tmp_path / "run" / BEST_FILE)
    with pytest.raises(TrainingError, match="another configuration"):
        open_multiphase(tmp_path / "run")
