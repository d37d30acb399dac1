"""Options of a segmentation training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..errors import ConfigurationError
from .volume import Float3, Int3

CONFIGURATIONS = ("2d", "3d_lowres", "3d_fullres")


@dataclass(frozen=True)
class TrainingCase:
    """One image with its labels.

    Attributes:
        case_id: Unique name, letters, digits, ``_`` and ``-``.
        image: Volume file in Hounsfield units.
        labels: Label map on the same grid: 0 background, 1 kidney, 2 tumour, 3 cyst.
        group: Cases of one group (a patient) never stand in training and validation at once.
    """

    case_id: str
    image: Path
    labels: Path
    group: str


@dataclass(frozen=True)
class TrainingOptions:
    """How to train; what is ``None`` is left to nnU-Net's planning. Spacing and patch are along (L, P, S).

    Attributes:
        configuration: ``3d_fullres``, ``3d_lowres`` or ``2d``.
        epochs: Number of epochs (nnU-Net: 1000).
        iterations: Steps per epoch (nnU-Net: 250).
        validation_iterations: Validation steps per epoch (nnU-Net: 50).
        base_features: Width of the first stage (nnU-Net: 32).
        max_features: Largest width (nnU-Net: 320).
        light: One convolution instead of two in the first stage and in the decoder (half the work).
        spacing_mm: Target spacing of ``3d_fullres``.
        patch: Patch size in voxels.
        batch_size: Patches per step.
        optimizer: ``sgd`` (nnU-Net's) or ``adamw``.
        learning_rate: At the start; it decays polynomially.
        foreground: Share of patches that must hold foreground (nnU-Net: 0.33).
        augmentation: ``full`` (nnU-Net's) or ``light``: turns to 10 degrees, zoom, left-right mirror, noise, blur.
        zoom_out: Largest shrinkage of objects in augmentation (nnU-Net: 1.4).
        zoom_probability: How often to zoom (nnU-Net: 0.2).
        low_precision: bf16 autocast on CPU.
        device: ``cpu``, ``cuda`` or ``mps``.
        threads: Threads of torch on CPU; 0 leaves torch's choice.
        workers: Processes that prepare and augment; 0 does it in this process.
        validation_share: Share of the groups kept for nnU-Net's validation curve.
        seed: Of the split, the weights and the augmentation.
        half_weights: Store the exported weights as 16-bit floats.
    """

    configuration: str = "3d_fullres"
    epochs: int = 1000
    iterations: int = 250
    validation_iterations: int = 50
    base_features: int | None = None
    max_features: int | None = None
    light: bool = False
    spacing_mm: Float3 | None = None
    patch: Int3 | None = None
    batch_size: int | None = None
    optimizer: str = "sgd"
    learning_rate: float = 1e-2
    foreground: float = 0.33
    augmentation: str = "full"
    zoom_out: float = 2.0
    zoom_probability: float = 0.3
    low_precision: bool = False
    device: str = "cpu"
    threads: int = 0
    workers: int = 0
    validation_share: float = 0.2
    seed: int = 0
    half_weights: bool = False

    def __post_init__(self) -> None:
        if self.configuration not in CONFIGURATIONS:
            raise ConfigurationError(
                f"The configuration must be one of {', '.join(CONFIGURATIONS)}, not {self.configuration!r}."
            )
        if self.optimizer not in ("sgd", "adamw"):
            raise ConfigurationError(f"The optimizer must be sgd or adamw, not {self.optimizer!r}.")
        if self.augmentation not in ("full", "light"):
            raise ConfigurationError(f"The augmentation must be full or light, not {self.augmentation!r}.")
        if min(self.epochs, self.iterations, self.validation_iterations) < 1:
            raise ConfigurationError("Epochs and iterations must be at least 1.")
        if self.learning_rate <= 0 or not 0 <= self.foreground <= 1 or not 0 <= self.validation_share < 1:
            raise ConfigurationError("The learning rate must be positive, and shares lie between 0 and 1.")
        if self.spacing_mm is not None and min(self.spacing_mm) <= 0:
            raise ConfigurationError("The target spacing must be positive.")
        if self.patch is not None and min(self.patch) < 8:
            raise ConfigurationError("The patch must measure at least 8 voxels along each axis.")
