"""Fine-tuning on one task: starts, fractions, selection on validation, calibration, survival, grid, and bad input."""

import ast
import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from RenalCLIPCore import training
from RenalCLIPCore.cohort.dataset import RoiDataset, every_phase
from RenalCLIPCore.cohort.roi_store import build_roi_store
from RenalCLIPCore.cohort.splits import learning_cohort
from RenalCLIPCore.cohort.table import FollowUp
from RenalCLIPCore.errors import CohortError, ConfigurationError, InputError, TrainingError, WeightsMismatchError
from RenalCLIPCore.models.bundle import Bundle, write_bundle
from RenalCLIPCore.training import checkpoints
from RenalCLIPCore.training.configuration import load_configuration
from RenalCLIPCore.training.fine_tuning import fine_tune, labelled_part, read_result
from RenalCLIPCore.training.fine_tuning_stages import SurvivalConfiguration, TaskConfiguration
from RenalCLIPCore.training.finished_run import open_run
from RenalCLIPCore.training.grid_search import search
from RenalCLIPCore.training.prediction import softmax
from RenalCLIPCore.training.tasks import MultitaskTask, score_rows
from Testing.Core.cohort.cohort_toys import SPEC, toy_rows
from Testing.Core.models.bundle_toys import toy_contents

SMALL = {
    "epochs": 2,
    "batch_size": 8,
    "threads": 1,
    "encoder": {"width": 2},
    "heads": {"hidden": 4},
    "optimiser": {"learning_rate": 0.01},
    "augmentation": {"translation_px": 1, "rotation_rad": [0, 0, 0]},
}
TASK = TaskConfiguration.model_validate(SMALL)
SURVIVAL = SurvivalConfiguration.model_validate(SMALL)


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toy")
    rows = toy_rows(folder, 36)
    return folder, learning_cohort(rows), build_roi_store(rows, folder / "store", SPEC)


@pytest.fixture(scope="module")
def run(toy):
    folder, cohort, store = toy
    fine_tune(TASK, cohort, store, folder / "run")
    return folder / "run"


@pytest.fixture(scope="module")
def survival_run(toy):
    folder, cohort, store = toy
    fine_tune(SURVIVAL, cohort, store, folder / "survival")
    return folder / "survival"


def best(folder):
    return checkpoints.load(folder / "best.pt")["model"]


def changed(cohort, split, change):
    return replace(cohort, **{split: tuple(change(number, row) for number, row in enumerate(getattr(cohort, split)))})


def opposite(_, row):
    return replace(row, labels={"malignancy": 1 - row.labels["malignancy"]})


def test_the_defaults_are_the_papers_recipe():
    task = load_configuration("task")
    assert (task.epochs, task.optimiser.weight_decay, task.heads.hidden) == (100, 5e-3, 128)
    assert (task.phases, task.augmentation.flip_probability) == ("arterial-else-venous", 0.5)
    assert (task.searched.learning_rate, task.searched.batch_size) == ((5e-4, 1e-4, 5e-5, 1e-5), (50, 100, 150))
    chosen = {
        name: (item.optimiser.learning_rate, item.batch_size, item.balance)
        for name in ("renal_r", "renal_h", "aggressiveness", "rfs")
        for item in [task.for_task(name)]
    }
    assert chosen == {
        "renal_r": (5e-5, 150, ("renal_r",)),
        "renal_h": (5e-4, 50, ("renal_h",)),
        "aggressiveness": (1e-5, 100, ("aggressiveness",)),
        "rfs": (1e-5, 150, ()),
    }
    searched = {
        name: load_configuration("task").changed(network=name).searched for name in ("ct-fm", "merlin", "ct-clip")
    }
    assert {name: item.batch_size for name, item in searched.items()} == {
        "ct-fm": (50, 100),
        "merlin": (16,),
        "ct-clip": (8,),
    }
    assert searched["merlin"].learning_rate == (1e-4, 5e-5, 1e-5)
    merlin = task.changed(network="merlin").for_task("malignancy")
    assert (merlin.batch_size, merlin.optimiser.learning_rate) == (16, 1e-4)
    survival = load_configuration("survival")
    assert (survival.task, survival.survival_ties, survival.batch_size) == ("rfs", "efron", 150)


def test_given_values_are_not_replaced_by_the_papers():
    found = TaskConfiguration.model_validate({"batch_size": 7, "balance": []}).for_task("renal_n")
    assert (found.batch_size, found.balance, found.optimiser.learning_rate) == (7, (), 5e-5)


def test_a_run_keeps_what_it_needs_to_be_read_again(toy, run):
    _, cohort, store = toy
    result = read_result(run)
    assert result.score == checkpoints.load(run / "best.pt")["score"]
    assert result.task.temperature_source == "fitted to the fused logits of 12 validation cases"
    assert result.task.threshold_source.startswith("Youden's index on 12 validation cases")
    reader = open_run(run)
    assert (reader.one_phase, reader.fraction, reader.seed) == (True, 1.0, 0)
    _, outputs = reader.read(cohort.validation, store).single_phase()
    labels = [row.labels["malignancy"] for row in cohort.validation]
    # weights are rounded to half precision after the selection
    assert score_rows("malignancy", outputs["malignancy"], cohort.validation) == pytest.approx(result.score, abs=0.03)
    shares = softmax(outputs["malignancy"], result.task.temperature)
    assert shares.shape == (len(labels), 2)


def test_a_run_on_balanced_classes_is_brought_back_to_their_natural_frequencies(toy, tmp_path):
    _, cohort, store = toy
    rare = changed(cohort, "training", lambda n, row: replace(row, labels={"malignancy": int(n % 6 == 0)}))
    fine_tune(TASK, rare, store, tmp_path / "run")
    share = np.mean([row.labels["malignancy"] for row in rare.training])
    result = read_result(tmp_path / "run")
    shift = result.prior_bias
    assert shift == pytest.approx(result.task.temperature * np.log([2 * (1 - share), 2 * share]))
    name = next(key for key in best(tmp_path / "run") if key.endswith("malignancy.output.bias"))
    bias = open_run(tmp_path / "run").heads["malignancy"].output.bias
    torch.testing.assert_close(bias.detach(), best(tmp_path / "run")[name] + torch.tensor(shift), atol=2e-3, rtol=2e-3)
    fine_tune(TASK.model_copy(update={"balance": ()}), rare, store, tmp_path / "plain")
    assert read_result(tmp_path / "plain").prior_bias == ()


def test_two_runs_end_in_the_same_weights(toy, run, tmp_path):
    _, cohort, store = toy
    fine_tune(TASK, cohort, store, tmp_path / "again")
    assert all(torch.equal(value, best(tmp_path / "again")[name]) for name, value in best(run).items())


def test_nothing_of_the_test_split_reaches_training(toy, run, tmp_path):
    """Rows of the test split with other labels, in a store that lacks their regions, change no weight."""
    _, cohort, store = toy
    strangers = [
        replace(row, patient=f"test-{row.patient}", split="test", labels={"malignancy": 1}, volumes={})
        for row in cohort.training
    ]
    seen = learning_cohort([*strangers, *cohort.training, *cohort.validation])
    assert not {row.patient for row in (*seen.training, *seen.validation)} & {row.patient for row in strangers}
    fine_tune(TASK, replace(seen, split_sha256=cohort.split_sha256), store, tmp_path / "run")
    assert all(torch.equal(value, best(tmp_path / "run")[name]) for name, value in best(run).items())
    assert read_result(tmp_path / "run") == read_result(run)
    with pytest.raises(CohortError, match="another split"):
        replace(cohort, validation=tuple(strangers))


def test_training_code_neither_reads_tables_nor_names_the_test_split():
    """What it gets is a LearningCohort, whose making leaves the test rows out."""
    for path in Path(training.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                assert not {"read_cohort", "learning_cohort"} & {alias.name for alias in node.names}, path.name
            assert not (isinstance(node, ast.Constant) and node.value == "test"), path.name


def test_the_checkpoint_and_the_calibration_depend_on_the_validation_rows_alone(toy, run, tmp_path):
    _, cohort, store = toy
    turned = changed(
        cohort, "validation", lambda _, row: replace(row, labels={"malignancy": 1 - row.labels["malignancy"]})
    )
    fine_tune(TASK, turned, store, tmp_path / "run")
    first, second = (
        [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
        for folder in (run, tmp_path / "run")
    )
    steps = [[line["loss"] for line in lines if line["event"] == "step"] for lines in (first, second)]
    scores = [[line["score"] for line in lines if line["event"] == "validation"] for lines in (first, second)]
    assert steps[0] == steps[1]
    assert scores[0] == pytest.approx([1 - score for score in scores[1]])


def test_a_frozen_encoder_keeps_its_weights_and_statistics(toy, run, tmp_path):
    _, cohort, store = toy
    frozen = TASK.changed(freeze_encoder=True)
    fine_tune(frozen, cohort, store, tmp_path / "run", initial=run)
    kept = open_run(tmp_path / "run").encoder.state_dict()
    origin = {name.removeprefix("encoder."): value for name, value in best(run).items() if name.startswith("encoder.")}
    assert all(
        torch.equal(kept[name], value.half().to(value.dtype))
        for name, value in origin.items()
        if value.is_floating_point()
    )
    assert read_result(tmp_path / "run").origin
    with pytest.raises(TrainingError, match="has only heads"):
        fine_tune(TASK, cohort, store, tmp_path / "next", initial=tmp_path / "run")
    with pytest.raises(TrainingError, match="must come from somewhere"):
        fine_tune(frozen, cohort, store, tmp_path / "none")


def test_training_starts_from_a_bundles_encoder(toy, tmp_path):
    _, cohort, store = toy
    write_bundle(tmp_path / "bundle", toy_contents())
    fine_tune(TASK.changed(freeze_encoder=True), cohort, store, tmp_path / "run", initial=tmp_path / "bundle")
    found, origin = (
        open_run(tmp_path / "run").encoder.state_dict(),
        Bundle.load(tmp_path / "bundle").encoder.state_dict(),
    )
    torch.testing.assert_close(found["layer4.0.conv1.weight"], origin["layer4.0.conv1.weight"], atol=1e-3, rtol=1e-3)


def test_a_fraction_is_recorded_and_smaller_ones_are_nested(toy, tmp_path):
    _, cohort, store = toy
    parts = [
        {row.patient for row in labelled_part(TASK.changed(fraction=fraction, seed=2), cohort).training}
        for fraction in (0.25, 0.5, 1.0)
    ]
    assert [len(part) for part in parts] == [6, 12, 24]
    assert parts[0] < parts[1] < parts[2]
    fine_tune(TASK.changed(fraction=0.25, seed=2, epochs=1), cohort, store, tmp_path / "run")
    reader = open_run(tmp_path / "run")
    assert (reader.fraction, reader.seed, read_result(tmp_path / "run").cases) == (0.25, 2, 6)
    assert len(labelled_part(TASK.changed(fraction=0.25), cohort).validation) == 12


def test_classes_are_sampled_alike_often(toy):
    from RenalCLIPCore.cohort.dataset import EpochPlan, balanced_weights

    _, cohort, _ = toy
    rare = changed(cohort, "training", lambda n, row: replace(row, labels={"malignancy": int(n < 20)}))
    plan = EpochPlan(24, 24, 0, balanced_weights(rare.training, ("malignancy",)))
    labels = [rare.training[draw.row].labels["malignancy"] for e in range(60) for draw in plan.batches(e)[0]]
    assert np.mean(labels) == pytest.approx(0.5, abs=0.05)


def test_one_phase_training_reads_the_arterial_else_the_venous_phase(toy):
    _, cohort, store = toy
    dataset = RoiDataset(cohort.validation, store, one_phase=True)
    phases = [dataset.phases(row) for row in range(len(dataset))]
    assert {tuple(p.value for p in found) for found in phases} == {("A",), ("V",)}
    assert all(found[0] == store.phases(row.case_id)[0] for found, row in zip(phases, cohort.validation, strict=True))


def test_the_hilar_suffix_is_learnt_where_it_is_labelled(toy, tmp_path):
    _, cohort, store = toy
    for split in ("training", "validation"):
        cohort = changed(cohort, split, lambda n, row: replace(row, labels={"renal_h": n % 2} if n % 3 else {}))
    fine_tune(TASK.for_task("renal_h").changed(epochs=1), cohort, store, tmp_path / "run")
    result = read_result(tmp_path / "run")
    assert (result.task.classes, result.cases) == (("not hilar", "hilar"), 16)


def test_survival_sees_malignant_cases_alone_and_keeps_its_risk_groups(toy, survival_run):
    _, cohort, _ = toy
    part = labelled_part(SURVIVAL, cohort)
    assert {row.labels["malignancy"] for row in part.training} == {1}
    result = read_result(survival_run)
    assert result.task.kind == "survival"
    events = sum(row.follow_up["rfs"].event for row in part.training)
    assert result.risk.cohort == f"12 malignant training cases, {events} recurrences"


@pytest.mark.parametrize("ties", ["efron", "breslow"])
def test_a_batch_without_an_event_changes_nothing(toy, ties):
    _, cohort, store = toy
    task = MultitaskTask(SURVIVAL.changed(survival_ties=ties), cohort.training, cohort.validation)
    batch = next(every_phase(RoiDataset(cohort.training, store), 8, torch.device("cpu")))
    events = batch.targets["rfs_event"]
    censored = replace(batch, targets={**batch.targets, "rfs_event": torch.where(events < 0, events, 0)})
    step = task.training_step(censored)
    step.loss.backward()
    assert (float(step.loss.detach()), step.figures) == (0.0, {})
    gradients = [p.grad for p in task.model.parameters() if p.grad is not None]
    assert gradients
    assert all(torch.equal(g, torch.zeros_like(g)) for g in gradients)


def test_the_grid_is_searched_on_validation_and_the_best_run_is_put_in_place(toy, tmp_path):
    _, cohort, store = toy
    grid = {"learning_rate": [0.01, 1e-6], "batch_size": [6, 12]}
    searched = TASK.changed(grid=grid)
    ranked = search(searched, cohort, store, tmp_path / "run")
    assert len(ranked) == 4
    assert ranked[0].score == max(member.score for member in ranked)
    winner = tmp_path / "run" / ranked[0].run
    assert (tmp_path / "run" / "best.pt").read_bytes() == (winner / "best.pt").read_bytes()
    assert read_result(tmp_path / "run") == read_result(winner)
    with (tmp_path / "run" / "grid.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["validation_score"]) for row in rows] == [member.score for member in ranked]
    assert open_run(tmp_path / "run").tasks[0].name == "malignancy"
    with pytest.raises(TrainingError, match="already holds a run"):
        search(searched, cohort, store, tmp_path / "run")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "run").glob("grid/*/best.pt")}
    assert search(searched, cohort, store, tmp_path / "run", resume=True) == ranked
    assert {path: path.stat().st_mtime_ns for path in before} == before
    with pytest.raises(TrainingError, match="another configuration or cohort"):
        search(searched.changed(epochs=3), cohort, store, tmp_path / "run", resume=True)


def test_a_comparison_model_is_trained_and_read_like_any_other(toy, tmp_path, monkeypatch):
    from RenalCLIPCore.models import comparison

    _, cohort, store = toy
    published = replace(comparison.PUBLISHED["ct-fm"], make=lambda: comparison.CtFmEncoder(2, (1, 1)))
    monkeypatch.setattr(comparison, "PUBLISHED", {"ct-fm": published})
    weights = comparison.ComparisonEncoder("ct-fm").network.body.state_dict()
    torch.save(weights, tmp_path / "weights.pt")
    configuration = TASK.changed(network="ct-fm", epochs=1)
    fine_tune(configuration, cohort, store, tmp_path / "run", initial=tmp_path / "weights.pt")
    read = open_run(tmp_path / "run").read(cohort.validation, store)
    assert read.outputs["malignancy"].shape[1] == 2
    torch.save({"other": torch.zeros(1)}, tmp_path / "wrong.pt")
    with pytest.raises(WeightsMismatchError, match=r"wrong\.pt \(ct-fm\) lacks"):
        fine_tune(configuration, cohort, store, tmp_path / "wrong", initial=tmp_path / "wrong.pt")


def unlabelled(_, row):
    return replace(row, labels={}, follow_up={})


def one_class(_, row):
    return replace(row, labels={"malignancy": 1})


def no_event(_, row):
    return replace(row, follow_up={"rfs": FollowUp(9.0, False)}, labels={"malignancy": 1})


@pytest.mark.parametrize(
    ("configuration", "split", "change", "message"),
    [
        (TASK, "training", unlabelled, "No training row has a label for 'malignancy'"),
        (TASK, "validation", unlabelled, "No validation row has a label for 'malignancy'"),
        (TASK, "training", one_class, "All training rows have one class of 'malignancy'"),
        (TASK, "validation", one_class, "cannot be scored on the validation split"),
        (SURVIVAL, "training", unlabelled, "No training row has a malignant case with follow-up for 'rfs'"),
        (SURVIVAL, "training", no_event, "No training case had a recurrence"),
        (SURVIVAL, "validation", no_event, "cannot be scored on the validation split"),
        (
            TASK.changed(fraction=0.01),
            "training",
            lambda _, row: row,
            "With 1 % of the training patients no case of class",
        ),
    ],
)
def test_cohorts_that_cannot_be_learnt_from_are_refused_before_training(
    toy, tmp_path, configuration, split, change, message
):
    _, cohort, store = toy
    with pytest.raises(CohortError, match=message):
        fine_tune(configuration, changed(cohort, split, change), store, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_what_is_not_there_or_does_not_fit_is_refused(toy, run, tmp_path):
    _, cohort, store = toy
    with pytest.raises(ConfigurationError, match="There is no task 'renal_q'"):
        TASK.for_task("renal_q")
    with pytest.raises(InputError, match="neither a model bundle nor the folder of a run"):
        fine_tune(TASK, cohort, store, tmp_path / "run", initial=tmp_path)
    with pytest.raises(TrainingError, match="another encoder"):
        fine_tune(TASK.changed(encoder={"width": 3}), cohort, store, tmp_path / "run", initial=run)
    with pytest.raises(TrainingError, match="no finished run"):
        read_result(tmp_path)
    with pytest.raises(TrainingError, match="already holds a run"):
        fine_tune(TASK, cohort, store, run)
