"""Merlin's image encoder (Blankemeier et al. 2024): an inflated 3-D ResNet-152 with two heads that are not read here.

Tensor names are those of the public checkpoint below ``encode_image.i3_resnet``. 121,882,204 parameters.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

PHENOTYPES = 1692
BLOCKS = (3, 8, 36, 3)


class MerlinBlock(nn.Module):
    """A bottleneck: 1, 3 and 1 voxel wide, all axes in the same stride."""

    def __init__(self, channels_in: int, width: int, stride: int) -> None:
        super().__init__()
        out = 4 * width
        self.conv1 = nn.Conv3d(channels_in, width, 1, bias=False)
        self.bn1 = nn.BatchNorm3d(width)
        self.conv2 = nn.Conv3d(width, width, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm3d(width)
        self.conv3 = nn.Conv3d(width, out, 1, bias=False)
        self.bn3 = nn.BatchNorm3d(out)
        self.downsample: nn.Module | None = None
        if stride != 1 or channels_in != out:
            self.downsample = nn.Sequential(
                nn.Conv3d(channels_in, out, 1, stride=stride, bias=False), nn.BatchNorm3d(out)
            )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, z, x, y) -> (B, 4 * width, z', x', y')."""
        rest = x if self.downsample is None else self.downsample(x)
        x = torch.relu(self.bn1(self.conv1(x)))
        x = torch.relu(self.bn2(self.conv2(x)))
        return torch.relu(self.bn3(self.conv3(x)) + rest)


class MerlinEncoder(nn.Module):
    """Volumes in Merlin's own form -> pooled features.

    Args:
        width: Channels of the first stage; 64 in the public checkpoint.
        blocks: Of the four stages.
    """

    def __init__(self, width: int = 64, blocks: tuple[int, int, int, int] = BLOCKS) -> None:
        super().__init__()
        self.feature_dim = 32 * width
        self.conv1 = nn.Conv3d(3, width, (3, 7, 7), stride=(1, 2, 2), padding=(1, 3, 3), bias=False)
        self.bn1 = nn.BatchNorm3d(width)
        self.maxpool = nn.MaxPool3d(3, stride=2, padding=1)
        sizes = [width, *(4 * width * 2**stage for stage in range(4))]
        for stage, ((before, after), count) in enumerate(zip(pairwise(sizes), blocks, strict=True)):
            first = MerlinBlock(before, after // 4, 1 if stage == 0 else 2)
            rest = (MerlinBlock(after, after // 4, 1) for _ in range(count - 1))
            setattr(self, f"layer{stage + 1}", nn.Sequential(first, *rest))
        self.classifier = nn.Conv3d(self.feature_dim, PHENOTYPES, 1)
        self.contrastive_head = nn.Conv3d(self.feature_dim, 512, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 1, z, x, y) with x towards right and y towards front -> (B, feature_dim)."""
        x = torch.relu(self.bn1(self.conv1(x.expand(-1, 3, -1, -1, -1))))
        x = self.maxpool(x)
        for stage in range(1, 5):
            x = getattr(self, f"layer{stage}")(x)
        return x.mean(dim=(2, 3, 4))
