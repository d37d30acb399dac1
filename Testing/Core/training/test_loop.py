"""The loop: reproducible, resumable bit for bit, and loud when the loss breaks."""

import itertools
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from RenalCLIPCore.errors import Cancelled, ConfigurationError, TrainingError
from RenalCLIPCore.training import checkpoints
from RenalCLIPCore.training.loop import Step, Trainer, make_optimiser, make_schedule
from RenalCLIPCore.training.stage import Checkpoints, Optimiser, Schedule
from Testing.Core.training.training_toys import ToyData, ToyTask, toy_stage


def trained(folder, seed=0, configuration=None, **fit):
    task = ToyTask(seed)
    result = Trainer(task, ToyData(), configuration or toy_stage(), folder).fit(**fit)
    return {name: value.clone() for name, value in task.model.state_dict().items()}, result


def log(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def assert_same(first, second):
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert torch.equal(value, second[name]), name


def test_two_runs_with_one_seed_give_the_same_weights(tmp_path):
    first, _ = trained(tmp_path / "a")
    torch.rand(7)
    second, _ = trained(tmp_path / "b")
    assert_same(first, second)


def test_another_seed_gives_other_weights(tmp_path):
    first, _ = trained(tmp_path / "a")
    second, _ = trained(tmp_path / "b", configuration=toy_stage(seed=1))
    assert not torch.equal(first["0.weight"], second["0.weight"])


@pytest.mark.parametrize("stop_at", [1, 3, 4, 8])
def test_a_resumed_run_is_the_undisturbed_run_bit_for_bit(tmp_path, stop_at):
    configuration = toy_stage(checkpoints=Checkpoints(every_steps=1))
    whole, result = trained(tmp_path / "whole", configuration=configuration)

    def stop(fraction, words):
        if fraction >= stop_at / 12 - 1e-9:
            raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        trained(tmp_path / "broken", configuration=configuration, progress=stop)
    torch.rand(3)
    resumed, again = trained(tmp_path / "broken", seed=99, configuration=configuration, resume=True)
    assert_same(whole, resumed)
    assert (again.best_score, again.best_epoch, again.steps) == (result.best_score, result.best_epoch, 12)
    losses = {line["step"]: line["loss"] for line in log(tmp_path / "broken") if line["event"] == "step"}
    assert losses == {line["step"]: line["loss"] for line in log(tmp_path / "whole") if line["event"] == "step"}


def test_a_run_that_is_killed_goes_on_as_if_it_had_not_been(tmp_path):
    code = (
        "import sys, os, signal, torch; from pathlib import Path; torch.set_num_threads(1)\n"
        "from Testing.Core.training.test_loop import trained, toy_stage\n"
        "from RenalCLIPCore.training.stage import Checkpoints\n"
        "def kill(fraction, words):\n"
        "    fraction > 0.55 and os.kill(os.getpid(), signal.SIGKILL)\n"
        "trained(Path(sys.argv[1]), configuration=toy_stage(checkpoints=Checkpoints(every_steps=2)), progress=kill)\n"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(tmp_path / "killed")], cwd=Path(__file__).parents[3])
    assert killed.returncode == -signal.SIGKILL
    configuration = toy_stage(checkpoints=Checkpoints(every_steps=2))
    whole, _ = trained(tmp_path / "whole", configuration=configuration)
    again, result = trained(tmp_path / "killed", configuration=configuration, resume=True)
    assert_same(whole, again)
    assert result.steps == 12


def test_random_states_come_back(tmp_path):
    import random

    import numpy as np

    checkpoints.save({"random": checkpoints.random_states()}, tmp_path / "state.pt")
    expected = torch.rand(2), np.random.rand(2), random.random()  # noqa: NPY002
    checkpoints.restore_random_states(checkpoints.load(tmp_path / "state.pt")["random"])
    found = torch.rand(2), np.random.rand(2), random.random()  # noqa: NPY002
    assert torch.equal(expected[0], found[0])
    assert (expected[1] == found[1]).all()
    assert expected[2] == found[2]


def test_a_loss_that_is_not_finite_stops_and_names_the_batch(tmp_path):
    with pytest.raises(TrainingError, match="epoch 2, batch 3"):
        Trainer(ToyTask(), ToyData(broken=(1, 2)), toy_stage(), tmp_path / "run").fit()
    last = log(tmp_path / "run")[-1]
    assert last["event"] == "loss not finite"
    assert last["cases"] == [f"case-1-2-{i}" for i in range(4)]


def test_a_gradient_that_is_not_finite_stops_before_it_reaches_the_weights(tmp_path):
    class Breaking(ToyTask):
        def training_step(self, batch):
            step = super().training_step(batch)
            # finite at zero, but its slope is not
            return Step(step.loss + (self.model[0].weight * 0).abs().sum().sqrt())

    task = Breaking()
    with pytest.raises(TrainingError, match="gradient is not finite in epoch 1, batch 1"):
        Trainer(task, ToyData(), toy_stage(), tmp_path / "run").fit()
    assert log(tmp_path / "run")[-1]["cases"] == [f"case-0-0-{i}" for i in range(4)]
    assert bool(torch.isfinite(task.model[0].weight).all())


def test_the_newest_checkpoints_are_kept_and_no_partial_file(tmp_path):
    trained(tmp_path, configuration=toy_stage(checkpoints=Checkpoints(keep=2)))
    names = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert names == ["step-000000009.pt", "step-000000012.pt"]
    assert not list(tmp_path.rglob(".partial*"))


def test_the_best_checkpoint_is_the_best_not_the_last(tmp_path):
    task = ToyTask()
    task.scores = [0.1, 0.9, 0.3, 0.9]
    result = Trainer(task, ToyData(), toy_stage(), tmp_path).fit()
    assert (result.best_score, result.best_epoch) == (0.9, 1)
    best = checkpoints.load(tmp_path / "best.pt")
    assert best["epoch"] == 1
    assert not torch.equal(best["model"]["0.weight"], task.model.state_dict()["0.weight"])


def test_validation_runs_when_asked_and_after_the_last_epoch(tmp_path):
    trained(tmp_path, configuration=toy_stage(epochs=5, validate_every=2))
    assert [line["epoch"] for line in log(tmp_path) if line["event"] == "validation"] == [1, 3, 4]


def test_a_run_is_not_overwritten_by_accident(tmp_path):
    trained(tmp_path)
    with pytest.raises(TrainingError, match="already holds a run"):
        trained(tmp_path)


@pytest.mark.parametrize(
    ("changes", "digest", "part"),
    [({"seed": 5}, "", "configuration"), ({}, "other", "data")],
)
def test_a_run_is_not_resumed_with_something_else(tmp_path, changes, digest, part):
    trained(tmp_path)
    trainer = Trainer(ToyTask(), ToyData(), toy_stage(**changes), tmp_path, digest)
    before = (tmp_path / "configuration.yaml").read_text()
    with pytest.raises(TrainingError, match=f"another {part}"):
        trainer.fit(resume=True)
    assert (tmp_path / "configuration.yaml").read_text() == before


def test_a_damaged_checkpoint_is_told(tmp_path):
    trained(tmp_path)
    newest = checkpoints.newest(tmp_path / "checkpoints")
    newest.write_bytes(newest.read_bytes()[:100])
    with pytest.raises(TrainingError, match="damaged"):
        trained(tmp_path, resume=True)


def test_checkpoints_hold_no_code(tmp_path):
    torch.save({"model": Path("x")}, tmp_path / "evil.pt")
    with pytest.raises(TrainingError, match="damaged"):
        checkpoints.load(tmp_path / "evil.pt")


def test_a_learning_rate_for_a_name_that_no_parameter_has_is_refused():
    model = torch.nn.ModuleDict({"backbone": torch.nn.Linear(2, 2)})
    with pytest.raises(ConfigurationError, match="names 'projector', but the parameters begin with backbone"):
        make_optimiser(model, Optimiser(learning_rate=1e-5, learning_rates={"projector": 5e-4}))


def test_learning_rates_follow_prefix_and_schedule():
    model = torch.nn.ModuleDict({"backbone": torch.nn.Linear(2, 2), "projection": torch.nn.Linear(2, 2)})
    optimiser = make_optimiser(model, Optimiser(learning_rate=1e-5, learning_rates={"projection": 5e-4}))
    assert sorted(group["lr"] for group in optimiser.param_groups) == [1e-5, 5e-4]
    schedule = make_schedule(optimiser, Schedule(warm_up=0.2), 10)
    rates = []
    for _ in range(10):
        rates.append(schedule.get_last_lr()[0] / 1e-5)
        optimiser.step()
        schedule.step()
    assert rates[:3] == [0.5, 1.0, 1.0]
    assert rates[6] == pytest.approx(0.5)
    assert all(a > b for a, b in itertools.pairwise(rates[2:]))
    assert schedule.get_last_lr()[0] == pytest.approx(0)


def test_frozen_parameters_are_left_out():
    model = torch.nn.Linear(2, 2)
    model.bias.requires_grad_(False)
    assert len(make_optimiser(model, Optimiser()).param_groups[0]["params"]) == 1
