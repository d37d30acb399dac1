"""A small phantom study on disk, with its true masks, for tests of whole cases."""

from pathlib import Path

import numpy as np

from RenalCLIPCore.imaging.study import Phase, Study, StudyPhase, read_study, write_study
from RenalCLIPCore.imaging.volume import Geometry, Volume, write_volume
from RenalCLIPCore.phantom.anatomy import draw_patient
from RenalCLIPCore.phantom.grids import study_geometry
from RenalCLIPCore.phantom.render import TissueMap, render_labels, render_phase
from RenalCLIPCore.phantom.truth import truth

SEED = 11
COLUMNS = 128
SLICE_MM = 5.0


def make_phantom(seed=SEED, phases="NAVD", lesion=True):
    """(volumes by phase, labels, truth) of a phantom on a coarse grid."""
    patient = draw_patient(seed, lesion=lesion)
    grid = study_geometry(patient, columns=COLUMNS, slice_mm=SLICE_MM)
    tissues = TissueMap(patient, grid)
    volumes = {Phase(p): render_phase(patient, Phase(p), grid, seed=seed, tissues=tissues) for p in phases}
    return volumes, render_labels(patient, grid), truth(patient)


def reoriented(volume, order=(0, 1, 2), flips=(False, False, False)):
    """The same voxels at the same places, stored with permuted and flipped index axes."""
    array, columns = volume.array.transpose(order), volume.geometry.direction_matrix[:, order].copy()
    start = np.zeros(3)
    for axis in np.flatnonzero(flips):
        array = np.flip(array, axis)
        start[order[axis]] = volume.geometry.size[order[axis]] - 1
        columns[:, axis] *= -1
    spacing = [volume.geometry.spacing_mm[a] for a in order]
    return Volume(array, Geometry.from_components(array.shape, spacing, volume.geometry.lps(start), columns))


def write_phantom_study(folder: Path, volumes, labels) -> tuple[Study, Path]:
    """A study folder and, beside it, the label map."""
    folder.mkdir(parents=True)
    phases = {}
    for phase, volume in volumes.items():
        file = folder / f"{phase.value}.nrrd"
        write_volume(volume, file)
        phases[phase] = StudyPhase(phase, file, volume.geometry, 1.0, "made by a test", True)
    write_study(Study(folder, f"phantom-{SEED}", phases))
    masks = folder.parent / f"{folder.name}-labels.nrrd"
    write_volume(labels, masks)
    return read_study(folder), masks
