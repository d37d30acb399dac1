"""Text encoders: a language model whose tokens see one another in both directions, and the mean of its last states.

Any checkpoint folder of the Llama family serves (paper, 4.3: Llama-3 8B after LLM2Vec), or of the BERT type, which is
bidirectional by itself. Nothing is ever fetched: a folder is needed.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from ..errors import InputError, WeightsMismatchError

MAX_TOKENS = 224
CAUSAL_TYPES = ("llama", "mistral", "qwen2", "gemma")


class TextEncoder(nn.Module):
    """A language model, its tokenizer, and the embedding of a text.

    Args:
        network: A transformers model with its language-model head.
        tokenizer: A transformers tokenizer.
        max_tokens: Texts are cut after so many.
    """

    def __init__(self, network: nn.Module, tokenizer: Any, max_tokens: int = MAX_TOKENS) -> None:
        super().__init__()
        self.network: Any = network
        self.tokenizer = tokenizer
        self.max_tokens = max_tokens
        if tokenizer.pad_token_id is None:
            tokenizer.pad_token = tokenizer.eos_token
        tokenizer.padding_side = "right"
        if self.causal_type:
            make_bidirectional(network)

    @property
    def configuration(self) -> Any:
        """The transformers configuration."""
        return self.network.config

    @property
    def causal_type(self) -> bool:
        """Whether the network's family reads from left to right by nature; it predicts the next token then."""
        return self.configuration.model_type in CAUSAL_TYPES

    @property
    def embedding_dim(self) -> int:
        """Size of the embeddings."""
        return int(self.configuration.hidden_size)

    @property
    def mask_token_id(self) -> int:
        """The token that stands for a masked one; ``_`` where the vocabulary has none (as LLM2Vec does)."""
        own = self.tokenizer.mask_token_id
        return int(own if own is not None else self.tokenizer.convert_tokens_to_ids("_"))

    def tokens(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Token numbers and mask of the padded texts, both (B, T) on the network's device."""
        found = self.tokenizer(
            list(texts), padding=True, truncation=True, max_length=self.max_tokens, return_tensors="pt"
        )
        device = next(self.network.parameters()).device
        return found["input_ids"].to(device), found["attention_mask"].to(device)

    def states(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Last hidden states (B, T, D)."""
        states: Tensor = self.network.base_model(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state
        return states

    def logits(self, states: Tensor) -> Tensor:
        """States (..., D) -> logits over the vocabulary."""
        head = self.network.lm_head if hasattr(self.network, "lm_head") else self.network.cls
        logits: Tensor = head(states)
        return logits

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Tokens (B, T) -> L2-normalised embeddings (B, D): the mean over each text's tokens."""
        weights = mask.unsqueeze(-1).float()
        states = self.states(ids, mask).float()
        return functional.normalize((states * weights).sum(1) / weights.sum(1).clamp_min(1), dim=-1)

    def embed(self, texts: Sequence[str], batch_size: int = 32) -> npt.NDArray[np.float32]:
        """Embeddings (texts, D) in evaluation mode, without gradients."""
        was_training = self.training
        self.eval()
        with torch.no_grad():
            parts = [self(*self.tokens(texts[i : i + batch_size])) for i in range(0, len(texts), batch_size)]
        self.train(was_training)
        return torch.cat(parts).cpu().numpy()

    def save(self, folder: Path) -> None:
        """Write network and tokenizer as a checkpoint folder of transformers."""
        with quiet():
            self.network.save_pretrained(str(folder))
            self.tokenizer.save_pretrained(str(folder))


def make_bidirectional(network: Any) -> None:
    """Let every token see those after it, by what transformers itself offers; may be called again and again."""
    network.config.is_causal = False
    for module in network.modules():
        if hasattr(module, "is_causal"):
            module.is_causal = False


def load_text_encoder(folder: Path, max_tokens: int = MAX_TOKENS, **changes: Any) -> TextEncoder:
    """Open a checkpoint folder.

    Args:
        folder: With ``config.json``, weights and tokenizer.
        max_tokens: Texts are cut after so many.
        changes: Fields of the transformers configuration to change, for instance ``attention_dropout``.

    Raises:
        InputError: There is no such folder, or no model or tokenizer of a usable kind in it.
        WeightsMismatchError: Weights are missing.
    """
    kind = model_type(folder)
    network, tokenizer = open_checkpoint(folder, causal=kind in CAUSAL_TYPES, **changes)
    return TextEncoder(network, tokenizer, max_tokens)


def model_type(folder: Path) -> str:
    """What kind of model a checkpoint folder holds, in transformers' words.

    Raises:
        InputError: There is no such folder.
    """
    try:
        return str(json.loads((folder / "config.json").read_text(encoding="utf-8"))["model_type"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{folder.name} is no checkpoint folder of transformers; one with config.json, weights and tokenizer is "
            "needed."
        ) from error


def open_checkpoint(folder: Path, *, causal: bool, **changes: Any) -> tuple[Any, Any]:
    """Network and tokenizer of a checkpoint folder; nothing is fetched.

    Args:
        folder: With ``config.json``, weights and tokenizer.
        causal: Whether the network writes from left to right (else it fills in masks).
        changes: Fields of the transformers configuration to change.

    Raises:
        InputError: It holds no model or tokenizer of a usable kind.
        WeightsMismatchError: Weights are missing.
    """
    from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, AutoTokenizer

    maker = AutoModelForCausalLM if causal else AutoModelForMaskedLM
    try:
        with quiet():
            tokenizer = AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
            network, report = maker.from_pretrained(
                str(folder), local_files_only=True, output_loading_info=True, dtype="auto", **changes
            )
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{folder.name} holds no language model and tokenizer that transformers can open.") from error
    lacking = sorted(report["missing_keys"])
    if lacking:
        raise WeightsMismatchError(f"{folder.name} lacks weights, {lacking[0]} for instance; take a complete copy.")
    return network, tokenizer


@contextmanager
def quiet() -> Iterator[None]:
    """Without progress bars and notices of transformers, which are none of the user's business."""
    from transformers.utils import logging

    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(verbosity)
