"""New language models from sizes, tokenizers from texts, and low-rank adapters."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import nn

from .text_encoder import MAX_TOKENS, TextEncoder

START, END, PAD, MASK = "<s>", "</s>", "<pad>", "<mask>"


def train_tokenizer(texts: Sequence[str], vocabulary: int) -> Any:
    """A byte-level tokenizer (byte-pair encoding) learnt from texts; every text can be written with it.

    Args:
        texts: To learn from.
        vocabulary: Largest number of tokens, of which 260 are bytes and special ones.

    Returns:
        A transformers tokenizer with start, end, padding and mask tokens; each text begins with the start.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[START, END, PAD, MASK],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator(texts, trainer)
    start = core.token_to_id(START)
    core.post_processor = processors.TemplateProcessing(single=f"{START} $A", special_tokens=[(START, start)])
    return PreTrainedTokenizerFast(
        tokenizer_object=core, bos_token=START, eos_token=END, pad_token=PAD, mask_token=MASK
    )


def new_text_encoder(
    tokenizer: Any,
    architecture: Literal["llama", "bert"],
    *,
    width: int,
    hidden: int,
    layers: int,
    heads: int,
    seed: int,
    max_tokens: int = MAX_TOKENS,
    attention_dropout: float = 0.0,
) -> TextEncoder:
    """A small text encoder with random weights drawn from a seed; the global generator stays as it is."""
    network = new_network(
        tokenizer,
        architecture,
        width=width,
        hidden=hidden,
        layers=layers,
        heads=heads,
        seed=seed,
        max_tokens=max_tokens,
        attention_dropout=attention_dropout,
    )
    return TextEncoder(network, tokenizer, max_tokens)


def new_network(
    tokenizer: Any,
    architecture: Literal["llama", "bert"],
    *,
    width: int,
    hidden: int,
    layers: int,
    heads: int,
    seed: int,
    max_tokens: int = MAX_TOKENS,
    attention_dropout: float = 0.0,
) -> nn.Module:
    """A small language model with random weights drawn from a seed; the global generator stays as it is.

    Args:
        tokenizer: Of transformers.
        architecture: Its family.
        width: Of the hidden states.
        hidden: Within the feed-forward layers.
        layers: Number of layers.
        heads: Of the attention.
        seed: Of the weights.
        max_tokens: Of a sequence.
        attention_dropout: Of the attention weights.
    """
    from transformers import BertConfig, BertForMaskedLM, LlamaConfig, LlamaForCausalLM

    shared: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        "hidden_size": width,
        "intermediate_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "max_position_embeddings": max(512, max_tokens),
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        if architecture == "bert":
            network: nn.Module = BertForMaskedLM(
                BertConfig(
                    **shared, attention_probs_dropout_prob=attention_dropout, hidden_dropout_prob=attention_dropout
                )
            )
        else:
            network = LlamaForCausalLM(
                LlamaConfig(**shared, attention_dropout=attention_dropout, tie_word_embeddings=True)
            )
    return network


def add_adapters(
    encoder: nn.Module, *, rank: int, alpha: float, dropout: float, targets: Sequence[str], seed: int
) -> None:
    """Freeze a module whose ``network`` is a language model, and add trainable low-rank adapters
    to the network's linear layers of these names, in place.

    The adapters change nothing before they are trained. The BERT type calls its layers ``query``, ``key``, ``value``
    and ``dense``; they are taken there where none of the names occurs.
    """
    from peft import LoraConfig, inject_adapter_in_model

    linear = {name.rpartition(".")[2] for name, module in encoder.named_modules() if isinstance(module, nn.Linear)}
    chosen = [name for name in targets if name in linear] or ["query", "key", "value", "dense"]
    settings = LoraConfig(r=rank, lora_alpha=alpha, lora_dropout=dropout, target_modules=chosen, bias="none")
    with torch.random.fork_rng(), warnings.catch_warnings():
        # peft looks at every attribute of the network, also at deprecated ones
        warnings.simplefilter("ignore", FutureWarning)
        torch.manual_seed(seed)
        inject_adapter_in_model(settings, encoder.network)
    for name, parameter in encoder.named_parameters():
        parameter.requires_grad_(".lora_" in name)
        if parameter.requires_grad:
            parameter.data = parameter.data.float()


def merge_adapters(encoder: nn.Module) -> None:
    """Add what the adapters learnt to the weights below them and take the adapters out, in place."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    network: Any = encoder.network
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, BaseTunerLayer):
                child.merge()
                setattr(parent, name, child.get_base_layer())
    encoder.requires_grad_(True)
