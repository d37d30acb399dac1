"""The ROI store holds what was cut, survives interruption, and is refused when it is not finished."""

import os
import pickle
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from RenalCLIPCore.cohort import roi_store
from RenalCLIPCore.cohort.roi_store import LEVELS, RoiStore, build_roi_store
from RenalCLIPCore.cohort.table import write_cohort_table
from RenalCLIPCore.cohort.workers import Workers
from RenalCLIPCore.errors import Cancelled, CohortError, InputError
from RenalCLIPCore.imaging.roi import extract_rois
from RenalCLIPCore.imaging.study import Phase
from RenalCLIPCore.imaging.volume import read_volume
from Testing.Core.cohort.cohort_toys import SPEC, toy_rows


def test_values_are_those_of_the_cut_within_half_a_level(tmp_path):
    rows = toy_rows(tmp_path, 3)
    store = build_roi_store(rows, tmp_path / "store", SPEC)
    for row in rows:
        volumes = {phase: read_volume(path) for phase, path in row.volumes.items()}
        reference = volumes.get(Phase.A, volumes[Phase.V]).geometry
        for phase, roi in extract_rois(volumes, reference, row.centre_lps_mm, SPEC).items():
            found = store.read(row.case_id, phase)
            assert found.dtype == np.float32
            assert np.abs(found - roi.array).max() <= 0.5 / LEVELS + 1e-6
        np.testing.assert_array_equal(store.centre_lps_mm(row.case_id), row.centre_lps_mm)


def test_the_phases_of_each_case_are_remembered(tmp_path):
    rows = toy_rows(tmp_path, 3)
    store = build_roi_store(rows, tmp_path / "store", SPEC)
    assert store.phases(rows[0].case_id) == (Phase.A, Phase.V)
    assert store.phases(rows[2].case_id) == (Phase.V, Phase.D)
    with pytest.raises(CohortError, match="no arterial"):
        store.read(rows[2].case_id, Phase.A)
    with pytest.raises(CohortError, match="not in the ROI store"):
        store.phases("somebody-left")


def test_a_cancelled_build_goes_on_where_it_stopped(tmp_path, monkeypatch):
    rows = toy_rows(tmp_path, 4)
    cut = []
    original = roi_store._cut_case
    monkeypatch.setattr(roi_store, "_cut_case", lambda case, **rest: (cut.append(case[0]), original(case, **rest))[1])

    def cancel_after_two(fraction, words):
        if fraction >= 0.5:
            raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        build_roi_store(rows, tmp_path / "store", SPEC, progress=cancel_after_two)
    assert not (tmp_path / "store").exists()
    build_roi_store(rows, tmp_path / "store", SPEC)
    assert cut == [0, 1, 2, 3]
    whole = build_roi_store(rows, tmp_path / "whole", SPEC)
    resumed = RoiStore(tmp_path / "store")
    for row in rows:
        for phase in whole.phases(row.case_id):
            np.testing.assert_array_equal(resumed.read(row.case_id, phase), whole.read(row.case_id, phase))


KILLED = """
import sys, time
from pathlib import Path
from Testing.Core.cohort.cohort_toys import SPEC
from RenalCLIPCore.cohort.roi_store import build_roi_store
from RenalCLIPCore.cohort.table import read_cohort

def slow(fraction, words):
    print(fraction, flush=True)
    time.sleep(0.5)

build_roi_store(read_cohort(Path(sys.argv[1])), Path(sys.argv[2]), SPEC, progress=slow)
"""


def test_a_killed_build_can_be_finished(tmp_path):
    rows = toy_rows(tmp_path, 5)
    write_cohort_table(rows, tmp_path / "cohort.csv")
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path / "cohort.csv"), str(tmp_path / "store")],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline().strip() == "0.2"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    with pytest.raises(InputError, match="no finished ROI store"):
        RoiStore(tmp_path / "store")
    fractions = []
    store = build_roi_store(rows, tmp_path / "store", SPEC, progress=lambda fraction, _: fractions.append(fraction))
    assert fractions[0] > 0.3
    assert all(np.isfinite(store.read(row.case_id, Phase.V)).all() for row in rows)


def test_several_processes_cut_the_same(tmp_path):
    rows = toy_rows(tmp_path, 4)
    one = build_roi_store(rows, tmp_path / "one", SPEC)
    two = build_roi_store(rows, tmp_path / "two", SPEC, workers=Workers(2))
    for row in rows:
        np.testing.assert_array_equal(one.read(row.case_id, Phase.V), two.read(row.case_id, Phase.V))


def test_a_store_can_be_sent_to_another_process(tmp_path):
    store = build_roi_store(toy_rows(tmp_path, 1), tmp_path / "store", SPEC)
    there = pickle.loads(pickle.dumps(store))
    np.testing.assert_array_equal(there.read("p000-left", Phase.A), store.read("p000-left", Phase.A))


def test_a_finished_store_is_not_taken_for_another_cohort(tmp_path):
    rows = toy_rows(tmp_path, 2)
    build_roi_store(rows, tmp_path / "store", SPEC)
    started = time.perf_counter()
    build_roi_store(rows, tmp_path / "store", SPEC)
    assert time.perf_counter() - started < 5
    with pytest.raises(CohortError, match="another cohort"):
        build_roi_store(rows[:1], tmp_path / "store", SPEC)
    with pytest.raises(CohortError, match="another size"):
        build_roi_store(rows, tmp_path / "store", replace(SPEC, pad_hu=SPEC.pad_hu - 1))


def test_an_unfinished_store_of_other_centres_is_refused(tmp_path):
    rows = toy_rows(tmp_path, 2)
    with pytest.raises(Cancelled):
        build_roi_store(rows, tmp_path / "store", SPEC, progress=_cancel)
    moved = [replace(row, centre_lps_mm=(1.0, 0.0, 0.0)) for row in rows]
    with pytest.raises(CohortError, match="unfinished store of another cohort"):
        build_roi_store(moved, tmp_path / "store", SPEC)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"centre_lps_mm": None}, "Row 1 has no lesion centre"),
        ({"volumes": {}}, "Row 1 has neither"),
        ({"centre_lps_mm": (900.0, 0.0, 0.0)}, "Row 1 cannot be cut"),
    ],
)
def test_rows_that_cannot_be_cut_are_refused_by_number(tmp_path, change, message):
    row = replace(toy_rows(tmp_path, 1)[0], **change)
    with pytest.raises(CohortError, match=message):
        build_roi_store([row], tmp_path / "store", SPEC)
    assert not (tmp_path / "store").exists()


def _cancel(fraction, words):
    raise Cancelled("stopped")
