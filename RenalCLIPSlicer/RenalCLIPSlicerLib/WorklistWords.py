"""A worklist in words: states of cases, versions of a reading side by side, what is withheld. Plain Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from RenalCLIPCore.review_reading import position_words, readable, task_words, when_words

from .Task import durationWords

FILTERS: dict[str, dict[str, Any]] = {
    "All cases": {},
    "Not yet read": {"status": "open"},
    "Started": {"status": "started"},
    "Finished": {"status": "finished"},
    "Flagged": {"flagged": True},
    "Poor segmentation": {"quality": "poor"},
    "Conflicts": {"conflicts": True},
}
STATES = {"open": "not yet read", "started": "started", "finished": "finished"}
NOTHING = "–"
NEVER = "9999"
_PARTS = {
    "predictions": "probabilities, risk, similar cases, maps and the drafted report",
    "masks": "segmentations",
    "nephrometry": "measured nephrometry",
}


def remarks(row: Mapping[str, Any]) -> str:
    """What else a list says of a case: flag, conflict, wash-out."""
    found = ["flagged"] if row["flagged"] else []
    found += ["conflict"] if row["conflicts"] else []
    if row.get("opens"):
        found.append("opens after its first reading" if row["opens"] == NEVER else f"opens {row['opens'][:10]}")
    return ", ".join(found)


def titleWords(current: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> str:
    """The open case and its place in the list: ``C0003 (2 of 40)``."""
    numbers = [row["number"] for row in rows]
    place = f" ({numbers.index(current['number']) + 1} of {len(numbers)})" if current["number"] in numbers else ""
    return f"{current['name']}{place}"


def withheldWords(withheld: Sequence[str]) -> str:
    """What the open case does not show; empty when it shows everything."""
    if not withheld:
        return ""
    return f"This case is read without predictions. Not shown: {', '.join(_PARTS[name] for name in withheld)}."


def savedWords(problem: str, unsaved: int, saving: bool) -> str:
    """The state of saving in one line."""
    if problem and unsaved:
        readings = "1 reading is" if unsaved == 1 else f"{unsaved} readings are"
        return f"{readings} not saved yet: {problem} What you noted is kept here and tried again."
    if problem:
        return problem
    return "Saving…" if saving or unsaved else "All changes are saved."


def pointWords(point: Sequence[float] | None) -> str:
    """A reading's centre."""
    if point is None:
        return "not noted yet"
    x, y, z = (float(value) for value in point)
    return f"noted: {position_words((x, y, z))}"


def timeWords(seconds: float) -> str:
    """Time spent on a case."""
    return durationWords(seconds) if seconds >= 1 else "0 s"


def versionRows(versions: Sequence[Mapping[str, Any]], questions: Mapping[str, Sequence[str]]) -> list[list[str]]:
    """Versions of a reading side by side: a name and one text per version, only what differs."""
    readings = [version["reading"] for version in versions]
    rows = [
        ["Segmentation", *(reading["quality"] or NOTHING for reading in readings)],
        ["Centre", *(_place(reading["point_lps_mm"]) for reading in readings)],
        *(
            [task_words(name), *(_class(reading["answers"].get(name), classes) for reading in readings)]
            for name, classes in questions.items()
        ),
        ["Comment", *(reading["comment"] or NOTHING for reading in readings)],
        ["Flagged", *("yes" if reading["flagged"] else "no" for reading in readings)],
        ["Finished", *("yes" if reading["finished"] else "no" for reading in readings)],
    ]
    return [row for row in rows if len(set(row[1:])) > 1]


def versionTitles(versions: Sequence[Mapping[str, Any]]) -> list[str]:
    """Whose each version is, and what stands."""
    titles = []
    for place, version in enumerate(versions):
        who = "yours" if version["mine"] else version["by"] or "nobody"
        when = f", {when_words(version['at'])}" if version["at"] else ""
        titles.append(f"{who}{when}{' (stands)' if place == 0 else ''}")
    return titles


def _place(point: Sequence[float] | None) -> str:
    return NOTHING if point is None else pointWords(point).partition(": ")[2]


def _class(number: int | None, classes: Sequence[str]) -> str:
    return readable(classes[number]) if number is not None and 0 <= number < len(classes) else NOTHING
