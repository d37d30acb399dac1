"""A language model from a folder on this machine, through transformers; nothing is fetched."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from ..errors import BundleError, ConfigurationError, InputError
from .completion import CompletionError

MAX_ANSWER_TOKENS = 2048


class LocalModel:
    """A causal language model and its tokenizer, both in one folder (Hugging Face's layout, safetensors).

    Args:
        folder: The folder.
        device: ``cpu``, ``cuda`` ...; None takes a GPU where there is one.
        max_answer_tokens: Longest answer.

    Raises:
        InputError: The folder is missing.
    """

    def __init__(self, folder: Path, *, device: str | None = None, max_answer_tokens: int = MAX_ANSWER_TOKENS) -> None:
        if not (folder / "config.json").is_file():
            raise InputError(
                f"{folder.name} holds no model; a folder with config.json, tokenizer and weights is wanted."
            )
        self._folder = folder
        self._device = device
        self._max_answer_tokens = max_answer_tokens
        self._loaded: tuple[Any, Any] | None = None
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        """Name of the folder and size of its weights, so that another model of the same name has other answers."""
        size = sum(path.stat().st_size for path in self._folder.glob("*.safetensors"))
        return f"{self._folder.name}-{size}"

    def complete(self, prompt: str) -> str:
        """See :class:`~RenalCLIPCore.text.completion.Completer`; one answer at a time."""
        import torch

        with self._lock, torch.inference_mode():
            tokenizer, model = self._load()
            inputs = _tokens(tokenizer, prompt).to(model.device)
            longest = getattr(model.config, "max_position_embeddings", None)
            length = int(inputs["input_ids"].shape[1])
            if longest is not None and length >= longest:
                raise CompletionError(f"The question has {length} tokens, the model takes {longest}.")
            room = self._max_answer_tokens if longest is None else min(self._max_answer_tokens, longest - length)
            output = model.generate(**inputs, max_new_tokens=room, do_sample=False)
            return str(tokenizer.decode(output[0, length:], skip_special_tokens=True))

    def _load(self) -> tuple[Any, Any]:
        if self._loaded is None:
            try:
                import transformers
            except ImportError as error:
                raise ConfigurationError(
                    "A local model needs the package transformers; install it (pip install renalclip[text])."
                ) from error
            import torch

            device = self._device or ("cuda" if torch.cuda.is_available() else "cpu")
            try:
                tokenizer = transformers.AutoTokenizer.from_pretrained(self._folder, local_files_only=True)
                model = transformers.AutoModelForCausalLM.from_pretrained(
                    self._folder, local_files_only=True, use_safetensors=True
                )
            except (OSError, ValueError, KeyError) as error:
                raise BundleError(f"{self._folder.name} cannot be loaded as a language model: {error}.") from error
            if tokenizer.pad_token_id is None:
                tokenizer.pad_token = tokenizer.eos_token
            self._loaded = (tokenizer, model.to(device).eval())
        return self._loaded


def _tokens(tokenizer: Any, prompt: str) -> Any:
    """The prompt as the model's chat turn, or as it is for a model without a chat form."""
    if tokenizer.chat_template:
        turn = [{"role": "user", "content": prompt}]
        prompt = tokenizer.apply_chat_template(turn, add_generation_prompt=True, tokenize=False)
        return tokenizer(prompt, return_tensors="pt", add_special_tokens=False)
    return tokenizer(prompt, return_tensors="pt")
