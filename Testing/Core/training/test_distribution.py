"""Two processes against one: the same loss curve; and what happens when one of them dies."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from RenalCLIPCore.errors import ConfigurationError, TrainingError
from RenalCLIPCore.training import checkpoints
from RenalCLIPCore.training.distribution import ALONE, Ranks, check_shares
from Testing.Core.training.rank_child import curve

CHILD = Path(__file__).with_name("rank_child.py")
ROOT = CHILD.parents[3]


def started(*arguments, child=CHILD):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    environment |= {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "GLOO_SOCKET_IFNAME": "lo"}
    command = [sys.executable, str(child), *map(str, arguments)]
    return [
        subprocess.Popen(command, env={**environment, "RANK": str(rank)}, stderr=subprocess.PIPE, text=True)
        for rank in range(2)
    ]


def ended(processes):
    return [(process.communicate(timeout=250)[1], process.returncode) for process in processes]


def losses(folder):
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [line["loss"] for line in lines if line["event"] == "step"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ranks")
    processes = started("curves", folder)
    for batch_norm in ("fixed", "synchronised"):
        curve(folder / "one" / batch_norm, batch_norm, ALONE)
    for error, code in ended(processes):
        assert code == 0, error
    return folder


@pytest.mark.parametrize("batch_norm", ["fixed", "synchronised"])
def test_two_processes_have_the_loss_curve_of_one(runs, batch_norm):
    one, two = losses(runs / "one" / batch_norm), losses(runs / batch_norm)
    assert len(one) == 6
    # statistics that are added up in another order differ in the last digit, which the steps carry on
    assert two == (pytest.approx(one, abs=1e-5) if batch_norm == "fixed" else pytest.approx(one, rel=1e-5))


@pytest.mark.parametrize("batch_norm", ["fixed", "synchronised"])
def test_two_processes_end_in_the_weights_of_one(runs, batch_norm):
    one, two = (
        checkpoints.load(folder / batch_norm / "checkpoints" / "step-000000006.pt")["model"]
        for folder in (runs / "one", runs)
    )
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=1e-4, atol=1e-4, msg=name)
    moved = not torch.equal(one["encoder.bn1.running_mean"], torch.zeros(2))
    assert moved == (batch_norm == "synchronised")


def test_only_the_first_process_writes_and_every_random_state_is_kept(runs):
    lines = (runs / "fixed" / "log.jsonl").read_text().splitlines()
    assert json.loads(lines[0])["processes"] == 2
    assert sum('"validation"' in line for line in lines) == 2
    content = checkpoints.load(runs / "fixed" / "checkpoints" / "step-000000006.pt")
    assert len(content["random"]) == 2
    assert not torch.equal(content["random"][0]["torch"], content["random"][1]["torch"])


def test_a_process_that_dies_ends_the_other_with_a_message_and_the_run_goes_on_bit_for_bit(runs, tmp_path):
    (error, code), (_, died) = ended(started("dying", tmp_path))
    assert died == 9
    assert code == 2
    assert "Another process of the run has ended" in error
    assert "--resume" in error
    for message, result in ended(started("resumed", tmp_path)):
        assert result == 0, message
    last = "checkpoints/step-000000006.pt"
    whole, again = (checkpoints.load(folder / last)["model"] for folder in (runs / "fixed", tmp_path / "dying"))
    for name, value in whole.items():
        assert torch.equal(value, again[name]), name
    with pytest.raises(TrainingError, match="of 2 processes"):
        curve(tmp_path / "dying", "fixed", ALONE, resume=True)


def test_a_batch_that_cannot_be_shared_evenly_is_refused():
    with pytest.raises(ConfigurationError, match=r"batch of 9 .* cannot be shared by 2"):
        check_shares(9, Ranks(0, 2))
    with pytest.raises(ConfigurationError, match=r"or all training rows where they are fewer.* for instance 98"):
        check_shares(99, Ranks(0, 2))
    assert Ranks(1, 2).share([1, 2, 3, 4]) == [3, 4]


def test_a_device_that_is_not_there_is_told():
    assert ALONE.device("cpu") == torch.device("cpu")
    with pytest.raises(ConfigurationError, match="'cuda:97' cannot be used"):
        ALONE.device("cuda:97")
