"""Generated reports: language measures against the radiologist's report, agreement of the attributes in both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from ..cohort.table import CohortRow
from ..errors import RenalCLIPError, UndefinedMeasureError
from ..evaluation.agreement import UNKNOWN, Agreement, agreement
from ..evaluation.bootstrap import Interval
from ..evaluation.language import language_counts, weighted_bleu, weighted_mean
from ..text.extraction import read_answers
from ..text.questionnaire import questionnaire
from .evidence import Cell, EvidenceTable, Section, interval_words, range_words
from .prediction_table import GeneratedReport
from .study_data import StudyData
from .task_measures import interval_or_none, resampled

Pairs = Sequence[tuple[GeneratedReport, CohortRow]]
BLEU_ORDERS = (1, 2, 4)
STATED, TRUE = "the radiologist's report", "the truth"
_UNREADABLE = -2


@dataclass(frozen=True)
class ReportScore:
    """One measure of one model's reports.

    Attributes:
        cohort: Name of the cohort.
        model: Name of the model.
        measure: For instance ``BLEU-4``.
        reports: Reports compared.
        value: With its interval.
    """

    cohort: str
    model: str
    measure: str
    reports: int
    value: Interval | None


def report_section(data: StudyData) -> Section:
    """Tables of language and of attributes, per cohort with the models side by side."""
    words = (
        "Generated reports against the radiologist's, findings and impression as one text. BLEU is that of the corpus "
        "(not smoothed); METEOR (NLTK, exact and stem matches, without WordNet's synonyms) and ROUGE-L (F measure) are "
        "means of the reports. 95 % intervals: bootstrap over patients. Answers to the fourteen questions are read "
        "from both texts by the same rules.",
    )
    language = [score for (cohort, model), pairs in data.reports.items() for score in language_scores(
        data, cohort, model, pairs)]  # fmt: skip
    tables = [_language_table(language)] if language else []
    tables += [table] if (table := _attribute_table(data)) else []
    return Section("reports", "Report generation", words, (), tuple(tables))


def language_scores(data: StudyData, cohort: str, model: str, pairs: Pairs) -> list[ReportScore]:
    """Language measures over the reports whose row has a reference report."""
    known = [(made, row) for made, row in pairs if _text(row.findings, row.impression)]
    if not known:
        return []
    generated = [_text(made.findings, made.impression) for made, _ in known]
    counts = language_counts(generated, [_text(row.findings, row.impression) for _, row in known])
    weights = resampled(tuple(row.patient for _, row in known), data.settings.resamples, data.settings.seed)
    measures = {f"BLEU-{order}": partial(weighted_bleu, counts, order) for order in BLEU_ORDERS}
    measures |= {"METEOR": partial(weighted_mean, counts.meteor), "ROUGE-L": partial(weighted_mean, counts.rouge_l)}
    return [
        ReportScore(cohort, model, name, len(known), interval_or_none(measure, weights))
        for name, measure in measures.items()
    ]


def attribute_agreement(data: StudyData, pairs: Pairs, against: str) -> dict[str, Agreement]:
    """Agreement of the answers read from generated reports, per question and over all, where any is known.

    Args:
        data: Of the study.
        pairs: Generated reports with their rows.
        against: ``STATED``: the answers of the row's report; ``TRUE``: the phantom's.
    """
    answers = np.array([_answers(made.findings, made.impression) for made, _ in pairs])
    references = np.array([_references(row, against) for _, row in pairs])
    patients = [row.patient for _, row in pairs]
    found = {}
    for place, name in enumerate(questionnaire().names):
        try:
            found[name] = agreement(answers[:, place], references[:, place], patients,
                                    resamples=data.settings.resamples, seed=data.settings.seed)  # fmt: skip
        except UndefinedMeasureError:
            continue
    if found:
        repeated = [patient for patient in patients for _ in questionnaire().names]
        whole = agreement(answers.ravel(), references.ravel(), repeated,
                          resamples=data.settings.resamples, seed=data.settings.seed)  # fmt: skip
        # each question has a commonest answer of its own
        commonest = sum(item.commonest * item.samples for item in found.values()) / whole.samples
        found["all questions"] = replace(whole, commonest=commonest)
    return found


def _language_table(scores: Sequence[ReportScore]) -> EvidenceTable:
    models = list(dict.fromkeys(score.model for score in scores))
    rows: list[tuple[str, ...]] = []
    for cohort in dict.fromkeys(score.cohort for score in scores):
        mine = [score for score in scores if score.cohort == cohort]
        rows.append((f"{cohort} ({max(score.reports for score in mine)} reports)",))
        for measure in dict.fromkeys(score.measure for score in mine):
            cells = {score.model: score for score in mine if score.measure == measure}
            rows.append((measure, *(interval_words(cells[m].value) if m in cells else "-" for m in models)))
    records: list[tuple[Cell, ...]] = []
    for score in scores:
        i = score.value
        numbers = (i.value, i.low, i.high, i.resamples) if i else (None, None, None, 0)
        records.append((score.cohort, score.model, score.measure, score.reports, *numbers))
    return EvidenceTable(
        "reports-language", "Language measures", ("Measure", *models), tuple(rows),
        ("cohort", "model", "measure", "reports", "value", "low", "high", "resamples"), tuple(records),
    )  # fmt: skip


def _attribute_table(data: StudyData) -> EvidenceTable | None:
    rows: list[tuple[str, ...]] = []
    records: list[tuple[Cell, ...]] = []
    models = list(dict.fromkeys(model for _, model in data.reports))
    for cohort in dict.fromkeys(cohort for cohort, _ in data.reports):
        for against in (STATED, TRUE):
            found = {model: attribute_agreement(data, data.reports[cohort, model], against)
                     for model in models if (cohort, model) in data.reports}  # fmt: skip
            names = dict.fromkeys(name for answers in found.values() for name in answers)
            if names:
                rows.append((f"{cohort}, against {against}",))
            for name in names:
                rows.append((name.replace("_", " "), *(_share(found.get(m, {}).get(name)) for m in models)))
                for model, answers in found.items():
                    if value := answers.get(name):
                        share = value.share
                        records.append((cohort, model, name, against, value.samples, share.value, share.low,
                                        share.high, value.commonest))  # fmt: skip
    if not rows:
        return None
    return EvidenceTable(
        "reports-attributes",
        "Clinical agreement: attributes found in the generated reports",
        ("Question", *models),
        tuple(rows),
        ("cohort", "model", "question", "against", "reports", "share", "low", "high", "commonest_answer"),
        tuple(records),
        ("Share of equal answers with 95 % intervals, then what always giving the commonest answer attains. A question "
         "that a generated report leaves open, or a report that cannot be read, agrees with nothing.",),
    )  # fmt: skip


def _share(value: Agreement | None) -> str:
    if value is None:
        return "-"
    return f"{range_words(value.share.value, value.share.low, value.share.high, 2)}; {value.commonest:.2f}"


def _text(findings: str, impression: str) -> str:
    return f"{findings}\n{impression}".strip()


def _answers(findings: str, impression: str) -> list[int]:
    try:
        answers = read_answers(findings, impression)
    except RenalCLIPError:  # another language, or no single report
        return [_UNREADABLE] * len(questionnaire().names)
    return [UNKNOWN if answer is None else answer for answer in answers]


def _references(row: CohortRow, against: str) -> list[int]:
    answers = row.attributes if against == STATED else row.true_attributes
    return [UNKNOWN if answer is None else answer for answer in answers]
