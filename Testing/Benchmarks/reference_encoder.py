"""The reference code's way to compute the encoder: max-pool by unfolding, float32. Only for comparison."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from RenalCLIPCore.models.encoder import RenalEncoder


def unfold_max_pool(x: Tensor) -> Tensor:
    """3 x 3 x 3 max-pool of stride 2 and padding 1, by stacking the windows and taking their maximum."""
    windows = functional.pad(x, (1,) * 6, value=float("-inf"))
    for axis in (2, 3, 4):
        windows = windows.unfold(axis, 3, 2)
    return windows.contiguous().flatten(-3).amax(-1)


@torch.no_grad()
def reference_features(encoder: RenalEncoder, x: Tensor) -> Tensor:
    """Pooled features (B, 8 * width) of (B, 1, z, x, y)."""
    x = functional.relu(encoder.bn1(encoder.conv1(x)))
    x = unfold_max_pool(x)
    for layer in (encoder.layer1, encoder.layer2, encoder.layer3, encoder.layer4):
        x = layer(x)
    return encoder.pool(x)
