"""A series of slices to one volume of HU: order and spacing checked by position, gaps and gantry tilt handled."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import GeometryError, SliceGapError
from ..progress import Progress
from .dicom import Slice, content_hash, read_pixels
from .hounsfield import AIR_HU, check_hounsfield, to_hounsfield
from .series import SAME_PLACE_MM, Series, step_tolerance_mm, without
from .volume import FloatArray, Geometry, Volume
from .volume_header import MAX_VOXELS

TILT_TOLERANCE = 0.005


@dataclass(frozen=True)
class Layout:
    """How the slices of a series without repeated positions lie, from their headers alone.

    Attributes:
        series: The series.
    """

    series: Series

    @cached_property
    def step_mm(self) -> float:
        """Distance between neighbouring slices along the normal: the mean where even, the median otherwise."""
        steps = np.diff(self.series.offsets_mm)
        median = float(np.median(steps))
        return float(steps.mean()) if self._even(steps, median) else median

    @cached_property
    def gaps(self) -> tuple[tuple[int, int], ...]:
        """(place, n): n slices are missing after the slice at that place."""
        steps = np.diff(self.series.offsets_mm) / self.step_mm
        whole = np.rint(steps).astype(int)
        fits = np.abs(steps - whole) <= 0.1
        return tuple((int(k), int(whole[k]) - 1) for k in np.flatnonzero(fits & (whole > 1)))

    @cached_property
    def is_even(self) -> bool:
        """Whether all neighbours are equally far apart."""
        steps = np.diff(self.series.offsets_mm)
        return self._even(steps, float(np.median(steps)))

    @property
    def length_steps(self) -> float:
        """How many slices at the usual distance the stack's length would hold."""
        return self.series.length_mm / self.step_mm + 1

    @cached_property
    def only_gaps(self) -> bool:
        """Whether the unevenness is that of missing slices and nothing else."""
        steps = np.diff(self.series.offsets_mm) / self.step_mm
        return bool(np.all(np.abs(steps - np.rint(steps)) <= 0.1) and np.all(np.rint(steps) >= 1))

    @cached_property
    def shift_per_mm(self) -> FloatArray:
        """(3,) in-plane shift (LPS mm) of the slices per millimetre along the normal; zero without gantry tilt."""
        positions, normal = self.series.positions_lps_mm, np.asarray(self.series.slices[0].normal)
        inplane = positions - np.outer(positions @ normal, normal)
        way = self.series.offsets_mm - self.series.offsets_mm.mean()
        return np.asarray(way @ (inplane - inplane.mean(axis=0)) / (way @ way))

    @property
    def is_tilted(self) -> bool:
        """Whether the stack is sheared (gantry tilt)."""
        shift = self.shift_per_mm
        return bool(np.linalg.norm(shift) > TILT_TOLERANCE and np.linalg.norm(shift) * self.series.length_mm > 0.5)

    def check_line(self) -> None:
        """Refuse slices that do not lie on one straight line.

        Raises:
            GeometryError: Slices are shifted against each other in their planes.
        """
        positions = self.series.positions_lps_mm
        way = self.series.offsets_mm - self.series.offsets_mm.mean()
        normal = np.asarray(self.series.slices[0].normal)
        fitted = positions.mean(axis=0) + np.outer(way, normal + self.shift_per_mm)
        off = float(np.abs(positions - fitted).max())
        if off > max(1.0, max(self.series.slices[0].spacing_mm)):
            raise GeometryError(
                f"The slices of series {self.series.label} are shifted against each other by up to {off:.1f} mm; "
                "export the series again, or leave it out with --phase."
            )

    def _even(self, steps: FloatArray, median: float) -> bool:
        ideal = np.linspace(0.0, float(steps.sum()), len(steps) + 1)
        drift = np.abs(np.concatenate([[0.0], np.cumsum(steps)]) - ideal).max()
        return bool(np.abs(steps - median).max() <= step_tolerance_mm(median) and drift <= 0.25 * median)


def repeated_places(series: Series) -> tuple[tuple[int, int], ...]:
    """Pairs of neighbouring places whose slices have the same position."""
    return tuple((int(k), int(k) + 1) for k in np.flatnonzero(np.diff(series.offsets_mm) <= SAME_PLACE_MM))


def stack_geometry(series: Series) -> Geometry | None:
    """Grid of a series as its slices are stored (column, row, slice); None where its volume is resampled from them."""
    plain = without(series, (second for _, second in repeated_places(series)))
    layout = Layout(plain)
    if len(plain.slices) < 2 or not layout.is_even or layout.is_tilted:
        return None
    count = len(plain.slices)
    step = (plain.offsets_mm[-1] - plain.offsets_mm[0]) / (count - 1)
    return _geometry(plain, (series.instance.columns, series.instance.rows, count), step)


def check_layout(series: Series, allow_gaps: bool) -> None:
    """Check a series from its headers alone (repeated positions are left to :func:`build_volume`).

    Raises:
        SliceGapError: Slices are missing or unevenly spaced and ``allow_gaps`` is off; the message gives positions.
        GeometryError: The slices do not lie on one line, or are too many to be held.
    """
    plain = without(series, (second for _, second in repeated_places(series)))
    layout = Layout(plain)
    layout.check_line()
    rows, columns = series.instance.rows, series.instance.columns
    slices = max(len(plain.slices) + sum(n for _, n in layout.gaps), layout.length_steps)
    if rows * columns * slices > MAX_VOXELS:
        raise GeometryError(f"Series {series.label} announces more voxels than can be held; check the files.")
    if layout.is_even or allow_gaps:
        return
    if layout.only_gaps:
        raise SliceGapError(
            f"Series {series.label} lacks {_count(layout)} at {_missing_places(layout)}. Export the missing slices, "
            "or import with --allow-gaps, which fills them by interpolation and records it."
        )
    steps = np.diff(plain.offsets_mm)
    place = int(np.argmax(np.abs(steps - np.median(steps))))
    raise SliceGapError(
        f"The slices of series {series.label} are unevenly spaced: {steps.min():.2f} to {steps.max():.2f} mm, most "
        f"unusual after z = {plain.positions_lps_mm[place, 2]:.1f} mm (LPS). Export the series again, or import with "
        "--allow-gaps, which resamples it evenly and records it."
    )


def build_volume(
    series: Series, allow_gaps: bool = False, progress: Progress | None = None
) -> tuple[Volume, tuple[str, ...]]:
    """Read a series into a volume of Hounsfield units (int16), and say what was done to it.

    Raises:
        SliceGapError: Slices are missing or unevenly spaced (without ``allow_gaps``), or two different slices have the
            same position.
        GeometryError: The slices do not lie on one line.
        InputError: Pixels are truncated or damaged.
    """
    check_layout(series, allow_gaps)
    pixels, notes = _hounsfield_slices(series, progress)
    series, pixels, repeated = _drop_repeats(series, pixels)
    layout = Layout(series)
    notes += repeated
    offsets = series.offsets_mm
    if not layout.is_even:
        notes += (_gap_note(layout),)
        count = round((offsets[-1] - offsets[0]) / layout.step_mm) + 1
        pixels = _interpolate_slices(pixels, offsets, np.linspace(offsets[0], offsets[-1], count))
    step = (offsets[-1] - offsets[0]) / (len(pixels) - 1)
    array = pixels.transpose(2, 1, 0)
    if layout.is_tilted:
        volume, note = _rectify(array, layout, step)
        return volume, (*notes, note)
    return Volume(array, _geometry(series, array.shape, step)), notes


def _geometry(series: Series, shape: tuple[int, ...], step: float) -> Geometry:
    first = series.slices[0]
    directions = np.column_stack([first.row_direction, first.column_direction, first.normal])
    return Geometry.from_components(shape, (*first.spacing_mm, step), series.positions_lps_mm[0], directions)


def _hounsfield_slices(series: Series, progress: Progress | None) -> tuple[npt.NDArray[np.int16], tuple[str, ...]]:
    """(slices, rows, columns) Hounsfield units in the order of the series."""
    first = series.instance
    result = np.empty((len(series.slices), first.rows, first.columns), dtype=np.int16)
    notes: list[str] = []
    for count, (place, stored) in enumerate(_stored_values(series)):
        item = series.slices[place]
        if stored.shape != (first.rows, first.columns):
            raise GeometryError(f"The slice at {_place(item)} holds another image size than its header says.")
        result[place], found = to_hounsfield(_rescaled(stored, item))
        notes.extend(note for note in found if note not in notes)
        if progress and count % 10 == 0:
            progress(count / len(series.slices), f"reading series {series.label}")
    scales = {(item.slope, item.intercept) for item in series.slices}
    if any(slope is None or intercept is None for slope, intercept in scales):
        check_hounsfield(result, f"Series {series.label}, which gives no rescale slope and intercept,")
        notes.append("No rescale slope and intercept in the files; the stored values were taken as Hounsfield units.")
    elif len(scales) > 1:
        notes.append("The rescale slope or intercept changes within the series; each slice was scaled by its own.")
    return result, tuple(notes)


def _rescaled(stored: npt.NDArray[Any], item: Slice) -> npt.NDArray[Any]:
    slope, intercept = 1.0 if item.slope is None else item.slope, item.intercept or 0.0
    if slope == 1.0 and intercept == int(intercept):
        return stored.astype(np.int32) + int(intercept)
    return stored.astype(np.float32) * slope + intercept


def _stored_values(series: Series) -> Iterator[tuple[int, npt.NDArray[np.int16]]]:
    """(place in the series, stored values), file by file."""
    by_file: dict[object, list[int]] = {}
    for place, item in enumerate(series.slices):
        by_file.setdefault(item.instance.file, []).append(place)
    for places in by_file.values():
        frames = [series.slices[place].frame for place in places]
        first = series.slices[places[0]]
        what = f"series {series.label} at {_place(first)}"
        yield from zip(places, read_pixels(first.instance.file, frames, what), strict=True)


def _place(item: Slice) -> str:
    return "an unknown place" if item.position_lps_mm is None else f"z = {item.position_lps_mm[2]:.1f} mm (LPS)"


def _drop_repeats(
    series: Series, pixels: npt.NDArray[np.int16]
) -> tuple[Series, npt.NDArray[np.int16], tuple[str, ...]]:
    dropped = []
    for first, second in repeated_places(series):
        if content_hash(pixels[first]) != content_hash(pixels[second]):
            raise SliceGapError(
                f"Series {series.label} holds two different slices at z = {series.positions_lps_mm[second, 2]:.1f} mm "
                "(LPS), and no tag tells them apart. Remove one of them, or export the phases separately."
            )
        dropped.append(second)
    if not dropped:
        return series, pixels, ()
    places = ", ".join(f"{series.positions_lps_mm[k, 2]:.1f}" for k in dropped[:3])
    more = f" and {len(dropped) - 3} more" if len(dropped) > 3 else ""
    note = f"{len(dropped)} identical duplicate slice(s) left out, at z = {places}{more} mm."
    return without(series, dropped), np.delete(pixels, dropped, axis=0), (note,)


def _interpolate_slices(
    pixels: npt.NDArray[np.int16], offsets: FloatArray, wanted: FloatArray
) -> npt.NDArray[np.int16]:
    upper = np.clip(np.searchsorted(offsets, wanted), 1, len(offsets) - 1)
    weight = np.clip((wanted - offsets[upper - 1]) / (offsets[upper] - offsets[upper - 1]), 0.0, 1.0)
    result = np.empty((len(wanted), *pixels.shape[1:]), dtype=np.int16)
    for k, (place, share) in enumerate(zip(upper, weight, strict=True)):
        mixed = (1.0 - share) * pixels[place - 1].astype(np.float32) + share * pixels[place].astype(np.float32)
        result[k] = np.rint(mixed)
    return result


def _gap_note(layout: Layout) -> str:
    if layout.only_gaps:
        return f"{_count(layout)} at {_missing_places(layout)} filled by interpolation between the neighbours.".replace(
            "slices at", "missing slices at"
        ).replace("1 slice at", "1 missing slice at")
    steps = np.diff(layout.series.offsets_mm)
    return (
        f"Unevenly spaced slices ({steps.min():.2f} to {steps.max():.2f} mm) resampled onto an even grid of "
        f"{layout.step_mm:.2f} mm."
    )


def _count(layout: Layout) -> str:
    total = sum(n for _, n in layout.gaps)
    return f"{total} slice" if total == 1 else f"{total} slices"


def _missing_places(layout: Layout) -> str:
    places = []
    for place, missing in layout.gaps:
        before, after = layout.series.positions_lps_mm[place], layout.series.positions_lps_mm[place + 1]
        places += [before + (after - before) * (k + 1) / (missing + 1) for k in range(missing)]
    listed = ", ".join(f"{point[2]:.1f}" for point in places[:5])
    return f"z = {listed}{f' and {len(places) - 5} more' if len(places) > 5 else ''} mm (LPS)"


def _rectify(array: npt.NDArray[np.int16], layout: Layout, step: float) -> tuple[Volume, str]:
    """Resample a sheared stack (gantry tilt) onto a rectangular grid along its slice-to-slice direction."""
    from scipy.ndimage import affine_transform

    first = layout.series.slices[0]
    sheared = np.eye(4)
    advance = np.asarray(first.normal) + layout.shift_per_mm
    sheared[:3, 0] = np.asarray(first.row_direction) * first.spacing_mm[0]
    sheared[:3, 1] = np.asarray(first.column_direction) * first.spacing_mm[1]
    sheared[:3, 2] = advance * step
    sheared[:3, 3] = layout.series.positions_lps_mm[0]
    target = _upright_grid(sheared, array.shape, first)
    to_source = np.linalg.inv(sheared) @ target.index_to_lps
    values = affine_transform(
        array.astype(np.float32), to_source[:3, :3], to_source[:3, 3], target.size, order=1, cval=float(AIR_HU)
    )
    angle = float(np.degrees(np.arctan(np.linalg.norm(layout.shift_per_mm))))
    note = f"Gantry tilt of {angle:.1f} degrees; the sheared stack was resampled onto a rectangular grid."
    return Volume(np.rint(values).astype(np.int16), target), note


def _upright_grid(sheared: FloatArray, shape: tuple[int, ...], first: Slice) -> Geometry:
    """The rectangular grid along the stack's own advance that covers all its voxels."""
    third = sheared[:3, 2] / np.linalg.norm(sheared[:3, 2])
    row = np.asarray(first.row_direction) - third * (third @ np.asarray(first.row_direction))
    row /= np.linalg.norm(row)
    directions = np.column_stack([row, np.cross(third, row), third])
    corners = np.array(np.meshgrid(*((0, n - 1) for n in shape), indexing="ij")).reshape(3, -1).T
    local = (corners @ sheared[:3, :3].T + sheared[:3, 3]) @ directions
    spacing = np.array([*first.spacing_mm, np.linalg.norm(sheared[:3, 2])])
    low, high = local.min(axis=0), local.max(axis=0)
    size = np.ceil((high - low) / spacing - 1e-6).astype(int) + 1
    return Geometry.from_components(size, spacing, directions @ low, directions)
