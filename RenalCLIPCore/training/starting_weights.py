"""The encoder that fine-tuning starts from: a bundle's, a finished run's, or a published network's."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from ..errors import InputError, TrainingError
from ..models.bundle import Bundle, file_hash
from ..models.comparison import read_published
from ..models.encoder import RenalEncoder
from ..models.manifest import MANIFEST_FILE
from .checkpoints import load
from .learnt import round_to_half
from .loop import BEST_FILE

_PREFIX = "encoder."


def image_encoder(source: Path) -> RenalEncoder:
    """The image encoder of a bundle or run, in half precision's values and evaluation mode, without a projection.

    Raises:
        InputError: The source is neither.
        BundleError: A bundle is damaged.
        TrainingError: A run holds heads alone.
    """
    found, _ = _own_encoder(source)
    if "conv1.weight" not in found:
        raise _only_heads(source)
    encoder = RenalEncoder(found["conv1.weight"].shape[0], 0)
    encoder.load_state_dict({name: found[name] for name in encoder.state_dict()})
    round_to_half(encoder)
    return encoder.eval().requires_grad_(False)


def starting_encoder(network: str, source: Path, wanted: dict[str, Tensor]) -> tuple[dict[str, Tensor], str]:
    """The weights of an encoder, and a hash of where they come from.

    Args:
        network: ``renalclip``, or the name of a published network.
        source: A bundle; the folder of a run; for a published network the file of its weights.
        wanted: Tensors of the encoder that they are for. A projection to an image-text space is left out.

    Raises:
        InputError: The source is neither.
        BundleError: A bundle or weights file cannot be read, or is of another network.
        TrainingError: The source has another architecture, or holds heads alone.
    """
    if network != "renalclip":
        return read_published(network, source), file_hash(source)
    found, origin = _own_encoder(source)
    if "conv1.weight" not in found:
        raise _only_heads(source)
    if any(name not in found or found[name].shape != value.shape for name, value in wanted.items()):
        raise TrainingError(f"{source.name} has another encoder; start from one of the configured width.")
    return {name: found[name].to(value.dtype) for name, value in wanted.items()}, origin


def _own_encoder(source: Path) -> tuple[dict[str, Tensor], str]:
    if (source / MANIFEST_FILE).is_file():
        bundle = Bundle.load(source)
        return bundle.encoder.state_dict(), bundle.sha256
    if (source / BEST_FILE).is_file():
        content = load(source / BEST_FILE)["model"]
        found = {name.removeprefix(_PREFIX): v for name, v in content.items() if name.startswith(_PREFIX)}
        return found, file_hash(source / BEST_FILE)
    raise InputError(f"{source.name} is neither a model bundle nor the folder of a run; give one to start from.")


def _only_heads(source: Path) -> TrainingError:
    return TrainingError(
        f"The run {source.name} has only heads, or another network; start from the run that the encoder comes from."
    )
