"""Cases to a dataset that nnU-Net can train on: checked, stored in one orientation, planned, preprocessed, split.

torch and nnunetv2 are imported inside the functions.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import CohortError, GridMismatchError, OutputError, SegmentationModelError
from ..progress import Progress
from .mask_labels import CYST, KIDNEY, TUMOUR
from .nnunet_model import SegmentationModel, read_json
from .nnunet_options import TrainingCase, TrainingOptions
from .orientation import reorient
from .volume import Volume, read_geometry, read_volume, write_volume

DATASET = "Dataset001_RenalCLIP"
LABELS = {"background": 0, "kidney": KIDNEY, "tumour": TUMOUR, "cyst": CYST}
_STATE = "options.json"


def check_cases(cases: Sequence[TrainingCase]) -> None:
    """Refuse too few cases or doubled names (CohortError)."""
    names = [case.case_id for case in cases]
    if len({case.group for case in cases}) < 2:
        raise CohortError(
            f"At least two patients with images and labels are needed to train; found {len(names)} cases."
        )
    if len(set(names)) != len(names):
        raise CohortError("Two training cases have the same name; names must be unique.")


def _stamp(path: Path) -> str:
    """Digest of a file's place, size and time of change: another one under the same name has another."""
    found = path.stat()
    return hashlib.sha256(f"{path.absolute()} {found.st_size} {found.st_mtime_ns}".encode()).hexdigest()[:16]


def claim_work_folder(
    work: Path, cases: Sequence[TrainingCase], options: TrainingOptions, start_from: Path | None
) -> None:
    """Make the work folder this training's, or see that it already is."""
    plan = {name: value for name, value in vars(options).items() if name not in ("threads", "workers", "device")}
    known = sorted((case.case_id, case.group, _stamp(case.image), _stamp(case.labels)) for case in cases)
    state = json.dumps({"cases": known, "from": str(start_from), **plan}, indent=1)
    file = work / _STATE
    if file.is_file():
        if file.read_text(encoding="utf-8") != state:
            raise OutputError(
                f"{work.name} belongs to a training with other cases or options; continue that one as it was, "
                "or name another work folder."
            )
        return
    if work.exists() and any(work.iterdir()):
        raise OutputError(f"{work.name} is not empty and holds no training; name another work folder.")
    for part in ("raw", "preprocessed", "results"):
        (work / part / DATASET).mkdir(parents=True)
    write_json({case.case_id: case.group for case in cases}, work / "groups.json")
    file.write_text(state, encoding="utf-8")


def write_raw(cases: Sequence[TrainingCase], work: Path, orientation: str, report: Progress) -> None:
    """nnU-Net's raw dataset: images that are already stored as needed are referred to, others are rewritten."""
    folder = work / "raw" / DATASET
    if (folder / "dataset.json").is_file():
        return
    entries = {}
    for number, case in enumerate(cases):
        report(0.05 * number / len(cases), f"case {number + 1} of {len(cases)}")
        entries[case.case_id] = {
            "images": [str(_stored(case.image, folder / f"{case.case_id}_0000.nii.gz", orientation))],
            "label": str(_checked_labels(case, folder / f"{case.case_id}.nii.gz", orientation)),
        }
    dataset = {
        "channel_names": {"0": "CT"},
        "labels": LABELS,
        "numTraining": len(cases),
        "file_ending": ".nii.gz",
        "overwrite_image_reader_writer": "SimpleITKIO",
        "orientation": orientation,
        "dataset": entries,
    }
    write_json(dataset, folder / "dataset.json")


def _stored(path: Path, rewritten: Path, orientation: str) -> Path:
    geometry = read_geometry(path)
    if reorient(geometry, orientation).same_grid(geometry):
        return path.resolve()
    if not rewritten.is_file():
        write_volume(reorient(read_volume(path), orientation), rewritten)
    return rewritten


def _checked_labels(case: TrainingCase, rewritten: Path, orientation: str) -> Path:
    labels = read_volume(case.labels)
    if not labels.geometry.same_grid(read_geometry(case.image), 0.01):
        raise GridMismatchError(f"The labels of {case.case_id} are not on the grid of its image; resample them first.")
    values = np.unique(labels.array)
    if not set(values.tolist()) <= set(LABELS.values()):
        raise CohortError(
            f"The labels of {case.case_id} hold the values {values[:8].tolist()}; 0 background, 1 kidney, 2 tumour and "
            "3 cyst are known."
        )
    if not rewritten.is_file():
        write_volume(reorient(Volume(labels.array.astype(np.uint8), labels.geometry), orientation), rewritten)
    return rewritten


def plan_and_preprocess(work: Path, options: TrainingOptions, start_from: Path | None, report: Progress) -> None:
    """Fingerprint, plans, preprocessed cases and the split; each is kept when it is already there."""
    from nnunetv2.experiment_planning.dataset_fingerprint import fingerprint_extractor

    folder = work / "preprocessed" / DATASET
    done = folder / "splits_final.json"
    if done.is_file():
        return
    with contextlib.redirect_stdout(Log(work / "training.log")), _threads_for_processes(options):
        report(0.05, "measuring the cases")
        extractor = fingerprint_extractor.DatasetFingerprintExtractor(DATASET, max(1, options.workers))
        extractor.show_progress_bar = False
        extractor.num_foreground_voxels_for_intensitystats = 1e7
        extractor.run(overwrite_existing=False)
        report(0.06, "planning")
        _write_plans(folder, work, options, start_from)
        _preprocess(folder, options, report)
    write_json([_split(work, options)], done)


@contextlib.contextmanager
def _threads_for_processes(options: TrainingOptions) -> Iterator[None]:
    """Without workers, the process pool of nnU-Net's fingerprint becomes threads of this process."""
    from nnunetv2.experiment_planning.dataset_fingerprint import fingerprint_extractor

    from .nnunet_trainer import InProcess

    before = fingerprint_extractor.multiprocessing
    if not options.workers:
        fingerprint_extractor.multiprocessing = InProcess
    try:
        yield
    finally:
        fingerprint_extractor.multiprocessing = before


def _write_plans(folder: Path, work: Path, options: TrainingOptions, start_from: Path | None) -> None:
    if start_from is None:
        from .nnunet_trainer import RenalPlanner

        RenalPlanner(DATASET, options).plan_experiment()
    else:
        shutil.copy(work / "raw" / DATASET / "dataset.json", folder / "dataset.json")
        write_json(_plans_of(start_from, options), folder / "nnUNetPlans.json")
    plans = read_json(folder / "nnUNetPlans.json")
    if options.configuration not in plans["configurations"]:
        raise CohortError(
            f"nnU-Net's planning found no use for {options.configuration} on these images; train 3d_fullres instead."
        )


def _plans_of(start_from: Path, options: TrainingOptions) -> dict[str, Any]:
    trained = SegmentationModel.load(start_from).configurations.get(options.configuration)
    if trained is None:
        raise SegmentationModelError(f"{start_from.name} has no configuration {options.configuration} to start from.")
    plans = {**trained.plans, "dataset_name": DATASET, "plans_name": "nnUNetPlans"}
    for name, configuration in plans["configurations"].items():
        configuration["data_identifier"] = f"nnUNetPlans_{name}"
    return plans


def _preprocess(folder: Path, options: TrainingOptions, report: Progress) -> None:
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
    from nnunetv2.utilities.utils import get_filenames_of_train_images_and_targets

    report(0.06, "preprocessing the cases")
    manager = PlansManager(str(folder / "nnUNetPlans.json"))
    configuration = manager.get_configuration(options.configuration)
    preprocessor = configuration.preprocessor_class(verbose=False)
    preprocessor.show_progress_bar = False
    if options.workers:
        preprocessor.run(DATASET, options.configuration, "nnUNetPlans", num_processes=options.workers)
        return
    dataset = read_json(folder / "dataset.json")
    cases = get_filenames_of_train_images_and_targets(str(folder), dataset)
    target = folder / configuration.data_identifier
    target.mkdir(exist_ok=True)
    for number, (name, files) in enumerate(cases.items()):
        report(0.06 + 0.04 * number / len(cases), f"preprocessing case {number + 1} of {len(cases)}")
        if (target / f"{name}.pkl").is_file():
            continue
        for suffix in (".b2nd", "_seg.b2nd"):
            (target / f"{name}{suffix}").unlink(missing_ok=True)
        preprocessor.run_case_save(str(target / name), files["images"], files["label"], manager, configuration, dataset)


def _split(work: Path, options: TrainingOptions) -> dict[str, list[str]]:
    groups: dict[str, str] = json.loads((work / "groups.json").read_text(encoding="utf-8"))
    names = sorted(set(groups.values()))
    count = min(len(names) - 1, max(1, round(options.validation_share * len(names))))
    kept = set(np.random.default_rng(options.seed).permutation(names)[:count].tolist())
    return {
        "train": sorted(case for case, group in groups.items() if group not in kept),
        "val": sorted(case for case, group in groups.items() if group in kept),
    }


class Log(io.TextIOBase):
    """What nnU-Net prints, appended to a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, text: str) -> int:
        """Append the text; the result is its length."""
        with self.path.open("a", encoding="utf-8") as stream:
            return stream.write(text)


def write_json(content: Any, path: Path) -> None:
    """Write content as JSON by atomic rename."""
    partial = path.with_name(f".partial-{path.name}")
    partial.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    partial.replace(path)
