"""The multi-phase 2-D network of Xiong et al. 2025: one ResNet-18 per phase, fused, for one task of two classes.

Fusion is by cross-attention over the phases, as the paper's text has it, or by concatenation and a perceptron, as the
authors' public code has it. Either reads whatever phases are there, where it was trained to.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..errors import WeightsMismatchError
from .weights import are_dense, fill, read_foreign, read_tensors

CLASSES: Final = 2
HEADS: Final = 8
# torchvision's ResNet-18 ends in a classifier of ImageNet's classes
_IMAGENET_EXTRAS: Final = ("fc.",)


def phase_branch(width: int = 64) -> nn.Module:
    """MONAI's 2-D ResNet-18 for one channel, without classifier: 11,170,240 parameters at the published width.

    Args:
        width: Channels of the first stage; the features are 8 times as many.
    """
    from monai.networks.nets.resnet import ResNet

    return ResNet(
        "basic",
        [2, 2, 2, 2],
        [width, 2 * width, 4 * width, 8 * width],
        spatial_dims=2,
        n_input_channels=1,
        conv1_t_size=7,
        conv1_t_stride=2,
        feed_forward=False,
        shortcut_type="B",
        bias_downsample=False,
    )


class CrossAttention(nn.Module):
    """Each phase asks all phases that are there, keeps what it knew, and the mean of the phases is classified."""

    def __init__(self, features: int, phases: int, dropout: float) -> None:
        super().__init__()
        self.names = nn.Parameter(0.02 * torch.randn(phases, features))
        self.query, self.key, self.value, self.answer = (nn.Linear(features, features) for _ in range(4))
        self.norm = nn.LayerNorm(features)
        self.classifier = nn.Sequential(
            nn.Linear(features, features), nn.ReLU(), nn.Dropout(dropout), nn.Linear(features, CLASSES)
        )

    def forward(self, features: Tensor, present: Tensor) -> Tensor:
        """(B, P, F), (B, P) whether a phase is there -> logits (B, 2). Each row has at least one phase."""
        tokens = features + self.names
        query, key, value = (
            layer(tokens).unflatten(2, (HEADS, -1)).transpose(1, 2) for layer in (self.query, self.key, self.value)
        )
        seen = functional.scaled_dot_product_attention(query, key, value, attn_mask=present[:, None, None, :])
        mixed = self.norm(tokens + self.answer(seen.transpose(1, 2).flatten(2)))
        share = present.to(mixed.dtype) / present.sum(dim=1, keepdim=True)
        return self.classifier((mixed * share[:, :, None]).sum(dim=1))


class Concatenation(nn.Module):
    """The features side by side through a perceptron P x F - F - F - F - 2; an absent phase is a row of zeros."""

    def __init__(self, features: int, phases: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(phases * features, features),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(features, features),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(features, features),
            nn.Linear(features, CLASSES),
        )

    def forward(self, features: Tensor, present: Tensor) -> Tensor:
        """(B, P, F), (B, P) whether a phase is there -> logits (B, 2)."""
        return self.layers((features * present[:, :, None].to(features.dtype)).flatten(1))


FUSIONS: Final[Mapping[str, type[CrossAttention] | type[Concatenation]]] = {
    "cross-attention": CrossAttention,
    "concatenation": Concatenation,
}


class MultiphaseNetwork(nn.Module):
    """Slices of several phases -> logits of one task.

    Args:
        phases: Letters of the phases, for instance ``NAV``.
        fusion: ``cross-attention`` or ``concatenation``.
        width: Channels of the first stage of each branch (published: 64).
        dropout: In the fusion.
        seed: Of the initial weights; torch's global generator is left as it was.
    """

    def __init__(self, phases: str, fusion: str, width: int = 64, dropout: float = 0.5, seed: int = 0) -> None:
        super().__init__()
        self.phases = phases
        self.fusion_name = fusion
        self.feature_dim = 8 * width
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.branches = nn.ModuleDict({phase: phase_branch(width) for phase in phases})
            self.fusion = FUSIONS[fusion](self.feature_dim, len(phases), dropout)

    def cells(self, images: Tensor, present: Tensor) -> Tensor:
        """Activation after the last stage.

        Args:
            images: (B, P, x, y) in [0, 1], the phases in the order of ``phases``.
            present: (B, P) bool; what is absent is not looked at, and its cells are 0.

        Returns:
            (B, P, F, x / 32, y / 32).
        """
        found: Tensor | None = None
        for place, phase in enumerate(self.phases):
            there = present[:, place]
            if not bool(there.any()):
                continue
            # absent slices must not reach the batch statistics
            one = _last_stage(self.branches[phase], images[there, place : place + 1])
            if found is None:
                found = one.new_zeros((*present.shape, *one.shape[1:]))
            found[there, place] = one
        if found is None:
            raise ValueError("at least one phase is needed")
        return found

    def features(self, images: Tensor, present: Tensor) -> Tensor:
        """As :meth:`cells`, averaged over the slice: (B, P, F)."""
        return self.cells(images, present).mean(dim=(3, 4))

    def fuse(self, features: Tensor, present: Tensor) -> Tensor:
        """Features (B, P, F) of the phases that are there -> logits (B, 2)."""
        return self.fusion(features, present)

    def forward(self, images: Tensor, present: Tensor) -> Tensor:
        """Images (B, P, x, y) in [0, 1] and which phases are there (B, P) -> logits (B, 2)."""
        return self.fuse(self.features(images, present), present)


def read_imagenet(path: Path) -> dict[str, Tensor]:
    """ResNet-18 weights of ImageNet as torchvision publishes them, for one grey channel.

    The first convolution's weights are added up over the three colours: a grey image then gives what it gave in colour.

    Args:
        path: The file: safetensors, or what ``torch.save`` wrote and ``weights_only=True`` reads.

    Raises:
        InputError: There is no such file.
        BundleError: It cannot be read safely.
        WeightsMismatchError: It is not of a ResNet-18.
    """
    stored: Any = read_tensors(path) if path.suffix == ".safetensors" and path.is_file() else read_foreign(path)
    if not are_dense(stored):
        raise WeightsMismatchError(f"{path.name} holds no dictionary of tensors.")
    found = {name: value for name, value in stored.items() if not name.startswith(_IMAGENET_EXTRAS)}
    first = found.get("conv1.weight")
    if first is not None and first.ndim == 4 and first.shape[1] == 3:
        found["conv1.weight"] = first.sum(dim=1, keepdim=True)
    with torch.device("meta"):
        empty = phase_branch()
    # older files have no count of batches
    counts = {
        name: torch.zeros((), dtype=torch.long) for name in empty.state_dict() if name.endswith("batches_tracked")
    }
    fill(empty, {**counts, **found}, f"{path.name} (ResNet-18)")
    return dict(empty.state_dict())


def start_from_imagenet(network: MultiphaseNetwork, weights: Mapping[str, Tensor]) -> None:
    """Give every branch the weights of :func:`read_imagenet`.

    Raises:
        WeightsMismatchError: The branches are narrower than the published ones.
    """
    for phase, branch in network.branches.items():
        wanted = branch.state_dict()
        if any(wanted[name].shape != value.shape for name, value in weights.items()):
            raise WeightsMismatchError(
                f"The branch of phase {phase} is narrower than ResNet-18; ImageNet weights need width 64."
            )
        branch.load_state_dict(dict(weights))


def _last_stage(branch: nn.Module, images: Tensor) -> Tensor:
    """(B, 1, x, y) -> (B, F, x / 32, y / 32)."""
    net: Any = branch
    x = net.maxpool(net.act(net.bn1(net.conv1(images.contiguous(memory_format=torch.channels_last)))))
    return net.layer4(net.layer3(net.layer2(net.layer1(x))))
