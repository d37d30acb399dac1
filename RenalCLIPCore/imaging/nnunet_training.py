"""Training a segmentation model through nnU-Net's own planning and trainer, from scratch or from a given model.

torch and nnunetv2 are imported inside the functions.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import OutputError, SegmentationModelError
from ..progress import Progress, span
from .nnunet_dataset import DATASET, Log, check_cases, claim_work_folder, plan_and_preprocess, write_json, write_raw
from .nnunet_model import SegmentationModel, network_weights, read_checkpoint, read_json
from .nnunet_options import TrainingCase, TrainingOptions

_FOLD = 0


def train_segmentation(
    cases: Sequence[TrainingCase],
    out: Path,
    options: TrainingOptions,
    *,
    work: Path | None = None,
    start_from: Path | None = None,
    progress: Progress | None = None,
) -> Path:
    """Train a model and write it as a clean nnU-Net model folder.

    The work folder (``OUT-work`` unless given) holds nnU-Net's raw, preprocessed and results folders. When it exists
    from an interrupted training of the same cases and options, that training is continued. With ``start_from`` the
    plans and weights of that model are taken over (fine-tuning); the output layer too when it has the same labels.

    Args:
        cases: At least two groups.
        out: Folder of the finished model; must not exist, and appears by atomic rename.
        options: How to train.
        work: Folder of the intermediate files.
        start_from: A trained nnU-Net model of the same configuration.
        progress: Called with fraction and words; raising cancels, and the training can be continued later.

    Returns:
        ``out``: ``dataset.json``, ``plans.json``, ``fold_0/checkpoint_final.pth``, readable by any nnU-Net v2.

    Raises:
        CohortError: No cases, doubled names, or labels that are not 0 to 3.
        GridMismatchError: Labels and image of a case have different grids.
        OutputError: ``out`` exists, or the work folder belongs to another training.
        SegmentationModelError: ``start_from`` cannot be used.
    """
    report = progress or (lambda _fraction, _words: None)
    if out.exists():
        raise OutputError(f"{out.name} exists; choose another name for the model, or remove it.")
    check_cases(cases)
    out = out.absolute()
    work = (work or out.with_name(f"{out.name}-work")).absolute()
    claim_work_folder(work, cases, options, start_from)
    with _environment(work, options), _seeded(options):
        orientation = "LPS" if start_from is None else SegmentationModel.load(start_from).fine.orientation
        report(0.0, "reading the cases")
        write_raw(cases, work, orientation, report)
        plan_and_preprocess(work, options, start_from, report)
        trainer = _trainer(work, options, start_from, span(report, 0.1, 0.89))
        with contextlib.redirect_stdout(Log(work / "training.log")):
            trainer.run_training()
    _export(Path(trainer.output_folder_base), out, options, orientation)
    report(1.0, "done")
    return out


@contextlib.contextmanager
def _environment(work: Path, options: TrainingOptions) -> Iterator[None]:
    """nnU-Net's environment variables for the duration of a training, then as they were."""
    import torch

    values = {
        "nnUNet_raw": str(work / "raw"),
        "nnUNet_preprocessed": str(work / "preprocessed"),
        "nnUNet_results": str(work / "results"),
        "nnUNet_n_proc_DA": str(options.workers),
        "nnUNet_compile": "f",
        "nnUNet_wandb_enabled": "0",
    }
    before = {name: os.environ.get(name) for name in values}
    threads = torch.get_num_threads()
    os.environ.update(values)
    if options.threads:
        torch.set_num_threads(options.threads)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


@contextlib.contextmanager
def _seeded(options: TrainingOptions) -> Iterator[None]:
    """nnU-Net draws from the global generators: seed them here and give them back as they were."""
    import torch

    state = np.random.get_state()  # noqa: NPY002 - nnU-Net's augmentation uses the legacy generator
    with torch.random.fork_rng(devices=[]):
        np.random.seed(options.seed)  # noqa: NPY002
        torch.manual_seed(options.seed)
        try:
            yield
        finally:
            np.random.set_state(state)  # noqa: NPY002


def _trainer(work: Path, options: TrainingOptions, start_from: Path | None, report: Progress) -> Any:
    """nnU-Net's trainer, at the start or where an interrupted training stood."""
    import torch

    from .nnunet_trainer import RenalTrainer

    folder = work / "preprocessed" / DATASET
    plans = read_json(folder / "nnUNetPlans.json")
    dataset = read_json(folder / "dataset.json")
    dataset.pop("dataset", None)
    with contextlib.redirect_stdout(Log(work / "training.log")):
        trainer = RenalTrainer(
            {**plans, "continue_training": False}, options.configuration, _FOLD, dataset, torch.device(options.device)
        )
        trainer.prepare(options, report)
        fold = Path(trainer.output_folder)
        latest = next((f for f in (fold / "checkpoint_final.pth", fold / "checkpoint_latest.pth") if f.is_file()), None)
        if latest is not None:
            trainer.resume(latest)
        else:
            trainer.initialize()
            if start_from is not None:
                _take_over(trainer.network, start_from, options)
    return trainer


def _take_over(network: Any, start_from: Path, options: TrainingOptions) -> None:
    weights = dict(SegmentationModel.load(start_from).configurations[options.configuration].folds[0])
    own = network.state_dict()
    usable = {key: value for key, value in weights.items() if key in own and own[key].shape == value.shape}
    missing = [key for key in own if key not in usable and ".seg_layers." not in key]
    if missing:
        raise SegmentationModelError(f"The weights of {start_from.name} do not fit its own plans ({missing[0]}).")
    network.load_state_dict({**own, **usable})


def _export(results: Path, out: Path, options: TrainingOptions, orientation: str) -> None:
    """The finished model with what inference needs and nothing else (no paths, no optimiser state)."""
    import torch

    partial = out.with_name(f".partial-{out.name}")
    shutil.rmtree(partial, ignore_errors=True)
    (partial / f"fold_{_FOLD}").mkdir(parents=True)
    dataset = read_json(results / "dataset.json")
    dataset.pop("dataset", None)
    write_json({**dataset, "orientation": orientation}, partial / "dataset.json")
    write_json(read_json(results / "plans.json"), partial / "plans.json")
    content = read_checkpoint(results / f"fold_{_FOLD}" / "checkpoint_final.pth")
    weights = network_weights(content, "checkpoint_final.pth")
    stripped = {
        "network_weights": _packed(weights, options.half_weights),
        "init_args": {"configuration": options.configuration, "fold": _FOLD},
        "trainer_name": "nnUNetTrainer",
        "inference_allowed_mirroring_axes": content["inference_allowed_mirroring_axes"],
    }
    torch.save(stripped, partial / f"fold_{_FOLD}" / "checkpoint_final.pth")
    partial.replace(out)


def _packed(weights: dict[str, Any], half: bool) -> dict[str, Any]:
    """The weights, each stored once: nnU-Net's networks name many of them several times."""
    import torch

    stored: dict[tuple[int, torch.Size], torch.Tensor] = {}
    packed = {}
    for key, value in weights.items():
        place = value.data_ptr(), value.shape
        if place not in stored:
            stored[place] = value.half() if half and value.is_floating_point() else value.clone()
        packed[key] = stored[place]
    return packed
