"""The text stages: what is masked, what is learnt, and runs that go on bit for bit."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from RenalCLIPCore.cohort.dataset import MISSING
from RenalCLIPCore.errors import Cancelled, CohortError, InputError, TrainingError
from RenalCLIPCore.models.text_encoder import load_text_encoder
from RenalCLIPCore.training import checkpoints
from RenalCLIPCore.training.pretraining_stages import MntpConfiguration, SimcseConfiguration
from RenalCLIPCore.training.run_log import LOG_FILE
from RenalCLIPCore.training.stage import Checkpoints
from RenalCLIPCore.training.text_data import Report, Reports, TextBatch, TextData, read_reports
from RenalCLIPCore.training.text_stages import train_text
from RenalCLIPCore.training.text_tasks import IGNORED, MntpTask, SimcseTask, mask_tokens
from Testing.Core.training.text_toys import toy_encoder, toy_report, toy_reports

NEW = {"vocabulary": 320, "width": 16, "hidden": 32, "layers": 2, "heads": 2}
SHARED = {"iterations": 6, "epochs": 2, "batch_size": 4, "checkpoints": {"every_steps": 1}}
MNTP = MntpConfiguration(**SHARED, new_model=NEW, lora=None, precision="fp32", optimiser={"learning_rate": 3e-3})
SIMCSE = SimcseConfiguration(**SHARED, lora={"rank": 4}, precision="fp32", optimiser={"learning_rate": 3e-3})


@pytest.fixture(scope="module")
def mntp(tmp_path_factory):
    folder = tmp_path_factory.mktemp("text") / "mntp"
    train_text(MNTP, toy_reports(), folder)
    return folder


def test_masks_follow_the_shares_and_spare_start_and_padding():
    encoder = toy_encoder()
    texts = [toy_report(number).text for number in range(40)] + ["Cyst."]
    ids, mask = encoder.tokens(texts)
    changed, targets = mask_tokens(ids, mask, range(41), encoder, MNTP)
    hidden = targets != IGNORED
    assert not hidden[:, 0].any()
    assert not hidden[mask == 0].any()
    assert torch.equal(targets[hidden], ids[hidden])
    assert torch.equal(changed[~hidden], ids[~hidden])
    assert float(hidden.sum() / mask.sum()) == pytest.approx(0.2, abs=0.02)
    assert float((changed[hidden] == encoder.mask_token_id).float().mean()) == pytest.approx(0.8, abs=0.04)
    assert float((changed[hidden] == ids[hidden]).float().mean()) == pytest.approx(0.1, abs=0.04)


def test_a_texts_mask_depends_on_its_seed_alone():
    encoder = toy_encoder()
    texts = [toy_report(0).text, "Cyst."]
    both = mask_tokens(*encoder.tokens(texts), (5, 6), encoder, MNTP)[1]
    alone = mask_tokens(*encoder.tokens(texts[:1]), (5,), encoder, MNTP)[1]
    assert torch.equal(both[0], alone[0])


def test_a_masked_token_is_predicted_from_the_state_before_it():
    encoder = toy_encoder().eval()
    task = MntpTask(MNTP, encoder)
    batch = TextBatch((toy_report(1),), (3,))
    ids, mask = encoder.tokens(batch.texts)
    changed, targets = mask_tokens(ids, mask, batch.seeds, encoder, MNTP)
    logits = encoder.network(input_ids=changed, attention_mask=mask).logits[0]
    places = [place for place in range(ids.shape[1]) if targets[0, place] != IGNORED]
    expected = torch.stack(
        [torch.nn.functional.cross_entropy(logits[place - 1], ids[0, place]) for place in places]
    ).mean()
    torch.testing.assert_close(task.training_step(batch).loss, expected, rtol=1e-5, atol=1e-5)


def test_masked_prediction_learns_the_phrases_of_reports(tmp_path):
    longer = MNTP.model_copy(update={"iterations": 120, "batch_size": 8, "checkpoints": Checkpoints(keep=1)})
    result = train_text(longer, toy_reports(), tmp_path / "run")
    with torch.no_grad():
        untrained = MntpTask(MNTP, toy_encoder().eval()).validate(TextData(toy_reports(), 4, 1, 0).validation(None))
    assert untrained.score < 0.1
    assert result.best_score > 0.25


def test_simcse_pulls_two_passes_together_and_others_apart():
    torch.manual_seed(0)
    encoder = toy_encoder()
    task = SimcseTask(SIMCSE, encoder)
    batch = TextBatch(tuple(toy_report(number) for number in range(6)), tuple(range(6)))
    optimiser = torch.optim.AdamW(encoder.parameters(), lr=3e-3)
    losses = []
    for _ in range(15):
        optimiser.zero_grad()
        step = task.training_step(batch)
        step.loss.backward()
        optimiser.step()
        losses.append(float(step.loss.detach()))
    assert losses[-1] < 0.5 * losses[0]


def test_gradient_caching_gives_simcse_the_same_gradients():
    gradients = []
    for chunk in (None, 2):
        torch.manual_seed(0)
        encoder = toy_encoder().eval()
        task = SimcseTask(SIMCSE.model_copy(update={"chunk": chunk}), encoder)
        batch = TextBatch(tuple(toy_report(number) for number in range(5)), tuple(range(5)))
        task.training_step(batch).loss.backward()
        gradients.append({name: p.grad for name, p in encoder.named_parameters() if p.grad is not None})
    for name, value in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], value, rtol=1e-4, atol=1e-5, msg=name)


def test_a_run_leaves_an_encoder_that_the_next_stage_starts_from(mntp, tmp_path):
    result = train_text(SIMCSE, toy_reports(), tmp_path / "simcse", base=mntp / "encoder")
    assert result.steps == 6
    state = checkpoints.load(tmp_path / "simcse" / "best.pt")["model"]
    assert state
    assert all(".lora_" in name for name in state)
    first, second = load_text_encoder(mntp / "encoder"), load_text_encoder(tmp_path / "simcse" / "encoder")
    texts = [toy_report(0).text]
    assert not np.allclose(first.embed(texts), second.embed(texts), atol=1e-4)
    assert second.configuration.attention_dropout == 0
    torch.testing.assert_close(
        first.network.get_input_embeddings().weight, second.network.get_input_embeddings().weight
    )


def test_a_resumed_run_with_adapters_is_the_undisturbed_one_bit_for_bit(mntp, tmp_path):
    base = mntp / "encoder"
    train_text(SIMCSE, toy_reports(), tmp_path / "whole", base=base)

    def stop(fraction, words):
        if fraction > 0.6:
            raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        train_text(SIMCSE, toy_reports(), tmp_path / "broken", base=base, progress=stop)
    torch.rand(3)
    train_text(SIMCSE, toy_reports(), tmp_path / "broken", base=base, resume=True)
    one, two = (checkpoints.load(tmp_path / name / "best.pt")["model"] for name in ("whole", "broken"))
    assert one.keys() == two.keys()
    for name, value in one.items():
        assert torch.equal(value, two[name]), name
    with pytest.raises(TrainingError, match="another origin"):
        train_text(SIMCSE, toy_reports(), tmp_path / "broken", base=tmp_path / "whole" / "encoder", resume=True)


def answered(number, answer=None):
    report = toy_report(number)
    places = number % 3 if answer is None else answer
    return replace(report, answers=(MISSING, places, *[MISSING] * 12, 0))


def answered_reports(**changes):
    every = tuple(answered(number, **changes) for number in range(24))
    return Reports(every[:16], every[16:])


ANSWERING = SIMCSE.model_copy(update={"answers_weight": 10.0, "lora": None})


def test_answers_are_learnt_beside_the_wording(mntp, tmp_path):
    longer = ANSWERING.model_copy(update={"iterations": 100, "batch_size": 8, "checkpoints": Checkpoints(keep=1)})
    train_text(longer, answered_reports(), tmp_path / "run", base=mntp / "encoder")
    log = [json.loads(line) for line in (tmp_path / "run" / LOG_FILE).read_text().splitlines()]
    validated = [entry for entry in log if entry["event"] == "validation"]
    assert validated[-1]["answers_right"] >= 0.9
    assert validated[-1]["score"] == pytest.approx((validated[-1]["recall_at_1"] + validated[-1]["answers_right"]) / 2)
    assert load_text_encoder(tmp_path / "run" / "encoder").embedding_dim == 16


def test_an_unknown_answer_does_not_count():
    encoder = toy_encoder().eval()
    task = SimcseTask(ANSWERING, encoder)
    reports = tuple(answered(number) for number in range(4))
    known = [answered(number) for number in range(4)]
    unknown = replace(known[0], answers=(MISSING,) * 15)
    embeddings = encoder(*encoder.tokens([report.text for report in reports]))
    logits = [values.detach() for values in task.answering(embeddings)]
    batch = TextBatch((unknown, *known[1:]), (0, 1, 2, 3))
    step = task.training_step(batch)
    expected = [
        torch.nn.functional.cross_entropy(logits[place][1:], torch.tensor([r.answers[place] for r in known[1:]]))
        for place in (1, 14)
    ]
    assert step.figures["answers"] == pytest.approx(float(sum(expected)) / 2, rel=1e-5)


def test_a_resumed_run_with_answers_is_the_undisturbed_one_bit_for_bit(mntp, tmp_path):
    def stop(fraction, words):
        if fraction > 0.6:
            raise Cancelled("stopped")

    base = mntp / "encoder"
    train_text(ANSWERING, answered_reports(), tmp_path / "whole", base=base)
    with pytest.raises(Cancelled):
        train_text(ANSWERING, answered_reports(), tmp_path / "broken", base=base, progress=stop)
    train_text(ANSWERING, answered_reports(), tmp_path / "broken", base=base, resume=True)
    one, two = (checkpoints.load(tmp_path / name / "best.pt")["model"] for name in ("whole", "broken"))
    assert any(name.startswith("heads.") for name in one)
    for name, value in one.items():
        assert torch.equal(value, two[name]), name
    with pytest.raises(TrainingError, match="another data"):
        train_text(ANSWERING, answered_reports(answer=2), tmp_path / "broken", base=base, resume=True)


@pytest.mark.parametrize(
    ("reports", "message"),
    [
        (toy_reports(), "cohort table instead of plain texts"),
        (answered_reports(answer=MISSING), "fill in attribute_01"),
        (answered_reports(answer=9), "attribute_02 must be an option"),
    ],
)
def test_answers_to_learn_must_be_there(reports, message, mntp, tmp_path):
    with pytest.raises(CohortError, match=message):
        train_text(ANSWERING, reports, tmp_path / "run", base=mntp / "encoder")


def test_the_bert_ablation_and_bf16_with_checkpointing_run(tmp_path):
    new = {**NEW, "architecture": "bert"}
    configuration = MntpConfiguration(iterations=2, epochs=1, batch_size=4, new_model=new, lora=None)
    assert configuration.precision == "bf16"
    assert configuration.gradient_checkpointing
    train_text(configuration, toy_reports(), tmp_path / "bert")
    assert load_text_encoder(tmp_path / "bert" / "encoder").configuration.model_type == "bert"


def test_a_stage_needs_something_to_start_from(tmp_path):
    with pytest.raises(TrainingError, match="--base"):
        train_text(SIMCSE, toy_reports(), tmp_path / "run")
    with pytest.raises(InputError, match="no checkpoint folder"):
        train_text(SIMCSE, toy_reports(), tmp_path / "run", base=tmp_path / "none")


def test_no_text_comes_again_before_the_order_has_no_whole_batch_left():
    data = TextData(toy_reports(), 6, 4, 0)
    seen = [case for epoch in range(2) for batch in data.training(epoch, 0, None) for case in batch.case_ids]
    # 16 texts: two batches of six from each order
    assert all(len(set(seen[first : first + 12])) == 12 for first in range(0, 48, 12))
    assert len(set(seen)) == 16
    again = [case for batch in data.training(1, 2, None) for case in batch.case_ids]
    assert seen[36:] == again
    halves = [
        TextData(toy_reports(), 6, 4, 0, share).training(0, 0, None) for share in (lambda x: x[:3], lambda x: x[3:])
    ]
    first, second = (next(iter(half)) for half in halves)
    assert (*first.case_ids, *second.case_ids) == tuple(seen[:6])


@pytest.mark.parametrize("batch_size", [3, 6, 15, 16, 128])
def test_no_text_is_its_own_negative(batch_size):
    data = TextData(toy_reports(), batch_size, 9, 0)
    for batch in data.training(0, 0, None):
        assert len(set(batch.case_ids)) == len(batch.case_ids) == min(batch_size, 16)


def test_texts_of_a_file_are_split_and_taken_once(tmp_path):
    lines = [f"Report number {number}." for number in range(30)]
    (tmp_path / "texts.txt").write_text("\n".join([*lines, "", lines[0]]), encoding="utf-8")
    reports = read_reports(tmp_path / "texts.txt", 0.2, 0)
    assert (len(reports.training), len(reports.validation)) == (24, 6)
    assert not {r.text for r in reports.training} & {r.text for r in reports.validation}
    (tmp_path / "few.txt").write_text("One.\n")
    with pytest.raises(CohortError, match="at least two"):
        read_reports(tmp_path / "few.txt", 0.2, 0)
    (tmp_path / "latin.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="UTF-8"):
        read_reports(tmp_path / "latin.txt", 0.2, 0)


def test_shuffling_moves_sentences_within_their_section():
    report = Report("case", "One. Two. Three. Four.", "Five. Six.")
    versions = {report.shuffled((seed,)) for seed in range(8)}
    assert len(versions) > 2
    for version in versions:
        findings, impression = version.split("\n")
        assert sorted(findings.removeprefix("Findings: ").split()) == ["Four.", "One.", "Three.", "Two."]
        assert sorted(impression.removeprefix("Impression: ").split()) == ["Five.", "Six."]
    assert Reports((report,), (report,)).sha256 == Reports((report,), (report,)).sha256
