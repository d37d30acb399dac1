"""nnU-Net's predictor with progress, cancel and low precision on CPU; imports nnunetv2, import it lazily."""

from __future__ import annotations

import contextlib
import copy
import io
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from nnunetv2.inference.export_prediction import convert_predicted_logits_to_segmentation_with_correct_shape
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.inference.sliding_window_prediction import compute_gaussian
from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager

from ..errors import SegmentationModelError
from .nnunet_model import TrainedConfiguration

# Plans are foreign input and reach deep into the network library before anything objects.
_LIBRARY_ERRORS = (
    TypeError, ValueError, KeyError, IndexError, AttributeError, ImportError, RuntimeError, AssertionError,
    ArithmeticError, NotImplementedError, MemoryError,
)  # fmt: skip
MAX_LOGIT_BYTES = 8 << 30
FIXED_NORMALISATIONS = {"CTNormalization", "NoNormalization", "RGBTo01Normalization"}


class TilePredictor(nnUNetPredictor):  # type: ignore[misc]
    """nnU-Net's predictor; ``on_tile`` is called before each tile and may raise to cancel.

    Attributes:
        on_tile: Called with the share of tiles done.
        low_precision: bf16 autocast on CPU (on CUDA nnU-Net itself autocasts).
    """

    on_tile: Callable[[float], None]
    low_precision: bool = False

    @torch.inference_mode()
    def _internal_predict_sliding_window_return_logits(
        self, data: torch.Tensor, slicers: Sequence[Any], do_on_device: bool = True
    ) -> torch.Tensor:
        """nnU-Net's sliding window in this thread (its producer thread would outlive a cancel), sums in 32 bit."""
        results = self.device if do_on_device else torch.device("cpu")
        data = data.to(results)
        logits = torch.zeros((self.label_manager.num_segmentation_heads, *data.shape[1:]), device=results)
        weights = torch.zeros(data.shape[1:], device=results)
        gaussian = compute_gaussian(
            tuple(self.configuration_manager.patch_size), 1.0 / 8, 10, dtype=torch.float32, device=results
        )
        for number, slicer in enumerate(slicers):
            self.on_tile(number / len(slicers))
            tile = torch.clone(data[slicer][None], memory_format=torch.contiguous_format).to(self.device)
            with torch.autocast("cpu", torch.bfloat16, enabled=self.low_precision and self.device.type == "cpu"):
                predicted = self._internal_maybe_mirror_and_predict(tile)[0]
            logits[slicer] += predicted.to(results, torch.float32) * gaussian
            weights[slicer[1:]] += gaussian
        return logits / weights


class Runner:
    """A configuration ready to predict arrays.

    Attributes:
        configuration: What was loaded.
        spacing_mm: Of the plan, along the array axes (k, j, i) of the training files; ``None`` keeps the own spacing.
        patch: Patch size along the same axes; 1 where the network sees single slices.
        fixed_normalisation: Whether intensities are normalised by the plan alone, so that crops do not change them.
    """

    def __init__(self, configuration: TrainedConfiguration, device: str) -> None:
        self.configuration = configuration
        self.device = torch.device(device)
        with contextlib.redirect_stdout(io.StringIO()), _plans_fit(configuration.name):
            self._plans = PlansManager(configuration.plans)
            manager = self._plans.get_configuration(configuration.name)
            self._network = self._build(manager)
        backward = self._plans.transpose_backward
        missing = 3 - len(manager.spacing)
        spacing: list[float | None] = [None] * missing + [float(value) for value in manager.spacing]
        patch = [1] * missing + [int(value) for value in manager.patch_size]
        self.spacing_mm = tuple(spacing[axis] for axis in backward)
        self.patch = tuple(patch[axis] for axis in backward)
        self.fixed_normalisation = set(manager.normalization_schemes) <= FIXED_NORMALISATIONS

    @property
    def parameters(self) -> int:
        """Number of the network's parameters."""
        return sum(parameter.numel() for parameter in self._network.parameters())

    def predict(
        self,
        array: npt.NDArray[Any],
        spacing_mm: Sequence[float],
        on_tile: Callable[[float], None],
        *,
        coarse_mm: Sequence[float] | None = None,
        mirroring: bool = False,
        low_precision: bool = False,
        tile_step: float = 0.5,
    ) -> npt.NDArray[np.uint8]:
        """Labels 0 to 3 of an array (k, j, i) in Hounsfield units with the given spacing.

        Args:
            array: Voxels as SimpleITK would give them for a file in the training orientation.
            spacing_mm: Along the array's axes.
            on_tile: Called with the share of tiles done; raising cancels.
            coarse_mm: Run at this spacing instead of the plan's, along the same axes.
            mirroring: nnU-Net's test-time mirroring.
            low_precision: bf16 autocast on CPU.
            tile_step: Step of the sliding window as a share of the patch.
        """
        if not array.any():
            return np.zeros(array.shape, np.uint8)
        manager = self._plans.get_configuration(self.configuration.name)
        if coarse_mm is not None:
            manager = self._at_spacing(manager, coarse_mm)
        self._check_room(manager, array, spacing_mm)
        with contextlib.redirect_stdout(io.StringIO()), _plans_fit(self.configuration.name):
            predictor = TilePredictor(tile_step, True, mirroring, True, self.device, allow_tqdm=False)
            predictor.on_tile, predictor.low_precision = _per_fold(on_tile, self.configuration), low_precision
            predictor.manual_initialization(
                self._network,
                self._plans,
                manager,
                [dict(weights) for weights in self.configuration.folds],
                self.configuration.dataset,
                "nnUNetTrainer",
                self.configuration.mirror_axes,
            )
            values = self._run(predictor, manager, array, spacing_mm)
        table = np.zeros(256, np.uint8)
        for value, label in self.configuration.meaning.items():
            table[value] = label
        return table[values]

    def _run(
        self, predictor: TilePredictor, manager: ConfigurationManager, array: Any, spacing_mm: Sequence[float]
    ) -> npt.NDArray[Any]:
        properties: dict[str, Any] = {"spacing": [float(value) for value in spacing_mm]}
        preprocessor = manager.preprocessor_class(verbose=False)
        data, _, properties = preprocessor.run_case_npy(
            array[None], None, properties, self._plans, manager, self.configuration.dataset
        )
        logits = predictor.predict_logits_from_preprocessed_data(torch.from_numpy(data)).cpu()
        return convert_predicted_logits_to_segmentation_with_correct_shape(
            logits,
            self._plans,
            manager,
            predictor.label_manager,
            properties,
            num_threads_torch=torch.get_num_threads(),
        )

    def _check_room(self, manager: ConfigurationManager, array: npt.NDArray[Any], spacing_mm: Sequence[float]) -> None:
        """Refuse a model whose voxels are so fine that its output for this image could not be held."""
        own = [spacing_mm[axis] for axis in self._plans.transpose_forward]
        wanted = [*own[: 3 - len(manager.spacing)], *(float(value) for value in manager.spacing)]
        finer = np.prod([mine / theirs for mine, theirs in zip(own, wanted, strict=True)])
        heads = self._plans.get_label_manager(self.configuration.dataset).num_segmentation_heads
        if array.size * finer * heads * 4 > MAX_LOGIT_BYTES:
            raise SegmentationModelError(
                f"The model {self.configuration.name} works on voxels of {' x '.join(f'{mm:g}' for mm in wanted)} mm; "
                "its output for this image would be larger than can be held."
            )

    def _at_spacing(self, manager: ConfigurationManager, spacing_mm: Sequence[float]) -> ConfigurationManager:
        content = copy.deepcopy(manager.configuration)
        forward = self._plans.transpose_forward
        content["spacing"] = [float(spacing_mm[axis]) for axis in forward][-len(manager.spacing) :]
        return ConfigurationManager(content)

    def _build(self, manager: ConfigurationManager) -> torch.nn.Module:
        label_manager = self._plans.get_label_manager(self.configuration.dataset)
        with torch.device("meta"):
            network = get_network_from_plans(
                manager.network_arch_class_name,
                manager.network_arch_init_kwargs,
                manager.network_arch_init_kwargs_req_import,
                1,
                label_manager.num_segmentation_heads,
                allow_init=False,
                deep_supervision=False,
            )
        shapes = {name: value.shape for name, value in network.state_dict().items()}
        for weights in self.configuration.folds:  # before the network takes the room that its plans ask for
            if {name: value.shape for name, value in weights.items()} != shapes:
                raise ValueError("the weights have other names or shapes than the network")
        network = network.to_empty(device="cpu")
        for weights in reversed(self.configuration.folds):
            network.load_state_dict(dict(weights))
        return network.to(self.device).eval()


@contextlib.contextmanager
def _plans_fit(name: str) -> Iterator[None]:
    """Turn what the network library raises over plans that it cannot follow into one message; its hints are dropped."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except _LIBRARY_ERRORS as error:
        raise SegmentationModelError(
            f"The weights of {name} do not fit the network that plans.json describes, or it cannot be run."
        ) from error


def _per_fold(on_tile: Callable[[float], None], configuration: TrainedConfiguration) -> Callable[[float], None]:
    """Share of all folds' tiles: nnU-Net runs the whole window once per fold."""
    folds, state = len(configuration.folds), {"fold": -1}

    def report(share: float) -> None:
        state["fold"] += share == 0.0
        on_tile((state["fold"] + share) / folds)

    return report


def prefers_low_precision(parameters: int) -> bool:
    """Whether bf16 is faster than fp32 on this CPU for a network of this size (it has instructions for it)."""
    return parameters > 100_000 and (torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
