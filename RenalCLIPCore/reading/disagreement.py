"""Where readers of a case disagree, and what they agree on."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..review import Point
from .records import Assignment, Reading
from .saving import Adjudication

TOLERANCE_MM = 10.0


@dataclass(frozen=True)
class Disagreement:
    """A case on which finished readings differ.

    Attributes:
        case: Name of the case.
        about: What differs: ``point``, ``quality`` or questions.
        distance_mm: Largest distance between two points, or None with fewer than two.
    """

    case: str
    about: tuple[str, ...]
    distance_mm: float | None


@dataclass(frozen=True)
class Agreed:
    """What stands for a case in the end.

    Attributes:
        case: Name of the case.
        reading: The adjudicated reading, or what all agree on (points: their mean).
        open: What is not agreed on and not adjudicated, and therefore empty in ``reading``.
        readings: Number of finished readings.
    """

    case: str
    reading: Reading
    open: tuple[str, ...]
    readings: int


def finished(items: Sequence[Assignment], *, with_ai: bool | None = None) -> dict[str, list[Assignment]]:
    """Finished readings by case.

    Args:
        items: Assignments of all readers.
        with_ai: Only those with, or without, predictions.
    """
    found: dict[str, list[Assignment]] = {}
    for item in items:
        if item.reading.finished and with_ai in (None, item.with_ai):
            found.setdefault(item.case, []).append(item)
    return found


def disagreements(
    items: Sequence[Assignment], tolerance_mm: float = TOLERANCE_MM, *, with_ai: bool | None = None
) -> tuple[Disagreement, ...]:
    """Cases on which finished readings differ; points do when farther apart than the tolerance."""
    found = []
    for case, group in finished(items, with_ai=with_ai).items():
        readings = [item.reading for item in group]
        about = differences(readings, tolerance_mm)
        if about:
            found.append(Disagreement(case, about, largest_distance(_points(readings))))
    return tuple(found)


def differences(readings: Sequence[Reading], tolerance_mm: float = TOLERANCE_MM) -> tuple[str, ...]:
    """What differs between readings."""
    points = _points(readings)
    apart = largest_distance(points) or 0.0
    about = ["point"] if apart > tolerance_mm or 0 < len(points) < len(readings) else []
    if len({reading.quality for reading in readings}) > 1:
        about.append("quality")
    asked = sorted({question for reading in readings for question in reading.answers})
    return (*about, *(q for q in asked if len({reading.answers.get(q) for reading in readings}) > 1))


def largest_distance(points: Sequence[Point]) -> float | None:
    """Largest distance in mm between two points, None with fewer than two."""
    return max((math.dist(one, two) for one, two in itertools.combinations(points, 2)), default=None)


def agreed(
    items: Sequence[Assignment], decided: Mapping[str, Adjudication], tolerance_mm: float = TOLERANCE_MM
) -> dict[str, Agreed]:
    """What stands for each case that somebody finished or adjudicated."""
    groups = finished(items)
    result = {}
    for case in sorted({*groups, *decided}):
        readings = [item.reading for item in groups.get(case, [])]
        if case in decided:
            result[case] = Agreed(case, decided[case].reading, (), len(readings))
        else:
            result[case] = _consensus(case, readings, differences(readings, tolerance_mm))
    return result


def _consensus(case: str, readings: Sequence[Reading], about: tuple[str, ...]) -> Agreed:
    points = _points(readings)
    point = None if "point" in about or not points else _mean(points)
    reading = Reading(
        point_lps_mm=point,
        quality="" if "quality" in about else readings[0].quality,
        answers={question: answer for question, answer in readings[0].answers.items() if question not in about},
        comment="; ".join(reading.comment for reading in readings if reading.comment),
        flagged=any(reading.flagged for reading in readings),
        finished=True,
    )
    return Agreed(case, reading, about, len(readings))


def _points(readings: Sequence[Reading]) -> list[Point]:
    return [reading.point_lps_mm for reading in readings if reading.point_lps_mm is not None]


def _mean(points: Sequence[Point]) -> Point:
    x, y, z = (math.fsum(point[axis] for point in points) / len(points) for axis in range(3))
    return (x, y, z)
