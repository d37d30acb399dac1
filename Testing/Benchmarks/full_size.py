"""A bundle of the full-size encoder with random weights and every part, for timing."""

from __future__ import annotations

import numpy as np
import torch

from RenalCLIPCore.models.bundle import BundleContents
from RenalCLIPCore.models.bundle_parts import CaseIndex, TaskPrompts
from RenalCLIPCore.models.encoder import RenalEncoder
from RenalCLIPCore.models.feature_statistics import fit_feature_statistics
from RenalCLIPCore.models.manifest import Architecture, BundleManifest, OutOfDistributionRule, Risk, Task
from RenalCLIPCore.models.tasks import TASKS
from RenalCLIPCore.models.weights import make_head

CASES, PROMPTS = 5000, 100


def full_size_contents() -> BundleContents:
    """The paper's sizes: 35,087,424 parameters, eight heads, 100 prompts a class, an index of 5,000 cases."""
    generator = torch.Generator().manual_seed(0)
    draw = np.random.default_rng(0)
    architecture = Architecture()
    tasks = tuple(
        Task(name=name, classes=item.classes, points=item.points) if item.classes else Task(name=name, kind="survival")
        for name, item in TASKS.items()
    )
    months = tuple(float(month) for month in range(0, 61, 6))
    curve = tuple(1.0 - 0.005 * month for month in months)
    manifest = BundleManifest(
        name="full-size",
        version="1",
        created="2026-01-01T00:00:00+00:00",
        architecture=architecture,
        fusion="random-phase",
        tasks=tasks,
        risk=Risk(
            cohort="none",
            median=0.0,
            months=months,
            baseline_cumulative_hazard=tuple(0.002 * month for month in months),
            survival_low=curve,
            survival_high=curve,
        ),
        out_of_distribution=OutOfDistributionRule(threshold=50.0, percentile=99.0, source="random vectors"),
        prompts=True,
        index=True,
        licence="Apache-2.0",
        training_data="Random weights, for timing only.",
    )

    def unit(rows: int) -> np.ndarray:
        values = draw.normal(size=(rows, architecture.embedding_dim)).astype(np.float32)
        return values / np.linalg.norm(values, axis=1, keepdims=True)

    texts = tuple(tuple(f"prompt {label} {n}" for n in range(PROMPTS)) for label in ("benign", "malignant"))
    return BundleContents(
        manifest,
        RenalEncoder(architecture.width, architecture.embedding_dim, generator),
        {task.name: make_head(task, 8 * architecture.width) for task in tasks},
        prompts={"malignancy": TaskPrompts(("benign", "malignant"), texts, (unit(PROMPTS), unit(PROMPTS)))},
        index=CaseIndex(unit(CASES), tuple(f"C{n}" for n in range(CASES)), tuple({} for _ in range(CASES))),
        statistics=fit_feature_statistics(draw.normal(size=(600, 8 * architecture.width))),
    )
