"""Tiny nnU-Net models written by hand: plans, dataset and checkpoints as nnU-Net v2 writes them."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

LABELS = {"background": 0, "kidney": 1, "tumor": 2, "cyst": 3}
REGIONS = {"background": 0, "kidney": [1, 2, 3], "masses": [2, 3], "tumor": 2}
STAGES = 2


def architecture(residual: bool = False) -> dict[str, Any]:
    """Architecture entry of the plans: two stages of four features."""
    convolutions = "n_blocks_per_stage" if residual else "n_conv_per_stage"
    kind = "ResidualEncoderUNet" if residual else "PlainConvUNet"
    return {
        "network_class_name": f"dynamic_network_architectures.architectures.unet.{kind}",
        "arch_kwargs": {
            "n_stages": STAGES,
            "features_per_stage": [4, 8],
            "conv_op": "torch.nn.modules.conv.Conv3d",
            "kernel_sizes": [[3, 3, 3]] * STAGES,
            "strides": [[1, 1, 1], [2, 2, 2]],
            convolutions: [1] * STAGES,
            "n_conv_per_stage_decoder": [1],
            "conv_bias": True,
            "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
            "norm_op_kwargs": {"eps": 1e-05, "affine": True},
            "dropout_op": None,
            "dropout_op_kwargs": None,
            "nonlin": "torch.nn.LeakyReLU",
            "nonlin_kwargs": {"inplace": True},
        },
        "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
    }


def resampling(order: int, seg: bool) -> dict[str, Any]:
    return {"is_seg": seg, "order": order, "order_z": 0, "force_separate_z": None}


def plans(spacing=(5.0, 4.0, 4.0), patch=(16, 16, 16), residual: bool = False) -> dict[str, Any]:
    """Plans with one configuration, 3d_fullres; spacing and patch along the array axes (k, j, i)."""
    configuration = {
        "data_identifier": "nnUNetPlans_3d_fullres",
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": 2,
        "patch_size": list(patch),
        "median_image_size_in_voxels": [24, 32, 48],
        "spacing": list(spacing),
        "normalization_schemes": ["CTNormalization"],
        "use_mask_for_norm": [False],
        "resampling_fn_data": "resample_data_or_seg_to_shape",
        "resampling_fn_seg": "resample_data_or_seg_to_shape",
        "resampling_fn_data_kwargs": resampling(3, False),
        "resampling_fn_seg_kwargs": resampling(1, True),
        "resampling_fn_probabilities": "resample_data_or_seg_to_shape",
        "resampling_fn_probabilities_kwargs": resampling(1, False),
        "architecture": architecture(residual),
        "batch_dice": False,
    }
    properties = {"mean": 100.0, "std": 60.0, "percentile_00_5": -80.0, "percentile_99_5": 200.0, "median": 100.0}
    return {
        "dataset_name": "Dataset900_Toy",
        "plans_name": "nnUNetPlans",
        "original_median_spacing_after_transp": list(spacing),
        "original_median_shape_after_transp": [24, 32, 48],
        "image_reader_writer": "SimpleITKIO",
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "configurations": {"3d_fullres": configuration},
        "experiment_planner_used": "ExperimentPlanner",
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {"0": properties},
    }


def dataset(labels: dict[str, Any] | None = None) -> dict[str, Any]:
    content: dict[str, Any] = {"channel_names": {"0": "CT"}, "labels": labels or LABELS, "file_ending": ".nii.gz"}
    if any(isinstance(value, list) for value in content["labels"].values()):
        content["regions_class_order"] = [1, 3, 2]
    return content


def checkpoint(content: dict[str, Any], seed: int, heads: int, configuration: str = "3d_fullres") -> dict[str, Any]:
    """A checkpoint of random weights, with the numpy scalars that nnU-Net's log leaves in it."""
    from nnunetv2.utilities.get_network_from_plans import get_network_from_plans

    entry = content["configurations"][configuration]["architecture"]
    torch.manual_seed(seed)
    network = get_network_from_plans(
        entry["network_class_name"],
        copy.deepcopy(entry["arch_kwargs"]),
        entry["_kw_requires_import"],
        1,
        heads,
        deep_supervision=True,
    )
    return {
        "network_weights": network.state_dict(),
        "optimizer_state": {"state": {}, "param_groups": [{"lr": 0.01}]},
        "grad_scaler_state": None,
        "logging": {"mean_fg_dice": [np.float64(0.5)], "train_losses": [np.float32(-0.3)], "lrs": [0.01]},
        "_best_ema": np.float64(0.5),
        "current_epoch": 2,
        "init_args": {"plans": content, "configuration": configuration, "fold": 0, "device": torch.device("cpu")},
        "trainer_name": "nnUNetTrainer",
        "inference_allowed_mirroring_axes": (0, 1, 2),
    }


def write_model(
    folder: Path,
    *,
    content: dict[str, Any] | None = None,
    labels: dict[str, Any] | None = None,
    folds: tuple[int, ...] = (0,),
    configuration: str = "3d_fullres",
    file: str = "checkpoint_final.pth",
) -> Path:
    """Write a model folder with random weights."""
    content = content or plans()
    description = dataset(labels)
    heads = len(description["labels"]) - (1 if "regions_class_order" in description else 0)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "plans.json").write_text(json.dumps(content))
    (folder / "dataset.json").write_text(json.dumps(description))
    for fold in folds:
        (folder / f"fold_{fold}").mkdir()
        torch.save(checkpoint(content, fold, heads, configuration), folder / f"fold_{fold}" / file)
    return folder
