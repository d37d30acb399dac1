"""What is truly to be seen in each kidney of a phantom: the fourteen answers, and what else a report may tell.

The questions are about the kidney's main lesion: the primary, else the largest tumour, else the largest cyst. The
answers follow from its shape and hidden attributes:

- location by thirds of the kidney's length; exophytic with at least 20 % of the volume outside the kidney;
- round below 2.5 % radial irregularity, irregular (and ill defined) above 4.5 %, between them lobulated, or mass-like
  above 7 cm;
- cystic and solid with at least 15 % necrosis, or a complex cyst that enhances by 20 HU; necrosis from 5 %;
- heterogeneous enhancement from a texture of 16 HU or 12 % necrosis, else mild from 20, moderate from 50, marked from
  90 HU; in the arterial phase mild from 20, marked from 60 HU;
- invasion where a tumour reaches at least ``SINUS_MM`` into the renal sinus;
- malignancy and nature are the best judgement that the hidden attributes allow, firm beyond 90 %, not the histology.

Of a patient painted onto a mask, the answers that need the kidney's native outline, its sinus or a drawn surface
(``UNKNOWN_IN_MASKS``) are not known.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..text.questionnaire import questionnaire
from .histology import Attributes, Histology, posterior
from .masked_shapes import MaskedBlob
from .measures import surface_points
from .patient import Kidney, Lesion, PhantomPatient
from .shapes import Array, Blob

Answers = tuple[int | None, ...]
_RAYS, _SHELLS = 400, 6
SINUS_MM = 8.0
_FIRM = 0.9
_NATURES = {Histology.ANGIOMYOLIPOMA: 1, Histology.FAT_POOR_ANGIOMYOLIPOMA: 1, Histology.COMPLEX_CYST: 2}
_OTHER_BENIGN = 3
# Exophytic, shape, margin and invasion of the sinus, by the number of their question.
UNKNOWN_IN_MASKS = (4, 5, 11, 14)


@dataclass(frozen=True)
class Extent:
    """Where a lesion lies and how large it is.

    Attributes:
        long_mm, short_mm: Largest transverse diameter and the width across it.
        pole: 0 upper, 1 middle, 2 lower third.
        outside: Share of the volume outside the kidney's native outline.
        sinus_mm: How deep it reaches into the renal sinus; negative: the distance to it.
        front_mm: Position of its centre in front of the kidney's coronal plane.
    """

    long_mm: float
    short_mm: float
    pole: int
    outside: float
    sinus_mm: float
    front_mm: float


@dataclass(frozen=True)
class KidneyFindings:
    """What is truly there in one kidney.

    Attributes:
        side: Patient's side.
        answers: The fourteen true answers.
        main: Extent of the main lesion; None without a lesion.
        simple_cyst: Whether the main lesion is a simple cyst.
        further: Extents of the other lesions, and whether each is a tumour.
        calcified: Whether the main lesion holds a visible calcification.
        thrombus: Whether tumour fills the renal vein.
        course: 0 washout, 1 progressive, 2 persistent enhancement; None for cysts.
        malignant: Probability of malignancy that the hidden attributes allow; None without a tumour or complex cyst.
    """

    side: str
    answers: Answers
    main: Extent | None = None
    simple_cyst: bool = False
    further: tuple[tuple[Extent, bool], ...] = ()
    calcified: bool = False
    thrombus: bool = False
    course: int | None = None
    malignant: float | None = None
    benign_nature: int = _OTHER_BENIGN


def kidney_findings(
    patient: PhantomPatient, side: str, prior: Mapping[Histology, float] | None = None
) -> KidneyFindings:
    """The true findings of one kidney.

    Args:
        patient: The phantom; a patient whose lesions have no known attributes counts every tumour as a plain solid one.
        side: ``left`` or ``right``.
        prior: Weights of the histologies that the patient was drawn with.
    """
    if not patient.has_kidney(side):
        return KidneyFindings(side, questionnaire().no_mass)
    kidney = patient.kidney(side)
    here = [(index, lesion) for index, lesion in enumerate(patient.lesions) if lesion.side == side]
    if not here:
        return KidneyFindings(side, questionnaire().no_mass)
    index, main = max(here, key=lambda item: _importance(*item))
    extents = {number: _extent(lesion, kidney) for number, lesion in here}
    further = tuple((extents[number], lesion.label == "tumour") for number, lesion in here if number != index)
    if patient.tumour is None or _is_simple(main):
        cyst = _known(patient, _simple_cyst(extents[index], len(here)))
        return KidneyFindings(side, cyst, extents[index], True, further)
    attributes = patient.tumour.attributes
    weights = posterior(attributes, prior)
    malignant = sum(weight for histology, weight in weights.items() if histology.malignant)
    nature = _benign_nature(weights)
    return KidneyFindings(
        side,
        _known(patient, _answers(main, attributes, extents[index], len(here), malignant, nature)),
        extents[index],
        further=further,
        calcified=main.calcification is not None,
        thrombus=index == 0 and attributes.vein_invasion >= 0.5,
        course=_course(main),
        malignant=malignant,
        benign_nature=nature,
    )


def _known(patient: PhantomPatient, answers: Answers) -> Answers:
    if patient.painted is None:
        return answers
    return tuple(None if n in UNKNOWN_IN_MASKS else answer for n, answer in enumerate(answers, 1))


def _importance(index: int, lesion: Lesion) -> tuple[bool, bool, float]:
    return index == 0, lesion.label == "tumour", float(np.prod(lesion.shape.semi_axes_mm))


def _is_simple(lesion: Lesion) -> bool:
    return lesion.label == "cyst" and not lesion.septa


def _extent(lesion: Lesion, kidney: Kidney) -> Extent:
    centre = np.asarray(lesion.shape.centre_lps_mm)
    surface, inside, weights = _samples(lesion.shape, centre)
    long_mm, short_mm = _transverse_mm(surface)
    along, _, front = (float(value) for value in kidney.local(*centre))
    third = along / kidney.outline.semi_axes_mm[0]
    return Extent(
        long_mm=long_mm,
        short_mm=short_mm,
        pole=0 if third > 1 / 3 else 2 if third < -1 / 3 else 1,
        outside=float(np.average(kidney.outline.distance(*inside.T) > 0, weights=weights)),
        sinus_mm=-min(float(kidney.sinus_inside(*points.T).min()) for points in (surface, inside)),
        front_mm=front,
    )


def _samples(shape: Blob, centre: Array) -> tuple[Array, Array, Array]:
    """Points of a lesion's surface, points inside, and the weights of those."""
    if isinstance(shape, MaskedBlob):
        return shape.mask.surface_lps_mm(), shape.voxels_lps_mm, np.ones(len(shape.voxels_lps_mm))
    surface = surface_points(shape, _RAYS)
    rays = surface - centre
    shells = np.cbrt((np.arange(_SHELLS) + 0.5) / _SHELLS)
    inside = (centre + shells[:, None, None] * rays).reshape(-1, 3)
    return surface, inside, np.tile(np.linalg.norm(rays, axis=1) ** 3, _SHELLS)


def _transverse_mm(surface: Array) -> tuple[float, float]:
    """Largest width of the axial outline and the width across it."""
    angle = np.pi * np.arange(90) / 90
    widths = np.ptp(surface[:, :2] @ np.stack([np.cos(angle), np.sin(angle)]), axis=0)
    best = int(widths.argmax())
    return float(widths[best]), float(widths[(best + 45) % 90])


def _simple_cyst(extent: Extent, count: int) -> Answers:
    place = (int(count > 1), extent.pole, size_class(extent.long_mm), int(extent.outside < 0.2))
    return (*place, 0, 0, 0, 1, 0, 0, 0, 0, 2, 1)


def _answers(
    lesion: Lesion, attributes: Attributes, extent: Extent, count: int, malignant: float, nature: int
) -> Answers:
    return (
        int(count > 1),
        extent.pole,
        size_class(extent.long_mm),
        int(extent.outside < 0.2),
        _shape(lesion, extent),
        _composition(lesion),
        _density(lesion),
        int(lesion.necrosis_fraction < 0.05),
        _enhancement(lesion),
        int(np.searchsorted((20.0, 60.0), attributes.arterial, side="right")),
        int(lesion.shape.irregularity > 0.045),
        opinion_class(malignant),
        0 if malignant > 0.5 else nature,
        int(not (lesion.label == "tumour" and extent.sinus_mm >= SINUS_MM)),
    )


def size_class(diameter_mm: float) -> int:
    """Option of the question about size."""
    return sum(diameter_mm > edge for edge in (40.0, 70.0, 100.0))


def opinion_class(malignant: float) -> int:
    """Option of the question about malignancy for a probability."""
    if malignant > 0.5:
        return 1 if malignant > _FIRM else 3
    return 0 if malignant < 1 - _FIRM else 2


def _shape(lesion: Lesion, extent: Extent) -> int:
    if lesion.shape.irregularity < 0.025:
        return 0
    if lesion.shape.irregularity > 0.045:
        return 1
    return 2 if extent.long_mm > 70 else 3


def _composition(lesion: Lesion) -> int:
    if lesion.label == "cyst":
        return int(max(lesion.enhancement_hu[:2]) >= 20)
    return 1 if lesion.necrosis_fraction >= 0.15 else 2


def _density(lesion: Lesion) -> int:
    if lesion.fat_fraction >= 0.1:
        return 4
    if _composition(lesion) == 1:
        return 5
    if lesion.necrosis_fraction >= 0.08:
        return 3
    return int(np.searchsorted((25.0, 40.0), lesion.native_hu, side="right"))


def _enhancement(lesion: Lesion) -> int:
    if lesion.septa:
        return 5
    strongest = max(lesion.enhancement_hu[:2])
    if strongest < 20:
        return 0
    if lesion.texture_hu >= 16 or lesion.necrosis_fraction >= 0.12:
        return 4
    return int(np.searchsorted((50.0, 90.0), strongest, side="right")) + 1


def _course(lesion: Lesion) -> int | None:
    if lesion.label == "cyst":
        return None
    arterial, venous, _ = lesion.enhancement_hu
    return 0 if venous < arterial - 15 else 1 if venous > arterial + 8 else 2


def _benign_nature(weights: Mapping[Histology, float]) -> int:
    shares = dict.fromkeys((1, 2, _OTHER_BENIGN), 0.0)
    for histology, weight in weights.items():
        if not histology.malignant:
            shares[_NATURES.get(histology, _OTHER_BENIGN)] += weight
    return max(shares, key=lambda option: shares[option])
