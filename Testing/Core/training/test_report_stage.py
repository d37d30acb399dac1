"""The report generator's two steps on tiny cases: what is trained, what stays frozen, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from RenalCLIPCore.cohort.roi_store import build_roi_store
from RenalCLIPCore.cohort.splits import learning_cohort
from RenalCLIPCore.errors import CohortError, InputError, TrainingError
from RenalCLIPCore.models.encoder import RenalEncoder
from RenalCLIPCore.models.report_generator import load_report_generator
from RenalCLIPCore.training.configuration import load_configuration
from RenalCLIPCore.training.report_data import ReportData, image_features, plain_features
from RenalCLIPCore.training.report_stage import train_report
from RenalCLIPCore.training.report_stages import ReportAdaptersConfiguration, ReportProjectorConfiguration
from Testing.Core.cohort.cohort_toys import SPEC, toy_rows

SMALL = {
    "epochs": 2,
    "batch_size": 8,
    "threads": 1,
    "precision": "fp32",
    "views": 1,
    "tokens": 2,
    "max_tokens": 40,
    "augmentation": {"translation_px": 1, "rotation_rad": [0, 0, 0]},
}
NEW = {"vocabulary": 320, "width": 16, "hidden": 32, "layers": 1, "heads": 2}
FIRST = ReportProjectorConfiguration.model_validate({**SMALL, "new_model": NEW, "standardise": True})
SECOND = ReportAdaptersConfiguration.model_validate({**SMALL, "lora": {"rank": 2}})


def described(rows):
    kinds = ("dark", "bright")
    return [
        replace(
            row,
            findings=f"A {kinds[row.labels['malignancy']]} mass is seen.",
            impression=f"{kinds[row.labels['malignancy']].capitalize()} mass.",
        )
        for row in rows
    ]


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toy")
    rows = described(toy_rows(folder, 24))
    encoder = RenalEncoder(2, 0, torch.Generator().manual_seed(0)).train()
    return folder, learning_cohort(rows), build_roi_store(rows, folder / "store", SPEC), encoder


@pytest.fixture(scope="module")
def steps(toy):
    """Both steps, and the encoder's tensors before them."""
    folder, cohort, store, encoder = toy
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    train_report(FIRST, cohort, store, encoder, folder / "first")
    train_report(SECOND, cohort, store, encoder, folder / "second", initial=folder / "first")
    return folder, before


def generator(folder):
    return load_report_generator(folder / "generator")


def test_the_defaults_are_tables_41_and_42():
    first, second = load_configuration("report-projector"), load_configuration("report-adapters")
    assert (first.batch_size, first.epochs, first.optimiser.learning_rate, first.optimiser.weight_decay) == (
        30,
        20,
        1e-3,
        5e-2,
    )
    assert (second.batch_size, second.epochs, second.optimiser.learning_rate) == (30, 2, 5e-4)
    assert second.optimiser.learning_rates == {"network.": 2e-6}
    assert (second.lora.rank, second.lora.alpha, second.lora.dropout) == (4, 4, 0.2)
    assert (first.max_tokens, first.tokens, first.schedule.shape, first.schedule.warm_up) == (256, 8, "cosine", 0.1)
    assert first.new_model is None


def test_the_image_encoder_stays_as_it_is_with_its_batch_norm_statistics(toy, steps):
    _, before = steps
    after = toy[3].state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert toy[3].training is False


def test_the_second_step_trains_projector_and_adapters_from_the_first(steps):
    folder, _ = steps
    first, second = generator(folder / "first"), generator(folder / "second")
    moved = {
        name
        for name, value in first.network.state_dict().items()
        if not torch.equal(value, second.network.state_dict()[name])
    }
    assert moved
    assert all("_proj" in name for name in moved)
    assert not torch.equal(first.projector.weight, second.projector.weight)
    assert first.projector.mean.abs().sum() > 0
    assert torch.equal(first.projector.mean, second.projector.mean)
    assert torch.equal(first.projector.scale, second.projector.scale)
    assert second.write(torch.zeros(1, 16)) == second.write(torch.zeros(1, 16))


def test_a_given_language_model_is_frozen_in_the_first_step(toy, steps, tmp_path):
    _, cohort, store, encoder = toy
    given = steps[0] / "first" / "generator" / "language_model"
    plain = FIRST.model_copy(update={"new_model": None})
    train_report(plain, cohort, store, encoder, tmp_path / "run", language_model=given)
    first, found = generator(steps[0] / "first"), generator(tmp_path / "run")
    assert all(
        torch.equal(value, found.network.state_dict()[name]) for name, value in first.network.state_dict().items()
    )
    assert (tmp_path / "run" / "best.pt").stat().st_size < 20_000
    with pytest.raises(TrainingError, match="another origin"):
        train_report(plain, cohort, store, RenalEncoder(2, 0), tmp_path / "run", language_model=given, resume=True)


def test_a_finished_run_goes_on_from_its_checkpoint(toy, steps):
    folder, cohort, store, encoder = toy
    before = generator(folder / "first").projector.weight
    train_report(FIRST, cohort, store, encoder, folder / "first", resume=True)
    assert torch.equal(generator(folder / "first").projector.weight, before)


def test_training_sees_random_views_and_phases_and_validation_the_plain_ones(toy):
    _, cohort, store, encoder = toy
    every = FIRST.model_copy(update={"fusion": "all-phases", "views": 2})
    found = image_features(encoder, cohort.training, store, every, 2)
    plain = image_features(encoder, cohort.validation, store, every, 0)
    case = cohort.validation[0].case_id
    assert {value.shape for value in plain[case].values()} == {(1, 16)}
    assert {value.shape for views in found.values() for value in views.values()} == {(3, 16)}
    data = ReportData(cohort.training, cohort.validation, {**found, **plain}, every)
    batch = next(data.validation(torch.device("cpu")))
    np.testing.assert_allclose(
        batch.features[0].numpy(), np.mean([v[0] for v in plain[case].values()], axis=0), rtol=1e-6
    )
    first, second = ([b.features for b in data.training(epoch, 0, torch.device("cpu"))] for epoch in (0, 0))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert torch.equal(first[1], next(data.training(0, 1, torch.device("cpu"))).features)
    with pytest.raises(CohortError, match="neither an arterial nor a venous phase"):
        plain_features({"D": np.zeros((1, 16))}, "one-phase")


def test_what_does_not_fit_is_refused(toy, steps, tmp_path):
    folder, cohort, store, encoder = toy
    silent = replace(cohort, training=tuple(replace(r, findings="", impression="") for r in cohort.training))
    plain = FIRST.model_copy(update={"new_model": None})
    for arguments, options, error, message in (
        ((FIRST, silent, store, encoder), {}, CohortError, "No training row has a report"),
        ((plain, cohort, store, encoder), {}, TrainingError, "needs a language model"),
        ((plain, cohort, store, encoder), {"language_model": tmp_path}, InputError, "no language model"),
        ((FIRST, cohort, store, encoder), {"initial": folder / "first"}, TrainingError, "not from another run"),
        ((SECOND, cohort, store, encoder), {}, TrainingError, "starts from the run of the first"),
        (
            (SECOND, cohort, store, RenalEncoder(2, 0)),
            {"initial": folder / "first"},
            TrainingError,
            "features of another encoder",
        ),
        (
            (SECOND.model_copy(update={"tokens": 3}), cohort, store, encoder),
            {"initial": folder / "first"},
            TrainingError,
            "has 2 visual tokens",
        ),
    ):
        with pytest.raises(error, match=message):
            train_report(*arguments, tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()
