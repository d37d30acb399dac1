"""Which of the core's labels a segment stands for: by our tag, else by its SNOMED CT codes, else by its name."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import slicer
import vtk

LABEL_TAG = "RenalCLIP.Label"
TERMINOLOGY = "Segmentation category and type - 3D Slicer General Anatomy list"
ANATOMY = "Anatomic codes - DICOM master list"
MOST_NAMES = 6  # software for the whole body makes a hundred segments


@dataclass(frozen=True)
class MaskLabel:
    """A label of the core's map: value, name, SNOMED CT category, type and region, colour, words that name it."""

    value: int
    name: str
    category: str
    kind: str
    region: str
    colour: tuple[float, float, float]
    words: tuple[str, ...]

    @property
    def terminology(self) -> str:
        """The entry as Slicer writes it into a segment's tag."""
        return f"{TERMINOLOGY}~{self.category}~{self.kind}~^^~{ANATOMY}~{self.region}~^^"


_ALTERED = "SCT^49755003^Morphologically Altered Structure"
_KIDNEY = "SCT^64033007^Kidney"
LABELS = (
    MaskLabel(
        1,
        "kidney",
        "SCT^123037004^Anatomical Structure",
        _KIDNEY,
        "^^",
        (0.72, 0.81, 0.93),
        ("kidney", "kidneys", "ren"),
    ),
    MaskLabel(
        2,
        "tumour",
        _ALTERED,
        "SCT^4147007^Mass",
        _KIDNEY,
        (0.93, 0.62, 0.25),
        ("tumour", "tumours", "tumor", "tumors", "mass", "masses", "neoplasm", "carcinoma", "rcc"),
    ),
    MaskLabel(3, "cyst", _ALTERED, "SCT^367643001^Cyst", _KIDNEY, (0.36, 0.78, 0.66), ("cyst", "cysts")),
)
KIDNEYS = frozenset({"64033007", "18639004", "9846003", "T-71000"})  # either, left, right; in the older scheme
ORGAN = frozenset({"123037004", "T-D000A"})  # the category of what is normal anatomy
# whether a mass is a neoplasm is what the reading is about; other software's masks may say so
CODES = {
    **dict.fromkeys(KIDNEYS, "kidney"),
    **{label.kind.split("^")[1]: label.name for label in LABELS},
    "108369006": "tumour",
    "86049000": "tumour",
}
# what a name with a word of LABELS in it is about all the same
ELSEWHERE = re.compile(
    r"\b(adrenals?|suprarenal|arter(y|ies)|veins?|vena|vessels?|aorta|ureters?|bladder|liver|hepatic|spleen|splenic|"
    r"pancrea(s|tic)|lungs?|pulmonary|bowel|colon|ovar(y|ies|ian)|bones?|lymph|nodes?|thrombus)\b"
)


def labelled(node: Any) -> dict[str, list[str]]:
    """Segment ids by the core's label; those of no label stand under an empty text."""
    segmentation = node.GetSegmentation()
    found: dict[str, list[str]] = {}
    for number in range(segmentation.GetNumberOfSegments()):
        found.setdefault(_labelOf(segmentation.GetNthSegment(number)), []).append(segmentation.GetNthSegmentID(number))
    return found


def labelWords(node: Any) -> str:
    """What a segmentation's segments are taken as, and which are left out; for a person."""
    segmentation, found = node.GetSegmentation(), labelled(node)
    names = {
        label: _few([segmentation.GetSegment(segment).GetName() for segment in segments])
        for label, segments in found.items()
    }
    taken = [f"{label.name}: {names[label.name]}" for label in LABELS if label.name in names]
    return "; ".join([*taken, f"left out: {names['']}"] if "" in names else taken)


def _few(names: list[str]) -> str:
    rest = len(names) - MOST_NAMES
    return ", ".join(names[:MOST_NAMES]) + (f" and {rest} more" if rest > 0 else "")


def _labelOf(segment: Any) -> str:
    tag = _tag(segment, LABEL_TAG)
    if tag:
        return tag
    entry = [*_tag(segment, slicer.vtkSegment.GetTerminologyEntryTagName()).split("~"), *[""] * 6]
    category, kind, region = (_code(entry[place]) for place in (1, 2, 5))
    if kind and category in ORGAN and kind not in KIDNEYS:
        return ""
    if kind in CODES:
        return CODES[kind] if not region or region in KIDNEYS else ""
    return _labelByName(segment.GetName())


def _labelByName(name: str) -> str:
    words = re.findall(r"[a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower())
    if ELSEWHERE.search(" ".join(words)):
        return ""
    # "kidney tumour" names a tumour: the lesions' words count before the kidney's
    return next((label.name for label in reversed(LABELS) if set(words) & set(label.words)), "")


def _code(triple: str) -> str:
    return [*triple.split("^"), "", ""][1]


def _tag(segment: Any, name: str) -> str:
    value = vtk.reference("")
    return str(value) if segment.GetTag(name, value) else ""
