"""Heads on the pooled features of the encoder. Linear weights start truncated-normal with 0.02, biases at 0."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .encoder import initialise


class ClassificationHead(nn.Module):
    """Fine-tuning head: dropout, linear (no bias), batch norm, ReLU, dropout, linear.

    With ``hidden=0`` it is dropout and one linear layer (linear probing).
    """

    def __init__(
        self,
        features: int,
        classes: int,
        hidden: int = 128,
        dropout: float = 0.1,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.hidden = nn.Linear(features, hidden, bias=False) if hidden else None
        self.norm = nn.BatchNorm1d(hidden) if hidden else None
        self.output = nn.Linear(hidden or features, classes)
        initialise(self, generator)

    def forward(self, features: Tensor) -> Tensor:
        """Features (B, F) -> logits (B, classes)."""
        x = self.dropout(features)
        if self.hidden is not None and self.norm is not None:
            x = self.dropout(torch.relu(self.norm(self.hidden(x))))
        return self.output(x)


class AttributeHead(nn.Module):
    """Attribute pre-training head: one linear layer."""

    def __init__(self, features: int, classes: int, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.output = nn.Linear(features, classes)
        initialise(self, generator)

    def forward(self, features: Tensor) -> Tensor:
        """Features (B, F) -> logits (B, classes)."""
        return self.output(features)


class SurvivalHead(nn.Module):
    """Cox head: linear, ReLU, linear, ReLU, linear; higher output means higher hazard."""

    def __init__(self, features: int, hidden: int = 128, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.hidden_units = hidden
        self.layers = nn.Sequential(
            nn.Linear(features, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, 1)
        )
        initialise(self, generator)

    def forward(self, features: Tensor) -> Tensor:
        """Features (B, F) -> log relative hazard (B, 1)."""
        return self.layers(features)
