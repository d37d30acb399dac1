"""What changed, for the log: fields of a reading, and parts of a case review with the model behind them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from ..review import Absent, CaseReview, LesionReview, SegmentationRecord
from .audit import subject_of
from .records import Entry

_NOTHING = "null"


def changed_fields(entry: Entry) -> list[tuple[str, str, str]]:
    """(what, before, after) of an entry; a reading's fields one by one, those that differ."""
    if not entry.subject.startswith(subject_of(0)[:-1]) and entry.action != "adjudication":
        return [(entry.subject, entry.before, entry.after)]
    before, after = (json.loads(text) if text else {} for text in (entry.before, entry.after))
    names = [name for name in after if before.get(name) != after[name]]
    return [(f"{entry.subject}/{name}", _json(before.get(name)), _json(after[name])) for name in names]


def review_entries(before: CaseReview | None, after: CaseReview, *, case: str, by: str = "") -> tuple[Entry, ...]:
    """What a person changed in a review, and what changed with it.

    Args:
        before: The review before the changes; without it only what the review itself tells of changes.
        after: The review.
        case: Name of the case.
        by: Author, where the review names none.
    """
    told = {*_edits(before, case), *_verdicts(before, case)} if before else set()
    found = [entry for entry in (*_edits(after, case), *_verdicts(after, case)) if entry not in told]
    known = {lesion.lesion_id: lesion for lesion in before.lesions} if before else {}
    model, sha256 = model_of(after)
    for lesion in after.lesions:
        found += lesion_entries(known.get(lesion.lesion_id), lesion, case=case, by=by, model=model, sha256=sha256)
    if before is not None:
        found += _masks(before, after, case, by)
    return tuple(found)


def lesion_entries(
    before: LesionReview | None, after: LesionReview, *, case: str, by: str, model: str, sha256: str
) -> list[Entry]:
    """A centre that a person moved, and the predictions that changed; those of no known earlier state are not told."""
    root = f"/lesions/{after.lesion_id}"
    old, new = _centre(before), _centre(after)
    found = []
    moved = not isinstance(after.centre_used, Absent) and after.centre_used.source == "manual"
    if moved and old != new:
        author = by if isinstance(after.centre_used, Absent) else after.centre_used.by or by
        found.append(Entry("centre", case, f"{root}/centre_used", _json(old), _json(new), author))
    if before is not None:
        values, news = dict(_predictions(before)), dict(_predictions(after))
        for name in sorted({*values, *news}):
            one, two = values.get(name), news.get(name)
            if one != two:
                subject = f"{root}/predicted/{name}"
                found.append(Entry("prediction", case, subject, _json(one), _json(two), by, model, sha256))
    return found


def model_of(review: CaseReview) -> tuple[str, str]:
    """Name with version, and hash, of the bundle behind a review; empty where there is none."""
    name, sha256 = review.provenance.bundle, review.provenance.bundle_sha256
    return ("" if isinstance(name, Absent) else name, "" if isinstance(sha256, Absent) else sha256)


def _edits(review: CaseReview, case: str) -> list[Entry]:
    return [
        Entry("report" if "/report/" in edit.pointer else "edit", case, edit.pointer, edit.before, edit.after, edit.by)
        for edit in review.edits
    ]


def _verdicts(review: CaseReview, case: str) -> list[Entry]:
    return [
        Entry("verdict", case, item.finding, _NOTHING, _json([item.verdict, item.comment]), item.by)
        for item in review.sign_off
    ]


def _masks(before: CaseReview, after: CaseReview, case: str, by: str) -> list[Entry]:
    one, two = before.segmentation, after.segmentation
    if one == two:
        return []
    return [masks_entry(_mask_facts(one), _mask_facts(two), case=case, by=by)]


def masks_entry(before: Mapping[str, str], after: Mapping[str, str], *, case: str, by: str) -> Entry:
    """Masks that took the place of others, each with ``source``, ``model`` and ``sha256``.

    The name of a given file stays out of the log: it can be a patient's.
    """
    told = [
        {name: text for name, text in one.items() if name != "model" or one["source"] == "model"}
        for one in (before, after)
    ]
    return Entry(
        "masks", case, "/segmentation", _json(told[0]), _json(told[1]), by, told[1].get("model", ""),
        told[1].get("sha256", ""),
    )  # fmt: skip


def _mask_facts(record: SegmentationRecord | Absent) -> dict[str, str]:
    if isinstance(record, Absent):
        return {}
    return {"source": record.source, "model": record.model, "sha256": record.sha256}


def _centre(lesion: LesionReview | None) -> list[float] | None:
    if lesion is None or isinstance(lesion.centre_used, Absent):
        proposed = None if lesion is None else lesion.centre_proposed
        return None if proposed is None or isinstance(proposed, Absent) else list(proposed.lps_mm)
    return list(lesion.centre_used.lps_mm)


def _predictions(lesion: LesionReview) -> Iterator[tuple[str, Any]]:
    """Each prediction's value by name."""
    predicted = lesion.predicted
    if isinstance(predicted, Absent):
        return
    for item in () if isinstance(predicted.components, Absent) else predicted.components:
        yield item.component, [item.predicted, [round(one.probability, 6) for one in item.classes]]
    for name, part in (("malignancy", predicted.malignancy), ("aggressiveness", predicted.aggressiveness)):
        if not isinstance(part, Absent):
            yield name, round(part.probability, 6)
    if not isinstance(predicted.recurrence, Absent):
        yield "recurrence", round(predicted.recurrence.score, 6)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
