"""Configurations of the report generator's two steps. Defaults: paper, 4.4.4 and Supplementary Tables 41 and 42."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from ..models.report_generator import INSTRUCTION, Writing
from .pretraining_stages import Count, Lora, NewTextModel, SidedStage
from .stage import Optimiser


class ReportStage(SidedStage):
    """What both steps have. The image encoder is frozen; its features are computed once, before training.

    Attributes:
        tokens: Visual tokens.
        max_tokens: Reports are cut after so many.
        instruction: What the language model is asked.
        views: Augmented views of every region beside the plain one; as many as epochs is as good as augmenting anew.
        fusion: ``one-phase``: one random available phase in training, the arterial (else venous) one afterwards;
            ``all-phases``: mean features of a random set of phases, and of all of them afterwards.
        writing: How text is generated.
    """

    batch_size: int = Field(default=30, ge=2)
    precision: Literal["fp32", "bf16"] = "bf16"
    tokens: Count = 8
    max_tokens: int = Field(default=256, ge=8, le=4096)
    instruction: str = INSTRUCTION
    views: int = Field(default=20, ge=0)
    fusion: Literal["one-phase", "all-phases"] = "one-phase"
    writing: Writing = Writing()


class ReportProjectorConfiguration(ReportStage):
    """Step 1: the projector alone, in front of a frozen language model.

    Attributes:
        standardise: Whether the projector sees the features less their mean and in units of their spread over the
            training images; it stays one linear map.
        new_model: A small language model that starts from random weights, where no checkpoint folder is given. It is
            trained together with the projector.
    """

    stage: Literal["report-projector"] = "report-projector"
    epochs: int = Field(default=20, ge=1)
    optimiser: Optimiser = Optimiser(learning_rate=1e-3, weight_decay=5e-2)
    standardise: bool = False
    new_model: NewTextModel | None = None

    @model_validator(mode="after")
    def _writes(self) -> Self:
        if self.new_model is not None and self.new_model.architecture != "llama":
            raise ValueError("new_model.architecture must be llama: the other kind does not write text")
        return self


class ReportAdaptersConfiguration(ReportStage):
    """Step 2: the projector, and low-rank adapters of the language model."""

    stage: Literal["report-adapters"] = "report-adapters"
    epochs: int = Field(default=2, ge=1)
    views: int = Field(default=2, ge=0)
    optimiser: Optimiser = Optimiser(learning_rate=5e-4, learning_rates={"network.": 2e-6}, weight_decay=5e-2)
    lora: Lora = Lora(rank=4, alpha=4.0, dropout=0.2)
