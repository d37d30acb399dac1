"""Reports parted into left and right kidney by rules."""

import pytest

from RenalCLIPCore.text.language import ReportLanguageError, ReportTooLongError, language
from RenalCLIPCore.text.partition import part_report

FINDINGS = (
    "Liver and spleen are normal. A 4.5 cm mass lies at the upper pole of the left kidney. It enhances markedly and "
    "abuts the spleen. Pancreas unremarkable. It is not enlarged. A small stone is seen in the right kidney. No "
    "hydronephrosis. The left adrenal gland is thickened. Both ureters are normal."
)


def test_each_kidney_gets_its_sentences_and_nothing_of_other_organs():
    parted = part_report(FINDINGS, "1. Left renal mass. 2. Right renal stone. 3. Fatty liver.")
    assert parted.left.findings == (
        "A 4.5 cm mass lies at the upper pole of the left kidney. It enhances markedly and abuts the spleen. "
        "Both ureters are normal."
    )
    assert parted.right.findings == (
        "A small stone is seen in the right kidney. No hydronephrosis. Both ureters are normal."
    )
    assert (parted.left.impression, parted.right.impression) == ("Left renal mass.", "Right renal stone.")


def test_clauses_with_a_side_each_are_told_apart():
    parted = part_report("The left kidney is atrophic, the right kidney shows a 2 cm cyst.", "")
    assert parted.left.findings == "The left kidney is atrophic."
    assert parted.right.findings == "the right kidney shows a 2 cm cyst."


def test_headed_paragraphs_belong_to_their_side():
    parted = part_report("Right kidney: Normal size.\nNo mass.\nLeft kidney: A 3 cm mass.\nSpleen: normal.", "")
    assert parted.right.findings == "Right kidney: Normal size. No mass."
    assert parted.left.findings == "Left kidney: A 3 cm mass."


def test_a_chinese_report_is_parted_too():
    parted = part_report(
        "肝脏未见异常。左肾上极见肿块，大小约45×32mm，增强扫描明显强化。右肾见小结石。左侧肾上腺增粗。",
        "1. 左肾癌可能；2. 右肾结石。",
    )
    assert parted.left.findings == "左肾上极见肿块，大小约45×32mm，增强扫描明显强化。"
    assert parted.right.findings == "右肾见小结石。"
    assert (parted.left.impression, parted.right.impression) == ("左肾癌可能。", "右肾结石。")


@pytest.mark.parametrize("report", ["", "The liver is normal. No free fluid.", "Left adrenal gland thickened."])
def test_a_report_without_a_kidney_says_so(report):
    assert not part_report(report, "").mentions_kidney


def test_what_is_no_single_report_is_refused():
    with pytest.raises(ReportTooLongError, match="50000"):
        part_report("a " * 25000, "")


def test_a_report_in_a_third_language_is_refused():
    german = "In der linken Niere zeigt sich am Oberpol eine 4 cm große Raumforderung mit kräftiger Anreicherung."
    with pytest.raises(ReportLanguageError):
        part_report(german, "")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A mass in the left kidney.", "en"),
        ("左肾见肿块 CT 35HU", "zh"),
        ("Obraz nerki lewej prawidłowy, bez zmian ogniskowych", "other"),
        ("Lesión sólida en el polo superior del riñón izquierdo, de 4 cm, sin necrosis.", "other"),
        ("Masse solide du rein droit, sans nécrose, avec rehaussement marqué au temps artériel.", "other"),
        ("4-cm solid neoplasm, left midpole, avidly enhancing, RCC suspected. Right kidney unremarkable.", "en"),
        ("Mild fatty liver", "en"),
        ("Niere links: Zyste 2 cm", "other"),
        ("Почка без изменений", "other"),
        (" 12. ", ""),
    ],
)
def test_languages_are_told_apart(text, expected):
    assert language(text) == expected
