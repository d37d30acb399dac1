"""The fourteen answers that rules read from English reports."""

import csv
import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from RenalCLIPCore.text.extraction import read_answers
from RenalCLIPCore.text.language import ReportLanguageError, ReportTooLongError
from RenalCLIPCore.text.prompts import zero_shot_prompts
from RenalCLIPCore.text.questionnaire import questionnaire
from Testing.Core.real_data import REAL_DATA

NAMES = questionnaire().names
FULL = (
    "There is a 4.5 x 3.9 cm round exophytic solid mass in the upper pole of the right kidney, hypodense on "
    "non-contrast images. It shows marked heterogeneous enhancement in the arterial phase and washout in the "
    "nephrographic phase. Central necrosis is present. Its margins are well defined. The renal sinus is not invaded. A "
    "further 9 mm simple cyst lies in the lower pole."
)
IMPRESSION = "Right renal mass, highly suspicious for renal cell carcinoma. Simple cyst."


def answers(findings, impression=""):
    return dict(zip(NAMES, read_answers(findings, impression), strict=True))


def test_a_full_report_answers_every_question():
    assert read_answers(FULL, IMPRESSION) == (1, 0, 1, 0, 0, 2, 0, 0, 4, 2, 0, 1, 0, 1)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "The right kidney is normal in size. No mass, cyst or stone is seen.",
        "A punctate high-density focus is seen in the right kidney, considered to be a calculus.",
        "Multiple dense nodules in the sinus of the left kidney. Considered to be renal stones.",
        "No focal lesion of the left kidney; no hydronephrosis.",
    ],
)
def test_without_a_mass_nothing_is_mentioned(text):
    assert read_answers(text, "") == questionnaire().no_mass


@pytest.mark.parametrize(
    ("text", "name", "option"),
    [
        ("A mass is seen in the left kidney.", "location", 3),
        ("A mass from the mid to the lower pole.", "location", None),
        ("A mass measuring 71 mm, 5 mm from the renal sinus.", "size", 2),
        ("A 6.8 cm mass, previously 7.2 cm.", "size", 1),
        ("A 112 x 98 x 105 mm mass.", "size", 3),
        ("An entirely endophytic mass that does not protrude.", "exophytic", 1),
        ("A lobulated soft tissue mass.", "shape", 3),
        ("A cystic lesion with an enhancing solid nodule.", "composition", 1),
        ("A mass with macroscopic fat.", "density", 4),
        ("A mass that invades the perirenal fat.", "density", 6),
        ("A nodule of mixed density.", "density", 5),
        ("A mass without necrosis.", "necrosis", 1),
        ("A mass with a central non-enhancing area.", "necrosis", 0),
        ("A cyst with enhancing septa.", "enhancement", 5),
        ("A cyst without enhancement.", "arterial_enhancement", 0),
        ("A mass with mild enhancement in the arterial phase and marked enhancement later.", "arterial_enhancement", 1),
        ("A mass with moderate enhancement in the corticomedullary phase.", "arterial_enhancement", None),
        ("A mass. Its margins are not well defined.", "margin", 1),
        ("A mass that infiltrates the renal sinus.", "invasion", 0),
        ("A mass. The collecting system is spared.", "invasion", 1),
    ],
)
def test_single_statements(text, name, option):
    assert answers(text)[name] == option


@pytest.mark.parametrize(
    ("impression", "malignancy", "nature"),
    [
        ("Renal cell carcinoma is likely.", 3, 0),
        ("Consistent with renal cell carcinoma.", 1, 0),
        ("Angiomyolipoma.", 0, 1),
        ("Simple cyst, Bosniak I.", 0, 2),
        ("Probably an oncocytoma; renal cell carcinoma cannot be excluded.", 2, 3),
        ("Indeterminate renal mass.", None, None),
        ("Renal mass; urological referral.", 4, 4),
        ("No evidence of malignancy; probably a benign lesion.", 2, 3),
    ],
)
def test_opinions_and_how_firmly_they_are_held(impression, malignancy, nature):
    found = answers("A 3 cm mass is seen in the left kidney.", impression)
    assert (found["malignancy"], found["nature"]) == (malignancy, nature)


def test_a_main_mass_is_not_mixed_with_a_simple_cyst():
    found = answers(FULL, IMPRESSION)
    assert (found["size"], found["composition"], found["location"], found["number"]) == (1, 2, 0, 1)


def test_an_unusable_report_is_refused():
    with pytest.raises(ReportTooLongError):
        read_answers("kidney " * 8000, "")
    with pytest.raises(ReportLanguageError, match="translate"):
        read_answers("左肾上极见肿块，大小约45×32mm。", "")


def test_the_papers_zero_shot_texts_are_read_as_their_class():
    prompts = zero_shot_prompts()["malignancy"]
    for texts, options in zip(prompts.texts, ({0, 2}, {1, 3}), strict=True):
        read = [answers(text)["malignancy"] for text in texts]
        assert sum(option in options for option in read) >= 90


def test_radiologists_notes_of_renal_cysts_are_read_as_cysts():
    path = REAL_DATA / "reports" / "radgpt_AbdomenAtlasRadiologistsNotes.csv"
    if not path.is_file():
        pytest.skip("the radiologists' notes are not at hand")
    with path.open(encoding="utf-8", errors="replace") as file:
        lines = [line.strip() for row in csv.DictReader(file) for line in row["Notes"].splitlines()]
    cysts = [line for line in lines if re.search(r"(?:left|right) kidney.*\bcysts?\b", line)]
    read = [answers(line)["nature"] for line in cysts]
    assert len(cysts) > 20
    assert read.count(2) / len(read) > 0.9


WORDS = re.findall(
    r"\S+",
    "a the left right kidney mass cyst 4.5 cm x 3 mm no not without is are and , . ; : ( ) enhancement margins well "
    "defined arterial phase upper lower pole fat density necrosis benign carcinoma likely cannot be excluded "
    "1. ? it its",
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(st.sampled_from(WORDS), st.text(max_size=4)), max_size=60))
def test_any_text_gives_answers_of_the_questionnaire_or_a_refusal(words):
    try:
        read = read_answers(" ".join(words), "")
    except ReportLanguageError:
        return
    assert len(read) == 14
    for answer, count in zip(read, questionnaire().class_counts, strict=True):
        assert answer is None or 0 <= answer < count


def test_the_longest_report_is_read_in_linear_time():
    text = "A mass is seen in the left kidney. " + " " * 9000 + "x" + "no left and " * 800
    start = time.process_time()
    read_answers(text, "")
    assert time.process_time() - start < 5
