import argparse
import math
import os

import pytest
import torch

from RenalCLIPCore.cli import main
from RenalCLIPCore.errors import BundleError, ConfigurationError, InputError, WeightsMismatchError
from RenalCLIPCore.models.bundle import Bundle
from RenalCLIPCore.models.bundle_import import contents_from_checkpoints
from RenalCLIPCore.models.checkpoints import CheckpointKind, read_checkpoint
from RenalCLIPCore.models.encoder import RenalEncoder
from RenalCLIPCore.models.heads import ClassificationHead, SurvivalHead

WIDTH, DIMENSIONS = 2, 6


def encoder_tensors(prefix, dimensions=DIMENSIONS, seed=0):
    encoder = RenalEncoder(WIDTH, dimensions, torch.Generator().manual_seed(seed))
    renamed = {}
    for name, value in encoder.state_dict().items():
        renamed[prefix + name.replace("projection.", "global_embedding.head.")] = value.clone()
    return renamed


def clip_tensors(text=True):
    tensors = {"logit_scale": torch.tensor(math.log(1 / 0.07)), **encoder_tensors("image_encoder_q_student.")}
    if text:
        tensors["text_encoder_q_student.embed.weight"] = torch.zeros(3, 2)
    return tensors


def classifier_tensors(task, classes, hidden=4):
    head = ClassificationHead(8 * WIDTH, classes, hidden, generator=torch.Generator().manual_seed(classes))
    numbers = {"hidden": "2", "norm": "3", "output": "6" if hidden else "2"}
    tensors = {}
    for name, value in head.state_dict().items():
        part, _, rest = name.partition(".")
        tensors[f"classifiers.{task}.block_forward.{numbers[part]}.{rest}"] = value.clone()
    return tensors


def survival_tensors():
    head = SurvivalHead(8 * WIDTH, 4, torch.Generator().manual_seed(3))
    return {name.replace("layers.", "fc."): value.clone() for name, value in head.state_dict().items()}


def save(path, tensors, module=False, **beside):
    torch.save({"model": {f"module.{k}" if module else k: v for k, v in tensors.items()}, **beside}, path)
    return path


@pytest.mark.parametrize("module", [False, True])
@pytest.mark.parametrize("text", [False, True])
def test_image_text_checkpoints_load_every_encoder_tensor(tmp_path, module, text):
    tensors = clip_tensors(text)
    beside = {"epoch": 3, "args": argparse.Namespace(lr=1e-5, name="run"), "optimizer": {"state": {}}}
    checkpoint = read_checkpoint(save(tmp_path / "c.pt", tensors, module, **beside))
    assert checkpoint.kind is CheckpointKind.CLIP
    assert (checkpoint.encoder.width, checkpoint.encoder.embedding_dim) == (WIDTH, DIMENSIONS)
    assert checkpoint.logit_scale == pytest.approx(1 / 0.07)
    assert checkpoint.text_tensors == int(text)
    for name, value in checkpoint.encoder.state_dict().items():
        source = "image_encoder_q_student." + name.replace("projection.", "global_embedding.head.")
        assert torch.equal(value, tensors[source]), name


@pytest.mark.parametrize("hidden", [0, 4])
@pytest.mark.parametrize("dimensions", [0, 3])
def test_attribute_checkpoints_load_with_and_without_hidden_units_and_projection(tmp_path, hidden, dimensions):
    tensors = {
        **encoder_tensors("backbone.image_encoder.", dimensions),
        **classifier_tensors("question.1", 3, hidden),
        **classifier_tensors("q2", 5, hidden),
    }
    checkpoint = read_checkpoint(save(tmp_path / "c.pth", tensors, module=True))
    assert checkpoint.kind is CheckpointKind.IMAGE
    assert checkpoint.encoder.embedding_dim == dimensions
    assert {name: head.output.out_features for name, head in checkpoint.classifiers.items()} == {
        "question.1": 3,
        "q2": 5,
    }
    number = "6" if hidden else "2"
    assert torch.equal(
        checkpoint.classifiers["q2"].output.weight, tensors[f"classifiers.q2.block_forward.{number}.weight"]
    )


def test_survival_checkpoints_load(tmp_path):
    tensors = {**encoder_tensors("backbone.image_encoder.", 0), **survival_tensors()}
    checkpoint = read_checkpoint(save(tmp_path / "c.pth", tensors))
    assert checkpoint.kind is CheckpointKind.SURVIVAL
    assert torch.equal(checkpoint.survival.layers[4].weight, tensors["fc.4.weight"])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.pop("image_encoder_q_student.layer3.1.bn2.running_var"), r"lacks layer3\.1\.bn2\.running_var"),
        (lambda t: t.update({"image_encoder_q_student.fc.weight": torch.zeros(2)}), r"unexpected fc\.weight"),
        (lambda t: t.update({"image_encoder_q_student.bn1.bias": torch.zeros(5)}), r"shape for bn1\.bias"),
        (lambda t: t.update(other=torch.zeros(1)), "unexpected other"),
        (lambda t: t.pop("logit_scale"), "logit_scale"),
        (lambda t: t.pop("image_encoder_q_student.conv1.weight"), "no 3-D ResNet"),
        (lambda t: t.pop("image_encoder_q_student.global_embedding.head.weight"), "unexpected projection"),
        (
            lambda t: [t.pop(f"image_encoder_q_student.global_embedding.head.{part}") for part in ("weight", "bias")],
            "the projection",
        ),
        (lambda t: t["image_encoder_q_student.bn1.weight"].fill_(float("nan")), "not finite"),
    ],
)
def test_tensors_that_do_not_match_are_named(tmp_path, change, words):
    tensors = clip_tensors()
    change(tensors)
    with pytest.raises(WeightsMismatchError, match=words):
        read_checkpoint(save(tmp_path / "c.pt", tensors))


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ({"classifiers.q.other.2.weight": torch.zeros(1)}, "unexpected classifiers"),
        ({"classifiers.q.block_forward.3.weight": torch.zeros(1)}, "output layer"),
        (
            {**classifier_tensors("q", 2), "classifiers.q.block_forward.9.weight": torch.zeros(1)},
            r"unexpected 9\.weight",
        ),
        ({**survival_tensors(), "classifiers.q.block_forward.2.weight": torch.zeros(1)}, "unexpected classifiers"),
    ],
)
def test_heads_that_do_not_match_are_named(tmp_path, extra, words):
    tensors = {**encoder_tensors("backbone.image_encoder.", 0), **extra}
    with pytest.raises(WeightsMismatchError, match=words):
        read_checkpoint(save(tmp_path / "c.pt", tensors))


def test_an_unknown_layout_and_a_doubled_prefix_are_refused(tmp_path):
    with pytest.raises(WeightsMismatchError, match="known layouts"):
        read_checkpoint(save(tmp_path / "a.pt", {"encoder.weight": torch.zeros(1)}))
    doubled = {"logit_scale": torch.zeros(1), "module.logit_scale": torch.zeros(1)}
    with pytest.raises(WeightsMismatchError, match="twice"):
        read_checkpoint(save(tmp_path / "b.pt", doubled))


class Hostile:
    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


def test_a_hostile_pickle_is_refused_and_not_run(tmp_path):
    trace = tmp_path / "trace"
    torch.save({"model": clip_tensors(), "args": Hostile(f"touch {trace}")}, tmp_path / "c.pt")
    with pytest.raises(BundleError, match="cannot be read safely"):
        read_checkpoint(tmp_path / "c.pt")
    assert not trace.exists()


@pytest.mark.parametrize("data", [b"", b"no checkpoint", b"PK\x03\x04 torn"])
def test_damaged_files_are_refused(tmp_path, data):
    (tmp_path / "c.pt").write_bytes(data)
    with pytest.raises(BundleError, match="cannot be read safely"):
        read_checkpoint(tmp_path / "c.pt")


@pytest.mark.parametrize("content", [{"state": {}}, {"model": {}}, {"model": {"a": 1}}, [1, 2], {"model": [1]}])
def test_checkpoints_without_a_dictionary_of_tensors_are_refused(tmp_path, content):
    torch.save(content, tmp_path / "c.pt")
    with pytest.raises(BundleError, match="'model'"):
        read_checkpoint(tmp_path / "c.pt")


def test_a_missing_file_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match="no such"):
        read_checkpoint(tmp_path / "none.pt")


def describe(tmp_path, main_tensors, tasks):
    paths = {task: save(tmp_path / f"{task}.pth", tensors) for task, tensors in tasks.items()}
    return contents_from_checkpoints(
        save(tmp_path / "main.pt", main_tensors), paths, name="n", version="1", fusion="arterial-else-venous",
        licence="MIT", training_data="None.",
    )  # fmt: skip


def test_fine_tuned_tasks_keep_their_own_encoders(tmp_path):
    fine_tuned = {
        "malignancy": {**encoder_tensors("backbone.image_encoder.", 0, seed=5), **classifier_tensors("benign_vs", 2)},
        "rfs": {**encoder_tensors("backbone.image_encoder.", 3, seed=6), **survival_tensors()},
    }
    contents, left_out = describe(tmp_path, clip_tensors(), fine_tuned)
    assert left_out == ()
    assert [task.name for task in contents.manifest.tasks] == ["malignancy", "rfs"]
    assert all(task.own_encoder for task in contents.manifest.tasks)
    expected = fine_tuned["malignancy"]["backbone.image_encoder.conv1.weight"]
    assert torch.equal(contents.task_encoders["malignancy"].conv1.weight, expected)
    assert contents.task_encoders["rfs"].projection is None


def test_heads_of_unknown_questions_are_left_out_and_said(tmp_path):
    tensors = {
        **encoder_tensors("backbone.image_encoder."), **classifier_tensors("renal_r", 3), **classifier_tensors("q7", 7),
        **classifier_tensors("renal_e", 5),
    }  # fmt: skip
    contents, left_out = describe(tmp_path, tensors, {})
    assert [task.name for task in contents.manifest.tasks] == ["renal_r"]
    assert left_out == ("q7", "renal_e")


def test_tasks_that_do_not_fit_are_refused(tmp_path):
    encoder = encoder_tensors("backbone.image_encoder.", 0)
    with pytest.raises(ConfigurationError, match="unknown"):
        describe(tmp_path, clip_tensors(), {"grade": {**encoder, **classifier_tensors("grade", 2)}})
    with pytest.raises(BundleError, match="3 classes"):
        describe(tmp_path, clip_tensors(), {"malignancy": {**encoder, **classifier_tensors("m", 3)}})
    with pytest.raises(BundleError, match="survival head"):
        describe(tmp_path, clip_tensors(), {"rfs": {**encoder, **classifier_tensors("m", 2)}})
    several = {**encoder, **classifier_tensors("a", 2), **classifier_tensors("b", 2)}
    with pytest.raises(BundleError, match="2 classification heads"):
        describe(tmp_path, clip_tensors(), {"malignancy": several})


def test_the_commands_import_show_and_verify(tmp_path, capsys):
    clip = save(tmp_path / "clip.pt", clip_tensors(), module=True)
    task = {**encoder_tensors("backbone.image_encoder.", 0), **classifier_tensors("m", 2)}
    tuned = save(tmp_path / "m.pth", task)
    out = tmp_path / "bundle"
    assert main(["bundle", "import", str(clip), "--out", str(out), "--task", f"malignancy={tuned}"]) == 0
    assert "malignancy" in capsys.readouterr().out
    bundle = Bundle.load(out)
    assert bundle.manifest.name == "bundle"
    assert "not calibrated" in bundle.manifest.task("malignancy").temperature_source
    assert main(["bundle", "show", str(out)]) == 0
    shown = capsys.readouterr().out
    assert bundle.sha256 in shown
    assert "# capabilities: malignancy" in shown
    assert main(["bundle", "verify", str(out)]) == 0
    assert "agree" in capsys.readouterr().out
    (out / "heads.safetensors").write_bytes(b"damaged")
    assert main(["bundle", "verify", str(out)]) == 2
    assert "SHA-256" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [["--task", "malignancy"], ["--task", "a=b", "--task", "a=c"], ["--name", "no spaces please"]]
)
def test_unusable_options_end_with_one_message_and_nothing_written(tmp_path, capsys, arguments):
    clip = save(tmp_path / "clip.pt", clip_tensors())
    assert main(["bundle", "import", str(clip), "--out", str(tmp_path / "bundle"), *arguments]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
    assert not (tmp_path / "bundle").exists()
