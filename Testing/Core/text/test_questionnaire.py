"""The questionnaire and the prompts as shipped data."""

import pytest

from RenalCLIPCore.errors import InputError
from RenalCLIPCore.text.prompts import processing_prompts, zero_shot_prompts
from RenalCLIPCore.text.questionnaire import questionnaire, read_questionnaire


def test_the_questions_have_the_papers_numbers_of_options():
    assert questionnaire().class_counts == (4, 4, 5, 2, 5, 4, 7, 3, 7, 4, 3, 5, 5, 3)
    assert len(set(questionnaire().names)) == 14


def test_a_question_shows_its_lettered_options():
    assert questionnaire().questions[9].prompt() == (
        "10. How does the renal mass enhance in the arterial (corticomedullary) phase? A) No enhancement. "
        "B) Mild enhancement. C) Marked enhancement. D) Not mentioned or no mass."
    )


def test_answers_come_in_words():
    words = questionnaire().words((None, *questionnaire().no_mass[1:]))
    assert words["number"] == "don't know"
    assert words["exophytic"] == "Not described"


@pytest.mark.parametrize("content", ["", "version: '1'\nquestions: []", "{", "version: 1\nquestions: [{name: 3}]"])
def test_a_damaged_questionnaire_is_refused(tmp_path, content):
    path = tmp_path / "questions.yaml"
    path.write_text(content)
    with pytest.raises(InputError):
        read_questionnaire(path)


def test_each_class_has_a_hundred_different_zero_shot_prompts():
    tasks = zero_shot_prompts()
    assert {task: prompts.classes for task, prompts in tasks.items()} == {
        "malignancy": ("benign", "malignant"),
        "aggressiveness": ("indolent", "aggressive"),
    }
    for prompts in tasks.values():
        for texts in prompts.texts:
            assert len(set(texts)) == 100
            assert not any("{" in text for text in texts)
    assert tasks["malignancy"].texts[0][1] == (
        "A soft tissue mass that is benign, presenting as a round cystic lesion with a clear boundary and no "
        "enhancement after contrast is visible in the kidney."
    )


def test_the_processing_prompts_take_their_places_and_keep_their_braces():
    prompts = processing_prompts()
    asked = prompts.partition.format(findings="F {x}", impression="I")
    assert '{"findings": {"left":' in asked
    assert "F {x}" in asked
    assert prompts.extraction.format(side="left", questions="Q", findings="F", impression="I").count("Q") >= 1
    assert '{"findings": "...", "impression": "..."}' in prompts.translation.format(findings="", impression="")
