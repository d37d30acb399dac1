"""Tasks of the text stages: masked next-token prediction, and SimCSE."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ..evaluation.retrieval import recall_at
from ..models.text_encoder import TextEncoder
from .distribution import gather, share_of, total_number
from .gradient_caching import cached
from .loop import Step, Validation
from .losses import contrastive_loss
from .pretraining_stages import MntpConfiguration, SimcseConfiguration
from .text_data import TextBatch

IGNORED = -100


class MntpTask:
    """Masked next-token prediction. The score is the share of masked tokens that are predicted.

    Args:
        configuration: Of the stage.
        encoder: To train.
    """

    def __init__(self, configuration: MntpConfiguration, encoder: TextEncoder) -> None:
        self.configuration = configuration
        self.model = encoder

    def training_step(self, batch: TextBatch) -> Step:
        """Mean cross-entropy over the masked tokens of the global batch."""
        loss, right, count = self._loss(batch)
        everywhere = max(total_number(count), 1.0)
        return Step(loss / everywhere, {"accuracy": right / max(count, 1)})

    def validate(self, batches: Iterable[TextBatch]) -> Validation:
        """Each text under one mask that stays."""
        found = [self._loss(batch) for batch in batches]
        count = max(sum(number for _, _, number in found), 1)
        loss = sum(float(value) for value, _, _ in found) / count
        return Validation(sum(right for _, right, _ in found) / count, {"loss": loss})

    def _loss(self, batch: TextBatch) -> tuple[Tensor, int, int]:
        """Summed cross-entropy, tokens predicted, tokens masked."""
        ids, mask = self.model.tokens(batch.texts)
        changed, targets = mask_tokens(ids, mask, batch.seeds, self.model, self.configuration)
        states = self.model.states(changed, mask)
        if self.model.causal_type:
            states, targets = states[:, :-1], targets[:, 1:]
        chosen = targets != IGNORED
        logits = self.model.logits(states[chosen]).float()
        loss = functional.cross_entropy(logits, targets[chosen], reduction="sum")
        # where nothing is masked the sum is zero and can still be differentiated
        return loss + states.sum() * 0, int((logits.argmax(1) == targets[chosen]).sum()), int(chosen.sum())


def mask_tokens(
    ids: Tensor, mask: Tensor, seeds: Sequence[int], encoder: TextEncoder, settings: MntpConfiguration
) -> tuple[Tensor, Tensor]:
    """Hide random tokens; start, end and padding are never hidden.

    Returns:
        (B, T) tokens with masks, random tokens and unchanged ones in the configured shares, and (B, T) the tokens to
        predict (-100 elsewhere). A text's draw depends on its seed alone.
    """
    special = torch.tensor(encoder.tokenizer.all_special_ids)
    own, there = ids.cpu(), mask.cpu().bool()
    draws = torch.ones(3, *own.shape)
    for row, seed in enumerate(seeds):
        length = int(there[row].sum())
        draws[:, row, :length] = torch.rand(3, length, generator=torch.Generator().manual_seed(seed))
    free = there & ~torch.isin(own, special)
    hidden = free & (draws[0] < settings.mask_probability)
    replaced = hidden & (draws[1] < settings.mask_share)
    other = hidden & ~replaced & (draws[1] < settings.mask_share + settings.random_share)
    changed = own.masked_fill(replaced, encoder.mask_token_id)
    changed = torch.where(other, (draws[2] * len(encoder.tokenizer)).long(), changed)
    return changed.to(ids.device), own.masked_fill(~hidden, IGNORED).to(ids.device)


class SimcseTask:
    """SimCSE on whole reports, both directions.

    The score is the share of validation reports that the version with shuffled sentences finds first.

    Args:
        configuration: Of the stage.
        encoder: To train, with dropout in its layers.
    """

    def __init__(self, configuration: SimcseConfiguration, encoder: TextEncoder) -> None:
        self.configuration = configuration
        self.model = encoder

    def training_step(self, batch: TextBatch) -> Step:
        """Symmetric InfoNCE between two passes over the global batch."""
        ids, mask = self.model.tokens(batch.texts)
        first, second = (
            gather(cached(self.model, self.model, ids, mask, chunk=self.configuration.chunk)) for _ in range(2)
        )
        loss = contrastive_loss(first, second, 1 / self.configuration.temperature)
        return Step(share_of(loss), {"alignment": float((first * second).sum(1).mean().detach())})

    def validate(self, batches: Iterable[TextBatch]) -> Validation:
        """Shuffled versions seek their originals among all validation reports."""
        originals, shuffled = [], []
        for batch in batches:
            versions = [r.shuffled((seed, 2)) for r, seed in zip(batch.reports, batch.seeds, strict=True)]
            originals.append(self.model.embed(batch.texts))
            shuffled.append(self.model.embed(versions))
        texts, queries = np.concatenate(originals), np.concatenate(shuffled)
        similarity = queries @ texts.T
        distances = 2 - 2 * (texts @ texts.T)[np.triu_indices(len(texts), 1)]
        figures = {
            "alignment": float(np.diagonal(similarity).mean()),
            "uniformity": float(np.log(np.exp(-2 * distances).mean())),
        }
        return Validation(recall_at(similarity, 1), figures)
