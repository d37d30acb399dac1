"""The log of changes: append-only, and whatever is done to it is found."""

import random
import sqlite3
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from RenalCLIPCore.errors import AuditError
from RenalCLIPCore.reading import audit, saving
from RenalCLIPCore.reading.changed import changed_fields, masks_entry, review_entries
from RenalCLIPCore.reading.database import Database
from RenalCLIPCore.reading.records import Entry
from RenalCLIPCore.reading.worklist import assignments
from RenalCLIPCore.review import Centre, Edit, SignOff
from Testing.Core.exchange.reviews import full_review
from Testing.Core.reading.worklists import change, make

TRIGGERS = ("audit_no_update", "audit_no_delete")


@pytest.fixture
def path(tmp_path):
    """A worklist with a log of twelve entries; all of it lies in the main file."""
    path = tmp_path / "worklist.db"
    with make(str(path), 2) as database:
        for version in range(10):
            number = assignments(database)[0].number
            saving.save(database, change(number, version, comment=f"comment {version}"))
    with sqlite3.connect(path) as plain:
        plain.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    plain.close()
    return path


def tampered(path, *statements):
    """Change the database as somebody may who can write its file: the triggers go first."""
    plain = sqlite3.connect(path)
    for trigger in TRIGGERS:
        plain.execute(f"DROP TRIGGER {trigger}")
    for statement in statements:
        plain.execute(statement)
    plain.commit()
    plain.close()


def verified(path, noted=""):
    with Database(str(path)) as database:
        return audit.verify(database, noted)


def test_the_log_tells_who_changed_what_from_what_to_what(path):
    with Database(str(path)) as database:
        last = audit.entries(database, assignments(database)[0].case)[-1]
    assert changed_fields(last.entry) == [("assignments/1/comment", '"comment 8"', '"comment 9"')]
    assert (last.entry.by, last.entry.action, last.sequence) == ("ann", "reading", 12)


def test_an_untouched_log_verifies_and_a_noted_hash_is_found_in_it(path):
    head = verified(path)
    assert head.sequence == 12
    with Database(str(path)) as database:
        audit.record(database, [Entry("centre", "", "x", "1", "2", "ann")])
    assert verified(path, head.hash).sequence == 13


@pytest.mark.parametrize(
    "action", ["UPDATE audit SET after = 'x'", "DELETE FROM audit", "UPDATE changes SET content = 'x'"]
)
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_rows_of_the_log_are_only_added(kind, action, tmp_path, request):
    url = str(tmp_path / "w.db") if kind == "sqlite" else request.getfixturevalue("postgresql")
    with make(url, 1) as database:
        saving.save(database, change(assignments(database)[0].number, 0, comment="x"))
        with pytest.raises(DBAPIError, match="only added"), database._engine.begin() as connection:
            connection.execute(text(action))
        assert audit.verify(database).sequence == 3


@pytest.mark.parametrize(
    ("statement", "match"),
    [
        ("UPDATE audit SET after = replace(after, 'comment 3', 'comment 4') WHERE sequence = 6", "Entry 6 .* not what"),
        ("UPDATE audit SET by = 'eve' WHERE sequence = 7", "Entry 7"),
        ("UPDATE audit SET at = '2020-01-01' WHERE sequence = 1", "Entry 1"),
        ("DELETE FROM audit WHERE sequence = 5", "Entry 5 .* missing"),
        ("DELETE FROM audit WHERE sequence = 12", "ends with entry 11"),
        ("DELETE FROM audit", "ends with entry 0"),
        ("UPDATE audit_head SET sequence = 11", "ends with entry 12"),
        ("UPDATE readings SET content = replace(content, 'comment 9', 'comment X')", "reading of assignment 1"),
        (
            'INSERT INTO audit SELECT 13, at, action, "case", subject, before, after, by, model, model_sha256, '
            "core_version, previous, hash FROM audit WHERE sequence = 12",
            "Entry 13",
        ),
    ],
)
def test_whatever_is_done_to_the_log_is_found_and_the_first_broken_entry_named(path, statement, match):
    tampered(path, statement)
    with pytest.raises(AuditError, match=match):
        verified(path)


def test_a_rewritten_chain_does_not_hold_the_noted_hash(path, tmp_path):
    noted = verified(path).hash
    with make(str(tmp_path / "other.db"), 2) as database:
        number = assignments(database)[0].number
        for version in range(10):
            saving.save(database, change(number, version, comment=f"other {version}"))
    assert verified(tmp_path / "other.db").sequence == 12
    with pytest.raises(AuditError, match="rewritten"):
        verified(tmp_path / "other.db", noted)


def test_any_changed_byte_of_an_entry_is_found(path):
    plain = sqlite3.connect(path)
    values = [value for row in plain.execute("SELECT at, after, by, previous, hash FROM audit") for value in row]
    plain.close()
    content, draw = path.read_bytes(), random.Random(5)
    for _ in range(60):
        value = draw.choice([value for value in values if value]).encode()
        places = [place for place in range(len(content)) if content.startswith(value, place)]
        place = draw.choice(places) + draw.randrange(len(value))
        damaged = bytearray(content)
        damaged[place] ^= 1 << draw.randrange(8)
        path.write_bytes(damaged)
        with Database(str(path)) as database, database.reading() as connection:
            try:
                now = connection.execute(text("SELECT at, after, by, previous, hash FROM audit")).all()
            except (DBAPIError, UnicodeDecodeError):
                now = None
        if now is not None and [value for row in now for value in row] == values:
            continue  # the byte belongs to another table that holds the same text
        with pytest.raises(AuditError):
            verified(path)


def test_moved_centres_predictions_masks_edits_and_verdicts_of_a_review_become_entries():
    before = full_review()
    lesion = before.primary
    moved = Centre((1.0, 2.0, 3.0), "manual", "ann", "2026-03-01T12:00:00+00:00", "beside the mass")
    malignancy = replace(lesion.predicted.malignancy, probability=0.123)
    changed = replace(lesion, centre_used=moved, predicted=replace(lesion.predicted, malignancy=malignancy))
    after = replace(
        before,
        lesions=(changed, *before.lesions[1:]),
        segmentation=replace(before.segmentation, sha256="f" * 64),
        edits=(Edit("/lesions/0/report/findings", '"a"', '"b"', "bob", "2026-03-01T12:00:00+00:00", ""),),
        sign_off=(SignOff("malignancy", "rejected", "too low", "bob", "2026-03-01T12:00:00+00:00"),),
    )
    found = review_entries(before, after, case="P01-left", by="ann")
    told = {(entry.action, entry.subject, entry.by) for entry in found}
    assert {("report", "/lesions/0/report/findings", "bob"), ("verdict", "malignancy", "bob")} <= told
    assert {("centre", f"/lesions/{lesion.lesion_id}/centre_used", "ann"), ("masks", "/segmentation", "ann")} <= told
    (prediction,) = [entry for entry in found if entry.action == "prediction"]
    assert (prediction.after, prediction.model_sha256) == ("0.123", before.provenance.bundle_sha256)
    assert prediction.model == before.provenance.bundle
    assert review_entries(before, before, case="P01-left") == ()


def test_the_name_of_a_given_file_of_masks_stays_out_of_the_log():
    masks = [{"source": "file", "model": "DOE^JANE.nii.gz", "sha256": mark * 64} for mark in "ab"]
    entry = masks_entry(*masks, case="P01-left", by="ann")
    assert "DOE" not in repr(entry)
    assert (entry.model_sha256, entry.model) == ("b" * 64, "")
    made = masks_entry({}, {"source": "model", "model": "kidneys 1", "sha256": "c" * 64}, case="P01-left", by="ann")
    assert made.model == "kidneys 1"


def test_times_sort_as_texts():
    moments = [datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, 0, 0, 0, 5, tzinfo=UTC)]
    assert audit.iso(moments[0]) < audit.iso(moments[1])
