"""The defaults are the paper's recipes; every shipped preset is valid and sized for its purpose."""

import pytest

from RenalCLIPCore.errors import ConfigurationError
from RenalCLIPCore.resources import resources
from RenalCLIPCore.training.configuration import STAGES, load_configuration, preset_path, stage_of
from RenalCLIPCore.training.stage import CONFIGURATION_FILE

PRESETS = sorted(path.stem for path in (resources() / "presets").glob("*.yaml"))


def rates(stage):
    return stage.optimiser.learning_rate, stage.optimiser.weight_decay, stage.optimiser.betas


def test_image_pretraining_is_table_36():
    found = load_configuration("image")
    assert rates(found) == (5e-4, 5e-3, (0.9, 0.999))
    assert (found.batch_size, found.epochs, found.schedule.shape, found.schedule.warm_up) == (300, 200, "cosine", 0.1)


def test_masked_tokens_are_table_37():
    found = load_configuration("mntp")
    assert rates(found) == (5e-5, 0.0, (0.9, 0.999))
    assert (found.batch_size, found.iterations, found.mask_probability, found.precision) == (32, 1000, 0.2, "bf16")
    assert (found.lora.rank, found.lora.alpha, found.lora.dropout, found.schedule.shape) == (16, 32, 0.05, "linear")
    assert found.gradient_checkpointing


def test_simcse_is_table_38():
    found = load_configuration("simcse")
    assert rates(found) == (3e-5, 0.0, (0.9, 0.999))
    assert (found.batch_size, found.iterations, found.dropout, found.schedule.shape) == (128, 1000, 0.2, "linear")


def test_alignment_is_table_39():
    found = load_configuration("clip")
    assert rates(found) == (1e-5, 1e-2, (0.9, 0.98))
    assert found.optimiser.learning_rates["encoder.projection"] == 5e-4
    assert found.optimiser.clip_norm == 0.2
    assert (found.batch_size, found.epochs, found.precision, found.schedule.warm_up) == (4096, 100, "bf16", 0.1)
    assert (found.temperature, found.largest_scale, found.encoder.width) == (0.07, 100, 64)


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_can_be_loaded_and_loaded_again(name, tmp_path):
    stage = stage_of_file(name)
    found = load_configuration(stage, preset_path(name))
    (tmp_path / CONFIGURATION_FILE).write_text(found.to_yaml())
    assert load_configuration(stage, tmp_path / CONFIGURATION_FILE) == found
    assert stage_of(tmp_path) == stage


def stage_of_file(name):
    return next(stage for stage in STAGES if f"stage: {stage}\n" in preset_path(name).read_text())


@pytest.mark.parametrize(
    ("stage", "text", "message"),
    [
        ("clip", "augmentation: {flip_probability: 0.5}", "swap the sides"),
        ("image", "augmentation: {flip_probability: 0.5}", "swap the sides"),
        ("mntp", "iterations: 7", "multiple of epochs"),
        ("mntp", "{mask_share: 0.9, random_share: 0.2}", "must not exceed 1"),
        ("simcse", "new_model: {width: 30, heads: 4}", "multiple of twice"),
        ("clip", "image_start: none", "image_start"),
        ("task", "tasks: [malignancy, renal_r]", "tasks must name one task"),
        ("task", "tasks: [renal_q]", "unknown task 'renal_q'"),
        ("task", "{tasks: [renal_r], balance: [malignancy]}", "balance can only name"),
        ("task", "fraction: 0", "fraction: Input should be greater"),
        ("task", "network: resnet", "network: Input should be"),
        ("task", "grid: {learning_rate: [0.1], batch_size: [1]}", "batch_size must be at least 2"),
        ("survival", "{tasks: [malignancy], balance: []}", "trains rfs alone"),
        ("report-projector", "augmentation: {flip_probability: 0.5}", "swap the sides"),
        ("report-projector", "new_model: {architecture: bert}", "does not write text"),
        ("clip", "chunk: 0", "chunk: Input should be greater"),
    ],
)
def test_impossible_values_are_refused_with_their_place(stage, text, message, tmp_path):
    (tmp_path / "stage.yaml").write_text(text)
    with pytest.raises(ConfigurationError, match=message):
        load_configuration(stage, tmp_path / "stage.yaml")
