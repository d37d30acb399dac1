"""Small bundles for tests."""

from dataclasses import replace

import numpy as np
import torch

from RenalCLIPCore.models.bundle import BundleContents
from RenalCLIPCore.models.bundle_parts import CaseIndex, TaskPrompts
from RenalCLIPCore.models.encoder import RenalEncoder
from RenalCLIPCore.models.feature_statistics import fit_feature_statistics
from RenalCLIPCore.models.manifest import (
    Architecture,
    BundleManifest,
    MultiphaseEntry,
    OutOfDistributionRule,
    Risk,
    SliceForm,
    Task,
)
from RenalCLIPCore.models.multiphase import MultiphaseNetwork
from RenalCLIPCore.models.tasks import TASKS
from RenalCLIPCore.models.weights import make_head

WIDTH, DIMENSIONS = 2, 6


def unit_rows(rows, seed):
    values = np.random.default_rng(seed).normal(size=(rows, DIMENSIONS)).astype(np.float32)
    return values / np.linalg.norm(values, axis=1, keepdims=True)


def task(name, **fields):
    definition = TASKS[name]
    if not definition.classes:
        return Task(name=name, kind="survival", hidden=4, **fields)
    return Task(name=name, classes=definition.classes, points=definition.points, hidden=4, **fields)


def toy_manifest(tasks, **fields):
    return BundleManifest(
        name="toy",
        version="1",
        created="2026-01-01T00:00:00+00:00",
        architecture=Architecture(width=WIDTH, embedding_dim=DIMENSIONS),
        tasks=tasks,
        licence="Apache-2.0",
        training_data="Random numbers.",
        **{"fusion": "random-phase", **fields},
    )


def toy_contents(segmentation=None):
    """A bundle with every part; malignancy has an encoder of its own."""
    generator = torch.Generator().manual_seed(1)
    tasks = (task("renal_r"), task("malignancy", own_encoder=True), task("rfs"))
    risk = Risk(
        cohort="toy cohort",
        median=0.1,
        months=(0.0, 12.0, 24.0),
        baseline_cumulative_hazard=(0.0, 0.1, 0.3),
        survival_low=(1.0, 0.95, 0.9),
        survival_high=(1.0, 0.8, 0.6),
    )
    manifest = toy_manifest(
        tasks,
        risk=risk,
        out_of_distribution=OutOfDistributionRule(threshold=5.0, percentile=99.0, source="20 random vectors"),
        prompts=True,
        index=True,
        segmentation=segmentation is not None,
    )
    prompts = TaskPrompts(("benign", "malignant"), (("a", "b"), ("c", "d", "e")), (unit_rows(2, 2), unit_rows(3, 3)))
    features = np.random.default_rng(4).normal(size=(20, 8 * WIDTH))
    return BundleContents(
        manifest,
        RenalEncoder(WIDTH, DIMENSIONS, generator),
        {item.name: make_head(item, 8 * WIDTH) for item in tasks},
        {"malignancy": RenalEncoder(WIDTH, 0, generator)},
        {"malignancy": prompts},
        CaseIndex(unit_rows(4, 5), ("C1", "C2", "C3", "C4"), tuple({"histology": f"h{n}"} for n in range(4))),
        fit_feature_statistics(features, 3),
        segmentation,
    )


def with_multiphase(contents, *, any_subset=True, phases="NAV", tasks=("malignancy", "aggressiveness"), size=64):
    """The same bundle with small multi-phase 2-D networks."""
    slices = SliceForm(spacing_mm=140 / size, size=size)
    entries = tuple(
        MultiphaseEntry(task=task(name), phases=phases, any_subset=any_subset, width=1, slices=slices) for name in tasks
    )
    networks = {
        entry.task.name: MultiphaseNetwork(phases, entry.fusion, 1, seed=number).half()
        for number, entry in enumerate(entries, 1)
    }
    manifest = contents.manifest.model_copy(update={"multiphase": entries})
    return replace(contents, manifest=manifest, multiphase=networks)
