"""Comparison models as encoders: CT-FM, Merlin, CT-CLIP. Architectures as published; the weights are the user's.

Each takes the same region of interest as RenalCLIP's encoder and turns it into the form that it was pre-trained on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..errors import WeightsMismatchError
from .ct_clip import Codebook, CtClipEncoder
from .encoder import initialise
from .merlin import MerlinEncoder
from .weights import are_dense, fill, read_foreign, read_tensors

# voxels (z, x, y) and window of the regions of interest
REGION_MM: Final = (5.0, 1.0, 1.0)
WINDOW_HU: Final = (-200.0, 300.0)


class CtFmEncoder(nn.Module):
    """CT-FM (Pai et al. 2025): the encoder of MONAI's SegResNet, pooled. 77,760,992 parameters."""

    def __init__(self, width: int = 32, blocks: tuple[int, ...] = (1, 2, 2, 4, 4)) -> None:
        from monai.networks.nets.segresnet_ds import SegResEncoder

        super().__init__()
        self.feature_dim = width * 2 ** (len(blocks) - 1)
        self.body = SegResEncoder(spatial_dims=3, in_channels=1, init_filters=width, blocks_down=blocks)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 1, z, y, x) -> (B, feature_dim)."""
        return self.body(x)[-1].mean(dim=(2, 3, 4))


@dataclass(frozen=True)
class Form:
    """The form in which a network wants a region of 1 x 1 x 5 mm voxels in (z, x, y), values in [0, 1].

    Attributes:
        black, white: Attenuation in HU that the network has as ``low`` and 1.
        low: The network's value of ``black``.
        size: (z, x, y) in voxels that the region is resampled to, or None for its own.
        voxels_mm: (z, x, y) that the region is resampled to, or None; not together with ``size``.
        swap: Whether x and y change places.
        turned: Whether x and y run the other way (towards right and front).
    """

    black: float
    white: float
    low: float = 0.0
    size: tuple[int, int, int] | None = None
    voxels_mm: tuple[float, float, float] | None = None
    swap: bool = False
    turned: bool = False

    def __call__(self, images: Tensor) -> Tensor:
        """(B, 1, z, x, y) in the region's form -> in the network's."""
        hu = WINDOW_HU[0] + (WINDOW_HU[1] - WINDOW_HU[0]) * images
        values = self.low + (1 - self.low) * (hu - self.black) / (self.white - self.black)
        size = self.size
        if self.voxels_mm is not None:
            depth, width, height = (
                max(1, round(count * own / new))
                for count, own, new in zip(images.shape[2:], REGION_MM, self.voxels_mm, strict=True)
            )
            size = (depth, width, height)
        if size is not None:
            values = functional.interpolate(values, size=size, mode="trilinear", align_corners=False)
        values = values.flip(3, 4) if self.turned else values
        return values.transpose(3, 4) if self.swap else values


@dataclass(frozen=True)
class Published:
    """A published network.

    Attributes:
        make: Builds it with initial weights.
        form: Of its input.
        parameters: Their number.
        prefix: Of its tensors in the public checkpoint.
        others: Beginnings of names in the public checkpoint that belong to parts which are not used.
        home: Where its weights are published.
    """

    make: Callable[[], nn.Module]
    form: Form
    parameters: int
    prefix: str
    others: tuple[str, ...]
    home: str


PUBLISHED: Final[Mapping[str, Published]] = {
    "ct-fm": Published(
        CtFmEncoder,
        Form(-1024.0, 2048.0, swap=True),
        77_760_992,
        "body.",
        ("up_layers.",),
        "huggingface.co/project-lighter/ct_fm_feature_extractor",
    ),
    "merlin": Published(
        MerlinEncoder,
        Form(-1000.0, 1000.0, voxels_mm=(3.0, 1.5, 1.5), turned=True),
        121_882_204,
        "",
        ("encode_text.", "logit_scale"),
        "huggingface.co/stanfordmimi/Merlin",
    ),
    "ct-clip": Published(
        CtClipEncoder,
        Form(-1000.0, 1000.0, low=-1.0, size=(110, 480, 480)),
        176_885_144,
        "",
        ("text_transformer.", "to_text_latent", "to_visual_latent_extra.", "temperature"),
        "huggingface.co/datasets/ibrahimhamamci/CT-RATE",
    ),
}
# tensors of CT-ViT's codebook that only its own training needs
_CODEBOOK_EXTRAS = ("initted", "cluster_size", "embed_avg")


class ComparisonEncoder(nn.Module):
    """A published network behind the interface of RenalCLIP's encoder.

    Args:
        name: One of :data:`PUBLISHED`.
        generator: Source of the initial weights of convolutions and linear layers; torch's global one when None.
    """

    def __init__(self, name: str, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.name = name
        self.form = PUBLISHED[name].form
        self.network = PUBLISHED[name].make()
        if next(self.network.parameters()).device.type != "meta":
            initialise(self.network, generator)
            for part in self.network.modules():
                if isinstance(part, Codebook):
                    part.draw(generator)
                elif isinstance(part, nn.Conv3d) and part.bias is not None:
                    nn.init.zeros_(part.bias)

    @property
    def feature_dim(self) -> int:
        """Size of the features."""
        return int(self.network.feature_dim)  # type: ignore[arg-type]

    def forward(self, images: Tensor) -> Tensor:
        """(B, 1, z, x, y) in [0, 1] -> features (B, feature_dim)."""
        return self.network(self.form(images))


def read_published(name: str, path: Path) -> dict[str, Tensor]:
    """The tensors of a published checkpoint, named as in :class:`ComparisonEncoder`.

    Args:
        name: One of :data:`PUBLISHED`.
        path: The file: safetensors, or what ``torch.save`` wrote and ``weights_only=True`` reads.

    Raises:
        InputError: There is no such file.
        BundleError: It cannot be read safely.
        WeightsMismatchError: It is not of this network.
    """
    published = PUBLISHED[name]
    stored = _tensors(path)
    found = {_plain(key): value for key, value in stored.items()}
    if len(found) != len(stored):
        raise WeightsMismatchError(f"{path.name} holds tensors twice, under names that differ in their prefix alone.")
    found = {key: value for key, value in found.items() if not key.startswith(published.others)}
    if name == "ct-clip":
        found = {key: value for key, value in found.items() if not key.endswith(_CODEBOOK_EXTRAS)}
    found = {published.prefix + key: value for key, value in found.items()}
    with torch.device("meta"):
        empty = published.make()
    fill(empty, found, f"{path.name} ({name})")
    return {f"network.{key}": value for key, value in empty.state_dict().items()}


def _plain(key: str) -> str:
    """A tensor's name without what its checkpoint puts before it."""
    for prefix in ("module.", "model.", "encode_image.i3_resnet.", "encoder."):
        key = key.removeprefix(prefix)
    return key


def _tensors(path: Path) -> Mapping[str, Tensor]:
    if path.suffix == ".safetensors" and path.is_file():
        return read_tensors(path)
    data = read_foreign(path)
    inner = data.get("state_dict", data) if isinstance(data, dict) else None
    if not are_dense(inner):
        raise WeightsMismatchError(f"{path.name} holds no dictionary of tensors.")
    return inner
