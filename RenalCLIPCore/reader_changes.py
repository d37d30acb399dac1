"""What a reader changed in a review, put into it: edited report sections, and verdicts on findings."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace

from .errors import ConfigurationError
from .review import CaseReview, Edit, ReportDraft, SignOff

VERDICTS = ("accepted", "rejected")
_SECTION = re.compile(r"/lesions/(\d{1,4})/report/(findings|impression)")


def with_reader_changes(review: CaseReview, edits: Sequence[Edit], sign_off: Sequence[SignOff]) -> CaseReview:
    """The review with a reader's edits applied and recorded, and with the verdicts.

    Args:
        review: As drafted.
        edits: Each names a section of a lesion's report by JSON pointer, and its new text as JSON.
        sign_off: Verdicts.

    Raises:
        ConfigurationError: An edit names something else, or a verdict is neither accepted nor rejected.
    """
    lesions = list(review.lesions)
    for edit in edits:
        number, section, text = _parsed(edit, len(lesions))
        draft = lesions[number].report
        if not isinstance(draft, ReportDraft):
            raise ConfigurationError(f"{edit.pointer} cannot be edited: this lesion has no report.")
        changed = replace(draft, **{section: text, "source": f"{edit.by}, from a draft"})
        lesions[number] = replace(lesions[number], report=changed)
    for item in sign_off:
        if item.verdict not in VERDICTS:
            raise ConfigurationError(f"A verdict is one of {', '.join(VERDICTS)}; {item.finding} has {item.verdict!r}.")
    return replace(review, lesions=tuple(lesions), edits=tuple(edits), sign_off=tuple(sign_off))


def _parsed(edit: Edit, lesions: int) -> tuple[int, str, str]:
    found = _SECTION.fullmatch(edit.pointer)
    try:
        text = json.loads(edit.after)
    except ValueError:
        text = None
    if not found or int(found[1]) >= lesions or not isinstance(text, str):
        raise ConfigurationError(
            "An edit needs a pointer such as /lesions/0/report/findings and its new text as JSON; "
            f"{edit.pointer!r} was given."
        )
    return int(found[1]), found[2], text
