"""Fine-tuning, survival, grid search and the report generator: two processes end where one does."""

import csv
from pathlib import Path

import pytest
import torch

from RenalCLIPCore.cohort.roi_store import RoiStore, build_roi_store
from RenalCLIPCore.cohort.splits import learning_cohort
from RenalCLIPCore.cohort.table import read_cohort, write_cohort_table
from RenalCLIPCore.errors import ConfigurationError
from RenalCLIPCore.models.report_generator import load_report_generator
from RenalCLIPCore.training import checkpoints
from RenalCLIPCore.training.distribution import ALONE, Ranks
from RenalCLIPCore.training.fine_tuning import fine_tune, read_result
from RenalCLIPCore.training.multitask import train_multitask
from RenalCLIPCore.training.report_data import ReportData
from Testing.Core.cohort.cohort_toys import SPEC, toy_rows
from Testing.Core.training import stage_child
from Testing.Core.training.test_distribution import ended, losses, started
from Testing.Core.training.test_multitask import CONFIGURATION
from Testing.Core.training.test_report_stage import described

CHILD = Path(stage_child.__file__)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stages")
    rows = described(toy_rows(folder, 36))
    write_cohort_table(rows, folder / "cohort.csv")
    build_roi_store(rows, folder / "store", SPEC)
    processes = started(folder, child=CHILD)
    stage_child.stages(folder, folder / "one", ALONE)
    for error, code in ended(processes):
        assert code == 0, error
    return folder


@pytest.mark.parametrize("stage", ["task", "fixed", "frozen", "survival", "projector", "adapters"])
def test_two_processes_have_the_loss_curve_and_weights_of_one(folder, stage):
    one, two = losses(folder / "one" / stage), losses(folder / "two" / stage)
    assert len(one) >= 4
    assert two == pytest.approx(one, rel=1e-5, abs=1e-5)
    first, second = (checkpoints.load(folder / name / stage / "best.pt")["model"] for name in ("one", "two"))
    for name, value in first.items():
        torch.testing.assert_close(second[name], value, rtol=1e-3, atol=1e-3, msg=name)


@pytest.mark.parametrize("stage", ["task", "fixed", "frozen", "survival"])
def test_the_result_is_calibrated_once_and_the_same(folder, stage):
    one, two = (read_result(folder / name / stage) for name in ("one", "two"))
    assert (one.data, one.steps, one.cases, one.epoch) == (two.data, two.steps, two.cases, two.epoch)
    assert two.score == pytest.approx(one.score, abs=1e-3)
    assert two.task.temperature == pytest.approx(one.task.temperature, rel=1e-2)
    assert (two.risk is None) == (stage != "survival")


def test_a_grid_search_chooses_the_same(folder):
    tables = []
    for name in ("one", "two"):
        with (folder / name / "grid" / "grid.csv").open(newline="") as file:
            tables.append({row["run"]: float(row["validation_score"]) for row in csv.DictReader(file)})
        assert not list((folder / name / "grid").rglob("checkpoints"))
    assert tables[0].keys() == tables[1].keys()
    assert list(tables[1].values()) == pytest.approx(list(tables[0].values()), abs=0.02)


def test_the_generators_write_the_same(folder):
    features = torch.randn(3, 16, generator=torch.Generator().manual_seed(1))
    one, two = (load_report_generator(folder / name / "adapters" / "generator") for name in ("one", "two"))
    assert one.write(features) == two.write(features)


def test_reports_of_a_global_batch_are_shared_out(folder):
    rows = read_cohort(folder / "cohort.csv")[:8]
    features = {row.case_id: {"A": torch.zeros(2, 4).numpy()} for row in rows}
    whole, *parts = (
        [
            case
            for batch in ReportData(rows, rows, features, stage_child.FIRST, share).training(0, 0, CPU)
            for case in batch.case_ids
        ]
        for share in (list, Ranks(0, 2).share, Ranks(1, 2).share)
    )
    assert parts[0] + parts[1] == whole
    assert len(whole) == 8


def test_a_batch_that_cannot_be_shared_is_refused_before_anything_is_written(folder, tmp_path):
    cohort, store = learning_cohort(read_cohort(folder / "cohort.csv")), RoiStore(folder / "store")
    with pytest.raises(ConfigurationError, match="cannot be shared by 3"):
        fine_tune(stage_child.TASK, cohort, store, tmp_path / "task", ranks=Ranks(0, 3))
    with pytest.raises(ConfigurationError, match="cannot be shared by 3"):
        train_multitask(CONFIGURATION, cohort, store, tmp_path / "multitask", ranks=Ranks(0, 3))
    assert list(tmp_path.iterdir()) == []
