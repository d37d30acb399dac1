"""Label maps of real kidneys that patients are painted onto: found in a folder, read, checked and cropped."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import numpy as np

from ..errors import ConfigurationError, GeometryError, InputError, NoLesionError, RenalCLIPError
from ..imaging.lesions import LesionFindings, find_lesions
from ..imaging.mask_fields import bounding_box
from ..imaging.mask_labels import KIDNEY
from ..imaging.segmentation_file import load_segmentation
from ..imaging.volume import Volume, is_volume_file, read_geometry
from ..progress import Progress
from .grids import CENTRE_MARGIN_MM, MARGIN_MM, ROI_HALF_MM
from .streams import stream

LICENCE = (
    "Phantom painted onto a segmentation of a real patient, whose licence holds for it and for what is learnt from it "
    "(KiTS: CC BY-NC-SA 4.0, non-commercial, share alike); not to be shipped with a product."
)
_NESTED = "*/segmentation.nii.gz"
_SPACING_MM, _THICKEST_MM = (0.2, 3.0), 8.0
_PARENCHYMA_ML = (25.0, 1500.0)
_MINIMUM_ML = 0.05


@dataclass(frozen=True)
class MaskFile:
    """A label map's file and its hash."""

    path: Path
    sha256: str


@dataclass(frozen=True, eq=False)
class RealMask:
    """A label map, cropped around the kidneys and the region of interest of the primary lesion.

    Attributes:
        labels: Along the patient's axes: 0 background, 1 kidney, 2 tumour, 3 cyst.
        found: Its lesions (on the same grid), at least one.
        middle_x_mm: Middle of the whole map, which tells the side of a single kidney.
        sha256: Hash of the file.
    """

    labels: Volume
    found: LesionFindings
    middle_x_mm: float
    sha256: str

    def around_lesion(self) -> Volume:
        """The labels just around the region of interest of the primary lesion."""
        centre = np.asarray(self.found.lesions[0].centre_lps_mm)
        half = np.asarray(ROI_HALF_MM) + CENTRE_MARGIN_MM
        return _part(self.labels, centre - half, centre + half)


def mask_files(folder: Path) -> tuple[Path, ...]:
    """Label maps of a folder in the order of their names: its volume files, else ``*/segmentation.nii.gz`` (KiTS).

    Raises:
        InputError: There is none.
    """
    found = sorted(path for path in folder.glob("*") if path.is_file() and is_volume_file(path))
    found = found or sorted(folder.glob(_NESTED))
    if not found:
        raise InputError(
            f"No label maps were found: give a folder of volume files (.nii.gz, .nrrd, .mha) or of {_NESTED}."
        )
    return tuple(found)


def choose_masks(
    folder: Path, patients: int, per_mask: int, seed: int, progress: Progress | None = None
) -> tuple[MaskFile, ...]:
    """The label maps for a number of patients, in a random order; each is read and checked.

    Args:
        folder: Of the maps.
        patients: Wanted patients.
        per_mask: At most so many patients on one map.
        seed: Of the order.
        progress: Told before every map.

    Raises:
        ConfigurationError: The maps are too few.
        InputError, GeometryError, NoKidneyError, NoLesionError: A map cannot be painted; the message tells its place
            in the order of the names, not its name.
    """
    files = mask_files(folder)
    if per_mask < 1 or patients > per_mask * len(files):
        raise ConfigurationError(
            f"{patients} patients need more than {len(files)} masks with at most {per_mask} each; allow more per mask."
        )
    order = [int(place) for place in stream(seed, "masks").permutation(len(files))][:patients]
    chosen = []
    for count, place in enumerate(order):
        if progress:
            progress(0.0, f"checking mask {count + 1} of {len(order)}")
        try:
            chosen.append(MaskFile(files[place], read_mask(files[place]).sha256))
        except RenalCLIPError as error:
            where = f"Mask {place + 1} of {len(files)} (in the order of the file names) cannot be painted. "
            raise type(error)(f"{where}{error}") from error
    return tuple(chosen)


def read_mask(path: Path) -> RealMask:
    """Read, check and crop a label map.

    Raises:
        InputError: It cannot be read, or holds unknown labels.
        GeometryError: Its voxel spacing, or the kidneys' size with it, is impossible.
        NoKidneyError: It shows no kidney.
        NoLesionError: It shows no tumour or cyst of at least 0.05 ml.
    """
    _check_spacing(read_geometry(path, "The mask").spacing_mm)
    given = load_segmentation(path, read_geometry(path, "The mask"))
    labels = given.labels.canonical()
    found = find_lesions(labels, _MINIMUM_ML)
    parenchyma = int(np.count_nonzero(labels.array == KIDNEY)) * labels.geometry.voxel_volume_ml
    if not _PARENCHYMA_ML[0] <= parenchyma <= _PARENCHYMA_ML[1]:
        raise GeometryError(
            f"By its voxel spacing the parenchyma measures {parenchyma:.0f} ml, which nobody's does; check the header."
        )
    if not found.lesions:
        raise NoLesionError("It shows no tumour or cyst of 0.05 ml or more, but a painted patient needs a lesion.")
    low, high = labels.geometry.bounds_lps_mm
    cropped, components = _around_kidneys(labels, found)
    return RealMask(cropped, replace(found, components=components), float((low[0] + high[0]) / 2), given.sha256)


def _check_spacing(spacing_mm: tuple[float, float, float]) -> None:
    first, second, third = sorted(spacing_mm)
    if first < _SPACING_MM[0] or second > _SPACING_MM[1] or third > _THICKEST_MM:
        words = " x ".join(f"{value:g}" for value in spacing_mm)
        raise GeometryError(
            f"Its voxels measure {words} mm; {_SPACING_MM[0]} to {_SPACING_MM[1]:g} mm in plane and slices of at most "
            f"{_THICKEST_MM:g} mm are needed."
        )


def _around_kidneys(labels: Volume, found: LesionFindings) -> tuple[Volume, Volume]:
    box = bounding_box(labels.array > 0)
    assert box is not None
    corners = [[side.start for side in box], [side.stop - 1 for side in box]]
    ends = labels.geometry.lps(corners)
    centre = np.asarray(found.lesions[0].centre_lps_mm)
    low = np.minimum(ends.min(axis=0) - MARGIN_MM, centre - ROI_HALF_MM)
    high = np.maximum(ends.max(axis=0) + MARGIN_MM, centre + ROI_HALF_MM)
    return _part(labels, low, high), _part(found.components.canonical(), low, high)


def _part(volume: Volume, low_mm: np.ndarray, high_mm: np.ndarray) -> Volume:
    """The voxels whose centres lie in a box of patient space, as far as the volume reaches."""
    grid = volume.geometry
    index = grid.index(list(product(*zip(low_mm, high_mm, strict=True))))
    start = np.clip(np.ceil(index.min(axis=0)), 0, np.asarray(grid.size) - 1).astype(int)
    stop = np.clip(np.floor(index.max(axis=0)) + 1, start + 1, grid.size).astype(int)
    part = np.ascontiguousarray(volume.array[tuple(slice(int(a), int(b)) for a, b in zip(start, stop, strict=True))])
    first = (int(start[0]), int(start[1]), int(start[2]))
    return Volume(part, grid.crop(first, (part.shape[0], part.shape[1], part.shape[2])))
