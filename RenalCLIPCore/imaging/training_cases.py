"""Finding the image and label files of a segmentation training or evaluation."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from ..errors import CohortError
from .nnunet_options import TrainingCase
from .volume import is_volume_file

_FOLDERS = (("images", "labels"), ("imagesTr", "labelsTr"), ("imagesTs", "labelsTs"))
_SUFFIX = re.compile(r"(\.seg)?\.(nii\.gz|nii|nrrd|nhdr|mha|mhd)$", re.IGNORECASE)
_PHASE = re.compile(r"_[NAVD]$")


def cases_in_folder(folder: Path) -> tuple[TrainingCase, ...]:
    """Pairs of image and labels in a folder, in the order of their names.

    Known layouts: ``images/NAME`` beside ``labels/NAME``; nnU-Net's ``imagesTr/NAME_0000`` beside ``labelsTr/NAME``;
    KiTS' ``NAME/imaging`` beside ``NAME/segmentation``. Names that differ only in a last ``_N``, ``_A``, ``_V`` or
    ``_D`` are phases of one patient.

    Raises:
        CohortError: There are none, or an image has no labels.
    """
    for images, labels in _FOLDERS:
        if (folder / images).is_dir() and (folder / labels).is_dir():
            return tuple(_pairs(folder / images, folder / labels))
    found = [item for item in sorted(folder.iterdir()) if item.is_dir()] if folder.is_dir() else []
    kits = [(item, _named(item, "imaging"), _named(item, "segmentation")) for item in found]
    cases = tuple(_case(item.name, image, labels) for item, image, labels in kits if image and labels)
    if not cases:
        raise CohortError(
            f"{folder.name} holds no images with labels; folders images and labels with files of the same names are "
            "needed (or imagesTr and labelsTr as in nnU-Net, or one folder per case with imaging and segmentation)."
        )
    return cases


def file_key(path: Path) -> str:
    """A volume file's name without its suffix: what pairs an image, its labels and its prediction."""
    return _SUFFIX.sub("", path.name)


def volume_files(folder: Path) -> dict[str, Path]:
    """Volume files of a folder by :func:`file_key`."""
    if not folder.is_dir():
        raise CohortError(f"{folder.name} is no folder.")
    return {file_key(path): path for path in sorted(folder.iterdir()) if is_volume_file(path)}


def _pairs(images: Path, labels: Path) -> Iterator[TrainingCase]:
    known = volume_files(labels)
    found = volume_files(images)
    if not found:
        raise CohortError(f"{images.name} holds no volume files.")
    for key, path in found.items():
        own = known.get(key) or known.get(key.removesuffix("_0000"))
        if own is None:
            raise CohortError(f"An image in {images.name} has no file of the same name in {labels.name}.")
        yield _case(key.removesuffix("_0000"), path, own)


def _case(name: str, image: Path, labels: Path) -> TrainingCase:
    case_id = re.sub(r"[^A-Za-z0-9_-]", "-", name)
    return TrainingCase(case_id, image, labels, group=_PHASE.sub("", case_id))


def _named(folder: Path, stem: str) -> Path | None:
    return next((path for path in sorted(folder.iterdir()) if file_key(path) == stem and is_volume_file(path)), None)
