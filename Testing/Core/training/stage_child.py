"""Fine-tuning and report stages in one of several processes: ``stage_child.py FOLDER``, with torchrun's environment."""

import sys
from pathlib import Path

import torch

from RenalCLIPCore.cohort.roi_store import RoiStore
from RenalCLIPCore.cohort.splits import learning_cohort
from RenalCLIPCore.cohort.table import read_cohort
from RenalCLIPCore.models.encoder import RenalEncoder
from RenalCLIPCore.training.distribution import joined
from RenalCLIPCore.training.fine_tuning import fine_tune
from RenalCLIPCore.training.fine_tuning_stages import SurvivalConfiguration, TaskConfiguration
from RenalCLIPCore.training.grid_search import search
from RenalCLIPCore.training.report_stage import train_report
from RenalCLIPCore.training.report_stages import ReportAdaptersConfiguration, ReportProjectorConfiguration

SMALL = {
    "epochs": 2,
    "batch_size": 8,
    "threads": 1,
    "encoder": {"width": 2},
    "heads": {"hidden": 4, "dropout": 0.0},  # what the processes draw differs
    "optimiser": {"learning_rate": 0.001},
    "augmentation": {"translation_px": 1, "rotation_rad": [0, 0, 0]},
}
TASK = TaskConfiguration.model_validate({**SMALL, "phases": "random-phase"})
FIXED = TaskConfiguration.model_validate({**SMALL, "batch_norm": "fixed"})
FROZEN = TaskConfiguration.model_validate({**SMALL, "freeze_encoder": True})
SURVIVAL = SurvivalConfiguration.model_validate({**SMALL, "batch_norm": "fixed", "batch_size": 6})
GRID = TASK.changed(epochs=1, grid={"learning_rate": [0.001, 0.01], "batch_size": [8]})
REPORT = {
    "epochs": 2,
    "batch_size": 8,
    "threads": 1,
    "precision": "fp32",
    "views": 1,
    "tokens": 2,
    "max_tokens": 40,
    "augmentation": {"translation_px": 1, "rotation_rad": [0, 0, 0]},
}
NEW = {"vocabulary": 320, "width": 16, "hidden": 32, "layers": 1, "heads": 2}
FIRST = ReportProjectorConfiguration.model_validate({**REPORT, "new_model": NEW, "standardise": True})
SECOND = ReportAdaptersConfiguration.model_validate({**REPORT, "lora": {"rank": 2, "dropout": 0.0}})


def stages(folder, out, ranks):
    """Every stage into ``out``, from the cohort in ``folder``."""
    cohort, store = learning_cohort(read_cohort(folder / "cohort.csv")), RoiStore(folder / "store")
    fine_tune(TASK, cohort, store, out / "task", ranks=ranks)
    fine_tune(FIXED, cohort, store, out / "fixed", ranks=ranks)
    fine_tune(FROZEN, cohort, store, out / "frozen", initial=out / "fixed", ranks=ranks)
    fine_tune(SURVIVAL, cohort, store, out / "survival", ranks=ranks)
    search(GRID, cohort, store, out / "grid", ranks=ranks)
    encoder = RenalEncoder(2, 0, torch.Generator().manual_seed(0))
    train_report(FIRST, cohort, store, encoder, out / "projector", ranks=ranks)
    train_report(SECOND, cohort, store, encoder, out / "adapters", initial=out / "projector", ranks=ranks)


if __name__ == "__main__":
    torch.set_num_threads(1)
    with joined(timeout_minutes=3) as own:
        stages(Path(sys.argv[1]), Path(sys.argv[1]) / "two", own)
