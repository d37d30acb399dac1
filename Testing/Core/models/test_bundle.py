import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from RenalCLIPCore.errors import BundleError, ConfigurationError, OutputError, WeightsMismatchError
from RenalCLIPCore.models.bundle import HEADS_FILE, Bundle, BundleContents, file_hash, verify, write_bundle
from RenalCLIPCore.models.encoder import Precision, RenalEncoder
from RenalCLIPCore.models.manifest import MANIFEST_FILE, BundleManifest
from Testing.Core.models.bundle_toys import DIMENSIONS, WIDTH, toy_contents, toy_manifest


@pytest.fixture(scope="module")
def segmentation(tmp_path_factory):
    folder = tmp_path_factory.mktemp("nnunet")
    (folder / "dataset.json").write_text("{}")
    (folder / "fold_0").mkdir()
    (folder / "fold_0" / "checkpoint_final.pth").write_bytes(b"weights")
    return folder


@pytest.fixture(scope="module")
def original(tmp_path_factory, segmentation):
    folder = tmp_path_factory.mktemp("bundles") / "toy"
    contents = toy_contents(segmentation)
    return folder, contents, write_bundle(folder, contents)


@pytest.fixture
def copy(original, tmp_path):
    return shutil.copytree(original[0], tmp_path / "copy")


def relist(folder):
    """Bring the manifest's hashes up to date, so that only the contents are wrong."""
    manifest = BundleManifest.from_yaml((folder / "bundle.yaml").read_text())
    files = {path: file_hash(folder / path) for path in manifest.files}
    (folder / "bundle.yaml").write_text(manifest.model_copy(update={"files": files}).to_yaml())


def change_tensors(folder, name, change):
    tensors = load_file(folder / name)
    change(tensors)
    save_file(tensors, folder / name)
    relist(folder)


def test_a_bundle_round_trips(original):
    folder, contents, manifest = original
    bundle = Bundle.load(folder)
    assert bundle.manifest == manifest
    assert bundle.sha256 == manifest.sha256
    for name, value in contents.encoder.state_dict().items():
        assert torch.equal(bundle.encoder.state_dict()[name], value), name
    for name, head in contents.heads.items():
        for key, value in head.state_dict().items():
            assert torch.equal(bundle.heads[name].state_dict()[key], value)
    assert set(bundle.task_encoders) == {"malignancy"}
    assert bundle.prompts["malignancy"].texts == contents.prompts["malignancy"].texts
    assert bundle.prompts["malignancy"].classes == ("benign", "malignant")
    assert np.array_equal(bundle.prompts["malignancy"].embeddings[1], contents.prompts["malignancy"].embeddings[1])
    assert np.array_equal(bundle.index.embeddings, contents.index.embeddings)
    assert bundle.index.facts == contents.index.facts
    assert np.array_equal(bundle.statistics.components, contents.statistics.components)
    assert bundle.segmentation_folder == folder / "segmentation"
    assert not bundle.encoder.training
    assert not any(parameter.requires_grad for parameter in bundle.encoder.parameters())
    assert bundle.capabilities == (
        "renal_r", "malignancy", "rfs", "recurrence_curve", "zero_shot", "neighbours", "out_of_distribution",
        "segmentation",
    )  # fmt: skip


def test_the_hash_covers_every_file(original, copy):
    (copy / "segmentation" / "dataset.json").write_text("{ }")
    relist(copy)
    assert verify(copy).sha256 != original[2].sha256


@pytest.mark.parametrize(
    "name", ["encoder.safetensors", "heads.safetensors", "index.json", "segmentation/fold_0/checkpoint_final.pth"]
)
def test_a_flipped_byte_is_refused(copy, name):
    data = bytearray((copy / name).read_bytes())
    data[-1] ^= 1
    (copy / name).write_bytes(bytes(data))
    with pytest.raises(BundleError, match="SHA-256"):
        Bundle.load(copy)


def test_a_missing_file_is_refused(copy):
    (copy / "prompts.json").unlink()
    with pytest.raises(BundleError, match=r"lacks the file 'prompts\.json'"):
        Bundle.load(copy)


def test_an_unlisted_file_is_refused(copy):
    (copy / "segmentation" / "fold_1").mkdir()
    (copy / "segmentation" / "fold_1" / "extra.pth").write_bytes(b"x")
    with pytest.raises(BundleError, match="does not list"):
        Bundle.load(copy)


def test_a_link_is_refused(copy, tmp_path):
    (tmp_path / "outside").write_text("x")
    (copy / "link").symlink_to(tmp_path / "outside")
    with pytest.raises(BundleError, match="link"):
        Bundle.load(copy)


def test_a_needed_file_that_is_not_listed_is_refused(copy):
    manifest = BundleManifest.from_yaml((copy / "bundle.yaml").read_text())
    files = {path: value for path, value in manifest.files.items() if path != "index.json"}
    (copy / "bundle.yaml").write_text(manifest.model_copy(update={"files": files}).to_yaml())
    (copy / "index.json").unlink()
    with pytest.raises(BundleError, match=r"does not list the file 'index\.json'"):
        Bundle.load(copy)


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("encoder.safetensors", lambda t: t.pop("bn1.weight"), r"lacks bn1\.weight"),
        ("encoder.safetensors", lambda t: t.update(more=torch.zeros(1)), "unexpected more"),
        (
            "encoder.safetensors",
            lambda t: t.update({"bn1.bias": torch.zeros(7)}),
            r"another shape for bn1\.bias \(7,\)",
        ),
        ("encoders/malignancy.safetensors", lambda t: t.pop("conv1.weight"), "lacks conv1"),
        ("heads.safetensors", lambda t: t.pop("renal_r.output.bias"), r"\(renal_r\) lacks output\.bias"),
        ("heads.safetensors", lambda t: t.update({"renal_e.output.bias": torch.zeros(3)}), "unexpected renal_e"),
        ("prompts.safetensors", lambda t: t.pop("malignancy/1"), "malignancy/1"),
        ("prompts.safetensors", lambda t: t.update({"malignancy/0": torch.ones(2, 3)}), "malignancy/0"),
        ("index.safetensors", lambda t: t.update(embeddings=t["embeddings"][:3].clone()), "embeddings"),
        ("statistics.safetensors", lambda t: t.update(mean=torch.zeros(3)), "statistics"),
    ],
)
def test_missing_extra_and_misshapen_tensors_are_refused(copy, name, change, words):
    change_tensors(copy, name, change)
    with pytest.raises(WeightsMismatchError, match=words):
        Bundle.load(copy)


def test_values_that_are_not_finite_are_refused(copy):
    change_tensors(copy, "encoder.safetensors", lambda t: t["conv1.weight"].fill_(float("nan")))
    with pytest.raises(WeightsMismatchError, match="not finite"):
        Bundle.load(copy)


def test_embeddings_that_are_not_normalised_are_refused(copy):
    change_tensors(copy, "index.safetensors", lambda t: t["embeddings"].mul_(2))
    with pytest.raises(BundleError, match="normalised"):
        Bundle.load(copy)


def test_statistics_with_a_variance_of_zero_are_refused(copy):
    change_tensors(copy, "statistics.safetensors", lambda t: t["variances"].zero_())
    with pytest.raises(BundleError, match="not positive"):
        Bundle.load(copy)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("prompts.json", {"malignancy": {"benign": ["a", "b"]}}),
        ("prompts.json", {"malignancy": {"benign": ["a", 1], "malignant": ["c"]}}),
        ("prompts.json", []),
        ("index.json", [{"case_id": "C1"}]),
        ("index.json", [{"case_id": "C1", "facts": {"age": 3}}]),
        ("index.json", [{"case_id": "C1", "facts": {}, "patient": "x"}]),
    ],
)
def test_malformed_texts_and_cases_are_refused(copy, name, data):
    (copy / name).write_text(json.dumps(data))
    relist(copy)
    with pytest.raises(BundleError, match=name):
        Bundle.load(copy)


def test_a_file_that_is_no_safetensors_is_refused(copy):
    (copy / "encoder.safetensors").write_bytes(b"\x80\x04pickle")
    relist(copy)
    with pytest.raises(BundleError, match="safetensors"):
        Bundle.load(copy)


def test_a_folder_without_a_manifest_and_an_oversized_manifest_are_refused(tmp_path):
    with pytest.raises(BundleError, match="has none"):
        Bundle.load(tmp_path)
    (tmp_path / "bundle.yaml").write_text("#" * (5 << 20))
    with pytest.raises(BundleError, match="larger than"):
        Bundle.load(tmp_path)


def test_writing_refuses_contents_that_disagree_with_the_manifest(tmp_path):
    contents = toy_contents()
    wrong = [
        BundleContents(contents.manifest, contents.encoder, contents.heads, contents.task_encoders),
        BundleContents(toy_manifest(()), contents.encoder, contents.heads),
        BundleContents(toy_manifest(()), contents.encoder, task_encoders=contents.task_encoders),
    ]
    for item in wrong:
        with pytest.raises(BundleError):
            write_bundle(tmp_path / "out", item)
    with pytest.raises(WeightsMismatchError, match="architecture"):
        write_bundle(tmp_path / "out", BundleContents(toy_manifest(()), RenalEncoder(WIDTH + 1, DIMENSIONS)))
    assert not list(tmp_path.iterdir())


def test_writing_leaves_nothing_behind_when_a_part_is_unusable(tmp_path):
    encoder = RenalEncoder(WIDTH, DIMENSIONS)
    torch.nn.init.constant_(encoder.conv1.weight, float("inf"))
    with pytest.raises(WeightsMismatchError, match="not finite"):
        write_bundle(tmp_path / "out", BundleContents(toy_manifest(()), encoder))
    assert not list(tmp_path.iterdir())


def test_an_existing_bundle_is_replaced_only_when_asked(tmp_path):
    contents = BundleContents(toy_manifest(()), RenalEncoder(WIDTH, DIMENSIONS))
    write_bundle(tmp_path / "out", contents)
    with pytest.raises(OutputError, match="exists already"):
        write_bundle(tmp_path / "out", contents)
    newer = BundleContents(toy_manifest((), phantom_trained=True), contents.encoder)
    write_bundle(tmp_path / "out", newer, overwrite=True)
    assert Bundle.load(tmp_path / "out").manifest.phantom_trained
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_folder_that_is_no_bundle_is_never_overwritten(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("keep")
    with pytest.raises(OutputError, match="not a model bundle"):
        write_bundle(
            tmp_path / "out", BundleContents(toy_manifest(()), RenalEncoder(WIDTH, DIMENSIONS)), overwrite=True
        )
    assert (tmp_path / "out" / "mine.txt").read_text() == "keep"


def test_an_encoder_alone_is_a_bundle(tmp_path):
    write_bundle(tmp_path / "out", BundleContents(toy_manifest(()), RenalEncoder(WIDTH, DIMENSIONS)))
    bundle = Bundle.load(tmp_path / "out", precision="fast")
    assert bundle.capabilities == ()
    assert bundle.precision is Precision.FAST
    assert bundle.prompts is None
    assert bundle.segmentation_folder is None


@pytest.mark.parametrize("device", ["banana", "meta:x", "cuda:77"])
def test_a_device_that_is_not_there_is_a_persons_mistake(original, device):
    with pytest.raises(ConfigurationError, match="device"):
        Bundle.load(original[0], device)


def test_a_bundle_with_tasks_must_list_their_heads(tmp_path):
    manifest = write_bundle(tmp_path / "b", toy_contents())
    (tmp_path / "b" / HEADS_FILE).unlink()
    files = {name: value for name, value in manifest.files.items() if name != HEADS_FILE}
    (tmp_path / "b" / MANIFEST_FILE).write_text(manifest.model_copy(update={"files": files}).to_yaml())
    with pytest.raises(BundleError, match="does not list"):
        verify(tmp_path / "b")
