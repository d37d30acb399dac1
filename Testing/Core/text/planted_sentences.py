"""Report sentences with planted contradictions: a set of 200, and whole reports in which nothing is planted.

Sentences come from the phantom's phrases (English and Chinese), from English phrases of another manner that no rule was
fitted to, and from sentences written by hand. Each states an option of one finding; the facts name that option (clean)
or another one (planted).

    python -m Testing.Core.text.planted_sentences
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from RenalCLIPCore.phantom.anatomy import draw_patient
from RenalCLIPCore.phantom.findings import kidney_findings
from RenalCLIPCore.phantom.report_words import Statement, phrases, read_phrases
from RenalCLIPCore.phantom.reports import write_report
from RenalCLIPCore.text.questionnaire import questionnaire
from RenalCLIPCore.text.report_check import CheckedLesion, Fact, check_report

OTHER_WORDS = Path(__file__).parents[2] / "Data" / "other-report-phrases.yaml"
SENTENCES, SEED = 200, 2026
KEYS = {
    "enhancement": ("enhancement", (0, 1, 2, 3)),
    "arterial": ("arterial enhancement", (0, 1, 2)),
    "margin": ("margin", (0, 1)),
    "invasion": ("invasion", (0, 1)),
    "exophytic": ("exophytic", (0, 1)),
}
FINDINGS = ("size", "side", "pole", "composition", *KEYS)
# (sentence, finding, option or size in mm or side)
BY_HAND = (
    ("The left renal tumour has a maximum diameter of 4 cm.", "size", 40.0),
    ("Left kidney: heterogeneous lesion, 2.1 x 1.8 x 1.9 cm.", "size", 21.0),
    ("A large mass, 98 mm across, occupies the left kidney.", "size", 98.0),
    ("A solid tumor is present in the right kidney.", "side", "right"),
    ("Right-sided renal neoplasm.", "side", "right"),
    ("Tumour of the left kidney.", "side", "left"),
    ("The mass arises from the superior pole of the left kidney.", "pole", 0),
    ("It is centred in the interpolar region.", "pole", 1),
    ("The lesion sits in the lower third of the left kidney.", "pole", 2),
    ("The lesion is entirely solid.", "composition", 2),
    ("It is a purely cystic lesion.", "composition", 0),
    ("A mixed cystic and solid mass of the left kidney.", "composition", 1),
    ("The mass shows vivid enhancement.", "enhancement", 3),
    ("No appreciable enhancement after contrast medium.", "enhancement", 0),
    ("Weak enhancement is noted.", "enhancement", 1),
    ("The tumour has sharp margins.", "margin", 0),
    ("Its borders are blurred.", "margin", 1),
    ("The renal sinus is infiltrated by the tumour.", "invasion", 0),
    ("The collecting system is not involved.", "invasion", 1),
    ("左肾肿瘤最大直径约4cm。", "size", 40.0),
    ("左肾占位，大小约2.1cm×1.8cm×1.9cm。", "size", 21.0),
    ("左肾见巨大肿块影，范围约98mm×80mm。", "size", 98.0),
    ("右肾实质性占位。", "side", "right"),
    ("右肾肿瘤。", "side", "right"),
    ("考虑左肾肿瘤。", "side", "left"),
    ("肿块位于左肾上极。", "pole", 0),
    ("病变以左肾下极为中心。", "pole", 2),
    ("左肾中部可见占位。", "pole", 1),
    ("病灶为实性。", "composition", 2),
    ("肿块呈囊性。", "composition", 0),
    ("肿块内囊性及实性成分并存。", "composition", 1),
    ("增强后肿块显著强化。", "enhancement", 3),
    ("增强扫描病灶无强化。", "enhancement", 0),
    ("病灶呈轻度强化。", "enhancement", 1),
    ("肿块边缘光滑。", "margin", 0),
    ("与周围组织分界欠清。", "margin", 1),
    ("肾盂受侵。", "invasion", 0),
    ("未见肾窦侵犯。", "invasion", 1),
)


@dataclass(frozen=True)
class Planted:
    """A sentence, the facts that it is checked against, and whether they contradict it."""

    language: str
    origin: str
    finding: str
    text: str
    lesion: CheckedLesion
    planted: bool


def lesion(side="left", size=53.0, **options):
    """A lesion of which these options are true."""
    facts = {
        name.replace("_", " "): Fact(f"option {option}", "measured", frozenset({option}))
        for name, option in options.items()
    }
    return CheckedLesion("L1", side, (size, 0.93 * size), facts)


def sentences():
    """The set: as many planted as clean, evenly over findings and languages."""
    draw = np.random.default_rng(SEED)
    found = [_by_hand(*item, planted=bool(number % 2)) for number, item in enumerate(BY_HAND)]
    words = {"en": phrases("en"), "zh": phrases("zh"), "other en": read_phrases(OTHER_WORDS, "en")}
    number = 0
    while len(found) < SENTENCES:
        name = ("en", "zh", "other en", "zh")[number % 4]
        finding = FINDINGS[(number // 4) % len(FINDINGS)]
        alike = [one.planted for one in found if (one.origin, one.finding) == (name, finding)]
        planted = alike.count(True) < alike.count(False) or (not alike and bool(draw.integers(2)))
        found.append(_phrased(name, words[name], finding, draw, planted=planted))
        number += 1
    return tuple(found)


def verdict(item):
    """Whether the check calls the sentence contradicted."""
    return any(check.verdict == "contradicted" for check in check_report(item.text, "", (item.lesion,)))


def clean_reports(seeds, language):
    """Sentences of whole reports that state nothing wrong, and those that are called contradicted nevertheless."""
    total, supported, alarms = 0, 0, []
    for seed in seeds:
        patient = draw_patient(seed)
        report = write_report(patient)
        lesions = []
        for side in ("left", "right"):
            found, stated = kidney_findings(patient, side), report.kidney(side).stated
            if found.main is not None:
                lesions += _true_lesions(side, found, stated)
        lesions.sort(key=lambda one: (one.cyst, -max(one.diameters_mm)))
        text = report.whole[language]
        for check in check_report(text.findings, text.impression, lesions):
            total, supported = total + 1, supported + (check.verdict == "supported")
            if check.verdict == "contradicted":
                alarms.append((seed, check))
    return total, supported, alarms


def _true_lesions(side, found, stated):
    """The lesions of a kidney, with what the report states of the main one as its facts."""
    silent = questionnaire().no_mass
    names = {1: "pole", 5: "composition", 8: "enhancement", 9: "arterial enhancement", 10: "margin", 13: "invasion"}
    facts = {
        name: Fact(f"option {stated[number]}", "measured", frozenset({stated[number]}))
        for number, name in names.items()
        if stated[number] is not None and stated[number] != silent[number]
    }
    size = (found.main.long_mm, found.main.short_mm)
    main = CheckedLesion("L1", side, size, facts, cyst=found.simple_cyst)
    others = [
        CheckedLesion(f"F{n}", side, (extent.long_mm, extent.short_mm), {}, cyst=not tumour)
        for n, (extent, tumour) in enumerate(found.further)
    ]
    return [main, *others]


def _by_hand(text, finding, said, planted):
    language = "zh" if any(letter > "一" for letter in text) else "en"
    if finding == "size":
        known = lesion(size=said * 1.325 if planted else said)
    elif finding == "side":
        known = lesion(side=_opposite(said) if planted else said)
    else:
        known = lesion(**{finding: _another(finding, said) if planted else said})
    return Planted(language, "by hand", finding, text, known, planted)


def _phrased(name, words, finding, draw, planted):
    side = ("left", "right")[int(draw.integers(2))]
    size = int(draw.integers(15, 110))
    place, mass = int(draw.integers(3)), int(draw.integers(3))
    lead = Statement("lead", "", side, place, (size, max(int(0.9 * size), 5)), int(draw.integers(4)), mass)
    true = {"pole": place, "composition": mass}
    text, stated = words.sentence(lead, draw), {**true}
    if finding in KEYS:
        title, options = KEYS[finding]
        option = int(options[int(draw.integers(len(options)))])
        # the phrases number exophytic growth 0; the check numbers it 1
        stated[title] = 1 - option if finding == "exophytic" else option
        text = words.joined([words.sentence(Statement(finding, str(option)), draw)])
    else:
        text, title = words.joined([text]), finding
    facts = dict(stated)
    if planted and finding == "size":
        size = round(size * (1.35 if draw.integers(2) else 0.7))
    elif planted and finding == "side":
        side = _opposite(side)
    elif planted:
        facts[title] = _another(title, stated[title])
    known = lesion(side, float(size), **{key.replace(" ", "_"): value for key, value in facts.items()})
    return Planted(name.split()[-1], name, finding, text, known, planted)


def _another(finding, option):
    """An option that contradicts: the farthest one."""
    return {"enhancement": {0: 3, 1: 3, 2: 0, 3: 0}, "arterial enhancement": {0: 2, 1: 2, 2: 0}}.get(finding, {}).get(
        option, 2 if finding in ("pole", "composition") and option == 0 else 0 if option else 1
    )


def _opposite(side):
    return {"left": "right", "right": "left"}[side]


if __name__ == "__main__":
    items = sentences()
    for title, group in (
        ("all", items),
        *((f"language {name}", [one for one in items if one.language == name]) for name in ("en", "zh")),
        *(
            (f"from {name}", [one for one in items if one.origin == name])
            for name in ("en", "zh", "other en", "by hand")
        ),
        *((name, [one for one in items if one.finding == name]) for name in FINDINGS),
    ):
        planted, clean = [one for one in group if one.planted], [one for one in group if not one.planted]
        hits, alarms = sum(map(verdict, planted)), sum(map(verdict, clean))
        print(f"{title}: {hits} of {len(planted)} planted found, {alarms} of {len(clean)} clean called contradicted")
    for one in items:
        if verdict(one) != one.planted:
            print("wrong:", one)
    for language in ("en", "zh"):
        total, supported, alarms = clean_reports(range(500, 600), language)
        print(f"whole reports, {language}: {len(alarms)} of {total} sentences contradicted, {supported} supported")
        for seed, check in alarms:
            print(seed, check)
