"""Which contrast phase an acquisition is: evidence from tags, times and enhancement, joined into one guess each.

Every kind of evidence is a distribution over N, A, V, D with its words. The evidence of one acquisition is multiplied;
acquisitions with known times form a chain whose order (N, A, V, D) and intervals count as well, and the confidence is
the marginal probability of the phase in that chain.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from .phase_words import contrast_named, phase_at_delay, phases_named
from .study import Phase
from .volume import FloatArray

ORDER = (Phase.N, Phase.A, Phase.V, Phase.D)
LEAST_CONFIDENCE = 0.5
MOST_CONFIDENCE = 0.99


@dataclass(frozen=True)
class Evidence:
    """One reason for a phase.

    Attributes:
        weights: Probability of each phase from this evidence alone (sums to 1).
        words: What speaks, for a reader; never a description or file name as a whole.
        source: ``description``, ``protocol``, ``bolus``, ``contrast``, ``enhancement``.
    """

    weights: Mapping[Phase, float]
    words: str
    source: str

    @property
    def phase(self) -> Phase:
        """The phase that it speaks for most."""
        return max(ORDER, key=lambda phase: self.weights[phase])


@dataclass(frozen=True)
class PhaseGuess:
    """A phase with its confidence and reason.

    Attributes:
        phase: None when nothing speaks clearly enough.
        confidence: 0 to 1: probability of the phase (of the best one where ``phase`` is None).
        reason: What it rests on, in words.
        scores: Probability of each phase.
        notes: Contradictions between kinds of evidence.
    """

    phase: Phase | None
    confidence: float
    reason: str
    scores: Mapping[Phase, float]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class PhaseClues:
    """What is known of an acquisition besides its voxels.

    Attributes:
        description: Series description, or the file's name without suffix.
        protocol: Protocol name, which may be that of the whole examination.
        contrast: Whether the files name an intravenous agent; None where that says nothing.
        delay_s: Acquisition time minus the start of the injection.
        time_s: Acquisition time, in seconds on any common clock.
        sequence: Place among the acquisitions by series number; used where times are missing, and trusted less.
        described_by: What the description is, for the reason.
    """

    description: str = field(default="", repr=False)
    protocol: str = field(default="", repr=False)
    contrast: bool | None = None
    delay_s: float | None = None
    time_s: float | None = None
    sequence: float | None = None
    described_by: str = "series description"


def distribution(likely: Mapping[Phase, float], certainty: float) -> dict[Phase, float]:
    """Weights with ``certainty`` shared among the likely phases in proportion, the rest spread over all four."""
    total = sum(likely.values())
    return {phase: certainty * likely.get(phase, 0.0) / total + (1.0 - certainty) / 4.0 for phase in ORDER}


def evidence_from_tags(clues: PhaseClues) -> tuple[Evidence, ...]:
    """What the tags of one acquisition say about its phase."""
    found: list[Evidence] = []
    named = phases_named(clues.description)
    if named:
        words = " and ".join(f"'{word}'" for word in named.values())
        weights = distribution(dict.fromkeys(named, 1.0), 0.95)
        found.append(Evidence(weights, f"the {clues.described_by} says {words}", "description"))
    elif len(protocol := phases_named(clues.protocol)) == 1:
        weights = distribution(dict.fromkeys(protocol, 1.0), 0.7)
        found.append(Evidence(weights, f"the protocol says '{next(iter(protocol.values()))}'", "protocol"))
    if clues.delay_s is not None:
        found.extend(_evidence_from_delay(clues.delay_s))
    if clues.contrast or (Phase.N not in named and contrast_named(clues.description)):
        weights = distribution({Phase.A: 1, Phase.V: 1, Phase.D: 1}, 0.7)
        found.append(Evidence(weights, "the tags name a contrast agent", "contrast"))
    elif clues.contrast is False:
        found.append(Evidence(distribution({Phase.N: 1.0}, 0.7), "the tags name no contrast agent", "contrast"))
    return tuple(found)


def recognise(
    clues: Sequence[PhaseClues],
    enhancement: Sequence[PhaseGuess | None] | None = None,
    fixed: Mapping[int, Phase] | None = None,
) -> tuple[PhaseGuess, ...]:
    """The phase of each acquisition of one examination.

    Args:
        clues: One per acquisition.
        enhancement: What the voxels of each say (None where they were not looked at).
        fixed: Acquisitions whose phase a person named, by place.
    """
    enhancement = enhancement or [None] * len(clues)
    evidence = [
        [*evidence_from_tags(clue), *_evidence_from_voxels(guess)]
        for clue, guess in zip(clues, enhancement, strict=True)
    ]
    alone = np.array([_joined(items) for items in evidence]).reshape(-1, 4)
    for place, phase in (fixed or {}).items():
        alone[place] = [1.0 if one is phase else 0.0 for one in ORDER]
    times = [clue.time_s for clue in clues]
    timed = sum(time is not None for time in times) >= 2
    together = (
        _with_order(alone, times) if timed else _with_order(alone, [clue.sequence for clue in clues], in_seconds=False)
    )
    return tuple(_guess(items, own, joint) for items, own, joint in zip(evidence, alone, together, strict=True))


def _evidence_from_delay(delay: float) -> list[Evidence]:
    words = f"acquired {delay:.0f} s after the start of the injection"
    if -3600 < delay < 5:
        return [Evidence(distribution({Phase.N: 1.0}, 0.8), "acquired before the injection", "bolus")]
    phase = phase_at_delay(delay)
    if phase is not None:
        return [Evidence(distribution({phase: 1.0}, 0.85), words, "bolus")]
    pair = {48 < delay < 55: (Phase.A, Phase.V), 130 < delay < 160: (Phase.V, Phase.D)}.get(True)
    return [Evidence(distribution(dict.fromkeys(pair, 1.0), 0.85), words, "bolus")] if pair else []


def _evidence_from_voxels(guess: PhaseGuess | None) -> list[Evidence]:
    if guess is None or max(guess.scores.values()) < 0.3:
        return []
    return [Evidence(guess.scores, guess.reason, "enhancement")]


def _joined(items: Sequence[Evidence]) -> FloatArray:
    product = np.ones(4)
    for item in items:
        product *= [item.weights[phase] for phase in ORDER]
    return product / product.sum()


def _with_order(alone: FloatArray, times: Sequence[float | None], *, in_seconds: bool = True) -> FloatArray:
    """Marginal probabilities along the chain of acquisitions in time (forward and backward pass).

    Without ``in_seconds``, ``times`` are only an order: intervals are unknown, and the order weighs less.
    """
    chain = sorted((k for k, time in enumerate(times) if time is not None), key=lambda k: times[k] or 0.0)
    if len(chain) < 2:
        return alone
    steps = [
        _transition((times[later] or 0.0) - (times[earlier] or 0.0)) for earlier, later in itertools.pairwise(chain)
    ]
    forward = [alone[chain[0]]]
    for step, place in zip(steps, chain[1:], strict=True):
        message = (forward[-1] @ step) * alone[place]
        forward.append(message / message.sum())
    backward = [np.ones(4)]
    for step, place in zip(reversed(steps), reversed(chain[1:]), strict=True):
        message = step @ (alone[place] * backward[0])
        backward.insert(0, message / message.sum())
    result = alone.copy()
    for place, ahead, behind in zip(chain, forward, backward, strict=True):
        result[place] = ahead * behind / (ahead @ behind)
    return result


def _transition(interval_s: float) -> FloatArray:
    """How well one phase follows another after an interval (rows: earlier, columns: later; N, A, V, D)."""
    if interval_s < 5:
        return np.full((4, 4), 0.25)
    soon, late = interval_s < 130, interval_s > 90
    return np.array(
        [
            [0.15, 1.0, 0.7, 0.3],
            [0.02, 0.15, 1.0 if soon else 0.3, 0.8 if late else 0.1],
            [0.02, 0.03, 0.15, 1.0 if interval_s > 50 else 0.3],
            [0.02, 0.02, 0.03, 0.25],
        ]
    )


def _guess(items: Sequence[Evidence], own: FloatArray, joint: FloatArray) -> PhaseGuess:
    best = int(np.argmax(joint))
    phase = ORDER[best]
    for_it = [item.words for item in items if item.weights[phase] > 0.25]
    against = [item for item in items if item.weights[phase] < 0.1]
    if joint[best] > own[best] + 0.05 or not for_it:
        for_it.append("the order and intervals of the acquisitions")
    notes = tuple(f"Contradiction: {item.words}, which speaks for {item.phase.words}." for item in against)
    scores = {one: float(value) for one, value in zip(ORDER, joint, strict=True)}
    confidence = min(float(joint[best]), MOST_CONFIDENCE)
    if confidence < LEAST_CONFIDENCE:
        why = "; ".join(item.words for item in items) or "nothing speaks for a phase"
        return PhaseGuess(None, confidence, why, scores, notes)
    return PhaseGuess(phase, confidence, "; ".join(for_it), scores, notes)
