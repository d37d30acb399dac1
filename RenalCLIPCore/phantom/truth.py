"""The truth of a phantom: geometry of the lesions, R.E.N.A.L. components, and what is known of the tumour.

Everything is measured on the continuous shapes by dense sampling of their implicit functions in patient space; no
voxel grid, resampling or imaging code takes part. Of a patient painted onto a mask, sizes, sides and places are those
of the mask, and what only continuous shapes would tell stays unlabelled.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from .masks import LICENCE
from .measures import LesionTruth, Renal, measure_lesion, measure_renal, parenchyma_volume_ml
from .patient import Painted, PhantomPatient
from .shapes import as_point

__all__ = ["LesionTruth", "PhantomTruth", "Renal", "TumourTruth", "read_truth", "truth", "write_truth"]

TRUTH_VERSION = "1.0"


@dataclass(frozen=True)
class TumourTruth:
    """Histology, course and oracle of the primary lesion; RFS fields are None for benign lesions.

    Attributes:
        malignancy: 0 benign, 1 malignant.
        aggressiveness: 0 indolent, 1 aggressive.
        oracle_malignancy, oracle_aggressiveness: Exact posterior given all true attributes.
        oracle_log_hazard: True log hazard of recurrence.
        attributes: Visible attributes (diameter_mm, HU, fractions), by name.
    """

    histology: str
    group: str
    malignancy: int
    aggressiveness: int
    rfs_months: float | None
    rfs_event: int | None
    oracle_malignancy: float
    oracle_aggressiveness: float
    oracle_log_hazard: float | None
    attributes: dict[str, float]


@dataclass(frozen=True)
class PaintedTruth:
    """Where a painted patient comes from.

    Attributes:
        mask_sha256: Hash of the mask's file; patients of one mask belong into one split.
        licence: Terms that come with the mask.
        unlabelled: What is not known of such a patient.
        notes: What was assumed about the mask.
    """

    mask_sha256: str
    licence: str
    unlabelled: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class PhantomTruth:
    """The truth of one patient; lesions start with the primary one and are empty in a study without a lesion.

    ``painted`` is None for phantoms of drawn anatomy.
    """

    seed: int
    lesions: tuple[LesionTruth, ...]
    renal: Renal | None
    tumour: TumourTruth | None
    kidney_volumes_ml: dict[str, float]
    painted: PaintedTruth | None = None

    @property
    def primary(self) -> LesionTruth | None:
        """The primary lesion, if any."""
        return self.lesions[0] if self.lesions else None


def truth(patient: PhantomPatient) -> PhantomTruth:
    """Measure a patient."""
    if patient.painted is not None:
        return _painted(patient, patient.painted)
    primary = patient.primary
    return PhantomTruth(
        seed=patient.seed,
        lesions=tuple(measure_lesion(lesion) for lesion in patient.lesions),
        renal=measure_renal(primary, patient.kidney(primary.side)) if primary else None,
        tumour=_tumour(patient),
        kidney_volumes_ml={k.side: parenchyma_volume_ml(k, patient.lesions) for k in patient.kidneys},
    )


def write_truth(value: PhantomTruth, path: Path) -> None:
    """Write the truth as JSON by atomic rename."""
    document = {"version": TRUTH_VERSION, **dataclasses.asdict(value)}
    if value.painted is None:
        del document["painted"]
    partial = path.with_name(f".partial-{path.name}")
    partial.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    partial.replace(path)


def read_truth(path: Path) -> PhantomTruth:
    """Read what :func:`write_truth` wrote.

    Raises:
        InputError: The file is missing, or no truth of this version.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if document["version"] != TRUTH_VERSION:
            raise InputError(f"{path.name} has version {document['version']!r}; this program reads {TRUTH_VERSION}.")
        return _decode(document)
    except (OSError, ValueError, KeyError, TypeError, OverflowError) as error:
        raise InputError(f"{path.name} is no readable phantom truth.") from error


def _decode(document: dict[str, Any]) -> PhantomTruth:
    lesions = [LesionTruth(**_tuples(item)) for item in document["lesions"]]
    renal = document["renal"] and Renal(**_tuples(document["renal"]))
    tumour = document["tumour"] and TumourTruth(**document["tumour"])
    painted = document.get("painted") and PaintedTruth(**_tuples(document["painted"]))
    return PhantomTruth(int(document["seed"]), tuple(lesions), renal, tumour, document["kidney_volumes_ml"], painted)


def _tuples(item: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in item.items()}


UNLABELLED = (
    "R.E.N.A.L. components: the map has no continuous outline, sinus or polar lines to measure them on",
    "margin irregularity: the map's own surface, not drawn; it takes no part in the oracle",
    "report questions 4 (exophytic), 5 (shape), 11 (margin) and 14 (invasion of the sinus)",
)


def _painted(patient: PhantomPatient, painted: Painted) -> PhantomTruth:
    lesions = []
    for lesion, shape in zip(painted.found.lesions, (drawn.shape for drawn in patient.lesions), strict=True):
        centroid = np.asarray(shape.centre_lps_mm) + painted.origin_lps_mm
        lesions.append(
            LesionTruth(
                lesion.side, lesion.label, lesion.centre_lps_mm, as_point(centroid), lesion.volume_ml,
                lesion.largest_diameter_mm, lesion.axial_diameter_mm,
            )
        )  # fmt: skip
    source = PaintedTruth(painted.mask_sha256, LICENCE, UNLABELLED, painted.found.notes)
    return PhantomTruth(
        patient.seed, tuple(lesions), None, _tumour(patient), dict(painted.found.kidney_volumes_ml), source
    )


def _tumour(patient: PhantomPatient) -> TumourTruth | None:
    tumour = patient.tumour
    if tumour is None:
        return None
    names = ("diameter_mm", "texture_hu", "necrosis_fraction", "fat_fraction", "margin_irregularity",
             "calcification_mm", "vein_invasion", "native", "arterial", "venous", "delayed")  # fmt: skip
    course = tumour.recurrence
    return TumourTruth(
        histology=tumour.histology.value,
        group=tumour.histology.group,
        malignancy=int(tumour.histology.malignant),
        aggressiveness=int(tumour.histology.aggressive),
        rfs_months=course.months if course else None,
        rfs_event=int(course.event) if course else None,
        oracle_malignancy=tumour.oracle.malignant,
        oracle_aggressiveness=tumour.oracle.aggressive,
        oracle_log_hazard=tumour.oracle.log_hazard,
        attributes={name: value for name in names if not np.isnan(value := float(getattr(tumour.attributes, name)))},
    )
