"""Free-text reports of a phantom, in English and Chinese, written from its true findings.

A report leaves things out and is now and then wrong: what it says of each question is kept as the stated answers beside
the true ones. The phases that a patient lacks are not spoken of. Every draw has a stream of its own, so that reports
change nothing else of a phantom.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..imaging.study import Phase
from ..text.partition import SideText
from ..text.questionnaire import questionnaire
from .findings import Answers, KidneyFindings, kidney_findings, opinion_class, size_class
from .histology import Histology
from .patient import LEFT, RIGHT, PhantomPatient
from .report_words import LANGUAGES, Phrases, Statement, phrases
from .streams import stream

# Share of reports that do not speak of a question's subject, by its number, and of those that are wrong about one.
OMITTED: Mapping[int, float] = {
    2: 0.04, 3: 0.03, 5: 0.25, 6: 0.15, 7: 0.15, 8: 0.35, 9: 0.06, 10: 0.2, 11: 0.2, 12: 0.06, 14: 0.4,
}  # fmt: skip
MISTAKEN = 0.03
CYSTS_OMITTED = 0.15
OPINION_SD = 0.7
# Options that are never said by mistake.
_NEVER_SAID = {7: (4,), 9: (0, 5)}


@dataclass(frozen=True)
class KidneyReport:
    """The report of one kidney.

    Attributes:
        side: Patient's side.
        true: The fourteen true answers.
        stated: What the text says; omissions are "not mentioned".
        text: Findings and impression by language (``en``, ``zh``).
    """

    side: str
    true: Answers
    stated: Answers
    text: Mapping[str, SideText]


@dataclass(frozen=True)
class PhantomReport:
    """A patient's report: each kidney's, and by language the whole one, in which they stand among other organs."""

    left: KidneyReport
    right: KidneyReport
    whole: Mapping[str, SideText]

    def kidney(self, side: str) -> KidneyReport:
        """The report of a side."""
        return {LEFT: self.left, RIGHT: self.right}[side]


def write_report(
    patient: PhantomPatient,
    phases: Sequence[Phase] = tuple(Phase),
    prior: Mapping[Histology, float] | None = None,
    wording: Mapping[str, Phrases] | None = None,
) -> PhantomReport:
    """Write the report of a patient.

    Args:
        patient: The phantom.
        phases: Phases that the reader has.
        prior: Weights of the histologies that the patient was drawn with.
        wording: Phrases by language; the shipped ones when None.
    """
    said = wording or {language: phrases(language) for language in LANGUAGES}
    plans = {side: _plan(patient, side, phases, prior) for side in (LEFT, RIGHT)}
    shared = stream(patient.seed, "report.both")
    both = int(shared.integers(8))  # an index into the statements about both kidneys; beyond them, none is made
    texts: dict[str, dict[str, tuple[list[str], list[str]]]] = {side: {} for side in plans}
    whole = {}
    for language, words in said.items():
        paired = words.document["both"] if len(patient.kidneys) == 2 else ()
        bilateral = [str(item) for item in paired][both : both + 1]
        for side, plan in plans.items():
            g = stream(patient.seed, f"report.{side}.{language}")
            findings = [words.sentence(item, g) for item in plan.findings]
            impression = [words.sentence(item, g) for item in plan.impression]
            texts[side][language] = (findings, impression)
        whole[language] = _whole(patient.seed, words, [texts[side][language] for side in plans], bilateral)
        for side in plans:
            texts[side][language][0].extend(bilateral)
    kidneys = [
        KidneyReport(
            side, plan.true, plan.stated, {name: _side_text(words, *texts[side][name]) for name, words in said.items()}
        )
        for side, plan in plans.items()
    ]
    return PhantomReport(kidneys[0], kidneys[1], whole)


@dataclass(frozen=True)
class _Plan:
    """What one kidney's report says, before it is put into words."""

    true: Answers
    stated: Answers
    findings: tuple[Statement, ...]
    impression: tuple[Statement, ...]


def _plan(
    patient: PhantomPatient, side: str, phases: Sequence[Phase], prior: Mapping[Histology, float] | None
) -> _Plan:
    found = kidney_findings(patient, side, prior)
    g = stream(patient.seed, f"report.{side}")
    if not patient.has_kidney(side):
        return _Plan(found.answers, found.answers, (Statement("no_kidney", side=side),), ())
    if found.main is None:
        impression = (Statement("normal_impression", side=side),) if g.uniform() < 0.4 else ()
        return _Plan(found.answers, questionnaire().no_mass, (Statement("normal", side=side),), impression)
    if found.simple_cyst:
        return _cyst_plan(found, g)
    stated, size_mm = _stated(found, phases, g)
    lead, body = _statements(found, stated, size_mm, g)
    stated, further = _further(found, stated, g)
    if stated[8] == 0 and stated[9] == questionnaire().no_mass[9]:
        stated = (*stated[:9], 0, *stated[10:])  # no enhancement at all leaves none in the arterial phase
    opinion = Statement("opinion", f"{stated[11]}.{stated[12]}", side)
    aside = _aside(found, stated, g)
    order = [int(index) for index in g.permutation(len(body) + len(aside))]
    rest = [*body, *aside]
    statements = (lead, *(rest[index] for index in order), *further)
    return _Plan(found.answers, stated, statements, (opinion,))


def _stated(
    found: KidneyFindings, phases: Sequence[Phase], g: np.random.Generator
) -> tuple[Answers, tuple[int, int] | None]:
    """What the report says of each question, and the size it gives."""
    assert found.main is not None
    questions = questionnaire().questions
    stated = list(found.answers)
    omitted = set()
    for question in questions:
        share, slip, other = g.uniform(), g.uniform(), int(g.integers(99))
        if share < OMITTED.get(question.number, 0.0) or stated[question.number - 1] is None:
            omitted.add(question.number)
        elif slip < MISTAKEN and question.number in (2, 5, 6, 7, 8, 9, 10, 11, 14):
            stated[question.number - 1] = _another(question.number, stated[question.number - 1], other)
    omitted |= {7} if Phase.N not in phases and stated[6] != 4 else set()
    omitted |= {10} if Phase.A not in phases or 9 in omitted else set()
    error = 1.0 + 0.03 * float(g.normal())
    size_mm = (round(found.main.long_mm * error), round(found.main.short_mm * error))
    size_mm = (max(size_mm), min(size_mm))
    stated[2] = size_class(size_mm[0])
    stated[11], stated[12] = _opinion(found, g)
    for number in omitted:
        stated[number - 1] = questions[number - 1].absent
    if 12 in omitted:
        stated[12] = questions[12].absent
    return tuple(stated), None if 3 in omitted else size_mm


def _another(number: int, answer: int | None, draw: int) -> int:
    question = questionnaire().questions[number - 1]
    barred = (question.absent, answer, *_NEVER_SAID.get(number, ()))
    choices = [option for option in range(len(question.options)) if option not in barred]
    return choices[draw % len(choices)]


def _opinion(found: KidneyFindings, g: np.random.Generator) -> tuple[int, int]:
    """A reader's judgement: the best possible one with an error on the scale of log odds."""
    probability = float(np.clip(found.malignant or 0.0, 1e-4, 1 - 1e-4))
    odds = np.log(probability / (1 - probability)) + OPINION_SD * g.normal()
    option = opinion_class(float(1 / (1 + np.exp(-odds))))
    return option, 0 if option in (1, 3) else found.benign_nature


def _statements(
    found: KidneyFindings, stated: Answers, size_mm: tuple[int, int] | None, g: np.random.Generator
) -> tuple[Statement, list[Statement]]:
    """The sentence that brings the lesion in, and those that go on about it."""
    absent = questionnaire().no_mass
    in_lead = g.uniform() < 0.5
    shape = stated[4] if in_lead and stated[4] != absent[4] else None
    lead = Statement(
        "lead" if size_mm else "lead_unsized", side=found.side, place=stated[1], size_mm=size_mm,
        size_style=int(g.integers(4)), mass=stated[5], shape=shape,
    )  # fmt: skip
    told = {4: "shape", 6: "density", 7: "necrosis", 8: "enhancement", 9: "arterial", 10: "margin", 13: "invasion"}
    if shape is not None:
        del told[4]
    body = [Statement(key, str(stated[index])) for index, key in told.items() if stated[index] != absent[index]]
    if found.answers[3] is not None and (stated[3] == 0 or g.uniform() < 0.3):
        body.append(Statement("exophytic", str(stated[3])))
    return lead, body


def _aside(found: KidneyFindings, stated: Answers, g: np.random.Generator) -> list[Statement]:
    """What no question asks for."""
    assert found.main is not None
    said = g.uniform(size=4)
    statements = []
    if found.calcified and said[0] < 0.9:
        statements.append(Statement("calcification"))
    if abs(found.main.front_mm) > 10 and said[1] < 0.4:
        statements.append(Statement("face", str(int(found.main.front_mm < 0))))
    if found.thrombus and said[2] < 0.9:
        statements.append(Statement("thrombus"))
    elif said[2] < 0.2:
        statements.append(Statement("no_thrombus"))
    if found.course is not None and said[3] < 0.5 and stated[8] not in (0, questionnaire().no_mass[8]):
        statements.append(Statement("course", str(found.course)))
    return statements


def _further(found: KidneyFindings, stated: Answers, g: np.random.Generator) -> tuple[Answers, list[Statement]]:
    """Sentences about the other lesions, and the number of lesions that the report gives."""
    statements = []
    for extent, tumour in found.further:
        if tumour or g.uniform() >= CYSTS_OMITTED:
            key = "further_tumour" if tumour else "further_cyst"
            size = (max(round(extent.long_mm), 2), max(round(extent.short_mm), 2))
            statements.append(
                Statement(key, side=found.side, place=extent.pole, size_mm=size, size_style=int(g.integers(2, 4)))
            )
    return (int(bool(statements)), *stated[1:]), statements


def _cyst_plan(found: KidneyFindings, g: np.random.Generator) -> _Plan:
    """A kidney with nothing but simple cysts: a sentence, and mostly a word in the impression."""
    assert found.main is not None
    several, described = bool(found.further), bool(g.uniform() < 0.5)
    size = (max(round(found.main.long_mm), 2), max(round(found.main.short_mm), 2))
    lead = Statement(
        "simple_cysts" if several else "simple_cyst", str(int(described)), side=found.side, place=found.main.pole,
        size_mm=size, size_style=int(g.integers(4)),
    )  # fmt: skip
    stated: list[int | None] = list(questionnaire().no_mass)
    stated[:3] = [int(several), found.main.pole, size_class(size[0])]
    stated[5], stated[11], stated[12] = 0, 0, 2
    if described:
        stated[4], stated[6], stated[8], stated[9] = 0, 0, 0, 0
    impression = (Statement("opinion", "0.2", found.side),) if g.uniform() < 0.7 else ()
    return _Plan(found.answers, tuple(stated), (lead,), impression)


def _whole(
    seed: int, words: Phrases, kidneys: Sequence[tuple[list[str], list[str]]], bilateral: Sequence[str]
) -> SideText:
    """The whole report: other organs before and after the kidneys, in either order of sides."""
    g = stream(seed, "report.organs")
    organs = [str(item) for item in words.document["organs"]]
    shown = [organ for organ, drawn in zip(organs, g.uniform(size=len(organs)), strict=True) if drawn < 0.75]
    cut = int(g.integers(1, 4))
    order = kidneys if g.uniform() < 0.5 else kidneys[::-1]
    findings = [*shown[:cut], *(item for kidney in order for item in kidney[0]), *bilateral, *shown[cut:]]
    further = [str(item) for item in words.document["organ_impression"]]
    told = [item for item, organ in zip(further, organs[-len(further) :], strict=True) if organ in shown]
    impression = [*(item for kidney in order for item in kidney[1]), *told]
    return SideText(words.joined(findings), words.numbered(impression))


def _side_text(words: Phrases, findings: list[str], impression: list[str]) -> SideText:
    return SideText(words.joined(findings), words.joined(impression))
