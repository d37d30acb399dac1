"""``renalclip report evaluate``: how well the rules read reports whose content is known."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from ..evaluation.agreement import Agreement

COLUMNS = (
    "question", "kidneys", "read_as_stated", "read_as_stated_low", "read_as_stated_high", "read_as_true",
    "read_as_true_low", "read_as_true_high", "stated_as_true", "commonest",
)  # fmt: skip
Answers = tuple[int | None, ...]


@dataclass(frozen=True)
class _Case:
    """One kidney with a mass: its patient, and what was read, stated and is true."""

    patient: int
    read: Answers
    stated: Answers
    true: Answers


@dataclass(frozen=True)
class ReportEvaluate:
    """Agreement of the rules' answers with phantom reports: with what each states, and with what is true.

    Draws patients, writes their reports (no images), parts the whole report and reads each kidney that has a mass.
    Writes agreement.csv and agreement.md. Reports omit and err: reading one perfectly is not the truth.
    """

    name: ClassVar[str] = "report evaluate"
    patients: int
    seed: int
    centre: str
    out: Path
    resamples: int
    phrases: Path | None

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument("--patients", type=int, default=300, help="number of phantom patients (default: 300)")
        parser.add_argument("--seed", type=int, required=True, help="seed, as of renalclip phantom cohort")
        parser.add_argument("--centre", default="internal", help="internal, external or other (default: internal)")
        parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the tables")
        parser.add_argument("--phrases", type=Path, metavar="YAML", help="other English phrases than the shipped ones")
        parser.add_argument("--resamples", type=int, default=1000, help="bootstrap resamples (default: 1000)")

    def run(self) -> None:
        """Draw, read, compare, write."""
        from ..output import staged
        from ..text.questionnaire import questionnaire

        cases = self._cases()
        rows = [self._compared(question.name, index, cases) for index, question in enumerate(questionnaire().questions)]
        lines = _markdown(rows)
        with staged(self.out) as stage:
            table = "\n".join(",".join(row) for row in [COLUMNS, *rows]) + "\n"
            (stage / "agreement.csv").write_text(table, encoding="utf-8")
            (stage / "agreement.md").write_text(lines, encoding="utf-8")
        print(lines, end="")

    def _cases(self) -> list[_Case]:
        """Each kidney with a mass."""
        from ..phantom.cohort import CohortPlan, planned_patient, planned_phases
        from ..phantom.report_words import phrases, read_phrases
        from ..phantom.reports import write_report
        from ..progress import ProgressLine
        from ..text.partition import SIDES, part_report
        from ..text.processing import extract
        from ..text.questionnaire import questionnaire

        plan, line = CohortPlan(self.patients, self.seed, site=self.centre, split="test", phases=None), ProgressLine()
        wording = {"en": read_phrases(self.phrases, "en") if self.phrases else phrases("en")}
        cases = []
        for index in range(self.patients):
            report = write_report(planned_patient(plan, index), planned_phases(plan, index), wording=wording)
            parted = part_report(report.whole["en"].findings, report.whole["en"].impression)
            for side in SIDES:
                kidney, text = report.kidney(side), parted.side(side)
                if kidney.true != questionnaire().no_mass:
                    read = extract(text, side).value or (None,) * len(kidney.true)
                    cases.append(_Case(index, read, kidney.stated, kidney.true))
            line((index + 1) / self.patients, f"patient {index + 1} of {self.patients}")
        line(1.0, "")
        return cases

    def _compared(self, name: str, index: int, cases: list[_Case]) -> tuple[str, ...]:
        patients = [case.patient for case in cases]
        read = [_known(case.read[index]) for case in cases]
        stated = [_known(case.stated[index]) for case in cases]
        true = [_known(case.true[index]) for case in cases]
        as_stated = self._agreement(read, stated, patients)
        as_true = self._agreement(read, true, patients)
        writer = self._agreement(stated, true, patients)
        return (
            name, str(len(cases)), *_three(as_stated), *_three(as_true),
            f"{writer.share.value:.3f}", f"{as_true.commonest:.3f}",
        )  # fmt: skip

    def _agreement(self, answers: list[int], references: list[int], patients: list[int]) -> Agreement:
        from ..evaluation.agreement import agreement

        return agreement(answers, references, patients, resamples=self.resamples, seed=0)


def _known(answer: int | None) -> int:
    return -1 if answer is None else answer


def _three(value: Agreement) -> tuple[str, str, str]:
    return f"{value.share.value:.3f}", f"{value.share.low:.3f}", f"{value.share.high:.3f}"


def _markdown(rows: list[tuple[str, ...]]) -> str:
    head = "| question | kidneys | read as stated | read as true | stated as true | commonest answer |"
    lines = [head, "| --- | --- | --- | --- | --- | --- |"]
    for name, kidneys, stated, low, high, true, true_low, true_high, writer, commonest in rows:
        lines.append(
            f"| {name} | {kidneys} | {stated} ({low}-{high}) | {true} ({true_low}-{true_high}) | {writer} "
            f"| {commonest} |"
        )
    return "\n".join(lines) + "\n"


COMMANDS: list[type] = [ReportEvaluate]
