"""Work on many items here, in processes, and on a Dask cluster: the same results, early ends, deaths told."""

import builtins
import os
import signal
import socket

import numpy as np
import psutil
import pytest

from RenalCLIPCore.cohort.roi_store import build_roi_store
from RenalCLIPCore.cohort.workers import Workers
from RenalCLIPCore.errors import Cancelled, ConfigurationError, SystemRefusal
from RenalCLIPCore.imaging.study import Phase
from Testing.Core.cohort.cohort_toys import SPEC, toy_rows


def listening():
    """Ports that this process or a child of it listens on."""
    own = psutil.Process()
    found = set()
    for process in (own, *own.children(recursive=True)):
        found |= {c.laddr.port for c in process.net_connections() if c.status == psutil.CONN_LISTEN}
    return found


def died(number):
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("workers", [Workers(), Workers(2)])
def test_every_item_is_done_once(workers):
    assert sorted(workers.each(abs, [-3, 1, -2])) == [1, 2, 3]


def test_a_process_that_dies_is_told_in_one_message():
    with pytest.raises(SystemRefusal, match="working process died"):
        list(Workers(2).each(died, [1, 2, 3]))


def test_a_dask_cluster_cuts_the_same_regions_goes_on_after_a_stop_and_leaves_no_port_open(tmp_path):
    rows = toy_rows(tmp_path, 6)
    here = build_roi_store(rows, tmp_path / "here", SPEC)
    before, seen = listening(), []

    def stop(fraction, words):
        seen.append(fraction)
        raise Cancelled("stopped")

    cluster = Workers(2, "local")
    with pytest.raises(Cancelled):
        build_roi_store(rows, tmp_path / "there", SPEC, workers=cluster, progress=stop)
    assert not (tmp_path / "there").exists()
    there = build_roi_store(rows, tmp_path / "there", SPEC, workers=cluster, progress=lambda f, words: seen.append(f))
    assert seen[1] > seen[0]
    assert seen[-1] == 1.0
    assert listening() == before
    for row in rows:
        np.testing.assert_array_equal(there.read(row.case_id, Phase.V), here.read(row.case_id, Phase.V))


def test_a_scheduler_that_is_not_there_is_told(monkeypatch):
    monkeypatch.setattr("RenalCLIPCore.cohort.workers._CONNECT_S", 1)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(ConfigurationError, match="No Dask scheduler answers"):
        list(Workers(1, f"tcp://127.0.0.1:{port}").each(abs, [1]))
    with pytest.raises(ConfigurationError, match="tcp://host:port, or 'local'"):
        list(Workers(1, "somewhere").each(abs, [1]))


def test_without_dask_the_message_says_how_to_install_it(monkeypatch):
    original = builtins.__import__

    def without(name, *rest):
        if name.split(".")[0] in ("dask", "distributed"):
            raise ImportError(name)
        return original(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ConfigurationError, match="pip install dask distributed"):
        list(Workers(1, "local").each(abs, [1]))
