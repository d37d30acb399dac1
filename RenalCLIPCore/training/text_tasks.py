"""Tasks of the text stages: masked next-token prediction, and SimCSE."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from ..cohort.dataset import MISSING
from ..evaluation.retrieval import recall_at
from ..models.heads import AttributeHead
from ..models.text_encoder import TextEncoder
from ..text.questionnaire import questionnaire
from .distribution import gather, share_of, total_number
from .gradient_caching import cached
from .loop import Step, Validation
from .losses import classification_loss, contrastive_loss
from .pretraining_stages import MntpConfiguration, SimcseConfiguration
from .text_data import SIDES, TextBatch

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


class AnsweringEncoder(nn.Module):
    """A text encoder with a linear head per question and one for the kidney's side, on its embeddings.

    Args:
        encoder: Gives the embeddings.
        classes: Options of each.
        seed: Of the heads' weights.
    """

    def __init__(self, encoder: TextEncoder, classes: Sequence[int], seed: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.encoder = encoder
        self.heads = nn.ModuleList(AttributeHead(encoder.embedding_dim, count, generator) for count in classes)

    def forward(self, embeddings: Tensor) -> list[Tensor]:
        """Unit embeddings (B, D) -> logits (B, K) of each question; a component varies by about one again."""
        wide = embeddings * math.sqrt(embeddings.shape[1])
        return [head(wide) for head in self.heads]


class SimcseTask:
    """SimCSE on whole reports, both directions, and where configured their answers.

    The score is the share of validation reports that the version with shuffled sentences finds first; with answers the
    mean of it and of the share of answers that are read rightly.

    Args:
        configuration: Of the stage.
        encoder: To train, with dropout in its layers.
    """

    def __init__(self, configuration: SimcseConfiguration, encoder: TextEncoder) -> None:
        self.configuration = configuration
        self.encoder = encoder
        self.answering: AnsweringEncoder | None = None
        if configuration.answers_weight:
            classes = (*questionnaire().class_counts, len(SIDES))
            self.answering = AnsweringEncoder(encoder, classes, configuration.seed)
        self.model: nn.Module = self.answering or encoder

    def training_step(self, batch: TextBatch) -> Step:
        """Symmetric InfoNCE between two passes over the global batch, and the cross-entropy of the answers."""
        ids, mask = self.encoder.tokens(batch.texts)
        first, second = (
            gather(cached(self.encoder, self.encoder, ids, mask, chunk=self.configuration.chunk)) for _ in range(2)
        )
        loss = contrastive_loss(first, second, 1 / self.configuration.temperature)
        figures = {"alignment": float((first * second).sum(1).mean().detach())}
        if self.answering is not None:
            answers = self._answers_loss(self.answering(first), gather(_answers(batch, first.device)))
            figures["answers"] = float(answers.detach())
            loss = loss + self.configuration.answers_weight * answers
        return Step(share_of(loss), figures)

    def validate(self, batches: Iterable[TextBatch]) -> Validation:
        """Shuffled versions seek their originals among all validation reports."""
        originals, shuffled, answers = [], [], []
        for batch in batches:
            versions = [r.shuffled((seed, 2)) for r, seed in zip(batch.reports, batch.seeds, strict=True)]
            originals.append(self.encoder.embed(batch.texts))
            shuffled.append(self.encoder.embed(versions))
            answers.append([report.answers for report in batch.reports])
        texts, queries = np.concatenate(originals), np.concatenate(shuffled)
        similarity = queries @ texts.T
        distances = 2 - 2 * (texts @ texts.T)[np.triu_indices(len(texts), 1)]
        figures = {
            "alignment": float(np.diagonal(similarity).mean()),
            "uniformity": float(np.log(np.exp(-2 * distances).mean())),
        }
        score = recall_at(similarity, 1)
        if self.answering is None:
            return Validation(score, figures)
        figures["recall_at_1"] = score
        figures["answers_right"] = self._answers_right(texts, np.concatenate(answers))
        return Validation((score + figures["answers_right"]) / 2, figures)

    def _answers_loss(self, logits: Sequence[Tensor], targets: Tensor) -> Tensor:
        losses = [classification_loss(values, column) for values, column in zip(logits, targets.T, strict=True)]
        known = [loss for loss in losses if loss is not None]
        anchor = sum((values.sum() * 0 for values in logits), targets.new_zeros((), dtype=torch.float32))
        return sum(known, anchor) / max(len(known), 1)

    def _answers_right(self, texts: npt.NDArray[np.float32], answers: npt.NDArray[np.int64]) -> float:
        assert self.answering is not None
        device = next(self.answering.heads.parameters()).device
        with torch.no_grad():
            logits = self.answering(torch.from_numpy(texts).to(device))
        chosen = np.stack([values.argmax(1).cpu().numpy() for values in logits], 1)
        known = answers != MISSING
        return float((chosen == answers)[known].mean()) if known.any() else 0.0


def _answers(batch: TextBatch, device: torch.device) -> Tensor:
    """(B, 15) answers of a batch's reports."""
    return torch.tensor([report.answers for report in batch.reports], device=device)
