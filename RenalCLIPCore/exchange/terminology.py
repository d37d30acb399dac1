"""Codes for what exports name: SNOMED CT, DICOM, IBSI, LOINC and UCUM where they have it, else the local scheme.

The local scheme's codes are the keys of :mod:`.lesion_values`, abbreviated to the 16 characters of a short code value:
readers of structured reports stumble over long ones.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

SNOMED, DICOM, UCUM, IBSI, LOINC, LOCAL = "SCT", "DCM", "UCUM", "IBSI", "LN", "99RENALCLIP"
FHIR_SYSTEMS = {
    SNOMED: "http://snomed.info/sct",
    DICOM: "http://dicom.nema.org/resources/ontology/DCM",
    UCUM: "http://unitsofmeasure.org",
    LOINC: "http://loinc.org",
    IBSI: "urn:oid:1.2.840.10008.2.16.13",
    LOCAL: "urn:renalclip:finding",
}
_MEANING_LENGTH, _CODE_LENGTH = 64, 16
_SHORT = (
    ("unlike_training_data", "unlike_train"),
    ("recurrence_cohort_median", "rec_median"),
    ("training_distance", "train_dist"),
    ("aggressiveness", "aggr"),
    ("malignancy", "malig"),
    ("recurrence", "rec"),
    ("predicted_", "p_"),
    ("measured_", "m_"),
    ("probability", "prob"),
    ("complexity", "cplx"),
    ("confidence", "conf"),
    ("threshold", "thr"),
    ("moderate", "mod"),
    ("centre_used_lps", "c_used"),
    ("centre_proposed_lps", "c_prop"),
    ("centre_used", "c_used"),
    ("centre_proposed", "c_prop"),
    ("attenuation", "att"),
)


@dataclass(frozen=True)
class Concept:
    """A code: its scheme as DICOM designates it, its value and its meaning (64 characters at most)."""

    scheme: str
    value: str
    meaning: str


KIDNEY = Concept(SNOMED, "64033007", "Kidney")
LEFT = Concept(SNOMED, "7771000", "Left")
RIGHT = Concept(SNOMED, "24028007", "Right")
BOTH = Concept(SNOMED, "51440002", "Right and left")
ANATOMY = Concept(SNOMED, "91723000", "Anatomical Structure")
ABNORMALITY = Concept(SNOMED, "49755003", "Morphologically Abnormal Structure")
LESION_KINDS = {
    "tumour": Concept(SNOMED, "4147007", "Mass"),
    "cyst": Concept(SNOMED, "367643001", "Cyst"),
    "point": Concept(SNOMED, "52988006", "Lesion"),
}
SIDES = {"left": LEFT, "right": RIGHT}
VOLUME = Concept(SNOMED, "118565006", "Volume")
ARTIFICIAL_INTELLIGENCE = Concept(DICOM, "123110", "Artificial Intelligence")
REPORT_TITLE = Concept(DICOM, "126000", "Imaging Measurement Report")
PROCEDURE = Concept(SNOMED, "169070004", "CT of abdomen")
FHIR_REPORT = Concept(LOINC, "41806-1", "CT Abdomen Report")

_QUANTITIES = {
    "volume_ml": VOLUME,
    "largest_diameter_mm": Concept(IBSI, "L0JK", "Maximum 3D Diameter of a Mesh"),
    "axial_diameter_mm": Concept(SNOMED, "103339001", "Long axis"),
}
_CLASSES = {
    ("malignancy_read_as", "malignant"): Concept(SNOMED, "21594007", "Malignant"),
    ("malignancy_read_as", "benign"): Concept(SNOMED, "30807003", "Benign"),
}
_UNITS = {
    "1": "no units",
    "{points}": "points",
    "mm": "millimeter",
    "mL": "milliliter",
    "[hnsf'U]": "Hounsfield unit",
    "%": "Percent",
}


def concept(key: str, name: str) -> Concept:
    """The code of a value by its key: a standard one where there is one, else the local one."""
    return _QUANTITIES.get(key) or Concept(LOCAL, local_code(key), meaning(name))


def class_concept(key: str, value: str) -> Concept:
    """The code of a class of a value."""
    return _CLASSES.get((key, value)) or Concept(LOCAL, local_code(f"{key}:{value}"), meaning(value) or "none")


def local_code(key: str) -> str:
    """A key as a code of at most 16 characters; what no abbreviation shortens enough ends in a digest."""
    for long, short in _SHORT:
        key = key.replace(long, short)
    slug = re.sub(r"[^0-9A-Za-z_:.<>=%]+", "-", key).strip("-") or "none"
    if len(slug) <= _CODE_LENGTH and slug == key:
        return slug
    return f"{slug[:8].strip('-')}-{hashlib.sha256(key.encode('utf-8', 'backslashreplace')).hexdigest()[:7]}"


def unit(code: str) -> Concept:
    """A UCUM unit."""
    return Concept(UCUM, code, _UNITS.get(code, code))


def meaning(text: str) -> str:
    """A text as the meaning of a code: one line without backslash, 64 characters at most."""
    line = " ".join(text.replace("\\", "/").split())
    return line if len(line) <= _MEANING_LENGTH else f"{line[: _MEANING_LENGTH - 3]}..."
