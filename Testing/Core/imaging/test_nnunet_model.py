"""Loading trained nnU-Net models: folders, archives, regions, folds, and what must be refused."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import zipfile

import pytest
import torch

from RenalCLIPCore.errors import SegmentationModelError
from RenalCLIPCore.imaging.mask_labels import label_meaning, name_kind
from RenalCLIPCore.imaging.nnunet_model import (
    SegmentationModel,
    read_checkpoint,
    training_orientation,
)
from Testing.Core.imaging.nnunet_toys import REGIONS, checkpoint, plans, write_model


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("models") / "one", folds=(0, 1))


def test_a_stock_checkpoint_loads_with_its_numpy_scalars_and_folds(model_folder):
    model = SegmentationModel.load(model_folder)
    assert model.name == "Dataset900_Toy"
    assert model.fine.name == "3d_fullres"
    assert model.finder is None
    assert len(model.fine.folds) == 2
    assert model.fine.meaning == {1: 1, 2: 2, 3: 3}
    assert model.fine.mirror_axes == (0, 1, 2)
    assert model.runner(model.fine) is model.runner(model.fine)


def test_the_hash_covers_names_and_contents_of_the_files(model_folder, tmp_path):
    copy = shutil.copytree(model_folder, tmp_path / "copy")
    assert SegmentationModel.load(copy).sha256 == SegmentationModel.load(model_folder).sha256
    (copy / "dataset.json").write_text((copy / "dataset.json").read_text() + "\n")
    assert SegmentationModel.load(copy).sha256 != SegmentationModel.load(model_folder).sha256


def test_the_best_checkpoint_serves_where_there_is_no_final_one(tmp_path):
    folder = write_model(tmp_path / "best", file="checkpoint_best.pth")
    assert SegmentationModel.load(folder).fine.name == "3d_fullres"


def test_an_exported_archive_gives_the_model_of_its_folder(model_folder, tmp_path):
    archive = tmp_path / "model.zip"
    with zipfile.ZipFile(archive, "w") as content:
        for file in sorted(model_folder.rglob("*.*")):
            content.write(
                file, f"Dataset900_Toy/nnUNetTrainer__nnUNetPlans__3d_fullres/{file.relative_to(model_folder)}"
            )
    model = SegmentationModel.load(archive)
    first = SegmentationModel.load(model_folder).fine.folds[0]
    assert all(torch.equal(value, first[key]) for key, value in model.fine.folds[0].items())


@pytest.mark.parametrize("name", ["/etc/plans.json", "../plans.json", "a/../../plans.json", "C:\\plans.json"])
def test_an_archive_that_writes_elsewhere_is_refused(tmp_path, name):
    archive = tmp_path / "hostile.zip"
    with zipfile.ZipFile(archive, "w") as content:
        content.writestr(name, "{}")
    with pytest.raises(SegmentationModelError, match="outside itself"):
        SegmentationModel.load(archive)


def test_an_archive_that_announces_too_much_is_refused(tmp_path, monkeypatch):
    archive = tmp_path / "large.zip"
    with zipfile.ZipFile(archive, "w") as content:
        content.writestr("plans.json", "0" * 2000)
    monkeypatch.setattr("RenalCLIPCore.imaging.nnunet_model.MAX_ARCHIVE_BYTES", 1000)
    with pytest.raises(SegmentationModelError, match="more than a model needs"):
        SegmentationModel.load(archive)


class Hostile:
    """Would make a folder when unpickled."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


@pytest.mark.parametrize("plain_pickle", [False, True])
def test_a_hostile_checkpoint_is_refused_and_nothing_runs(tmp_path, plain_pickle):
    folder = write_model(tmp_path / "model")
    target = tmp_path / "executed"
    file = folder / "fold_0" / "checkpoint_final.pth"
    if plain_pickle:
        file.write_bytes(pickle.dumps({"network_weights": Hostile(target)}))
    else:
        torch.save({**checkpoint(plans(), 0, 4), "extra": Hostile(target)}, file)
    with pytest.raises(SegmentationModelError, match="refused"):
        SegmentationModel.load(folder)
    assert not target.exists()


def test_plans_that_name_foreign_code_are_refused(tmp_path):
    content = plans()
    content["configurations"]["3d_fullres"]["architecture"]["arch_kwargs"]["nonlin"] = "os.system"
    folder = write_model(tmp_path / "model")
    (folder / "plans.json").write_text(json.dumps(content))
    with pytest.raises(SegmentationModelError, match="outside the network libraries"):
        SegmentationModel.load(folder)


def test_a_truncated_checkpoint_is_told(tmp_path):
    folder = write_model(tmp_path / "model")
    file = folder / "fold_0" / "checkpoint_final.pth"
    file.write_bytes(file.read_bytes()[:2000])
    with pytest.raises(SegmentationModelError, match="damaged"):
        SegmentationModel.load(folder)


@pytest.mark.parametrize("missing", ["dataset.json", "plans.json", "fold_0/checkpoint_final.pth"])
def test_a_folder_without_a_part_is_no_model(tmp_path, missing):
    folder = write_model(tmp_path / "model")
    (folder / missing).unlink()
    with pytest.raises(SegmentationModelError):
        SegmentationModel.load(folder)


def test_what_is_no_model_at_all_is_told_in_one_sentence(tmp_path):
    (tmp_path / "notes.txt").write_text("nothing")
    for path in (tmp_path, tmp_path / "notes.txt", tmp_path / "absent"):
        with pytest.raises(SegmentationModelError, match="nnU-Net"):
            SegmentationModel.load(path)


def test_weights_of_another_network_are_refused(tmp_path):
    folder = write_model(tmp_path / "model")
    content = plans()
    content["configurations"]["3d_fullres"]["architecture"]["arch_kwargs"]["features_per_stage"] = [4, 16]
    (folder / "plans.json").write_text(json.dumps(content))
    model = SegmentationModel.load(folder)
    with pytest.raises(SegmentationModelError, match="do not fit"):
        model.runner(model.fine)


def test_a_compiled_checkpoint_loses_its_prefix(tmp_path):
    folder = write_model(tmp_path / "model")
    file = folder / "fold_0" / "checkpoint_final.pth"
    content = read_checkpoint(file)
    content["network_weights"] = {f"_orig_mod.{key}": value for key, value in content["network_weights"].items()}
    torch.save(content, file)
    model = SegmentationModel.load(folder)
    assert model.runner(model.fine).parameters > 100


def test_a_residual_encoder_is_built_from_its_plans(tmp_path):
    model = SegmentationModel.load(write_model(tmp_path / "model", content=plans(residual=True)))
    assert model.runner(model.fine).parameters > 100


def test_a_low_resolution_configuration_is_the_kidney_finder(tmp_path):
    write_model(tmp_path / "set" / "nnUNetTrainer__nnUNetPlans__3d_fullres")
    content = plans()
    content["configurations"]["3d_lowres"] = {**content["configurations"]["3d_fullres"], "spacing": [8.0, 8.0, 8.0]}
    write_model(tmp_path / "set" / "nnUNetTrainer__nnUNetPlans__3d_lowres", content=content, configuration="3d_lowres")
    model = SegmentationModel.load(tmp_path / "set")
    assert model.fine.name == "3d_fullres"
    assert model.finder is not None
    assert model.finder.name == "3d_lowres"


def test_kits_regions_mean_kidney_tumour_and_cyst():
    assert label_meaning({"labels": REGIONS}) == {1: 1, 2: 2, 3: 3}


@pytest.mark.parametrize(
    ("labels", "meaning"),
    [
        ({"background": 0, "Kidney": 1, "Tumor": 2}, {1: 1, 2: 2}),
        ({"background": 0, "kidney_left": 1, "kidney right": 2, "renal_mass": 3}, {1: 1, 2: 1, 3: 2}),
        ({"background": 0, "cyst": 1, "lesion": 2, "kidney": 3}, {1: 3, 2: 2, 3: 1}),
        ({"background": 0, "liver": 1, "liver_tumor": 2, "kidney": 3, "spleen": 4}, {3: 1}),
        ({"background": 0, "kidney": [1, 2], "tumour": 2, "ignore": 3}, {1: 1, 2: 2}),
    ],
)
def test_labels_are_read_by_name(labels, meaning):
    assert label_meaning({"labels": labels}) == meaning


@pytest.mark.parametrize("labels", [{"background": 0, "liver": 1}, {"background": 0}, {}, [1, 2], None])
def test_a_model_without_a_kidney_is_refused(labels):
    with pytest.raises(SegmentationModelError, match="label"):
        label_meaning({"labels": labels})


def test_an_adrenal_is_no_kidney():
    assert name_kind("adrenal_gland") == "other"


@pytest.mark.parametrize(
    ("change", "described", "orientation"),
    [
        ({}, {}, "LPS"),
        ({"image_reader_writer": "NibabelIOWithReorient"}, {}, "RAS"),
        ({}, {"orientation": "IPL"}, "IPL"),
        ({"original_median_spacing_after_transp": [3.0, 0.8, 0.8], "transpose_backward": [1, 2, 0]}, {}, "IPL"),
    ],
)
def test_the_orientation_of_the_training_files_is_inferred(change, described, orientation):
    assert training_orientation({**plans(), **change}, described) == orientation


def test_an_impossible_orientation_is_refused():
    with pytest.raises(SegmentationModelError, match="orientation"):
        training_orientation(plans(), {"orientation": "LLL"})


def test_a_model_of_several_channels_is_refused(tmp_path):
    folder = write_model(tmp_path / "model")
    content = json.loads((folder / "dataset.json").read_text())
    (folder / "dataset.json").write_text(json.dumps({**content, "channel_names": {"0": "CT", "1": "CT"}}))
    with pytest.raises(SegmentationModelError, match="one CT image"):
        SegmentationModel.load(folder)
