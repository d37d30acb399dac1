"""A reader's edits and verdicts end up in the review, and nothing else can be edited that way."""

import json
from dataclasses import replace

import pytest

from RenalCLIPCore.errors import ConfigurationError
from RenalCLIPCore.reader_changes import with_reader_changes
from RenalCLIPCore.review import Absent, Edit, ReportDraft, SignOff
from Testing.Core.exchange.reviews import full_review


def edit(pointer, text):
    return Edit(pointer, '"before"', json.dumps(text), "reader", "2026-01-02T03:04:05+00:00", "")


@pytest.fixture
def review():
    found = full_review()
    lesion = replace(found.lesions[0], report=ReportDraft("drafted", "1. drafted", "structured"))
    return replace(found, lesions=(lesion, *found.lesions[1:]), edits=(), sign_off=())


def test_an_edited_section_replaces_the_drafts_and_says_who_wrote_it(review):
    changes = [edit("/lesions/0/report/findings", "as seen")]
    changed = with_reader_changes(review, changes, [])
    assert changed.lesions[0].report == ReportDraft("as seen", "1. drafted", "reader, from a draft")
    assert changed.edits == tuple(changes)
    assert changed.lesions[1:] == review.lesions[1:]


def test_verdicts_are_kept(review):
    verdicts = [SignOff("L1 malignancy", "rejected", "necrosis", "reader", "2026-01-02T03:04:05+00:00")]
    assert with_reader_changes(review, [], verdicts).sign_off == tuple(verdicts)


@pytest.mark.parametrize(
    ("pointer", "text"),
    [
        ("/lesions/0/predicted/malignancy/probability", "0.1"),
        ("/lesions/99/report/findings", "x"),
        ("/lesions/0/report/source", "x"),
        ("/lesions/0/report/findings", 5),
    ],
)
def test_nothing_but_report_text_can_be_edited(review, pointer, text):
    with pytest.raises(ConfigurationError, match="pointer"):
        with_reader_changes(review, [edit(pointer, text)], [])


def test_a_lesion_without_a_report_has_nothing_to_edit(review):
    bare = replace(review, lesions=(replace(review.lesions[0], report=Absent("no bundle")),))
    with pytest.raises(ConfigurationError, match="no report"):
        with_reader_changes(bare, [edit("/lesions/0/report/findings", "x")], [])


def test_an_unknown_verdict_is_refused(review):
    with pytest.raises(ConfigurationError, match="accepted, rejected"):
        with_reader_changes(review, [], [SignOff("L1", "maybe", "", "reader", "")])
