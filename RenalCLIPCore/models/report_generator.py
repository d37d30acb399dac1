"""A report generator in LLaVA's way: image features -> visual tokens -> a causal language model (paper, 4.4.4).

The sequence is: start, ``[INST]``, visual tokens, instruction, ``[/INST]``, report, end. On disk it is a folder:
``generator.json``, ``projector.safetensors``, and ``language_model/`` as transformers reads it. Nothing is fetched.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor, nn
from torch.nn import functional

from ..errors import BundleError
from .encoder import RenalEncoder
from .text_encoder import open_checkpoint, quiet
from .weights import fill, read_tensors, save_tensors

GENERATOR_FILE: Final = "generator.json"
PROJECTOR_FILE: Final = "projector.safetensors"
LANGUAGE_FOLDER: Final = "language_model"
INSTRUCTION: Final = (
    "Generate a radiology report for the given CT scan of suspected renal cancer.\n"
    "Use the following format:\n"
    "Findings: [Detailed observations based on the CT scan.]\n"
    "Impression: [Summary of the diagnostic conclusions.]\n"
)
_OPEN, _CLOSE = "[INST]", "[/INST]"


class Writing(BaseModel):
    """How text is generated: the most probable tokens, no sampling (defaults: public training code).

    Attributes:
        beams: Of the beam search; 1 is greedy.
        repetition_penalty: Logits of tokens that have been written are divided by it.
        no_repeat_ngram: No run of so many tokens is written twice; 0 allows all.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    beams: Annotated[int, Field(ge=1)] = 1
    repetition_penalty: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.2
    no_repeat_ngram: Annotated[int, Field(ge=0)] = 3


class GeneratorSettings(BaseModel):
    """What a generator is beside its weights.

    Attributes:
        feature_dim: Of the image features.
        encoder_sha256: Of the image encoder whose features it was trained on, see :func:`encoder_digest`.
        tokens: Visual tokens.
        max_tokens: Of a report.
        instruction: What the language model is asked.
        fusion: Features of one phase (arterial, else venous), or their mean over all phases.
        writing: See there.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    feature_dim: Annotated[int, Field(ge=1)]
    encoder_sha256: str
    tokens: Annotated[int, Field(ge=1, le=1024)] = 8
    max_tokens: Annotated[int, Field(ge=8, le=4096)] = 256
    instruction: str = INSTRUCTION
    fusion: Literal["one-phase", "all-phases"] = "one-phase"
    writing: Writing = Writing()


class Projector(nn.Linear):
    """One linear layer from image features to visual tokens, behind a fixed shift and scale of the features.

    The shift and scale are 0 and 1 unless they are set to standardise the features.
    """

    def __init__(self, features: int, out: int, generator: torch.Generator | None = None) -> None:
        super().__init__(features, out)
        nn.init.trunc_normal_(self.weight, std=0.02, a=-0.04, b=0.04, generator=generator)
        nn.init.zeros_(self.bias)
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("scale", torch.ones(features))

    def standardise(self, features: Tensor) -> None:
        """Let features distributed as these (n, F) have zero mean and unit variance; constant ones become zero."""
        spread = features.std(dim=0)
        self.get_buffer("mean").copy_(features.mean(dim=0))
        self.get_buffer("scale").copy_(torch.where(spread > 1e-6, 1 / spread.clamp_min(1e-6), 0.0))

    def forward(self, features: Tensor) -> Tensor:
        """(B, F) -> (B, out)."""
        return super().forward((features - self.get_buffer("mean")) * self.get_buffer("scale"))


class ReportGenerator(nn.Module):
    """Projector and language model.

    Args:
        network: A causal language model of transformers.
        tokenizer: Its tokenizer.
        settings: See there.
        generator: Source of the projector's initial weights; torch's global one when None.
    """

    def __init__(
        self, network: Any, tokenizer: Any, settings: GeneratorSettings, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        self.network = network
        self.tokenizer = tokenizer
        self.settings = settings
        if tokenizer.pad_token_id is None:
            tokenizer.pad_token = tokenizer.eos_token
        tokenizer.padding_side = "right"
        make_causal(network)
        self.width = int(network.config.hidden_size)
        self.projector = Projector(settings.feature_dim, settings.tokens * self.width, generator)
        start = [] if tokenizer.bos_token_id is None else [int(tokenizer.bos_token_id)]
        self._before = [*start, *self._words(_OPEN)]
        self._after = self._words(f"\n{settings.instruction}{_CLOSE}\n")

    def _words(self, text: str) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def train(self, mode: bool = True) -> ReportGenerator:
        """Training mode; a language model of which nothing is trained stays as it is."""
        super().train(mode)
        if not any(parameter.requires_grad for parameter in self.network.parameters()):
            self.network.eval()
        return self

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.projector.weight.device

    def prompt(self, features: Tensor) -> Tensor:
        """Image features (B, F) -> embeddings of all that stands before the report (B, T, D)."""
        embed = self.network.get_input_embeddings()
        visual = self.projector(features.to(self.projector.weight.dtype))
        visual = visual.unflatten(1, (self.settings.tokens, self.width))
        before, after = (
            embed(torch.tensor(ids, device=self.device)).expand(len(features), -1, -1)
            for ids in (self._before, self._after)
        )
        return torch.cat([before, visual.to(before.dtype), after], dim=1)

    def tokens(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Token numbers of the reports with their ends, padded, and a mask, both (B, T)."""
        rows = [
            [*self._words(text)[: self.settings.max_tokens - 1], int(self.tokenizer.eos_token_id)] for text in texts
        ]
        longest = max(map(len, rows))
        pad = int(self.tokenizer.pad_token_id)
        ids = torch.tensor([row + [pad] * (longest - len(row)) for row in rows], device=self.device)
        mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows], device=self.device)
        return ids, mask

    def forward(self, features: Tensor, texts: Sequence[str]) -> tuple[Tensor, int]:
        """Summed cross-entropy of the reports' tokens given image and instruction, and their number.

        Args:
            features: (B, F) of the images.
            texts: B reports.
        """
        ids, mask = self.tokens(texts)
        prompt = self.prompt(features)
        states = torch.cat([prompt, self.network.get_input_embeddings()(ids)], dim=1)
        seen = torch.cat([mask.new_ones(prompt.shape[:2]), mask], dim=1)
        found = self.network.base_model(inputs_embeds=states, attention_mask=seen, use_cache=False).last_hidden_state
        # the state before a token predicts it
        chosen = found[:, prompt.shape[1] - 1 : -1][mask.bool()]
        logits = self.network.get_output_embeddings()(chosen).float()
        return functional.cross_entropy(logits, ids[mask.bool()], reduction="sum"), int(mask.sum())

    def write(self, features: Tensor) -> list[str]:
        """Reports of images.

        Args:
            features: (B, F), from the encoder that the generator was trained with.
        """
        was_training = self.training
        self.eval()
        writing = self.settings.writing
        options: dict[str, Any] = {
            "max_new_tokens": self.settings.max_tokens,
            "do_sample": False,
            "num_beams": writing.beams,
            "repetition_penalty": writing.repetition_penalty,
            "no_repeat_ngram_size": writing.no_repeat_ngram,
            "pad_token_id": self.tokenizer.pad_token_id,
            "eos_token_id": self.tokenizer.eos_token_id,
        }
        with torch.no_grad(), quiet():
            prompt = self.prompt(features.to(self.device))
            seen = torch.ones(prompt.shape[:2], dtype=torch.int64, device=self.device)
            ids = self.network.generate(inputs_embeds=prompt, attention_mask=seen, **options)
        self.train(was_training)
        return list(self.tokenizer.batch_decode(ids, skip_special_tokens=True))

    def save(self, folder: Path) -> None:
        """Write the generator into a new or empty folder."""
        folder.mkdir(parents=True, exist_ok=True)
        save_tensors(self.projector.state_dict(), folder / PROJECTOR_FILE)
        with quiet():
            self.network.save_pretrained(str(folder / LANGUAGE_FOLDER))
            self.tokenizer.save_pretrained(str(folder / LANGUAGE_FOLDER))
        (folder / GENERATOR_FILE).write_text(self.settings.model_dump_json(indent=1), encoding="utf-8")


def load_report_generator(folder: Path, device: str | torch.device = "cpu") -> ReportGenerator:
    """Open a generator's folder, in evaluation mode and without gradients.

    Raises:
        BundleError: It is no generator, or damaged.
        InputError: The language model cannot be opened.
        WeightsMismatchError: Weights are missing or of another shape.
    """
    settings = read_generator_settings(folder)
    network, tokenizer = open_checkpoint(folder / LANGUAGE_FOLDER, causal=True)
    generator = ReportGenerator(network, tokenizer, settings)
    fill(generator.projector, read_tensors(folder / PROJECTOR_FILE), PROJECTOR_FILE)
    return generator.eval().requires_grad_(False).to(device)


def read_generator_settings(folder: Path) -> GeneratorSettings:
    """What a generator's folder says about it.

    Raises:
        BundleError: It is no such folder.
    """
    try:
        return GeneratorSettings.model_validate(json.loads((folder / GENERATOR_FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError, ValidationError) as error:
        raise BundleError(f"{folder.name} holds no report generator; one with {GENERATOR_FILE} is needed.") from error


def check_generator(folder: Path, encoder: RenalEncoder) -> None:
    """Refuse a generator that was trained on the features of another encoder.

    Raises:
        BundleError: It was, or the folder is none.
    """
    if read_generator_settings(folder).encoder_sha256 != encoder_digest(encoder):
        raise BundleError("The report generator was trained on the features of another encoder than the bundle's.")


def make_causal(network: Any) -> None:
    """Let every token see only those before it, also where the checkpoint was made bidirectional."""
    network.config.is_causal = True
    for module in network.modules():
        if hasattr(module, "is_causal"):
            module.is_causal = True


def encoder_digest(encoder: RenalEncoder) -> str:
    """Hash over an encoder's weights in half precision, without the projection: equal in a run and in its bundle."""
    digest = hashlib.sha256()
    for name, value in sorted(encoder.state_dict().items()):
        if not name.startswith("projection."):
            digest.update(name.encode())
            digest.update(value.detach().cpu().contiguous().to(torch.float16).numpy().tobytes())
    return digest.hexdigest()
