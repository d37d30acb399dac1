"""A bundle carries multi-phase 2-D networks beside its own, strictly, and without them stays what it was."""

import shutil

import pytest
import torch
import yaml

from RenalCLIPCore.errors import BundleError, WeightsMismatchError
from RenalCLIPCore.models.bundle import Bundle, write_bundle
from RenalCLIPCore.models.manifest import BundleManifest, MultiphaseEntry, Task
from RenalCLIPCore.models.multiphase import MultiphaseNetwork
from Testing.Core.models.bundle_toys import task, toy_contents, with_multiphase


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    found = tmp_path_factory.mktemp("bundles") / "toy"
    write_bundle(found, with_multiphase(toy_contents()))
    return found


def test_the_networks_come_back_as_they_were_written(folder):
    bundle = Bundle.load(folder)
    assert "multiphase" in bundle.capabilities
    assert set(bundle.multiphase) == {"malignancy", "aggressiveness"}
    images, present = torch.rand(1, 3, 64, 64), torch.tensor([[True, False, True]])
    wanted = with_multiphase(toy_contents()).multiphase["malignancy"].float().eval()
    with torch.no_grad():
        assert torch.allclose(bundle.multiphase["malignancy"](images, present), wanted(images, present), atol=1e-5)
    assert not any(value.requires_grad for value in bundle.multiphase["malignancy"].parameters())


def test_without_them_a_manifest_says_nothing_of_them(tmp_path):
    write_bundle(tmp_path / "plain", toy_contents())
    bundle = Bundle.load(tmp_path / "plain")
    assert bundle.multiphase == {}
    assert "multiphase" not in bundle.capabilities
    assert "multiphase" not in (tmp_path / "plain" / "bundle.yaml").read_text()


def test_a_changed_byte_is_found(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "changed")
    path = tmp_path / "changed" / "multiphase" / "malignancy.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(BundleError, match="SHA-256 differs"):
        Bundle.load(tmp_path / "changed")


def test_a_missing_network_is_found(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "lacking")
    manifest = yaml.safe_load((tmp_path / "lacking" / "bundle.yaml").read_text())
    del manifest["files"]["multiphase/malignancy.safetensors"]
    (tmp_path / "lacking" / "multiphase" / "malignancy.safetensors").unlink()
    (tmp_path / "lacking" / "bundle.yaml").write_text(yaml.safe_dump(manifest))
    with pytest.raises(BundleError, match="does not list the file 'multiphase/malignancy"):
        Bundle.load(tmp_path / "lacking")


def test_manifest_and_networks_must_agree(tmp_path):
    contents = with_multiphase(toy_contents())
    contents.multiphase.pop("malignancy")
    with pytest.raises(BundleError, match="Each multi-phase entry"):
        write_bundle(tmp_path / "one", contents)
    contents = with_multiphase(toy_contents())
    contents.multiphase["malignancy"] = MultiphaseNetwork("AV", "cross-attention", 1)
    with pytest.raises(WeightsMismatchError, match="multi-phase network of malignancy"):
        write_bundle(tmp_path / "other", contents)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"phases": "VA"}, "pattern"),
        ({"phases": ""}, "at least 1"),
        ({"fusion": "mean"}, "cross-attention"),
        ({"width": 0}, "greater"),
        ({"slices": {"size": 4}}, "greater"),
        ({"slices": {"window_hu": (10.0, 10.0)}}, "must rise"),
        ({"task": task("renal_r")}, "two classes"),
    ],
)
def test_impossible_entries_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        MultiphaseEntry.model_validate({"task": task("malignancy"), **values})


def test_one_task_has_one_network():
    entry = MultiphaseEntry(task=Task(name="malignancy", classes=("benign", "malignant")))
    content = toy_contents().manifest.model_dump()
    with pytest.raises(ValueError, match="'malignancy' twice"):
        BundleManifest.model_validate({**content, "multiphase": (entry, entry)})
