"""Configurations of the four pre-training stages. Defaults: paper, Supplementary Tables 36 to 40."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from ..cohort.augmentation import Augmentation
from .stage import Encoder, Fraction, Optimiser, Part, Positive, Schedule, Stage

Count = Annotated[int, Field(ge=1)]


class SidedStage(Stage):
    """What the stages have that learn from regions of interest and words.

    Attributes:
        augmentation: See ``cohort.augmentation``; never a left-right flip, for reports name sides.
    """

    augmentation: Augmentation = Augmentation()

    @model_validator(mode="after")
    def _sides(self) -> Self:
        if self.augmentation.flip_probability:
            raise ValueError("augmentation.flip_probability must be 0: a flip would swap the sides that reports name")
        return self


class RegionStage(SidedStage):
    """What both stages that train the encoder have.

    Attributes:
        encoder: Size of the encoder.
    """

    encoder: Encoder = Encoder()


class ImageConfiguration(RegionStage):
    """Image encoder on the fourteen report attributes, one random available phase per patient and step.

    Attributes:
        class_weights: Whether the cross-entropy weighs classes by the inverse of their frequency.
        density_weight: Weight, beside the mean over the questions, of a further linear head that learns the density
            around the centre of the very region that is seen. It needs no label and is no part of the paper; small
            cohorts do not teach an encoder to read density otherwise. 0 leaves it out.
    """

    stage: Literal["image"] = "image"
    class_weights: bool = False
    density_weight: float = Field(default=0.0, ge=0, allow_inf_nan=False)


class Lora(Part):
    """Low-rank adaptation. The paper's tables give "alpha 16, scale 32": rank 16, alpha 32, as LLM2Vec has it."""

    rank: Count = 16
    alpha: Positive = 32.0
    dropout: float = Field(default=0.05, ge=0, lt=1)
    targets: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


class NewTextModel(Part):
    """A language model that starts from random weights, with a tokenizer trained on the stage's texts.

    Attributes:
        architecture: ``llama`` (made bidirectional), or ``bert`` for the text-encoder ablation.
        vocabulary: Largest number of tokens.
        width: Size of the hidden states and of the embeddings.
        hidden: Size within the feed-forward layers.
        layers: Number of layers.
        heads: Attention heads.
    """

    architecture: Literal["llama", "bert"] = "llama"
    vocabulary: int = Field(default=2048, ge=300)
    width: Count = 128
    hidden: Count = 344
    layers: Count = 4
    heads: Count = 4

    @model_validator(mode="after")
    def _divides(self) -> Self:
        if self.width % (2 * self.heads):
            raise ValueError("width must be a multiple of twice the number of heads")
        return self


class TextStage(Stage):
    """What both text stages have. An epoch is the part of the iterations after which the model is validated.

    Attributes:
        iterations: Steps in all; a multiple of ``epochs``.
        new_model: Built where no checkpoint folder is given to start from.
        lora: Adapters that are trained while everything else is frozen; None trains every weight.
        gradient_checkpointing: Whether activations are computed again in the backward pass.
        max_tokens: Texts are cut after so many.
        validation_share: Part of the texts kept for validation, where they do not come from a cohort table.
    """

    epochs: int = Field(default=10, ge=1)
    batch_size: int = Field(default=32, ge=2)
    precision: Literal["fp32", "bf16"] = "bf16"
    iterations: Count = 1000
    new_model: NewTextModel | None = None
    lora: Lora | None = Lora()
    gradient_checkpointing: bool = True
    max_tokens: int = Field(default=224, ge=8)
    validation_share: float = Field(default=0.05, gt=0, lt=1)
    schedule: Schedule = Schedule(shape="linear", warm_up=0.0)

    @model_validator(mode="after")
    def _whole_epochs(self) -> Self:
        if self.iterations % self.epochs:
            raise ValueError("iterations must be a multiple of epochs")
        return self


class MntpConfiguration(TextStage):
    """Masked next-token prediction (LLM2Vec): a masked token is predicted from the state before it.

    Encoders of the BERT type predict it in its own place.

    Attributes:
        mask_probability: Share of the tokens that are to be predicted.
        mask_share: Of those, share that the mask replaces.
        random_share: Of those, share that a random token replaces; the rest stays as it is.
    """

    stage: Literal["mntp"] = "mntp"
    optimiser: Optimiser = Optimiser(learning_rate=5e-5, weight_decay=0.0)
    mask_probability: Annotated[float, Field(gt=0, lt=1)] = 0.2
    mask_share: Fraction = 0.8
    random_share: Fraction = 0.1

    @model_validator(mode="after")
    def _shares(self) -> Self:
        if self.mask_share + self.random_share > 1:
            raise ValueError("mask_share and random_share must not exceed 1 together")
        return self


class SimcseConfiguration(TextStage):
    """SimCSE: two passes of a text under different dropout are positives, the other texts of the batch negatives.

    Attributes:
        dropout: Of the attention weights.
        temperature: Cosines are divided by it.
        chunk: Texts per chunk of gradient caching, or None for the plain step.
        answers_weight: Weight of what the image stage does with images: linear heads that read the fourteen answers
            and the kidney's side from the embedding. It needs a cohort table with answers and is no part of the paper,
            whose language model knows what the words mean; a small one that starts from random weights tells reports
            apart by their wording otherwise. 0 leaves it out.
    """

    stage: Literal["simcse"] = "simcse"
    answers_weight: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    batch_size: int = Field(default=128, ge=2)
    optimiser: Optimiser = Optimiser(learning_rate=3e-5, weight_decay=0.0)
    dropout: float = Field(default=0.2, ge=0, lt=1)
    temperature: Positive = 0.05
    chunk: Count | None = None


class ClipConfiguration(RegionStage):
    """Image-text alignment against the stored features of a frozen text encoder.

    Attributes:
        chunk: Samples per chunk of gradient caching within each process, or None for the plain step. With 4096 samples
            on one GPU: 256.
        temperature: At the start; it is learnt.
        largest_scale: The inverse of the temperature is kept from 1 to this.
        image_start: ``pretrained``: from the encoder of a finished image run; ``random``: the ablation without it.
        freeze_encoder: Whether only the projection and the temperature are trained, so that heads on the encoder stay
            what they are. No part of the paper.
        shuffled_texts: Whether the versions with shuffled sentences are used beside the original.
    """

    stage: Literal["clip"] = "clip"
    epochs: int = Field(default=100, ge=1)
    batch_size: int = Field(default=4096, ge=2)
    precision: Literal["fp32", "bf16"] = "bf16"
    optimiser: Optimiser = Optimiser(
        learning_rate=1e-5,
        learning_rates={"encoder.projection": 5e-4, "log_scale": 5e-4},
        weight_decay=1e-2,
        betas=(0.9, 0.98),
        clip_norm=0.2,
    )
    chunk: Count | None = None
    temperature: Positive = 0.07
    largest_scale: float = Field(default=100.0, ge=1, allow_inf_nan=False)
    image_start: Literal["pretrained", "random"] = "pretrained"
    shuffled_texts: bool = True
    freeze_encoder: bool = False

    @model_validator(mode="after")
    def _something_to_freeze(self) -> Self:
        if self.freeze_encoder and self.image_start == "random":
            raise ValueError("freeze_encoder needs image_start pretrained: random weights are not worth keeping")
        return self
