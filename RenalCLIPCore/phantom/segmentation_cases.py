"""Phantoms for training and testing a segmentation: whole abdomens in random phases, with label maps."""

from __future__ import annotations

import shutil
from pathlib import Path

from ..errors import ConfigurationError
from ..imaging.study import Phase
from ..imaging.volume import write_volume
from ..progress import Progress
from .anatomy import draw_patient
from .grids import study_geometry
from .render import Acquisition, TissueMap, render_labels, render_phase
from .streams import stream

IMAGES, LABELS = "images", "labels"
COLUMNS = (192, 224, 256, 320)
SLICES_MM = (2.5, 3.0, 5.0)
NO_LESION = 0.1
# Portal phases are what a study may rely on; the others appear too, so that any phase can be segmented.
PHASE_WEIGHTS = {Phase.N: 0.15, Phase.A: 0.35, Phase.V: 0.3, Phase.D: 0.2}


def write_segmentation_cases(
    out: Path,
    patients: int,
    seed: int,
    *,
    phases: int = 2,
    progress: Progress | None = None,
) -> Path:
    """Write phantoms as ``images/PATIENT_PHASE.nii.gz`` and ``labels/PATIENT_PHASE.nii.gz``.

    Grid, slice thickness, noise and blur vary from patient to patient; one in ten has no lesion. Patients that are
    already there are kept.

    Args:
        out: Folder, made when absent.
        patients: Number of patients.
        seed: Patients of different seeds differ.
        phases: Different phases per patient, 1 to 4, drawn by ``PHASE_WEIGHTS``.
        progress: Called with the fraction done; may raise ``Cancelled``.

    Raises:
        ConfigurationError: No patients, or a number of phases that does not exist.
    """
    if patients < 1 or not 1 <= phases <= len(Phase):
        raise ConfigurationError("At least one patient and one to four phases are needed.")
    for folder in (IMAGES, LABELS):
        (out / folder).mkdir(parents=True, exist_ok=True)
    for index in range(patients):
        if progress is not None:
            progress(index / patients, f"phantom {index + 1} of {patients}")
        _write_patient(out, seed, index, phases)
    return out


def _write_patient(out: Path, seed: int, index: int, phases: int) -> None:
    g = stream(seed, f"segmentation.{index}")
    patient = draw_patient(int(g.integers(1 << 62)), lesion=bool(g.uniform() >= NO_LESION), timing_sd=1.4)
    grid = study_geometry(patient, columns=int(g.choice(COLUMNS)), slice_mm=float(g.choice(SLICES_MM)))
    acquisition = Acquisition(g.uniform(0.45, 1.0), g.uniform(8.0, 20.0), g.uniform(0.45, 0.8))
    names = [phase.value for phase in Phase]
    drawn = g.choice(names, size=phases, replace=False, p=[PHASE_WEIGHTS[phase] for phase in Phase])
    case = f"phantom{seed}-{index:04d}"
    files = {name: f"{case}_{name}.nii.gz" for name in drawn}
    if all((out / LABELS / file).is_file() for file in files.values()):
        return
    tissues = TissueMap(patient, grid)
    labels = out / f".partial-{case}.nii.gz"
    write_volume(render_labels(patient, grid), labels)
    for name, file in files.items():
        volume = render_phase(patient, Phase(name), grid, patient.seed, tissues=tissues, acquisition=acquisition)
        write_volume(volume, out / IMAGES / file)
        shutil.copyfile(labels, out / LABELS / file)
    labels.unlink()
