"""Batches of slices hold what is there, hide phases as asked, and depend on nothing but row and seed."""

from collections import Counter

import numpy as np
import pytest
import torch

from RenalCLIPCore.cohort import slice_dataset
from RenalCLIPCore.cohort.augmentation import Augmentation
from RenalCLIPCore.cohort.dataset import EpochPlan
from RenalCLIPCore.cohort.slice_dataset import SliceData, SliceDataset, every_row, kept_phases
from RenalCLIPCore.errors import CohortError
from RenalCLIPCore.imaging.study import Phase
from Testing.Core.training.slice_toys import slice_store

CPU = torch.device("cpu")
STILL = Augmentation(
    crop=False,
    translation_px=0,
    rotation_rad=(0, 0, 0),
    scaling=0,
    intensity_scaling=0,
    intensity_shift=0.1,
    gamma=1,
    gamma_probability=0,
)


def test_a_batch_holds_the_slices_of_the_phases_that_are_there(tmp_path):
    rows, store = slice_store(tmp_path, 6)
    (batch,) = every_row(SliceDataset(rows, store, "NAV"), 8, CPU)
    assert batch.images.shape == (6, 3, 64, 64)
    assert batch.present.tolist()[2] == [False, True, True]
    assert batch.present.tolist()[4] == [True, False, False]
    assert not batch.images[~batch.present].any()
    np.testing.assert_array_equal(batch.images[2, 2].numpy(), store.read(rows[2].case_id, Phase.V))
    assert batch.targets["malignancy"].tolist() == [0, 1, 0, 1, 0, 1]


def test_a_row_without_any_of_the_phases_is_refused(tmp_path):
    rows, store = slice_store(tmp_path, 6)
    with pytest.raises(CohortError, match="1 of 6 rows have none of the phases A, V"):
        SliceDataset(rows, store, "AV")


def test_a_row_that_the_store_lacks_is_refused(tmp_path):
    rows, store = slice_store(tmp_path, 6)
    store._row.pop(rows[0].case_id)
    with pytest.raises(CohortError, match="1 of 6 rows are not in the slice store"):
        SliceDataset(rows, store, "NAV")


def test_every_part_of_the_phases_is_as_likely():
    present = np.array([True, False, True, True])
    drawn = Counter(tuple(kept_phases(present, seed, 0.25).tolist()) for seed in range(4000))
    assert all(not key[1] and any(key) for key in drawn)
    assert len(drawn) == 7
    assert drawn[(True, False, True, True)] / 4000 == pytest.approx(0.25, abs=0.03)
    others = [count / 4000 for key, count in drawn.items() if sum(key) < 3]
    assert others == pytest.approx([0.125] * 6, abs=0.025)


def test_the_only_phase_is_never_hidden():
    only = np.array([False, True, False])
    assert all(kept_phases(only, seed, 0.0).tolist() == only.tolist() for seed in range(20))


def test_training_batches_repeat_and_hidden_phases_are_dark(tmp_path):
    rows, store = slice_store(tmp_path, 6)
    dataset = SliceDataset(rows, store, "NAV")
    data = SliceData(dataset, dataset, EpochPlan(6, 3, 1), STILL, keep_all=0.0)
    first, again = (list(data.training(2, 0, CPU)) for _ in range(2))
    assert len(first) == data.batches_per_epoch == 2
    for one, other in zip(first, again, strict=True):
        assert torch.equal(one.images, other.images)
        assert torch.equal(one.present, other.present)
        assert one.present.any(dim=1).all()
        assert not one.images[~one.present].any()
    (late,) = data.training(2, 1, CPU)
    assert torch.equal(late.images, first[1].images)


def test_all_phases_of_a_case_move_together(tmp_path, monkeypatch):
    rows, store = slice_store(tmp_path, 2)
    dataset = SliceDataset(rows, store, "NAV")
    blob = (10000 * np.outer(np.hanning(64), np.hanning(64))).astype(np.uint16)
    monkeypatch.setattr(store, "read_levels", lambda case, phases: np.stack([blob] * len(phases)))
    moved = Augmentation(**{**STILL.model_dump(), "translation_px": 8.0, "rotation_rad": (0, 0, 0.3), "scaling": 0.1})
    (batch,) = SliceData(dataset, dataset, EpochPlan(2, 2, 1), moved).training(0, 0, CPU)
    assert torch.allclose(batch.images[:, 0], batch.images[:, 1], atol=1e-6)
    assert torch.allclose(batch.images[:, 0], batch.images[:, 2], atol=1e-6)
    assert not torch.allclose(batch.images[0], batch.images[1], atol=1e-2)


def test_what_is_remembered_is_what_is_read(tmp_path, monkeypatch):
    rows, store = slice_store(tmp_path, 6)
    monkeypatch.setattr(slice_dataset, "REMEMBERED_BYTES", 0)
    fresh = SliceDataset(rows, store, "NAV")
    monkeypatch.setattr(slice_dataset, "REMEMBERED_BYTES", 1 << 29)
    remembering = SliceDataset(rows, store, "NAV")
    for _ in range(2):
        (one,), (other,) = (every_row(dataset, 8, CPU) for dataset in (fresh, remembering))
        assert torch.equal(one.images, other.images)
