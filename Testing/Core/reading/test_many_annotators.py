"""Twenty annotators write at once, and writers are killed: nothing is lost and nothing is there twice."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from sqlalchemy import func, select

from RenalCLIPCore.reading import audit
from RenalCLIPCore.reading.database import Database
from RenalCLIPCore.reading.schema import CHANGES, READINGS
from Testing.Core.reading.worklists import make

ROOT = Path(__file__).resolve().parents[3]
ANNOTATORS, CHANGES_EACH, KILLS = 20, 250, 100


@pytest.fixture
def quick():
    """A folder in memory where there is one: a busy disk's flushes would be most of the time."""
    memory = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(dir=memory if os.access(memory, os.W_OK) else None))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, quick):
    return str(quick / "worklist.db") if request.param == "sqlite" else request.getfixturevalue("postgresql")


def run(what, url, folder, *numbers):
    """Fork the annotators from a process without threads."""
    code = [sys.executable, "-m", "Testing.Core.reading.worklists", what, url, str(folder), *map(str, numbers)]
    subprocess.run(code, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=True)
    return sorted(folder.glob("*.jsonl"))


def noted(records):
    lines = [json.loads(line) for record in records for line in record.read_text().splitlines()]
    return {
        "sent": {change for what, change in lines if what == "sent"},
        "kept": [change for what, change in lines if what == "kept"],
    }


def stored(url):
    with Database(url) as database, database.reading() as connection:
        ids = list(connection.execute(select(CHANGES.c.change_id)).scalars())
        applied = connection.scalar(select(func.count()).where(CHANGES.c.version.is_not(None)))
        versions = connection.scalar(select(func.sum(READINGS.c.version)))
        head = connection.scalar(select(func.max(audit.AUDIT.c.sequence)))
    return ids, applied, versions, head


@pytest.mark.timeout(600)
def test_twenty_annotators_write_five_thousand_changes_at_once_and_none_is_lost_or_doubled(url, tmp_path):
    make(url, 8).close()
    records = run("at_once", url, tmp_path, ANNOTATORS, CHANGES_EACH)
    assert len(records) == ANNOTATORS
    ids, applied, versions, entries = stored(url)
    notes = noted(records)
    assert len(ids) == len(set(ids)) == ANNOTATORS * CHANGES_EACH
    assert set(ids) == notes["sent"] == set(notes["kept"])
    assert versions == applied  # every applied change raised its reading's version by one
    assert 0 < applied < len(ids)  # the rest were conflicts, kept beside
    with Database(url) as database:
        assert audit.verify(database).sequence == entries == 2 + len(ids)


@pytest.mark.timeout(600)
def test_killing_the_writer_at_random_loses_at_most_the_change_in_flight(quick, tmp_path):
    url = str(quick / "worklist.db")
    make(url, 4).close()
    records = run("killed", url, tmp_path, KILLS)
    ids, applied, versions, _ = stored(url)
    notes = noted(records)
    assert set(notes["kept"]) <= set(ids) <= notes["sent"]
    assert len(notes["sent"] - set(notes["kept"])) <= KILLS
    assert len(ids) == len(set(ids))
    assert versions == applied
    with Database(url) as database:
        audit.verify(database)
