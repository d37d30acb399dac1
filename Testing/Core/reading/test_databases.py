"""Databases that cannot be used: one message that says what to do, and nothing half kept."""

import sqlite3

import pytest
from sqlalchemy import text

from RenalCLIPCore.errors import WorklistError
from RenalCLIPCore.reading import audit, saving
from RenalCLIPCore.reading.database import Database
from RenalCLIPCore.reading.worklist import assignments
from Testing.Core.reading.worklists import change, make


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "worklist.db"
    make(str(path), 1).close()
    return path


def refused(url, match, **options):
    with Database(str(url), **options) as database, pytest.raises(WorklistError, match=match) as caught:
        saving.save(database, change(1, 0, comment="x"))
    assert "worklist.db" not in str(caught.value)


def test_a_locked_database(path):
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    refused(path, "locked", patience_s=0.1)
    other.close()


def test_a_read_only_database(path):
    with sqlite3.connect(path) as plain:
        plain.execute("PRAGMA journal_mode=DELETE")
    plain.close()
    refused(f"sqlite:///file:{path}?mode=ro&uri=true", "read-only")


def test_a_database_of_a_newer_version(path):
    with sqlite3.connect(path) as plain:
        plain.execute("UPDATE worklist SET value = '2' WHERE key = 'schema_version'")
    plain.close()
    refused(path, "version 2; install a newer")


def test_a_full_disk_loses_the_change_in_flight_alone(path):
    with Database(str(path)) as database:
        number = assignments(database)[0].number
        saving.save(database, change(number, 0, comment="kept"))
        with database._engine.connect() as connection:
            pages = connection.execute(text("PRAGMA page_count")).scalar()
            # the limit belongs to a connection; the pool hands this one out again
            connection.execute(text(f"PRAGMA max_page_count = {pages}"))
        sizes = iter(range(1, 500))
        with pytest.raises(WorklistError, match="full"):
            _ = [saving.save(database, change(number, version, comment="x" * 4000)) for version in sizes]
        kept = next(sizes) - 1
        assert assignments(database)[0].version == kept
        assert audit.verify(database).sequence == 2 + kept


@pytest.mark.parametrize("content", [b"no database at all" * 100, b"SQLite format 3\0" + b"\xff" * 4000])
def test_a_file_that_is_no_database(tmp_path, content):
    (tmp_path / "file.db").write_bytes(content)
    refused(tmp_path / "file.db", "no worklist database|damaged")


def test_a_database_without_a_worklist_and_one_that_has_one(tmp_path, path):
    sqlite3.connect(tmp_path / "empty.db").close()
    refused(tmp_path / "empty.db", "no worklist")
    with pytest.raises(WorklistError, match="already"):
        make(str(path), 1)


@pytest.mark.parametrize(
    ("url", "match"),
    [
        ("/nowhere/at/all/worklist.db", "cannot be opened"),
        ("mysql://host/name", "SQLite or PostgreSQL"),
        ("sqlite://", "needs a file"),
        ("postgresql://host:port/name", "A database is"),
        ("http://host", "SQLite or PostgreSQL"),
    ],
)
def test_an_address_that_leads_nowhere(url, match):
    with pytest.raises(WorklistError, match=match), Database(url) as database:
        database.facts()


def test_a_server_that_does_not_answer_is_told_without_its_password():
    pytest.importorskip("psycopg")
    with Database("postgresql://ann:hunter2@127.0.0.1:1/w") as database:
        with pytest.raises(WorklistError, match="does not answer") as caught:
            database.facts()
        assert "hunter2" not in str(caught.value)


def test_a_database_that_a_server_does_not_have(postgresql):
    with (
        Database(f"{postgresql}x") as database,
        pytest.raises(WorklistError, match=r"no database of this name|does not"),
    ):
        database.facts()


def test_reading_a_database_that_is_not_there_makes_none(tmp_path):
    with (
        Database(str(tmp_path / "none.db")) as database,
        pytest.raises(WorklistError, match=r"no database none\.db"),
        database.reading(),
    ):
        pass
    assert not (tmp_path / "none.db").exists()
