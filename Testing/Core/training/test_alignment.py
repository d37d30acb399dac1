"""Image-text alignment: the loss, the temperature, stored text features, and runs from an image run on."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from RenalCLIPCore.cohort.roi_store import build_roi_store
from RenalCLIPCore.cohort.splits import learning_cohort
from RenalCLIPCore.errors import Cancelled, CohortError, InputError, OutputError, TrainingError
from RenalCLIPCore.models.text_features import read_text_features, write_text_features
from RenalCLIPCore.training import checkpoints
from RenalCLIPCore.training.alignment import PairData, train_alignment
from RenalCLIPCore.training.distribution import ALONE
from RenalCLIPCore.training.image_stage import pretraining_data, train_image
from RenalCLIPCore.training.losses import contrastive_loss
from RenalCLIPCore.training.pretraining_stages import ImageConfiguration
from RenalCLIPCore.training.text_data import report_of
from Testing.Core.cohort.cohort_toys import SPEC, toy_rows
from Testing.Core.training.pair_toys import toy_batch, toy_clip, toy_task
from Testing.Core.training.text_toys import toy_encoder

CLIP = toy_clip(epochs=3, batch_size=6, chunk=4, checkpoints={"every_steps": 1})


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pairs")
    rows = [
        replace(
            row,
            findings=f"Mass number {number}. It is {'bright' if row.labels['malignancy'] else 'dark'}. No stone.",
            attributes=(row.labels["malignancy"], *[None] * 13),
        )
        for number, row in enumerate(toy_rows(folder, 18))
    ]
    texts = {row.case_id: (report_of(row).text, report_of(row).shuffled((3,))) for row in rows}
    write_text_features(toy_encoder(), "hash", texts, folder / "texts")
    return folder, learning_cohort(rows), build_roi_store(rows, folder / "store", SPEC)


def test_the_loss_by_hand():
    first, second = torch.eye(2), torch.eye(2)
    # each row: scale against 0
    assert float(contrastive_loss(first, second, 3.0)) == pytest.approx(math.log(1 + math.exp(-3)), abs=1e-6)
    assert float(contrastive_loss(first, second.flip(0), 3.0)) == pytest.approx(math.log(1 + math.exp(3)), abs=1e-6)


def test_the_temperature_starts_as_configured_learns_and_stays_in_range():
    task = toy_task(toy_clip())
    assert float(task.model.log_scale.exp().detach()) == pytest.approx(1 / 0.07)
    for outside, kept in ((9.0, 100.0), (-3.0, 1.0)):
        task.model.log_scale.data.fill_(outside)
        step = task.training_step(toy_batch(0))
        assert step.figures["scale"] == pytest.approx(kept)
        step.loss.backward()
        assert task.model.log_scale.grad.abs() > 0


def test_features_are_stored_with_every_version(toy):
    folder, cohort, _ = toy
    found = read_text_features(folder / "texts")
    case = cohort.training[0].case_id
    assert (found.versions, found.embedding_dim, len(found.features)) == (2, 16, 18)
    assert found.texts[case][0] == report_of(cohort.training[0]).text
    np.testing.assert_allclose(found.features[case], toy_encoder().embed(found.texts[case]), atol=1e-3)


def test_training_pairs_take_versions_by_seed_and_validation_the_original(toy):
    folder, cohort, store = toy
    texts = read_text_features(folder / "texts")

    def versions(shuffled, batches):
        data = PairData(pretraining_data(CLIP, cohort, store, ALONE), texts, shuffled)
        return [
            int(np.abs(texts.features[case] - row.numpy()).sum(1).argmin())
            for batch in batches(data)
            for case, row in zip(batch.case_ids, batch.texts, strict=True)
        ]

    def training(data):
        return (batch for epoch in range(2) for batch in data.training(epoch, 0, torch.device("cpu")))

    assert set(versions(True, training)) == {0, 1}
    assert versions(True, training) == versions(True, training)
    assert set(versions(False, training)) == {0}
    assert set(versions(True, lambda data: data.validation(torch.device("cpu")))) == {0}


def test_a_run_starts_from_an_image_run_and_goes_on_bit_for_bit(toy):
    folder, cohort, store = toy
    image = ImageConfiguration(epochs=1, batch_size=6, encoder={"width": 2})
    train_image(image, cohort, store, folder / "image")
    configuration = CLIP.model_copy(update={"image_start": "pretrained"})
    arguments = (configuration, cohort, store, folder / "texts")
    train_alignment(*arguments, folder / "whole", initial=folder / "image")

    def stop(fraction, words):
        if fraction > 0.5:
            raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        train_alignment(*arguments, folder / "broken", initial=folder / "image", progress=stop)
    train_alignment(*arguments, folder / "broken", initial=folder / "image", resume=True)
    one, two = (checkpoints.load(folder / name / "best.pt")["model"] for name in ("whole", "broken"))
    for name, value in one.items():
        assert torch.equal(value, two[name]), name
    origin = checkpoints.load(folder / "image" / "best.pt")["model"]["encoder.conv1.weight"]
    torch.testing.assert_close(one["encoder.conv1.weight"], origin, atol=0.01, rtol=0)
    wider = configuration.model_copy(update={"encoder": configuration.encoder.model_copy(update={"width": 4})})
    with pytest.raises(TrainingError, match="another encoder"):
        train_alignment(wider, cohort, store, folder / "texts", folder / "wider", initial=folder / "image")
    with pytest.raises(TrainingError, match="--initial"):
        train_alignment(*arguments, folder / "none")


def test_bf16_is_close_to_fp32():
    losses = []
    for precision in (torch.float32, torch.bfloat16):
        task = toy_task(toy_clip(chunk=3))
        with torch.autocast("cpu", torch.bfloat16, enabled=precision is torch.bfloat16):
            losses.append(float(task.training_step(toy_batch(1)).loss.detach()))
    assert losses[0] != losses[1]
    assert losses[1] == pytest.approx(losses[0], rel=0.1)


def test_stores_that_do_not_fit_are_refused(toy, tmp_path):
    _, cohort, store = toy
    few = {cohort.training[0].case_id: ("One.", "Two.")}
    write_text_features(toy_encoder(), "hash", few, tmp_path / "few")
    with pytest.raises(CohortError, match="17 rows have no text features"):
        train_alignment(CLIP, cohort, store, tmp_path / "few", tmp_path / "run")
    with pytest.raises(OutputError, match="exists already"):
        write_text_features(toy_encoder(), "hash", few, tmp_path / "few")
    (tmp_path / "few" / "texts.json").write_text("{}")
    with pytest.raises(InputError, match="do not belong together"):
        read_text_features(tmp_path / "few")
    with pytest.raises(InputError, match="no store of text features"):
        read_text_features(tmp_path / "none")
