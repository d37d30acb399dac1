"""CT slices to series that could be a phase: grouping, separation of phases that share a series, kinds, preference."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property

import numpy as np

from .dicom import Instance, Slice
from .volume import FloatArray

SAME_PLACE_MM = 0.02
MOST_TILT_DEG = 35.0
FEWEST_SLICES = 4
_PHASE_SHARE = 0.3
_SHARP = re.compile(
    r"bone|knochen|lung|poumon|sharp|detail|edge|inner ear|scharf|\b[bhiju]r?[6-9]\d|\bfc[358]\d|\by[cde]\b|肺|骨",
    re.IGNORECASE,
)
_NO_ABDOMEN = re.compile(r"thora|chest|lung|lunge|poumon|head|neck|brain|hals|kopf|schadel|胸|肺|头|颈", re.IGNORECASE)
_MAP_WORDS = re.compile(
    r"\b(mip|minip|vrt|subtract\w*|iodine (map|density|overlay)|perfusion|z ?eff|vnc|fusion|overlay|screen ?(save|shot)"
    r"|dose (report|info|sheet)|patient protocol|dosisprotokoll|projection image|collage|fluoro)\b",
    re.IGNORECASE,
)


class Kind(StrEnum):
    """What a stack of CT slices is."""

    AXIAL = "axial series"
    LOCALISER = "localiser"
    FEW = "stack of too few slices"
    REFORMATTED = "reconstruction in another orientation"
    MAP = "derived image (projection, map, capture or dose sheet)"
    NO_POSITION = "series without positions"


@dataclass(frozen=True, eq=False)
class Series:
    """CT slices that form one stack, ordered by position along their common normal.

    Attributes:
        label: Series number, with a running part (``4.2``) where several stacks shared one series.
        slices: In ascending position along the normal (row direction x column direction).
    """

    label: str
    slices: tuple[Slice, ...]

    @property
    def instance(self) -> Instance:
        """Tags of the first slice's file."""
        return self.slices[0].instance

    @cached_property
    def positions_lps_mm(self) -> FloatArray:
        """(n, 3) centres of the slices' first voxels."""
        return np.array([item.position_lps_mm for item in self.slices], dtype=float)

    @cached_property
    def offsets_mm(self) -> FloatArray:
        """(n,) positions along the normal."""
        return along_normal(self.slices)

    @cached_property
    def kind(self) -> Kind:
        """What the stack is."""
        first = self.slices[0]
        words = " ".join((*first.image_type, self.instance.description)).replace("_", " ")
        if "LOCALIZER" in first.image_type or re.search(r"\b(scout|topogram|surview|scanogram|localizer)", words, re.I):
            return Kind.LOCALISER
        if not self.instance.ct_image or first.rescale_type not in ("", "HU", "US", "HU_MOD"):
            return Kind.MAP
        if first.position_lps_mm is None:
            return Kind.NO_POSITION
        if _MAP_WORDS.search(words):
            return Kind.MAP
        if len(np.unique(np.round(self.offsets_mm, 1))) < FEWEST_SLICES:
            return Kind.FEW
        tilt = np.degrees(np.arccos(min(1.0, abs(first.normal[2]))))
        return Kind.REFORMATTED if tilt > MOST_TILT_DEG else Kind.AXIAL

    @property
    def spacing_mm(self) -> float:
        """Median distance between neighbouring slices."""
        steps = np.diff(self.offsets_mm)
        steps = steps[steps > SAME_PLACE_MM]
        return float(np.median(steps)) if len(steps) else 0.0

    @property
    def length_mm(self) -> float:
        """Distance between the first and last slice along the normal."""
        return float(self.offsets_mm[-1] - self.offsets_mm[0])

    @property
    def acquired_s(self) -> float | None:
        """Acquisition time of the earliest slice (content time where there is none)."""
        times = [item.acquired_s for item in self.slices if item.acquired_s is not None]
        times = times or [item.content_s for item in self.slices if item.content_s is not None]
        return min(times) if times else None

    @property
    def sequence(self) -> float | None:
        """Place among the series of the examination by number and running part; None without a number."""
        number, _, part = self.label.partition(".")
        return int(number) + int(part or 0) / 1000.0 if self.instance.series_number is not None else None

    @property
    def is_original(self) -> bool:
        """Whether the images were reconstructed from the measured data, not from other images."""
        first = self.slices[0].image_type
        return not first or (first[0] != "DERIVED" and not {"MPR", "REFORMATTED"} & set(first))

    @property
    def is_sharp(self) -> bool:
        """Whether the kernel or description speaks of bone, lung or edges."""
        return bool(_SHARP.search(self.slices[0].kernel) or _SHARP.search(self.instance.description))

    @property
    def preference(self) -> tuple[float, ...]:
        """Larger is the better reconstruction of one acquisition: original, of the abdomen, smooth, 5 mm or thinner."""
        words = self.instance.description
        abdomen = not (_NO_ABDOMEN.search(words) and not re.search(r"abd|bauch|腹|renal|kidney|nier|rein", words, re.I))
        step = self.spacing_mm
        sane = step <= 5.05 and len(self.slices) <= 1000
        return (
            float(self.is_original), float(abdomen), float(not self.is_sharp), float(sane),
            round(self.length_mm / 50), -max(step, 0.9), -self.slices[0].thickness_mm,
        )  # fmt: skip


def along_normal(slices: Sequence[Slice]) -> FloatArray:
    """Positions of slices along the first one's normal, in mm (zeros where positions are unknown)."""
    if any(item.position_lps_mm is None for item in slices):
        return np.zeros(len(slices))
    return np.array([item.position_lps_mm for item in slices], dtype=float) @ np.asarray(slices[0].normal)


def group_series(slices: Iterable[Slice]) -> tuple[Series, ...]:
    """Stacks of slices: one per series UID, orientation, matrix, spacing, image type, kernel, thickness and phase.

    Phases that share one series are separated where positions repeat or interleave, by acquisition number, temporal
    position, trigger, contrast, acquisition time, content time or the order of the instance numbers.
    """
    groups: dict[Hashable, list[Slice]] = defaultdict(list)
    for item in slices:
        groups[_identity(item)].append(item)
    stacks = [part for group in groups.values() for part in _separate(group)]
    stacks.sort(key=_order)
    numbers = Counter(part[0].instance.series_number for part in stacks)
    running: Counter[int | None] = Counter()
    result = []
    for part in stacks:
        number = part[0].instance.series_number
        running[number] += 1
        name = "?" if number is None else str(number)
        label = name if numbers[number] == 1 else f"{name}.{running[number]}"
        result.append(Series(label, tuple(_sorted(part))))
    return tuple(result)


def _order(part: list[Slice]) -> tuple[float, str, float, int, int]:
    number = part[0].instance.series_number
    times = [item.acquired_s or item.content_s or 0.0 for item in part]
    return (
        (float("inf") if number is None else number),
        part[0].instance.series_uid,
        min(times),
        (min(item.acquisition_number or 0 for item in part)),
        min(item.instance_number for item in part),
    )


def _sorted(part: list[Slice]) -> list[Slice]:
    offsets = along_normal(part)
    names = [(item.instance_number, str(item.instance.file), item.frame) for item in part]
    return [part[index] for index in sorted(range(len(part)), key=lambda k: (round(float(offsets[k]), 3), names[k]))]


def _identity(item: Slice) -> Hashable:
    return (
        item.instance.study_uid, item.instance.series_uid, item.instance.rows, item.instance.columns,
        tuple(round(value, 2) for value in (*item.row_direction, *item.column_direction)),
        tuple(round(value, 3) for value in item.spacing_mm), round(item.thickness_mm, 1),
        item.image_type, item.kernel, item.position_lps_mm is None, item.instance.ct_image,
    )  # fmt: skip


def _separate(group: list[Slice]) -> list[list[Slice]]:
    """Split a group whose positions repeat or interleave into stacks that do neither, if its tags allow that."""
    repeats, even = _regularity(group)
    if (repeats <= 1 and even) or group[0].position_lps_mm is None:
        return [group]
    for split in _SPLITS:
        parts = split(group, repeats)
        if len(parts) < 2 or len(parts) > repeats + 2 or min(len(part) for part in parts) < FEWEST_SLICES:
            continue
        found = [_regularity(part) for part in parts]
        if repeats <= 1:
            if all(part_even for _, part_even in found):
                return parts
        elif max(part_repeats for part_repeats, _ in found) < repeats:
            return [stack for part in parts for stack in _separate(part)]
    return [group]


def _regularity(group: list[Slice]) -> tuple[int, bool]:
    """How often the most repeated position stands there, and whether neighbours are evenly spaced."""
    offsets = np.sort(along_normal(group))
    new = np.concatenate([[True], np.diff(offsets) > SAME_PLACE_MM])
    repeats = int(np.bincount(np.cumsum(new) - 1).max())
    steps = np.diff(offsets[new])
    even = len(steps) < 2 or bool(np.ptp(steps) <= 2 * step_tolerance_mm(float(np.median(steps))))
    return repeats, even


def step_tolerance_mm(step: float) -> float:
    """How far a distance between neighbours may be off: positions are often rounded to a tenth of a millimetre."""
    return min(max(0.11, 0.05 * step), 0.2 * step)


def _by(key: Callable[[Slice], Hashable]) -> Callable[[list[Slice], int], list[list[Slice]]]:
    def split(group: list[Slice], repeats: int) -> list[list[Slice]]:
        parts: dict[Hashable, list[Slice]] = defaultdict(list)
        for item in group:
            parts[key(item)].append(item)
        return list(parts.values())

    return split


def _by_time(key: Callable[[Slice], float | None]) -> Callable[[list[Slice], int], list[list[Slice]]]:
    def split(group: list[Slice], repeats: int) -> list[list[Slice]]:
        """The group's parts in the order of their times."""
        times = [key(item) for item in group]
        if repeats < 2 or any(time is None for time in times):
            return [group]
        order = sorted(range(len(group)), key=lambda k: times[k] or 0.0)
        sorted_times = np.array([times[k] for k in order], dtype=float)
        gaps = np.diff(sorted_times)
        cuts = sorted(int(cut) + 1 for cut in np.argsort(gaps)[-(repeats - 1) :] if gaps[cut] > 0)
        return _if_shared(group, [[group[k] for k in part] for part in np.split(np.array(order), cuts)])

    return split


def _by_number(group: list[Slice], repeats: int) -> list[list[Slice]]:
    """Runs of instance numbers: a run ends before a position that it already holds."""
    if repeats < 2:
        return [group]
    ordered = sorted(group, key=lambda item: (item.instance_number, item.frame, str(item.instance.file)))
    offsets = np.round(along_normal(ordered) / SAME_PLACE_MM / 2).astype(int)
    runs: list[list[Slice]] = [[]]
    held: set[int] = set()
    for item, offset in zip(ordered, offsets, strict=True):
        if int(offset) in held:
            runs.append([])
            held = set()
        runs[-1].append(item)
        held.add(int(offset))
    return _if_shared(group, runs)


def _if_shared(group: list[Slice], parts: list[list[Slice]]) -> list[list[Slice]]:
    """The parts when they share enough positions to be phases; a slice sent twice is no phase of its own."""
    places = len(np.unique(np.round(along_normal(group) / SAME_PLACE_MM / 2)))
    smallest = min(len(part) for part in parts)
    return parts if len(group) - places >= _PHASE_SHARE * smallest >= _PHASE_SHARE**2 * places else [group]


_SPLITS = (
    _by(lambda item: item.acquisition_number),
    _by(lambda item: item.temporal_position),
    _by(lambda item: item.trigger),
    _by(lambda item: bool(item.instance.contrast_agent)),
    _by(lambda item: item.instance.description),
    _by_time(lambda item: item.acquired_s),
    _by_time(lambda item: item.content_s),
    _by_number,
)


def same_acquisition(one: Series, other: Series) -> bool:
    """Whether two series are reconstructions of one acquisition: same study, times within 2 s, overlapping extent."""
    if one.instance.study_uid != other.instance.study_uid or one.acquired_s is None or other.acquired_s is None:
        return False
    numbers = {one.slices[0].acquisition_number, other.slices[0].acquisition_number} - {None}
    if len(numbers) > 1 or abs(one.acquired_s - other.acquired_s) > 2.0:
        return False
    low = max(one.positions_lps_mm[:, 2].min(), other.positions_lps_mm[:, 2].min())
    high = min(one.positions_lps_mm[:, 2].max(), other.positions_lps_mm[:, 2].max())
    return bool(high - low > 0.5 * min(one.length_mm, other.length_mm))


def without(series: Series, dropped: Iterable[int]) -> Series:
    """The series without the slices at the given places."""
    gone = set(dropped)
    return replace(series, slices=tuple(item for place, item in enumerate(series.slices) if place not in gone))
