"""nnU-Net's planner and trainer with what a small or a short training needs; imports nnunetv2, import it lazily."""

from __future__ import annotations

import multiprocessing.pool
from pathlib import Path
from typing import Any

import numpy as np
import torch
from batchgeneratorsv2.transforms.intensity.brightness import MultiplicativeBrightnessTransform
from batchgeneratorsv2.transforms.intensity.contrast import ContrastTransform
from batchgeneratorsv2.transforms.intensity.gamma import GammaTransform
from batchgeneratorsv2.transforms.spatial.spatial import SpatialTransform
from nnunetv2.experiment_planning.experiment_planners.default_experiment_planner import ExperimentPlanner
from nnunetv2.experiment_planning.experiment_planners.network_topology import get_pool_and_conv_props
from nnunetv2.training.lr_scheduler.polylr import PolyLRScheduler
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.utilities.get_network_from_plans import get_network_from_plans

from ..progress import Progress
from .nnunet_model import network_weights, read_checkpoint
from .nnunet_options import TrainingOptions

_BLOCKS = (2,) * 14
_SEED_STEP = 7919  # between the seeds of epochs, so that neighbouring --seed values share none


class RenalPlanner(ExperimentPlanner):  # type: ignore[misc]
    """nnU-Net's experiment planner with the spacing, patch and width that a person asked for."""

    def __init__(self, dataset: str, options: TrainingOptions) -> None:
        spacing = None if options.spacing_mm is None else [float(value) for value in reversed(options.spacing_mm)]
        super().__init__(dataset, overwrite_target_spacing=spacing)
        self.options = options
        if options.base_features is not None:
            self.UNet_base_num_features = options.base_features
        if options.light:
            self.UNet_blocks_per_stage_encoder = (1, *_BLOCKS[1:])
            self.UNet_blocks_per_stage_decoder = (1,) * len(_BLOCKS)
        if options.max_features is not None:
            self.UNet_max_features_3d = self.UNet_max_features_2d = options.max_features

    def determine_transpose(self) -> tuple[list[int], list[int]]:
        """Keep the axis order (S, P, L) when a patch is asked for, so that the patch means what it says."""
        if self.options.patch is not None:
            return [0, 1, 2], [0, 1, 2]
        return super().determine_transpose()

    @staticmethod
    def static_estimate_VRAM_usage(
        patch_size: Any, input_channels: int, output_channels: int, arch_class_name: str, arch_kwargs: Any, imports: Any
    ) -> int:
        """nnU-Net's estimate, without its change of torch's threads (which fails when there are no workers)."""
        network = get_network_from_plans(
            arch_class_name, arch_kwargs, imports, input_channels, output_channels, allow_init=False
        )
        return int(network.compute_conv_feature_map_size(patch_size))

    def get_plans_for_configuration(
        self, spacing: Any, median_shape: Any, data_identifier: str, approximate_n_voxels_dataset: float, _cache: Any
    ) -> dict[str, Any]:
        """nnU-Net's plan; a patch or batch that was asked for replaces the planned one."""
        plan = super().get_plans_for_configuration(
            spacing, median_shape, data_identifier, approximate_n_voxels_dataset, _cache
        )
        if self.options.patch is not None and len(spacing) == 3:
            self._replace_patch(plan, spacing)
        if self.options.batch_size is not None:
            plan["batch_size"] = self.options.batch_size
        return plan

    def _replace_patch(self, plan: dict[str, Any], spacing: Any) -> None:
        assert self.options.patch is not None
        _, strides, kernels, patch, _ = get_pool_and_conv_props(
            spacing, list(reversed(self.options.patch)), self.UNet_featuremap_min_edge_length, 999999
        )
        stages = len(strides)
        plan["patch_size"] = patch
        plan["architecture"]["arch_kwargs"].update(
            n_stages=stages,
            features_per_stage=tuple(
                min(self.UNet_max_features_3d, self.UNet_base_num_features * 2**stage) for stage in range(stages)
            ),
            kernel_sizes=kernels,
            strides=strides,
            n_conv_per_stage=self.UNet_blocks_per_stage_encoder[:stages],
            n_conv_per_stage_decoder=self.UNet_blocks_per_stage_decoder[: stages - 1],
        )


class RenalTrainer(nnUNetTrainer):  # type: ignore[misc]
    """nnU-Net's trainer: bf16 on CPU, wider zoom, safe checkpoints, progress and cancel; set up by :meth:`prepare`.

    The zoom (objects down to half their size) makes the model usable as its own kidney finder on a coarse grid.
    """

    options: TrainingOptions
    report: Progress

    def prepare(self, options: TrainingOptions, report: Progress) -> None:
        """Take the options over; call before ``initialize``."""
        self.options, self.report = options, report
        self.num_epochs = options.epochs
        self.num_iterations_per_epoch = options.iterations
        self.num_val_iterations_per_epoch = options.validation_iterations
        self.oversample_foreground_percent = options.foreground
        self.probabilistic_oversampling = True
        self.initial_lr = options.learning_rate
        self.save_every = 1
        self.logger.plot_progress_png = lambda _folder: None

    def configure_optimizers(self) -> tuple[torch.optim.Optimizer, Any]:
        """nnU-Net's SGD, or AdamW (better when there are few iterations), with nnU-Net's polynomial decay."""
        if self.options.optimizer == "sgd":
            return super().configure_optimizers()
        optimizer = torch.optim.AdamW(self.network.parameters(), self.initial_lr, weight_decay=1e-4)
        return optimizer, PolyLRScheduler(optimizer, self.initial_lr, self.num_epochs)

    def get_training_transforms(self, *arguments: Any, **named: Any) -> Any:
        """nnU-Net's augmentation, with zooming out as far as the options say."""
        pipeline = nnUNetTrainer.get_training_transforms(*arguments, **named)
        if self.options.augmentation == "light":
            pipeline.transforms = [item for item in pipeline.transforms if not _changes_contrast(item)]
        for transform in pipeline.transforms:
            if isinstance(transform, SpatialTransform):
                transform.p_scaling = self.options.zoom_probability
                transform.scaling = (0.7, self.options.zoom_out)
        return pipeline

    def configure_rotation_dummyDA_mirroring_and_inital_patch_size(self) -> Any:
        """nnU-Net's ranges; light augmentation turns by 10 degrees and mirrors left and right only."""
        found = super().configure_rotation_dummyDA_mirroring_and_inital_patch_size()
        if self.options.augmentation == "full" or len(self.configuration_manager.patch_size) != 3:
            return found
        orientation = str(self.dataset_json.get("orientation", "LPS"))
        stored = 2 - next(axis for axis, letter in enumerate(orientation) if letter in "LR")
        left_right = (self.plans_manager.transpose_forward.index(stored),)
        self.inference_allowed_mirroring_axes = left_right
        return (-np.pi / 18, np.pi / 18), *found[1:3], left_right

    def train_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        """One step; under bf16 autocast on CPU when the options ask for it."""
        done = self.current_epoch + self._step / max(1, self.num_iterations_per_epoch)
        self.report(done / self.num_epochs, f"epoch {self.current_epoch + 1} of {self.num_epochs}")
        self._step += 1
        with torch.autocast("cpu", torch.bfloat16, enabled=self._low_precision()):
            return super().train_step(batch)

    def validation_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        """One validation step, in the precision of the training."""
        with torch.autocast("cpu", torch.bfloat16, enabled=self._low_precision()):
            return super().validation_step(batch)

    def on_train_epoch_start(self) -> None:
        """Count the steps of the epoch from zero."""
        self._step = 0
        super().on_train_epoch_start()

    def on_validation_epoch_end(self, val_outputs: list[dict[str, Any]]) -> None:
        """nnU-Net's pseudo Dice; a label that no validation patch held counts as not a number, silently."""
        with np.errstate(invalid="ignore", divide="ignore"):
            super().on_validation_epoch_end(val_outputs)

    def resume(self, checkpoint: Path) -> None:
        """Continue from a checkpoint of this training, read without executing anything from it."""
        self.initialize()
        content = read_checkpoint(checkpoint)
        self.network.load_state_dict(network_weights(content, checkpoint.name))
        self.optimizer.load_state_dict(content["optimizer_state"])
        if self.grad_scaler is not None and content["grad_scaler_state"] is not None:
            self.grad_scaler.load_state_dict(content["grad_scaler_state"])
        self.current_epoch = int(content["current_epoch"])
        # what is drawn from here on is not what was drawn from the start on
        seed = self.options.seed + _SEED_STEP * self.current_epoch
        np.random.seed(seed % 2**32)  # noqa: NPY002 - nnU-Net's augmentation uses the legacy generator
        torch.manual_seed(seed)
        self.logger.load_checkpoint(content["logging"])
        self._best_ema = content["_best_ema"]

    def save_checkpoint(self, filename: str) -> None:
        """nnU-Net's checkpoint, by atomic rename."""
        partial = Path(filename).with_name(f".partial-{Path(filename).name}")
        super().save_checkpoint(str(partial))
        if partial.is_file():
            partial.replace(filename)

    def plot_network_architecture(self) -> None:
        """No drawing: it needs a library that nobody has."""

    def _save_debug_information(self) -> None:
        """No debug file: it holds the name of the machine."""

    def _low_precision(self) -> bool:
        return self.options.low_precision and self.device.type == "cpu"


def _changes_contrast(transform: Any) -> bool:
    """Whether a transform changes how bright tissues are against each other."""
    inner = getattr(transform, "transform", transform)
    return isinstance(inner, (MultiplicativeBrightnessTransform, ContrastTransform, GammaTransform))


class InProcess:
    """Stands in for ``multiprocessing`` inside nnU-Net: its pools become threads of this process.

    A spawned process would start the host program again where Python is embedded (3D Slicer).
    """

    @staticmethod
    def get_context(_method: str) -> type[InProcess]:
        """The same, whatever start method is asked for."""
        return InProcess

    @staticmethod
    def Pool(processes: int) -> Any:
        """A pool of threads."""
        return multiprocessing.pool.ThreadPool(processes)
