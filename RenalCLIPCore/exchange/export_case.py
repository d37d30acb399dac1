"""A review as written to a folder, opened for export: the record, its label map and which voxels are which lesion."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..errors import InputError
from ..imaging.lesions import Lesion, find_lesions
from ..imaging.mask_labels import CYST, KIDNEY, TUMOUR
from ..imaging.volume import Volume, read_volume
from ..review import CaseReview, LesionReview, ReviewFormatError, read_review
from ..review_reading import present

REVIEW_FILE = "review.json"
MAX_REVIEW_BYTES = 256 << 20
_LABELS = {KIDNEY: "kidney", TUMOUR: "tumour", CYST: "cyst"}


@dataclass(frozen=True)
class ExportCase:
    """A review and the folder that its files are relative to."""

    review: CaseReview
    folder: Path

    def file(self, name: str, what: str) -> Path:
        """A file that the review names.

        Raises:
            InputError: It lies outside the review's folder or is gone.
        """
        root = self.folder.resolve()
        path = (root / name).resolve() if "\0" not in name else root
        if not path.is_relative_to(root) or not path.is_file():
            raise InputError(f"{what} that the review names is not beside it; export from the review's whole folder.")
        return path

    def labels(self) -> Volume | None:
        """The label map (0 background, 1 kidney, 2 tumour, 3 cyst; uint8), None where nothing was segmented.

        Raises:
            InputError: It is gone, unreadable, or holds other values.
        """
        record = present(self.review.segmentation)
        if record is None:
            return None
        stored = read_volume(self.file(record.file, "The label map"), "The label map")
        if not np.isin(np.unique(stored.array), (0, *_LABELS)).all():
            raise InputError("The label map holds values other than 0 to 3; export from the folder as it was written.")
        return Volume(stored.array.astype(np.uint8), stored.geometry)

    def reference(self) -> Volume | None:
        """The reference phase in Hounsfield units, None where its file is not beside the review."""
        record = next((p for p in self.review.study.phases if p.phase == self.review.study.reference_phase), None)
        if record is None:
            return None
        try:
            return read_volume(self.file(record.file, "The reference phase"), "The reference phase")
        except InputError:
            return None


@dataclass(frozen=True)
class Part:
    """A part of a label map that becomes a segment.

    Attributes:
        name: For people.
        label: ``kidney``, ``tumour`` or ``cyst``.
        side: ``left``, ``right``, ``both`` or empty.
        lesion: The lesion of the review that it is; None for kidneys and for islands that are no lesion.
    """

    name: str
    label: str
    side: str
    lesion: LesionReview | None = None


@dataclass(frozen=True)
class PartMap:
    """A label map taken apart: voxels (uint16, on the label map's grid) hold 0 or the number of a part, from 1."""

    voxels: Volume
    parts: tuple[Part, ...]

    def number_of(self, lesion_id: str) -> int | None:
        """Number of the part that a lesion is, None where the lesion has no mask."""
        places = (n for n, part in enumerate(self.parts, 1) if part.lesion and part.lesion.lesion_id == lesion_id)
        return next(places, None)


def open_review(path: Path) -> ExportCase:
    """Open ``review.json``, or the folder that holds it.

    Raises:
        InputError: There is none, or it is no review of a version that is known.
    """
    file = path / REVIEW_FILE if path.is_dir() else path
    try:
        if file.stat().st_size > MAX_REVIEW_BYTES:
            raise InputError(f"The review is larger than {MAX_REVIEW_BYTES >> 20} MB and is not read.")
        return ExportCase(read_review(file), file.parent)
    except ReviewFormatError as error:
        raise InputError(str(error)) from error
    except OSError as error:
        raise InputError(
            f"The review cannot be read ({error.strerror}); give review.json or the folder that holds it."
        ) from error


def part_map(labels: Volume, review: CaseReview) -> PartMap:
    """Take a label map apart: kidneys, each lesion of the review, and what else is labelled.

    Raises:
        InputError: A lesion of the review is not in the label map.
        NoKidneyError: There is no kidney.
    """
    found = find_lesions(labels)
    voxels = np.zeros(labels.array.shape, np.uint16)
    parts: list[Part] = []

    def add(mask: npt.NDArray[np.bool_], part: Part) -> None:
        parts.append(part)
        voxels[mask] = len(parts)

    add(labels.array == KIDNEY, _kidneys(review))
    for lesion in review.lesions:
        if present(lesion.volume_ml) is None:
            continue
        mask = found.components.array == _same(found.lesions, lesion).number
        add(mask, Part(f"{lesion.lesion_id} {lesion.label}, {lesion.side} kidney", lesion.label, lesion.side, lesion))
    for value in (TUMOUR, CYST):
        rest = (labels.array == value) & (voxels == 0)
        if rest.any():
            add(rest, Part(f"{_LABELS[value]} islands, not read as lesions", _LABELS[value], ""))
    return PartMap(Volume(voxels, labels.geometry), tuple(parts))


def _kidneys(review: CaseReview) -> Part:
    record = present(review.segmentation)
    sides = tuple(record.kidney_volumes_ml) if record else ()
    side = sides[0] if len(sides) == 1 else "both"
    return Part("Kidneys" if side == "both" else f"{side.capitalize()} kidney", "kidney", side)


def _same(lesions: tuple[Lesion, ...], wanted: LesionReview) -> Lesion:
    """The lesion of the label map that the review describes: of the same kind, volume and diameter."""
    for item in lesions:
        known = (item.volume_ml, item.largest_diameter_mm)
        said = (present(wanted.volume_ml), present(wanted.largest_diameter_mm))
        close = all(b is None or abs(a - b) <= 1e-3 * max(a, 1.0) for a, b in zip(known, said, strict=True))
        centre = present(wanted.centre_proposed)
        near = centre is None or max(abs(a - b) for a, b in zip(item.centre_lps_mm, centre.lps_mm, strict=True)) < 0.5
        if item.label == wanted.label and close and near:
            return item
    raise InputError(
        f"The label map beside the review does not hold the lesion {wanted.lesion_id} as the review measured it; "
        "export from the folder as it was written."
    )
