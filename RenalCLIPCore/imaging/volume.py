"""Volumes and their geometry: the only place where axes, LPS and RAS are handled.

All positions are DICOM patient coordinates in millimetres: x grows towards the patient's Left, y towards
Posterior, z towards Superior (LPS). An array is indexed ``[i, j, k]`` and the same ``(i, j, k)`` is the voxel
index of the geometry; SimpleITK's memory order is a transposed view of that.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..errors import GeometryError, InputError, OutputError
from ..output import beside
from .declared_spacing import check_declared_spacing
from .nifti import nifti_is_complete
from .volume_header import (
    DETACHED,
    SUFFIXES,
    check_announced,
    check_data_files,
    file_words,
    gzip_length,
    native_silence,
)

if TYPE_CHECKING:
    import SimpleITK as sitk

Float3 = tuple[float, float, float]
Int3 = tuple[int, int, int]
FloatArray = npt.NDArray[np.floating[Any]]

ORTHOGONALITY_TOLERANCE = 1e-3
OBLIQUE_TOLERANCE = 1e-6


@dataclass(frozen=True)
class Geometry:
    """A regular voxel grid in patient space, without pixels.

    Attributes:
        size: Number of voxels along the index axes (i, j, k).
        spacing_mm: Distance between voxel centres along (i, j, k), in millimetres.
        origin_lps_mm: Patient position of the centre of voxel (0, 0, 0).
        direction: 3 x 3, row major; column ``a`` is the unit vector (LPS) along index axis ``a``.

    Raises:
        GeometryError: A size or spacing is not positive, or the axes are not orthogonal.
    """

    size: Int3
    spacing_mm: Float3
    origin_lps_mm: Float3
    direction: tuple[Float3, Float3, Float3]

    def __post_init__(self) -> None:
        if len(self.size) != 3 or min(self.size) < 1:
            raise GeometryError(f"A three-dimensional volume is needed, but the image has the size {self.size}.")
        spacing = np.asarray(self.spacing_mm, dtype=float)
        if not np.all(np.isfinite(spacing)) or spacing.min() <= 0 or spacing.max() > 100:
            raise GeometryError(f"The voxel spacing {self.spacing_mm} mm is not usable; check the file's header.")
        if not np.all(np.isfinite(self.origin_lps_mm)) or not np.all(np.isfinite(self.direction)):
            raise GeometryError("The origin or direction of the image is not finite; check the file's header.")
        matrix = self.direction_matrix
        if np.abs(matrix.T @ matrix - np.eye(3)).max() > ORTHOGONALITY_TOLERANCE:
            raise GeometryError("The image axes are not orthogonal; a sheared volume must be rectified first.")

    @property
    def direction_matrix(self) -> FloatArray:
        """Direction as a (3, 3) array; columns are index axes in LPS."""
        return np.asarray(self.direction, dtype=float)

    @cached_property
    def index_to_lps(self) -> FloatArray:
        """(4, 4) affine from voxel index (i, j, k, 1) to LPS millimetres."""
        affine = np.eye(4)
        affine[:3, :3] = self.direction_matrix * np.asarray(self.spacing_mm)
        affine[:3, 3] = self.origin_lps_mm
        return affine

    @cached_property
    def lps_to_index(self) -> FloatArray:
        """(4, 4) affine from LPS millimetres to continuous voxel index."""
        return np.asarray(np.linalg.inv(self.index_to_lps))

    def lps(self, index: npt.ArrayLike) -> FloatArray:
        """Patient positions (..., 3) in LPS mm of continuous voxel indices (..., 3)."""
        return np.asarray(index, dtype=float) @ self.index_to_lps[:3, :3].T + self.index_to_lps[:3, 3]

    def index(self, lps_mm: npt.ArrayLike) -> FloatArray:
        """Continuous voxel indices (..., 3) of patient positions (..., 3) in LPS mm."""
        return np.asarray(lps_mm, dtype=float) @ self.lps_to_index[:3, :3].T + self.lps_to_index[:3, 3]

    def contains(self, lps_mm: npt.ArrayLike) -> bool:
        """Whether a patient position lies within the voxels of the grid (half a voxel around the outer centres)."""
        index = self.index(lps_mm)
        return bool(np.all(index >= -0.5) and np.all(index <= np.asarray(self.size) - 0.5))

    @property
    def bounds_lps_mm(self) -> tuple[FloatArray, FloatArray]:
        """Smallest and largest patient coordinates (each (3,)) of the grid's outer voxel faces."""
        corners = itertools.product(*((-0.5, n - 0.5) for n in self.size))
        points = self.lps(list(corners))
        return points.min(axis=0), points.max(axis=0)

    @property
    def voxel_volume_ml(self) -> float:
        """Volume of one voxel in millilitres."""
        return float(np.prod(self.spacing_mm)) / 1000.0

    @property
    def is_oblique(self) -> bool:
        """Whether the index axes are not (permuted, flipped) patient axes."""
        largest = np.abs(self.direction_matrix).max(axis=0)
        return bool(np.any(largest < 1.0 - OBLIQUE_TOLERANCE))

    def crop(self, start: Int3, size: Int3) -> Geometry:
        """The grid of ``size`` voxels whose first voxel is ``start`` (may lie outside this grid)."""
        origin = self.lps(start)
        return Geometry(size, self.spacing_mm, (origin[0], origin[1], origin[2]), self.direction)

    def same_grid(self, other: Geometry, tolerance_mm: float = 1e-3) -> bool:
        """Whether both grids have the same size and all voxel centres agree within ``tolerance_mm``."""
        if self.size != other.size:
            return False
        corners = np.array(list(itertools.product(*((0, n - 1) for n in self.size))))
        return bool(np.abs(self.lps(corners) - other.lps(corners)).max() <= tolerance_mm)

    def canonical_axes(self) -> tuple[Int3, tuple[bool, bool, bool]]:
        """Index axis nearest to L, P and S, and whether it runs the other way.

        Returns:
            ``order``: for each patient axis (L, P, S) the index axis nearest to it; ``flip``: whether that index axis
            points to R, A or I.
        """
        matrix = np.abs(self.direction_matrix)
        order = max(itertools.permutations(range(3)), key=lambda p: sum(matrix[a, p[a]] for a in range(3)))
        flip = tuple(bool(self.direction_matrix[a, order[a]] < 0) for a in range(3))
        return (order[0], order[1], order[2]), (flip[0], flip[1], flip[2])

    def canonical(self) -> Geometry:
        """The same grid with its index axes ordered and directed nearest to L, P, S (exact, no resampling)."""
        order, flip = self.canonical_axes()
        start = [0, 0, 0]
        for axis in range(3):
            if flip[axis]:
                start[order[axis]] = self.size[order[axis]] - 1
        origin = self.lps(start)
        columns = self.direction_matrix[:, list(order)] * np.where(flip, -1.0, 1.0)
        return Geometry.from_components(
            tuple(self.size[a] for a in order), tuple(self.spacing_mm[a] for a in order), origin, columns
        )

    def patient_aligned(self) -> Geometry:
        """The grid along the patient axes that covers this one: itself (canonical) unless it is oblique.

        An oblique grid is replaced by the smallest axis-aligned one around it with the spacings of its nearest axes.
        """
        canonical = self.canonical()
        if not self.is_oblique:
            return Geometry.from_components(canonical.size, canonical.spacing_mm, canonical.origin_lps_mm, np.eye(3))
        low, high = canonical.bounds_lps_mm
        spacing = np.asarray(canonical.spacing_mm)
        size = np.ceil((high - low) / spacing - 1e-6).astype(int)
        origin = (low + high) / 2 - spacing * (size - 1) / 2
        return Geometry.from_components(tuple(size), spacing, origin, np.eye(3))

    @staticmethod
    def from_components(
        size: Any, spacing_mm: npt.ArrayLike, origin_lps_mm: npt.ArrayLike, direction: npt.ArrayLike
    ) -> Geometry:
        """Build from any array-likes; ``direction`` is (3, 3) with the index axes (LPS) as columns."""
        spacing = np.asarray(spacing_mm, dtype=float).ravel()
        origin = np.asarray(origin_lps_mm, dtype=float).ravel()
        matrix = np.asarray(direction, dtype=float).reshape(3, 3)
        return Geometry(
            (int(size[0]), int(size[1]), int(size[2])),
            (float(spacing[0]), float(spacing[1]), float(spacing[2])),
            (float(origin[0]), float(origin[1]), float(origin[2])),
            tuple((float(row[0]), float(row[1]), float(row[2])) for row in matrix),  # type: ignore[arg-type]
        )

    @staticmethod
    def from_sitk(image: sitk.Image) -> Geometry:
        """Geometry of a three-dimensional SimpleITK image (LPS, as ITK stores it)."""
        return Geometry.from_components(
            image.GetSize(), image.GetSpacing(), image.GetOrigin(), np.reshape(image.GetDirection(), (3, 3))
        )


@dataclass(frozen=True, eq=False)
class Volume:
    """Scalar voxels on a grid.

    Attributes:
        array: (i, j, k) voxels: Hounsfield units for CT, label values for a segmentation.
        geometry: Grid of the voxels.
    """

    array: npt.NDArray[Any]
    geometry: Geometry

    def __post_init__(self) -> None:
        if self.array.shape != self.geometry.size:
            raise GeometryError(f"The voxel array {self.array.shape} does not fit its grid {self.geometry.size}.")

    def canonical(self) -> Volume:
        """The same voxels with axes ordered and directed nearest to L, P, S; a view, nothing is resampled."""
        order, flip = self.geometry.canonical_axes()
        array = self.array.transpose(order)
        array = array[tuple(slice(None, None, -1) if f else slice(None) for f in flip)]
        return Volume(array, self.geometry.canonical())

    def to_sitk(self) -> sitk.Image:
        """A SimpleITK image with the same voxels and geometry."""
        import SimpleITK as sitk

        array = self.array.astype(np.uint8) if self.array.dtype == bool else self.array
        image = sitk.GetImageFromArray(np.ascontiguousarray(array.transpose(2, 1, 0)))
        image.SetSpacing(self.geometry.spacing_mm)
        image.SetOrigin(self.geometry.origin_lps_mm)
        image.SetDirection([value for row in self.geometry.direction for value in row])
        return image

    @staticmethod
    def from_sitk(image: sitk.Image) -> Volume:
        """Voxels and geometry of a three-dimensional SimpleITK image (copied)."""
        import SimpleITK as sitk

        return Volume(sitk.GetArrayFromImage(image).transpose(2, 1, 0), Geometry.from_sitk(image))

    def resample_to(self, target: Geometry, *, nearest: bool = False, fill: float = -1000.0) -> Volume:
        """Resample onto another grid (float32 linear, or nearest neighbour in the own type), ``fill`` outside."""
        import SimpleITK as sitk

        if target.same_grid(self.geometry, 1e-6):
            return self
        source = self if nearest else Volume(self.array.astype(np.float32, copy=False), self.geometry)
        image = sitk.Resample(
            source.to_sitk(),
            target.size,
            sitk.Transform(3, sitk.sitkIdentity),
            sitk.sitkNearestNeighbor if nearest else sitk.sitkLinear,
            target.origin_lps_mm,
            target.spacing_mm,
            [value for row in target.direction for value in row],
            fill,
        )
        return Volume(sitk.GetArrayFromImage(image).transpose(2, 1, 0), target)


def lps_from_ras(ras_mm: npt.ArrayLike) -> FloatArray:
    """LPS positions (..., 3) of RAS positions (..., 3), in mm."""
    return np.asarray(ras_mm, dtype=float) * (-1.0, -1.0, 1.0)


def is_volume_file(path: Path) -> bool:
    """Whether the name is that of a volume file that can be read (NIfTI, NRRD, MetaImage)."""
    return path.name.lower().endswith(SUFFIXES)


def read_geometry(path: Path, what: str | None = None) -> Geometry:
    """Geometry of a volume file, from its header alone.

    Args:
        path: The file.
        what: What to call it in messages; its kind when None, never its name.

    Raises:
        InputError: The file is missing, no readable image, or too short for what its header announces.
        GeometryError: It is not three-dimensional, is announced larger than can be held, or its geometry is unusable.
    """
    return _geometry_of(_reader(path, what or file_words(path)), what or file_words(path))


def read_volume(path: Path, what: str | None = None) -> Volume:
    """Read a volume file (NIfTI, NRRD, MetaImage) as it is stored; arguments as for :func:`read_geometry`.

    Raises:
        InputError: The file is missing, truncated or no readable image.
        GeometryError: As for :func:`read_geometry`.
    """
    import SimpleITK as sitk

    what = what or file_words(path)
    reader = _reader(path, what)
    geometry = _geometry_of(reader, what)
    if path.name.lower().endswith((".nii", ".nii.gz")) and not nifti_is_complete(path):
        raise InputError(f"{what} cannot be read to its end; it may be truncated or damaged.")
    components = reader.GetNumberOfComponents()
    if components != 1:
        raise InputError(f"{what} has {components} values per voxel, but one value per voxel is needed.")
    try:
        with native_silence():
            image = reader.Execute()
    except RuntimeError as error:
        raise InputError(f"{what} cannot be read to its end; it may be truncated or damaged.") from error
    if "complex" in image.GetPixelIDTypeAsString():
        raise InputError(f"{what} holds complex numbers; one real value per voxel is needed.")
    return Volume(sitk.GetArrayFromImage(image).T.reshape(geometry.size), geometry)


def write_volume(volume: Volume, path: Path) -> None:
    """Write a volume file, compressed, by atomic rename; the format follows the suffix.

    Raises:
        OutputError: The folder cannot be written, the disk is full, or the suffix is none of a single file's.
    """
    import SimpleITK as sitk

    suffix = next((suffix for suffix in SUFFIXES if path.name.lower().endswith(suffix)), "")
    if not suffix or suffix in DETACHED:
        raise OutputError("A volume is written as .nii.gz, .nii, .nrrd or .mha; give such a name.")
    try:
        with beside(path) as stage:
            partial = stage / f"volume{suffix}"
            with native_silence():
                sitk.WriteImage(volume.to_sitk(), str(partial), True, 1)
            if not _written_whole(partial, suffix, volume):
                raise OutputError(_NOT_WRITTEN)
            partial.replace(path)
    except (RuntimeError, OSError) as error:
        raise OutputError(_NOT_WRITTEN) from error


_NOT_WRITTEN = "A volume could not be written whole; check the folder's permissions and the space left on the disk."


def _written_whole(path: Path, suffix: str, volume: Volume) -> bool:
    """Whether all voxels reached the file: the image library ends without a word on a full disk."""
    if suffix.startswith(".nii"):
        return path.stat().st_size > 4 and nifti_is_complete(path)
    if suffix == ".nrrd":
        return path.stat().st_size > 4 and gzip_length(path) == volume.array.nbytes % (1 << 32)
    return True


def _geometry_of(reader: sitk.ImageFileReader, what: str) -> Geometry:
    size = tuple(int(n) for n in reader.GetSize())
    if len(size) == 4 and size[3] == 1:
        size = size[:3]
    if len(size) != 3:
        raise GeometryError(f"{what} has {len(size)} dimensions; a 3-D volume is needed.")
    dimension = reader.GetDimension()
    matrix = np.reshape(reader.GetDirection(), (dimension, dimension))[:3, :3]
    return Geometry.from_components(size, reader.GetSpacing()[:3], reader.GetOrigin()[:3], matrix)


def _reader(path: Path, what: str) -> sitk.ImageFileReader:
    """A reader that has read the header, and found no more announced than can be there."""
    import SimpleITK as sitk

    try:
        str(path).encode()
        if not path.is_file():
            raise InputError(f"{what} cannot be read: there is no such file, or it is no plain file.")
        stored = check_data_files(path, what)
        check_declared_spacing(path, what)
    except OSError as error:
        raise InputError(f"{what} cannot be read ({error.strerror}); check name and permissions.") from error
    except UnicodeEncodeError as error:  # the image library ends the program over such a name
        raise InputError(
            f"{what} has a name, or lies in a folder, that is not valid text (UTF-8); rename it."
        ) from error
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        with native_silence():
            reader.ReadImageInformation()
    except (RuntimeError, OverflowError, UnicodeError) as error:
        raise InputError(f"{what} is no image that can be read (NIfTI, NRRD or MetaImage).") from error
    bits = re.search(r"(\d+)-bit", sitk.GetPixelIDValueAsString(reader.GetPixelID()))
    voxel_bytes = max(1, reader.GetNumberOfComponents()) * (int(bits.group(1)) // 8 if bits else 16)
    check_announced(tuple(reader.GetSize()), voxel_bytes, stored, what)
    return reader
