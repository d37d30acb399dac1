"""Reports as training data of the text stages."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ..cohort.dataset import MISSING
from ..cohort.splits import LearningCohort
from ..cohort.table import CohortRow
from ..errors import CohortError, InputError
from ..text.captions import caption, shuffled_caption

SIDES = ("left", "right")
_MAX_BYTES = 4 << 30


@dataclass(frozen=True)
class Report:
    """The report of one kidney, or any text as its findings.

    Attributes:
        case_id: Of the row.
        findings: Text.
        impression: Text.
        answers: What the text says: option of each of the fourteen questions, then of the side (``SIDES``); ``MISSING``
            where it is not known. Empty where there are none.
    """

    case_id: str
    findings: str
    impression: str = ""
    answers: tuple[int, ...] = ()

    @property
    def text(self) -> str:
        """The caption."""
        return caption(self.findings, self.impression)

    def shuffled(self, seed: tuple[int, ...]) -> str:
        """The caption with its sentences in random order."""
        return shuffled_caption(self.findings, self.impression, np.random.default_rng(seed))


@dataclass(frozen=True)
class Reports:
    """Reports to learn from and to validate on; their hashes tell one cohort from another."""

    training: tuple[Report, ...]
    validation: tuple[Report, ...]

    @property
    def sha256(self) -> str:
        """Hash over the texts of both parts, in order."""
        return _hash("\n".join(report.text for report in part) for part in (self.training, self.validation))

    @property
    def answered_sha256(self) -> str:
        """Hash over the texts and the answers of both parts, in order."""
        answers = ("\n".join(str(report.answers) for report in part) for part in (self.training, self.validation))
        return _hash((self.sha256, *answers))


def _hash(parts: Iterable[str]) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def reports_of(cohort: LearningCohort) -> Reports:
    """The reports of a cohort's training and validation rows, each text once.

    Raises:
        CohortError: A part has fewer than two texts.
    """
    return _checked(Reports(_distinct(map(report_of, cohort.training)), _distinct(map(report_of, cohort.validation))))


def report_of(row: CohortRow) -> Report:
    """The report of a row, with its answers."""
    answers = tuple(MISSING if answer is None else answer for answer in row.attributes)
    return Report(row.case_id, row.findings, row.impression, (*answers, SIDES.index(row.side)))


def read_reports(path: Path, validation_share: float, seed: int) -> Reports:
    """Texts of a file, one per line (UTF-8; empty lines are skipped), split at random.

    Raises:
        InputError: The file cannot be read.
        CohortError: It holds too few texts.
    """
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise InputError(f"{path.name} is larger than {_MAX_BYTES >> 30} GB; split it.")
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path.name} cannot be read as UTF-8 text, one report per line.") from error
    every = _distinct(Report(f"line {number}", line) for number, line in enumerate(lines, 1) if line.strip())
    order = np.random.default_rng(seed).permutation(len(every))
    kept = max(2, round(validation_share * len(every)))
    return _checked(Reports(tuple(every[i] for i in order[kept:]), tuple(every[i] for i in order[:kept])))


def _distinct(reports: Iterator[Report]) -> tuple[Report, ...]:
    found: dict[str, Report] = {}
    for report in reports:
        found.setdefault(report.text, report)
    return tuple(found.values())


def _checked(reports: Reports) -> Reports:
    for name, part in (("training", reports.training), ("validation", reports.validation)):
        if len(part) < 2:
            raise CohortError(f"The text stages need at least two different {name} reports, found {len(part)}.")
    return reports


@dataclass(frozen=True)
class TextBatch:
    """B texts, the case of each, and a seed for what is drawn for each."""

    reports: tuple[Report, ...]
    seeds: tuple[int, ...]

    @property
    def texts(self) -> list[str]:
        """Captions."""
        return [report.text for report in self.reports]

    @property
    def case_ids(self) -> tuple[str, ...]:
        """Case of each text."""
        return tuple(report.case_id for report in self.reports)


class TextData:
    """Batches without end, in one random order after another, cut into epochs of equally many.

    No text stands twice in a batch, where it would be its own negative: what an order has left over after its whole
    batches waits for the next one.

    Args:
        reports: To learn from and to validate on.
        batch_size: Texts per global batch, at most as many as there are to learn from.
        batches_per_epoch: Number of batches after which the model is validated.
        seed: Of the orders and of what is drawn.
        share: This process's part of a global batch.
    """

    def __init__(
        self,
        reports: Reports,
        batch_size: int,
        batches_per_epoch: int,
        seed: int,
        share: Callable[[Sequence[int]], Sequence[int]] = list,
    ) -> None:
        self.reports = reports
        self.batch_size = min(batch_size, len(reports.training))
        self._batches_per_epoch = batches_per_epoch
        self.seed = seed
        self.share = share

    @property
    def batches_per_epoch(self) -> int:
        """Number of training batches in every epoch."""
        return self._batches_per_epoch

    def training(self, epoch: int, start: int, device: torch.device) -> Iterator[TextBatch]:
        """Training batches of an epoch from the ``start``-th on."""
        for number in range(start, self.batches_per_epoch):
            yield self._batch(epoch * self.batches_per_epoch + number)

    def validation(self, device: torch.device) -> Iterator[TextBatch]:
        """Every validation text once, each with a seed of its own that stays."""
        texts = self.reports.validation
        for first in range(0, len(texts), self.batch_size):
            part = texts[first : first + self.batch_size]
            yield TextBatch(part, tuple(range(first, first + len(part))))

    def _batch(self, number: int) -> TextBatch:
        count = len(self.reports.training)
        turn, place = divmod(number, count // self.batch_size)
        order = np.random.default_rng((self.seed, turn)).permutation(count)[place * self.batch_size :]
        seeds = np.random.default_rng((self.seed, number, 1)).integers(2**62, size=self.batch_size)
        own = self.share(range(self.batch_size))
        chosen = tuple(self.reports.training[int(order[i])] for i in own)
        return TextBatch(chosen, tuple(int(seeds[i]) for i in own))
