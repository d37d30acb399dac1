"""The reader study: any number of readers against the model, and against themselves with the model's help."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from ..cohort.table import CohortRow
from ..errors import UndefinedMeasureError
from ..evaluation.paired import McNemarTest, mcnemar
from ..evaluation.readers import (
    MatchedComparison,
    Share,
    matched_sensitivity,
    matched_specificity,
    reader_score,
    reading_times,
    similarity,
)  # fmt: skip
from ..evaluation.summary_figures import similarity_figure
from .diagnosis import OWN, VALIDATION, thresholds
from .evidence import Cell, EvidenceFigure, EvidenceTable, Section, p_words, range_words, slug
from .joining import ModelScores
from .prediction_table import Reading
from .study_data import StudyData, task_words

Readings = Sequence[tuple[Reading, CohortRow]]
Times = tuple[float | None, float | None, float | None]  # medians without and with the model, p
Calls = Mapping[str, tuple[int, bool, float | None]]  # label, call and seconds by case
ALONE, HELPED = "without the model", "with the model"
_MEASURES = ("sensitivity", "specificity", "accuracy")


def reader_sections(data: StudyData) -> list[Section]:
    """A section per task that was read."""
    tasks = dict.fromkeys(reading.task for reading, _ in data.evaluated_readings())
    return [section for task in tasks if not (section := _section(data, task)).empty]


def _section(data: StudyData, task: str) -> Section:
    read = [(reading, row) for reading, row in data.evaluated_readings() if reading.task == task and task in row.labels]
    words = (
        "Each reader's sensitivity and specificity with Wilson intervals. The model is compared at the reader's "
        "specificity (lowest threshold that attains it) and at the reader's sensitivity, with McNemar's exact test on "
        "the positive or negative cases that both have. With the model's help: the same reader's cases read both ways.",
    )
    tables = [_readers_table(task, read)]
    tables += [table for table in (_matched_table(data, task, read), _helped_table(task, read)) if table]
    return Section(f"readers-{task}", f"Reader study: {task_words(task).lower()}", words,
                   tuple(_similarity(data, task, read)), tuple(tables))  # fmt: skip


def calls_of(read: Readings, reader: str, *, with_model: bool) -> dict[str, tuple[int, bool, float | None]]:
    """Label, call and seconds of a reader by case."""
    return {
        f"{reading.cohort}/{row.case_id}": (row.labels[reading.task], reading.call, reading.seconds)
        for reading, row in read
        if (reading.reader, reading.with_model) == (reader, with_model)
    }


def _readers(read: Readings) -> list[str]:
    return list(dict.fromkeys(reading.reader for reading, _ in read))


def _readers_table(task: str, read: Readings) -> EvidenceTable:
    rows, records = [], []
    for reader in _readers(read):
        for words, helped in ((ALONE, False), (HELPED, True)):
            calls = calls_of(read, reader, with_model=helped)
            if not calls:
                continue
            score = reader_score([label for label, _, _ in calls.values()], [call for _, call, _ in calls.values()])
            shares = (score.sensitivity, score.specificity, score.accuracy)
            seconds = [s for _, _, s in calls.values() if s is not None]
            median = f"{np.median(seconds):.0f}" if seconds else "-"
            rows.append((reader, words, str(len(calls)), *map(_share_words, shares), median))
            records.append((task, reader, words, len(calls), *_numbers(shares),
                            float(np.median(seconds)) if seconds else None))  # fmt: skip
    rows += _mean_rows(read)
    return EvidenceTable(
        f"readers-{task}",
        f"{task_words(task)}: the readers",
        ("Reader", "Reading", "Cases", "Sensitivity", "Specificity", "Accuracy", "Median time (s)"),
        tuple(rows),
        ("task", "reader", "reading", "cases",
         *(f"{name}{part}" for name in _MEASURES for part in ("", "_low", "_high")), "median_seconds"),
        tuple(records),
    )  # fmt: skip


def _mean_rows(read: Readings) -> list[tuple[str, ...]]:
    """Mean of the readers, each counting once."""
    found = []
    for words, helped in ((ALONE, False), (HELPED, True)):
        parts = [part for name in _readers(read) if (part := calls_of(read, name, with_model=helped))]
        if len(parts) > 1:
            scores = [reader_score([c[0] for c in part.values()], [c[1] for c in part.values()]) for part in parts]
            means = [np.mean([getattr(score, name).value for score in scores]) for name in _MEASURES]
            found.append((f"Mean of {len(parts)} readers", words, "", *(f"{mean:.3f}" for mean in means), ""))
    return found


def _matched_table(data: StudyData, task: str, read: Readings) -> EvidenceTable | None:
    scores = _model_scores(data, task, read)
    rows, records = [], []
    for reader in _readers(read):
        calls = calls_of(read, reader, with_model=False)
        shared = [case for case in calls if case in scores]
        labels = [calls[case][0] for case in shared]
        given = [scores[case] for case in shared]
        called = [calls[case][1] for case in shared]
        try:
            found = {
                "sensitivity": matched_sensitivity(labels, given, called),
                "specificity": matched_specificity(labels, given, called),
            }
        except UndefinedMeasureError:
            continue
        rows.append((reader, str(len(shared)), *(cell for item in found.values() for cell in _matched_words(item))))
        records += [(task, data.models[0], reader, name, len(shared), item.threshold, item.model, item.reader,
                     item.test.first_only, item.test.second_only, item.test.p)
                    for name, item in found.items()]  # fmt: skip
    if not rows:
        return None
    return EvidenceTable(
        f"readers-{task}-matched",
        f"{task_words(task)}: {data.models[0]} against each reader",
        ("Reader", "Cases", "Model's sensitivity at the reader's specificity", "Reader's sensitivity", "p",
         "Model's specificity at the reader's sensitivity", "Reader's specificity", "p"),
        tuple(rows),
        ("task", "model", "reader", "compared", "cases", "threshold", "model_value", "reader_value", "model_only",
         "reader_only", "p_mcnemar"),
        tuple(records),
    )  # fmt: skip


def _helped_table(task: str, read: Readings) -> EvidenceTable | None:
    rows, records = [], []
    for reader in _readers(read):
        alone, helped = (calls_of(read, reader, with_model=flag) for flag in (False, True))
        shared = [case for case in alone if case in helped]
        if not shared:
            continue
        before = np.array([alone[case][0] == alone[case][1] for case in shared])
        after = np.array([helped[case][0] == helped[case][1] for case in shared])
        test = mcnemar(after, before)
        times = _times(alone, helped, shared)
        rows.append(
            (reader, str(len(shared)), f"{before.mean():.3f}", f"{after.mean():.3f}", _test_words(test), *times)
        )
        records.append((task, reader, len(shared), float(before.mean()), float(after.mean()), test.first_only,
                        test.second_only, test.p, *_time_numbers(alone, helped, shared)))  # fmt: skip
    if not rows:
        return None
    return EvidenceTable(
        f"readers-{task}-helped",
        f"{task_words(task)}: readers without and with the model",
        ("Reader", "Cases", "Accuracy without", "Accuracy with", "p (McNemar)", "Median seconds without, with",
         "p (Wilcoxon)"),
        tuple(rows),
        ("task", "reader", "cases", "accuracy_without", "accuracy_with", "right_only_with", "right_only_without",
         "p_mcnemar", "seconds_without", "seconds_with", "p_wilcoxon"),
        tuple(records),
    )  # fmt: skip


def _similarity(data: StudyData, task: str, read: Readings) -> list[EvidenceFigure]:
    names = _readers(read)
    observers = [{case: float(call) for case, (_, call, _) in calls_of(read, name, with_model=False).items()}
                 for name in names]  # fmt: skip
    model = _model_calls(data, task, read)
    if model:
        names, observers = [*names, data.models[0]], [*observers, model]
    cases = sorted({case for observer in observers for case in observer})
    table = [[observer.get(case, float("nan")) for case in cases] for observer in observers]
    if len(names) < 2 or not cases:
        return []
    _, kappa = similarity(table)
    if np.isnan(kappa).all():
        return []
    caption = f"{task_words(task)}: agreement of observers in pairs (Cohen's kappa), readers without the model's help."
    return [EvidenceFigure(f"readers-{task}-{slug('similarity')}", caption,
                           similarity_figure(names, kappa, "Cohen's kappa"))]  # fmt: skip


def _model_items(data: StudyData, task: str, read: Readings) -> list[ModelScores]:
    cohorts = dict.fromkeys(reading.cohort for reading, _ in read)
    return [item for cohort in cohorts for item in data.main(task, cohort) if item.key.model == data.models[0]]


def _model_scores(data: StudyData, task: str, read: Readings) -> dict[str, float]:
    return {case: float(score) for item in _model_items(data, task, read)
            for case, score in zip(item.case_ids, item.score, strict=True)}  # fmt: skip


def _model_calls(data: StudyData, task: str, read: Readings) -> dict[str, float]:
    """The model's calls at its threshold of the validation split, else of the cohort."""
    found: dict[str, float] = {}
    for item in _model_items(data, task, read):
        cuts = thresholds(data, task, item)
        cut = cuts.get(VALIDATION, cuts.get(OWN))
        if cut is not None:
            found |= {case: float(score >= cut) for case, score in zip(item.case_ids, item.score, strict=True)}
    return found


def _paired_seconds(alone: Calls, helped: Calls, shared: Sequence[str]) -> npt.NDArray[np.float64]:
    both = [(alone[case][2], helped[case][2]) for case in shared]
    return np.array([(a, b) for a, b in both if a is not None and b is not None], dtype=float).reshape(-1, 2)


def _times(alone: Calls, helped: Calls, shared: Sequence[str]) -> tuple[str, str]:
    without, with_model, p = _time_numbers(alone, helped, shared)
    if without is None or with_model is None or p is None:
        return "-", "-"
    return f"{without:.0f}, {with_model:.0f}", p_words(p)


def _time_numbers(alone: Calls, helped: Calls, shared: Sequence[str]) -> Times:
    seconds = _paired_seconds(alone, helped, shared)
    if not len(seconds):
        return None, None, None
    found = reading_times(seconds[:, 0], seconds[:, 1])
    return found.without, found.with_model, found.p


def _matched_words(item: MatchedComparison) -> tuple[str, str, str]:
    return f"{item.model:.3f}", f"{item.reader:.3f}", _test_words(item.test)


def _test_words(test: McNemarTest) -> str:
    return f"{p_words(test.p)} ({test.first_only} : {test.second_only})"


def _share_words(share: Share) -> str:
    return range_words(share.value, share.low, share.high)


def _numbers(shares: Sequence[Share]) -> list[Cell]:
    return [value for share in shares for value in (share.value, share.low, share.high)]
