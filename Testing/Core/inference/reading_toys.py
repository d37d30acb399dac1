"""Regions of interest and bundles for tests."""

import numpy as np

from RenalCLIPCore.imaging.volume import Geometry
from RenalCLIPCore.inference.network_output import NetworkOutput
from RenalCLIPCore.models.bundle import Bundle, write_bundle

ROI_SHAPE = (140, 140, 32)
ROI_GEOMETRY = Geometry.from_components(ROI_SHAPE, (1.0, 1.0, 5.0), (-90.0, -30.0, 100.0), np.eye(3))


def toy_rois(phases="NAVD", seed=0):
    generator = np.random.default_rng(seed)
    return {phase: generator.random(ROI_SHAPE, dtype=np.float32) for phase in phases}


def saved(folder, contents, precision="exact"):
    write_bundle(folder / "bundle", contents)
    return Bundle.load(folder / "bundle", precision=precision)


def output_of(logits, phases=("A", "V"), embeddings=None, features=None):
    """A network output with given numbers."""
    arrays = {task: np.asarray(rows, dtype=float) for task, rows in logits.items()}
    features = np.zeros((len(phases), 16)) if features is None else np.asarray(features, dtype=float)
    return NetworkOutput(phases, phases, "toy", features, embeddings, arrays, {})
