"""Segmenting by a model: a really trained tiny nnU-Net, in every storage, kidneys first, cancelled, averaged."""

from __future__ import annotations

import os
import shutil
import threading
from dataclasses import replace

import numpy as np
import pytest
import torch

from RenalCLIPCore.errors import Cancelled, CohortError, ConfigurationError, GridMismatchError, OutputError
from RenalCLIPCore.imaging.mask_scores import dice, score_masks
from RenalCLIPCore.imaging.nnunet_dataset import claim_work_folder
from RenalCLIPCore.imaging.nnunet_model import read_checkpoint
from RenalCLIPCore.imaging.nnunet_options import TrainingCase, TrainingOptions
from RenalCLIPCore.imaging.nnunet_training import train_segmentation
from RenalCLIPCore.imaging.orientation import reorient
from RenalCLIPCore.imaging.segmentation import SegmentationModel, SegmentOptions, segment
from RenalCLIPCore.imaging.volume import Geometry, Volume, write_volume
from Testing.Core.imaging.kidney_toys import TOY_GRID, toy, toy_cases
from Testing.Core.imaging.nnunet_toys import REGIONS, write_model

OPTIONS = TrainingOptions(
    epochs=2,
    iterations=40,
    validation_iterations=1,
    base_features=8,
    max_features=16,
    spacing_mm=(4.0, 4.0, 5.0),
    patch=(24, 24, 16),
    batch_size=2,
    optimizer="adamw",
    learning_rate=5e-3,
    foreground=0.8,
    threads=1,
    half_weights=True,
)
WIDE = Geometry.from_components((60, 40, 36), (4.0, 4.0, 5.0), (-118.0, -78.0, -87.5), np.eye(3))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A model trained on four toys: cancelled once after the first epoch, then continued."""
    folder = tmp_path_factory.mktemp("training")
    cases = toy_cases(folder / "cases", 4)

    def stop(_fraction, words):
        if words == "epoch 2 of 2":
            raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        train_segmentation(cases, folder / "model", OPTIONS, progress=stop)
    assert not (folder / "model").exists()
    words = []
    train_segmentation(cases, folder / "model", OPTIONS, progress=lambda _, text: words.append(text))
    assert "epoch 2 of 2" in words
    assert "epoch 1 of 2" not in words
    return folder


@pytest.fixture(scope="module")
def model(trained):
    return SegmentationModel.load(trained / "model")


@pytest.fixture(scope="module")
def wide(model):
    volume, labels = toy(50, WIDE)
    return volume, labels, segment(volume, model)


def test_the_exported_model_is_clean_and_loads_safely(trained):
    files = sorted(str(path.relative_to(trained / "model")) for path in (trained / "model").rglob("*.*"))
    assert files == ["dataset.json", "fold_0/checkpoint_final.pth", "plans.json"]
    content = read_checkpoint(trained / "model" / "fold_0" / "checkpoint_final.pth")
    assert set(content) == {"network_weights", "init_args", "trainer_name", "inference_allowed_mirroring_axes"}
    assert {value.dtype for value in content["network_weights"].values()} == {torch.float16}
    weights = content["network_weights"].values()
    assert len({value.untyped_storage().data_ptr() for value in weights}) < len(weights) / 1.5
    text = (trained / "model" / "plans.json").read_text() + (trained / "model" / "dataset.json").read_text()
    assert str(trained) not in text


def test_a_finished_model_is_not_overwritten_and_a_work_folder_not_shared(trained):
    cases = toy_cases(trained / "cases", 4)
    with pytest.raises(OutputError, match="exists"):
        train_segmentation(cases, trained / "model", OPTIONS)
    with pytest.raises(OutputError, match="other cases or options"):
        train_segmentation(cases[:3], trained / "other", OPTIONS, work=trained / "model-work")


def test_a_work_folder_is_not_gone_on_with_when_labels_or_patients_changed(tmp_path):
    cases = toy_cases(tmp_path / "cases", 3)
    claim_work_folder(tmp_path / "work", cases, OPTIONS, None)
    claim_work_folder(tmp_path / "work", cases, OPTIONS, None)  # the same training
    with pytest.raises(OutputError, match="other cases or options"):
        claim_work_folder(tmp_path / "work", [replace(cases[0], group="z"), *cases[1:]], OPTIONS, None)
    os.utime(cases[0].labels, ns=(1, 1))
    with pytest.raises(OutputError, match="other cases or options"):
        claim_work_folder(tmp_path / "work", cases, OPTIONS, None)
    assert str(tmp_path) not in (tmp_path / "work" / "options.json").read_text()


def test_the_trained_model_finds_the_toys_kidneys_first(wide):
    volume, labels, result = wide
    assert result.source == "model"
    assert not any("whole volume" in note for note in result.notes)
    assert dice(labels.array == 1, result.labels.array == 1) > 0.85
    assert dice(labels.array > 0, result.labels.array > 0) > 0.85
    assert result.labels.geometry == volume.geometry
    assert result.labels.array.dtype == np.uint8


def test_kidneys_first_agrees_with_the_whole_volume(model, wide):
    volume, _, result = wide
    exact = segment(volume, model, options=SegmentOptions(exact=True))
    assert dice(exact.labels.array > 0, result.labels.array > 0) > 0.95


@pytest.mark.parametrize("code", ["IRA"])
def test_labels_do_not_depend_on_the_storage(model, wide, code):
    volume, _, reference = wide
    stored = reorient(volume, code)
    stored = Volume(np.ascontiguousarray(stored.array), stored.geometry)
    found = segment(stored, model).labels
    assert found.geometry == stored.geometry
    assert np.array_equal(found.canonical().array, reference.labels.array)


def test_another_spacing_is_resampled_inside_the_boxes_only(model):
    grid = Geometry.from_components((120, 80, 45), (2.0, 2.0, 4.0), (-119.0, -79.0, -88.0), np.eye(3))
    volume, labels = toy(52, grid)
    assert dice(labels.array > 0, segment(volume, model).labels.array > 0) > 0.8


def test_progress_rises_and_cancel_stops_between_tiles_leaving_no_thread(model, wide):
    volume = wide[0]
    seen = []

    def stop(fraction, words):
        seen.append(fraction)
        if words.startswith("segmenting"):
            raise Cancelled("stopped")

    threads = threading.active_count()
    with pytest.raises(Cancelled):
        segment(volume, model, progress=stop)
    assert threading.active_count() == threads
    assert seen == sorted(seen)
    assert len(seen) < 20


def test_low_precision_gives_nearly_the_same_labels(model, wide):
    volume, _, _ = wide
    results = [
        segment(volume, model, options=SegmentOptions(exact=True, low_precision=low)).labels.array > 0
        for low in (True, False)
    ]
    assert dice(*results) > 0.97


def test_folds_are_averaged(trained, tmp_path):
    folder = shutil.copytree(trained / "model", tmp_path / "folds")
    shutil.copytree(folder / "fold_0", folder / "fold_1")
    volume, _ = toy(55)
    exact = SegmentOptions(exact=True)
    single, double = (SegmentationModel.load(path) for path in (trained / "model", folder))
    assert len(double.fine.folds) == 2
    assert np.array_equal(
        segment(volume, single, options=exact).labels.array, segment(volume, double, options=exact).labels.array
    )
    fold = folder / "fold_1" / "checkpoint_final.pth"
    content = read_checkpoint(fold)
    torch.save({**content, "network_weights": {k: -v for k, v in content["network_weights"].items()}}, fold)
    changed = segment(volume, SegmentationModel.load(folder), options=exact)
    assert not np.array_equal(segment(volume, single, options=exact).labels.array, changed.labels.array)


def test_a_region_model_runs_and_gives_known_labels(tmp_path):
    volume, _ = toy(56)
    result = segment(volume, SegmentationModel.load(write_model(tmp_path / "regions", labels=REGIONS)))
    assert set(np.unique(result.labels.array)) <= {0, 1, 2, 3}


def test_training_continues_from_a_given_model(trained, tmp_path):
    cases = toy_cases(tmp_path / "cases", 2)
    options = TrainingOptions(
        epochs=1, iterations=1, validation_iterations=1, threads=1, learning_rate=1e-6, augmentation="light"
    )
    train_segmentation(cases, tmp_path / "tuned", options, start_from=trained / "model")
    before, after = (
        read_checkpoint(folder / "fold_0" / "checkpoint_final.pth")
        for folder in (trained / "model", tmp_path / "tuned")
    )
    assert before["inference_allowed_mirroring_axes"] == (0, 1, 2)
    assert after["inference_allowed_mirroring_axes"] == (2,)
    before, after = before["network_weights"], after["network_weights"]
    assert all(torch.allclose(before[key].float(), after[key].float(), atol=1e-2) for key in before)
    assert (tmp_path / "tuned" / "plans.json").is_file()


def test_training_refuses_unusable_cases(tmp_path):
    cases = toy_cases(tmp_path, 2)
    with pytest.raises(CohortError, match="two patients"):
        train_segmentation(cases[:1], tmp_path / "model", OPTIONS)
    image, labels = toy(1)
    write_volume(Volume(labels.array + 4, TOY_GRID), tmp_path / "wrong.nii.gz")
    wrong = TrainingCase("wrong", cases[0].image, tmp_path / "wrong.nii.gz", "p9")
    with pytest.raises(CohortError, match="kidney"):
        train_segmentation([cases[0], wrong], tmp_path / "model", OPTIONS)
    shifted = TOY_GRID.crop((1, 0, 0), TOY_GRID.size)
    write_volume(Volume(image.array, shifted), tmp_path / "shifted.nii.gz")
    moved = TrainingCase("moved", tmp_path / "shifted.nii.gz", cases[0].labels, "p9")
    with pytest.raises(GridMismatchError):
        train_segmentation([cases[1], moved], tmp_path / "second", OPTIONS)
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize(
    "change", [{"configuration": "4d"}, {"optimizer": "lion"}, {"epochs": 0}, {"patch": (4, 8, 8)}]
)
def test_impossible_training_options_are_refused(change):
    with pytest.raises(ConfigurationError):
        TrainingOptions(**change)


def test_scores_of_masks():
    _, labels = toy(60)
    shifted = Volume(np.roll(labels.array, 1, axis=2), TOY_GRID)
    scores = score_masks(labels, shifted)
    assert scores.centre_error_mm == pytest.approx(5.0)
    assert 0.5 < scores.dice["kidney"] < 1.0
    assert scores.lesion_found
    none = Volume(np.zeros(TOY_GRID.size, np.uint8), TOY_GRID)
    assert np.isnan(score_masks(none, none).dice["tumour"])
    assert score_masks(labels, none).dice["tumour"] == 0.0
    assert not score_masks(labels, none).lesion_found
    with pytest.raises(GridMismatchError):
        score_masks(labels, Volume(labels.array, TOY_GRID.crop((1, 0, 0), TOY_GRID.size)))
