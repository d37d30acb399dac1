"""How near generated reports come to reference reports: BLEU, METEOR, ROUGE-L. Higher is better, 1 is a copy.

Words are lower-cased; numbers and punctuation marks are words of their own. METEOR is NLTK's, with exact and
Porter-stem matches and without WordNet's synonyms, which need data that is not shipped with it; it is therefore at most
a little lower than METEOR with synonyms.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..errors import UndefinedMeasureError
from .classification import Array

ORDERS = 4
_WORDS = re.compile(r"\d+(?:\.\d+)?|[^\W\d_]+|[^\w\s]")


@dataclass(frozen=True, eq=False)
class LanguageCounts:
    """What every report contributes to the measures of the corpus.

    Attributes:
        matches: (n, 4) word sequences of length 1 to 4 that occur in the reference too, each as often as there.
        totals: (n, 4) word sequences of the generated report, at least 1 (as NLTK has it).
        lengths: (n,) words of the generated report.
        references: (n,) words of the reference report.
        meteor: (n,) METEOR of each report.
        rouge_l: (n,) F measure of the longest common subsequence.
    """

    matches: Array
    totals: Array
    lengths: Array
    references: Array
    meteor: Array
    rouge_l: Array


def words(text: str) -> list[str]:
    """The words of a text, lower-cased."""
    return _WORDS.findall(text.lower())


def language_counts(generated: Sequence[str], references: Sequence[str]) -> LanguageCounts:
    """Compare every generated report with its reference.

    Args:
        generated: Texts; empty ones count with measures of 0.
        references: Texts of the same cases, none empty.

    Raises:
        UndefinedMeasureError: There is no report, or a reference is empty.
    """
    pairs = [(words(one), words(other)) for one, other in zip(generated, references, strict=True)]
    if not pairs or not all(reference for _, reference in pairs):
        raise UndefinedMeasureError("Measures of language need at least one report, and no empty reference report.")
    grams = [[_clipped(one, other, order) for order in range(1, ORDERS + 1)] for one, other in pairs]
    counts = np.array(grams, dtype=float)
    return LanguageCounts(
        matches=counts[:, :, 0],
        totals=counts[:, :, 1],
        lengths=np.array([len(one) for one, _ in pairs], dtype=float),
        references=np.array([len(other) for _, other in pairs], dtype=float),
        meteor=_meteor(pairs),
        rouge_l=_rouge_l(generated, references),
    )


def weighted_bleu(counts: LanguageCounts, order: int, weights: Array) -> Array:
    """BLEU of the corpus (Papineni et al. 2002) up to word sequences of a length, per resample of weights (..., n).

    The geometric mean of the precisions with brevity penalty, not smoothed: 0 where an order has no match.
    """
    matches, totals = weights @ counts.matches[:, :order], weights @ counts.totals[:, :order]
    length, reference = weights @ counts.lengths, weights @ counts.references
    found = np.all(matches > 0, axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        logarithm = np.where(found, np.log(matches / totals).mean(axis=-1), -np.inf)
        penalty = np.where(length > reference, 0.0, 1 - reference / np.where(length > 0, length, np.nan))
    return np.where(found, np.exp(logarithm + penalty), 0.0)


def weighted_mean(values: Array, weights: Array) -> Array:
    """Mean per resample of weights (..., n)."""
    return np.asarray(weights @ values / weights.sum(axis=-1))


def _clipped(one: Sequence[str], other: Sequence[str], order: int) -> tuple[int, int]:
    ours, theirs = _sequences(one, order), _sequences(other, order)
    return sum((ours & theirs).values()), max(1, sum(ours.values()))


def _sequences(text: Sequence[str], order: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(text[start : start + order]) for start in range(len(text) - order + 1))


class _NoSynonyms:
    """Stands in for WordNet's reader."""

    def synsets(self, word: str) -> list[str]:
        return []


def _meteor(pairs: Sequence[tuple[list[str], list[str]]]) -> npt.NDArray[np.float64]:
    from nltk.translate.meteor_score import single_meteor_score

    return np.array([single_meteor_score(other, one, wordnet=_NoSynonyms()) if one else 0.0 for one, other in pairs])


def _rouge_l(generated: Sequence[str], references: Sequence[str]) -> npt.NDArray[np.float64]:
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(["rougeL"])
    pairs = zip(generated, references, strict=True)
    return np.array([scorer.score(other, one)["rougeL"].fmeasure for one, other in pairs])
