"""The image stage: unknown answers do not count, the best macro AUROC is kept, phases are drawn per patient."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from RenalCLIPCore.cohort.dataset import Draw, RoiDataset
from RenalCLIPCore.cohort.roi_store import build_roi_store
from RenalCLIPCore.cohort.splits import learning_cohort
from RenalCLIPCore.errors import CohortError
from RenalCLIPCore.text.questionnaire import questionnaire
from RenalCLIPCore.training import checkpoints
from RenalCLIPCore.training.distribution import ALONE
from RenalCLIPCore.training.image_stage import ImageTask, pretraining_data, score_attributes, train_image
from RenalCLIPCore.training.prediction import Predictions
from RenalCLIPCore.training.pretraining_stages import ImageConfiguration
from Testing.Core.cohort.cohort_toys import SPEC, toy_rows

CONFIGURATION = ImageConfiguration(
    epochs=6, batch_size=4, validate_every=3, encoder={"width": 2}, optimiser={"learning_rate": 0.01}
)


def answered(rows):
    """Question 7 tells the brightness; question 1 is answered by every second row; nothing else is known."""
    found = []
    for number, row in enumerate(rows):
        answers = [None] * 14
        answers[6] = row.labels["malignancy"]
        answers[0] = number % 3 if number % 2 else None
        found.append(replace(row, attributes=tuple(answers)))
    return found


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("image")
    rows = answered(toy_rows(folder, 18))
    return folder, learning_cohort(rows), build_roi_store(rows, folder / "store", SPEC)


def first_batch(cohort, store):
    return next(iter(pretraining_data(CONFIGURATION, cohort, store, ALONE).training(0, 0, torch.device("cpu"))))


def test_the_heads_have_the_questionnaires_options(toy):
    _, cohort, _ = toy
    model = ImageTask(CONFIGURATION, cohort.training, cohort.validation).model
    assert [head.output.out_features for head in model.heads.values()] == list(questionnaire().class_counts)


def test_unknown_answers_do_not_count(toy):
    _, cohort, store = toy
    task = ImageTask(CONFIGURATION, cohort.training, cohort.validation)
    batch = first_batch(cohort, store)
    task.model.eval()
    step = task.training_step(batch)
    assert set(step.figures) <= {"attribute_01", "attribute_07"}
    logits, known = task.model(batch.images)[0]["attribute_01"], batch.targets["attribute_01"] >= 0
    expected = torch.nn.functional.cross_entropy(logits[known], batch.targets["attribute_01"][known])
    assert step.figures["attribute_01"] == pytest.approx(float(expected.detach()), abs=1e-6)
    nothing = replace(batch, targets={name: torch.full_like(v, -1) for name, v in batch.targets.items()})
    empty = task.training_step(nothing)
    empty.loss.backward()
    assert float(empty.loss.detach()) == 0


def test_the_density_head_adds_its_weighted_loss_and_shapes_the_encoder(toy):
    _, cohort, store = toy
    batch = first_batch(cohort, store)
    plain, shaped = (
        ImageTask(CONFIGURATION.model_copy(update={"density_weight": weight}), cohort.training, cohort.validation)
        for weight in (0.0, 0.5)
    )
    for task in (plain, shaped):
        task.model.eval()
    without, step = plain.training_step(batch), shaped.training_step(batch)
    density = step.figures["centre_density"]
    assert "centre_density" not in without.figures
    assert float(step.loss.detach()) == pytest.approx(float(without.loss.detach()) + 0.5 * density, rel=1e-5)
    _, found = shaped.model(batch.images)
    expected = torch.nn.functional.smooth_l1_loss(found, batch.targets["centre_density"])
    assert density == pytest.approx(float(expected.detach()), rel=1e-5)
    torch.autograd.backward(expected)
    assert float(shaped.model.encoder.conv1.weight.grad.abs().sum()) > 0


def test_training_keeps_the_best_macro_auroc(toy):
    folder, cohort, store = toy
    result = train_image(CONFIGURATION, cohort, store, folder / "run")
    lines = [json.loads(line) for line in (folder / "run" / "log.jsonl").read_text().splitlines()]
    scores = [line for line in lines if line["event"] == "validation"]
    assert result.best_score == max(line["score"] for line in scores)
    assert scores[0]["score"] == pytest.approx(np.mean([v for k, v in scores[0].items() if k.startswith("attribute_")]))
    assert checkpoints.load(folder / "run" / "best.pt")["score"] == result.best_score


def test_the_macro_auroc_is_over_the_answers_that_occur(toy):
    _, cohort, _ = toy
    rows = [
        replace(row, attributes=(answer, *[None] * 13))
        for row, answer in zip(cohort.training, (0, 2, 0, None), strict=False)
    ]
    logits = {f"attribute_{n:02d}": np.zeros((4, k)) for n, k in enumerate(questionnaire().class_counts, 1)}
    logits["attribute_01"] = np.array([[2.0, 0, 0, 0], [0, 0, 3, 0], [1, 0, 0, 0], [0, 9, 0, 0]])
    predictions = Predictions(tuple(row.case_id for row in rows), ("A",) * 4, np.zeros((4, 1)), logits)
    assert score_attributes(predictions, rows) == {"attribute_01": 1.0}


def test_both_kidneys_of_a_patient_are_seen_in_one_phase(toy):
    _, cohort, store = toy
    dataset = RoiDataset(cohort.training, store)
    dataset.rows = tuple(
        replace(row, patient=f"p{i // 2}", side=("left", "right")[i % 2]) for i, row in enumerate(dataset.rows)
    )
    dataset.phases = lambda row: ("A", "V", "D")
    draws = [Draw(row, 10 + row) for row in range(8)]
    seen = [draw.phase for draw in dataset.one_phase_per_patient(draws)]
    assert all(seen[i] == seen[i + 1] for i in range(0, 8, 2))
    assert len(set(seen)) > 1


@pytest.mark.parametrize(
    ("answers", "message"), [((9, *[None] * 13), "0 to 3, found 9"), ((None,) * 14, "answers any")]
)
def test_answers_that_are_no_options_or_absent_are_refused(toy, answers, message):
    _, cohort, _ = toy
    rows = [replace(row, attributes=answers) for row in cohort.training]
    with pytest.raises(CohortError, match=message):
        ImageTask(CONFIGURATION, rows, rows)
