"""Samples depend on their draw alone; plans are reproducible and balanced."""

import numpy as np
import pytest
import torch

from RenalCLIPCore.cohort.augmentation import Augmentation
from RenalCLIPCore.cohort.dataset import (
    Draw,
    EpochPlan,
    RoiData,
    RoiDataset,
    balanced_weights,
    centre_density,
    every_phase,
)
from RenalCLIPCore.cohort.roi_store import build_roi_store
from RenalCLIPCore.cohort.table import CohortRow
from RenalCLIPCore.errors import CohortError
from RenalCLIPCore.imaging.study import Phase
from Testing.Core.cohort.cohort_toys import SPEC, toy_rows

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toy")
    rows = toy_rows(folder, 6)
    return rows, build_roi_store(rows, folder / "store", SPEC)


def test_a_plan_sees_every_row_once_and_differs_between_epochs():
    plan = EpochPlan(12, 4, seed=1)
    first, second = plan.batches(0), plan.batches(1)
    assert sorted(draw.row for batch in first for draw in batch) == list(range(12))
    assert first == EpochPlan(12, 4, seed=1).batches(0)
    assert first != second
    assert len(plan) == 3


def test_a_balanced_plan_draws_classes_equally_often():
    rows = [CohortRow(f"p{i}", "left", labels={"malignancy": int(i >= 90)}) for i in range(100)]
    plan = EpochPlan(100, 10, seed=0, weights=balanced_weights(rows, ["malignancy"]))
    drawn = [rows[draw.row].labels["malignancy"] for epoch in range(40) for b in plan.batches(epoch) for draw in b]
    assert np.mean(drawn) == pytest.approx(0.5, abs=0.03)


def test_rows_without_a_label_are_neither_favoured_nor_dropped():
    labels = [{"malignancy": 0}, {"malignancy": 1}, {}]
    rows = [CohortRow(f"p{i}", "left", labels=value) for i, value in enumerate(labels)]
    assert balanced_weights(rows, ["malignancy"]) == [1.0, 1.0, 1.0]


def test_the_random_phase_is_one_that_the_patient_has(toy):
    rows, store = toy
    dataset = RoiDataset(rows, store)
    seen = {dataset[Draw(2, seed)][2] for seed in range(40)}
    assert seen == {Phase.V, Phase.D}


def test_missing_labels_and_follow_up_are_marked(toy):
    rows, store = toy
    batch = next(every_phase(RoiDataset(rows, store), 4, CPU))
    assert batch.targets["malignancy"].tolist() == [0, 0, 1, 1]
    assert batch.targets["renal_e"].tolist() == [-1, -1, -1, -1]
    assert batch.targets["rfs_event"].tolist()[:2] == [-1, -1]
    assert torch.isnan(batch.targets["rfs_months"][:2]).all()
    assert batch.targets["rfs_months"][2] == 6.0
    assert batch.images.shape == (4, 1, 8, 16, 16)


def test_the_centre_density_is_that_of_the_middle_cube():
    image = torch.full((1, 1, 32, 140, 140), 0.9)
    image[:, :, 14:18, 60:80, 60:80] = 0.51
    mean, spread, low = (centre_density(image)[0] * torch.tensor([0.07, 0.033, 0.077])).tolist()
    assert (mean, spread, low) == pytest.approx((0.0, -0.047, 0.08), abs=1e-5)


def test_every_phase_visits_each_phase_of_each_row_once(toy):
    rows, store = toy
    seen = [
        pair for b in every_phase(RoiDataset(rows, store), 5, CPU) for pair in zip(b.case_ids, b.phases, strict=True)
    ]
    assert seen == [(row.case_id, phase) for row in rows for phase in store.phases(row.case_id)]


def test_an_epoch_taken_up_in_the_middle_is_the_rest_of_the_epoch(toy):
    rows, store = toy
    dataset = RoiDataset(rows, store)
    data = RoiData(dataset, dataset, EpochPlan(6, 2, 0), Augmentation())
    whole, rest = list(data.training(0, 0, CPU)), list(data.training(0, 1, CPU))
    assert [b.case_ids for b in whole[1:]] == [b.case_ids for b in rest]
    torch.testing.assert_close(whole[1].images, rest[0].images, rtol=0, atol=0)


def test_loading_draws_nothing_from_the_global_generator(toy):
    rows, store = toy
    dataset = RoiDataset(rows, store)
    before = torch.get_rng_state()
    list(RoiData(dataset, dataset, EpochPlan(6, 2, 0), Augmentation()).training(0, 0, CPU))
    assert torch.equal(before, torch.get_rng_state())


def test_loading_processes_change_nothing(toy):
    rows, store = toy
    dataset = RoiDataset(rows, store)
    alone = list(RoiData(dataset, dataset, EpochPlan(6, 3, 0), Augmentation()).training(0, 0, CPU))
    helped = list(RoiData(dataset, dataset, EpochPlan(6, 3, 0), Augmentation(), workers=1).training(0, 0, CPU))
    for a, b in zip(alone, helped, strict=True):
        assert a.case_ids == b.case_ids
        assert torch.equal(a.images, b.images)


def test_a_cohort_that_the_store_lacks_is_refused(toy):
    rows, store = toy
    with pytest.raises(CohortError, match="1 of 2 rows"):
        RoiDataset([rows[0], CohortRow("stranger", "left")], store)


def test_a_class_that_nobody_has_takes_no_share_from_the_others():
    labels = [{"renal_r": 0}, {"renal_r": 0}, {"renal_r": 2}, {"renal_r": 2}, {}]
    rows = [CohortRow(f"p{i}", "left", labels=value) for i, value in enumerate(labels)]
    assert balanced_weights(rows, ["renal_r"]) == [1.0] * 5
