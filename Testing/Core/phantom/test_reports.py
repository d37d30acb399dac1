"""The phantom's reports: true to the shapes, seeded, with omissions and mistakes, in two languages."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from RenalCLIPCore.errors import InputError
from RenalCLIPCore.imaging.study import Phase
from RenalCLIPCore.phantom.anatomy import draw_patient
from RenalCLIPCore.phantom.findings import kidney_findings, opinion_class, size_class
from RenalCLIPCore.phantom.histology import Histology
from RenalCLIPCore.phantom.lesions import position
from RenalCLIPCore.phantom.patient import LEFT, RIGHT, Lesion
from RenalCLIPCore.phantom.report_words import phrases, read_phrases
from RenalCLIPCore.phantom.reports import write_report
from RenalCLIPCore.phantom.shapes import Blob, Waves
from RenalCLIPCore.text.extraction import read_answers
from RenalCLIPCore.text.language import language
from RenalCLIPCore.text.partition import part_report
from RenalCLIPCore.text.questionnaire import questionnaire

NAMES = questionnaire().names
SEEDS = range(700, 712)


@pytest.fixture(scope="module")
def patients():
    return [draw_patient(seed) for seed in SEEDS]


def ball(kidney, along, radius, side, label="cyst", depth=0.0):
    point, normal = position(kidney, along, 0.0)
    centre = tuple(np.asarray(point) - depth * np.asarray(normal))
    surface = Waves.draw(np.random.default_rng(0), 1.3, 16)
    shape = Blob(centre, (radius,) * 3, ((1.0, 0, 0), (0, 1.0, 0), (0, 0, 1.0)), 0.0, surface)
    return Lesion(side, label, shape, 6.0, (1.0, 2.0, 2.0))


def test_a_ball_has_the_answers_of_its_place_and_size():
    patient = draw_patient(1, lesion=False)
    kidney = patient.kidney(LEFT)
    upper = patient.with_lesions(ball(kidney, 0.8, 25.0, LEFT))
    found = kidney_findings(upper, LEFT)
    answers = dict(zip(NAMES, found.answers, strict=True))
    assert found.main.long_mm == pytest.approx(50.0, abs=0.5)
    assert (answers["location"], answers["size"], answers["exophytic"], answers["number"]) == (0, 1, 0, 0)
    assert (answers["composition"], answers["nature"], answers["malignancy"]) == (0, 2, 0)
    two = patient.with_lesions(ball(kidney, -0.8, 25.0, LEFT), ball(kidney, 0.9, 6.0, LEFT))
    answers = dict(zip(NAMES, kidney_findings(two, LEFT).answers, strict=True))
    assert (answers["location"], answers["number"]) == (2, 1)
    deep = patient.with_lesions(ball(kidney, 0.0, 8.0, LEFT, depth=12.0))
    answers = dict(zip(NAMES, kidney_findings(deep, LEFT).answers, strict=True))
    assert (answers["location"], answers["exophytic"]) == (1, 1)


def test_a_kidney_without_a_lesion_has_no_mass():
    patient = draw_patient(1, lesion=False)
    report = write_report(patient)
    for side in (LEFT, RIGHT):
        assert report.kidney(side).true == report.kidney(side).stated == questionnaire().no_mass
        assert report.kidney(side).text["en"].findings


def test_options_change_at_their_edges():
    assert [size_class(value) for value in (40.0, 40.1, 70.0, 70.1, 100.1)] == [0, 1, 1, 2, 3]
    assert [opinion_class(value) for value in (0.05, 0.3, 0.7, 0.95)] == [0, 2, 3, 1]


def test_the_same_seed_writes_the_same_report_and_another_seed_another(patients):
    again = write_report(draw_patient(SEEDS[0]))
    assert again == write_report(patients[0])
    assert again.whole["en"] != write_report(replace(patients[0], seed=5)).whole["en"]


def test_each_language_is_what_it_says(patients):
    for patient in patients[:4]:
        report = write_report(patient)
        assert language(report.whole["en"].findings) == "en"
        assert language(report.whole["zh"].findings) == "zh"


def test_missing_phases_are_not_spoken_of():
    for seed in SEEDS:
        text = write_report(draw_patient(seed), (Phase.V,)).whole["en"].findings
        assert "arterial" not in text
        assert "corticomedullary" not in text
        assert "unenhanced" not in text


def test_reports_omit_and_err_now_and_then():
    kidneys = []
    for seed in range(700, 760):
        patient = draw_patient(seed, histology=Histology.CLEAR_CELL_LOW)
        kidneys.append(write_report(patient).kidney(patient.primary.side))
    absent = questionnaire().no_mass
    index = NAMES.index("necrosis")
    omitted = np.mean([kidney.stated[index] == absent[index] for kidney in kidneys])
    assert 0.15 < omitted < 0.6
    wrong = [
        sum(s not in (t, a) for s, t, a in zip(kidney.stated, kidney.true, absent, strict=True)) for kidney in kidneys
    ]
    assert 0 < np.mean(wrong) < 2


def test_rules_part_the_whole_report_and_read_what_it_states(patients):
    same = total = 0
    for patient in patients:
        report = write_report(patient)
        parted = part_report(report.whole["en"].findings, report.whole["en"].impression)
        for side in (LEFT, RIGHT):
            kidney = report.kidney(side)
            assert parted.side(side) == kidney.text["en"]
            read = read_answers(kidney.text["en"].findings, kidney.text["en"].impression)
            same += sum(a == b for a, b in zip(read, kidney.stated, strict=True))
            total += len(read)
    assert same / total > 0.97


def test_every_phrase_has_its_counterpart_in_the_other_language():
    english, chinese = phrases("en").document, phrases("zh").document
    assert english.keys() == chinese.keys()
    for key, entry in english.items():
        if isinstance(entry, dict):
            assert entry.keys() == chinese[key].keys(), key
    assert len(english["organs"]) == len(chinese["organs"])


def test_the_rules_read_another_manner_of_reporting_that_they_were_not_fitted_to(patients):
    wording = {"en": read_phrases(Path(__file__).parents[2] / "Data" / "other-report-phrases.yaml", "en")}
    assert wording["en"].document.keys() == phrases("en").document.keys()
    same = total = 0
    for patient in patients:
        report = write_report(patient, wording=wording)
        for side in (LEFT, RIGHT):
            kidney = report.kidney(side)
            read = read_answers(kidney.text["en"].findings, kidney.text["en"].impression)
            same += sum(a == b for a, b in zip(read, kidney.stated, strict=True))
            total += len(read)
    assert same / total > 0.9


@pytest.mark.parametrize("content", ["", "zh: {}", "en: 3", "{"])
def test_damaged_phrases_are_refused(tmp_path, content):
    (tmp_path / "phrases.yaml").write_text(content)
    with pytest.raises(InputError):
        read_phrases(tmp_path / "phrases.yaml", "en")
