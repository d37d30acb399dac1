"""What a Chinese sentence of a report claims of a renal lesion, by rules; options as the questionnaire numbers them."""

from __future__ import annotations

import re
from typing import Final

_CLAUSE: Final = re.compile(r"[，,；;]")
_NUMBER: Final = r"(\d{1,3}(?:\.\d+)?)"
_UNIT: Final = r"(mm|cm|毫米|厘米)"
_SIZE: Final = re.compile(
    rf"{_NUMBER}(?:\s*{_UNIT}?\s*[x×X*]\s*{_NUMBER})?(?:\s*{_UNIT}?\s*[x×X*]\s*{_NUMBER})?\s*{_UNIT}", re.IGNORECASE
)
_NOT_A_SIZE: Final = re.compile(r"(?:层厚|原|前片|既往|距|间距|相距)[^，,；;]*$")
_POLES: Final = (r"上极|上部|上份|上段|上1/3", r"中部|中极|中份|中段|中1/3", r"下极|下部|下份|下段|下1/3")
_MIXED: Final = re.compile(r"囊实性|囊性及实性|囊、实性|囊实混合")
_SOLID: Final = re.compile(r"实性|软组织")
_CYSTIC: Final = re.compile(r"囊性|囊肿")
_ENHANCES: Final = re.compile(r"强化")
_NONE: Final = re.compile(r"(?:未见|无|未|不)(?:明显|明确|显著|确切)?(?:异常)?(?:的)?强化|强化不明显")
_DEGREES: Final = (
    (4, r"不均|欠均"),
    (5, r"囊壁|分隔|间隔"),
    (3, r"明显|显著|高度|强烈"),
    (2, r"中度|中等"),
    (1, r"轻度|轻微|弱"),
)
_ARTERIAL: Final = re.compile(r"动脉期|皮髓质期|皮质期")
_LATER: Final = re.compile(r"实质期|静脉期|延迟期|排泄期|后期|渐进|廓清|持续|减低")
_PART: Final = re.compile(r"坏死|中央")
_BLURRED: Final = re.compile(r"(?:边界|境界|边缘|分界|界限|界)(?:尚)?(?:不清|欠清|模糊|不明确|毛糙|不光整)|模糊不清")
_CLEAR: Final = re.compile(r"(?:边界|境界|边缘|分界|界限)(?:尚)?(?:清|光滑|光整|锐利)|界清")
_COLLECTING: Final = re.compile(r"肾窦|集合系统|肾盂|肾盏")
_INVASION: Final = re.compile(r"侵|受累|累及")
_DENIED: Final = re.compile(r"未见|未|无|不")
_SPARED: Final = re.compile(r"(?:肾窦脂肪|脂肪间隙)(?:间隙)?(?:清晰|完整|存在|清楚)")
_OUTSIDE: Final = re.compile(r"外生|突出于肾|向肾外突出|突向肾外|外突|突出肾")
_INSIDE: Final = re.compile(r"完全位于肾实质内|内生|轮廓光整")
_MALIGNANT: Final = re.compile(r"癌|恶性|肉瘤|Bosniak\s*(?:IV|III)", re.IGNORECASE)
_BENIGN: Final = re.compile(
    r"良性|血管平滑肌脂肪瘤|错构瘤|嗜酸(?:性)?细胞(?:腺)?瘤|Bosniak\s*(?:IIF|II|I)(?!I|V)", re.IGNORECASE
)
_OPEN: Final = re.compile(r"^[^，,；;]{0,6}(?:不除外|待排|不能除外|待除外)|^[^，,；;]{0,3}待定")
_UNDECIDED: Final = re.compile(r"良恶性(?:待定|不明|难定)")


def chinese_sizes_mm(sentence: str) -> list[float]:
    """Sizes, each the largest of its diameters; no distances and no earlier sizes."""
    sizes = []
    for match in _SIZE.finditer(sentence):
        if _NOT_A_SIZE.search(sentence[: match.start()]):
            continue
        numbers = [float(match[group]) for group in (1, 3, 5) if match[group]]
        sizes.append(max(numbers) * (10.0 if match[6].lower() in ("cm", "厘米") else 1.0))
    return sizes


def chinese_options(sentence: str) -> dict[str, int]:
    """Option of the questionnaire by finding; a finding that the sentence does not touch or decide is left out."""
    found = {
        "pole": _pole(sentence),
        "composition": _composition(sentence),
        "margin": _margin(sentence),
        "invasion": _invasion(sentence),
        "malignancy": _malignancy(sentence),
        "exophytic": 1 if _OUTSIDE.search(sentence) else 0 if _INSIDE.search(sentence) else None,
        **_enhancements(sentence),
    }
    return {finding: option for finding, option in found.items() if option is not None}


def _pole(sentence: str) -> int | None:
    found = [number for number, words in enumerate(_POLES) if re.search(words, sentence)]
    return found[0] if len(found) == 1 else None


def _composition(sentence: str) -> int | None:
    if _MIXED.search(sentence):
        return 1
    if _SOLID.search(sentence):
        return 1 if _CYSTIC.search(sentence) else 2
    return 0 if _CYSTIC.search(sentence) else None


def _enhancements(sentence: str) -> dict[str, int | None]:
    """The degree in general, and in the arterial phase."""
    general: int | None = None
    arterial: int | None = None
    for clause in _CLAUSE.split(sentence):
        if not _ENHANCES.search(clause) or _PART.search(clause):
            continue
        degree = _degree(clause)
        if _ARTERIAL.search(clause):
            # a moderate or an uneven degree is no option of the question about the arterial phase
            arterial = {0: 0, 1: 1, 3: 2}.get(-1 if degree is None else degree)
        elif not _LATER.search(clause):
            general = degree
    return {"enhancement": general, "arterial enhancement": arterial}


def _degree(clause: str) -> int | None:
    if _NONE.search(clause):
        return 0
    return next((degree for degree, words in _DEGREES if re.search(words, clause)), None)


def _margin(sentence: str) -> int | None:
    if _BLURRED.search(sentence):
        return 1
    return 0 if _CLEAR.search(sentence) else None


def _invasion(sentence: str) -> int | None:
    for clause in _CLAUSE.split(sentence):
        if _COLLECTING.search(clause) and (_SPARED.search(clause) or _INVASION.search(clause)):
            return 1 if _SPARED.search(clause) or _DENIED.search(clause) else 0
    return None


def _malignancy(sentence: str) -> int | None:
    """3 for what is held to be malignant, 2 for benign: how firmly is not told apart."""
    if _UNDECIDED.search(sentence):
        return None
    found = [
        (match.start(), option)
        for option, words in ((3, _MALIGNANT), (2, _BENIGN))
        for match in words.finditer(sentence)
        if not _OPEN.search(sentence[match.end() :])
    ]
    return min(found)[1] if found else None
