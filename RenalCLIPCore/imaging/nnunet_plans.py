"""The plans of an nnU-Net model, held to what the network library can run: known names, bounded sizes, finite numbers.

Plans are foreign input: nnU-Net looks names up and allocates by them before anything objects.
"""

from __future__ import annotations

import importlib
import math
import re
from collections.abc import Mapping
from typing import Any

from ..errors import SegmentationModelError

NORMALISATIONS = {
    "CTNormalization", "NoNormalization", "RGBTo01Normalization", "ZScoreNormalization", "RescaleTo01Normalization",
}  # fmt: skip
_RESAMPLING = {
    "resample_data_or_seg_to_shape", "resample_torch_fornnunet", "resample_torch_simple", "no_resampling_hack",
}  # fmt: skip
_NETWORKS = "dynamic_network_architectures.architectures."
_PARTS = ("torch.nn.", "dynamic_network_architectures.building_blocks.")
_LEAST_SIDE, _LEAST_PATCH, _MOST_PATCH = 4, 1 << 8, 1 << 25
_SPACING_MM = (0.05, 50.0)
_MOST_STAGES, _MOST_FEATURES = 12, 4096
_MOST_LABELS = 255


def resolved_configuration(plans: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A configuration with what it inherits.

    Raises:
        SegmentationModelError: There is none of that name, or it inherits from itself.
    """
    configurations = plans.get("configurations")
    found: dict[str, Any] = {}
    seen: set[str] = set()
    wanted: Any = name
    while wanted is not None:
        one = configurations.get(wanted) if isinstance(configurations, dict) and isinstance(wanted, str) else None
        if not isinstance(one, dict) or wanted in seen:
            raise SegmentationModelError(f"plans.json of the model has no configuration {str(wanted)[:40]!r}.")
        found = {**one, **found}
        seen.add(wanted)
        wanted = one.get("inherits_from")
    return found


def check_plans(plans: Mapping[str, Any], name: str) -> None:
    """Refuse plans that cannot be run, or that name code outside the network libraries.

    Raises:
        SegmentationModelError: As said; the message names the entry.
    """
    configuration = resolved_configuration(plans, name)
    _check_grids(configuration)
    _check_preparation(configuration)
    for key in ("transpose_forward", "transpose_backward"):
        axes = plans.get(key)
        _require(isinstance(axes, list) and all(map(_is_whole, axes)) and sorted(axes) == [0, 1, 2], key)
    _check_intensities(plans.get("foreground_intensity_properties_per_channel"), configuration)
    _require(plans.get("label_manager", "LabelManager") in ("LabelManager", None), "label_manager")
    architecture = configuration.get("architecture")
    if architecture is not None:
        _require(isinstance(architecture, dict), "architecture")
        check_architecture(architecture)


def check_dataset(dataset: Mapping[str, Any]) -> None:
    """Refuse labels that the label table cannot hold.

    Raises:
        SegmentationModelError: As said.
    """
    labels = dataset.get("labels")
    named = list(labels.values()) if isinstance(labels, dict) else [None]
    values = [value for item in named for value in (item if isinstance(item, (list, tuple)) else [item])]
    order = dataset.get("regions_class_order", [])
    usable = all(_is_whole(value) and 0 <= value <= _MOST_LABELS for value in (*values, *_list(order)))
    if not usable or len(values) > _MOST_LABELS or not isinstance(order, (list, tuple)):
        raise SegmentationModelError(
            "dataset.json of the model declares labels that are no whole numbers from 0 to 255."
        )


def check_architecture(architecture: Mapping[str, Any]) -> None:
    """Refuse a description that names anything but network classes of the libraries, or a network of absurd size.

    Raises:
        SegmentationModelError: As said.
    """
    arguments, names = architecture.get("arch_kwargs"), architecture.get("_kw_requires_import", ())
    if not isinstance(arguments, dict) or not isinstance(names, (list, tuple)):
        raise SegmentationModelError("plans.json of the model describes no network that can be built.")
    network = architecture.get("network_class_name")
    parts = [arguments.get(name) if isinstance(name, str) else name for name in names]
    safe = _is_network_part(network, (_NETWORKS,)) and all(
        part is None or _is_network_part(part, _PARTS) for part in parts
    )
    if not safe:
        raise SegmentationModelError(
            "plans.json of the model names code outside the network libraries of nnU-Net and was refused."
        )
    _require(all(isinstance(name, str) and name in arguments for name in names), "_kw_requires_import")
    stages, features = arguments.get("n_stages"), arguments.get("features_per_stage")
    _require(isinstance(stages, int) and 1 <= stages <= _MOST_STAGES, "n_stages")
    _require(all(_is_whole(n) and 1 <= n <= _MOST_FEATURES for n in _list(features)), "features_per_stage")
    for key in ("kernel_sizes", "strides", "n_conv_per_stage", "n_blocks_per_stage", "n_conv_per_stage_decoder"):
        _require(all(_is_whole(n) and 0 <= n <= 16 for n in _leaves(arguments.get(key, []))), key)


def _check_grids(configuration: Mapping[str, Any]) -> None:
    patch, spacing = configuration.get("patch_size"), configuration.get("spacing")
    _require(isinstance(patch, list) and len(patch) in (2, 3), "patch_size")
    _require(all(_is_whole(n) and n >= _LEAST_SIDE for n in _list(patch)), "patch_size")
    _require(_LEAST_PATCH <= math.prod(_list(patch)) <= _MOST_PATCH, "patch_size")
    low, high = _SPACING_MM
    fits = isinstance(spacing, list) and len(spacing) == len(_list(patch))
    _require(fits and all(_is_number(mm) and low <= mm <= high for mm in _list(spacing)), "spacing")


def _check_preparation(configuration: Mapping[str, Any]) -> None:
    schemes, masks = configuration.get("normalization_schemes"), configuration.get("use_mask_for_norm")
    _require(isinstance(schemes, list) and len(schemes) == 1 and isinstance(schemes[0], str), "normalization_schemes")
    _require(_list(schemes)[0] in NORMALISATIONS, "normalization_schemes")
    _require(isinstance(masks, list) and len(masks) == 1 and isinstance(masks[0], bool), "use_mask_for_norm")
    _require(configuration.get("preprocessor_name") == "DefaultPreprocessor", "preprocessor_name")
    for kind in ("data", "seg", "probabilities"):
        function, arguments = f"resampling_fn_{kind}", f"resampling_fn_{kind}_kwargs"
        known = configuration.get(function)
        _require(isinstance(known, str) and known in _RESAMPLING, function)
        given = configuration.get(arguments)
        _require(isinstance(given, dict) and _is_resampling(given, kind == "seg"), arguments)


def _is_resampling(given: Mapping[str, Any], labels: bool) -> bool:
    """Whether a resampling's arguments are plain and say of labels, and of nothing else, that they are labels."""
    orders = [given[key] for key in ("order", "order_z") if key in given]
    plain = all(value is None or isinstance(value, (bool, int, float, str)) for value in given.values())
    return plain and given.get("is_seg", labels) is labels and all(_is_whole(n) and 0 <= n <= 5 for n in orders)


def _check_intensities(properties: Any, configuration: Mapping[str, Any]) -> None:
    if configuration.get("normalization_schemes") != ["CTNormalization"]:
        return
    key = "foreground_intensity_properties_per_channel"
    own = properties.get("0") if isinstance(properties, dict) else None
    names = ("mean", "std", "percentile_00_5", "percentile_99_5")
    _require(isinstance(own, dict) and all(_is_number(own.get(name)) for name in names), key)
    _require(isinstance(own, dict) and own["std"] >= 0 and own["percentile_00_5"] <= own["percentile_99_5"], key)


def _is_network_part(name: Any, prefixes: tuple[str, ...]) -> bool:
    """Whether a dotted name leads through modules of the libraries to a network class that they define themselves."""
    from torch import nn

    if not isinstance(name, str) or not name.startswith(prefixes) or not re.fullmatch(r"[A-Za-z0-9_.]{1,200}", name):
        return False
    place, _, last = name.rpartition(".")
    try:
        found = getattr(importlib.import_module(place), last, None)
    except (ImportError, ValueError):
        return False
    defined = f"{getattr(found, '__module__', '')}."
    return isinstance(found, type) and issubclass(found, nn.Module) and defined.startswith((*prefixes, _NETWORKS))


def _leaves(value: Any) -> list[Any]:
    return [leaf for item in value for leaf in _leaves(item)] if isinstance(value, (list, tuple)) else [value]


def _list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e9


def _require(condition: bool, entry: str) -> None:
    if not condition:
        raise SegmentationModelError(f"plans.json of the model has an entry {entry} that cannot be used.")
