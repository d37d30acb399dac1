"""The image encoder: a 3-D ResNet-18 with parameter-free shortcuts and one linear projection (paper, section 4.2).

At full size (width 64, embedding 4096) it has exactly 35,087,424 parameters. Tensor names are those of the public
checkpoints, except that their ``global_embedding.head`` is called ``projection``.
"""

from __future__ import annotations

import copy
import itertools
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

NETWORK_SHAPE_XYZ = (128, 128, 32)


class Precision(StrEnum):
    """How inference computes: ``exact`` in float32, ``fast`` mostly in bfloat16 (:func:`accelerated`)."""

    EXACT = "exact"
    FAST = "fast"


def suited_precision(device: torch.device) -> Precision:
    """The fast one where the device has instructions for bfloat16, else the exact one, which is then the faster."""
    if device.type == "cuda":
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        fast = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return Precision.FAST if fast else Precision.EXACT


def network_input(rois: npt.NDArray[np.float32], crop: tuple[int, int, int] = NETWORK_SHAPE_XYZ) -> Tensor:
    """Centre-crop regions of interest and order their axes as the network wants them.

    Args:
        rois: (batch, x, y, z) in [0, 1], at least as large as ``crop``.
        crop: Voxels kept along (x, y, z).

    Returns:
        (batch, 1, z, x, y) float32, contiguous.
    """
    start = [(have - want) // 2 for have, want in zip(rois.shape[1:], crop, strict=True)]
    window = tuple(slice(first, first + want) for first, want in zip(start, crop, strict=True))
    cropped = rois[(slice(None), *window)].transpose(0, 3, 1, 2)
    return torch.from_numpy(np.ascontiguousarray(cropped, dtype=np.float32)).unsqueeze(1)


class ResidualBlock(nn.Module):
    """Two 3x3x3 convolutions and a shortcut without parameters ("type A").

    The shortcut takes every ``stride``-th voxel and fills the new channels with zeros. Its gradient flows.
    """

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(channels_in, channels_out, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm3d(channels_out)
        self.conv2 = nn.Conv3d(channels_out, channels_out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm3d(channels_out)
        self.stride = stride
        self.new_channels = channels_out - channels_in

    def shortcut(self, x: Tensor) -> Tensor:
        """The parameter-free shortcut: strided input, padded with zero channels at the end."""
        if self.stride > 1:
            x = x[:, :, :: self.stride, :: self.stride, :: self.stride]
        return functional.pad(x, (0, 0, 0, 0, 0, 0, 0, self.new_channels)) if self.new_channels else x

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels_in, D, H, W) -> (B, channels_out, D', H', W')."""
        out = functional.relu(self.bn1(self.conv1(x)), inplace=True)
        out = self.bn2(self.conv2(out))
        return functional.relu(out + self.shortcut(x), inplace=True)


class RenalEncoder(nn.Module):
    """3-D ResNet-18 over one region of interest.

    Args:
        width: Channels of the first stage; the features have ``8 * width``.
        embedding_dim: Size of the image-text space; 0 leaves the projection out (fine-tuned task encoders).
        generator: Source of the initial weights; torch's global one when None.
    """

    def __init__(self, width: int = 64, embedding_dim: int = 4096, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.width = width
        self.embedding_dim = embedding_dim
        self.conv1 = nn.Conv3d(1, width, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm3d(width)
        self.layer1 = _stage(width, width, 1)
        self.layer2 = _stage(width, 2 * width, 2)
        self.layer3 = _stage(2 * width, 4 * width, 2)
        self.layer4 = _stage(4 * width, 8 * width, 2)
        self.projection = nn.Linear(8 * width, embedding_dim) if embedding_dim else None
        initialise(self, generator)

    @property
    def feature_dim(self) -> int:
        """Size of the pooled features."""
        return 8 * self.width

    @property
    def layers(self) -> tuple[nn.Sequential, nn.Sequential, nn.Sequential, nn.Sequential]:
        """The four stages."""
        return self.layer1, self.layer2, self.layer3, self.layer4

    def activation(self, x: Tensor, stage: int = 4) -> Tensor:
        """Activation after a stage (1 to 4).

        Args:
            x: (B, 1, z, x, y), for the paper (B, 1, 32, 128, 128) in [0, 1].
            stage: 4 is the last.

        Returns:
            (B, width * 2**(s-1), z / 2**(s+1), x / 2**(s+1), y / 2**(s+1)) for stage s. Cell i along an axis has its
            receptive field centred on input voxel ``stage_stride(s) * i``.
        """
        # Pooling first gives the same values as after the ReLU, which then runs on an eighth of the voxels.
        x = functional.max_pool3d(self.bn1(self.conv1(x)), 3, stride=2, padding=1)
        x = functional.relu(x, inplace=True)
        for layer in self.layers[:stage]:
            x = layer(x)
        return x

    def features_after(self, activation: Tensor, stage: int) -> Tensor:
        """Pooled features (B, 8 * width) from the activation after a stage."""
        for layer in self.layers[stage:]:
            activation = layer(activation)
        return self.pool(activation)

    @staticmethod
    def pool(activation: Tensor) -> Tensor:
        """Global average of the last stage: (B, C, D, H, W) -> (B, C)."""
        return activation.mean(dim=(2, 3, 4))

    def project(self, features: Tensor) -> Tensor:
        """Features (B, 8 * width) -> L2-normalised embeddings (B, embedding_dim)."""
        if self.projection is None:
            raise ValueError("this encoder has no projection")
        return functional.normalize(self.projection(features).float(), dim=-1)

    def drop_projection(self) -> None:
        """Leave the projection out, as in the encoders of fine-tuned tasks."""
        self.projection = None
        self.embedding_dim = 0

    def forward(self, x: Tensor) -> Tensor:
        """(B, 1, z, x, y) -> pooled features (B, 8 * width)."""
        return self.features_after(self.activation(x), 4)

    def embed(self, x: Tensor) -> Tensor:
        """(B, 1, z, x, y) -> L2-normalised embeddings (B, embedding_dim)."""
        return self.project(self(x))


class _FoldedStem(nn.Module):
    """The stem's 7x7x7 convolution of one channel in strides of 2, as a 4x4x4 one of eight channels, in bfloat16.

    Channel (a, b, c) holds the voxels at even (0) or odd (1) places along the three axes. The values are the same;
    convolutions in bfloat16 want several channels, and run four times faster on them.
    """

    def __init__(self, conv: nn.Conv3d) -> None:
        super().__init__()
        weight = _even_and_odd(functional.pad(conv.weight, (1, 0) * 3))
        self.weight = nn.Parameter(weight.to(torch.bfloat16), requires_grad=False)
        self.bias = None if conv.bias is None else nn.Parameter(conv.bias.to(torch.bfloat16), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 1, D, H, W) -> (B, width, ceil(D / 2), ceil(H / 2), ceil(W / 2))."""
        even = functional.pad(x, [n for size in reversed(x.shape[2:]) for n in (0, size % 2)])
        channels = _even_and_odd(even.to(torch.bfloat16)).contiguous(memory_format=torch.channels_last_3d)
        return functional.conv3d(channels, self.weight, self.bias, padding=2)[:, :, :-1, :-1, :-1]


def _even_and_odd(x: Tensor) -> Tensor:
    """(B, 1, 2D, 2H, 2W) -> (B, 8, D, H, W)."""
    batch, _, *space = x.shape
    halves = [n for size in space for n in (size // 2, 2)]
    return x.reshape(batch, *halves).permute(0, 2, 4, 6, 1, 3, 5).flatten(1, 3)


class _Cast(nn.Module):
    """Turns a tensor into another floating-point type."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype

    def forward(self, x: Tensor) -> Tensor:
        """The tensor in the other type."""
        return x.to(self.dtype)


def accelerated(encoder: RenalEncoder) -> RenalEncoder:
    """A copy for fast inference, about four times faster than float32 on CPUs that compute in bfloat16.

    Batch norms are folded into the convolutions. The stem and the first three stages, which do nearly all the work,
    compute in bfloat16; the fourth stage and the projection, from which explanations take their gradients, in float32.
    Activations and features differ from the exact ones by less than 1 %.

    Args:
        encoder: In evaluation mode.
    """
    fast = copy.deepcopy(encoder)
    _fold_batch_norm(fast, "1")
    for block in itertools.chain.from_iterable(fast.layers):
        _fold_batch_norm(block, "1")
        _fold_batch_norm(block, "2")
    fast.register_module("conv1", _FoldedStem(fast.conv1))
    for layer in fast.layers[:3]:
        layer.to(torch.bfloat16)
    fast.layer4 = nn.Sequential(_Cast(torch.float32), *fast.layer4)
    return fast


def _fold_batch_norm(module: nn.Module, number: str) -> None:
    conv, norm = getattr(module, f"conv{number}"), getattr(module, f"bn{number}")
    module.register_module(f"conv{number}", fuse_conv_bn_eval(conv, norm))
    module.register_module(f"bn{number}", nn.Identity())


def stage_stride(stage: int) -> int:
    """Input voxels from one cell to the next after a stage (1 to 4)."""
    return int(2 ** (stage + 1))


def initialise(module: nn.Module, generator: torch.Generator | None = None) -> None:
    """Initial weights of encoder and heads.

    Convolutions: Kaiming normal over the outgoing connections; linear layers: normal with standard deviation 0.02,
    truncated at two standard deviations, bias 0; batch norm: weight 1, bias 0.
    """
    for part in module.modules():
        if isinstance(part, nn.Conv3d):
            nn.init.kaiming_normal_(part.weight, mode="fan_out", generator=generator)
        elif isinstance(part, nn.Linear):
            nn.init.trunc_normal_(part.weight, std=0.02, a=-0.04, b=0.04, generator=generator)
            if part.bias is not None:
                nn.init.zeros_(part.bias)


def parameter_count(module: nn.Module) -> int:
    """Number of parameters (buffers not counted)."""
    return sum(parameter.numel() for parameter in module.parameters())


def _stage(channels_in: int, channels_out: int, stride: int) -> nn.Sequential:
    blocks: list[Any] = [ResidualBlock(channels_in, channels_out, stride), ResidualBlock(channels_out, channels_out, 1)]
    return nn.Sequential(*blocks)
