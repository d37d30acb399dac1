"""Configurations refuse what they do not know, and default to the paper's recipe."""

import pytest
import yaml

from RenalCLIPCore.commands.train import ConfigShow
from RenalCLIPCore.errors import ConfigurationError
from RenalCLIPCore.training.configuration import load_configuration, preset_path


def written(tmp_path, text):
    path = tmp_path / "stage.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_default_is_the_papers_multi_task_recipe():
    found = load_configuration("multitask")
    assert (found.optimiser.learning_rate, found.optimiser.weight_decay) == (5e-4, 5e-3)
    assert (found.batch_size, found.epochs, found.schedule.warm_up, found.encoder.width) == (300, 200, 0.1, 64)


def test_what_is_shown_can_be_loaded_again(tmp_path, capsys):
    ConfigShow("multitask", None, "phantom-demo").run()
    shown = capsys.readouterr().out
    again = load_configuration("multitask", written(tmp_path, shown))
    assert again == load_configuration("multitask", preset_path("phantom-demo"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epoch: 3", "epoch: Extra inputs"),
        ("optimiser: {lr: 1}", r"optimiser\.lr: Extra inputs"),
        ("augmentation: {rotation: 1}", r"augmentation\.rotation: Extra inputs"),
        ("epochs: 0", "epochs: Input should be greater"),
        ("tasks: [hilar]", "unknown task 'hilar'"),
        ("tasks: [rfs, rfs]", "each once"),
        ("descriptors: [malignancy]", "unknown or repeated descriptor 'malignancy'"),
        ("weights: {fat: 2}", "'fat', which is not trained"),
        ("weights: {centre_density: 2}", "'centre_density', which is not trained"),
        ("stage: clip", "stage: Input should be 'multitask'"),
        ("- a", "top level"),
        ("a: [", "not valid YAML"),
    ],
)
def test_a_bad_file_is_refused_with_its_place(tmp_path, text, message):
    with pytest.raises(ConfigurationError, match=message):
        load_configuration("multitask", written(tmp_path, text))


def test_unknown_stages_and_presets_name_the_known_ones():
    with pytest.raises(ConfigurationError, match="multitask"):
        load_configuration("everything")
    with pytest.raises(ConfigurationError, match="phantom-demo"):
        preset_path("none")


def test_the_digest_follows_what_decides_the_weights(tmp_path):
    base = load_configuration("multitask")
    same = load_configuration(
        "multitask", written(tmp_path, yaml.safe_dump({"workers": 3, "checkpoints": {"keep": 5}}))
    )
    other = load_configuration("multitask", written(tmp_path, "optimiser: {learning_rate: 0.1}"))
    assert base.digest == same.digest
    assert base.digest != other.digest
