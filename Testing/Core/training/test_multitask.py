"""The multi-task stage end to end on tiny cases: trains, resumes, exports a bundle that reads the same."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from RenalCLIPCore.cohort.dataset import RoiDataset, every_phase
from RenalCLIPCore.cohort.roi_store import build_roi_store
from RenalCLIPCore.cohort.splits import learning_cohort
from RenalCLIPCore.errors import Cancelled, CohortError, TrainingError
from RenalCLIPCore.models.bundle import Bundle, verify
from RenalCLIPCore.models.manifest import read_manifest
from RenalCLIPCore.training import checkpoints
from RenalCLIPCore.training.assembly import assemble_bundle
from RenalCLIPCore.training.export import BundleWords, export_bundle
from RenalCLIPCore.training.fine_tuning_stages import MultitaskConfiguration
from RenalCLIPCore.training.finished_run import open_run
from RenalCLIPCore.training.multitask import train_multitask
from RenalCLIPCore.training.prediction import Predictions, predict
from RenalCLIPCore.training.tasks import MultitaskTask
from Testing.Core.cohort.cohort_toys import SPEC, toy_rows

CONFIGURATION = MultitaskConfiguration(
    epochs=3,
    batch_size=4,
    validate_every=3,
    tasks=("malignancy", "renal_r", "rfs"),
    balance=("malignancy",),
    class_weights=True,
    encoder={"width": 2},
    heads={"hidden": 4},
    optimiser={"learning_rate": 0.01},
    checkpoints={"every_steps": 1},
)
WORDS = BundleWords("toy", "1", "Toy cubes.", "Research only.", phantom=True)


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toy")
    rows = toy_rows(folder, 24)
    return folder, learning_cohort(rows), build_roi_store(rows, folder / "store", SPEC)


@pytest.fixture(scope="module")
def run(toy):
    folder, cohort, store = toy
    train_multitask(CONFIGURATION, cohort, store, folder / "run")
    return folder / "run"


@pytest.fixture(scope="module")
def bundle(toy, run):
    folder, cohort, store = toy
    export_bundle(run, cohort, store, folder / "bundle", WORDS)
    return folder / "bundle"


def best(folder):
    return checkpoints.load(folder / "best.pt")["model"]


def test_a_run_that_balanced_its_classes_is_read_from_its_bundle_alone(run):
    with pytest.raises(TrainingError, match="export it"):
        open_run(run)


def test_two_runs_and_a_resumed_one_end_in_the_same_weights(toy, run, tmp_path):
    _, cohort, store = toy
    train_multitask(CONFIGURATION, cohort, store, tmp_path / "again")

    def stop(fraction, words):
        if fraction > 0.5:
            raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        train_multitask(CONFIGURATION, cohort, store, tmp_path / "broken", progress=stop)
    train_multitask(CONFIGURATION, cohort, store, tmp_path / "broken", resume=True)
    for name, value in best(run).items():
        assert torch.equal(value, best(tmp_path / "again")[name]), name
        assert torch.equal(value, best(tmp_path / "broken")[name]), name


def test_a_run_can_start_from_another_with_other_tasks(toy, run, tmp_path):
    _, cohort, store = toy
    fewer = CONFIGURATION.model_copy(update={"tasks": ("renal_e", "malignancy"), "epochs": 1, "validate_every": 1})
    rows = [replace(row, labels={**row.labels, "renal_e": i % 3}) for i, row in enumerate(cohort.training)]
    frozen = fewer.model_copy(update={"optimiser": fewer.optimiser.model_copy(update={"learning_rate": 1e-30})})
    labelled = replace(cohort, training=tuple(rows))
    train_multitask(frozen, labelled, store, tmp_path / "next", initial=run)
    found, origin = best(tmp_path / "next"), best(run)
    shared = [name for name in found if name.startswith(("encoder.conv1", "heads.malignancy.output"))]
    assert shared
    for name in shared:
        torch.testing.assert_close(found[name], origin[name], rtol=1e-5, atol=0)
    wider = fewer.model_copy(update={"encoder": fewer.encoder.model_copy(update={"width": 4})})
    with pytest.raises(TrainingError, match="another architecture"):
        train_multitask(wider, labelled, store, tmp_path / "wider", initial=run)
    with pytest.raises(TrainingError, match="another origin"):
        train_multitask(frozen, labelled, store, tmp_path / "next", resume=True)


def test_training_learns_what_brightness_tells(toy, tmp_path):
    _, cohort, store = toy
    longer = CONFIGURATION.model_copy(update={"epochs": 12, "validate_every": 12, "tasks": ("malignancy",)})
    assert train_multitask(longer, cohort, store, tmp_path / "run").best_score > 0.9


def test_only_the_test_free_part_of_a_table_reaches_training(toy):
    _, cohort, _ = toy
    stranger = replace(cohort.training[0], patient="other", split="test")
    assert learning_cohort([*cohort.training, *cohort.validation, stranger]).training == cohort.training


def test_survival_is_learnt_on_malignant_cases_only(toy):
    _, cohort, store = toy
    task = MultitaskTask(CONFIGURATION.model_copy(update={"tasks": ("rfs",)}), cohort.training, cohort.validation)
    batch = next(every_phase(RoiDataset(cohort.training, store), 8, torch.device("cpu")))
    benign = replace(batch, targets={**batch.targets, "malignancy": torch.zeros_like(batch.targets["malignancy"])})
    assert "rfs" in task.training_step(batch).figures
    assert task.training_step(benign).figures == {}


def test_descriptors_are_learnt_but_neither_scored_nor_exported(toy, tmp_path):
    _, cohort, store = toy
    described = [replace(row, labels={**row.labels, "fat": i % 2}) for i, row in enumerate(cohort.training)]
    configuration = CONFIGURATION.model_copy(
        update={
            "tasks": ("malignancy",),
            "descriptors": ("fat",),
            "centre_density": True,
            "epochs": 1,
            "validate_every": 1,
        }
    )
    taught = replace(cohort, training=tuple(described))
    train_multitask(configuration, taught, store, tmp_path / "run")
    step, validation = (json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()[-2:])
    assert {"fat", "centre_density"} <= step.keys()
    assert validation["score"] == validation["malignancy"]
    manifest = export_bundle(tmp_path / "run", taught, store, tmp_path / "bundle", WORDS)
    assert [task.name for task in manifest.tasks] == ["malignancy"]


def test_a_bundle_learnt_from_images_under_others_terms_carries_them(toy, run, bundle, tmp_path):
    _, cohort, store = toy
    terms = "Painted onto masks of others."
    painted = replace(cohort, validation=(replace(cohort.validation[0], licence=terms), *cohort.validation[1:]))
    manifest = export_bundle(run, painted, store, tmp_path / "bundle", WORDS)
    assert manifest.licence == read_manifest(tmp_path / "bundle").licence == terms
    assert read_manifest(bundle).licence == "Apache-2.0"


def test_a_task_with_one_class_is_refused(toy):
    _, cohort, _ = toy
    rows = [replace(row, labels={"malignancy": 1}) for row in cohort.training]
    with pytest.raises(CohortError, match="two classes of 'malignancy'"):
        MultitaskTask(CONFIGURATION, rows, cohort.validation)


def test_fusion_is_the_mean_over_phases_and_the_fallback_prefers_arterial():
    predictions = Predictions(("a", "b", "a"), ("V", "V", "A"), np.array([[1.0], [5.0], [3.0]]), {"t": np.eye(3)})
    features, outputs = predictions.fused()
    assert features.tolist() == [[2.0], [5.0]]
    assert outputs["t"][0].tolist() == [0.5, 0.0, 0.5]
    assert predictions.single_phase()[0].tolist() == [[3.0], [5.0]]


def test_the_bundle_reads_what_the_run_calibrated(toy, bundle):
    _, cohort, store = toy
    verify(bundle)
    loaded = Bundle.load(bundle)
    found = predict(
        loaded.encoder, loaded.heads, every_phase(RoiDataset(cohort.training, store), 4, torch.device("cpu"))
    )
    risk = loaded.manifest.risk
    malignant = [i for i, row in enumerate(cohort.training) if row.labels["malignancy"] == 1]
    assert np.median(found.fused()[1]["rfs"][malignant, 0]) == pytest.approx(risk.median, abs=1e-5)
    assert loaded.manifest.task("malignancy").temperature_source.startswith("fitted")
    assert loaded.manifest.task("malignancy").threshold_source.startswith("Youden")
    assert loaded.manifest.phantom_trained
    distances = loaded.statistics.distance(found.fused()[0])
    assert np.isfinite(distances).all()


def test_a_case_of_the_index_finds_itself_first(toy, bundle):
    from RenalCLIPCore.inference.network_output import run_networks

    _, cohort, store = toy
    loaded = Bundle.load(bundle)
    row = cohort.training[5]
    rois = {phase.value: store.read(row.case_id, phase) for phase in store.phases(row.case_id)}
    similarity = loaded.index.embeddings @ run_networks(loaded, rois).mean_embedding
    assert loaded.index.case_ids[int(similarity.argmax())] == row.case_id
    assert similarity.max() == pytest.approx(1, abs=1e-4)
    assert loaded.index.facts[5]["largest diameter"] == "15 mm"


def test_a_run_is_not_exported_with_another_cohort(toy, run, tmp_path):
    _, cohort, store = toy
    other = replace(cohort, split_sha256="other")
    with pytest.raises(TrainingError, match="another data"):
        export_bundle(run, other, store, tmp_path / "bundle", WORDS)


def test_a_segmentation_model_is_added_and_nothing_else_changes(bundle, tmp_path):
    model = tmp_path / "model"
    (model / "fold_0").mkdir(parents=True)
    (model / "dataset.json").write_text("{}")
    (model / "fold_0" / "checkpoint_final.pth").write_bytes(b"weights")
    manifest = assemble_bundle(bundle, model, tmp_path / "whole")
    verify(tmp_path / "whole")
    first, second = Bundle.load(bundle), Bundle.load(tmp_path / "whole")
    assert "segmentation" in manifest.capabilities
    assert manifest.tasks == first.manifest.tasks
    for name, value in first.encoder.state_dict().items():
        assert torch.equal(value, second.encoder.state_dict()[name])
    np.testing.assert_array_equal(first.index.embeddings, second.index.embeddings)
