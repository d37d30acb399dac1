"""Worklists for tests: a database of a few cases, and one annotator as a process of its own."""

import json
import os
import random
import signal
import sys
import time
import traceback
from pathlib import Path

from RenalCLIPCore.reading import saving, worklist
from RenalCLIPCore.reading.database import Database
from RenalCLIPCore.reading.records import Change, NewCase, Reading

QUESTIONS = {"renal_r": ("<=4 cm", ">4 to <7 cm", ">=7 cm"), "malignancy": ("benign", "malignant")}


def new_cases(count, folder=Path("/nowhere")):
    return [
        NewCase(
            f"P{n:02d}-left", f"P{n:02d}", "left", {"V": str(folder / f"p{n:02d}.nii.gz")}, "", (float(n), 2.0, 3.0)
        )
        for n in range(count)
    ]


def make(url, count=3, readers=(), mode="without", folder=Path("/nowhere"), **options):
    """A database with cases that are assigned; close it."""
    database = Database(url)
    worklist.create(database, new_cases(count, folder), folder=folder, questions=QUESTIONS, **options)
    worklist.assign(database, worklist.Plan(readers, mode, 1))
    return database


def change(assignment, base, by="ann", number=0, **fields):
    return Change(f"{by}-{assignment}-{base}-{number}", assignment, base, Reading(**fields), by, 1.0)


def annotate(url, by, count, seed, record):
    """Write changes to shared readings as fast as they go; on a conflict take the version that stands and go on.

    Each change is noted in ``record`` before it is sent and again once the database has answered.
    """
    draw = random.Random(seed)
    with Database(url) as database, open(record, "a", buffering=1) as notes:
        items = worklist.assignments(database)
        versions = {item.number: item.version for item in items}
        for number in range(count):
            item = draw.choice(items)
            change_id = f"{by}-{os.getpid()}-{number}"
            point = (round(draw.uniform(-100, 100), 2), float(number), 0.0)
            sent = Change(change_id, item.number, versions[item.number], Reading(point, comment=change_id), by, 0.5)
            notes.write(json.dumps(["sent", change_id]) + "\n")
            saved = saving.save(database, sent)
            versions[item.number] = saved.version
            notes.write(json.dumps(["kept", change_id]) + "\n")


def fork(url, by, count, seed, record):
    """Annotate in a process of its own; its number."""
    child = os.fork()
    if child == 0:
        try:
            annotate(url, by, count, seed, record)
            os._exit(0)
        finally:
            traceback.print_exc()
            os._exit(1)
    return child


def at_once(url, folder, annotators, count):
    """So many annotators at once; the exit statuses."""
    children = [fork(url, f"a{n}", count, n, folder / f"{n}.jsonl") for n in range(annotators)]
    return [os.waitpid(child, 0)[1] for child in children]


def killed(url, folder, kills):
    """One annotator after another, each killed at a random moment after its first changes."""
    record, draw = folder / "0.jsonl", random.Random(7)
    record.touch()
    for number in range(kills):
        before = record.stat().st_size
        child = fork(url, "ann", 100_000, number, record)
        while record.stat().st_size == before and not os.waitpid(child, os.WNOHANG)[0]:
            time.sleep(0.002)
        time.sleep(draw.uniform(0.0, 0.05))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    return [0]


if __name__ == "__main__":
    what, url, folder, *numbers = sys.argv[1:]
    sys.exit(any({"at_once": at_once, "killed": killed}[what](url, Path(folder), *map(int, numbers))))
